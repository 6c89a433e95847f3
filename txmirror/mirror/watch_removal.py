"""Remove unneeded watches at the server, a few at a time.

This only spares the server. A server before 3.5 cannot remove watches: they stay until the session ends, and until then
bring events that are ignored. A removal that a lost connection interrupted is retried after the reconnection, in the
same session.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.errors import ConnectionLossException, ZooKeeperException

#: How many requests are pending at most. More are hardly faster, and other requests of the session would wait longer.
_IN_FLIGHT = 64


class WatchRemoval:
    """A queue of watches to remove.

    :param remove: sends the request, unless the watches are needed by then.
    :param possible: returns whether the server supports the request; None if that is not known. Until it is known, only
        one request is pending at a time: a server that does not support it may close the connection.
    """

    _log = Logger()

    def __init__(
        self,
        remove: Callable[[str], Deferred[None]],
        possible: Callable[[], bool | None],
    ) -> None:
        self._remove = remove
        self._possible = possible
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._in_flight = 0
        self._running = False
        self._pumping = False

    def add(self, path: str) -> None:
        """Remove the watches on a path, unless they are needed when its turn comes."""
        self._waiting[path] = None
        self._pump()

    def start(self) -> None:
        """Begin to send requests: there is a connection."""
        self._running = True
        self._pump()

    def stop(self) -> None:
        """Send no requests: there is no connection."""
        self._running = False

    def forget(self) -> None:
        """Clear the queue: the session has expired and its watches with it, or nothing more is to be done."""
        self._waiting.clear()

    def _pump(self) -> None:
        possible = self._possible()
        if possible is False:
            self._waiting.clear()
        # A request that fails at once re-enters here.
        if not self._pumping:
            self._pumping = True
            while self._running and self._waiting and self._in_flight < (_IN_FLIGHT if possible else 1):
                path, _ = self._waiting.popitem(last=False)
                self._in_flight += 1
                self._remove(path).addErrback(self._failed, path).addBoth(self._removed)
            self._pumping = False

    def _removed(self, _: object) -> None:
        self._in_flight -= 1
        self._pump()

    def _failed(self, failure: Failure, path: str) -> None:
        if isinstance(failure.value, ConnectionLossException) and failure.value.applied is None and not self._running:
            # In the same session the client sets its watches again. While the connection stands, the server itself has sent this
            # error, and would answer another request likewise.
            self._waiting[path] = None
        elif not isinstance(failure.value, ZooKeeperException):
            self._log.failure("The removal of a watch failed because of a bug.", failure=failure)
