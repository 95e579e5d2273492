"""Values that all processes of a platform must agree on, written once into the registry.

A process that was built or configured with others refuses to start: it would put events into
other partitions, rows under other keys, or versions below those already given.
"""

import msgspec

from firehose.codec import FORMAT_VERSION
from firehose.log import Log
from firehose.position import log_fingerprint
from idgen.errors import Conflict, Corrupt, NotFound
from idgen.ids import ID_EPOCH_MS
from router.registry import Registry

CLUSTER = "/cluster"


class ClusterValues(msgspec.Struct, frozen=True):
    """The agreed values.

    `partitions`: of the firehose. `spread`: the function from users to places. `log_base`: added
    to all offsets in versions. `id_epoch_ms`: where ids count from. `event_format`: of the codec.
    `log`: the fingerprint of the firehose's identity (`firehose.position.log_fingerprint`).
    """

    partitions: int
    log: int
    log_base: int = 0
    spread: str = "murmur3-fmix64"
    id_epoch_ms: int = ID_EPOCH_MS
    event_format: int = FORMAT_VERSION


_REMEDY = {
    "partitions": "the number of partitions is fixed when a platform is created; configure that",
    "log": "this is another firehose than the platform was created with; name its own, or raise "
    "log_base for a rebuilt one",
    "log_base": "take log_base from the registry",
    "spread": "run the program that the platform was created with, or a later one",
    "id_epoch_ms": "run the program that the platform was created with, or a later one",
    "event_format": "run the program of the platform's version",
}


def values_of(log: Log, log_base: int = 0) -> ClusterValues:
    """The values of a process that uses `log` as its firehose."""
    return ClusterValues(log.partitions, log_fingerprint(log.identity), log_base)


def read_cluster(registry: Registry) -> ClusterValues:
    """The agreed values. Raises NotFound before the platform was created, Corrupt."""
    value = registry.get(CLUSTER).value
    try:
        return msgspec.json.decode(value, type=ClusterValues)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{CLUSTER} in the registry cannot be read: {error}") from error


def agree(registry: Registry, values: ClusterValues) -> None:
    """Write the values if there are none yet, else check that they are the same.

    Raises Conflict, naming each value that differs, both sides, and what to do. Safe to be called
    by many processes at once.
    """
    try:
        registry.create(CLUSTER, msgspec.json.encode(values))
    except Conflict:
        check(registry, values)


def check(registry: Registry, values: ClusterValues) -> None:
    """Refuse to go on with other values than the platform's.

    Raises Conflict as `agree` does, NotFound when no platform was created here.
    """
    try:
        agreed = read_cluster(registry)
    except NotFound:
        raise NotFound(f"no platform was created in this registry ({CLUSTER} is missing)") from None
    wrong = [
        f"{name} is {ours} here and {theirs} in the registry: {_REMEDY[name]}"
        for name in ClusterValues.__struct_fields__
        if (ours := getattr(values, name)) != (theirs := getattr(agreed, name))
    ]
    if wrong:
        raise Conflict("this process does not fit the platform; " + "; ".join(wrong))
