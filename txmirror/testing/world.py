"""A ZooKeeper, its clients, mirrors and registries, and their time in memory, for one test."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from random import Random
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from txmirror.client import Limits, ZooKeeperClient
from txmirror.embedded import EmbeddedEnsemble, EmbeddedServer, Server
from txmirror.endpoints import close_sessions
from txmirror.mirror import Mirror
from txmirror.registry import ServiceRegistry
from txmirror.testing.origins import describe, find_open, note_origins
from txmirror.testing.reactor import MemoryReactor

#: The timeout for closing the objects of a world, in seconds, in addition to the longest ``close_time`` of its clients.
_CLOSE_TIME = 30.0
#: The address of all servers. A mirror or a registry of a world reaches them at an address of its own, which the test can cut off.
_HOST = "127.0.0.1"

_T = TypeVar("_T")
_Servers = str | Sequence[str | tuple[str, int]] | None
_WorldT = TypeVar("_WorldT", bound="World")


class World:
    """An in-memory ZooKeeper of one or several servers, on a reactor in memory, for one test.

    The program under test runs in it unchanged, if it takes its reactor, its client, its mirror or its registry as an argument.
    Nothing takes real time, and no sockets are opened::

        with World() as world:
            client = world.client()
            world.result(client.create("/a", b"1"))
            program = Program(world.connect_string, reactor=world.reactor)
            world.pass_time(10.0)

    :meth:`client`, :meth:`mirror` and :meth:`registry` return objects of the real classes. :meth:`close` closes them, and fails if
    the program has left anything else open.

    Faults are injected with :meth:`disconnect`, into ``world.server`` (see :class:`txmirror.embedded.EmbeddedServer`), and into
    ``world.reactor`` (see :class:`MemoryReactor`), whose ``links`` are the connections.

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
        self.reactor: MemoryReactor = MemoryReactor() if reactor is None else reactor
        self.servers: tuple[Server, ...]
        if servers == 1 and type(servers) is int:
            self.servers = (EmbeddedServer(self.reactor, **settings),)
        else:
            self.servers = EmbeddedEnsemble(self.reactor, servers, **settings).servers
        self.server: EmbeddedServer | Server = self.servers[0]
        for server in self.servers:
            server.listen()
        self.connect_string: str = ",".join(server.address for server in self.servers)
        """The addresses of all servers, for clients."""
        self._clients: list[ZooKeeperClient] = []
        self._mirrors: list[Mirror] = []
        self._registries: list[ServiceRegistry[bool]] = []
        #: The addresses of mirrors and registries.
        self._hosts: dict[object, str] = {}
        #: The addresses that are cut off.
        self._cut_off: set[str] = set()
        self._close_time = 0.0
        self._closed = False
        note_origins()

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

    def client(self, servers: _Servers = None, *, connect: bool = True, **options: Any) -> ZooKeeperClient:
        """Return a new client; :meth:`close` closes it.

        :param servers: the servers, as for :class:`txmirror.client.ZooKeeperClient`; None is all servers of this world.
        :param connect: whether to connect it first, so that it has a session.
        :param options: other arguments of the client. Without ``random``, it makes the same choices in every run.
        :raises AssertionError: it has no session at this instant, because of a fault for instance.
        :raises txmirror.errors.ZooKeeperException: the servers refuse it.
        """
        options.setdefault("random", Random(len(self._clients)))
        client = ZooKeeperClient(self.connect_string if servers is None else servers, reactor=self.reactor, **options)
        self._clients.append(client)
        self._note_limits(options)
        if connect:
            self._expect(client, client.connect(), "connect")
        return client

    def mirror(self, servers: _Servers = None, *, connect: bool = True, **options: Any) -> Mirror:
        """Return a new mirror; :meth:`close` closes it.

        :param servers: the servers, as for :class:`txmirror.mirror.Mirror`; None is all servers of this world, at addresses of the
            mirror's own, so that :meth:`disconnect` can cut it off.
        :param connect: whether to connect it first, so that it has a session.
        :param options: other arguments of the mirror. Without ``random``, it makes the same choices in every run.
        :raises AssertionError: it has no session at this instant, because of a fault for instance.
        """
        host, addresses = self._own_address(servers)
        options.setdefault("random", Random(len(self._mirrors)))
        mirror = Mirror(addresses, reactor=self.reactor, **options)
        self._hosts[mirror] = host
        self._mirrors.append(mirror)
        self._note_limits(options)
        if connect:
            self._expect(mirror, mirror.connect(), "connect")
        return mirror

    @overload
    def registry(
        self, servers: _Servers = None, *, start: bool = True, lazy: Literal[False] = False, **options: Any
    ) -> ServiceRegistry: ...

    @overload
    def registry(
        self, servers: _Servers = None, *, start: bool = True, lazy: bool, **options: Any
    ) -> ServiceRegistry[bool]: ...

    def registry(
        self, servers: _Servers = None, *, start: bool = True, lazy: bool = False, **options: Any
    ) -> ServiceRegistry[Any]:
        """Return a new service registry, like one of another process; :meth:`close` stops it.

        :param servers: the servers, as for :class:`txmirror.registry.ServiceRegistry`; None is all servers of this world, at
            addresses of the registry's own, so that :meth:`disconnect` can cut it off.
        :param start: whether to start it first, so that it has a session.
        :param lazy: as for :class:`txmirror.registry.ServiceRegistry`.
        :param options: other arguments of the registry.
        :raises AssertionError: it has no session at this instant, because of a fault for instance.
        """
        host, addresses = self._own_address(servers)
        options.setdefault("random", Random(len(self._registries)))
        registry = ServiceRegistry(addresses, lazy=lazy, reactor=self.reactor, **options)
        self._hosts[registry] = host
        self._registries.append(registry)
        self._note_limits(options)
        if start:
            self._expect(registry, registry.start(), "start")
        return registry

    def disconnect(self, target: Mirror | ServiceRegistry[bool] | None = None) -> None:
        """Let ZooKeeper be out of reach, until :meth:`reconnect`: connections break, and new ones get no answer.

        The servers go on, and sessions expire there after their timeout.

        :param target: a mirror or a registry of this world, made without ``servers``; None means all objects.
        :raises ValueError: it has no address of its own.
        """
        hosts = self._addresses(target)
        self._cut(hosts)
        for link in list(self.reactor.links):
            if link.server_address.host in hosts:
                link.cut()
        self.settle()

    def reconnect(self, target: Mirror | ServiceRegistry[bool] | None = None) -> None:
        """Let ZooKeeper be in reach again.

        Objects reconnect after the timeout of an attempt that has begun before, and a pause: a registry within 5 seconds, clients
        and mirrors within 10 seconds, unless their ``limits`` are others.

        :param target: as for :meth:`disconnect`.
        :raises ValueError: as for :meth:`disconnect`.
        """
        self._restore(self._addresses(target))
        self.settle()

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
        """Close all registries, mirrors, clients and servers of this world, and the shared sessions of its reactor, and check that
        nothing is left open. A second call does nothing.

        Stalled connections are resumed first, :meth:`disconnect` is undone, and servers that lag or have no quorum catch up. If
        an object needs time to close, time passes.

        :raises AssertionError: delayed calls, connections or ports are left. The message names them, and the clients, mirrors, trees,
            registries, registrations and recipes to which they belong, entries of queues that were taken, and calls that wait at queues
            and barriers, each with the file and line of the program that made it. Or an object of this world does not close in time.
        """
        if self._closed:
            return
        self._closed = True
        self._restore(list(self._cut_off))
        for link in self.reactor.links:
            link.resume()
        for server in self.servers:
            if not server.has_quorum:
                server.regain_quorum()
            if server.lagging:
                server.catch_up()
            for connection in server.connections:
                connection.resume()
        self._wait_for({"the shared sessions": close_sessions(self.reactor)})
        self._wait_for({registry: registry.stop() for registry in self._registries})
        self._wait_for({mirror: mirror.close() for mirror in self._mirrors})
        self._wait_for({client: client.close() for client in self._clients})
        stopped = gatherResults([server.stop() for server in self.servers])
        self.settle()
        assert stopped.called, "a server does not stop"
        self._check_nothing_left()

    def _wait_for(self, closing: dict[object, Deferred[None]]) -> None:
        """Let time pass until all objects are closed."""
        self.settle()
        latest = self.reactor.seconds() + self._close_time + _CLOSE_TIME
        while not all(closed.called for closed in closing.values()) and self.reactor.seconds() < latest:
            self.pass_time(1.0)
        open_still = [
            each if isinstance(each, str) else describe(each) for each, closed in closing.items() if not closed.called
        ]
        assert not open_still, f"not closed in time: {'; '.join(open_still)}"

    def _check_nothing_left(self) -> None:
        calls, links = self.reactor.getDelayedCalls(), self.reactor.links
        left = [
            *map(describe, find_open([*calls, *links], ignored=(World, MemoryReactor, Server))),
            *(f"a delayed call {_describe(call, self.reactor.seconds())}" for call in calls),
            *(f"a connection {link!r}" for link in links),
            *(f"a port {host or 'any'}:{port}" for host, port in self.reactor.listeners()),
        ]
        if left:
            raise AssertionError(f"left in the world: {'; '.join(left)}")

    # Objects of this world.

    def _expect(self, target: object, begun: Deferred[Any], option: str) -> None:
        """Check that an object has its session at this instant."""
        self.settle()
        if not begun.called:
            # It fails when the object is closed, and nothing else handles that.
            begun.addErrback(lambda _: None)
            raise AssertionError(f"no session at this instant: {target!r}; with {option}=False it need not have one")
        self.result(begun)

    def _note_limits(self, options: dict[str, Any]) -> None:
        self._close_time = max(self._close_time, (options.get("limits") or Limits()).close_time)

    def _own_address(self, servers: _Servers) -> tuple[str, str | Sequence[str | tuple[str, int]]]:
        """Return a host by which one object reaches the servers, and their addresses; an empty host if the caller has chosen the servers."""
        if servers is not None:
            return "", servers
        number = len(self._hosts)
        host = f"127.1.{number // 250}.{number % 250 + 1}"
        if _HOST in self._cut_off:
            self._cut([host])
        return host, ",".join(f"{host}:{_port(server)}" for server in self.servers)

    def _addresses(self, target: object) -> list[str]:
        if target is None:
            return [_HOST, *filter(None, self._hosts.values())]
        if not self._hosts.get(target):
            raise ValueError(f"{target!r} is no mirror or registry of this world that has an address of its own")
        return [self._hosts[target]]

    def _cut(self, hosts: Sequence[str]) -> None:
        self._cut_off.update(hosts)
        for host in hosts:
            for server in self.servers:
                self.reactor.black_hole(host, _port(server))

    def _restore(self, hosts: Sequence[str]) -> None:
        self._cut_off.difference_update(hosts)
        for host in hosts:
            for server in self.servers:
                self.reactor.undo_black_hole(host, _port(server))


def _port(server: Server) -> int:
    return int(server.address.rpartition(":")[2])


def _describe(call: IDelayedCall, now: float) -> str:
    """Return a description of a delayed call: its function and its time."""
    function = getattr(call, "func", call)
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"of {name} in {call.getTime() - now:g} s"
