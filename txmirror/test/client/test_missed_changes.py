"""Side sessions serve all callers at once, one session at a time, and end with their callers and with the client."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from txmirror.client import Limits
from txmirror.errors import ClosingException, ConnectionLossException
from txmirror.test.client.peer import LongestPauses, ignore
from txmirror.test.client.test_side_session import SideSessionTestCase
from txmirror.types import EventType
from txmirror.wire import CloseSessionRequest, Operation, SetWatchesRequest


class SharingTests(SideSessionTestCase):
    def test_at_once(self) -> None:
        """All callers before it begins share one side session, and each gets its own events."""
        client, _ = self.make_seen()
        below = client.chroot("/below")
        paths: list[str] = []
        first = client.report_changes(300, self.news.append, ["/a"])
        second = below.report_changes(400, lambda news: paths.append(news.path), ["/a"])  # type: ignore[union-attr]
        self.assertEqual(self.server.count, 1)
        self.pass_time(0.3)
        side = self.side()
        self.assertEqual(side.take(SetWatchesRequest)[1].relativeZxid, 300)
        xid, request = side.take(SetWatchesRequest)
        self.assertEqual((request.relativeZxid, request.dataWatches), (400, ("/below/a",)))
        side.event(EventType.CHANGED, "/below/a")
        side.reply(xid - 1)
        side.reply(xid)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual((len(self.news), paths), (1, ["/a"]))
        self.finish(side)
        self.assertEqual(self.server.count, 2)

    def test_later(self) -> None:
        """All callers during one side session share the next."""
        client, _ = self.make_seen()
        first = self.ask(client)
        side = self.side()
        later = [client.report_changes(300, self.news.append, [f"/{number}"]) for number in range(5)]
        self.pass_time(0.3)
        side.answer(SetWatchesRequest)
        self.successResultOf(first)
        self.assertEqual(side.operations, [Operation.CLOSE_SESSION])
        self.finish(side)
        self.pass_time(0.3)
        self.assertEqual(self.server.count, 3)
        side = self.side()
        for _ in later:
            side.answer(SetWatchesRequest)
        for answer in later:
            self.successResultOf(answer)
        self.finish(side)

    def test_jitter(self) -> None:
        """The pauses of several clients before they begin are spread over a quarter of a second."""
        begun: list[float] = []
        for seed in range(20):
            random = LongestPauses(seed)
            random.uniform = super(LongestPauses, random).uniform  # type: ignore[method-assign]
            client = self.make_client(random=random)
            ignore(client.connect())
            peer = self.server.peer
            peer.accept()
            count, now = self.server.count, self.reactor.seconds()
            ignore(client.report_changes(300, self.news.append, ["/a"]))
            while self.server.count == count:
                self.pass_time(0.01)
            begun.append(self.reactor.seconds() - now)
            closed = client.close()
            peer.answer(CloseSessionRequest)
            self.successResultOf(closed)
        self.assertLess(min(begun), 0.06)
        self.assertGreater(max(begun), 0.19)
        self.assertLess(max(begun), 0.27)

    def test_raising(self) -> None:
        """A listener may cancel its own question, and that of another."""
        client, _ = self.make_seen()
        answers: list[Deferred[None]] = []

        def cancel(_: object) -> None:
            for answer in answers:
                answer.cancel()

        answers += [client.report_changes(300, cancel, [path]) for path in ("/a", "/b")]
        self.pass_time(0.3)
        side = self.side()
        side.event(EventType.CHANGED, "/a")
        for answer in answers:
            self.failureResultOf(answer, CancelledError)
        self.assertEqual(side.operations[-1], Operation.CLOSE_SESSION)


class CancellingTests(SideSessionTestCase):
    def test_before(self) -> None:
        """Cancelled before it begins, it never begins."""
        client, _ = self.make_seen()
        answer = client.report_changes(300, self.news.append, ["/a"])
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.pass_time(1.0)
        self.assertEqual(self.server.count, 1)

    def test_one_of_two(self) -> None:
        """The other caller still gets its answer."""
        client, _ = self.make_seen()
        cancelled = client.report_changes(300, self.news.append, ["/a"])
        answer = client.report_changes(300, self.news.append, ["/b"])
        self.pass_time(0.3)
        side = self.side()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        side.event(EventType.CHANGED, "/b")
        side.answer(SetWatchesRequest)
        side.answer(SetWatchesRequest)
        self.successResultOf(answer)
        self.assertEqual(len(self.news), 1)
        self.finish(side)

    def test_in_the_handshake(self) -> None:
        """Cancelled during the handshake, the connection is aborted at once."""
        client, _ = self.make_seen()
        answer = self.ask(client)
        side = self.side(accept=False)
        answer.cancel()
        self.settle()
        self.failureResultOf(answer, CancelledError)
        self.assertTrue(side.lost)

    def test_while_asking(self) -> None:
        """Cancelled while the server answers, the session is closed at once."""
        client, _ = self.make_seen()
        answer = self.ask(client, *(f"/{number:0500}" for number in range(2000)))
        side = self.side()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(side.operations, [Operation.SET_WATCHES, Operation.SET_WATCHES, Operation.CLOSE_SESSION])
        self.news.clear()
        side.event(EventType.CHANGED, "/a")
        self.assertEqual(self.news, [])
        side.answer(SetWatchesRequest)
        side.answer(SetWatchesRequest)
        self.finish(side)

    def test_asked_again(self) -> None:
        """A caller that calls again at once is served by the next side session, after the end of the first."""
        client, _ = self.make_seen()
        ask = self.ask(client)
        side = self.side()
        ask.cancel()
        self.failureResultOf(ask, CancelledError)
        answer = self.ask(client)
        self.assertEqual(self.server.count, 2)
        side.answer(SetWatchesRequest)
        self.finish(side)
        self.pass_time(0.3)
        side = self.side()
        side.answer(SetWatchesRequest)
        self.successResultOf(answer)
        self.finish(side)


class ClosingTests(SideSessionTestCase):
    """close() takes no longer for a side session: both sessions are closed at the same time."""

    def test_before(self) -> None:
        """Closed before the side session begins, it never begins."""
        client, peer = self.make_seen()
        answer = client.report_changes(300, self.news.append, ["/a"])
        closed = client.close()
        self.failureResultOf(answer, ClosingException)
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)
        self.assertEqual(self.server.count, 1)

    def test_connecting(self) -> None:
        """Closed while the side session connects, nothing of it is left."""
        client, peer = self.make_seen()
        self.reactor.black_hole("10.0.0.1", 2181)
        answer = self.ask(client)
        closed = client.close()
        self.failureResultOf(answer, ClosingException)
        self.reactor.undo_black_hole("10.0.0.1", 2181)
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)

    def test_in_the_handshake(self) -> None:
        """Closed during the handshake, the side session's connection is aborted at once."""
        client, peer = self.make_seen()
        answer = self.ask(client)
        side = self.side(accept=False)
        closed = client.close()
        self.failureResultOf(answer, ClosingException)
        self.settle()
        self.assertTrue(side.lost)
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)

    def test_silent_in_the_handshake(self) -> None:
        """If the servers have fallen silent, close() takes ``close_time`` once, and not twice."""
        client, peer = self.make_seen(Limits(close_time=2.0))
        ignore(self.ask(client))
        side = self.side(accept=False)
        closed = client.close()
        self.pass_time(1.9)
        self.assertNoResult(closed)
        self.pass_time(0.2)
        self.successResultOf(closed)
        self.assertTrue(side.lost)
        self.assertTrue(peer.lost)

    def test_while_asking(self) -> None:
        """Closed while the server answers, the side session is closed too, and close() waits for its end."""
        client, peer = self.make_seen()
        answer = self.ask(client)
        side = self.side()
        closed = client.close()
        self.failureResultOf(answer, ClosingException)
        peer.answer(CloseSessionRequest)
        self.assertNoResult(closed)
        side.answer(SetWatchesRequest)
        self.finish(side)
        self.successResultOf(closed)

    def test_silent_while_asking(self) -> None:
        """A side session that cannot be closed is over after a second, however long its timeout."""
        client, peer = self.make_seen()
        ignore(self.ask(client))
        self.side(accept=False).accept(0x77, 4.0)
        closed = client.close()
        peer.answer(CloseSessionRequest)
        self.pass_time(0.9)
        self.assertNoResult(closed)
        self.pass_time(0.2)
        self.successResultOf(closed)

    def test_leaving(self) -> None:
        """leave() ends the side session, and leaves only the client's own."""
        client, peer = self.make_seen()
        ignore(self.ask(client))
        side = self.side(accept=False)
        left = client.leave()
        self.settle()
        self.assertTrue(side.lost)
        peer.reply(peer.packets.pop().xid, err=-101)
        self.assertIsNotNone(self.successResultOf(left))

    def test_connection_lost(self) -> None:
        """The side session outlives a lost connection of the client's own session; a caller that does not want that
        cancels.
        """
        client, peer = self.make_seen()
        answer = self.ask(client)
        side = self.side()
        peer.drop()
        side.answer(SetWatchesRequest)
        self.successResultOf(answer)
        self.finish(side)
        self.failureResultOf(client.report_changes(300, self.news.append, ["/a"]), ConnectionLossException)
