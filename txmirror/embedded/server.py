"""The server as a whole: where it listens, and the knobs that tests turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.protocol import ServerFactory

from txmirror.embedded.connection import Connections
from txmirror.embedded.database import Database
from txmirror.embedded.reaper import Reaper
from txmirror.embedded.sessions import Sessions
from txmirror.embedded.versions import version_named


class _Reactor(Protocol):
    """A provider of both ``IReactorTime`` and ``IReactorTCP``, of which this much is used."""

    def seconds(self) -> float: ...

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> IDelayedCall: ...

    def listenTCP(
        self, port: int, factory: ServerFactory, backlog: int = ..., interface: str = ...
    ) -> IListeningPort: ...


class EmbeddedServer:
    """A ZooKeeper server in memory, for tests and demonstrations.

    It speaks the real protocol, knows every operation, and imitates ZooKeeper 3.8.0 as Debian ships it: a server that
    stands alone, with the settings that it has without being told, but for the four-letter words, which it answers. It
    enforces no quotas. All that it holds goes with it.

    It begins to listen with :meth:`listen`. Data and sessions outlast :meth:`stop_listening`, so that this with another
    :meth:`listen` on the same port is what a restart of a server looks like to its clients.

    :param reactor: a provider of ``IReactorTCP`` and ``IReactorTime``. All times come from it.
    :param tick_time: ZooKeeper's tick in seconds: session timeouts are between 2 and 20 of them, and a session ends up to one
        tick after its timeout.
    :param version: ``3.8``; ``3.9``, whose events say which transaction they are about; or ``3.4``, which ends a
        connection that asks for what came later (such as a node's stat at its creation, and watches that last). In all
        else each is like 3.8.
    :param ttl_nodes: whether nodes may have a time to live; otherwise their creation is refused as unimplemented. It is
        ZooKeeper's ``extendedTypesEnabled``.
    :param container_check_interval: how often, in seconds, it takes away the containers that have lost their last child,
        and the nodes whose time to live is over.
    :raises ValueError: ``tick_time`` or ``container_check_interval`` is not positive, or there is no such ``version``.
    """

    def __init__(
        self,
        reactor: _Reactor,
        *,
        tick_time: float = 0.5,
        version: str = "3.8",
        ttl_nodes: bool = False,
        container_check_interval: float = 60.0,
    ) -> None:
        for name, seconds in (("tick_time", tick_time), ("container_check_interval", container_check_interval)):
            if not seconds > 0:
                raise ValueError(f"{name} is {seconds!r}: not a positive number of seconds")
        imitated = version_named(version)

        def now() -> int:
            return int(reactor.seconds() * 1000)

        self._reactor = reactor
        self._database = Database(now, imitated, ttl_nodes)
        self._sessions = Sessions(reactor, self._database, tick_time)
        self._reaper = Reaper(reactor, self._database, container_check_interval, now)
        self._connections = Connections(self._database, self._sessions, imitated, now)
        self._port: IListeningPort | None = None
        self._address: str | None = None

    @property
    def address(self) -> str:
        """Where it listens, or listened last, as clients want it: ``host:port``.

        :raises RuntimeError: it never listened.
        """
        if self._address is None:
            raise RuntimeError("the server has no address before listen()")
        return self._address

    @property
    def sessions(self) -> frozenset[int]:
        """The ids of the sessions that are alive, those of clients that are gone but not yet timed out among them."""
        return self._sessions.alive

    @property
    def zxid(self) -> int:
        """The last transaction."""
        return self._database.tree.zxid

    def listen(self, port: int = 0, interface: str = "127.0.0.1") -> IListeningPort:
        """Begin to serve clients; every session gets its full timeout again.

        :param port: the TCP port; 0 takes any that is free.
        :param interface: the IP address to listen at.
        :raises ValueError: it listens already, or ``port`` is no port.
        :raises twisted.internet.error.CannotListenError: the port is taken.
        """
        if self._port is not None:
            raise ValueError(f"the server listens already, at {self.address}")
        if not 0 <= port <= 65535:
            raise ValueError(f"{port!r} is no TCP port")
        self._port = self._reactor.listenTCP(port, self._connections, interface=interface)
        host = self._port.getHost()
        # A port's address has both, but an IAddress need not.
        name, number = host.host, host.port  # type: ignore[attr-defined]
        self._address = f"[{name}]:{number}" if ":" in name else f"{name}:{number}"
        self._connections.port = number
        self._sessions.start()
        self._reaper.start()
        return self._port

    def stop_listening(self) -> Deferred[None]:
        """Close the port and drop every connection, as a server does that is killed. Sessions and data are kept.

        Sessions do not expire until :meth:`listen`, nor do containers and nodes with a time to live go.

        :returns: fires when the port is closed and the connections are gone. Harmless if it does not listen.
        """
        self._sessions.stop()
        self._reaper.stop()
        port, self._port = self._port, None
        gone = [self._connections.drop_all("the server stops")]
        if port is not None:
            closed = port.stopListening()
            if closed is not None:
                gone.append(closed)
        return gatherResults(gone).addCallback(lambda _: None)

    def stop(self) -> Deferred[None]:
        """Close the port, drop every connection, and end every session. No timers are left.

        :returns: fires when all is gone. Harmless if it does not listen.
        """
        stopped = self.stop_listening()
        for session_id in self.sessions:
            self.expire_session(session_id)
        return stopped

    def expire_session(self, session_id: int) -> None:
        """End a session now, as if its client had been silent for too long: its ephemeral nodes go, and its connection.

        :raises ValueError: there is no such session.
        """
        session = self._sessions.find(session_id)
        if session is None:
            raise ValueError(f"no session has the id {session_id!r}")
        self._sessions.expire(session, "it was made to expire")

    def drop_connections(self) -> None:
        """Drop every connection. The port stays open, and sessions live on for as long as their timeouts say."""
        self._connections.drop_all("it was made to go")

    def wipe(self) -> None:
        """Forget all data and all sessions, and begin at zxid 0 again, as a server does whose disk was lost.

        Connections are dropped. Ended sessions are no transactions here, and no watches fire.
        """
        self._connections.drop_all("the data was wiped")
        self._sessions.forget()
        self._database.reset()
