"""What has happened to something that is recorded in the registry, and who had it happen."""

import msgspec


class Happened(msgspec.Struct, frozen=True):
    """One entry: `state` is the one that it led to."""

    at_ms: int
    state: str
    by: str
    note: str = ""
