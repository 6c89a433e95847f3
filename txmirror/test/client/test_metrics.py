"""A program's own counters: they are called for each step, and do no harm when they raise."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.client import Limits
from txmirror.client.connection.settings import GuardedMetrics
from txmirror.errors import ClosingException, ConnectionLossException, ReplyTooLargeException, TooManyRequestsException
from txmirror.interfaces import IMetrics
from txmirror.test.client.peer import STAT, ClientTestCase, Peer, ignore, reply
from txmirror.types import EventType, SessionEvent, SessionState
from txmirror.wire import (
    ConnectResponse,
    CreateRequest,
    DeleteRequest,
    GetDataRequest,
    GetDataResponse,
    PathResponse,
    SetWatchesRequest,
    encode_frame,
)

DATA = GetDataResponse(b"x", STAT)


@implementer(IMetrics)
class Notes:
    """Records all calls."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def sent(self, operation: str, size: int) -> None:
        self.told.append(("sent", operation, size))

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None:
        self.told.append(("answered", operation, seconds, error, size))

    def lost(self, operation: str, seconds: float) -> None:
        self.told.append(("lost", operation, seconds))

    def received(self, size: int) -> None:
        self.told.append(("received", size))

    def connected(self, event: SessionEvent) -> None:
        self.told.append(("connected", event))

    def disconnected(self, event: SessionEvent) -> None:
        self.told.append(("disconnected", event))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        """Return the calls of one kind."""
        return [each[1:] for each in self.told if each[0] == kind]

    def counts(self, operation: str) -> tuple[int, int, int]:
        """Return the numbers of requests of one kind that were sent, answered and lost."""
        kinds = [each[0] for each in self.told if each[1] == operation]
        return kinds.count("sent"), kinds.count("answered"), kinds.count("lost")


@implementer(IMetrics)
class Broken:
    """Fails at everything."""

    def sent(self, operation: str, size: int) -> None:
        raise ZeroDivisionError

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None:
        raise ZeroDivisionError

    def lost(self, operation: str, seconds: float) -> None:
        raise ZeroDivisionError

    def received(self, size: int) -> None:
        raise ZeroDivisionError

    def connected(self, event: SessionEvent) -> None:
        raise ZeroDivisionError

    def disconnected(self, event: SessionEvent) -> None:
        raise ZeroDivisionError


class MetricsTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.notes = Notes()

    def test_interface(self) -> None:
        """The metrics of these tests, and the guarded ones, provide the interface."""
        for metrics in (self.notes, Broken(), GuardedMetrics(self.notes)):
            verifyObject(IMetrics, metrics)

    def test_request(self) -> None:
        """A request is counted when it is sent and when it is answered, with its time, error and sizes."""
        client, peer = self.make_connected(metrics=self.notes)
        self.notes.told.clear()
        answer = client.get("/a")
        self.settle()
        length = 4 + peer.packets[0].length
        self.assertEqual(self.notes.told, [("sent", "GET_DATA", length)])
        self.pass_time(1.5)
        xid, _ = peer.take(GetDataRequest)
        frame = reply(xid, DATA)
        peer.send(frame)
        self.successResultOf(answer)
        self.assertEqual(
            sorted(self.notes.told[1:]), [("answered", "GET_DATA", 1.5, 0, len(frame)), ("received", len(frame))]
        )

    def test_error(self) -> None:
        """A failure has ZooKeeper's number."""
        client, peer = self.make_connected(metrics=self.notes)
        ignore(client.delete("/a"))
        peer.answer(DeleteRequest, err=-111)
        ((operation, _, error, _),) = self.notes.of("answered")
        self.assertEqual((operation, error), ("DELETE", -111))

    def test_many(self) -> None:
        """Each of many is counted once, by its operation."""
        client, peer = self.make_connected(metrics=self.notes)
        for number in range(10):
            ignore(client.get("/a"))
            if number % 2:
                ignore(client.create("/a"))
        while peer.packets:
            if peer.packets[0].operation == GetDataRequest.operation:
                peer.answer(GetDataRequest, DATA)
            else:
                peer.answer(CreateRequest, PathResponse("/a"))
        self.assertEqual(self.notes.counts("GET_DATA"), (10, 10, 0))
        self.assertEqual(self.notes.counts("CREATE"), (5, 5, 0))

    def test_lost(self) -> None:
        """Requests whose connection is lost before the reply count as lost, with the time since they were sent."""
        client, peer = self.make_connected(metrics=self.notes)
        asked: list[Deferred[Any]] = [client.get("/a"), client.delete("/a")]
        self.pass_time(2)
        peer.drop()
        self.assertEqual(self.notes.of("lost"), [("GET_DATA", 2.0), ("DELETE", 2.0)])
        for each in asked:
            each.addErrback(lambda failure: failure.trap(ConnectionLossException))
        self.assertEqual(self.notes.counts("GET_DATA"), (1, 0, 1))

    def test_never_sent(self) -> None:
        """Requests that were never sent are not counted."""
        client, peer = self.make_connected(Limits(in_flight_requests=1, queued_requests=1), metrics=self.notes)
        asked = [client.delete("/a"), client.delete("/b"), client.delete("/c")]
        self.settle()
        self.assertEqual(self.notes.counts("DELETE"), (1, 0, 0))
        asked[1].cancel()
        self.failureResultOf(asked[1], CancelledError)
        self.failureResultOf(asked[2], TooManyRequestsException)
        peer.drop()
        self.failureResultOf(asked[0], ConnectionLossException)
        self.assertEqual(self.notes.counts("DELETE"), (1, 0, 1))

    def test_cancelled(self) -> None:
        """A request that was cancelled in flight counts as answered."""
        client, peer = self.make_connected(metrics=self.notes)
        answer = client.delete("/a")
        xid, _ = peer.take(DeleteRequest)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        peer.reply(xid)
        self.assertEqual(self.notes.counts("DELETE"), (1, 1, 0))

    def test_too_large(self) -> None:
        """For a reply over the limit the size is the announced one."""
        client, peer = self.make_connected(Limits(max_reply=1000), metrics=self.notes)
        answer = client.get("/a")
        xid, _ = peer.take(GetDataRequest)
        frame = reply(xid, GetDataResponse(bytes(5000), STAT))
        peer.send(frame)
        self.failureResultOf(answer, ReplyTooLargeException)
        ((operation, _, _, size),) = self.notes.of("answered")
        self.assertEqual(operation, "GET_DATA")
        self.assertIn(size, (len(frame), len(frame) - 4))

    def test_received(self) -> None:
        """Every byte that comes is counted: handshakes, replies, events and pings."""
        client = self.make_client(metrics=self.notes)
        ignore(client.connect())
        peer = self.server.peer
        hello = encode_frame(ConnectResponse(12000, 7, b"p", False).encode())
        peer.send(hello)
        peer.event(EventType.CHANGED, "/a")
        ignore(client.get("/a"))
        xid, _ = peer.take(GetDataRequest)
        frame = reply(xid, DATA)
        for byte in range(len(frame)):
            peer.send(frame[byte : byte + 1])
        event_length = 4 + 16 + 4 + 4 + 4 + 2
        self.assertEqual(sum(size for (size,) in self.notes.of("received")), len(hello) + event_length + len(frame))

    def test_session(self) -> None:
        """An established session, and a lost connection, are reported as in the feed; a resumed session has the same
        session_number.
        """
        _, peer = self.make_connected(metrics=self.notes)
        again = self.reconnect(peer)
        self.reconnect(again, accept=False).expire()
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        steps = [each for each in self.notes.told if each[0] in ("connected", "disconnected")]
        self.assertEqual(
            [(kind, event.state, event.session_number) for kind, event in steps],
            [
                ("connected", SessionState.CONNECTED, 1),
                ("disconnected", SessionState.SUSPENDED, 1),
                ("connected", SessionState.CONNECTED, 1),
                ("disconnected", SessionState.SUSPENDED, 1),
                ("connected", SessionState.CONNECTED, 2),
            ],
        )
        told = [step for step in self.feed if isinstance(step, SessionEvent)]
        self.assertEqual(
            [event for _, event in steps], [step for step in told if step.state is not SessionState.EXPIRED]
        )

    def test_failed_attempts(self) -> None:
        """Attempts that come to nothing are neither."""
        client = self.make_client(metrics=self.notes)
        ignore(client.connect())
        self.server.peer.close()
        self.assertEqual(self.notes.of("connected") + self.notes.of("disconnected"), [])

    def test_watches_set_again(self) -> None:
        """Requests that the client sends by itself are counted too."""
        client, peer = self.make_connected(metrics=self.notes)
        ignore(client.get_and_watch("/a")[1])
        peer.answer(GetDataRequest, DATA)
        again = self.reconnect(peer)
        again.answer(SetWatchesRequest)
        self.assertEqual(self.notes.counts("SET_WATCHES"), (1, 1, 0))

    def test_close(self) -> None:
        """When the client is closed, unanswered requests are counted as lost, and the counts add up."""
        client, peer = self.make_connected(metrics=self.notes)
        pending = client.get("/a")
        closed = client.close()
        self.pass_time(5)
        self.successResultOf(closed)
        self.failureResultOf(pending, ClosingException)
        self.assertEqual(self.notes.counts("GET_DATA"), (1, 0, 1))
        self.assertEqual(len(self.notes.of("sent")), len(self.notes.of("answered")) + len(self.notes.of("lost")))
        self.assertTrue(peer.lost)


class BrokenTests(ClientTestCase):
    def exercise(self, metrics: IMetrics | None) -> list[Any]:
        """Use each feature once.

        :returns: the results.
        """
        client, peer = self.make_connected(metrics=metrics)
        seen: list[Any] = [self.get(client.get("/a"), peer)]
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        peer.event(EventType.CHANGED, "/a")
        seen.append(self.successResultOf(watch))
        lost = client.delete("/a")
        peer.drop()
        seen.append(str(self.failureResultOf(lost, ConnectionLossException).value))
        again = self.reconnect(peer)
        seen.append(self.get(client.get("/a"), again))
        self.close_fast(client, again)
        seen.append(self.states())
        return seen

    def get(self, answer: Any, peer: Peer) -> object:
        peer.answer(GetDataRequest, DATA)
        return self.successResultOf(answer)

    def test_harmless(self) -> None:
        """Metrics that raise at everything are logged, and nothing else is different."""
        expected = self.exercise(None)
        self.assertEqual(self.exercise(Broken()), expected)
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 10)
