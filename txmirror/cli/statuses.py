"""The statuses that the command exits with, and which of them each failure gets. They are a promise to scripts."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from txmirror.errors import AuthFailedException, NoAuthException, ReplyTooLargeException, ZooServerProblem
from txmirror.wire import HARD_FRAME_LIMIT


class Status(enum.IntEnum):
    """How a command has ended. Where there is one, the number is that of BSD's sysexits."""

    DONE = 0
    """All was done."""
    REFUSED = 1
    """ZooKeeper has refused: there is no such node, there is one already, it is at another version, ..."""
    USAGE = 64
    """The command line will not do."""
    TOO_LARGE = 65
    """A reply was over the limit, for some of what was asked at least: ``--max-reply`` raises it."""
    UNAVAILABLE = 69
    """ZooKeeper could not be reached, or the connection was lost before the answer came."""
    BUG = 70
    """The command itself has failed, which it never should."""
    IO_ERROR = 74
    """The input could not be read, or the output not written, as where a disk is full."""
    TRY_LATER = 75
    """The lock was not to be had in time."""
    NOT_PERMITTED = 77
    """An ACL does not allow it, for some of what was asked at least; or the credentials were refused."""
    NOT_RUNNABLE = 126
    """The program that was to be run cannot be."""
    NO_PROGRAM = 127
    """There is no such program."""
    READER_GONE = 141
    """Nobody reads the output any more, as where a pipe's other end has closed."""


class CannotDo(Exception):
    """What was asked cannot be done, and not for ZooKeeper's sake: there is no such program, say. The message is one line.

    :param status: what to exit with.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: Exception) -> Status:
    """Give the status for a failure that ZooKeeper, or the way to it, is the reason of."""
    if isinstance(error, (NoAuthException, AuthFailedException)):
        return Status.NOT_PERMITTED
    if isinstance(error, ReplyTooLargeException):
        return Status.TOO_LARGE
    if isinstance(error, ZooServerProblem):
        return Status.UNAVAILABLE
    return Status.REFUSED


def status_of_all(errors: Iterable[Exception]) -> Status:
    """Give the status where several nodes could not be read, each for a reason of its own: the one that can be helped most."""
    statuses = {status_of(error) for error in errors}
    order = (Status.UNAVAILABLE, Status.TOO_LARGE, Status.NOT_PERMITTED, Status.REFUSED)
    return next((status for status in order if status in statuses), Status.DONE)


def message_of(error: Exception) -> str:
    """Return what to say of a failure, and of what would help."""
    advice = advice_on(error)
    return str(error) if advice is None else f"{error}: {advice}"


def advice_on(error: Exception | None) -> str | None:
    """Return what would help against a failure, where an option would."""
    if not isinstance(error, ReplyTooLargeException):
        return None
    if error.size is None:
        return "--max-reply raises it"
    if error.size > HARD_FRAME_LIMIT:
        return f"--max-reply can raise it to {HARD_FRAME_LIMIT // 1024**2}M only"
    return f"--max-reply {-(-error.size // 1024**2)}M lets it in"


def status_of_signal(number: int) -> int:
    """Give the status for a command that a signal has ended, as shells do it: 130 after Ctrl-C."""
    return 128 + number
