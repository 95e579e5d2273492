"""The ordered log of events: what happened, in which order, and who has read how far."""
