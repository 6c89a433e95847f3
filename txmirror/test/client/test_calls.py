"""Requests on their way, and the queue of those that wait for a connection."""

from __future__ import annotations

import weakref

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Limits
from txmirror.client.connection.calls import Call, Reply, RequestKind, decode_nothing
from txmirror.client.operations import SET_DATA
from txmirror.client.session.pending import Priority, RequestQueue
from txmirror.errors import (
    ConnectionLossException,
    NoNodeException,
    NotEmptyException,
    TooManyRequestsException,
    UnknownServerException,
)
from txmirror.test.client.peer import STAT, ClientTestCase, S, hang_up, ignore, reply, write
from txmirror.types import SessionState
from txmirror.wire import DeleteRequest, GetDataRequest, GetDataResponse, Operation, SetDataRequest

DELETE = RequestKind(DeleteRequest, decode_nothing)


def make_call(path: str = "/a") -> Call[None]:
    return Call(DELETE, DeleteRequest(path, -1), path)


class CallTests(SynchronousTestCase):
    def test_succeed(self) -> None:
        """The result of a successful call is that of its Deferred."""
        call = make_call()
        answer = call.result()
        call.succeed(None)
        self.assertIsNone(self.successResultOf(answer))

    def test_only_once(self) -> None:
        """Only the first result or failure counts."""
        call = make_call()
        answer = call.result()
        call.succeed(None)
        call.fail(ConnectionLossException())
        call.succeed(None)
        self.successResultOf(answer)

    def test_data_kept_once(self) -> None:
        """A write that waits holds its data once: encoded, as the bounds of the queue count it."""
        record = SetDataRequest("/a", bytes(1000), -1)
        kept = weakref.ref(record)
        call = Call(SET_DATA, record, "/a")
        del record
        self.assertIsNone(kept())
        self.assertGreater(len(call.body), 1000)

    def test_refuse(self) -> None:
        """A code becomes an exception with the caller's own path."""
        call = make_call("/mine")
        answer = call.result()
        call.refuse(-111, 7)
        error = self.failureResultOf(answer, NotEmptyException).value
        self.assertEqual((error.path, error.zxid), ("/mine", 7))

    def test_refuse_with_an_unknown_code(self) -> None:
        """A code that nobody knows becomes an exception with its number."""
        call = make_call()
        answer = call.result()
        call.refuse(-5000, 7)
        self.assertEqual(self.failureResultOf(answer, UnknownServerException).value.number, -5000)

    def test_missing_as_an_answer(self) -> None:
        """If a missing node is a valid result, the value is None, with the reply's zxid."""
        call = Call(RequestKind(DeleteRequest, decode_nothing, or_none=True), DeleteRequest("/a", -1), "/a")
        answer = call.result_as(Reply)
        call.refuse(-101, 7)
        reply = self.successResultOf(answer)
        self.assertEqual((reply.zxid, reply.value), (7, None))

    def test_missing_as_a_failure(self) -> None:
        """By default, a missing node is a failure."""
        call = make_call()
        answer = call.result()
        call.refuse(-101, 7)
        self.failureResultOf(answer, NoNodeException)

    def test_cancelled(self) -> None:
        """Rule 12: a call whose caller has cancelled swallows its result."""
        for end in (
            lambda call: call.succeed(None),
            lambda call: call.fail(ConnectionLossException()),
            lambda call: call.refuse(-101, 1),
        ):
            call = make_call()
            answer = call.result()
            answer.cancel()
            self.failureResultOf(answer, CancelledError)
            end(call)


class RequestQueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.queue = RequestQueue(self.clock, Limits(queued_requests=3, queued_time=10.0))

    def add(self, path: str = "/a") -> tuple[Call[None], Deferred[None]]:
        call = make_call(path)
        answer = call.result()
        self.queue.add(call, Priority.BOUNDED)
        return call, answer

    def test_order(self) -> None:
        """Rule 7: calls leave in the order in which they came, and the queue is empty then."""
        calls = [self.add()[0] for _ in range(3)]
        self.assertEqual(self.queue.take_all(), calls)
        self.assertEqual(self.queue.take_all(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bound_in_number(self) -> None:
        """Rule 7: a request over the bound of the queue fails at once, without effect, and the others stay."""
        calls = [self.add()[0] for _ in range(3)]
        _, refused = self.add()
        self.assertIs(self.failureResultOf(refused, TooManyRequestsException).value.applied, False)
        self.assertEqual(self.queue.take_all(), calls)

    def test_room_again(self) -> None:
        """Rule 7: when calls have left, there is room again."""
        for _ in range(3):
            self.add()
        self.queue.take_all()
        self.assertNoResult(self.add()[1])
        self.queue.take_all()

    def test_bound_in_age(self) -> None:
        """Rule 7: a call that has waited too long fails, certainly without effect; a younger one goes on waiting."""
        _, old = self.add("/old")
        self.clock.advance(4)
        young_call, young = self.add("/young")
        self.clock.pump([5, 0.9])
        self.assertNoResult(old)
        self.clock.advance(0.1)
        self.assertIs(self.failureResultOf(old, ConnectionLossException).value.applied, False)
        self.assertNoResult(young)
        self.assertEqual(len(self.queue), 1)
        self.clock.advance(4)
        self.failureResultOf(young, ConnectionLossException)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(young_call.queue, None)

    def test_age_after_a_pause(self) -> None:
        """Rule 7: the age of a call counts from when it came, also where the queue was empty before."""
        self.add()
        self.queue.take_all()
        self.clock.advance(7)
        _, answer = self.add()
        self.clock.advance(9.9)
        self.assertNoResult(answer)
        self.clock.advance(0.1)
        self.failureResultOf(answer, ConnectionLossException)

    def test_cancelled(self) -> None:
        """Rule 12: a call that is cancelled while it waits leaves the queue, and makes room."""
        calls = [self.add() for _ in range(3)]
        calls[1][1].cancel()
        self.failureResultOf(calls[1][1], CancelledError)
        last, _ = self.add()
        self.assertEqual(self.queue.take_all(), [calls[0][0], calls[2][0], last])

    def test_last_one_cancelled(self) -> None:
        """An empty queue needs no timer."""
        _, answer = self.add()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_oldest_one_cancelled(self) -> None:
        """When the oldest is cancelled, the next one keeps its own time."""
        _, oldest = self.add()
        self.clock.advance(4)
        _, next_one = self.add()
        oldest.cancel()
        self.failureResultOf(oldest, CancelledError)
        self.clock.pump([6, 3.9])
        self.assertNoResult(next_one)
        self.clock.advance(0.1)
        self.failureResultOf(next_one, ConnectionLossException)

    def test_cancelled_after_leaving(self) -> None:
        """A call that is cancelled after it has left the queue does not touch it any more."""
        call, answer = self.add()
        self.queue.take_all()
        self.add()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(len(self.queue), 1)
        self.assertIsNone(call.deferred)
        self.queue.take_all()

    def test_added_while_others_expire(self) -> None:
        """A caller that asks again when its call has grown too old gets the full time."""
        again: list[Deferred[None]] = []
        _, answer = self.add()
        answer.addErrback(lambda _: again.append(self.add()[1]))
        self.clock.advance(10)
        self.clock.advance(9.9)
        self.assertNoResult(again[0])
        self.clock.advance(0.1)
        self.failureResultOf(again[0], ConnectionLossException)


class LossTests(ClientTestCase):
    """Requests without a connection."""

    def test_in_flight(self) -> None:
        """Rule 7: a request on the wire when the connection goes fails, and nobody knows whether it was done (E1)."""
        client, peer = self.make_connected()
        first, second = client.set("/a", b""), client.delete("/b")
        self.assertEqual(len(peer.packets), 2)
        peer.drop()
        for answer, path in ((first, "/a"), (second, "/b")):
            error = self.failureResultOf(answer, ConnectionLossException).value
            self.assertIsNone(error.applied)
            self.assertEqual(error.path, path)

    def test_closed_within_a_frame(self) -> None:
        """Rule 7: a connection that the server closes in an orderly way, within a reply, ends at once: requests in
        flight fail, and the client connects again (B3).
        """
        client, peer = self.make_connected()
        first, second = client.get("/a"), client.get("/b")
        whole = reply(1, GetDataResponse(b"data", STAT))
        write(peer, whole[:-1])
        peer.close()
        for answer in (first, second):
            self.assertIsNone(self.failureResultOf(answer, ConnectionLossException).value.applied)
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED])
        self.assertEqual(self.reconnect(peer).packets, [])
        self.assertIs(client.session.state, SessionState.CONNECTED)

    def test_never_retried(self) -> None:
        """Rule 7: a request that was written to the connection is not sent again (H1)."""
        client, peer = self.make_connected()
        ignore(client.set("/a", b""))
        self.assertEqual(self.reconnect(peer).packets, [])

    def test_queued(self) -> None:
        """Rule 7: requests without a connection are sent in order on the next one, in the same session."""
        client, peer = self.make_connected()
        peer.drop()
        answers = [client.get(f"/{number}") for number in range(3)]
        again = self.reconnect(peer)
        paths = [again.answer(GetDataRequest, GetDataResponse(b"", STAT)).path for _ in range(3)]
        self.assertEqual(paths, ["/0", "/1", "/2"])
        for answer in answers:
            self.successResultOf(answer)

    def test_asked_while_the_connection_is_dying(self) -> None:
        """Rule 7: a request to a connection that is being aborted is queued, and not lost."""
        client, peer = self.make_connected()
        asked: list[Deferred[None]] = []
        client.get("/a").addErrback(lambda _: asked.append(client.delete("/b")))
        peer.drop()
        (answer,) = asked
        self.assertNoResult(answer)
        self.reconnect(peer).answer(DeleteRequest)
        self.successResultOf(answer)

    def test_too_many(self) -> None:
        """Rule 7: a request over the bound of the queue fails at once, ``applied`` False (E2)."""
        client = self.make_client(limits=Limits(queued_requests=2))
        for _ in range(2):
            ignore(client.get("/a"))
        error = self.failureResultOf(client.get("/a"), TooManyRequestsException).value
        self.assertIs(error.applied, False)

    def test_too_long(self) -> None:
        """Rule 7: a request that has waited too long fails, ``applied`` False, and is never sent (E1, E2)."""
        client = self.make_client(limits=Limits(queued_time=3.0))
        answer = client.get("/a")
        self.pass_time(2.9)
        self.assertNoResult(answer)
        self.pass_time(0.1)
        self.assertIs(self.failureResultOf(answer, ConnectionLossException).value.applied, False)
        ignore(client.connect())
        self.server.peer.accept()
        self.assertEqual(self.server.peer.packets, [])

    def test_too_long_in_spite_of_attempts(self) -> None:
        """Rule 7: the time for which a request waits is one, and no attempt to connect begins it anew (C17)."""
        self.server.on_connection = hang_up
        client = self.make_client(limits=Limits(queued_time=20.0))
        ignore(client.connect())
        answer = client.get("/a")
        self.pass_time(19.9)
        self.assertGreater(self.server.count, 5)
        self.assertNoResult(answer)
        self.pass_time(0.1)
        self.failureResultOf(answer, ConnectionLossException)

    def test_too_many_attempts(self) -> None:
        """A request may wait for so many attempts that fail one after another, and for no more once they have; after a connection
        they are counted anew."""
        client, peer = self.make_connected(Limits(queued_attempts=3))
        for _ in range(2):
            self.pass_time(S)
            self.server.on_connection = hang_up
            peer.drop()
            waiting = client.get("/a")
            attempts = self.server.count
            while not waiting.called:
                self.pass_time(0.01)
            error = self.failureResultOf(waiting, ConnectionLossException).value
            self.assertIs(error.applied, False)
            self.assertIn("no server can be reached", str(error))
            self.assertEqual(self.server.count, attempts + 2)
            later = client.get("/a")
            while not later.called:
                self.pass_time(0.01)
            self.failureResultOf(later, ConnectionLossException)
            self.assertEqual(self.server.count, attempts + 3)
            self.server.on_connection = lambda peer: None
            peer = self.next_peer(self.server)
            peer.accept()
        self.assertEqual(peer.packets, [])

    def test_default_bounds(self) -> None:
        """Ten thousand requests may wait, for half a minute."""
        client = self.make_client()
        answers = [client.get("/a") for _ in range(10_000)]
        self.failureResultOf(client.get("/a"), TooManyRequestsException)
        self.pass_time(29.9)
        self.assertNoResult(answers[0])
        self.pass_time(0.1)
        for answer in answers:
            self.failureResultOf(answer, ConnectionLossException)

    def test_cancelled_in_the_queue(self) -> None:
        """Rule 12: a request that is cancelled before it was sent is never sent (E2)."""
        client = self.make_client()
        first, second, third = client.get("/1"), client.get("/2"), client.get("/3")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        ignore(client.connect())
        self.server.peer.accept()
        self.assertEqual(
            [self.server.peer.answer(GetDataRequest, GetDataResponse(b"", STAT)).path for _ in range(2)], ["/1", "/3"]
        )
        self.successResultOf(first)
        self.successResultOf(third)

    def test_cancelled_on_the_wire(self) -> None:
        """Rule 12: the reply to a request that was cancelled after it was sent is discarded, and no other request gets
        it (E7).
        """
        client, peer = self.make_connected()
        first, second, third = client.get("/1"), client.get("/2"), client.get("/3")
        self.settle()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        for data in (b"1", b"2", b"3"):
            peer.answer(GetDataRequest, GetDataResponse(data, STAT))
        self.assertEqual(self.successResultOf(first)[0], b"1")
        self.assertEqual(self.successResultOf(third)[0], b"3")
        self.assertFalse(peer.lost)

    def test_cancelled_and_refused(self) -> None:
        """Rule 12: an error reply to a cancelled request is discarded, too."""
        client, peer = self.make_connected()
        first, second = client.get("/1"), client.get("/2")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        peer.answer(GetDataRequest, err=-101)
        peer.answer(GetDataRequest, GetDataResponse(b"2", STAT))
        self.assertEqual(self.successResultOf(second)[0], b"2")

    def test_cancelled_and_cut(self) -> None:
        """Rule 12: a sent request that was cancelled stays cancelled when the connection is lost."""
        client, peer = self.make_connected()
        answer = client.get("/1")
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.reconnect(peer)

    def test_cancelled_by_a_neighbour(self) -> None:
        """Rule 12: a callback may cancel the next request, whose answer has already come with its own."""
        client, peer = self.make_connected()
        first, second, third = client.get("/1"), client.get("/2"), client.get("/3")
        first.addCallback(lambda _: second.cancel())
        peer.send(*(reply(xid, GetDataResponse(b"%d" % xid, STAT)) for xid in (1, 2, 3)))
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.successResultOf(third)[0], b"3")

    def test_cancelling_connect(self) -> None:
        """Rule 12: cancelling ``connect`` abandons the wait, and the client connects all the same."""
        client = self.make_client()
        connected = client.connect()
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.server.peer.accept()
        self.show_zxid(client, self.server.peer, 7)

    def test_cancelling_add_auth(self) -> None:
        """Rule 12: cancelling ``add_auth`` abandons the answer alone."""
        client, peer = self.make_connected()
        taken = client.add_auth("digest", b"u:p")
        taken.cancel()
        self.failureResultOf(taken, CancelledError)
        peer.answer_auth()
        self.assertEqual(self.reconnect(peer).operations, [Operation.AUTH])

    def test_cancelling_set_watches_in_the_queue(self) -> None:
        """Rule 12: ``set_watches`` that is cancelled before it was sent never is."""
        client, peer = self.make_connected()
        peer.drop()
        done = client.set_watches(5, data=["/a"])
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.reconnect(peer).packets, [])
