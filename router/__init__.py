"""Which cell is a reader's home, and the way there."""
