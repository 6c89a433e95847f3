"""The contract of clients for operations that the oldest servers lack: one more suite, run by each client on each
server.

It uses the servers and helpers of :mod:`txmirror.test.client.contract`. ``self.client`` is the client under test.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import SkipTest

from txmirror.errors import (
    ClosingException,
    NoChrootException,
    NodeExistsException,
    NoNodeException,
    NotEmptyException,
    NoWatcherException,
    ReconfigDisabledException,
    SessionExpiredException,
    TransactionFailedException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.interfaces import (
    IBatchedReads,
    ICreateModes,
    IEnsemble,
    IPersistentWatches,
    IQueries,
    IServerAbilities,
    ISessionHolder,
    ITransactions,
)
from txmirror.test.client.contract import ContractCase, Recorder, Test, run, where_sessions_resume
from txmirror.types import (
    CREATOR_ALL_ACL,
    EnsembleConfig,
    EventType,
    SessionState,
    SessionTicket,
    WatchedEvent,
    WatchKind,
)

_PROTECTED = r"_c_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}-"

CREATED, DELETED, CHANGED, CHILD = EventType.CREATED, EventType.DELETED, EventType.CHANGED, EventType.CHILD


def needing(*methods: str) -> Callable[[Test], Test]:
    """Skip a test where the side declares that its server lacks one of these (:attr:`AbilityCase.lacking`)."""

    def wrap(test: Test) -> Test:
        async def testing(self: Any) -> None:
            if self.lacking.intersection(methods):
                raise SkipTest(f"this server does not know {', '.join(methods)}")
            await test(self)

        return wraps(test)(testing)

    return wrap


class AbilityCase(ContractCase):
    """The base of the parts of this suite."""

    # Declared deviations of the server.
    #: The methods that it does not know, on which it hangs up.
    lacking: frozenset[str] = frozenset()
    #: The methods of which nothing is certain before they were tried, though all but its older versions know them.
    uncertain: frozenset[str] = frozenset()

    def make_client(self, servers: str, session_timeout: float, **options: Any) -> Any:
        """Make a client that is not connected yet, with options of the native client's."""
        raise NotImplementedError

    def take_over(self, ticket: SessionTicket | None, chroot: str = "") -> Any:
        """Make a client that continues a session, once it is connected."""
        client = self.make_client(self.server.direct_address + chroot, self.session_timeout, session=ticket)
        self._clients.append(client)
        self.note_sessions(client)
        return client

    async def watch(self, path: str, *, recursive: bool = False) -> Recorder:
        """Set a persistent watch, and record its events."""
        news = Recorder()
        await self.within(self.client.add_watch(path, news, recursive=recursive))
        return news

    async def read_all(self, path: str) -> list[Deferred[WatchedEvent]]:
        """Set a one-shot watch of each kind on a node that exists: for data, existence, children."""
        reads = [
            self.client.get_and_watch(path),
            self.client.exists_and_watch(path),
            self.client.get_children_and_watch(path),
        ]
        await self.within(gatherResults([answer for answer, _ in reads]))
        return [watch for _, watch in reads]

    def assert_silent(self, watches: list[Deferred[Any]]) -> None:
        """Check that no listener was called."""
        self.assertEqual([watch for watch in watches if watch.called], [])


class PersistentWatchContract(AbilityCase):
    """Watches that last, while the connection stands."""

    def test_interface(self) -> None:
        """The client provides the interfaces of these operations."""
        for interface in (
            IPersistentWatches,
            ISessionHolder,
            IServerAbilities,
            ICreateModes,
            IQueries,
            IEnsemble,
            IBatchedReads,
            ITransactions,
        ):
            self.assertTrue(interface.providedBy(self.client), interface)

    @run
    async def test_exact(self) -> None:
        """An exact watch reports each change of the node's existence, data and children, and none below."""
        path = f"{self.root}/a"
        news = await self.watch(path)
        for _ in range(2):
            await self.client.create(path)
            await self.client.create(f"{path}/b")
            await self.client.set(path, b"x")
            await self.client.set(f"{path}/b", b"x")
            await self.client.create(f"{path}/b/c")
            await self.client.delete(f"{path}/b/c")
            await self.client.delete(f"{path}/b")
            await self.client.delete(path)
        expected = [WatchedEvent(kind, path) for kind in (CREATED, CHILD, CHANGED, CHILD, DELETED)] * 2
        # Since 3.9 the events have their zxids.
        self.assertEqual(len(news.told), len(expected))
        self.assertEqual(news.events, expected)
        self.assertEqual(self.feed.events, expected)

    @run
    async def test_recursive(self) -> None:
        """A recursive watch reports each node's own changes in its subtree, in order, and no child events."""
        path = f"{self.root}/a"
        news = await self.watch(path, recursive=True)
        expected = []
        for _ in range(2):
            for name in ("", "/b", "/b/c"):
                await self.client.create(path + name)
                await self.client.set(path + name, b"x")
                expected += [WatchedEvent(CREATED, path + name), WatchedEvent(CHANGED, path + name)]
            # It only begins alike.
            await self.client.create(f"{path}b")
            await self.client.delete(f"{path}b")
            for name in ("/b/c", "/b", ""):
                await self.client.delete(path + name)
                expected.append(WatchedEvent(DELETED, path + name))
        self.assertEqual(news.events, expected)
        self.assertEqual(self.feed.events, expected)

    @run
    async def test_root_of_all(self) -> None:
        """The whole tree can be watched."""
        news = await self.watch("/", recursive=True)
        await self.client.create(f"{self.root}/a")
        self.assertIn(WatchedEvent(CREATED, f"{self.root}/a"), news.events)

    @run
    async def test_anothers_changes(self) -> None:
        """The event of another client's change arrives before a reply that shows the change."""
        other, _ = await self.connect()
        news = await self.watch(self.root, recursive=True)
        for number in range(20):
            await other.create(f"{self.root}/{number}")
            await self.client.sync(self.root)
            self.assertIsNotNone(await self.client.exists(f"{self.root}/{number}"))
            self.assertEqual(news.events[-1], WatchedEvent(CREATED, f"{self.root}/{number}"))
        self.assertEqual(len(news.events), 20)

    @run
    async def test_transaction(self) -> None:
        """A transaction's events come in the order of its operations, those of the same path too (C14)."""
        news = await self.watch(self.root, recursive=True)
        transaction = self.client.transaction()
        transaction.create(f"{self.root}/a")
        transaction.set(f"{self.root}/a", b"1")
        transaction.set(f"{self.root}/a", b"2")
        transaction.create(f"{self.root}/b")
        transaction.delete(f"{self.root}/a")
        await transaction.commit()
        self.assertEqual(
            [(event.type, event.path[-1]) for event in news.events],
            [(CREATED, "a"), (CHANGED, "a"), (CHANGED, "a"), (CREATED, "b"), (DELETED, "a")],
        )

    @run
    async def test_several_listeners(self) -> None:
        """Each listener of the same watch is called once, even if another raises, or is removed."""

        def fail(step: object) -> None:
            if isinstance(step, WatchedEvent):
                raise ZeroDivisionError

        first = await self.watch(self.root)
        await self.client.add_watch(self.root, fail)
        second = await self.watch(self.root)
        await self.client.add_watch(self.root)
        await self.client.set(self.root, b"x")
        self.assertEqual(first.events, [WatchedEvent(CHANGED, self.root)])
        self.assertEqual(second.events, first.events)
        self.assertEqual(self.feed.events, first.events)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await self.client.set(self.root, b"x")
        self.assertEqual((len(first.events), len(second.events)), (2, 2))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await self.client.remove_watches(self.root, WatchKind.ANY)

    @run
    async def test_other_kind(self) -> None:
        """A path has one kind of persistent watch, and goes on having it when the other is refused (C10)."""
        for recursive, path in ((False, f"{self.root}/a"), (True, f"{self.root}/b")):
            news = await self.watch(path, recursive=recursive)
            self.assertRaises(ValueError, self.client.add_watch, path, recursive=not recursive)
            await self.client.create(path)
            await self.client.set(path, b"x")
            self.assertEqual([event.type for event in news.events], [CREATED, CHANGED])

    async def _change_three_times(self, recursive: bool, news: Recorder, watches: list[Deferred[WatchedEvent]]) -> None:
        """Set watches of both kinds on a node, and check that both report each change."""
        path = f"{self.root}/a"
        expected: list[WatchedEvent] = []
        for number in range(3):
            await self.client.set(path, b"%d" % number)
            expected.append(WatchedEvent(CHANGED, path))
            self.assertEqual(news.events, expected)
            for watch in watches[:2]:
                self.assertEqual((await self.within(watch))[:2], (CHANGED, path))
            self.assert_silent(watches[2:])
            await self.client.create(f"{path}/{number}")
            expected.append(WatchedEvent(CREATED, f"{path}/{number}") if recursive else WatchedEvent(CHILD, path))
            self.assertEqual(news.events, expected)
            self.assertEqual((await self.within(watches[2]))[:2], (CHILD, path))
            watches = await self.read_all(path)
        await self.client.set(f"{path}/0", b"x")
        if recursive:
            expected.append(WatchedEvent(CHANGED, f"{path}/0"))
        for number in range(3):
            await self.client.delete(f"{path}/{number}")
            expected.append(WatchedEvent(DELETED, f"{path}/{number}") if recursive else WatchedEvent(CHILD, path))
        self.assertEqual((await self.within(watches[2]))[:2], (CHILD, path))
        watches[2] = self.client.get_children_and_watch(path)[1]
        await self.client.delete(path)
        expected.append(WatchedEvent(DELETED, path))
        for watch in watches:
            self.assertEqual((await self.within(watch))[:2], (DELETED, path))
        await self.client.create(path)
        expected.append(WatchedEvent(CREATED, path))
        self.assertEqual(news.events, expected)

    @run
    async def test_behind_one_shots(self) -> None:
        """A persistent watch that comes to where one-shot ones are leaves them standing, and they leave it (C10)."""
        for recursive in (False, True):
            await self.client.create(f"{self.root}/a")
            watches = await self.read_all(f"{self.root}/a")
            news = await self.watch(f"{self.root}/a", recursive=recursive)
            await self._change_three_times(recursive, news, watches)
            await self.client.remove_watches(f"{self.root}/a", WatchKind.ANY)
            await self.client.delete(f"{self.root}/a")

    @run
    async def test_before_one_shots(self) -> None:
        """One-shot watches on the path of a persistent one, set later, do not affect it, nor it them (C10)."""
        for recursive in (False, True):
            await self.client.create(f"{self.root}/a")
            news = await self.watch(f"{self.root}/a", recursive=recursive)
            watches = await self.read_all(f"{self.root}/a")
            await self._change_three_times(recursive, news, watches)
            await self.client.remove_watches(f"{self.root}/a", WatchKind.ANY)
            await self.client.delete(f"{self.root}/a")

    @run
    async def test_beside_one_shots(self) -> None:
        """One-shot and persistent watches that are requested at once do not affect each other, in either order (C10)."""
        for recursive in (False, True):
            for persistent_first in (False, True):
                path, news = f"{self.root}/a", Recorder()
                await self.client.create(path)
                asked = [self.client.add_watch(path, news, recursive=recursive)] if persistent_first else []
                answer, data = self.client.get_and_watch(path)
                names, children = self.client.get_children_and_watch(path)
                if not persistent_first:
                    asked.append(self.client.add_watch(path, news, recursive=recursive))
                await self.within(gatherResults([answer, names, *asked]))
                for _ in range(2):
                    await self.client.set(path, b"x")
                    await self.client.create(f"{path}/b")
                    await self.client.delete(f"{path}/b")
                self.assertEqual((await self.within(data))[:2], (CHANGED, path))
                self.assertEqual((await self.within(children))[:2], (CHILD, path))
                kinds = [CHANGED, CREATED, DELETED] if recursive else [CHANGED, CHILD, CHILD]
                self.assertEqual([event.type for event in news.events], kinds * 2)
                await self.client.remove_watches(path, WatchKind.ANY)
                await self.client.delete(path)

    @run
    async def test_existence_of_a_missing_node(self) -> None:
        """A Deferred that waits for a node on or below a persistent watch fires at its creation (C10)."""
        for recursive in (False, True):
            path = f"{self.root}/missing-{recursive}"
            news = await self.watch(path, recursive=recursive)
            answer, watch = self.client.exists_and_watch(path)
            self.assertIsNone(await answer)
            await self.client.create(path)
            self.assertEqual((await self.within(watch))[:2], (CREATED, path))
            await self.client.set(path, b"x")
            self.assertEqual([event.type for event in news.events], [CREATED, CHANGED])

    @run
    async def test_all_who_wait(self) -> None:
        """The server sends one event for a change, and all watchers of it here get it once: a one-shot watch, the
        persistent watches on the node and above it, and the feed (C9).
        """
        path = f"{self.root}/a"
        await self.client.create(path)
        news = [
            await self.watch(path),
            await self.watch(self.root, recursive=True),
            await self.watch("/", recursive=True),
        ]
        await self.client.read_data(path)
        watches = [*(await self.read_all(path))[:2], *(await self.read_all(path))[:2]]
        await self.client.set(path, b"x")
        for watch in watches:
            self.assertEqual((await self.within(watch))[:2], (CHANGED, path))
        await self.client.set(path, b"y")
        await self.client.delete(path)
        expected = [WatchedEvent(kind, path) for kind in (CHANGED, CHANGED, DELETED)]
        self.assertEqual([each.events for each in news], [expected] * 3)
        self.assertEqual(self.feed.events, expected)

    @run
    async def test_one_shots_below(self) -> None:
        """Below a recursive watch, one-shot watches fire as usual, and an event that concerns both is reported once
        (C9).
        """
        path = f"{self.root}/a"
        await self.client.create(path)
        news = await self.watch(self.root, recursive=True)
        for number in range(3):
            watches = await self.read_all(path)
            await self.client.set(path, b"x")
            await self.client.create(f"{path}/{number}")
            events = await self.within(gatherResults(watches))
            self.assertEqual([event.type for event in events], [CHANGED, CHANGED, CHILD])
        self.assertEqual([event.type for event in news.events], [CHANGED, CREATED] * 3)
        self.assertEqual(len(self.feed.events), 9)

    @run
    async def test_check_watches(self) -> None:
        """The server reports whether there are watches of each kind."""
        kinds = (WatchKind.DATA, WatchKind.CHILDREN, WatchKind.ANY)

        async def check(path: str) -> list[bool]:
            return [await self.client.check_watches(path, kind) for kind in kinds]

        for name in "abc":
            await self.client.create(f"{self.root}/{name}")
            self.assertEqual(await check(f"{self.root}/{name}"), [False, False, False])
        await self.client.read_data(f"{self.root}/a")
        self.assertEqual(await check(f"{self.root}/a"), [True, False, True])
        await self.client.read_children(f"{self.root}/b")
        self.assertEqual(await check(f"{self.root}/b"), [False, True, True])
        await self.watch(f"{self.root}/c")
        # Since 3.9 a persistent watch is no longer one of each other kind.
        self.assertIn(await check(f"{self.root}/c"), ([True, True, True], [False, False, True]))
        await self.client.set(f"{self.root}/a", b"x")
        self.assertEqual(await check(f"{self.root}/a"), [False, False, False])
        await self.client.remove_watches(f"{self.root}/c", WatchKind.ANY)
        self.assertEqual(await check(f"{self.root}/c"), [False, False, False])

    @run
    async def test_remove(self) -> None:
        """A removed persistent watch reports nothing more, others continue, and one of the other kind can be set after
        it.
        """
        for recursive in (False, True):
            path = f"{self.root}/{recursive}"
            await self.client.create(path)
            kept = await self.watch(self.root)
            gone = await self.watch(path, recursive=recursive)
            watches = await self.read_all(path)
            await self.client.remove_watches(path, WatchKind.ANY)
            await self.client.set(path, b"x")
            await self.client.create(f"{path}/b")
            await self.client.set(self.root, b"x")
            self.assert_silent(watches)
            self.assertEqual(gone.told, [])
            self.assertEqual(kept.events, [WatchedEvent(CHANGED, self.root)])
            await self.fails(NoWatcherException, self.client.remove_watches(path, WatchKind.ANY))
            news = await self.watch(path, recursive=not recursive)
            await self.client.set(path, b"y")
            self.assertEqual((news.events, gone.told), ([WatchedEvent(CHANGED, path)], []))
            await self.client.remove_watches(self.root, WatchKind.ANY)

    @run
    async def test_remove_one_kind(self) -> None:
        """If a path has a persistent watch, removing one kind of watch ends only the one-shot watches of that kind."""
        news = await self.watch(self.root)
        await self.fails(NoWatcherException, self.client.remove_watches(self.root, WatchKind.DATA))
        data, existence, children = await self.read_all(self.root)
        await self.client.remove_watches(self.root, WatchKind.DATA)
        await self.client.set(self.root, b"x")
        await self.client.create(f"{self.root}/a")
        self.assertEqual((await self.within(children))[:2], (CHILD, self.root))
        self.assert_silent([data, existence])
        self.assertEqual([event.type for event in news.events], [CHANGED, CHILD])

    @run
    async def test_cancel(self) -> None:
        """A listener whose wait for a watch was cancelled is not called; the watch stays, and others are called."""
        news = Recorder()
        asked = self.client.add_watch(self.root, news)
        asked.cancel()
        await self.assertFailure(asked, CancelledError)
        await self.client.set(self.root, b"x")
        self.assertEqual((news.told, self.feed.events), ([], [WatchedEvent(CHANGED, self.root)]))
        later = await self.watch(self.root)
        await self.client.set(self.root, b"x")
        self.assertEqual((news.told, len(later.events)), ([], 1))

    @run
    async def test_chroot(self) -> None:
        """With a chroot, paths are relative to it, and events outside it are not reported."""
        client, feed = await self.connect(self.root)
        news = Recorder()
        await client.add_watch("/", news, recursive=True)
        answer, watch = client.get_and_watch("/")
        await answer
        await self.client.create(f"{self.root}/a")
        await self.client.set(self.root, b"x")
        await client.sync("/")
        self.assertEqual(news.events, [WatchedEvent(CREATED, "/a"), WatchedEvent(CHANGED, "/")])
        self.assertEqual(feed.events, news.events)
        self.assertEqual((await self.within(watch))[:2], (CHANGED, "/"))
        self.assertTrue(await client.check_watches("/", WatchKind.ANY))
        await client.remove_watches("/", WatchKind.ANY)
        await self.client.delete(f"{self.root}/a")
        await client.sync("/")
        self.assertEqual(len(feed.events), 2)

    @run
    async def test_close(self) -> None:
        """Persistent watches get the end of the client, too, once, as their last event (C16)."""
        client, _ = await self.connect()
        news = Recorder()
        await client.add_watch(self.root, news)
        await self.within(client.close())
        self.assertEqual(news.states, [SessionState.CLOSED])
        await self.fails(ClosingException, client.add_watch(self.root))


class PersistentWatchAbsenceContract(AbilityCase):
    """Persistent watches over a reconnection. The test reaches the server on another way."""

    @run
    @where_sessions_resume
    async def test_reconnection(self) -> None:
        """A persistent watch is set again on the next connection, and its listener is notified of that; it does not
        report the changes in between, but one-shot watches do, on its own path too (C4, C10).
        """
        for name in ("exact", "recursive", "recursive/once", "recursive/silent", "plain", "quiet"):
            await self.client.create(f"{self.root}/{name}")
        exact = await self.watch(f"{self.root}/exact")
        quiet = await self.watch(f"{self.root}/quiet")
        recursive = await self.watch(f"{self.root}/recursive", recursive=True)
        watches = []
        for name in ("exact", "recursive", "recursive/once", "plain"):
            answer, watch = self.client.get_and_watch(f"{self.root}/{name}")
            await answer
            watches.append(watch)
        standing = (await self.read_all(f"{self.root}/quiet"))[1]
        other, _ = await self.connect(direct=True)

        async def change() -> None:
            for name in ("exact", "recursive", "recursive/once", "recursive/silent", "plain"):
                await other.set(f"{self.root}/{name}", b"x")
            await other.create(f"{self.root}/recursive/new")
            await other.create(f"{self.root}/quiet/new")
            await other.delete(f"{self.root}/quiet/new")

        await self.interrupt(change)
        events = await self.within(gatherResults(watches))
        self.assertEqual(
            [event[:2] for event in events],
            [(CHANGED, f"{self.root}/{name}") for name in ("exact", "recursive", "recursive/once", "plain")],
        )
        await self.client.set_watches(1)
        for news in (exact, quiet, recursive):
            self.assertEqual(news.states, [SessionState.SUSPENDED, SessionState.CONNECTED])
        told = {event.path for event in self.feed.events}
        self.assertNotIn(f"{self.root}/recursive/silent", told)
        self.assertNotIn(f"{self.root}/recursive/new", told)
        # It had a one-shot watch of its children, which are told of as far as the server knows they have changed.
        self.assertEqual({event.type for event in quiet.events} - {CHILD}, set())
        self.assertFalse(standing.called)
        for news in (exact, quiet, recursive, self.feed):
            news.told.clear()
        for number in range(3):
            await other.set(f"{self.root}/exact", b"%d" % number)
            await other.set(f"{self.root}/recursive/silent", b"%d" % number)
            await other.create(f"{self.root}/recursive/new/{number}")
            await other.set(f"{self.root}/quiet", b"%d" % number)
        await self.client.sync(self.root)
        self.assertEqual(exact.events, [WatchedEvent(CHANGED, f"{self.root}/exact")] * 3)
        self.assertEqual(quiet.events, [WatchedEvent(CHANGED, f"{self.root}/quiet")] * 3)
        self.assertEqual([event.type for event in recursive.events], [CHANGED, CREATED] * 3)
        self.assertEqual((await self.within(standing)).type, CHANGED)
        self.assertEqual(len(self.feed.events), 12)

    @run
    @where_sessions_resume
    async def test_read_on_return(self) -> None:
        """A read from a listener of the new connection is sent after the watch was set again: no change is missed (C4)."""
        path = f"{self.root}/a"
        await self.client.create(path, b"0")
        other, _ = await self.connect(direct=True)
        seen: list[bytes] = []
        read: list[Deferred[Any]] = []

        def look(step: object) -> None:
            if isinstance(step, WatchedEvent) or getattr(step, "state", None) is SessionState.CONNECTED:
                read.append(self.client.get(path).addCallback(lambda result: seen.append(result[0])))

        await self.client.add_watch(path, look)
        for number in range(3):
            suspended = self.feed.when_state(SessionState.SUSPENDED)
            await self.server.disconnect()
            await self.within(suspended)
            await other.set(path, b"away %d" % number)
            connected = self.feed.when_state(SessionState.CONNECTED)
            await self.server.reconnect()
            await self.within(connected, 10)
            await other.set(path, b"back %d" % number)
            await self.client.sync(path)
            await self.within(gatherResults(read))
            self.assertEqual(seen[-1], b"back %d" % number)
        await self.client.remove_watches(path, WatchKind.ANY)

    @run
    async def test_ended_session(self) -> None:
        """A persistent watch ends with its session, and its listener is notified; in the next session there is none
        until it is added again (C4, C16).
        """
        news = await self.watch(self.root, recursive=True)
        ended, renewed = self.feed.when_state(SessionState.EXPIRED), self.feed.when_session_number(2)
        await self.server.expire(self.client.session_id)
        await self.within(gatherResults([ended, renewed]), 10)
        self.assertIs(news.states[-1], SessionState.EXPIRED)
        self.assertNotIn(SessionState.CONNECTED, news.states)
        self.assertFalse(await self.client.check_watches(self.root, WatchKind.ANY))
        self.feed.told.clear()
        await self.client.set(self.root, b"x")
        self.assertEqual((news.events, self.feed.events), ([], []))
        later = await self.watch(self.root)
        await self.client.set(self.root, b"y")
        self.assertEqual((news.events, later.events), ([], [WatchedEvent(CHANGED, self.root)]))

    @run
    @where_sessions_resume
    async def test_asked_while_away(self) -> None:
        """A watch that is requested without a connection is set on the next one, beside the earlier watches (C10)."""
        asked: list[Deferred[None]] = []
        news = Recorder()
        data, _, children = await self.read_all(self.root)

        async def ask() -> None:
            asked.append(self.client.add_watch(self.root, news, recursive=True))

        await self.interrupt(ask)
        await self.within(asked[0])
        for number in range(2):
            await self.client.create(f"{self.root}/{number}")
            await self.client.set(self.root, b"x")
        self.assertEqual([event.type for event in news.events], [CREATED, CHANGED] * 2)
        self.assertEqual((await self.within(data)).type, CHANGED)
        self.assertEqual((await self.within(children)).type, CHILD)


class AbilityContract(AbilityCase):
    """Everything else."""

    # Nodes.

    @run
    async def test_protected(self) -> None:
        """A protected node has an identifier of its own before its name, and is like any other."""
        paths = {await self.client.create(f"{self.root}/a", b"x", protect=True) for _ in range(3)}
        self.assertEqual(len(paths), 3)
        for path in paths:
            self.assertRegex(path, rf"\A{self.root}/{_PROTECTED}a\Z")
            data, stat = await self.client.get(path)
            self.assertEqual((data, stat.ephemeralOwner), (b"x", 0))
        error = await self.fails(NoNodeException, self.client.create(f"{self.root}/no/a", protect=True))
        self.assertIs(error.applied, False)
        acl, _ = await self.client.get_acl(next(iter(paths)))
        self.assertEqual([entry.scheme for entry in acl], ["world"])

    @run
    async def test_protected_below_a_missing_chroot(self) -> None:
        """A protected node directly below a chroot that does not exist fails for that reason."""
        client = self.client.chroot(f"{self.root}/missing")
        await self.fails(NoChrootException, client.create("/a-", sequence=True, protect=True))

    @run
    async def test_protected_in_sequence(self) -> None:
        """A protected node in a sequence has both, and comes with its stat if that is wanted; below a chroot too."""
        path = await self.client.create(f"{self.root}/a-", protect=True, sequence=True, ephemeral=True)
        self.assertRegex(path, rf"\A{self.root}/{_PROTECTED}a-0000000000\Z")
        path, stat = await self.client.create_and_stat(f"{self.root}/a-", b"x", protect=True, sequence=True)
        self.assertRegex(path, rf"\A{self.root}/{_PROTECTED}a-0000000001\Z")
        self.assertEqual(await self.client.get(path), (b"x", stat))
        below, _ = await self.connect(self.root)
        self.assertRegex(await below.create("/", protect=True, sequence=True), rf"\A/{_PROTECTED}0000000002\Z")
        self.assertEqual(len(await below.get_children("/")), 3)

    @run
    async def test_create_and_stat(self) -> None:
        """The stat that comes with a node is the one that it has; refusals are those of ``create``."""
        path, stat = await self.client.create_and_stat(f"{self.root}/a-", b"one", sequence=True, ephemeral=True)
        self.assertEqual(await self.client.get(path), (b"one", stat))
        self.assertEqual((stat.ephemeralOwner, stat.dataLength), (self.client.session_id, 3))
        error = await self.fails(NodeExistsException, self.client.create_and_stat(path))
        self.assertEqual((error.path, error.applied), (path, False))
        await self.fails(NoNodeException, self.client.create_and_stat(f"{self.root}/no/a"))

    @run
    async def test_other_kinds(self) -> None:
        """Containers and nodes with a time to live are made where they were asked for, with the stat that they have."""
        container, stat = await self.client.create_container(f"{self.root}/c", b"x")
        self.assertEqual((container, stat), (f"{self.root}/c", await self.client.exists(container)))
        await self.fails(NodeExistsException, self.client.create_container(f"{self.root}/c"))
        path, stat = await self.client.create_with_ttl(f"{container}/t", b"x", ttl=60.0)
        self.assertEqual((path, stat), (f"{container}/t", await self.client.exists(path)))
        below, _ = await self.connect(self.root)
        path, _ = await below.create_with_ttl("/c/s-", ttl=60.0, sequence=True)
        self.assertRegex(path, r"\A/c/s-\d{10}\Z")
        await self.fails(NotEmptyException, self.client.delete(container))

    @run
    async def test_container_goes(self) -> None:
        """The server deletes a container some time after its last child, and watches report it."""
        news = await self.watch(f"{self.root}/c", recursive=True)
        await self.client.create_container(f"{self.root}/c")
        await self.client.create(f"{self.root}/c/a")
        gone = news.when(lambda step: step == WatchedEvent(DELETED, f"{self.root}/c", getattr(step, "zxid", None)))
        await self.client.delete(f"{self.root}/c/a")
        await self.within(gone)

    # Questions.

    @run
    async def test_children_and_stat(self) -> None:
        """A node's children come with its stat as of then."""
        self.assertEqual(await self.client.get_children_and_stat(self.root), ([], await self.client.exists(self.root)))
        for name in "ab":
            await self.client.create(f"{self.root}/{name}")
        names, stat = await self.client.get_children_and_stat(self.root)
        self.assertEqual((sorted(names), stat.numChildren, stat.cversion), (["a", "b"], 2, 2))
        self.assertEqual(stat, await self.client.exists(self.root))
        error = await self.fails(NoNodeException, self.client.get_children_and_stat(f"{self.root}/no"))
        self.assertEqual(error.path, f"{self.root}/no")

    @run
    @needing("get_ephemerals", "count_below")
    async def test_queries(self) -> None:
        """A session's own ephemerals, and the number of nodes below a path, are returned, with a chroot too."""
        below, _ = await self.connect(self.root)
        self.assertEqual((await below.get_ephemerals(), await below.count_below("/")), ([], 0))
        await below.create("/a", ephemeral=True)
        await below.create("/b")
        await below.create("/b/a", ephemeral=True)
        await self.client.create(f"{self.root}/mine", ephemeral=True)
        await below.sync("/")
        self.assertEqual(sorted(await below.get_ephemerals()), ["/a", "/b/a"])
        self.assertEqual(await below.get_ephemerals("/b"), ["/b/a"])
        self.assertEqual(await self.client.get_ephemerals(self.root), [f"{self.root}/mine"])
        self.assertEqual((await below.count_below("/"), await below.count_below("/b")), (4, 1))
        await self.fails(NoNodeException, below.count_below("/no"))

    @run
    @needing("who_am_i")
    async def test_who_am_i(self) -> None:
        """The server returns our identities, without secrets."""
        before = await self.client.who_am_i()
        self.assertEqual(before, [("ip", "127.0.0.1")])
        await self.within(self.client.add_auth("digest", b"user:s3cr3t"))
        self.assertCountEqual(await self.client.who_am_i(), [*before, ("digest", "user")])

    @run
    async def test_config(self) -> None:
        """The ensemble's configuration can be read from everywhere; a server that stands alone has none to change."""
        below, _ = await self.connect(self.root)
        for client in (self.client, below):
            config, stat = await client.get_config()
            self.assertEqual((config, config.connect_string), (EnsembleConfig(0, {}), ""))
            self.assertEqual(stat, await self.client.exists("/zookeeper/config"))
        answer, watch = below.get_config_and_watch()
        self.assertEqual((await answer)[0], config)
        self.assertFalse(watch.called)
        watch.cancel()
        await self.assertFailure(watch, CancelledError)
        error = await self.fails(ZooKeeperException, below.reconfig(leaving=[1]))
        self.assertIsInstance(error, (UnimplementedException, ReconfigDisabledException))

    @run
    async def test_server_can(self) -> None:
        """The client knows an ability once the server has shown it, and those of all servers from the start."""
        path = f"{self.root}/a"
        news = Recorder()
        for method, ask in (
            ("create_and_stat", lambda: self.client.create_and_stat(path)),
            ("create_container", lambda: self.client.create_container(f"{self.root}/c")),
            ("create_with_ttl", lambda: self.client.create_with_ttl(f"{self.root}/t", ttl=60.0)),
            ("get_many", lambda: self.client.get_many([path])),
            ("get_ephemerals", lambda: self.client.get_ephemerals(path)),
            ("count_below", lambda: self.client.count_below(path)),
            ("who_am_i", self.client.who_am_i),
            ("add_watch", lambda: self.client.add_watch(path, news)),
            ("check_watches", lambda: self.client.check_watches(path, WatchKind.ANY)),
            ("remove_watches", lambda: self.client.remove_watches(path, WatchKind.ANY)),
        ):
            self.assertIsNone(self.client.server_can(method), method)
            if method in self.lacking:
                renewed = self.feed.when_state(SessionState.CONNECTED)
                await self.fails(UnimplementedException, ask())
                self.assertIs(self.client.server_can(method), False, method)
                await self.within(renewed)
                continue
            await self.within(ask())
            self.assertIs(self.client.server_can(method), True, method)
        # These are the same operations by other names.
        for method in ("write_create", "get_children_many"):
            self.assertIs(self.client.server_can(method), True, method)
        for method in ("create", "get_children_and_stat", "get_config", "transaction", "set_watches", "sync"):
            self.assertIs(self.client.server_can(method), None if method in self.uncertain else True, method)
        self.assertIsNone(self.client.server_can("reconfig"))
        await self.fails(ZooKeeperException, self.client.reconfig(leaving=[1]))
        self.assertIs(self.client.server_can("reconfig"), False)
        self.assertRaises(ValueError, self.client.server_can, "connect")

    @run
    async def test_refusals_are_abilities(self) -> None:
        """A server that refuses something because of the node can do it all the same."""
        await self.fails(NoNodeException, self.client.create_and_stat(f"{self.root}/no/a"))
        self.assertIs(self.client.server_can("create_and_stat"), True)
        await self.fails(NoWatcherException, self.client.remove_watches(self.root, WatchKind.ANY))
        self.assertIs(self.client.server_can("remove_watches"), True)

    # Batches.

    @run
    async def test_batches(self) -> None:
        """Many nodes are read in one request, in the given order; one that cannot be read fails alone."""
        await self.within(self.client.add_auth("digest", b"user:s3cr3t"))
        await self.client.create(f"{self.root}/secret", b"s", CREATOR_ALL_ACL)
        for name in "ab":
            await self.client.create(f"{self.root}/{name}", name.encode())
        below, _ = await self.connect(self.root)
        await below.sync("/")
        b, missing, secret, a, again = await below.get_many(["/b", "/missing", "/secret", "/a", "/b"])
        self.assertEqual((a, b, again), (await below.get("/a"), await below.get("/b"), b))
        self.assertEqual([type(missing).__name__, type(secret).__name__], ["NoNodeException", "NoAuthException"])
        self.assertEqual((missing.path, secret.path), ("/missing", "/secret"))
        root, missing, leaf = await below.get_children_many(["/", "/missing", "/a"])
        self.assertEqual((sorted(root), leaf), (["a", "b", "secret"], []))
        self.assertIsInstance(missing, NoNodeException)

    @run
    async def test_long_batches(self) -> None:
        """Batches of none and of a thousand are answered; they leave no watches."""
        self.assertEqual((await self.client.get_many([]), await self.client.get_children_many([])), ([], []))
        await self.client.create(f"{self.root}/a", b"x")
        self.assertEqual((await self.client.read_many([])), (0, [], []))
        reply = await self.client.read_many(
            [f"{self.root}/a", f"{self.root}/missing"], [self.root, f"{self.root}/missing"]
        )
        (data, stat), no_data = reply.data
        names, no_names = reply.children
        self.assertEqual((data, stat), await self.client.get(f"{self.root}/a"))
        self.assertEqual(sorted(names), sorted(await self.client.get_children(self.root)))
        self.assertIsInstance(no_data, NoNodeException)
        self.assertIsInstance(no_names, NoNodeException)
        self.assertEqual({no_data.zxid, no_names.zxid}, {reply.zxid})
        self.assertGreaterEqual(reply.zxid, stat.mzxid)

        results = await self.within(self.client.get_many([f"{self.root}/a", self.root] * 500))
        self.assertEqual([data for data, _ in results], [b"x", b""] * 500)
        await self.client.set(f"{self.root}/a", b"y")
        self.assertFalse(await self.client.check_watches(f"{self.root}/a", WatchKind.ANY))
        self.assertEqual(self.feed.events, [])

    # Transactions.

    @run
    async def test_transaction(self) -> None:
        """A transaction's results come in order, with paths below the chroot; one that is refused changes nothing."""
        below, _ = await self.connect(self.root)
        transaction = below.transaction()
        transaction.create("/a", b"1")
        transaction.create("/a/s-", sequence=True, ephemeral=False)
        transaction.set("/a", b"2", 0)
        transaction.check("/a", 1)
        made, child, stat, checked = await transaction.commit()
        self.assertEqual((made, child, checked), ("/a", "/a/s-0000000000", None))
        self.assertEqual((await below.get("/a"))[0], b"2")
        self.assertEqual((stat.version, stat.dataLength), (1, 1))
        self.assertRaises(ValueError, transaction.commit)
        zxid = (await below.read_existence("/a")).zxid
        transaction = below.transaction()
        transaction.delete(child)
        transaction.set("/a", b"3", 0)
        transaction.delete("/a")
        error = await self.fails(TransactionFailedException, transaction.commit())
        self.assertEqual((error.index, type(error.error).__name__), (1, "BadVersionException"))
        self.assertEqual((error.applied, error.path), (False, "/a"))
        self.assertEqual(await below.get_children("/a"), ["s-0000000000"])
        self.assertEqual((await below.read_data("/a")).data, b"2")
        self.assertEqual((await below.exists("/a")).mzxid, stat.mzxid)
        self.assertLessEqual(stat.mzxid, zxid)

    # Handing over.

    @run
    @where_sessions_resume
    async def test_leave(self) -> None:
        """A client can leave without ending its session, which another goes on with, by a ticket that is text (A11, I4)."""
        other, feed = await self.connect(direct=True)
        session = other.session_id
        await other.create(f"{self.root}/e", ephemeral=True)
        stat = await other.set(f"{self.root}/e", b"x")
        last = other.set(f"{self.root}/e", b"y")
        ticket = await self.within(other.leave())
        # What was asked before is done, and what it showed goes with the ticket.
        self.assertGreater((await self.within(last)).mzxid, stat.mzxid)
        self.assertGreaterEqual(ticket.zxid, (await last).mzxid)
        self.assertEqual(feed.states, [SessionState.CONNECTED, SessionState.CLOSED])
        await self.fails(ClosingException, other.get(self.root))
        self.assertIn(session & 0xFFFFFFFFFFFFFFFF, await self.server.sessions())
        self.assertIsNotNone(await self.client.exists(f"{self.root}/e"))

        taker = self.take_over(SessionTicket.from_text(ticket.to_text()))
        self.assertEqual(taker.session_id, session)
        await self.within(taker.connect())
        self.assertEqual((taker.session_id, taker.session.session_number), (session, 1))
        self.assertEqual((await taker.exists(f"{self.root}/e")).ephemeralOwner, session)
        await taker.create(f"{self.root}/f", ephemeral=True)
        self.assertEqual(sorted(await taker.get_ephemerals(self.root)), [f"{self.root}/e", f"{self.root}/f"])
        await self.within(taker.close())
        self.assertNotIn(session & 0xFFFFFFFFFFFFFFFF, await self.server.sessions())
        await self.client.sync(self.root)
        self.assertEqual(await self.client.get_children(self.root), [])

    @run
    @where_sessions_resume
    async def test_leave_with_watches(self) -> None:
        """Watches are not handed over: the Deferreds of pending ones fail, and the next client sets its own (I4)."""
        other, _ = await self.connect(direct=True)
        news = Recorder()
        await other.add_watch(self.root, news)
        answer, watch = other.get_and_watch(self.root)
        await answer
        ticket = await self.within(other.leave())
        await self.fails(ClosingException, watch)
        self.assertEqual(news.states, [SessionState.CLOSED])
        taker = self.take_over(ticket)
        feed = Recorder()
        taker.add_listener(feed)
        await self.within(taker.connect())
        await taker.set_watches(ticket.zxid, data=[self.root])
        await self.client.set(self.root, b"x")
        await taker.sync(self.root)
        self.assertEqual((feed.events, news.events), ([WatchedEvent(CHANGED, self.root)], []))

    @run
    async def test_leave_without_a_session(self) -> None:
        """A client without a session has no ticket."""
        client = self.client_of(self.server.address)
        self.assertIsNone(await self.within(client.leave()))
        self.assertIsNone(await self.within(client.leave()))

    @run
    async def test_ticket_of_an_ended_session(self) -> None:
        """A session that has ended meanwhile is followed by a new one (A11)."""
        other, _ = await self.connect(direct=True)
        await other.create(f"{self.root}/e", ephemeral=True)
        ticket = other.session_ticket
        self.assertEqual(ticket.session_id, other.session_id)
        self.assertNotIn(ticket.password.hex(), repr(ticket))
        await self.within(other.close())
        self.assertIsNone(other.session_ticket)
        taker = self.take_over(ticket)
        feed = Recorder()
        taker.add_listener(feed)
        queued = taker.create(f"{self.root}/never")
        queued.addErrback(lambda failure: failure.value)
        await self.within(taker.connect())
        self.assertIsInstance(await self.within(queued), SessionExpiredException)
        self.assertEqual(feed.states, [SessionState.EXPIRED, SessionState.CONNECTED])
        self.assertNotEqual(taker.session_id, ticket.session_id)
        self.assertEqual(await taker.get_children(self.root), [])
        self.assertEqual(taker.session.session_number, 2)
