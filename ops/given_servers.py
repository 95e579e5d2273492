"""Servers that are given by their addresses: can this machine connect to them?"""

import queue
import socket
import threading
import time
from collections.abc import Collection, Iterator

from ops.config_settings import CellServers, Servers

PATIENCE_S = 3.0
"""For all addresses together: they are tried side by side."""

_PORTS = {"servers.zookeeper": 2181, "servers.kafka": 9092}
"""What their clients take where an address has no port."""


def given_addresses(servers: Servers) -> dict[str, list[str]]:
    """Every setting that names servers, and the addresses (`host:port`) that it names."""
    settings = {
        "servers.zookeeper": servers.zookeeper.partition("/")[0],  # behind it: kazoo's chroot
        "servers.kafka": servers.kafka,
    }
    settings |= {f"servers.groups.{group}": kafka for group, kafka in servers.groups.items()}
    for cell, own in servers.cells.items():
        for key in CellServers.__struct_fields__:
            settings[f"servers.cells.{cell}.{key}"] = getattr(own, key)
    return {name: list(_addresses(name, text)) for name, text in settings.items() if text}


def unreachable(addresses: Collection[str]) -> dict[str, str]:
    """Those of the addresses that cannot be connected to, and why; after `PATIENCE_S` at most.

    A resolver cannot be told to hurry: threads that wait for it are left behind.
    """
    answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for address in set(addresses):
        threading.Thread(
            target=lambda address=address: answers.put((address, _trouble(address))), daemon=True
        ).start()
    found = dict.fromkeys(addresses, f"does not answer within {PATIENCE_S:.0f} s")
    deadline = time.monotonic() + PATIENCE_S
    try:
        for _ in range(len(found)):
            address, trouble = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            found[address] = trouble
    except queue.Empty:
        pass
    return {address: trouble for address, trouble in found.items() if trouble}


def _addresses(setting: str, text: str) -> Iterator[str]:
    for word in text.split(","):
        address = word.strip().rpartition("://")[2]
        host, _, port = address.rpartition(":")
        default = _PORTS.get("servers.kafka" if ".groups." in setting else setting)
        has_port = bool(host) and port.isdigit()
        yield address if has_port or default is None else f"{address}:{default}"


def _trouble(address: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S):
            return ""
    except socket.gaierror as error:
        return f"cannot be resolved ({error.strerror})"
    except TimeoutError:
        return f"does not answer within {PATIENCE_S:.0f} s"
    except OSError as error:
        return f"cannot be connected to ({error.strerror or error})"
    except (OverflowError, ValueError) as error:
        return f"is no address ({error})"
