"""The native client through every fault that a proxy can bring between it and a real server.

The rules are those of ``docs/explanation/rules.rst``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from txmirror.errors import ConnectionLossException, SessionExpiredException
from txmirror.test.client.contract import run
from txmirror.test.integration.faults import FaultCase, Restless
from txmirror.types import EventType, SessionState, WatchedEvent
from txmirror.wire import Operation

#: The lengths of frames, their own length field counted: the answer to the handshake, and a reply without a record.
HANDSHAKE = 41
BARE_REPLY = 20


def event_length(path: str) -> int:
    """The length of a watch event's frame."""
    return BARE_REPLY + 12 + len(path)


class EveryByteTests(FaultCase):
    """The connection is cut at every byte of the server's data."""

    # A ping's answer would shift the count; so there is none.
    session_timeout = 6.0
    random = Restless

    @run
    async def test_handshake_of_a_session_that_lives(self) -> None:
        """Wherever the handshake's answer is cut off, the session continues (F4)."""
        session = self.client.session_id
        await self.client.create(f"{self.root}/e", ephemeral=True)
        for count in range(HANDSHAKE):
            struck = self.proxy.cut_after(to_client=count)
            self.proxy.drop()
            await self.within(struck)
            await self.connected(count + 2)
        self.assert_same_session(session)
        self.assertEqual(self.proxy.accepted, 1 + 2 * HANDSHAKE)
        self.assertEqual((await self.other.exists(f"{self.root}/e")).ephemeralOwner, session)

    @run
    async def test_handshake_of_a_new_session(self) -> None:
        """Wherever the handshake's answer is cut off, the next attempt opens a session, and it is the first (A8)."""
        for count in range(HANDSHAKE):
            struck = self.proxy.cut_after(to_client=count)
            client = self.client_of(self.server.address, session_timeout=1.0)
            await self.within(client.connect())
            await self.within(struck)
            self.assertEqual(client.session.session_number, 1)
            await self.within(client.close())

    @run
    async def test_ordinary_reply(self) -> None:
        """Wherever a reply is cut off, its request fails with an unknown outcome (B3, E1); a whole one counts."""
        session = self.client.session_id
        path = f"{self.root}/a"
        await self.client.create(path, b"data")
        before = self.proxy.bytes_to_client
        await self.client.get(path)
        size = self.proxy.bytes_to_client - before
        self.assertEqual(size, BARE_REPLY + 4 + 4 + 68)
        for count in range(size + 1):
            struck = self.proxy.cut_after(to_client=count)
            answer = self.client.get(path)
            if count < size:
                await self.unanswered(answer)
            else:
                self.assertEqual((await self.within(answer))[0], b"data")
            await self.within(struck)
            await self.connected(count + 2)
        self.assert_same_session(session)

    @run
    async def test_request(self) -> None:
        """Wherever a request is cut off, no failure claims that it had no effect, and only a whole one is carried out
        (E1, H1).
        """
        session = self.client.session_id
        before = self.proxy.bytes_to_server
        await self.client.create(f"{self.root}/whole")
        size = self.proxy.bytes_to_server - before
        for count in range(size + 1):
            struck = self.proxy.cut_after(to_server=count)
            await self.unanswered(self.client.create(f"{self.root}/a-{count:03}"))
            await self.within(struck)
            await self.connected(count + 2)
        await self.client.sync(self.root)
        # What becomes of the last, which was cut off behind its last byte, only the server knows.
        made = set(await self.client.get_children(self.root)) - {f"a-{size:03}"}
        self.assertEqual(made, {"whole"})
        self.assert_same_session(session)

    @run
    async def test_event(self) -> None:
        """Wherever an event is cut off, its watch fires once (C1, D5)."""
        path = f"{self.root}/a"
        await self.client.create(path)
        size = event_length(path)
        for count in range(size + 1):
            answer, watch = self.client.get_and_watch(path)
            await answer
            struck = self.proxy.cut_after(to_client=count)
            await self.other.set(path, b"%d" % count)
            await self.within(struck)
            await self.connected(count + 2)
            event = await self.within(watch)
            self.assertEqual(event[:2], (EventType.CHANGED, path))
            # The answers to the watches that were set again come before this one.
            await self.client.sync(path)
        self.assert_told(*[WatchedEvent(EventType.CHANGED, path)] * (size + 1))

    @run
    async def test_watches_set_again(self) -> None:
        """Wherever the answer to the watches that are set again is cut off, with the event before it, the watch on the
        changed node fires once, and the others stay (C5, C6).
        """
        changed, kept, missing = (f"{self.root}/{name}" for name in ("changed", "kept", "missing"))
        for path in (changed, kept):
            await self.client.create(path)
        watches = []
        for answer, watch in (
            self.client.get_and_watch(kept),
            self.client.exists_and_watch(missing),
            self.client.get_children_and_watch(kept),
        ):
            await answer
            watches.append(watch)
        size = event_length(changed) + BARE_REPLY
        for count in range(size + 1):
            answer, watch = self.client.get_and_watch(changed)
            await answer
            suspended = self.feed.when_state(SessionState.SUSPENDED)
            self.proxy.cut()
            await self.within(suspended)
            await self.other.set(changed, b"%d" % count)
            struck = self.proxy.cut_after(to_client=HANDSHAKE + count)
            self.proxy.open()
            await self.within(struck)
            await self.connected(2 * count + 3)
            self.assertEqual((await self.within(watch)).type, EventType.CHANGED)
            await self.client.sync(changed)
        told = [WatchedEvent(EventType.CHANGED, changed)] * (size + 1)
        self.assert_told(*told)
        await self.other.create(f"{kept}/child")
        await self.other.set(kept, b"")
        await self.other.create(missing)
        await self.within(gatherResults(watches))
        await self.client.sync(changed)
        told += [WatchedEvent(EventType.CHILD, kept), WatchedEvent(EventType.CHANGED, kept)]
        self.assert_told(*told, WatchedEvent(EventType.CREATED, missing))


class LostReplyTests(FaultCase):
    """The server carries out the request, and its reply is lost."""

    async def swallow(self, operation: Operation, ask: Callable[[], Deferred[Any]]) -> None:
        """Ask for something whose answer is lost, and see that it was asked once: rule 7."""
        session, connections = self.client.session_id, self.feed.states.count(SessionState.CONNECTED)
        requests, replies = self.proxy.requests[operation], self.proxy.replies[operation]
        struck = self.proxy.swallow_reply_to(operation)
        answer = ask()
        behind = self.client.get(self.root)
        await self.unanswered(answer)
        await self.unanswered(behind)
        await self.within(struck)
        await self.connected(connections + 1)
        await self.client.sync(self.root)
        self.assertEqual(self.proxy.requests[operation], requests + 1)
        self.assertEqual(self.proxy.replies[operation], replies)
        self.assert_same_session(session)

    @run
    async def test_create(self) -> None:
        """A node is there, once (H1)."""
        await self.swallow(Operation.CREATE, lambda: self.client.create(f"{self.root}/a", b"data"))
        data, stat = await self.other.get(f"{self.root}/a")
        self.assertEqual((data, stat.version), (b"data", 0))
        self.assertEqual((await self.other.exists(self.root)).cversion, 1)

    @run
    async def test_create_in_sequence(self) -> None:
        """An ephemeral in a sequence is there, once, and is the session's (H1)."""
        await self.swallow(
            Operation.CREATE, lambda: self.client.create(f"{self.root}/a-", ephemeral=True, sequence=True)
        )
        (name,) = await self.other.get_children(self.root)
        self.assertEqual((await self.other.exists(f"{self.root}/{name}")).ephemeralOwner, self.client.session_id)

    @run
    async def test_set(self) -> None:
        """Data are set, once (H1)."""
        await self.swallow(Operation.SET_DATA, lambda: self.client.set(self.root, b"new"))
        data, stat = await self.other.get(self.root)
        self.assertEqual((data, stat.version), (b"new", 1))

    @run
    async def test_delete(self) -> None:
        """A node is gone (H1)."""
        await self.other.create(f"{self.root}/a")
        await self.swallow(Operation.DELETE, lambda: self.client.delete(f"{self.root}/a"))
        self.assertIsNone(await self.other.exists(f"{self.root}/a"))
        self.assertEqual((await self.other.exists(self.root)).cversion, 2)

    @run
    async def test_transaction(self) -> None:
        """A transaction is done, all of it, once (H1)."""
        transaction = self.client.transaction()
        transaction.create(f"{self.root}/a-", sequence=True)
        transaction.set(self.root, b"new")
        await self.swallow(Operation.MULTI, transaction.commit)
        self.assertEqual(len(await self.other.get_children(self.root)), 1)
        data, stat = await self.other.get(self.root)
        self.assertEqual((data, stat.version), (b"new", 1))

    @run
    async def test_cut_between_replies(self) -> None:
        """Answered requests have succeeded, sent ones are unknown, and later ones are sent in order (E1, E2)."""
        session = self.client.session_id
        self.proxy.drop()
        await self.connected(2)
        # The requests of a connection are numbered from 1.
        struck = self.proxy.cut_after_reply(2)
        struck.addCallback(lambda _: self.proxy.shut())
        first, second, third = (self.client.create(f"{self.root}/{name}") for name in "abc")
        self.assertEqual(await self.within(gatherResults([first, second])), [f"{self.root}/a", f"{self.root}/b"])
        await self.unanswered(third)
        await self.within(struck)
        queued = [
            self.client.create(f"{self.root}/d", b"0", ephemeral=True),
            self.client.set(f"{self.root}/d", b"1", 0),
            self.client.set(f"{self.root}/d", b"2", 1),
            self.client.get(f"{self.root}/d"),
        ]
        self.proxy.open()
        data, stat = (await self.within(gatherResults(queued)))[-1]
        self.assertEqual((data, stat.version, stat.ephemeralOwner), (b"2", 2, session))
        self.assert_same_session(session)

    @run
    async def test_cut_between_events(self) -> None:
        """Each event of a transaction fires its watch once, on whichever connection it arrives (C14, D5)."""
        paths = [f"{self.root}/{name}" for name in "abc"]
        watches = []
        for path in paths:
            await self.client.create(path)
            answer, watch = self.client.get_and_watch(path)
            await answer
            watches.append(watch)
        struck = self.proxy.cut_after_event(2)
        transaction = self.other.transaction()
        for path in paths:
            transaction.set(path, b"new")
        await transaction.commit()
        await self.within(struck)
        await self.connected(2)
        await self.within(gatherResults(watches))
        await self.client.sync(self.root)
        self.assert_told(*(WatchedEvent(EventType.CHANGED, path) for path in paths))


class SilenceTests(FaultCase):
    """Data does not arrive, and no connection is closed."""

    @run
    async def test_outbound_stalled(self) -> None:
        """If requests do not reach the server, the client notices it in spite of events (B1), and no event is lost or doubled."""
        session = self.client.session_id
        paths = [f"{self.root}/{number}" for number in range(40)]
        watches = []
        for path in paths:
            await self.client.create(path)
            answer, watch = self.client.get_and_watch(path)
            await answer
            watches.append(watch)
        began = self.now

        async def change_all() -> None:
            for path in paths:
                await self.other.set(path, b"new")
                await deferLater(self.reactor, self.session_timeout / len(paths))

        self.proxy.stall(to_client=False)
        pending = self.client.create(f"{self.root}/new")
        changing = Deferred.fromCoroutine(change_all())
        await self.unanswered(pending)
        self.assert_within(self.session_timeout * 2 / 3, began)
        self.assertGreater(len(self.feed.events), 5)
        self.proxy.resume()
        await self.connected(2)
        self.assert_same_session(session)
        await self.within(gatherResults([changing, *watches]))
        await self.client.sync(self.root)
        self.assert_told(*(WatchedEvent(EventType.CHANGED, path) for path in paths))
        # The connection was broken before the request could arrive.
        self.assertIsNone(await self.client.exists(f"{self.root}/new"))

    @run
    async def test_half_open(self) -> None:
        """If no data arrives in one direction or both, the session continues at another server (B1, B2)."""
        for to_client, to_server, busy in ((True, True, True), (True, True, False), (True, False, True)):
            dead, alive = self.make_proxy(), self.make_proxy()
            client = self.client_of(f"{dead.address},{alive.address}")
            await self.within(client.connect())
            self.assertEqual((dead.accepted, alive.accepted), (1, 0))
            session, path = client.session_id, f"{self.root}/e-{busy}-{to_server}"
            await client.create(path, ephemeral=True)
            began = self.now
            dead.stall(to_client=to_client, to_server=to_server)
            if busy:
                await self.unanswered(client.set(path, b"new"))
                self.assert_within(self.session_timeout * 2 / 3, began)
            elsewhere = self.when_at(client, SessionState.CONNECTED)
            await self.within(elsewhere)
            # An idle client has heard something when the stall began, or up to a third of S before.
            self.assert_within(self.session_timeout * 2 / 3, began)
            self.assertEqual((client.session_id, client.session.session_number), (session, 1))
            self.assertEqual(alive.accepted, 1)
            data, stat = await client.get(path)
            self.assertEqual(stat.ephemeralOwner, session)
            # The server has done what it was asked, exactly if it was reached; and it was asked once.
            expected = (b"", 0) if to_server or not busy else (b"new", 1)
            self.assertEqual((data, stat.version), expected)
            await self.within(client.close())

    @run
    async def test_black_hole(self) -> None:
        """A first host that accepts and sends nothing takes one attempt, at the start and later (B4)."""
        hole, good = self.make_proxy(), self.make_proxy()
        hole.hold()
        client = self.client_of(f"{hole.address},{good.address}")
        began = self.now
        await self.within(client.connect())
        self.assert_within(self.session_timeout / 3, began)
        session = client.session_id
        await client.create(f"{self.root}/e", ephemeral=True)
        again = self.when_at(client, SessionState.CONNECTED)
        began = self.now
        good.drop()
        queued = client.set(f"{self.root}/e", b"new")
        await self.within(again)
        self.assert_within(self.session_timeout / 3 + 2 * self.session_timeout / 20, began)
        self.assertEqual((client.session_id, client.session.session_number, hole.accepted), (session, 1, 2))
        # Nobody had noticed the break when it was asked for, or it was queued.
        try:
            await self.within(queued)
        except ConnectionLossException as error:
            self.assertIsNone(error.applied)

    @run
    async def test_half_closed(self) -> None:
        """An end of either direction is the end of the connection, at once, and not of the session (B3)."""
        session = self.client.session_id
        await self.client.create(f"{self.root}/e", ephemeral=True)
        for times, direction in enumerate(("to_client", "to_server"), 2):
            began = self.now
            suspended = self.feed.when_state(SessionState.SUSPENDED)
            self.proxy.half_close(**{direction: True})
            await self.within(suspended)
            await self.connected(times)
            self.assert_within(0, began)
        self.assert_same_session(session)
        self.assertEqual((await self.other.exists(f"{self.root}/e")).ephemeralOwner, session)

    @run
    async def test_split(self) -> None:
        """In pieces of any size, all data arrives unchanged (A8): handshakes, requests, replies and events."""
        session = self.client.session_id
        for times, size in enumerate((1, 3, 16), 2):
            path = f"{self.root}/{size}"
            self.proxy.split(size)
            self.proxy.drop()
            await self.connected(times)
            await self.client.create(path, bytes(range(256)))
            answer, watch = self.client.get_and_watch(path)
            self.assertEqual((await answer)[0], bytes(range(256)))
            missing = self.client.get(f"{path}/missing")
            transaction = self.client.transaction()
            transaction.create(f"{path}/a")
            transaction.set(path, b"new")
            await transaction.commit()
            self.assertEqual((await self.within(watch)).type, EventType.CHANGED)
            self.assertEqual(await self.client.get_children(path), ["a"])
            await self.assertFailure(missing, Exception)
        self.assert_same_session(session)
        self.assert_told(*(WatchedEvent(EventType.CHANGED, f"{self.root}/{size}") for size in (1, 3, 16)))


class EndedTests(FaultCase):
    """The session ends at the server."""

    async def prepare(self) -> tuple[int, Deferred[WatchedEvent]]:
        """Create an ephemeral node, and set a watch."""
        await self.client.create(f"{self.root}/e", ephemeral=True)
        answer, watch = self.client.get_and_watch(self.root)
        await answer
        return self.client.session_id, watch

    async def assert_ended(self, session: int, watch: Deferred[WatchedEvent]) -> None:
        """Check that nothing is left of the session, and that another one has begun: rule 8."""
        error = await self.fails(SessionExpiredException, watch)
        self.assertIs(error.applied, False)
        await self.connected(2)
        self.assertNotEqual(self.client.session_id, session)
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (2, 0))
        self.assertEqual(self.feed.states.count(SessionState.EXPIRED), 1)
        self.assertIsNone(await self.other.exists(f"{self.root}/e"))
        await self.client.create(f"{self.root}/e", ephemeral=True)
        self.assertEqual((await self.other.exists(f"{self.root}/e")).ephemeralOwner, self.client.session_id)
        self.assert_told()

    @run
    async def test_ended_while_away(self) -> None:
        """Queued requests fail without effect, and are not sent in the next session (A4, E4)."""
        session, watch = await self.prepare()
        suspended = self.feed.when_state(SessionState.SUSPENDED)
        self.proxy.cut()
        await self.within(suspended)
        await self.within(self.end_at_the_server(self.client))
        queued = [self.client.create(f"{self.root}/q{number}") for number in range(3)]
        began = self.now
        self.proxy.open()
        for answer in queued:
            self.assertIs((await self.fails(SessionExpiredException, answer)).applied, False)
        await self.assert_ended(session, watch)
        self.assert_within(2 * self.session_timeout / 20, began)
        self.assertEqual(await self.other.get_children(self.root), ["e"])

    @run
    async def test_ended_while_connected(self) -> None:
        """Sent requests are unknown (E1); the others behave as usual."""
        session, watch = await self.prepare()
        self.proxy.stall()
        pending = self.client.create(f"{self.root}/p")
        await self.within(self.end_at_the_server(self.client))
        began = self.now
        self.proxy.resume()
        await self.unanswered(pending)
        await self.assert_ended(session, watch)
        self.assert_within(2 * self.session_timeout / 20, began)
        self.assertIsNone(await self.other.exists(f"{self.root}/p"))

    @run
    async def test_expired(self) -> None:
        """Cut off for longer than S: the lease ends in time, and then the session has expired (F1, F2)."""
        session, watch = await self.prepare()
        answer, gone = self.other.exists_and_watch(f"{self.root}/e")
        await answer
        unsafe = self.client.when_lease_expires()
        began = self.now
        self.proxy.stall()
        pending = self.client.create(f"{self.root}/p")
        await self.unanswered(pending)
        self.assert_within(self.session_timeout * 2 / 3, began)
        queued = self.client.create(f"{self.root}/q")
        self.assertEqual((await self.within(gone)).type, EventType.DELETED)
        self.assertTrue(unsafe.called)
        connected = self.feed.when_session_number(2)
        ended = self.now
        self.proxy.resume()
        kind = ConnectionLossException if SessionState.LOST in self.feed.states else SessionExpiredException
        self.assertIs((await self.fails(kind, queued)).applied, False)
        await self.within(connected)
        # The attempt that was under way when the stall was over, or the one after it.
        self.assert_within(self.session_timeout / 3, ended)
        await self.assert_ended(session, watch)
        self.assertEqual(await self.other.get_children(self.root), ["e"])
