"""How many machines a load takes, from the figures of `make bench`: arithmetic, and no I/O."""
