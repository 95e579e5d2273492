"""Who of a group gets which partitions: evenly, and moving as few as that allows."""

from collections.abc import Mapping, Sequence


def share_out(
    partitions: int, members: Sequence[str], current: Mapping[int, str]
) -> dict[int, str]:
    """The member that each partition should go to; empty when there are no members.

    `current` is who has what now (members that are gone may still be named). Nobody gets two more
    than another; who has more than the share keeps the lowest; only what must move, moves.
    """
    if not members:
        return {}
    held: dict[str, list[int]] = {member: [] for member in members}
    for partition in sorted(current):
        if partition < partitions and current[partition] in held:
            held[current[partition]].append(partition)
    base, extra = divmod(partitions, len(members))
    # The larger shares go to those who hold most already.
    ranked = sorted(members, key=lambda member: (-len(held[member]), member))
    share = {member: base + (rank < extra) for rank, member in enumerate(ranked)}
    target = {p: member for member in ranked for p in held[member][: share[member]]}
    free = (p for p in range(partitions) if p not in target)
    for member in ranked:
        for _ in range(share[member] - min(len(held[member]), share[member])):
            target[next(free)] = member
    return target
