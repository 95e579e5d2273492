"""Properties: no deadline per example (the machine may be busy), and failures can be repeated."""

from hypothesis import settings

settings.register_profile("properties", deadline=None, print_blob=True)
settings.load_profile("properties")
