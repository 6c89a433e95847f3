"""A ZooKeeper, its clients and their time, all in memory and in the hands of one test."""

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
    """An in-memory ZooKeeper, of one server or of several, that listens on a reactor in memory, for one test.

    The program under test runs in it as it is, as long as it takes its reactor, or its client, as an argument. Nothing takes
    real time, nothing happens by chance, and no sockets are opened::

        with World() as world:
            client = world.client()
            world.result(client.create("/a", b"1"))
            program = Program(world.connection_string, reactor=world.reactor)
            world.pass_time(10.0)

    Faults are injected into ``world.server`` (see :class:`txmirror.embedded.EmbeddedServer`) and ``world.reactor`` (see
    :class:`MemoryReactor`), whose ``links`` are the connections.

    :param reactor: one that was prepared; None makes one, whose time begins at 0.
    :param servers: how many servers there are, 1 to 9. More than one are an ensemble; all listen at 127.0.0.1, each at a
        port of its own, and a client chooses among them by its ``random``. ``world.client(world.servers[1].address)`` is
        at one of them and stays there.
    :param settings: the server's, as :class:`txmirror.embedded.EmbeddedServer` takes them; or the ensemble's, as
        :class:`txmirror.embedded.EmbeddedEnsemble` does.
    :ivar reactor: the reactor.
    :ivar servers: all servers, a tuple.
    :ivar server: the first of them.
    :raises ValueError: there cannot be so many servers, or a setting is out of bounds.
    :raises TypeError: a setting is none, or ``servers`` is no integer.
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
        """Where the servers listen, all of them, as clients take it."""
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
            # A test that failed half-way may well leave something. What it failed with is what counts.
            if error is None:
                raise

    def client(
        self, servers: str | Sequence[str | tuple[str, int]] | None = None, *, connect: bool = True, **options: Any
    ) -> ZooKeeperClient:
        """Make a client; :meth:`close` closes it.

        :param servers: what it connects to, as for :class:`txmirror.client.ZooKeeperClient`; None is all of this world's.
        :param connect: whether it is to have its session when it is returned.
        :param options: the client's others. Chance is the same in every run, if they do not say otherwise.
        :raises AssertionError: it has no session at this instant, as where faults keep it from the server.
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
                # It fails when the client is closed, and nobody waits for it.
                connected.addErrback(lambda _: None)
                raise AssertionError(f"no session at this instant: {client!r}; with connect=False it need not have one")
            self.result(connected)
        return client

    def settle(self) -> None:
        """Run everything that is due at this instant, and what follows from it. See :meth:`MemoryReactor.settle`."""
        self.reactor.settle()

    def pass_time(self, seconds: float) -> None:
        """Let time go by, for all servers and clients alike. See :meth:`MemoryReactor.pass_time`.

        :param seconds: how long.
        """
        self.reactor.pass_time(seconds)

    def result(self, awaited: Deferred[_T] | Coroutine[Deferred[Any], Any, _T]) -> _T:
        """Settle, and give what a Deferred or a coroutine has come to.

        :returns: its result. It may be asked for again, and callbacks that are added later get it too.
        :raises AssertionError: it has come to nothing yet. It goes on waiting, and may be asked again after
            :meth:`pass_time`.
        :raises Exception: what it failed with.
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
        """Close all clients of :meth:`client`, and all servers, and see that nothing is left. A second time does nothing.

        Connections that are stalled are resumed first, and servers that lag or have no quorum catch up. Where a client needs time to close,
        time passes.

        :raises AssertionError: something is left: delayed calls, connections or ports, which the message names; or a client
            does not close in its time.
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
    """Name what a delayed call calls, and when."""
    function = getattr(call, "func", call)
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"of {name} in {call.getTime() - now:g} s"
