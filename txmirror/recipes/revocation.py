"""A request to the holder of a lock to give it up. It is in the data of the holder's node, as Curator's ``Revoker`` writes it."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from txmirror.deferreds import Waiters

#: The beginning of the data. Curator writes and expects nothing else; in other styles the holder's name follows.
_MARK = b"__REVOKE__"


class Revocation:
    """The requests to give up one period of holding a lock."""

    def __init__(self) -> None:
        self._requested = False
        self._waiters: Waiters[None] = Waiters()

    def note(self, data: bytes) -> None:
        """Note the data of the holder's node."""
        if not self._requested and data.startswith(_MARK):
            self._requested = True
            self._waiters.fire(None)

    def when_requested(self) -> Deferred[None]:
        """Wait until the holder is asked; fire at once if it was asked before."""
        return succeed(None) if self._requested else self._waiters.wait()


def marked(data: bytes, *, keep_name: bool) -> bytes:
    """Return the data of a node whose contender is asked to give up the lock."""
    if not keep_name:
        return _MARK
    return data if data.startswith(_MARK) else _MARK + data


def name_in(data: bytes) -> str:
    """Return the name in the data of a contender's node."""
    return data.removeprefix(_MARK).decode(errors="replace")
