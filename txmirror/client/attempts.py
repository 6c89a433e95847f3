"""One attempt at a server after another, each within its time, until there is a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from txmirror.client.connection import Connection
from txmirror.client.dialling import Dialler, Outcome
from txmirror.client.reaching import Wrap, reach
from txmirror.client.servers import Server
from txmirror.timers import Timer


class Attempts:
    """Dials one server at a time. What a handshake says is not its business, only that it comes in time.

    :param reactor: connects, resolves names, and runs the timers.
    :param dialler: says which server is next.
    :param wrap: puts TLS around a connection, if there is to be any.
    :param make_connection: makes the protocol of a connection.
    :param limit: tells how long an attempt may take, in seconds.
    :param unreachable: told how an attempt ended without a connection.
    :param silent: told that a connection was made, and the handshake was not over in time.
    :ivar server: the server that was dialled last.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        dialler: Dialler,
        wrap: Wrap | None,
        make_connection: Callable[[], Connection],
        limit: Callable[[], float],
        unreachable: Callable[[Outcome, str], None],
        silent: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._dialler = dialler
        self._wrap = wrap
        self._make_connection = make_connection
        self._limit = limit
        self._unreachable = unreachable
        self._silent = silent
        self._connecting: Deferred[Any] | None = None
        self._attempt_timer = Timer(reactor, self._over)
        self._pause_timer = Timer(reactor, self.dial)
        self._stopped = False
        self.server: Server = dialler.servers[0]

    def dial(self) -> None:
        """Try the next server now."""
        self.server = self._dialler.next_server()
        limit = self._limit()
        self._attempt_timer.start(limit)
        factory = Factory.forProtocol(self._make_connection)
        factory.noisy = False
        self._connecting = Deferred.fromCoroutine(reach(self._reactor, self.server, factory, limit, self._wrap))
        self._connecting.addCallbacks(self._reached, self._not_reached)

    def dial_after(self, pause: float) -> None:
        """Try the next server after so many seconds."""
        self._pause_timer.start(pause)

    def hurry(self) -> None:
        """Try the next server now, if that was to come after a pause."""
        if self._pause_timer.running:
            self._pause_timer.start(0)

    def done(self) -> None:
        """The connection stands, or has gone: there is nothing more to wait for."""
        self._attempt_timer.stop()

    def stop(self) -> None:
        """Try no more, for good."""
        self._stopped = True
        self._attempt_timer.stop()
        self._pause_timer.stop()
        if self._connecting is not None:
            self._connecting.cancel()

    def _reached(self, _: object) -> None:
        self._connecting = None

    def _not_reached(self, failure: Failure) -> None:
        self._connecting = None
        if self._stopped:
            return
        self._attempt_timer.stop()
        if isinstance(failure.value, (CancelledError, ConnectingCancelledError)):
            self._unreachable(Outcome.UNREACHABLE, "no connection in time")
        else:
            unresolved = isinstance(failure.value, DNSLookupError)
            outcome = Outcome.UNRESOLVED if unresolved else Outcome.UNREACHABLE
            self._unreachable(outcome, failure.getErrorMessage().rstrip("."))

    def _over(self) -> None:
        limit = self._limit()
        if self._attempt_timer.late > limit / 4:
            # The reactor has stalled: the answer may be in the socket's buffer, and gets the time to be read.
            self._attempt_timer.start(limit / 4)
        elif self._connecting is not None:
            self._connecting.cancel()
        else:
            self._silent()
