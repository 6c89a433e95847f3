"""Taking watches away at the server that nobody needs any more, a few at a time.

It is done for the server's sake alone: what cannot be taken away, at a server before 3.5, goes with the session, and until then
brings events that nobody listens to. What a lost connection came between is done on return, if the session is the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.errors import ConnectionLossException, ZooKeeperException

#: How many removals are in flight at most.
_IN_FLIGHT = 100


class WatchRemoval:
    """Takes watches away.

    :param remove: asks the server for it, unless somebody needs them by then.
    :param possible: tells whether the server can do it, as far as is known. As long as nothing is, only one is taken away at
        a time: a server that cannot may close the connection.
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
        """Take away the watches on a path, unless somebody needs them when its turn comes."""
        self._waiting[path] = None
        self._pump()

    def start(self) -> None:
        """There is a connection."""
        self._running = True
        self._pump()

    def stop(self) -> None:
        """There is none."""
        self._running = False

    def forget(self) -> None:
        """The session has ended, and its watches with it; or nothing is to be done any more."""
        self._waiting.clear()

    def _pump(self) -> None:
        possible = self._possible()
        if possible is False:
            self._waiting.clear()
        # What fails at once comes back to here from within.
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
            # In the same session the client sets its watches again. While the connection stands, the code is the server's own,
            # and another try would be answered likewise.
            self._waiting[path] = None
        elif not isinstance(failure.value, ZooKeeperException):
            self._log.failure("A watch could not be taken away.", failure=failure)
