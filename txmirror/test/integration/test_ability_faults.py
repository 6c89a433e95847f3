"""Abilities of the client that others lack, with faults that a proxy injects between it and a real server.

The rules are those of ``docs/explanation/rules.rst``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from txmirror.test.client.contract import Recorder, run
from txmirror.test.integration.faults import FaultCase, Restless
from txmirror.test.integration.test_faults import BARE_REPLY, HANDSHAKE, event_length
from txmirror.types import EventType, SessionState, WatchedEvent
from txmirror.wire import Operation

#: How soon a node is gone that nobody waits for any more, in seconds: two requests' time, on a shared machine.
SOON = 2.0


class ProtectedCreateTests(FaultCase):
    """The answer to a create is lost, whose node can be recognised."""

    def create(self) -> Deferred[str]:
        """Create a node that must exist exactly once, or not at all."""
        made: Deferred[str] = self.client.create(f"{self.root}/a-", b"x", protect=True, sequence=True, ephemeral=True)
        return made

    async def when_empty(self) -> None:
        """Wait until no node is left, for as long as that may take."""
        began = self.now
        await self.other.sync(self.root)
        while await self.other.get_children(self.root):
            self.assertLess(self.now - began, SOON, "a node is left")
            await deferLater(self.reactor, 0.01)

    async def assert_one(self, made: Deferred[str]) -> None:
        """Check that there is one node, the reported one."""
        path = await self.within(made)
        self.assertEqual([f"{self.root}/{name}" for name in await self.other.get_children(self.root)], [path])
        self.assertEqual((await self.other.exists(path)).ephemeralOwner, self.client.session_id)

    @run
    async def test_made(self) -> None:
        """A node whose reply was lost is found: there is one node, and the create returns its path (H1, H3)."""
        session = self.client.session_id
        struck = self.proxy.swallow_reply_to(Operation.CREATE)
        made = self.create()
        await self.within(struck)
        await self.assert_one(made)
        self.assertEqual(self.proxy.requests[Operation.CREATE], 2)
        self.assert_same_session(session)

    @run
    async def test_made_and_the_search_is_cut_off_too(self) -> None:
        """However often the connection goes while the node is looked for, it is found (H3)."""
        faults = [Operation.CREATE, Operation.SYNC, Operation.GET_CHILDREN2, Operation.EXISTS]
        struck = [self.proxy.swallow_reply_to(operation) for operation in faults]
        await self.assert_one(self.create())
        await self.within(gatherResults(struck))
        self.assertEqual(self.proxy.requests[Operation.CREATE], 2)

    @run
    async def test_not_made(self) -> None:
        """A create that never reached the server is sent again, and makes one node (H1)."""
        sent = self.proxy.requests[Operation.CREATE]
        struck = self.proxy.cut_after(to_server=30)
        made = self.create()
        await self.within(struck)
        await self.assert_one(made)
        self.assertEqual(self.proxy.requests[Operation.CREATE], sent + 1)

    @run
    async def test_with_its_stat(self) -> None:
        """``create_and_stat`` returns the stat of a node that was found (H3)."""
        struck = self.proxy.swallow_reply_to(Operation.CREATE2)
        path, stat = await self.within(self.client.create_and_stat(f"{self.root}/a", b"x", protect=True))
        await self.within(struck)
        self.assertEqual(await self.other.get(path), (b"x", stat))
        self.assertEqual(len(await self.other.get_children(self.root)), 1)

    async def give_up(self, when: Callable[[Deferred[None]], Any], *faults: Operation) -> None:
        """Cancel a create whose answer is lost, and see that nothing of it is left."""
        session = self.client.session_id
        struck = [self.proxy.swallow_reply_to(operation) for operation in faults]
        made = self.create()
        await when(struck[-1])
        made.cancel()
        await self.assertFailure(made, CancelledError)
        self.proxy.open()
        await self.within(gatherResults(struck))
        await self.connected(1 + len(faults))
        await self.when_empty()
        # It was made before: that it is gone is no accident.
        self.assertEqual((await self.other.exists(self.root)).cversion, 2)
        self.assert_same_session(session)

    @run
    async def test_cancelled_before_the_loss(self) -> None:
        """A create that is cancelled at once leaves no node, although the reply is lost (H3)."""

        async def at_once(struck: Deferred[None]) -> None:
            pass

        await self.give_up(at_once, Operation.CREATE)

    @run
    async def test_cancelled_while_away(self) -> None:
        """A create that is cancelled without a connection leaves no node (H3)."""

        async def away(struck: Deferred[None]) -> None:
            struck.addCallback(lambda _: self.proxy.shut())
            await self.within(self.feed.when_state(SessionState.SUSPENDED))

        await self.give_up(away, Operation.CREATE)

    @run
    async def test_cancelled_while_it_is_looked_for(self) -> None:
        """A create that is cancelled during the search leaves no node, even if the connection is lost again (H3)."""

        async def looked_for(struck: Deferred[None]) -> None:
            await self.within(struck)

        await self.give_up(looked_for, Operation.CREATE, Operation.GET_CHILDREN2)

    @run
    async def test_cancelled_and_the_deletion_is_cut_off(self) -> None:
        """Giving it up is tried until it has worked (H3)."""
        faults = [self.proxy.swallow_reply_to(operation) for operation in (Operation.CREATE, Operation.SYNC)]
        made = self.create()
        made.cancel()
        await self.assertFailure(made, CancelledError)
        await self.within(gatherResults(faults))
        await self.within(self.proxy.swallow_reply_to(Operation.GET_CHILDREN2))
        await self.when_empty()
        self.assertEqual((await self.other.exists(self.root)).cversion, 2)

    @run
    async def test_cancelled_with_the_answer_on_its_way(self) -> None:
        """A create that is cancelled leaves no node without faults either (H3)."""
        made = self.create()
        made.cancel()
        await self.assertFailure(made, CancelledError)
        await self.client.sync(self.root)
        await self.when_empty()
        self.assertEqual((await self.other.exists(self.root)).cversion, 2)


class PersistentWatchTests(FaultCase):
    """Connections go that carry watches which last."""

    session_timeout = 6.0
    random = Restless

    @run
    async def test_every_byte(self) -> None:
        """Wherever the answer to the watches that are set again is cut off, the persistent one is set afterwards, and
        reports each change once (C4); so does a one-shot watch on its own path, and that gets a change from in
        between (C5, C10).
        """
        session, news = self.client.session_id, Recorder()
        path = f"{self.root}/a"
        await self.client.create(path)
        await self.client.add_watch(path, news, recursive=True)
        # The event of the one-shot watch, and the answer.
        size = event_length(path) + BARE_REPLY
        for count in range(size + 1):
            answer, watch = self.client.get_and_watch(path)
            await answer
            suspended = self.feed.when_state(SessionState.SUSPENDED)
            self.proxy.cut()
            await self.within(suspended)
            await self.other.set(path, b"%d" % count)
            struck = self.proxy.cut_after(to_client=HANDSHAKE + count)
            self.proxy.open()
            await self.within(struck)
            await self.connected(2 * count + 3)
            self.assertEqual((await self.within(watch)).type, EventType.CHANGED)
            await self.client.sync(path)
            news.told.clear()
            await self.other.create(f"{path}/{count}")
            await self.other.set(path, b"")
            await self.client.sync(path)
            self.assertEqual(
                news.told,
                [WatchedEvent(EventType.CREATED, f"{path}/{count}"), WatchedEvent(EventType.CHANGED, path)],
                count,
            )
        self.assertEqual(self.proxy.replies[Operation.SET_WATCHES2], size + 2)
        self.assert_same_session(session)

    @run
    async def test_many_one_shots(self) -> None:
        """Of three hundred one-shot watches those fire that have missed a change, once, with a persistent one above them all
        (C4, C5, C9).
        """
        session, news = self.client.session_id, Recorder()
        paths = [f"{self.root}/{number:03}" for number in range(300)]
        fired: list[str] = []
        await self.within(gatherResults([self.client.create(path) for path in paths]))
        await self.client.add_watch(self.root, news, recursive=True)
        for path in paths:
            answer, watch = self.client.get_and_watch(path)
            watch.addCallback(lambda event: fired.append(event.path))
        await self.within(answer)
        changed, others = paths[::6], [path for path in paths if path not in paths[::6]]

        async def change() -> None:
            await gatherResults([self.other.set(path, b"x") for path in changed])

        await self.interrupt(change)
        await self.client.sync(self.root)
        await self.client.set_watches(1)
        self.assertEqual(sorted(fired), changed)
        self.assert_told(*(WatchedEvent(EventType.CHANGED, path) for path in changed))
        # From now on the persistent watch tells of everything, and those that are left of their own.
        news.told.clear()
        await self.within(gatherResults([self.other.set(path, b"y") for path in paths]))
        await self.client.sync(self.root)
        self.assertEqual(sorted(fired), paths)
        self.assertEqual(sorted(fired[len(changed) :]), others)
        self.assertEqual(sorted(news.events), [WatchedEvent(EventType.CHANGED, path) for path in paths])
        self.assertEqual(len(self.feed.events), len(changed) + len(paths))
        self.assert_same_session(session)
