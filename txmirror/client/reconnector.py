"""One attempt at a server after another, each within its time, until one gives a session."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client.connection import Connection
from txmirror.client.endpoints import TLSWrapper, connect_to
from txmirror.client.probing import Probing, ServesAgain
from txmirror.client.server_list import ConnectFailure, ServerList
from txmirror.client.servers import Server
from txmirror.errors import ProtocolError
from txmirror.timers import Timer


class Owner(Protocol):
    """For whom servers are tried.

    :ivar session_timeout: the timeout of the session that is wanted, in seconds.
    """

    session_timeout: float

    def make_connection(self) -> Connection:
        """Make the protocol of a connection."""

    def attempt_limit(self) -> float:
        """Tell how long an attempt may take, in seconds."""

    def may_live(self) -> bool:
        """Tell whether there is a session that may still be alive, so that there is reason to hurry."""

    def unresolved(self) -> None:
        """No server's name can be resolved."""

    def attempt_failed(self) -> None:
        """An attempt has given no session."""

    def silent(self) -> None:
        """A connection was made, and the handshake was not over in time."""


class Reconnector:
    """Dials one server at a time. What a handshake says is not its business, only that it comes in time.

    :param reactor: connects, resolves names, and runs the timers.
    :param server_list: says which server is next, and notes how each attempt has ended.
    :param probing: says whether the next attempt is a probe.
    :param wrap: puts TLS around a connection, if there is to be any.
    :param owner: for whom servers are tried.
    :ivar server: the server that was dialled last.
    """

    _log = Logger()

    def __init__(
        self, reactor: IReactorTime, server_list: ServerList, probing: Probing, wrap: TLSWrapper | None, owner: Owner
    ) -> None:
        self._reactor = reactor
        self._server_list = server_list
        self._probing = probing
        self._wrap = wrap
        self._owner = owner
        self._connecting: Deferred[Any] | None = None
        self._attempt_timer = Timer(reactor, self._over)
        self._pause_timer = Timer(reactor, self.connect)
        self._stopped = False
        self.server: Server = server_list.servers[0]

    def connect(self) -> None:
        """Try the next server now."""
        self.server = self._server_list.next_server()
        limit = self._owner.attempt_limit()
        self._attempt_timer.start(limit)
        factory = Factory.forProtocol(self._owner.make_connection)
        factory.noisy = False
        self._connecting = Deferred.fromCoroutine(connect_to(self._reactor, self.server, factory, limit, self._wrap))
        self._connecting.addCallbacks(self._reached, self._not_reached)

    def connect_soon(self) -> None:
        """Try the next server as soon as what goes on now is over."""
        self._pause_timer.start(0)

    def connect_later(self, *, in_contact: bool = False) -> None:
        """Try the next server after a pause, if it is time for one.

        :param in_contact: whether the latest attempt gave a connection that served the session until just now.
        """
        owner = self._owner
        self._pause_timer.start(self._server_list.backoff(owner.session_timeout, owner.may_live(), in_contact))

    def hurry(self) -> None:
        """Try the next server now, if that was to come after a pause."""
        if self._pause_timer.running:
            self.connect_soon()

    def done(self) -> None:
        """The connection stands, or has gone: there is nothing more to wait for."""
        self._attempt_timer.stop()

    def note_ended(self, connection: Connection, reason: Exception) -> None:
        """Note how a connection has ended that gave no session, and try on."""
        if isinstance(reason, ServesAgain):
            self.connect_soon()
        elif isinstance(reason, ProtocolError):
            self._failed(ConnectFailure.FOREIGN, str(reason))
        elif connection.closed_by_peer and not connection.answered:
            self._failed(ConnectFailure.REFUSED, str(reason))
        else:
            self._failed(ConnectFailure.FAILED, str(reason))

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
            self._unreachable(ConnectFailure.UNREACHABLE, "no connection in time")
        else:
            unresolved = isinstance(failure.value, DNSLookupError)
            outcome = ConnectFailure.UNRESOLVED if unresolved else ConnectFailure.UNREACHABLE
            self._unreachable(outcome, failure.getErrorMessage().rstrip("."))

    def _unreachable(self, outcome: ConnectFailure, reason: str) -> None:
        self._failed(outcome, reason)
        if self._server_list.all_unresolved():
            self._owner.unresolved()

    def _failed(self, outcome: ConnectFailure, reason: str) -> None:
        now = self._reactor.seconds()
        if self._server_list.note_failure(self.server, outcome, now):
            self._log.warn(
                "No session with {server}: {outcome} ({reason}). Trying on.",
                server=str(self.server),
                outcome=outcome.value,
                reason=reason,
            )
        if self._probing.is_due(outcome, now, self._owner.session_timeout):
            self._server_list.same_again()
            self.connect_soon()
        else:
            self.connect_later()
        self._owner.attempt_failed()

    def _over(self) -> None:
        limit = self._owner.attempt_limit()
        if self._attempt_timer.late > limit / 4:
            # The reactor has stalled: the answer may be in the socket's buffer, and gets the time to be read.
            self._attempt_timer.start(limit / 4)
        elif self._connecting is not None:
            self._connecting.cancel()
        else:
            self._owner.silent()
