"""The contract of every client on every server: one suite, run by each pair of them.

It knows a client by its interfaces alone. It runs on a real reactor, over loopback, with session timeouts of a second
or two; each test works below a node of its own, and in the end no session of its may be left at the server.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from txmirror.errors import (
    BadVersionException,
    ClosingException,
    ConnectionLossException,
    InvalidACLException,
    NoAuthException,
    NoChildrenForEphemeralsException,
    NoChrootException,
    NodeExistsException,
    NoNodeException,
    NotEmptyException,
    NoWatcherException,
    RequestTooLargeException,
    SessionExpiredException,
    ZooKeeperException,
)
from txmirror.interfaces import IWatchFeed, IZooKeeperClient
from txmirror.types import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL,
    READ_ACL,
    EventType,
    Permission,
    SessionEvent,
    SessionState,
    WatchedEvent,
    WatchKind,
    ZnodeStat,
)
from txmirror.wire import CreateFlag

_T = TypeVar("_T")
Test = Callable[[Any], Coroutine[Any, Any, None]]

#: How long a test may wait for one thing.
PATIENCE = 5.0


async def _awaited(awaitable: Awaitable[_T]) -> _T:
    return await awaitable


class Recorder:
    """Records the events of a feed, and lets a test wait for one."""

    def __init__(self) -> None:
        self.told: list[SessionEvent | WatchedEvent] = []
        self._waiting: list[tuple[Callable[[SessionEvent | WatchedEvent], bool], Deferred[None]]] = []

    def __call__(self, step: SessionEvent | WatchedEvent) -> None:
        self.told.append(step)
        for waiting in list(self._waiting):
            if waiting[0](step):
                self._waiting.remove(waiting)
                waiting[1].callback(None)

    def when(self, wanted: Callable[[SessionEvent | WatchedEvent], bool]) -> Deferred[None]:
        """Return a Deferred that fires at the next event for which ``wanted`` returns true."""
        told: Deferred[None] = Deferred()
        self._waiting.append((wanted, told))
        return told

    def when_state(self, state: SessionState) -> Deferred[None]:
        """Return a Deferred that fires at the next session event with a state."""
        return self.when(lambda step: isinstance(step, SessionEvent) and step.state is state)

    def when_session_number(self, session_number: int) -> Deferred[None]:
        """Return a Deferred that fires when the session with a number, counted from 1, is established."""
        return self.when(
            lambda step: (
                isinstance(step, SessionEvent)
                and step.state is SessionState.CONNECTED
                and step.session_number == session_number
            )
        )

    @property
    def states(self) -> list[SessionState]:
        return [step.state for step in self.told if isinstance(step, SessionEvent)]

    @property
    def events(self) -> list[WatchedEvent]:
        """The watch events, without the zxid that only some servers send."""
        return [WatchedEvent(step.type, step.path) for step in self.told if isinstance(step, WatchedEvent)]


def run(test: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], Deferred[None]]:
    """Let trial run a coroutine."""

    def running(self: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(test(self))

    running.__name__ = test.__name__
    running.__qualname__ = test.__qualname__
    running.__doc__ = test.__doc__
    return running


def if_asked_for(version: str) -> Callable[[type[_T]], type[_T]]:
    """Skip a case that tries the contract over loopback on this imitation, if the environment asks for another."""
    asked = os.environ.get("TXMIRROR_CONTRACT", "all")

    def mark(case: type[_T]) -> type[_T]:
        if asked not in ("all", version):
            case.skip = f"TXMIRROR_CONTRACT asks for {asked}"  # type: ignore[attr-defined]
        return case

    return mark


def where_sessions_resume(test: Test) -> Test:
    """Skip a test where the side declares that its server resumes no session (:attr:`ContractCase.resumes_sessions`)."""

    async def testing(self: Any) -> None:
        if not self.resumes_sessions:
            raise SkipTest("this server never resumes a session")
        await test(self)

    return wraps(test)(testing)


if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class ContractServer(Protocol):
    """The server's side of the contract."""

    @property
    def address(self) -> str:
        """The address for clients, as ``host:port``; a test can break the connection to it."""

    @property
    def direct_address(self) -> str:
        """A way to it that :meth:`disconnect` does not break, where there is one."""

    def sessions(self) -> Awaitable[set[int]]:
        """The ids of the sessions that are alive, as unsigned numbers."""

    def disconnect(self) -> Awaitable[None]:
        """Break every connection, and let nobody connect."""

    def reconnect(self) -> Awaitable[None]:
        """Let clients connect again."""

    def expire(self, session_id: int) -> Awaitable[None]:
        """Let a session end behind the back of a client that came by :attr:`address`."""


class ContractCase(_Base):
    """The base of the parts of the suite. A subclass is a ``TestCase`` too, and chooses the client and the server."""

    timeout = 30
    #: The session timeout that is asked for, in seconds.
    session_timeout = 2.0
    # Declared deviations of the server.
    #: Whether a session outlives its connection. ClickHouse Keeper opens another, and the old one ends in its time.
    resumes_sessions = True
    #: How ``set_watches`` reports a list of children that has changed.
    children_changed = EventType.CHILD

    def start_server(self) -> Awaitable[ContractServer]:
        """Return the server for one test; the subclass stops it."""
        raise NotImplementedError

    def make_client(self, servers: str, session_timeout: float) -> Any:
        """Make a client that is not connected yet."""
        raise NotImplementedError

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self._clients: list[Any] = []
        self._sessions: set[int] = set()
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        self.server = await self.start_server()
        # Trial runs cleanups before tearDown, and the server's own is one of them.
        self.addCleanup(lambda: Deferred.fromCoroutine(self._clean_up()))
        self.root = f"/{self.id().rsplit('.', 1)[-1]}"
        self.client, self.feed = await self.connect()
        await self.remove_tree(self.root)
        await self.client.create(self.root)

    async def _clean_up(self) -> None:
        try:
            await self.within(self.remove_tree(self.root))
        finally:
            await gatherResults([client.close() for client in self._clients])
        self.assertEqual(await self._left(), set(), "sessions are left at the server")

    async def _left(self) -> set[str]:
        """Return the sessions that are left. A follower may reply before the leader, which is asked, has applied the end of a
        session. One that is left for good lives longer than this second.
        """
        left: set[int] = set()
        for _ in range(10):
            left = await self.server.sessions() & self._sessions
            if not left:
                break
            await deferLater(self.reactor, 0.1)
        return {f"{session:#x}" for session in left}

    def client_of(self, address: str, chroot: str = "", session_timeout: float | None = None) -> Any:
        """Make a client that is closed in the end."""
        client = self.make_client(address + chroot, session_timeout or self.session_timeout)
        self._clients.append(client)
        self.note_sessions(client)
        return client

    def note_sessions(self, client: Any) -> None:
        """Check at the end that the sessions of a client are gone; if the server does not resume sessions, check only the latest."""
        former: list[int] = []

        def note(step: object) -> None:
            session = client.session_id & 0xFFFFFFFFFFFFFFFF
            if session and session not in former:
                self._sessions.add(session)
                if former and not self.resumes_sessions:
                    # It is left to its timeout.
                    self._sessions.discard(former[-1])
                former.append(session)

        client.add_listener(note)

    async def connect(self, chroot: str = "", *, direct: bool = False) -> tuple[Any, Recorder]:
        """Make a client with a session, and record its feed.

        :param direct: it goes on where other clients are disconnected.
        """
        client = self.client_of(self.server.direct_address if direct else self.server.address, chroot)
        feed = Recorder()
        client.add_listener(feed)
        await self.within(client.connect())
        return client, feed

    async def remove_tree(self, path: str) -> None:
        """Remove a node with all below it, if it is there."""
        try:
            for name in await self.client.get_children(path):
                await self.remove_tree(f"{path}/{name}")
            await self.client.delete(path)
        except NoNodeException:
            pass

    async def within(self, awaitable: Awaitable[_T], seconds: float = PATIENCE) -> _T:
        """Wait for something, but not for ever."""
        waiting: Deferred[_T] = Deferred.fromCoroutine(_awaited(awaitable))
        waiting.addTimeout(seconds, self.reactor)
        return await waiting

    async def pause(self, seconds: float) -> None:
        """Let real time go by: where something must *not* happen."""
        await deferLater(self.reactor, seconds)

    async def fails(self, exception: type[ZooKeeperException], awaitable: Awaitable[Any]) -> Any:
        """Wait for a failure, and return its exception."""
        try:
            result = await self.within(awaitable)
        except exception as error:
            return error
        raise self.failureException(f"{exception.__name__} expected, not {result!r}")

    async def interrupt(self, meanwhile: Callable[[], Awaitable[Any]] | None = None) -> None:
        """Break the client's connection, do something, let it connect again, and wait until it has."""
        suspended = self.feed.when_state(SessionState.SUSPENDED)
        await self.server.disconnect()
        await self.within(suspended)
        if meanwhile is not None:
            await self.within(meanwhile())
        connected = self.feed.when_state(SessionState.CONNECTED)
        await self.server.reconnect()
        await self.within(connected, 10)


class ClientContract(ContractCase):
    """The methods of a client with a connection."""

    # Connecting.

    def test_interfaces(self) -> None:
        """The client provides both interfaces."""
        self.assertTrue(IZooKeeperClient.providedBy(self.client))
        self.assertTrue(IWatchFeed.providedBy(self.client))

    @run
    async def test_session(self) -> None:
        """A connected client has a session, which the server knows, with the timeout that was asked for."""
        self.assertEqual(self.client.session_timeout, self.session_timeout)
        self.assertIn(self.client.session_id & 0xFFFFFFFFFFFFFFFF, await self.server.sessions())
        self.assertEqual(self.feed.states, [SessionState.CONNECTED])
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (1, 0))

    @run
    async def test_timeout_is_negotiated(self) -> None:
        """A server that grants other timeouts than the one asked for is heeded."""
        client = self.client_of(self.server.address, session_timeout=1000.0)
        self.assertEqual(client.session_timeout, 1000.0)
        await self.within(client.connect())
        self.assertEqual(client.session_timeout, 10.0)

    @run
    async def test_two_clients(self) -> None:
        """Two clients have two sessions, and see each other's writes."""
        other, _ = await self.connect()
        self.assertNotEqual(other.session_id, self.client.session_id)
        await self.client.create(f"{self.root}/a", b"mine")
        await other.sync(self.root)
        self.assertEqual((await other.get(f"{self.root}/a"))[0], b"mine")

    @run
    async def test_idle_for_longer_than_the_timeout(self) -> None:
        """An idle client keeps its session by itself."""
        await self.pause(self.session_timeout * 1.75)
        self.assertEqual(self.feed.states, [SessionState.CONNECTED])
        await self.client.exists(self.root)

    # Create.

    @run
    async def test_create(self) -> None:
        """``create`` returns the path, and the node has the data."""
        path = f"{self.root}/a"
        self.assertEqual(await self.client.create(path, b"data"), path)
        data, stat = await self.client.get(path)
        self.assertEqual(data, b"data")
        self.assertEqual((stat.version, stat.cversion, stat.aversion, stat.ephemeralOwner), (0, 0, 0, 0))
        self.assertEqual((stat.dataLength, stat.numChildren), (4, 0))
        self.assertEqual((stat.czxid, stat.czxid, stat.ctime), (stat.mzxid, stat.pzxid, stat.mtime))
        self.assertGreater(stat.czxid, 0)

    @run
    async def test_create_without_data(self) -> None:
        """A node that is created without data has none."""
        await self.client.create(f"{self.root}/a")
        self.assertEqual((await self.client.get(f"{self.root}/a"))[0], b"")

    @run
    async def test_create_again(self) -> None:
        """A node that exists cannot be created."""
        await self.client.create(f"{self.root}/a", b"first")
        error = await self.fails(NodeExistsException, self.client.create(f"{self.root}/a", b"second"))
        self.assertEqual((error.path, error.applied), (f"{self.root}/a", False))
        self.assertEqual((await self.client.get(f"{self.root}/a"))[0], b"first")

    @run
    async def test_create_without_parent(self) -> None:
        """A node needs its parent."""
        error = await self.fails(NoNodeException, self.client.create(f"{self.root}/no/a"))
        self.assertEqual((error.path, error.applied), (f"{self.root}/no/a", False))

    @run
    async def test_ephemeral(self) -> None:
        """An ephemeral node is its session's."""
        await self.client.create(f"{self.root}/e", ephemeral=True)
        stat = await self.client.exists(f"{self.root}/e")
        self.assertEqual(stat.ephemeralOwner, self.client.session_id)

    @run
    async def test_ephemeral_goes_with_close(self) -> None:
        """An ephemeral node is gone at once when its client was closed."""
        other, _ = await self.connect()
        await other.create(f"{self.root}/e", ephemeral=True)
        await self.client.sync()
        answer, gone = self.client.exists_and_watch(f"{self.root}/e")
        self.assertIsNotNone(await answer)
        await self.within(other.close())
        event = await self.within(gone, 0.5)
        self.assertEqual((event.type, event.path), (EventType.DELETED, f"{self.root}/e"))
        self.assertIsNone(await self.client.exists(f"{self.root}/e"))

    @run
    async def test_child_of_an_ephemeral(self) -> None:
        """An ephemeral node can have no children."""
        await self.client.create(f"{self.root}/e", ephemeral=True)
        await self.fails(NoChildrenForEphemeralsException, self.client.create(f"{self.root}/e/a"))

    @run
    async def test_sequence(self) -> None:
        """A sequence node's name gets ten digits, counted up per parent, that are never used twice."""
        paths = [await self.client.create(f"{self.root}/s-", sequence=True) for _ in range(2)]
        await self.client.delete(paths[1])
        paths.append(await self.client.create(f"{self.root}/s-", sequence=True, ephemeral=True))
        numbers = []
        for path in paths:
            self.assertTrue(path.startswith(f"{self.root}/s-"), path)
            self.assertRegex(path[len(self.root) + 3 :], r"\A\d{10}\Z")
            numbers.append(int(path[-10:]))
        self.assertEqual(sorted(set(numbers)), numbers)
        stat = await self.client.exists(paths[2])
        self.assertEqual(stat.ephemeralOwner, self.client.session_id)

    @run
    async def test_sequence_without_a_name(self) -> None:
        """A sequence node's name may be nothing but its number."""
        path = await self.client.create(f"{self.root}/", sequence=True)
        self.assertRegex(path[len(self.root) :], r"\A/\d{10}\Z")

    @run
    async def test_names_in_any_language(self) -> None:
        """A name may have letters of any language."""
        await self.client.create(f"{self.root}/größe-数", b"x")
        self.assertEqual(await self.client.get_children(self.root), ["größe-数"])

    @run
    async def test_data_of_any_bytes(self) -> None:
        """Data are bytes, any."""
        data = bytes(range(256)) * 4
        await self.client.create(f"{self.root}/a", data)
        self.assertEqual((await self.client.get(f"{self.root}/a"))[0], data)

    # Reads.

    @run
    async def test_get_missing(self) -> None:
        """A missing node has no data, children or ACL."""
        path = f"{self.root}/no"
        for answer in (self.client.get(path), self.client.get_children(path), self.client.get_acl(path)):
            self.assertEqual((await self.fails(NoNodeException, answer)).path, path)

    @run
    async def test_exists(self) -> None:
        """``exists`` returns the same stat as ``get``, and None for a missing node."""
        await self.client.create(f"{self.root}/a")
        stat = await self.client.exists(f"{self.root}/a")
        self.assertIsInstance(stat, ZnodeStat)
        self.assertEqual(stat, (await self.client.get(f"{self.root}/a"))[1])
        self.assertIsNone(await self.client.exists(f"{self.root}/no"))

    @run
    async def test_get_children(self) -> None:
        """``get_children`` returns only the names of the children."""
        for name in ("b", "a", "a/x"):
            await self.client.create(f"{self.root}/{name}")
        self.assertEqual(sorted(await self.client.get_children(self.root)), ["a", "b"])
        self.assertEqual(await self.client.get_children(f"{self.root}/b"), [])

    @run
    async def test_root(self) -> None:
        """The root is a node like others."""
        self.assertIn("zookeeper", await self.client.get_children("/"))
        self.assertIsNotNone(await self.client.exists("/"))

    @run
    async def test_sync(self) -> None:
        """``sync`` returns the path, also of a missing node (D6)."""
        for path in ("/", self.root, f"{self.root}/no"):
            self.assertEqual(await self.client.sync(path), path)

    @run
    async def test_pipelined(self) -> None:
        """Requests take effect in the order of the calls, without waiting for one another's answer."""
        answers = [self.client.create(f"{self.root}/a", b"0")]
        answers += [self.client.set(f"{self.root}/a", b"%d" % number, number) for number in range(50)]
        answers += [self.client.get(f"{self.root}/a"), self.client.delete(f"{self.root}/a", 50)]
        results = await self.within(gatherResults(answers))
        self.assertEqual([stat.version for stat in results[1:51]], list(range(1, 51)))
        self.assertEqual(results[51][0], b"49")

    # Writes.

    @run
    async def test_set(self) -> None:
        """``set`` replaces the data, increments the version, and returns the new stat."""
        await self.client.create(f"{self.root}/a", b"old")
        before = await self.client.exists(f"{self.root}/a")
        stat = await self.client.set(f"{self.root}/a", b"newer")
        self.assertEqual(await self.client.get(f"{self.root}/a"), (b"newer", stat))
        self.assertEqual((stat.version, stat.dataLength), (1, 5))
        self.assertEqual((stat.czxid, stat.pzxid), (before.czxid, before.pzxid))
        self.assertGreater(stat.mzxid, before.mzxid)

    @run
    async def test_set_version(self) -> None:
        """``set`` with a version takes that one alone."""
        await self.client.create(f"{self.root}/a", b"old")
        error = await self.fails(BadVersionException, self.client.set(f"{self.root}/a", b"new", 1))
        self.assertEqual((error.path, error.applied), (f"{self.root}/a", False))
        self.assertEqual((await self.client.set(f"{self.root}/a", b"new", 0)).version, 1)

    @run
    async def test_set_missing(self) -> None:
        """A missing node's data cannot be set."""
        await self.fails(NoNodeException, self.client.set(f"{self.root}/no", b""))

    @run
    async def test_delete(self) -> None:
        """A deleted node is gone."""
        await self.client.create(f"{self.root}/a")
        self.assertIsNone(await self.client.delete(f"{self.root}/a"))
        self.assertIsNone(await self.client.exists(f"{self.root}/a"))

    @run
    async def test_delete_version(self) -> None:
        """``delete`` with a version takes that one alone."""
        await self.client.create(f"{self.root}/a")
        error = await self.fails(BadVersionException, self.client.delete(f"{self.root}/a", 3))
        self.assertIs(error.applied, False)
        await self.client.delete(f"{self.root}/a", 0)

    @run
    async def test_delete_missing(self) -> None:
        """A missing node cannot be deleted."""
        await self.fails(NoNodeException, self.client.delete(f"{self.root}/no"))

    @run
    async def test_delete_with_children(self) -> None:
        """A node with children cannot be deleted."""
        await self.client.create(f"{self.root}/a")
        await self.client.create(f"{self.root}/a/b")
        await self.fails(NotEmptyException, self.client.delete(f"{self.root}/a"))

    @run
    async def test_stats_of_a_parent(self) -> None:
        """A parent's stat counts its children, and every change of their list, but not of their data."""
        await self.client.create(f"{self.root}/p")
        await self.client.create(f"{self.root}/p/a")
        await self.client.create(f"{self.root}/p/b")
        await self.client.delete(f"{self.root}/p/a")
        stat = await self.client.exists(f"{self.root}/p")
        self.assertEqual((stat.numChildren, stat.version, stat.cversion), (1, 0, 3))
        self.assertGreater(stat.pzxid, stat.mzxid)
        await self.client.set(f"{self.root}/p/b", b"x")
        self.assertEqual(await self.client.exists(f"{self.root}/p"), stat)

    @run
    async def test_created_anew(self) -> None:
        """A node that is created anew begins with version 0, and has another czxid."""
        await self.client.create(f"{self.root}/a")
        before = await self.client.set(f"{self.root}/a", b"x")
        await self.client.delete(f"{self.root}/a")
        await self.client.create(f"{self.root}/a", b"x")
        after = await self.client.exists(f"{self.root}/a")
        self.assertEqual(after.version, 0)
        self.assertGreater(after.czxid, before.mzxid)

    # The feed's own operations.

    @run
    async def test_zxids(self) -> None:
        """Replies on the feed carry the server's last transaction: a write's own, or a later one."""
        path = f"{self.root}/a"
        created = await self.client.write_create(path, b"x", OPEN_ACL, CreateFlag.PERSISTENT)
        self.assertEqual((created.path, created.stat.version), (path, 0))
        self.assertGreaterEqual(created.zxid, created.stat.czxid)
        written = await self.client.write_data(path, b"y", 0)
        self.assertGreaterEqual(written.zxid, written.stat.mzxid)
        self.assertGreater(written.stat.mzxid, created.stat.czxid)
        data = await self.client.read_data(path)
        self.assertEqual((data.data, data.stat), (b"y", written.stat))
        self.assertGreaterEqual(data.zxid, written.zxid)
        children = await self.client.read_children(self.root)
        self.assertEqual(children.children, ["a"])
        existence = await self.client.read_existence(path)
        self.assertEqual(existence.stat, written.stat)
        deleted = await self.client.write_delete(path, 1)
        self.assertGreater(deleted, written.stat.mzxid)
        missing = await self.client.read_existence(path)
        self.assertIsNone(missing.stat)
        self.assertGreaterEqual(missing.zxid, deleted)
        error = await self.fails(NoNodeException, self.client.read_data(path))
        self.assertGreaterEqual(error.zxid, deleted)

    @run
    async def test_write_create_flags(self) -> None:
        """The feed's ``write_create`` makes ephemeral and sequence nodes."""
        flags = CreateFlag.EPHEMERAL | CreateFlag.SEQUENCE
        created = await self.client.write_create(f"{self.root}/s-", b"", OPEN_ACL, flags)
        self.assertRegex(created.path, r"/s-\d{10}\Z")
        self.assertEqual(created.stat.ephemeralOwner, self.client.session_id)

    # Watches.

    @run
    async def test_data_watch(self) -> None:
        """A data watch fires at a change, once."""
        path = f"{self.root}/a"
        await self.client.create(path)
        answer, watch = self.client.get_and_watch(path)
        await answer
        await self.client.set(path, b"1")
        event = await self.within(watch)
        self.assertEqual((event.type, event.path), (EventType.CHANGED, path))
        await self.client.set(path, b"2")
        self.assertEqual(self.feed.events, [WatchedEvent(EventType.CHANGED, path)])

    @run
    async def test_data_watch_and_deletion(self) -> None:
        """A data watch fires at the node's deletion, and not at changes of its children."""
        path = f"{self.root}/a"
        await self.client.create(path)
        await self.client.read_data(path)
        await self.client.create(f"{path}/b")
        await self.client.delete(f"{path}/b")
        self.assertEqual(self.feed.events, [])
        await self.client.delete(path)
        self.assertEqual(self.feed.events, [WatchedEvent(EventType.DELETED, path)])

    @run
    async def test_set_to_the_same(self) -> None:
        """Writing the same data again is a change."""
        path = f"{self.root}/a"
        await self.client.create(path, b"same")
        await self.client.read_data(path)
        await self.client.set(path, b"same")
        self.assertEqual(self.feed.events, [WatchedEvent(EventType.CHANGED, path)])

    @run
    async def test_child_watch(self) -> None:
        """A child watch fires when a child is created or deleted, and not at changes of data."""
        path = f"{self.root}/p"
        await self.client.create(path)
        answer, watch = self.client.get_children_and_watch(path)
        self.assertEqual(await answer, [])
        await self.client.set(path, b"x")
        self.assertEqual(self.feed.events, [])
        await self.client.create(f"{path}/a")
        event = await self.within(watch)
        self.assertEqual((event.type, event.path), (EventType.CHILD, path))
        await self.client.read_children(path)
        await self.client.set(f"{path}/a", b"x")
        await self.client.delete(f"{path}/a")
        self.assertEqual(self.feed.events, [WatchedEvent(EventType.CHILD, path)] * 2)

    @run
    async def test_child_watch_and_deletion(self) -> None:
        """A child watch fires at the node's own deletion."""
        path = f"{self.root}/p"
        await self.client.create(path)
        await self.client.read_children(path)
        await self.client.delete(path)
        self.assertEqual(self.feed.events, [WatchedEvent(EventType.DELETED, path)])

    @run
    async def test_existence_watch(self) -> None:
        """An ``exists`` on a missing node fires at its creation."""
        path = f"{self.root}/a"
        answer, watch = self.client.exists_and_watch(path)
        self.assertIsNone(await answer)
        await self.client.create(path)
        event = await self.within(watch)
        self.assertEqual((event.type, event.path), (EventType.CREATED, path))

    @run
    async def test_existence_watch_on_a_node(self) -> None:
        """An ``exists`` on a node fires at its change or deletion."""
        path = f"{self.root}/a"
        await self.client.create(path)
        self.assertIsNotNone((await self.client.read_existence(path)).stat)
        await self.client.set(path, b"x")
        await self.client.read_existence(path)
        await self.client.delete(path)
        self.assertEqual(
            self.feed.events, [WatchedEvent(EventType.CHANGED, path), WatchedEvent(EventType.DELETED, path)]
        )

    @run
    async def test_no_watch_on_a_missing_node(self) -> None:
        """A ``get`` or ``get_children`` on a missing node leaves no watch (C15)."""
        path = f"{self.root}/a"
        await self.fails(NoNodeException, self.client.read_data(path))
        await self.fails(NoNodeException, self.client.read_children(path))
        await self.client.create(path)
        await self.client.create(f"{path}/b")
        self.assertEqual(self.feed.events, [])

    @run
    async def test_reads_without_a_watch(self) -> None:
        """Reads that ask for no watch leave none."""
        path = f"{self.root}/a"
        await self.client.exists(path)
        await self.client.create(path)
        await self.client.get(path)
        await self.client.get_children(path)
        await self.client.create(f"{path}/b")
        await self.client.set(path, b"x")
        self.assertEqual(self.feed.events, [])

    @run
    async def test_watches_of_all_kinds(self) -> None:
        """A node's deletion fires its watches of all kinds."""
        path = f"{self.root}/a"
        await self.client.create(path)
        watches = [
            self.client.get_and_watch(path)[1],
            self.client.get_children_and_watch(path)[1],
            self.client.exists_and_watch(path)[1],
        ]
        await self.client.delete(path)
        events = await self.within(gatherResults(watches))
        self.assertEqual({(event.type, event.path) for event in events}, {(EventType.DELETED, path)})

    @run
    async def test_anothers_write(self) -> None:
        """A watch fires at another client's change, before any reply that shows it."""
        path = f"{self.root}/a"
        other, _ = await self.connect()
        await self.client.create(path, b"0")
        order: list[str] = []
        for number in range(1, 30):
            answer, watch = self.client.get_and_watch(path)
            await answer
            watch.addCallback(lambda _, number=number: order.append(f"event {number}"))

            def read(result: tuple[bytes, ZnodeStat], number: int = number) -> None:
                order.append(f"data {number}" if result[0] == b"%d" % number else "older")

            writing = other.set(path, b"%d" % number)
            reading = self.client.get(path).addCallback(read)
            await self.within(gatherResults([writing, reading]))
            await self.within(self.client.get(path).addCallback(read))
            self.assertIn(f"event {number}", order)
            self.assertLess(order.index(f"event {number}"), order.index(f"data {number}"))

    @run
    async def test_own_write(self) -> None:
        """A watch fires at one's own write before its reply."""
        path = f"{self.root}/a"
        order: list[object] = []
        await self.client.create(path)
        await self.client.read_data(path)
        await self.client.read_children(path)
        self.client.add_listener(order.append)
        await self.client.create(f"{path}/b").addCallback(lambda _: order.append("created"))
        await self.client.set(path, b"x").addCallback(lambda _: order.append("set"))
        kinds = [step.type if isinstance(step, WatchedEvent) else step for step in order]
        self.assertEqual(kinds, [EventType.CHILD, "created", EventType.CHANGED, "set"])

    # set_watches and remove_watches.

    @run
    async def test_set_watches_on_what_changed(self) -> None:
        """``set_watches`` fires watches at once for the changes since its zxid, before its own Deferred fires."""
        names = ("same", "changed", "deleted", "parent")
        for name in names:
            await self.client.create(f"{self.root}/{name}")
        zxid = (await self.client.read_existence("/")).zxid
        await self.client.set(f"{self.root}/changed", b"x")
        await self.client.delete(f"{self.root}/deleted")
        await self.client.create(f"{self.root}/created")
        await self.client.create(f"{self.root}/parent/child")
        await self.client.set_watches(
            zxid,
            data=[f"{self.root}/{name}" for name in names],
            exist=[f"{self.root}/created", f"{self.root}/missing"],
            children=[f"{self.root}/same", f"{self.root}/parent"],
        )
        self.assertEqual(
            sorted(self.feed.events),
            sorted(
                [
                    WatchedEvent(EventType.CREATED, f"{self.root}/created"),
                    WatchedEvent(EventType.DELETED, f"{self.root}/deleted"),
                    WatchedEvent(EventType.CHANGED, f"{self.root}/changed"),
                    WatchedEvent(self.children_changed, f"{self.root}/parent"),
                ]
            ),
        )

    @run
    async def test_set_watches_on_what_did_not(self) -> None:
        """``set_watches`` leaves watches on nodes that have not changed since its zxid."""
        await self.client.create(f"{self.root}/a")
        zxid = (await self.client.read_existence("/")).zxid
        await self.client.set_watches(
            zxid, data=[f"{self.root}/a"], exist=[f"{self.root}/b"], children=[f"{self.root}/a"]
        )
        self.assertEqual(self.feed.events, [])
        await self.client.set(f"{self.root}/a", b"x")
        await self.client.create(f"{self.root}/b")
        await self.client.create(f"{self.root}/a/c")
        self.assertEqual(
            self.feed.events,
            [
                WatchedEvent(EventType.CHANGED, f"{self.root}/a"),
                WatchedEvent(EventType.CREATED, f"{self.root}/b"),
                WatchedEvent(EventType.CHILD, f"{self.root}/a"),
            ],
        )

    @run
    async def test_set_watches_on_missing_nodes(self) -> None:
        """``set_watches`` on deleted nodes fires with their deletion."""
        await self.client.set_watches(1, data=[f"{self.root}/a"], children=[f"{self.root}/b"])
        self.assertEqual(
            sorted(self.feed.events),
            [WatchedEvent(EventType.DELETED, f"{self.root}/a"), WatchedEvent(EventType.DELETED, f"{self.root}/b")],
        )

    @run
    async def test_set_watches_with_nothing(self) -> None:
        """``set_watches`` with nothing to set fires."""
        await self.within(self.client.set_watches(1))

    @run
    async def test_set_many_watches(self) -> None:
        """``set_watches`` takes more than fits into a packet."""
        paths = [f"{self.root}/{'x' * 200}{number}" for number in range(3000)]
        await self.within(self.client.set_watches(1, data=paths[:10], exist=paths[10:]), 15)
        self.assertEqual(len(self.feed.events), 10)
        await self.client.create(paths[-1])
        self.assertEqual(self.feed.events[-1], WatchedEvent(EventType.CREATED, paths[-1]))

    @run
    async def test_remove_watches(self) -> None:
        """``remove_watches`` removes watches of one kind, and none of them fires."""
        path = f"{self.root}/a"
        await self.client.create(path)
        await self.client.read_data(path)
        await self.client.read_children(path)
        await self.client.remove_watches(path, WatchKind.DATA)
        await self.client.set(path, b"x")
        await self.client.create(f"{path}/b")
        changes = [event for event in self.feed.events if event.type in (EventType.CHANGED, EventType.CHILD)]
        self.assertEqual(changes, [WatchedEvent(EventType.CHILD, path)])

    @run
    async def test_remove_watches_of_any_kind(self) -> None:
        """``remove_watches`` takes all watches of a path away."""
        path = f"{self.root}/a"
        await self.client.create(path)
        await self.client.read_data(path)
        await self.client.read_children(path)
        await self.client.remove_watches(path, WatchKind.ANY)
        await self.client.create(f"{path}/b")
        await self.client.set(path, b"x")
        changes = [event for event in self.feed.events if event.type in (EventType.CHANGED, EventType.CHILD)]
        self.assertEqual(changes, [])

    @run
    async def test_remove_no_watches(self) -> None:
        """``remove_watches`` fails where there are none."""
        await self.client.create(f"{self.root}/a")
        await self.fails(NoWatcherException, self.client.remove_watches(f"{self.root}/a", WatchKind.ANY))

    # ACLs and identities.

    @run
    async def test_acl(self) -> None:
        """A node has the ACL that it was created with, and an open one by default."""
        await self.client.create(f"{self.root}/open")
        await self.client.create(f"{self.root}/read", acl=[*READ_ACL, ACL(Permission.ALL, "ip", "127.0.0.1")])
        acl, stat = await self.client.get_acl(f"{self.root}/open")
        self.assertEqual((acl, stat.aversion), (list(OPEN_ACL), 0))
        acl, _ = await self.client.get_acl(f"{self.root}/read")
        self.assertEqual(set(acl), {*READ_ACL, ACL(Permission.ALL, "ip", "127.0.0.1")})

    @run
    async def test_set_acl(self) -> None:
        """``set_acl`` replaces the ACL, counts its version up, and changes nothing else."""
        path = f"{self.root}/a"
        await self.client.create(path)
        wanted = ACL(Permission.READ | Permission.ADMIN | Permission.DELETE, "world", "anyone")
        stat = await self.client.set_acl(path, [wanted], 0)
        self.assertEqual((stat.aversion, stat.version), (1, 0))
        self.assertEqual((await self.client.get_acl(path))[0], [wanted])
        await self.fails(BadVersionException, self.client.set_acl(path, OPEN_ACL, 0))
        await self.fails(NoAuthException, self.client.set(path, b"x"))

    @run
    async def test_invalid_acl(self) -> None:
        """An ACL that names nobody, or that the server cannot make sense of, is refused."""
        for acl in ([], [ACL(31, "nonsense", "x")], list(CREATOR_ALL_ACL)):
            await self.fails(InvalidACLException, self.client.create(f"{self.root}/a", b"", acl))

    @run
    async def test_digest(self) -> None:
        """The creator may do more than others, once it has authenticated."""
        path = f"{self.root}/secret"
        owner, _ = await self.connect()
        await self.within(owner.add_auth("digest", b"user:s3cr3t"))
        await owner.create(path, b"x", CREATOR_ALL_ACL)
        acl, _ = await owner.get_acl(path)
        self.assertEqual([(entry.permissions, entry.scheme) for entry in acl], [(31, "digest")])
        for answer in (self.client.get(path), self.client.set(path, b""), self.client.get_children(path)):
            error = await self.fails(NoAuthException, answer)
            self.assertEqual((error.path, error.applied), (path, False))
        await self.within(self.client.add_auth("digest", b"user:wrong"))
        await self.fails(NoAuthException, self.client.get(path))
        await self.within(self.client.add_auth("digest", b"user:s3cr3t"))
        self.assertEqual((await self.client.get(path))[0], b"x")

    @run
    async def test_identity_before_requests(self) -> None:
        """The server executes a request that follows ``add_auth`` with the new identity."""
        taken = self.client.add_auth("digest", b"user:s3cr3t")
        created = self.client.create(f"{self.root}/a", b"", CREATOR_ALL_ACL)
        await self.within(gatherResults([taken, created]))

    @run
    async def test_identity_before_connecting(self) -> None:
        """An identity that is added before ``connect`` counts for the first request."""
        client = self.client_of(self.server.address)
        taken = client.add_auth("digest", b"user:s3cr3t")
        created = client.create(f"{self.root}/a", b"", CREATOR_ALL_ACL)
        await self.within(gatherResults([client.connect(), taken, created]))
        await self.fails(NoAuthException, self.client.get(f"{self.root}/a"))
        await client.delete(f"{self.root}/a")

    # Chroot.

    @run
    async def test_chroot(self) -> None:
        """Below a chroot all paths are relative to it, those of events too."""
        client, feed = await self.connect(self.root)
        self.assertEqual(await client.create("/a", b"x"), "/a")
        self.assertEqual((await self.client.get(f"{self.root}/a"))[0], b"x")
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
        self.assertEqual(feed.events, [WatchedEvent(EventType.CHANGED, "/a"), WatchedEvent(EventType.CHILD, "/")])
        self.assertEqual((event.type, event.path), (EventType.CHANGED, "/a"))
        error = await self.fails(NoNodeException, client.get("/no"))
        self.assertEqual(error.path, "/no")

    @run
    async def test_missing_chroot(self) -> None:
        """A chroot that does not exist is a missing node, and the error names the chroot if that is known to be
        missing.
        """
        client, _ = await self.connect(f"{self.root}/missing")
        for answer in (
            client.get("/"),
            client.get_children("/"),
            client.set("/", b""),
            client.create("/a"),
        ):
            error = await self.fails(NoChrootException, answer)
            self.assertIn(f"{self.root}/missing' has a chroot that does not exist", str(error))
        self.assertIsNone(await client.exists("/"))
        error = await self.fails(NoNodeException, client.create("/a/b"))
        self.assertEqual(str(error), "the parent of '/a/b' does not exist")
        self.assertNotIsInstance(await self.fails(NoNodeException, client.get("/a")), NoChrootException)
        await self.client.create(f"{self.root}/missing")
        await client.create("/a")

    # Limits.

    @run
    async def test_longest_request(self) -> None:
        """A request of the server's longest is done; one of a byte more is refused, and the connection stays."""
        path = f"{self.root}/a"
        await self.client.create(path)
        # A frame is what setData has besides the data: two ints of header, two lengths, the path, the version.
        room = 0xFFFFF - (8 + 4 + len(path) + 4 + 4)
        stat = await self.within(self.client.set(path, bytes(room)))
        self.assertEqual(stat.dataLength, room)
        error = await self.fails(RequestTooLargeException, self.client.set(path, bytes(room + 1)))
        self.assertEqual((error.path, error.applied), (path, False))
        self.assertEqual(len((await self.within(self.client.get(path)))[0]), room)
        self.assertEqual(self.feed.states, [SessionState.CONNECTED])

    @run
    async def test_many_children(self) -> None:
        """A node may have a thousand children, made and listed in one go."""
        await self.within(
            gatherResults([self.client.create(f"{self.root}/{number:04d}") for number in range(1000)]), 15
        )
        names = await self.client.get_children(self.root)
        self.assertEqual(sorted(names), [f"{number:04d}" for number in range(1000)])
        await self.within(gatherResults([self.client.delete(f"{self.root}/{name}") for name in names]), 15)

    # Cancelling.

    @run
    async def test_cancel(self) -> None:
        """Cancelling abandons the reply to one sent request, and to no other; the request takes effect all the same."""
        path = f"{self.root}/a"
        await self.client.create(path, b"0")
        first, second, third = self.client.get(path), self.client.set(path, b"1"), self.client.get(path)
        second.cancel()
        await self.assertFailure(second, CancelledError)
        self.assertEqual((await first)[0], b"0")
        self.assertEqual((await third)[0], b"1")

    # Closing.

    @run
    async def test_close(self) -> None:
        """``close`` ends the session at the server, and nothing can be asked afterwards."""
        client, feed = await self.connect()
        session = client.session_id & 0xFFFFFFFFFFFFFFFF
        await self.within(client.close())
        self.assertNotIn(session, await self.server.sessions())
        self.assertEqual(feed.states, [SessionState.CONNECTED, SessionState.CLOSED])
        self.assertEqual(client.session_id, 0)
        await self.fails(ClosingException, client.get("/"))
        await self.fails(ClosingException, client.connect())
        await self.within(client.close())

    @run
    async def test_close_behind_requests(self) -> None:
        """Requests before ``close`` are executed and answered."""
        client, _ = await self.connect()
        created = client.create(f"{self.root}/a")
        await self.within(client.close())
        self.assertEqual(await self.within(created), f"{self.root}/a")
        self.assertIsNotNone(await self.client.exists(f"{self.root}/a"))

    @run
    async def test_close_before_connect(self) -> None:
        """A client that was never connected can be closed."""
        client = self.client_of(self.server.address)
        await self.within(client.close())

    @run
    async def test_close_while_connecting(self) -> None:
        """A client can be closed while it is connecting."""
        client = self.client_of(self.server.address)
        connected = client.connect()
        await self.within(client.close())
        await self.fails(ClosingException, connected)

    @run
    async def test_close_with_a_watch(self) -> None:
        """close() fails the Deferreds of pending watches."""
        client, _ = await self.connect()
        answer, watch = client.get_and_watch(self.root)
        await answer
        await self.within(client.close())
        await self.fails(ClosingException, watch)


class ReconnectionContract(ContractCase):
    """A client whose connection is lost."""

    @run
    @where_sessions_resume
    async def test_session_and_ephemerals(self) -> None:
        """A connection that goes costs neither the session nor its ephemerals."""
        await self.client.create(f"{self.root}/e", ephemeral=True)
        session = self.client.session_id
        await self.interrupt()
        self.assertEqual(self.client.session_id, session)
        self.assertEqual(self.feed.states, [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CONNECTED])
        self.assertEqual(self.client.session.session_number, 1)
        stat = await self.client.exists(f"{self.root}/e")
        self.assertEqual(stat.ephemeralOwner, session)

    @run
    @where_sessions_resume
    async def test_watches_kept(self) -> None:
        """After a lost connection the watches of all kinds are still set, and have not fired."""
        await self.client.create(f"{self.root}/a")
        reads = [
            self.client.get_and_watch(f"{self.root}/a"),
            self.client.exists_and_watch(f"{self.root}/b"),
            self.client.get_children_and_watch(self.root),
        ]
        await gatherResults([answer for answer, _ in reads])
        await self.interrupt()
        await self.client.set_watches(1)
        self.assertEqual(self.feed.events, [])
        await self.client.set(f"{self.root}/a", b"x")
        await self.client.create(f"{self.root}/b")
        events = await self.within(gatherResults([watch for _, watch in reads]))
        self.assertEqual([event.type for event in events], [EventType.CHANGED, EventType.CREATED, EventType.CHILD])

    @run
    @where_sessions_resume
    async def test_queued(self) -> None:
        """Requests without a connection are sent in order when there is one."""
        path = f"{self.root}/a"
        await self.client.create(path)
        answers: list[Deferred[Any]] = []

        async def ask() -> None:
            answers.extend(self.client.set(path, b"%d" % number, number) for number in range(5))

        await self.interrupt(ask)
        stats = await self.within(gatherResults(answers))
        self.assertEqual([stat.version for stat in stats], [1, 2, 3, 4, 5])

    @run
    async def test_identities(self) -> None:
        """Identities hold on the next connection too, from its first request on."""
        await self.within(self.client.add_auth("digest", b"user:s3cr3t"))
        await self.client.create(f"{self.root}/a", b"x", CREATOR_ALL_ACL)
        await self.interrupt()
        self.assertEqual((await self.client.get(f"{self.root}/a"))[0], b"x")

    @run
    @where_sessions_resume
    async def test_close_without_a_connection(self) -> None:
        """A client that has lost its connection still ends its session, as soon as it can be reached."""
        other, feed = await self.connect()
        await other.create(f"{self.root}/e", ephemeral=True)
        session = other.session_id & 0xFFFFFFFFFFFFFFFF
        closing: list[Deferred[None]] = []

        async def close() -> None:
            closing.append(other.close())

        lost = feed.when_state(SessionState.SUSPENDED)
        closed = feed.when_state(SessionState.CLOSED)
        await self.interrupt(close)
        await self.within(gatherResults([lost, closed, *closing]))
        self.assertNotIn(session, await self.server.sessions())
        self.assertIsNone(await self.client.exists(f"{self.root}/e"))


class AbsenceContract(ContractCase):
    """Changes while a client was disconnected. The test reaches the server on another way."""

    @run
    @where_sessions_resume
    async def test_changed_while_away(self) -> None:
        """Changes without a connection cause events after the reconnection, before the next reply."""
        for name in ("changed", "deleted", "recreated", "same", "parent"):
            await self.client.create(f"{self.root}/{name}")
            await self.client.read_data(f"{self.root}/{name}")
        await self.client.read_existence(f"{self.root}/created")
        await self.client.read_children(f"{self.root}/parent")
        await self.client.read_children(f"{self.root}/same")
        other, _ = await self.connect(direct=True)

        async def change() -> None:
            await other.set(f"{self.root}/changed", b"x")
            await other.delete(f"{self.root}/deleted")
            await other.delete(f"{self.root}/recreated")
            await other.create(f"{self.root}/recreated")
            await other.create(f"{self.root}/created")
            await other.create(f"{self.root}/parent/child")

        await self.interrupt(change)
        await self.client.exists(self.root)
        self.assertEqual(
            {(event.type, event.path) for event in self.feed.events},
            {
                (EventType.CHANGED, f"{self.root}/changed"),
                (EventType.DELETED, f"{self.root}/deleted"),
                (EventType.CHANGED, f"{self.root}/recreated"),
                (EventType.CREATED, f"{self.root}/created"),
                (EventType.CHILD, f"{self.root}/parent"),
            },
        )

    @run
    async def test_own_reads_move_on(self) -> None:
        """Changes before the last reply cause no further events."""
        await self.client.create(f"{self.root}/a")
        await self.client.set(f"{self.root}/a", b"x")
        await self.client.read_data(f"{self.root}/a")
        await self.interrupt()
        await self.client.exists(self.root)
        self.assertEqual(self.feed.events, [])

    @run
    async def test_ended_session(self) -> None:
        """A session that has ended behind the client's back is followed by a new one, and everything of it fails."""
        await self.client.create(f"{self.root}/e", ephemeral=True)
        answer, watch = self.client.get_and_watch(self.root)
        await answer
        session = self.client.session_id
        queued: list[Deferred[Any]] = []

        def ask(step: SessionEvent | WatchedEvent) -> None:
            if isinstance(step, SessionEvent) and step.state is SessionState.SUSPENDED:
                queued.append(self.client.create(f"{self.root}/never"))
                queued[0].addErrback(lambda failure: failure.value)

        self.client.add_listener(ask)
        ended, renewed = self.feed.when_state(SessionState.EXPIRED), self.feed.when_session_number(2)
        await self.server.expire(session)
        await self.within(gatherResults([ended, renewed]), 10)
        await self.fails(SessionExpiredException, watch)
        error = await self.within(queued[0])
        self.assertIsInstance(error, (SessionExpiredException, ConnectionLossException))
        self.assertIs(error.applied, False)
        self.assertNotEqual(self.client.session_id, session)
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (2, 0))
        self.assertEqual(await self.client.get_children(self.root), [])

    @run
    async def test_watches_brought_over(self) -> None:
        """A new session takes watches over with ``set_watches``, and they fire for the changes between the two
        sessions.
        """
        await self.client.create(f"{self.root}/a")
        await self.client.create(f"{self.root}/b")
        await self.client.read_data(f"{self.root}/a")
        await self.client.read_data(f"{self.root}/b")
        zxid = (await self.client.read_existence(f"{self.root}/c")).zxid
        other, _ = await self.connect(direct=True)
        renewed = self.feed.when_session_number(2)
        await self.server.expire(self.client.session_id)
        await other.set(f"{self.root}/a", b"x")
        await self.within(renewed, 10)
        await self.client.sync()
        self.feed.told.clear()
        await self.client.set_watches(zxid, data=[f"{self.root}/a", f"{self.root}/b"], exist=[f"{self.root}/c"])
        self.assertEqual(self.feed.events, [WatchedEvent(EventType.CHANGED, f"{self.root}/a")])
        await self.client.create(f"{self.root}/c")
        self.assertEqual(self.feed.events[-1], WatchedEvent(EventType.CREATED, f"{self.root}/c"))
