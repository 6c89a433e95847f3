"""A ZooKeeper, its clients and their time in memory, for one test."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from random import Random
from types import TracebackType
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txmirror.client import Limits, ZooKeeperClient
from txmirror.embedded import EmbeddedEnsemble, EmbeddedServer, Server
from txmirror.testing.reactor import MemoryReactor

_T = TypeVar("_T")
_WorldT = TypeVar("_WorldT", bound="World")


class World:
    """An in-memory ZooKeeper of one or several servers, on a reactor in memory, for one test.

    The program under test runs in it unchanged, if it takes its reactor or its client as an argument. Nothing takes real time,
    every run is the same, and no sockets are opened::

        with World() as world:
            client = world.client()
            world.result(client.create("/a", b"1"))
            program = Program(world.connection_string, reactor=world.reactor)
            world.pass_time(10.0)

    Faults are injected into ``world.server`` (see :class:`txmirror.embedded.EmbeddedServer`) and ``world.reactor`` (see
    :class:`MemoryReactor`), whose ``links`` are the connections.

    :param reactor: the reactor; None makes one, with a time that begins at 0.
    :param servers: the number of servers, 1 to 9. More than one form an ensemble; all listen at 127.0.0.1, each at a port of
        its own, and a client chooses among them by its ``random``. ``world.client(world.servers[1].address)`` connects to
        one of them only.
    :param settings: arguments of :class:`txmirror.embedded.EmbeddedServer`, or of
        :class:`txmirror.embedded.EmbeddedEnsemble` for several servers.
    :ivar reactor: the reactor.
    :ivar servers: all servers, a tuple.
    :ivar server: the first of them.
    :raises ValueError: the number of servers, or a setting, is out of range.
    :raises TypeError: there is no such setting, or ``servers`` is not an integer.
    """

    def __init__(self, *, reactor: MemoryReactor | None = None, servers: int = 1, **settings: Any) -> None:
        self.reactor = MemoryReactor() if reactor is None else reactor
        self.servers: tuple[Server, ...]
        if servers == 1 and type(servers) is int:
            self.servers = (EmbeddedServer(self.reactor, **settings),)
        else:
            self.servers = EmbeddedEnsemble(self.reactor, servers, **settings).servers
        self.server = self.servers[0]
        for server in self.servers:
            server.listen()
        self.connection_string = ",".join(server.address for server in self.servers)
        """The addresses of all servers, for clients."""
        self._clients: list[ZooKeeperClient] = []
        self._close_time = 0.0
        self._closed = False

    def __enter__(self: _WorldT) -> _WorldT:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except AssertionError:
            # A test that has failed can leave things open. Its own error matters more.
            if error is None:
                raise

    def client(
        self, servers: str | Sequence[str | tuple[str, int]] | None = None, *, connect: bool = True, **options: Any
    ) -> ZooKeeperClient:
        """Return a new client; :meth:`close` closes it.

        :param servers: the servers, as for :class:`txmirror.client.ZooKeeperClient`; None is all servers of this world.
        :param connect: whether to connect it first, so that it has a session.
        :param options: other arguments of the client. Without ``random``, it makes the same choices in every run.
        :raises AssertionError: it has no session at this instant, because of a fault for instance.
        :raises txmirror.errors.ZooKeeperException: the servers refuse it.
        """
        options.setdefault("random", Random(len(self._clients)))
        client = ZooKeeperClient(
            self.connection_string if servers is None else servers, reactor=self.reactor, **options
        )
        self._clients.append(client)
        self._close_time = max(self._close_time, (options.get("limits") or Limits()).close_time)
        if connect:
            connected = client.connect()
            self.settle()
            if not connected.called:
                # It fails when the client is closed; there is nobody to handle that.
                connected.addErrback(lambda _: None)
                raise AssertionError(f"no session at this instant: {client!r}; with connect=False it need not have one")
            self.result(connected)
        return client

    def settle(self) -> None:
        """Run everything that is due at this instant. See :meth:`MemoryReactor.settle`."""
        self.reactor.settle()

    def pass_time(self, seconds: float) -> None:
        """Advance the time of all servers and clients. See :meth:`MemoryReactor.pass_time`.

        :param seconds: the time to pass, in seconds.
        """
        self.reactor.pass_time(seconds)

    def result(self, awaited: Deferred[_T] | Coroutine[Deferred[Any], Any, _T]) -> _T:
        """Settle, and return the result of a Deferred or a coroutine.

        :returns: the result. The Deferred keeps it for further calls and for callbacks that are added later.
        :raises AssertionError: there is no result yet. The Deferred is still pending; call this again after
            :meth:`pass_time`.
        :raises Exception: the exception of the failure.
        """
        deferred = awaited if isinstance(awaited, Deferred) else Deferred.fromCoroutine(awaited)
        self.settle()
        outcome: list[_T | Failure] = []
        looking = True

        def take(result: _T | Failure) -> _T | Failure | None:
            if not looking:
                return result
            outcome.append(result)
            return None if isinstance(result, Failure) else result

        deferred.addBoth(take)
        looking = False
        if not outcome:
            raise AssertionError(
                f"no result yet, at {self.reactor.seconds():g} s: {awaited!r} waits for more than settling"
            )
        (found,) = outcome
        if isinstance(found, Failure):
            found.raiseException()
        return found

    def close(self) -> None:
        """Close all clients of :meth:`client` and all servers, and check that nothing is left open. A second call does nothing.

        Stalled connections are resumed first, and servers that lag or have no quorum catch up. If a client needs time to
        close, time passes.

        :raises AssertionError: delayed calls, connections or ports are left, which the message names; or a client does not
            close within its timeout.
        """
        if self._closed:
            return
        self._closed = True
        for link in self.reactor.links:
            link.resume()
        for server in self.servers:
            if not server.has_quorum:
                server.regain_quorum()
            if server.lagging:
                server.catch_up()
            for connection in server.connections:
                connection.resume()
        self._close_clients()
        stopped = gatherResults([server.stop() for server in self.servers])
        self.settle()
        assert stopped.called, "a server does not stop"
        left = [
            *(f"a delayed call {_describe(call, self.reactor.seconds())}" for call in self.reactor.getDelayedCalls()),
            *(f"a connection {link!r}" for link in self.reactor.links),
            *(f"a port {host or 'any'}:{port}" for host, port in self.reactor.listeners()),
        ]
        if left:
            raise AssertionError(f"left in the world: {'; '.join(left)}")

    def _close_clients(self) -> None:
        closing = [client.close() for client in self._clients]
        self.settle()
        if not all(closed.called for closed in closing):
            self.pass_time(self._close_time)
        open_still = [client for client, closed in zip(self._clients, closing, strict=True) if not closed.called]
        assert not open_still, f"not closed within {self._close_time:g} s: {open_still}"


def _describe(call: IDelayedCall, now: float) -> str:
    """Return a description of a delayed call: its function and its time."""
    function = getattr(call, "func", call)
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"of {name} in {call.getTime() - now:g} s"
