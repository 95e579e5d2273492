"""Ending ZooKeeper sessions of others, on the server, as when they had run out."""

import struct

from kazoo.client import KazooClient

_SECRET = 0xB3415C00
"""ZooKeeperServer.superSecret, of which the server makes the passwords of sessions."""
_MULTIPLIER, _ADDEND, _MASK = 0x5DEECE66D, 0xB, (1 << 48) - 1
"""java.util.Random's."""
CONNECT_S = 10


def password_of(session: int) -> bytes:
    """The password of a session: ZooKeeperServer.generatePasswd, `new Random(id ^ superSecret)`
    and 16 bytes of it."""
    seed = (session ^ _SECRET ^ _MULTIPLIER) & _MASK
    words = []
    for _ in range(4):
        seed = (seed * _MULTIPLIER + _ADDEND) & _MASK
        words.append(seed >> 16)
    return struct.pack("<4I", *words)


def end_session(hosts: str, session: int) -> None:
    """Take a session over and close it: its ephemeral nodes are gone, and its client is told that
    it has expired."""
    client = KazooClient(hosts=hosts, client_id=(session, password_of(session)))
    client.start(timeout=CONNECT_S)
    try:
        assert client.client_id[0] == session, "ZooKeeper did not know this session"
    finally:
        client.stop()
        client.close()
