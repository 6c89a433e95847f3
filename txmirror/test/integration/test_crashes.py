"""The native client while a real server's process is paused, killed, or wiped.

The rules are those of ``docs/explanation/rules.rst``.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from txmirror.errors import ConnectionLossException, SessionExpiredException, ZooServerProblem
from txmirror.test.client.contract import ContractServer, run
from txmirror.test.integration.faults import Brisk, HurtCase
from txmirror.test.integration.test_client_contract import Own
from txmirror.test.zookeeper import ZooKeeperProcess
from txmirror.types import EventType, SessionState, WatchedEvent


class CrashCase(HurtCase):
    """A client at a server of the test's own."""

    timeout = 60
    # It has to be longer than a server takes to come back, after which a session begins its whole time anew.
    session_timeout = 4.0

    async def start_server(self) -> ContractServer:
        self.process = ZooKeeperProcess()
        self.addCleanup(self.process.cleanup)
        await deferToThread(self.process.start)
        return Own(self.process)

    async def prepare(self) -> tuple[int, Deferred[WatchedEvent]]:
        """Create an ephemeral node, and set a watch on it."""
        await self.client.create(f"{self.root}/e", b"0", ephemeral=True)
        answer, watch = self.client.get_and_watch(f"{self.root}/e")
        await answer
        return self.client.session_id, watch

    def queue(self) -> list[Deferred[Any]]:
        """Send requests that succeed only in this order, and in this session."""
        path = f"{self.root}/e"
        return [
            self.client.set(path, b"1", 0),
            self.client.set(path, b"2", 1),
            self.client.create(f"{self.root}/q"),
            self.client.get(path),
        ]

    async def assert_kept(
        self, session: int, watch: Deferred[WatchedEvent], queued: list[Deferred[Any]], since: float
    ) -> None:
        """Check that the session is alive, that queued requests were sent in it, and that the watch has fired once: rules 5 to 8.

        :param since: when there was a server that could be reached.
        """
        await self.connected(2)
        self.assert_within(3 * self.session_timeout / 20, since)
        data, stat = (await self.within(gatherResults(queued)))[-1]
        self.assertEqual((data, stat.version, stat.ephemeralOwner), (b"2", 2, session))
        self.assert_same_session(session)
        self.assertEqual((await self.within(watch)).type, EventType.CHANGED)
        await self.client.sync(self.root)
        self.assert_told(WatchedEvent(EventType.CHANGED, f"{self.root}/e"))
        other, _ = await self.connect()
        self.assertEqual((await other.exists(f"{self.root}/e")).ephemeralOwner, session)
        self.assertEqual(self.feed.states.count(SessionState.SUSPENDED), 1)


class CrashTests(CrashCase):
    @run
    async def test_paused(self) -> None:
        """A server that stands still is given up in time, and taken again when it goes on (B1)."""
        session, watch = await self.prepare()
        suspended = self.feed.when_state(SessionState.SUSPENDED)
        self.process.pause()
        began = self.now
        await self.unanswered(self.client.get(self.root))
        self.assert_within(self.session_timeout * 2 / 3, began)
        await self.within(suspended)
        queued = self.queue()
        self.process.resume()
        # The attempt that is under way is answered, or the one after it.
        await self.assert_kept(session, watch, queued, self.now + self.session_timeout / 3)

    @run
    async def test_killed(self) -> None:
        """A server that is killed with a request unread, and comes back, has the session with all of it (E1, F1)."""
        session, watch = await self.prepare()
        suspended = self.feed.when_state(SessionState.SUSPENDED)
        self.process.pause()
        pending = self.client.create(f"{self.root}/p")
        await deferToThread(self.process.kill)
        await self.unanswered(pending)
        await self.within(suspended)
        queued = self.queue()
        await deferToThread(self.process.start)
        await self.assert_kept(session, watch, queued, self.now)
        self.assertIsNone(await self.client.exists(f"{self.root}/p"))


class WipeTests(CrashCase):
    session_timeout = 2.0
    random = Brisk

    @run
    async def test_wiped(self) -> None:
        """Servers that have forgotten everything are refused by us for S, and then begin a new data generation (A3)."""
        session, watch = await self.prepare()
        for _ in range(20):
            await self.client.set(self.root, b"what will be forgotten")
        suspended = self.feed.when_state(SessionState.SUSPENDED)
        await deferToThread(self.process.kill)
        await self.within(suspended)
        queued = self.client.create("/q")
        self.process.wipe()
        await deferToThread(self.process.start)
        began = self.now
        connected = self.feed.when_session_number(2)
        error = await self.fails(ZooServerProblem, queued)
        self.assertIs(error.applied, False)
        kind = ConnectionLossException if SessionState.LOST in self.feed.states else SessionExpiredException
        self.assertIs(type(error), kind)
        await self.fails(SessionExpiredException, watch)
        await self.within(connected)
        self.assert_within(self.session_timeout, began)
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (2, 1))
        self.assertNotEqual(self.client.session_id, session)
        self.assertEqual(await self.client.get_children("/"), ["zookeeper"])
        self.assertEqual(self.feed.states.count(SessionState.EXPIRED), 1)
        self.assert_told()
        await self.client.create(self.root)
