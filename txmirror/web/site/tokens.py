"""The secret token of a site: a file that is read again when it has changed."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.deferreds import Waiters
from txmirror.files import read_secret
from txmirror.threads import run_in_thread

#: The shortest and the longest token, in characters. The shortest can hardly be guessed if it is random.
_SHORTEST, _LONGEST = 16, 4096
#: How long a token counts before the file is read again, and how long a request waits for that, in seconds.
_FRESH, _TIMEOUT = 1.0, 5.0


def read_token(path: str | Path) -> bytes:
    """Return the token in a file: its only line, of 16 to 4,096 printable ASCII characters without spaces.

    Only its owner, this user or root, may write to the file, and not everybody may read it.

    :raises ValueError: it cannot be read, or is invalid. The message is one line that quotes the path, and nothing of the content.
    """
    try:
        content = read_secret(path, largest=_LONGEST + 2)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"the token file {str(path)!r} cannot be read: {reason}") from None
    token = content.rstrip(b"\r\n")
    if not token:
        raise ValueError(f"the token file {str(path)!r} is empty")
    if not all(0x20 < byte < 0x7F for byte in token):
        raise ValueError(f"the token file {str(path)!r} has a space, or a character that is not printable ASCII")
    if not _SHORTEST <= len(token) <= _LONGEST:
        raise ValueError(
            f"the token in {str(path)!r} has {len(token)} characters: {_SHORTEST} to {_LONGEST} are allowed"
        )
    return token


class TokenFile:
    """A token that is compared in constant time, and read again by a thread when it may have changed.

    A file that becomes invalid is logged once. Then no token is right.

    :param path: the file.
    :param reactor: measures the time, and runs the thread.
    """

    _log = Logger()

    def __init__(self, path: str | Path, reactor: IReactorTime) -> None:
        self._path = path
        self._reactor = reactor
        #: The hash of the token; None if the file is invalid.
        self._hash: bytes | None = None
        self._read_at = float("-inf")
        self._problem: str | None = None
        self._reading = False
        self._waiters: Waiters[None] = Waiters()

    def check(self, given: bytes) -> Deferred[bool | None]:
        """Compare a token with that in the file.

        :returns: fires with True if they are equal, and with None if the file is invalid or cannot be read in time. Cancelling it ends
            the wait.
        """
        wanted = _hash(given)
        if 0 <= self._reactor.seconds() - self._read_at < _FRESH:
            return succeed(self._compare(wanted))
        waiting = self._waiters.wait()
        self._read()
        waiting.addTimeout(_TIMEOUT, self._reactor)
        waiting.addCallbacks(lambda _: self._compare(wanted), self._too_slow)
        return waiting  # type: ignore[return-value]

    def _compare(self, wanted: bytes) -> bool | None:
        return None if self._hash is None else hmac.compare_digest(self._hash, wanted)

    def _too_slow(self, failure: Failure) -> None:
        failure.trap(DeferredTimeout)
        self._note(f"the token file {str(self._path)!r} cannot be read: it takes too long")

    def _read(self) -> None:
        if not self._reading:
            self._reading = True
            reading: Deferred[Any] = run_in_thread(self._reactor, read_token, self._path)
            reading.addCallbacks(self._was_read, self._was_invalid)
            reading.addErrback(
                lambda failure: self._log.failure("A token could not be read because of a bug.", failure=failure)
            )
            reading.addCallback(lambda _: self._end())

    def _was_read(self, token: bytes) -> None:
        self._hash = _hash(token)
        if self._problem is not None:
            self._problem = None
            self._log.info("The token file {path} is valid again.", path=str(self._path))

    def _was_invalid(self, failure: Failure) -> None:
        self._hash = None
        failure.trap(ValueError)
        self._note(str(failure.value))

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._log.error("No token is accepted: {problem}.", problem=problem)

    def _end(self) -> None:
        self._reading = False
        self._read_at = self._reactor.seconds()
        self._waiters.fire(None)


def _hash(token: bytes) -> bytes:
    """Return a hash, so that the time of a comparison does not show the length either."""
    return hashlib.sha256(token).digest()
