"""The world in which the mirror's tests take place: a server, a mirror, and another client of the same server.

Nothing in it takes real time, and nothing is left of it at the end. The mirror connects to one address of the server
and the other client to another, so that a test can disconnect either of them.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txmirror import testing
from txmirror.client import Limits, ZooKeeperClient
from txmirror.embedded import Snapshot
from txmirror.errors import NoNodeException
from txmirror.mirror import Existence, Mirror, MirrorState, Node
from txmirror.test.client.peer import ClientTestCase, Peer
from txmirror.testing import Link, MemoryReactor
from txmirror.types import ZnodeStat

#: The session timeout of these tests, in seconds.
S = 6.0
PORT = 2181
#: The address by which the mirror reaches the server.
MIRROR_HOST = "10.0.0.1"
#: The address by which somebody else does.
OTHER_HOST = "10.0.0.2"
_ASKER_HOST = "10.0.0.3"

Value = tuple[bytes, ZnodeStat]


class World(testing.World):
    """A server, a mirror on a client of its own, and a plain client, all on one reactor in memory. Time begins at 1000
    s.

    Methods return when everything has happened that follows at this instant, if not documented otherwise.

    :param limits: the limits of the mirror's client.
    :param version: the version of the servers.
    :param size: the number of servers, over the same data, each at a port of its own; ``server`` is the first.
    :ivar mirror: the mirror of this world, which makes no others.
    :ivar mirror_client: the mirror's client.
    :ivar other: the other client.
    """

    mirror: Mirror  # type: ignore[assignment]

    def __init__(self, limits: Limits | None = None, version: str = "3.8", size: int = 1) -> None:
        reactor = MemoryReactor()
        reactor.advance(1000.0)
        super().__init__(reactor=reactor, servers=size, version=version, ttl_nodes=True)
        # ClickHouse Keeper cannot be asked on another connection whether it has ended a session.
        self._ends_sessions_surely = version != "keeper"
        self.ports = range(PORT, PORT + size)
        for server, port in zip(self.servers, self.ports, strict=True):
            self.result(server.stop_listening())
            server.listen(port, interface="")
        self.mirror_client = self.client(
            [(MIRROR_HOST, port) for port in self.ports],
            session_timeout=S,
            limits=limits,
            random=Random(1),
            connect=False,
        )
        self.mirror = Mirror(client=self.mirror_client, reactor=self.reactor)
        self.other = self.client([(OTHER_HOST, port) for port in self.ports], session_timeout=S, random=Random(2))
        self._asked = 0

    def step(self, count: int) -> None:
        """Let so many turns happen, at this instant, and no more."""
        self.reactor.take_turns(count)

    # What somebody else does.

    def make(self, path: str, data: bytes = b"", *, ephemeral: bool = False) -> None:
        """Create a node."""
        self.result(self.other.create(path, data, ephemeral=ephemeral))

    def change(self, path: str, data: bytes) -> ZnodeStat:
        """Set a node's data."""
        return self.result(self.other.set(path, data))

    def remove(self, path: str) -> None:
        """Delete a node."""
        self.result(self.other.delete(path))

    # What the network does to the mirror.

    @property
    def link(self) -> Link:
        """The mirror's connection."""
        return [link for link in self.reactor.links if link.server_address.host == MIRROR_HOST][-1]

    def leave(self) -> None:
        """Disconnect the mirror from the server. Its session lives on there, for its timeout."""
        self.part()
        self.link.cut()
        self.settle()
        assert not self.mirror.is_connected()

    def come_back(self) -> None:
        """Let the mirror reach the server again, and give it the time to do so: less than its session's timeout."""
        self.unpart()
        self.pass_time(2.5)
        assert self.mirror.is_connected()

    def part(self) -> None:
        """Let nobody answer the mirror any more. Its connection stands, and nothing happens yet."""
        for port in self.ports:
            self.reactor.black_hole(MIRROR_HOST, port)

    def unpart(self) -> None:
        """Let it be answered again."""
        for port in self.ports:
            self.reactor.undo_black_hole(MIRROR_HOST, port)

    def hear_only(self) -> None:
        """Deliver the server's data to the mirror from now on, and stall the mirror's."""
        self.link.stall(to_client=False, to_server=True)
        self.link.server.hold(False)
        self.settle()

    # What happens to the server.

    def expire(self) -> None:
        """End the mirror's session at the server."""
        self.server.expire_session(self.mirror_client.session_id)
        self.settle()

    def expire_away(self) -> None:
        """End the mirror's session while it is away, where it stays."""
        self.leave()
        self.expire()

    def stop_server(self) -> None:
        """Kill the server; it keeps its data."""
        self.server.stop_listening()
        self.settle()

    def start_server(self) -> None:
        """Start it again."""
        self.server.listen(PORT, interface="")
        self.settle()

    def wipe(self) -> None:
        """Wipe the server's data, and give all clients the time to notice."""
        self._go_far()
        self.server.wipe()
        self.pass_time(5 * S)

    def roll_back(self, snapshot: Snapshot) -> None:
        """Restore the server's data from a snapshot, and give all clients the time to notice."""
        self._go_far()
        self.server.roll_back(snapshot)
        self.pass_time(5 * S)

    def _go_far(self) -> None:
        """Let all clients see transactions that the next data does not have.

        The opening of a session is a transaction, too: if the new data caught up with the old zxid, no client could
        notice.
        """
        for _ in range(300):
            self.other.delete("/nothing").addErrback(lambda failure: failure.trap(NoNodeException))
        self.settle()
        self.result(self.mirror_client.sync())

    def requests(self) -> int:
        """Return the number of packets that the server has received, without those of this method."""
        asker = self.result(HostnameEndpoint(self.reactor, _ASKER_HOST, PORT).connect(_ASKERS))
        assert isinstance(asker, _Asker)
        self.settle()
        self._asked += 1
        (line,) = [line for line in asker.answer.decode().splitlines() if line.startswith("Received: ")]
        return int(line.removeprefix("Received: ")) - self._asked

    # The end.

    def heal(self) -> None:
        """Undo all faults."""
        for server, port in zip(self.servers, self.ports, strict=True):
            if not server.listening:
                server.listen(port, interface="")
            if server._replica.lagging:
                server.catch_up()
        self.reactor.piece = None
        self.unpart()
        for link in list(self.reactor.links):
            link.resume()
        self.settle()

    def close(self) -> None:
        """Close everything, and see that nothing is left of it, sessions neither."""
        self.heal()
        sessions = {self.mirror_client.session_id, self.other.session_id}
        closed: list[None] = []
        self.mirror.close().addCallback(closed.append)
        self.settle()
        assert closed, "the mirror does not close"
        for client in (self.mirror_client, self.other):
            client.close().addCallback(closed.append)
        self.pass_time(Limits().close_time)
        assert len(closed) == 3, "a client does not close"
        left = sessions & self.server.sessions
        # What a client never knew of, because the answer to its handshake was lost, only the server can end.
        self.pass_time(2 * S)
        strange = self.server.sessions
        super().close()
        assert not (left and self._ends_sessions_surely), f"sessions that were not closed: {left}"
        assert not strange, f"sessions that are left: {strange}"


class MirrorTestCase(SynchronousTestCase):
    """Tests in a :class:`World`, of which nothing may be left after each."""

    limits: Limits | None = None
    """The limits of the mirror's client."""
    version = "3.8"
    """The server's."""

    def setUp(self) -> None:
        self.log_lines = record_log(self)
        self.world = World(self.limits, self.version)
        self.addCleanup(self.world.close)
        self.mirror = self.world.mirror
        self.other = self.world.other
        self.settle = self.world.settle
        self.pass_time = self.world.pass_time
        self.done = self.world.result

    def live(self, path: str) -> Node:
        """Return a node of the mirror, known and up to date, with its children."""
        node = follow_children(self.mirror.get(path))
        self.settle()
        self.assertIsNot(node.state.existence, Existence.UNKNOWN)
        return node

    def assert_fails(self, deferred: Deferred[Any], *expected: type[Exception]) -> Exception:
        """Check that a Deferred has failed, and return the exception."""
        self.settle()
        error = self.failureResultOf(deferred, *expected).value
        assert isinstance(error, Exception)
        return error

    def assert_equal_to_server(self, *paths: str) -> None:
        """The mirror's nodes are the server's, in all that the mirror promises."""
        for path in paths:
            self.assertEqual(shown(self.live(path)), self.done(read(self.other, path)), path)

    def states(self) -> list[MirrorState]:
        """Return a list to which a state watcher adds the states from now on."""
        told: list[MirrorState] = []
        self.mirror.addStateWatcher(object(), told.append)
        return told


class ScriptedTestCase(ClientTestCase):
    """Tests of a mirror with a server that the test controls."""

    def make_mirror(self) -> tuple[Mirror, Peer]:
        """Make a mirror with a session, and answer its first requests."""
        client, peer = self.make_connected()
        mirror = Mirror(client=client, reactor=self.reactor)
        self.addCleanup(mirror.close)
        return mirror, peer


Shown = tuple[bytes, int, int, int, int, list[str]]


def shown(node: Node) -> Shown | None:
    """Return the content of a node, as far as the mirror claims to agree with the server; None if the node is absent."""
    state = node.state
    assert state.existence is not Existence.UNKNOWN, f"{node} is unknown"
    if state.existence is Existence.ABSENT:
        return None
    assert state.value is not None
    assert state.stat is not None
    assert state.children is not None, f"the children of {node} are unknown"
    return _promised(state.value, state.stat, list(state.children))


async def _read(client: ZooKeeperClient, path: str) -> Shown | None:
    try:
        data, stat = await client.get(path)
        return _promised(data, stat, await client.get_children(path))
    except NoNodeException:
        return None


def read(client: ZooKeeperClient, path: str) -> Deferred[Shown | None]:
    """Read the same data from the server that :func:`shown` has."""
    return Deferred.fromCoroutine(_read(client, path))


def _promised(data: bytes, stat: ZnodeStat, children: list[str]) -> Shown:
    return data, stat.czxid, stat.mzxid, stat.version, stat.ephemeralOwner, sorted(children)


def follow_children(node: Node) -> Node:
    """Ask for a node's children, which nobody reads unasked; they are followed from now on."""
    key = object()
    node.addChildWatcher(key, lambda names: None)
    node.delChildWatcher(key)
    return node


def watch_value(node: Node, key: object = "value") -> list[bytes | None]:
    """Return a list to which a value watcher adds the data from now on."""
    told: list[bytes | None] = []
    node.addValueWatcher(key, lambda value: told.append(None if value is None else value[0]))
    return told


def watch_children(node: Node, key: object = "children") -> list[list[str] | None]:
    """Return a list to which a child watcher adds the children from now on."""
    told: list[list[str] | None] = []
    node.addChildWatcher(key, told.append)
    return told


def record_log(case: SynchronousTestCase) -> Callable[[], list[str]]:
    """Return a function that returns all lines logged since this call."""
    events: list[LogEvent] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        events.append(event)

    globalLogPublisher.addObserver(observe)
    case.addCleanup(globalLogPublisher.removeObserver, observe)
    return lambda: [formatEvent(event) for event in events]


def ignore(deferred: Deferred[Any]) -> None:
    """Let a Deferred fail without a word: the test is about something else."""
    deferred.addErrback(lambda _: None)


class _Asker(Protocol):
    """Asks a server for its figures."""

    answer = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"srvr")

    def dataReceived(self, data: bytes) -> None:
        self.answer += data


_ASKERS = Factory.forProtocol(_Asker)
_ASKERS.noisy = False
