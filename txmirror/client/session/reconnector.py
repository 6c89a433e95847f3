"""Reconnect: try one server after another, each attempt with a timeout, until a server opens or resumes a session."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client.connection.addresses import Server
from txmirror.client.connection.connection import Connection
from txmirror.client.connection.endpoints import TLSWrapper, connect_to_server
from txmirror.client.session.probing import Probing, ServesAgain
from txmirror.client.session.server_list import ConnectFailure, ServerList
from txmirror.errors import ProtocolError
from txmirror.timers import Timer


class Owner(Protocol):
    """The callbacks of a reconnector."""

    @property
    def session_timeout(self) -> float:
        """The session's timeout, in seconds."""

    def make_connection(self) -> Connection:
        """Make the protocol of a connection."""

    def attempt_limit(self) -> float:
        """Return the timeout of an attempt, in seconds."""

    def may_live(self) -> bool:
        """Return whether there is a session that may not have expired yet, so that the backoff must be short."""

    def unresolved(self) -> None:
        """Handle that no server's name can be resolved."""

    def attempt_failed(self) -> None:
        """Handle an attempt that failed."""

    def silent(self) -> None:
        """Handle a handshake that took too long."""


class Reconnector:
    """Connects to one server at a time. It checks that the handshake is answered in time, and does not read the answer.

    :param reactor: connects, resolves names, and runs the timers.
    :param server_list: the order of the servers, the backoff, and the failures of the latest attempts.
    :param probing: decides whether the next attempt is a probe.
    :param wrap: wraps a connection in TLS; None connects without TLS.
    :param owner: the callbacks.
    :ivar server: the server of the latest attempt.
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
        self.server: Server = server_list.servers[0]

    def connect(self) -> None:
        """Connect to the next server now."""
        self.server = self._server_list.next_server()
        limit = self._owner.attempt_limit()
        self._attempt_timer.start(limit)
        factory = Factory.forProtocol(self._owner.make_connection)
        factory.noisy = False
        self._connecting = Deferred.fromCoroutine(
            connect_to_server(self._reactor, self.server, factory, limit, self._wrap)
        )
        self._connecting.addCallbacks(self._reached, self._not_reached)

    def connect_soon(self) -> None:
        """Connect to the next server in the reactor's next iteration."""
        self._pause_timer.start(0)

    def connect_later(self, *, in_contact: bool = False) -> None:
        """Connect to the next server after the backoff.

        :param in_contact: whether the session had an established connection until just now.
        """
        owner = self._owner
        self._pause_timer.start(self._server_list.backoff(owner.session_timeout, owner.may_live(), in_contact))

    def skip_backoff(self) -> None:
        """Cut the backoff short, if it is running."""
        if self._pause_timer.running:
            self.connect_soon()

    def done(self) -> None:
        """Stop the timeout of the attempt: the session is established, or the connection is lost."""
        self._attempt_timer.stop()

    def note_ended(self, connection: Connection, reason: Exception) -> None:
        """Note why a connection was lost before a session was established, and retry."""
        if isinstance(reason, ServesAgain):
            self.connect_soon()
        elif isinstance(reason, ProtocolError):
            self._failed(ConnectFailure.FOREIGN, str(reason))
        elif connection.loss is not None and not connection.protocol.answered:
            self._failed(ConnectFailure.REFUSED, str(reason))
        else:
            self._failed(ConnectFailure.FAILED, str(reason))

    def stop(self) -> None:
        """Stop for good, and cancel the attempt that is under way."""
        self._attempt_timer.stop()
        self._pause_timer.stop()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()

    def _reached(self, _: object) -> None:
        self._connecting = None

    def _not_reached(self, failure: Failure) -> None:
        if self._connecting is None:
            # It was stopped.
            return
        self._connecting = None
        self._attempt_timer.stop()
        if isinstance(failure.value, (CancelledError, ConnectingCancelledError)):
            self._unreachable(ConnectFailure.UNREACHABLE, "no connection in time")
        else:
            unresolved = isinstance(failure.value, DNSLookupError)
            kind = ConnectFailure.UNRESOLVED if unresolved else ConnectFailure.UNREACHABLE
            self._unreachable(kind, failure.getErrorMessage().rstrip("."))

    def _unreachable(self, kind: ConnectFailure, details: str) -> None:
        self._failed(kind, details)
        if self._server_list.all_unresolved():
            self._owner.unresolved()

    def _failed(self, kind: ConnectFailure, details: str) -> None:
        now = self._reactor.seconds()
        if self._server_list.note_failure(self.server, kind, now):
            self._log.warn(
                "Could not connect to {server}: {reason}. Retrying.",
                server=str(self.server),
                reason=f"{kind.value} ({details})",
            )
        if self._probing.is_due(kind, now, self._owner.session_timeout):
            self._server_list.same_again()
            self.connect_soon()
        else:
            self.connect_later()
        self._owner.attempt_failed()

    def _over(self) -> None:
        limit = self._owner.attempt_limit()
        if self._attempt_timer.late > limit / 4:
            # The reactor has stalled. The answer may be in the socket's buffer: allow some time to read it.
            self._attempt_timer.start(limit / 4)
        elif self._connecting is not None:
            self._connecting.cancel()
        else:
            self._owner.silent()
