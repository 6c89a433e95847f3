"""The public client: its constructor, connecting and closing. Its operations are in modules of their own."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txmirror.client.arguments import check_optional
from txmirror.client.connection.addresses import parse_servers
from txmirror.client.connection.calls import Priority
from txmirror.client.connection.endpoints import TLS
from txmirror.client.connection.sasl import DigestMD5
from txmirror.client.connection.settings import GuardedMetrics, Limits
from txmirror.client.feed import Feed
from txmirror.client.nodes import NodeOperations
from txmirror.client.one_shots import OneShots
from txmirror.client.operations import OPERATIONS
from txmirror.client.queries import Queries
from txmirror.client.request_sender import RequestSender
from txmirror.client.session.session import Sessions
from txmirror.client.transactions import BatchedReads, Transaction
from txmirror.interfaces import (
    IBackpressure,
    IBatchedReads,
    IChroot,
    IMetrics,
    IServerAbilities,
    ISessionHolder,
    ISessionLease,
    ITransaction,
    ITransactions,
    IZooKeeperClient,
)
from txmirror.types import SessionTicket

#: The longest session timeout that can be asked for, in seconds: milliseconds of 31 bits.
_LONGEST_TIMEOUT = (2**31 - 1) / 1000


@implementer(
    IZooKeeperClient,
    ISessionHolder,
    IChroot,
    IServerAbilities,
    IBackpressure,
    ITransactions,
    IBatchedReads,
    ISessionLease,
)
class ZooKeeperClient(NodeOperations, Feed, Queries, BatchedReads):
    """A ZooKeeper client in pure Twisted: it connects, reconnects, and opens a new session when one has expired.

    :param servers: ``host:port,host:port/chroot``, or a list of ``host:port`` strings or (host, port) pairs. With a
        chroot, all paths are below it, and it must exist before they can. It may also follow every server.
    :param session_timeout: the time after which the ensemble expires a session that it does not hear from, in seconds; a
        server may negotiate another.
    :param session: a session to take over, from :meth:`leave` of another client. If it has expired, a new one is opened.
    :param read_only: whether the client may use a read-only server, which is cut off from most others. A session with one
        ends with its connection; meanwhile the client searches for a server that can write. A session that can write is
        never exchanged for a read-only one.
    :param tls: the TLS settings; None connects without TLS.
    :param sasl: the credentials for SASL; None does not authenticate.
    :param limits: the client's bounds and timeouts.
    :param metrics: called with each request, reply and connection, for counting.
    :param random: shuffles the servers, and draws the backoff and GUIDs.
    :param reactor: the reactor; the global one if None.
    :raises ValueError: an address is malformed, the timeout is not above 0, or a file of ``tls`` is invalid; the message
        quotes it.
    """

    def __init__(
        self,
        servers: str | Sequence[str | tuple[str, int]] = "localhost:2181",
        *,
        session_timeout: float = 10.0,
        session: SessionTicket | None = None,
        read_only: bool = False,
        tls: TLS | None = None,
        sasl: DigestMD5 | None = None,
        limits: Limits | None = None,
        metrics: IMetrics | None = None,
        random: Random | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        if isinstance(session_timeout, bool) or not isinstance(session_timeout, (int, float)):
            raise TypeError(f"a session timeout is a number of seconds, not {session_timeout!r:.60}")
        if not 0.001 <= session_timeout <= _LONGEST_TIMEOUT:
            raise ValueError(f"a session timeout is a number of seconds above 0, not {session_timeout!r}")
        check_optional("session", session, SessionTicket)
        check_optional("tls", tls, TLS)
        check_optional("sasl", sasl, DigestMD5)
        check_optional("limits", limits, Limits)
        if reactor is None:
            from twisted.internet import reactor as global_reactor

            reactor = IReactorTime(global_reactor)
        parsed = parse_servers(servers)
        random = random or Random()
        self.connect_string = str(parsed)
        self._sessions = Sessions(
            parsed.servers,
            session_timeout,
            reactor,
            limits or Limits(),
            random,
            ticket=session,
            read_only=read_only,
            wrap=None if tls is None else tls.prepare(),
            sasl=sasl,
            metrics=None if metrics is None else GuardedMetrics(metrics),
        )
        self._random = random
        self._look_from(parsed.chroot, Priority.BOUNDED)

    def _look_from(self, chroot: str, priority: Priority) -> None:
        sender = RequestSender(self._sessions, chroot, priority, self.connect_string)
        one_shots = OneShots(sender)
        NodeOperations.__init__(self, sender, one_shots, self._random)
        Feed.__init__(self, sender, one_shots)
        Queries.__init__(self, sender, one_shots)
        BatchedReads.__init__(self, sender)

    def __repr__(self) -> str:
        return f"<ZooKeeperClient {self.connect_string} {self.session.state.value}>"

    def chroot(self, path: str) -> ZooKeeperClient:
        """Return a client with the chroot ``path``, on the same session. See :meth:`.IChroot.chroot`."""
        full = self._sender.valid(path)
        return self._on_same_session("" if full == "/" else full, self._sender.priority)

    def waiting(self) -> ZooKeeperClient:
        """Return a client with an unbounded queue, on the same session. See :meth:`.IBackpressure.waiting`."""
        return self._with_priority(Priority.WAITING)

    def urgent(self) -> ZooKeeperClient:
        """Return a client that sends ahead of the queue, on the same session. See :meth:`.IBackpressure.urgent`."""
        return self._with_priority(Priority.URGENT)

    def _with_priority(self, priority: Priority) -> ZooKeeperClient:
        if self._sender.priority is priority:
            return self
        return self._on_same_session(self._sender.chroot, priority)

    def _on_same_session(self, chroot: str, priority: Priority) -> ZooKeeperClient:
        other = ZooKeeperClient.__new__(type(self))
        other._sessions = self._sessions
        other._random = self._random
        other.connect_string = self.connect_string[: len(self.connect_string) - len(self._sender.chroot)] + chroot
        other._look_from(chroot, priority)
        return other

    @property
    def session_key(self) -> object:
        """An object that is equal for all clients on the same session. See :class:`~txmirror.interfaces.IChroot`."""
        return self._sessions

    @property
    def session_id(self) -> int:
        """The id of the session, as ``ephemeralOwner`` has it; 0 while there is none."""
        return self._sessions.session_id

    @property
    def session_timeout(self) -> float:
        """The session's timeout in seconds: as negotiated, or as requested before that."""
        return self._sessions.session_timeout

    @property
    def session_ticket(self) -> SessionTicket | None:
        """The ticket with which another client can take over the session now; None while there is no session. A secret."""
        return self._sessions.ticket()

    def connect(self) -> Deferred[None]:
        """Start connecting, and wait for a session. See :meth:`~txmirror.interfaces.IZooKeeperClient.connect`."""
        return self._sessions.connect()

    def when_connected(self) -> Deferred[None]:
        """Wait for a session. See :meth:`~txmirror.interfaces.ISessionHolder.when_connected`."""
        return self._sessions.when_connected()

    def close(self) -> Deferred[None]:
        """Close the session and the client, within ``limits.close_time`` seconds. See :meth:`.IZooKeeperClient.close`."""
        return self._sessions.close()

    def leave(self) -> Deferred[SessionTicket | None]:
        """Close the client but not the session, within ``limits.close_time`` seconds. See :meth:`.ISessionHolder.leave`."""
        return self._sessions.leave()

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity to the session. See :meth:`~txmirror.interfaces.IZooKeeperClient.add_auth`."""
        if not isinstance(scheme, str):
            raise TypeError(f"a scheme is a str, not {scheme!r:.60}")
        if not isinstance(credentials, bytes):
            raise TypeError(f"credentials are bytes, not {type(credentials).__name__}")
        return self._sessions.add_auth(scheme, credentials)

    def server_can(self, method: str) -> bool | None:
        """Return whether the server supports a method. See :meth:`~txmirror.interfaces.IServerAbilities.server_can`."""
        if method not in OPERATIONS:
            raise ValueError(f"a client has no method {method!r} that sends a request")
        return self._sessions.abilities.can(OPERATIONS[method])

    def transaction(self) -> ITransaction:
        """Return a new transaction. See :meth:`~txmirror.interfaces.ITransactions.transaction`."""
        return Transaction(self._sender)

    def when_lease_expires(self) -> Deferred[None]:
        """Wait until the client-side lease expires. See :meth:`~txmirror.interfaces.ISessionLease.when_lease_expires`."""
        return self._sessions.lease.when_lease_expires()
