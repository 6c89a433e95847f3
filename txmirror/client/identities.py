"""The client's identities: the credentials of ``add_auth``, which are sent first on every new connection."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.deferreds import Waiters
from txmirror.errors import AuthFailedException, ZooKeeperException
from txmirror.wire import AuthRequest

#: Sends an identity; the Deferred fails if it is refused, or with the connection.
Send = Callable[[AuthRequest], "Deferred[None]"]


class Identities:
    """The identities in the order in which they were added, each with the Deferreds that wait for its acceptance."""

    _log = Logger()

    def __init__(self) -> None:
        self._waiters: dict[AuthRequest, Waiters[None]] = {}

    def add(self, request: AuthRequest) -> Deferred[None]:
        """Add an identity. Return a Deferred that fires when a server accepts it, and fails when a server refuses it."""
        return self._waiters.setdefault(request, Waiters()).wait()

    def send(self, request: AuthRequest, send: Send) -> None:
        """Send an identity. If the connection is lost before the answer, the identity is kept for the next one."""
        send(request).addCallbacks(self._accepted, self._refused, callbackArgs=(request,), errbackArgs=(request,))

    def send_all(self, send: Send) -> None:
        """Send every identity, in order."""
        for request in list(self._waiters):
            self.send(request, send)

    def close(self, make_error: Callable[[], ZooKeeperException]) -> None:
        """Fail all Deferreds that wait, and forget the identities."""
        waiting, self._waiters = self._waiters, {}
        for waiters in waiting.values():
            waiters.fail(make_error)

    def _accepted(self, _: None, request: AuthRequest) -> None:
        waiters = self._waiters.get(request)
        if waiters is not None:
            waiters.fire(None)

    def _refused(self, failure: Failure, request: AuthRequest) -> None:
        if not isinstance(failure.value, AuthFailedException):
            return
        self._log.error("The server refused the credentials for {scheme!r}.", scheme=request.scheme)
        waiters = self._waiters.pop(request, None)
        if waiters is not None:
            waiters.fail(lambda: AuthFailedException(f"the server refused the credentials for {request.scheme!r}"))
