"""Become a child that dies with its supervisor: run as a script, never imported.

``python -I -S launch.py SUPERVISOR_PID PROGRAM [ARGUMENT...]`` asks the kernel for SIGKILL at the
parent's death (prctl(2), PR_SET_PDEATHSIG) and then becomes PROGRAM. It is a script of its own
because code between fork and exec of a process with threads (``preexec_fn``) can deadlock.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Never returns but by an error of the kernel."""
    supervisor, program = int(arguments[0]), arguments[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != supervisor:
        sys.exit("the supervisor is gone already")
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming the program is the purpose
    except OSError as error:
        sys.exit(f"{program[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
