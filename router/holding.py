"""Who carries a record of the registry now: an ephemeral node below it, while its process lives.

It keeps two movers from doing the same work, and nothing else: what they do may be done twice.
"""

from contextlib import suppress

from idgen.errors import Conflict, NotFound
from router.registry import Registry


def hold(registry: Registry, path: str, by: str) -> bool:
    """Become the one who carries what is at `path`; False: another does.

    Who could not be told to let go (the registry was away then) holds it yet, also in a session
    that was begun anew, and goes on.
    """
    try:
        registry.create(f"{path}/mover", by.encode(), ephemeral=True)
    except Conflict:
        return holder(registry, path) == by
    return True


def let_go(registry: Registry, path: str) -> None:
    """Let another carry it."""
    holding = f"{path}/mover"
    with suppress(NotFound, Conflict):
        registry.delete(holding, registry.get(holding).version)


def holder(registry: Registry, path: str) -> str:
    """Who carries it now; empty: nobody."""
    try:
        return registry.get(f"{path}/mover").value.decode()
    except NotFound:
        return ""
