"""One self-sufficient cell: all posts, and the dashboards of the readers homed here."""
