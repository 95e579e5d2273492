"""What a stream server takes, keeps and waits for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """`connections`: open at once. `head_bytes`, `body_bytes`: of a request. `head_s`: for a
    request to come whole. `heartbeat_s`: between two heartbeats of a stream.

    `window_events`, `window_bytes`: how much of the log's newest events is kept, once for all
    streams; a client that is further behind because it does not take them is cut off. `stuck_s`: a
    client that takes nothing for so long is cut off without a word. `grace_s`: for a slow one to
    take what is left and the last frame. `chunk_bytes`: written at once. `socket_bytes`: for what
    is on its way to one client (setsockopt's SO_SNDBUF, of which Linux makes twice as much).

    `replays`: streams that read the log by themselves at once, because they are not at its end;
    more take turns of `turn_s`. `members`: streams of groups, each with `member_events` in hand.
    `unacked`: events a client has not acknowledged, after which its member is given no more (it may
    be one poll above). `session_ms`: without a poll for so long a member is taken for dead.
    `commit_s`: between two automatic checkpoints. `down_s`: for so long streams at the end outlive
    a log that does not answer.
    """

    connections: int = 2_048
    head_bytes: int = 65_536
    body_bytes: int = 65_536
    head_s: float = 10.0
    heartbeat_s: float = 10.0
    window_events: int = 20_000
    window_bytes: int = 16 << 20
    stuck_s: float = 60.0
    grace_s: float = 5.0
    chunk_bytes: int = 65_536
    socket_bytes: int = 262_144
    replays: int = 16
    turn_s: float = 5.0
    members: int = 64
    member_events: int = 512
    unacked: int = 10_000
    session_ms: int = 10_000
    commit_s: float = 1.0
    down_s: float = 30.0
