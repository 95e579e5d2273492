"""Ports for servers that a test stops and starts again."""

from ops.stack.ports import PortReservation


def kept_ports(count: int) -> list[int]:
    """Below those that the kernel gives to connections, which would take one of a dead server."""
    reservation = PortReservation()
    ports = [reservation.take() for _ in range(count)]
    reservation.close()
    return ports
