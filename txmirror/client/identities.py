"""Who a client says it is: the credentials that every new connection begins with."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client.waiters import fail_all, fire_all
from txmirror.errors import AuthFailedException, ZooKeeperException
from txmirror.wire import AuthRequest

#: Sends an identity; the Deferred fails if it is refused, or with the connection.
Send = Callable[[AuthRequest], "Deferred[None]"]


class Identities:
    """Keeps identities in the order in which they were added, and who waits for each to be taken."""

    _log = Logger()

    def __init__(self) -> None:
        self._waiters: dict[AuthRequest, list[Deferred[None]]] = {}

    def add(self, request: AuthRequest) -> Deferred[None]:
        """Keep an identity. What it gives fires when a server has taken it, or fails when one has refused it."""
        waiter: Deferred[None] = Deferred()
        self._waiters.setdefault(request, []).append(waiter)
        return waiter

    def send(self, request: AuthRequest, send: Send) -> None:
        """Offer an identity to a server. One that is cut off is kept for the next."""
        send(request).addCallbacks(self._accepted, self._refused, callbackArgs=(request,), errbackArgs=(request,))

    def send_all(self, send: Send) -> None:
        """Offer every identity to a server, in order."""
        for request in list(self._waiters):
            self.send(request, send)

    def close(self, make_error: Callable[[], ZooKeeperException]) -> None:
        """Fail whoever waits, and forget everything."""
        waiting, self._waiters = self._waiters, {}
        for waiters in waiting.values():
            fail_all(waiters, make_error)

    def _accepted(self, _: None, request: AuthRequest) -> None:
        waiters = self._waiters.get(request)
        if waiters:
            self._waiters[request] = []
            fire_all(waiters, None)

    def _refused(self, failure: Failure, request: AuthRequest) -> None:
        if not isinstance(failure.value, AuthFailedException):
            return
        self._log.error("The server refused the credentials for {scheme!r}.", scheme=request.scheme)
        for waiter in self._waiters.pop(request, []):
            waiter.errback(AuthFailedException(f"the server refused the credentials for {request.scheme!r}"))
