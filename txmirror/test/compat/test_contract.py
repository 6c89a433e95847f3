"""The client's contract over txzookeeper. Tests of weaker guarantees than the native client's override those of the
same name.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from txmirror.compat import TxZooKeeperClient
from txmirror.errors import (
    BadArgumentsException,
    ConnectionLossException,
    NoNodeException,
    SessionExpiredException,
    UnimplementedException,
)
from txmirror.interfaces import IPersistentWatches, IWatchFeed, IZooKeeperClient
from txmirror.test.client.contract import (
    AbsenceContract,
    ClientContract,
    ContractServer,
    ReconnectionContract,
    run,
)
from txmirror.test.client.test_contract_embedded import Embedded
from txmirror.test.compat.available import install_or_skip
from txmirror.test.integration.test_client_contract import Shared
from txmirror.test.zookeeper import shared_server
from txmirror.types import OPEN_ACL, EventType, SessionEvent, SessionState, WatchedEvent, WatchKind
from txmirror.wire import CreateFlag


class PlainClients:
    """Adapters over txzookeeper's plain client."""

    def make_client(self, servers: str, session_timeout: float) -> TxZooKeeperClient:
        from txzookeeper.client import ZookeeperClient

        return TxZooKeeperClient(ZookeeperClient(servers, round(session_timeout * 1000)))


class ManagedClients:
    """Adapters over txzookeeper's managed client."""

    asks_again = True

    def make_client(self, servers: str, session_timeout: float) -> TxZooKeeperClient:
        from txzookeeper.managed import ManagedClient

        return TxZooKeeperClient(ManagedClient(servers, round(session_timeout * 1000)))


class WeakerClientContract(ClientContract):
    """The contract while there is a connection."""

    def test_interfaces(self) -> None:
        """The adapter is a client with a feed, but without persistent watches."""
        verifyObject(IZooKeeperClient, self.client)
        verifyObject(IWatchFeed, self.client)
        self.assertFalse(IPersistentWatches.providedBy(self.client))

    @run
    async def test_zxids(self) -> None:
        """Weaker: replies are as of the latest transaction that any stat has shown; one that has none is as of that."""
        path = f"{self.root}/a"
        created = await self.client.write_create(path, b"x", OPEN_ACL, CreateFlag.PERSISTENT)
        self.assertEqual((created.path, created.stat.version, created.zxid), (path, 0, created.stat.czxid))
        written = await self.client.write_data(path, b"y", 0)
        self.assertEqual(written.zxid, written.stat.mzxid)
        data = await self.client.read_data(path)
        self.assertEqual((data.data, data.stat, data.zxid), (b"y", written.stat, written.zxid))
        children = await self.client.read_children(self.root)
        self.assertEqual((children.children, children.stat.numChildren), (["a"], 1))
        self.assertEqual((await self.client.read_existence(path)).stat, written.stat)
        self.assertEqual(await self.client.write_delete(path, 1), written.zxid)
        self.assertEqual(await self.client.read_existence(path), (written.zxid, None))

    @run
    async def test_data_watch(self) -> None:
        """Weaker: the feed has the events of its own watches only."""
        path = f"{self.root}/a"
        await self.client.create(path)
        answer, watch = self.client.get_and_watch(path)
        await answer
        await self.client.set(path, b"1")
        event = await self.within(watch)
        self.assertEqual((event.type, event.path), (EventType.CHANGED, path))
        self.assertEqual(self.feed.events, [])
        await self.client.read_data(path)
        await self.client.read_data(path)
        await self.client.set(path, b"2")
        await self.client.set(path, b"3")
        self.assertEqual(self.feed.events, [WatchedEvent(EventType.CHANGED, path)])

    @run
    async def test_child_watch(self) -> None:
        """Weaker: the feed has the events of its own watches only."""
        path = f"{self.root}/p"
        await self.client.create(path)
        answer, watch = self.client.get_children_and_watch(path)
        self.assertEqual(await answer, [])
        await self.client.set(path, b"x")
        await self.client.create(f"{path}/a")
        event = await self.within(watch)
        self.assertEqual((event.type, event.path), (EventType.CHILD, path))
        self.assertEqual(self.feed.events, [])
        await self.client.read_children(path)
        await self.client.set(f"{path}/a", b"x")
        await self.client.delete(f"{path}/a")
        self.assertEqual(self.feed.events, [WatchedEvent(EventType.CHILD, path)])

    @run
    async def test_set_watches_on_what_changed(self) -> None:
        """Weaker: watches cannot be set as they stood."""
        for group in ("data", "exist", "children"):
            await self.fails(UnimplementedException, self.client.set_watches(1, **{group: [self.root]}))
        self.assertEqual(self.feed.events, [])

    test_set_watches_on_what_did_not = test_set_watches_on_what_changed
    test_set_watches_on_missing_nodes = test_set_watches_on_what_changed
    test_set_many_watches = test_set_watches_on_what_changed

    @run
    async def test_remove_watches(self) -> None:
        """Weaker: watches cannot be removed, and are left where nobody needs them."""
        path = f"{self.root}/a"
        await self.client.create(path)
        await self.client.read_data(path)
        await self.fails(UnimplementedException, self.client.remove_watches(path, WatchKind.ANY))
        await self.within(self.client.release(path))
        await self.client.set(path, b"x")
        self.assertEqual(self.feed.events, [WatchedEvent(EventType.CHANGED, path)])

    test_remove_watches_of_any_kind = test_remove_watches
    test_remove_no_watches = test_remove_watches

    @run
    async def test_protect(self) -> None:
        """Weaker: no GUID is put into names, and nothing is made without one that was asked for."""
        path = f"{self.root}/a"
        error = await self.fails(UnimplementedException, self.client.create(path, protect=True))
        self.assertEqual((error.path, error.applied), (path, False))
        self.assertIsNone(await self.client.exists(path))

    @run
    async def test_chroot(self) -> None:
        """Weaker: the feed has the events of its own watches only. All paths are relative to the chroot, those of
        events too.
        """
        client, feed = await self.connect(self.root)
        self.assertEqual(await client.create("/a", b"x"), "/a")
        self.assertEqual(await client.get_children("/"), ["a"])
        self.assertRegex(await client.create("/a/", sequence=True), r"\A/a/\d{10}\Z")
        self.assertEqual(await client.sync("/a"), "/a")
        answer, watch = client.get_and_watch("/a")
        await answer
        await client.read_children("/")
        await self.client.set(f"{self.root}/a", b"y")
        await self.client.create(f"{self.root}/b")
        event = await self.within(watch)
        await client.sync("/")
        self.assertEqual(feed.events, [WatchedEvent(EventType.CHILD, "/")])
        self.assertEqual((event.type, event.path), (EventType.CHANGED, "/a"))
        self.assertEqual((await self.fails(NoNodeException, client.get("/no"))).path, "/no")

    @run
    async def test_chroot_of_a_client(self) -> None:
        """A client can be had once more from further down; it is in the same session."""
        outer = self.client
        below = outer.chroot(self.root).chroot("/a")
        self.assertEqual(
            (below.connect_string, below.session_id), (f"{outer.connect_string}{self.root}/a", outer.session_id)
        )
        self.assertEqual(outer.chroot("/").connect_string, outer.connect_string)
        await outer.create(f"{self.root}/a")
        answer, watch = below.get_children_and_watch("/")
        await answer
        self.assertRegex(await below.create("/", b"x", sequence=True, ephemeral=True), r"\A/\d{10}\Z")
        event = await self.within(watch)
        self.assertEqual((event.type, event.path), (EventType.CHILD, "/"))
        self.assertEqual((await self.fails(NoNodeException, below.get("/no"))).path, "/no")

    @run
    async def test_longest_request(self) -> None:
        """Weaker: a request over the server's limit is refused as one of bad arguments."""
        path = f"{self.root}/a"
        await self.client.create(path)
        room = 0xFFFFF - (8 + 4 + len(path) + 4 + 4)
        self.assertEqual((await self.within(self.client.set(path, bytes(room)))).dataLength, room)
        error = await self.fails(BadArgumentsException, self.client.set(path, bytes(room + 1)))
        self.assertEqual((error.path, error.applied), (path, False))
        self.assertEqual(len((await self.within(self.client.get(path)))[0]), room)
        self.assertEqual(self.feed.states, [SessionState.CONNECTED])


class WeakerReconnectionContract(ReconnectionContract):
    """The contract when the connection is lost."""

    @run
    async def test_close_without_a_connection(self) -> None:
        """Weaker: a client that has lost its connection leaves its session to its timeout."""
        # On a busy machine the session must not expire before the test looks.
        self.session_timeout = 10.0
        other, feed = await self.connect()
        session = other.session_id & 0xFFFFFFFFFFFFFFFF
        closing: list[Deferred[None]] = []

        async def close() -> None:
            closing.append(other.close())

        lost = feed.when_state(SessionState.SUSPENDED)
        closed = feed.when_state(SessionState.CLOSED)
        await self.interrupt(close)
        await self.within(gatherResults([lost, closed, *closing]))
        self.assertIn(session, await self.server.sessions())
        self._sessions.remove(session)


class WeakerAbsenceContract(AbsenceContract):
    """The contract for changes during a disconnection."""

    #: Whether the client does again what failed with the connection.
    asks_again = False

    @run
    async def test_ended_session(self) -> None:
        """Weaker: a request without a connection fails, perhaps without a reason; a managed client sends it again."""
        await self.client.create(f"{self.root}/e", ephemeral=True)
        answer, watch = self.client.get_and_watch(self.root)
        await answer
        session = self.client.session_id
        queued: list[Deferred[Any]] = []

        def ask(step: SessionEvent | WatchedEvent) -> None:
            if isinstance(step, SessionEvent) and step.state is SessionState.SUSPENDED:
                queued.append(self.client.create(f"{self.root}/later"))
                queued[0].addErrback(lambda failure: failure.value)

        self.client.add_listener(ask)
        ended, renewed = self.feed.when_state(SessionState.EXPIRED), self.feed.when_session_number(2)
        await self.server.expire(session)
        await self.within(gatherResults([ended, renewed]), 10)
        await self.fails(SessionExpiredException, watch)
        result = await self.within(queued[0])
        self.assertNotEqual(self.client.session_id, session)
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (2, 0))
        there = set(await self.client.get_children(self.root))
        if self.asks_again:
            # Ephemerals, too, are made again by the managed client.
            self.assertEqual((result, there), (f"{self.root}/later", {"e", "later"}))
        else:
            self.assertIsInstance(result, (SessionExpiredException, ConnectionLossException))
            self.assertEqual(there, set())

    @run
    async def test_watches_brought_over(self) -> None:
        """Weaker: a new session takes no watches over."""
        renewed = self.feed.when_session_number(2)
        await self.server.expire(self.client.session_id)
        await self.within(renewed, 10)
        await self.fails(UnimplementedException, self.client.set_watches(1, data=[self.root]))
        await self.within(self.client.set_watches(1))


class EmbeddedServerTests(
    PlainClients, WeakerClientContract, WeakerReconnectionContract, WeakerAbsenceContract, TestCase
):
    """The whole contract, on the embedded server."""

    async def start_server(self) -> ContractServer:
        install_or_skip()
        server = Embedded(self.reactor)
        self.addCleanup(server.stop)
        return server


class ManagedEmbeddedServerTests(ManagedClients, WeakerReconnectionContract, WeakerAbsenceContract, TestCase):
    """The managed client, on loss of the connection."""

    start_server = EmbeddedServerTests.start_server


class ZooKeeperTests(PlainClients, WeakerClientContract, WeakerReconnectionContract, WeakerAbsenceContract, TestCase):
    """The whole contract, on a real server."""

    async def start_server(self) -> ContractServer:
        install_or_skip()
        server = Shared(self.reactor, await deferToThread(shared_server))
        self.addCleanup(server.stop)
        return server
