"""The exit statuses of the command, and the status for each failure. They are public: scripts rely on them."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from txmirror.errors import AuthFailedException, NoAuthException, ReplyTooLargeException, ZooServerProblem
from txmirror.wire import HARD_FRAME_LIMIT


class Status(enum.IntEnum):
    """An exit status, numbered as in BSD's sysexits where that has one."""

    DONE = 0
    """The command has succeeded."""
    REFUSED = 1
    """ZooKeeper has refused: there is no such node, there is one already, it is at another version, ..."""
    USAGE = 64
    """The command line is invalid."""
    UNFIT_DATA = 65
    """A reply was over the limit, for some of the nodes at least: ``--max-reply`` raises it. Or data are not what they should be."""
    UNAVAILABLE = 69
    """ZooKeeper could not be reached, or the connection was lost before the answer came."""
    BUG = 70
    """The command has failed because of a bug."""
    IO_ERROR = 74
    """The input could not be read, or the output not be written, as on a full disk."""
    TRY_LATER = 75
    """The lock could not be acquired in time, the queue had no entry, or a barrier was not passed."""
    NOT_PERMITTED = 77
    """An ACL does not permit it, for some of the nodes at least; or the server refused the credentials."""
    NOT_RUNNABLE = 126
    """The program exists, but cannot be run."""
    NO_PROGRAM = 127
    """There is no such program."""
    READER_GONE = 141
    """The reader of the output is gone: the other end of a pipe was closed."""


class CommandError(Exception):
    """The command cannot be done, for a reason outside ZooKeeper, such as a missing program. The message is one line.

    :param status: the exit status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: Exception) -> Status:
    """Return the exit status for a failure of ZooKeeper or of the connection."""
    if isinstance(error, (NoAuthException, AuthFailedException)):
        return Status.NOT_PERMITTED
    if isinstance(error, ReplyTooLargeException):
        return Status.UNFIT_DATA
    if isinstance(error, ZooServerProblem):
        return Status.UNAVAILABLE
    return Status.REFUSED


def status_of_all(errors: Iterable[Exception]) -> Status:
    """Return one exit status for several nodes that could not be read: the most easily remedied one comes first."""
    statuses = {status_of(error) for error in errors}
    order = (Status.UNAVAILABLE, Status.UNFIT_DATA, Status.NOT_PERMITTED, Status.REFUSED)
    return next((status for status in order if status in statuses), Status.DONE)


def message_of(error: Exception) -> str:
    """Return the message of a failure, with advice if there is any."""
    advice = advice_on(error)
    return str(error) if advice is None else f"{error}: {advice}"


def advice_on(error: Exception | None) -> str | None:
    """Return advice on a failure that an option would remedy; None for others."""
    if not isinstance(error, ReplyTooLargeException):
        return None
    if error.size is None:
        return "--max-reply raises it"
    if error.size > HARD_FRAME_LIMIT:
        return f"--max-reply can raise it to {HARD_FRAME_LIMIT // 1024**2}M only"
    return f"--max-reply {-(-error.size // 1024**2)}M lets it in"


def status_of_signal(number: int) -> int:
    """Return the exit status for a command that a signal has ended, as shells do: 130 after Ctrl-C."""
    return 128 + number
