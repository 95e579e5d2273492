"""Who acts, for the histories of cells and moves."""

import getpass
import socket


def who() -> str:
    """The user and the host of this process."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
