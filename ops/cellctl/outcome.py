"""How a command ends: exit codes with names, and errors as one sentence."""

from enum import IntEnum

import click

from idgen import errors


class Exit(IntEnum):
    """The exit codes of every command; scripts may rely on them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    PRECONDITION = 5
    UNREACHABLE = 6
    STILL_RUNNING = 7
    PARTIAL = 8

    @property
    def meaning(self) -> str:
        """The code in words, as the reference has it."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.DONE: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "wrong usage: an option, an argument or a configuration",
    Exit.NOT_FOUND: "what was named does not exist",
    Exit.CONFLICT: "it is there already, or was changed by somebody else",
    Exit.PRECONDITION: "something has to be done before: the message says what",
    Exit.UNREACHABLE: "a server or the platform does not answer, or asks to come back later",
    Exit.STILL_RUNNING: "timed out, but what was asked for goes on",
    Exit.PARTIAL: "some of it was done: the output says which",
}

_BY_REASON: dict[str, Exit] = {
    errors.BadRequest.reason: Exit.USAGE,
    errors.NotFound.reason: Exit.NOT_FOUND,
    errors.Conflict.reason: Exit.CONFLICT,
    errors.Moved.reason: Exit.CONFLICT,
    errors.Unauthenticated.reason: Exit.PRECONDITION,
    errors.PermissionDenied.reason: Exit.PRECONDITION,
    errors.CursorTooOld.reason: Exit.PRECONDITION,
    errors.LeaseLost.reason: Exit.PRECONDITION,
    errors.Unavailable.reason: Exit.UNREACHABLE,
    errors.Throttled.reason: Exit.UNREACHABLE,
    errors.Behind.reason: Exit.STILL_RUNNING,
    errors.DeadlineExceeded.reason: Exit.STILL_RUNNING,
}

_STACK = {
    "JavaMissing": Exit.PRECONDITION,
    "JavaUnsuitable": Exit.PRECONDITION,
    "MavenMissing": Exit.PRECONDITION,
    "RedisMissing": Exit.PRECONDITION,
    "DiskFull": Exit.PRECONDITION,
    "PortInUse": Exit.PRECONDITION,
    "JarsUnavailable": Exit.UNREACHABLE,
    "FolderInUse": Exit.CONFLICT,
}
"""Errors of ops.stack by name, so that a command that starts nothing does not import it."""

_NEXT = {
    errors.Unavailable.reason: "see what is down with `cellctl status` or `cellctl doctor`",
    errors.Behind.reason: "see the lag with `cellctl status`, or wait longer with --deadline",
    errors.DeadlineExceeded.reason: "ask again, or wait longer with --deadline",
}


class Ended(click.ClickException):
    """A command that cannot go on, with its exit code."""

    def __init__(self, code: Exit, sentence: str) -> None:
        super().__init__(sentence)
        self.exit_code = int(code)  # type: ignore[misc]  # click sets it on instances too

    def show(self, file: object = None) -> None:
        """One sentence on stderr."""
        del file
        click.echo(f"cellctl: {self.format_message()}", err=True)


def ended(error: errors.DashcellError) -> Ended:
    """How a command ends with one of the platform's errors."""
    code = _BY_REASON.get(error.reason, Exit.FAILED)
    sentence = str(error)
    cause = getattr(error, "cause", "")  # router.moves.Refused, not imported for `cellctl version`
    if cause:
        code, sentence = Exit.PRECONDITION, f"[{cause}] {sentence}"
    following = _NEXT.get(error.reason)
    if following and "cellctl" not in sentence:
        sentence = f"{sentence}; {following}"
    return Ended(code, sentence)


def stack_ended(error: Exception) -> Ended:
    """How a command ends when the real servers cannot be started."""
    return Ended(_STACK.get(type(error).__name__, Exit.FAILED), str(error))


def is_stack_error(error: Exception) -> bool:
    """Whether it comes from ops.stack."""
    return any(base.__name__ == "StackError" for base in type(error).__mro__)
