"""Container images of the servers and of our services: what goes in, and what starts inside."""
