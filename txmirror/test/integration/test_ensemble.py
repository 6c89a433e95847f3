"""The native client at a real ensemble that loses a server, its leader, or its quorum.

The rules are those of ``docs/explanation/rules.rst``.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from txmirror.errors import ConnectionLossException
from txmirror.test.client.contract import run
from txmirror.test.integration.ensembles import EnsembleCase
from txmirror.types import EventType, SessionState, WatchedEvent


class EnsembleTests(EnsembleCase):
    # Longer than a quorum takes to come back, after which the sessions begin their whole time anew.
    session_timeout = 6.0

    async def prepare(self, client: Any, name: str) -> tuple[str, Deferred[WatchedEvent]]:
        """Create an ephemeral node, and set a watch on it."""
        path = f"{self.root}/{name}"
        await client.create(path, b"0", ephemeral=True)
        answer, watch = client.get_and_watch(path)
        await answer
        return path, watch

    def queue(self, client: Any, path: str) -> list[Deferred[Any]]:
        """Send requests that succeed only in this order, and in this session."""
        return [client.set(path, b"1", 0), client.set(path, b"2", 1), client.get(path)]

    async def assert_kept(
        self, client: Any, session: int, watch: Deferred[WatchedEvent], queued: list[Deferred[Any]]
    ) -> None:
        """Check that a session is alive, that queued requests were sent in it, and that the watch has fired: rules 5 to 8."""
        data, stat = (await self.within(gatherResults(queued)))[-1]
        self.assertEqual((data, stat.version, stat.ephemeralOwner), (b"2", 2, session))
        self.assertEqual((client.session_id, client.session.session_number), (session, 1))
        self.assertEqual((await self.within(watch)).type, EventType.CHANGED)

    @run
    async def test_leader_killed(self) -> None:
        """The sessions continue at the new leader, whichever server they were connected to; the outcome of sent
        requests is unknown, and queued ones are sent (E1, E2).
        """
        mine, theirs = self.client.session_id, self.other.session_id
        path, watch = await self.prepare(self.client, "mine")
        their_path, their_watch = await self.prepare(self.other, "theirs")
        suspended = self.feed.when_state(SessionState.SUSPENDED)
        also_suspended = self.when_at(self.other, SessionState.SUSPENDED)
        self.leader.pause()
        pending = self.client.create(f"{self.root}/p")
        await deferToThread(self.leader.kill)
        await self.unanswered(pending)
        await self.within(gatherResults([suspended, also_suspended]))
        queued = self.queue(self.client, path)
        their_queued = self.queue(self.other, their_path)
        await deferToThread(self.ensemble.leader)
        elected = self.now
        await self.connected(2)
        # A server that has just elected may refuse for a moment; then each is tried with its pause.
        self.assert_within(6 * self.session_timeout / 20, elected)
        await self.assert_kept(self.client, mine, watch, queued)
        await self.assert_kept(self.other, theirs, their_watch, their_queued)
        await self.client.sync(self.root)
        self.assert_told(WatchedEvent(EventType.CHANGED, path))
        self.assertEqual(sorted(await self.other.get_children(self.root)), ["mine", "theirs"])

    @run
    async def test_quorum_lost(self) -> None:
        """Without a quorum nobody has a session served; when it is back, all go on as they were (F4)."""
        mine, theirs = self.client.session_id, self.other.session_id
        path, watch = await self.prepare(self.client, "mine")
        their_path, their_watch = await self.prepare(self.other, "theirs")
        suspended = self.feed.when_state(SessionState.SUSPENDED)
        also_suspended = self.when_at(self.other, SessionState.SUSPENDED)
        # The other client's server is left alone, and has to stop serving.
        for member in (self.leader, self.followers[1]):
            await deferToThread(member.kill)
        await self.within(gatherResults([suspended, also_suspended]))
        queued = self.queue(self.client, path)
        their_queued = self.queue(self.other, their_path)
        await deferToThread(self.ensemble.start)
        back = self.now
        await self.connected(2)
        self.assert_within(6 * self.session_timeout / 20, back)
        self.assertNotIn(SessionState.LOST, self.feed.states)
        await self.assert_kept(self.client, mine, watch, queued)
        await self.assert_kept(self.other, theirs, their_watch, their_queued)
        await self.client.sync(self.root)
        self.assert_told(WatchedEvent(EventType.CHANGED, path))

    @run
    async def test_session_moved(self) -> None:
        """A session whose server stands still goes on at another; when that one wakes up, it changes nothing any more
        (E5).
        """
        client = self.client_of(",".join(member.address for member in self.followers), session_timeout=2.0)
        await self.within(client.connect())
        session = client.session_id
        path, watch = await self.prepare(client, "moved")
        began = self.now
        moved = self.when_at(client, SessionState.CONNECTED)
        self.followers[0].pause()
        await self.unanswered(client.set(path, b"lost"))
        self.assert_within(2.0 * 2 / 3, began)
        await self.within(moved)
        # The next server is tried at once, with a third of S for an attempt.
        self.assert_within(2.0, began)
        stat = await self.client.exists(path)
        self.assertEqual((stat.ephemeralOwner, stat.version), (session, 0))
        disturbed = self.when_at(client, SessionState.SUSPENDED)
        self.followers[0].resume()
        await client.set(path, b"new", 0)
        self.assertEqual((await self.within(watch)).type, EventType.CHANGED)
        await deferToThread(self.ensemble.heal)
        # What the server that stood still had not read came from a connection that its session has left.
        await client.sync(path)
        data, stat = await client.get(path)
        self.assertEqual((data, stat.version, stat.ephemeralOwner), (b"new", 1, session))
        self.assertEqual((client.session_id, client.session.session_number), (session, 1))
        self.assertFalse(disturbed.called)
        await self.within(client.close())

    @run
    async def test_no_server_at_all(self) -> None:
        """Requests without any server are sent when they are back, as long as the session is alive (E2)."""
        session = self.client.session_id
        path, watch = await self.prepare(self.client, "mine")
        suspended = self.feed.when_state(SessionState.SUSPENDED)
        await deferToThread(self.ensemble.kill)
        await self.within(suspended)
        queued = self.queue(self.client, path)
        await deferToThread(self.ensemble.start)
        back = self.now
        await self.connected(2)
        self.assert_within(6 * self.session_timeout / 20, back)
        await self.assert_kept(self.client, session, watch, queued)
        try:
            await self.other.sync(self.root)
        except ConnectionLossException:
            await self.other.sync(self.root)
