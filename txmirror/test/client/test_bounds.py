"""The limits of pending requests: none is lost, none overtakes another, and a flood takes little memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    RequestTooLargeException,
    SessionExpiredException,
    TooManyRequestsException,
    ZooServerProblem,
)
from txmirror.interfaces import IBackpressure, IZooKeeperClient
from txmirror.test.client.peer import STAT, ClientTestCase, Peer, S, ignore, reply
from txmirror.wire import (
    CloseSessionRequest,
    Cursor,
    DeleteRequest,
    GetDataRequest,
    GetDataResponse,
    Operation,
    SetDataRequest,
    StatResponse,
    SyncRequest,
)

DATA = GetDataResponse(b"", STAT)


def sent_paths(peer: Peer) -> list[str]:
    """The paths of the requests that were sent and not answered."""
    return [DeleteRequest.decode(Cursor(packet.body)).path for packet in peer.packets]


def answer_all(peer: Peer) -> list[str]:
    """Answer the received requests, in order.

    :returns: the paths.
    """
    paths = sent_paths(peer)
    packets, peer.packets[:] = list(peer.packets), []
    peer.send(*(reply(packet.xid) for packet in packets))
    return paths


class BoundsTestCase(ClientTestCase):
    def ask(self, client: ZooKeeperClient, count: int, begin: int = 0) -> list[Deferred[None]]:
        return [client.delete(f"/{number:06d}") for number in range(begin, begin + count)]

    def assert_refused(self, deferred: Deferred[Any]) -> None:
        """Assert that a request was refused for the number of requests, without effect, and that this differs from a
        lost connection.
        """
        error = self.failureResultOf(deferred, TooManyRequestsException).value
        self.assertIs(error.applied, False)
        self.assertNotIsInstance(error, ZooServerProblem)


class InFlightTests(BoundsTestCase):
    def test_number(self) -> None:
        """No more than so many requests are with the server; as they are answered the next ones go out, in order."""
        client, peer = self.make_connected(Limits(in_flight_requests=3))
        asked = self.ask(client, 10)
        seen = sent_paths(peer)
        self.assertEqual(seen, ["/000000", "/000001", "/000002"])
        for number in range(10):
            self.assertLessEqual(len(peer.packets), 3)
            self.assertEqual(peer.answer(DeleteRequest).path, f"/{number:06d}")
            self.successResultOf(asked[number])

    def test_bytes(self) -> None:
        """The bytes in flight are bounded, except for the last request that was begun."""
        client, peer = self.make_connected(Limits(in_flight_bytes=3000))
        asked = [client.set(f"/{number}", bytes(1000)) for number in range(10)]
        seen = []
        while peer.packets:
            self.assertLessEqual(len(peer.packets), 3)
            self.assertLess(sum(packet.length for packet in peer.packets[:-1]), 3000)
            seen.append(peer.answer(SetDataRequest, StatResponse(STAT)).path)
        self.assertEqual(seen, [f"/{number}" for number in range(10)])
        for each in asked:
            self.successResultOf(each)

    def test_one_may_always_be_sent(self) -> None:
        """A request that is longer than the bound is sent alone."""
        client, peer = self.make_connected(Limits(in_flight_bytes=1000))
        first = client.set("/big", bytes(50_000))
        second = client.set("/big", bytes(50_000))
        small = client.delete("/small")
        for answer in (first, second):
            self.assertEqual(peer.operations, [Operation.SET_DATA])
            peer.answer(SetDataRequest, StatResponse(STAT))
            self.successResultOf(answer)
        peer.answer(DeleteRequest)
        self.successResultOf(small)

    def test_nothing_overtakes(self) -> None:
        """A short request does not overtake a long one that waits, nor one that is asked for when there is room again."""
        client, peer = self.make_connected(Limits(in_flight_requests=2))
        self_asked: list[Deferred[None]] = []
        first = client.delete("/0")
        first.addCallback(lambda _: self_asked.append(client.delete("/from-a-callback")))
        others = [client.delete(f"/{number}") for number in range(1, 5)]
        order = []
        while peer.packets:
            order.append(peer.answer(DeleteRequest).path)
        self.assertEqual(order, ["/0", "/1", "/2", "/3", "/4", "/from-a-callback"])
        for each in (first, *others, *self_asked):
            self.successResultOf(each)

    def test_errors_make_room(self) -> None:
        """A refused request makes room as any other."""
        client, peer = self.make_connected(Limits(in_flight_requests=1))
        asked = self.ask(client, 3)
        for each in asked:
            peer.answer(DeleteRequest, err=-101)
            self.failureResultOf(each)
        self.assertEqual(peer.packets, [])

    def test_cancelled_in_flight(self) -> None:
        """A request that was cancelled in flight takes up its part of the window until it is answered (E7)."""
        client, peer = self.make_connected(Limits(in_flight_requests=1))
        first, second = self.ask(client, 2)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(sent_paths(peer), ["/000000"])
        peer.answer(DeleteRequest)
        peer.answer(DeleteRequest)
        self.successResultOf(second)

    def test_pings_go_on(self) -> None:
        """However much waits, pings go out (B5)."""
        client, peer = self.make_connected(Limits(in_flight_requests=1))
        asked = self.ask(client, 5)
        self.pass_time(S / 3 + 0.1)
        self.assertEqual(len(peer.pings), 1)
        while peer.packets:
            answer_all(peer)
        for each in asked:
            self.successResultOf(each)

    def test_identities_go_on(self) -> None:
        """An identity does not wait behind a full window."""
        client, peer = self.make_connected(Limits(in_flight_requests=1))
        ignore(client.delete("/a"))
        ignore(client.delete("/b"))
        added = client.add_auth("digest", b"u:p")
        self.assertEqual(peer.operations, [Operation.DELETE, Operation.AUTH])
        peer.packets.reverse()
        peer.answer_auth()
        self.successResultOf(added)


class QueueTests(BoundsTestCase):
    def test_number(self) -> None:
        """While connected no more than so many wait; one more fails at once, certainly without effect."""
        client, peer = self.make_connected(Limits(in_flight_requests=2, queued_requests=3))
        asked = self.ask(client, 7)
        for each in asked[5:]:
            self.assert_refused(each)
        seen = []
        while peer.packets:
            seen += answer_all(peer)
        self.assertEqual(seen, [f"/{number:06d}" for number in range(5)])
        for each in asked[:5]:
            self.successResultOf(each)

    def test_names_itself(self) -> None:
        """The error names the refused request, and the reason."""
        client, _ = self.make_connected(Limits(in_flight_requests=1, queued_requests=1))
        ignore(client.delete("/a"))
        ignore(client.delete("/b"))
        error = self.failureResultOf(client.delete("/c"), TooManyRequestsException).value
        self.assertEqual(error.path, "/c")
        self.assertIn("wait", str(error))

    def test_bytes(self) -> None:
        """The bytes in the queue are bounded."""
        client, peer = self.make_connected(Limits(in_flight_requests=1, queued_bytes=2500))
        asked = [client.set("/a", bytes(1000)) for _ in range(5)]
        self.assert_refused(asked[3])
        self.assert_refused(asked[4])
        for each in asked[:3]:
            peer.answer(SetDataRequest, StatResponse(STAT))
            self.successResultOf(each)
        self.assertEqual(peer.packets, [])

    def test_one_may_always_wait(self) -> None:
        """A request that is longer than the bound of the queue may wait alone."""
        client, peer = self.make_connected(Limits(in_flight_requests=1, queued_bytes=100))
        first, big = client.delete("/a"), client.set("/a", bytes(1000))
        self.assert_refused(client.delete("/b"))
        peer.answer(DeleteRequest)
        peer.answer(SetDataRequest, StatResponse(STAT))
        self.successResultOf(first)
        self.successResultOf(big)

    def test_room_in_the_queue(self) -> None:
        """As soon as there is room again, the next is taken."""
        client, peer = self.make_connected(Limits(in_flight_requests=1, queued_requests=1, queued_bytes=100))
        asked = self.ask(client, 3)
        self.assert_refused(asked[2])
        peer.answer(DeleteRequest)
        late = client.delete("/late")
        peer.answer(DeleteRequest)
        self.assertEqual(peer.answer(DeleteRequest).path, "/late")
        self.successResultOf(late)
        for each in asked[:2]:
            self.successResultOf(each)

    def test_cancelling_frees_room(self) -> None:
        """A request that is cancelled in the queue is never sent, and makes room, in number and in bytes."""
        for limits in (
            Limits(in_flight_requests=1, queued_requests=3),
            Limits(in_flight_requests=1, queued_bytes=59),
        ):
            client, peer = self.make_connected(limits)
            asked = self.ask(client, 4)
            self.assert_refused(client.delete("/refused"))
            asked[2].cancel()
            self.failureResultOf(asked[2], CancelledError)
            late = client.delete("/latest")
            self.assert_refused(client.delete("/refused"))
            seen = []
            while peer.packets:
                seen += answer_all(peer)
            self.assertEqual(seen, ["/000000", "/000001", "/000003", "/latest"])
            self.successResultOf(late)
            self.close_fast(client, peer)

    def test_cancelling_all(self) -> None:
        """When all are cancelled, nothing is left that could be sent, nor a timer for it."""
        client, peer = self.make_connected(Limits(in_flight_requests=1))
        asked = self.ask(client, 5)
        for each in asked[1:]:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertEqual(answer_all(peer), ["/000000"])
        self.assertEqual(peer.packets, [])
        self.successResultOf(asked[0])

    def test_no_time_limit_while_connected(self) -> None:
        """A request waits for others to be answered however long that takes, as long as there is a connection."""
        client, peer = self.make_connected(Limits(in_flight_requests=1, queued_time=2.0))
        first, second = self.ask(client, 2)
        self.pass_time(5)
        self.assertNoResult(second)
        answer_all(peer)
        self.assertEqual(answer_all(peer), ["/000001"])
        self.successResultOf(first)
        self.successResultOf(second)

    def test_time_without_a_connection(self) -> None:
        """The time counts from the loss of the connection, or from the call if that came later. Then the request fails and is
        never sent."""
        client, _ = self.make_connected(Limits(in_flight_requests=1, queued_time=2.0))
        first, second = self.ask(client, 2)
        self.pass_time(5)
        self.server.stop()
        self.failureResultOf(first, ConnectionLossException)
        self.pass_time(1)
        third = client.delete("/third")
        self.pass_time(0.9)
        self.assertNoResult(second)
        self.pass_time(0.2)
        error = self.failureResultOf(second, ConnectionLossException).value
        self.assertIs(error.applied, False)
        self.assertIn("without a connection", str(error))
        self.pass_time(0.8)
        self.assertNoResult(third)
        self.pass_time(0.2)
        self.failureResultOf(third, ConnectionLossException)

    def test_while_disconnected(self) -> None:
        """Without a connection the bounds are the same; afterwards requests are sent as far as the window allows."""
        client, peer = self.make_connected(Limits(in_flight_requests=2, queued_requests=5))
        peer.drop()
        asked = self.ask(client, 6)
        self.assert_refused(asked[5])
        again = self.reconnect(peer)
        self.assertEqual(sent_paths(again), ["/000000", "/000001"])
        seen = []
        while again.packets:
            seen += answer_all(again)
        self.assertEqual(seen, [f"/{number:06d}" for number in range(5)])
        for each in asked[:5]:
            self.successResultOf(each)

    def test_cut_off(self) -> None:
        """When the connection is lost, requests in flight fail with ``applied`` None; queued ones are sent on the next
        connection, in order, once (H1).
        """
        client, peer = self.make_connected(Limits(in_flight_requests=2))
        asked = self.ask(client, 5)
        again = self.reconnect(peer)
        for each in asked[:2]:
            self.assertIs(self.failureResultOf(each, ConnectionLossException).value.applied, None)
        seen = []
        while again.packets:
            seen += answer_all(again)
        self.assertEqual(seen, ["/000002", "/000003", "/000004"])
        for each in asked[2:]:
            self.successResultOf(each)

    def test_watches_before_the_queue(self) -> None:
        """On the next connection the watches that are set again do not stand behind the queue, nor does a full window
        keep them."""
        client, peer = self.make_connected(Limits(in_flight_requests=1))
        for path in ("/x", "/y"):
            ignore(client.get_and_watch(path)[1])
            peer.answer(GetDataRequest, DATA)
        asked = self.ask(client, 3)
        again = self.reconnect(peer)
        self.assertEqual(again.operations[0], Operation.SET_WATCHES)
        again.reply(again.packets.pop(0).xid)
        self.failureResultOf(asked[0])
        seen = []
        while again.packets:
            seen += answer_all(again)
        self.assertEqual(seen, ["/000001", "/000002"])
        for each in asked[1:]:
            self.successResultOf(each)

    def test_too_large(self) -> None:
        """A request over the size limit is refused for that, whether or not others wait."""
        client, _ = self.make_connected(Limits(in_flight_requests=1, queued_requests=1))
        ignore(client.delete("/a"))
        ignore(client.delete("/b"))
        self.failureResultOf(client.set("/c", bytes(2**21)), RequestTooLargeException)


class FloodTests(BoundsTestCase):
    """Half as many again as may wait by default, all at once, and a server that does not read."""

    COUNT = 30_000

    def test_bounded(self) -> None:
        """No more than the window reaches the transport, no more than the queue waits, and the rest fails at once; then all
        that was taken is done, in order."""
        limits = Limits()
        client, peer = self.make_connected(limits)
        (link,) = self.reactor.links
        link.stall(to_client=False)
        asked = self.ask(client, self.COUNT)
        taken = limits.in_flight_requests + limits.queued_requests
        refused = [each for each in asked if each.called]
        self.assertEqual(len(refused), self.COUNT - taken)
        self.assertEqual(refused, asked[taken:])
        for each in refused:
            self.assert_refused(each)
        self.settle()
        self.assertEqual(peer.packets, [])
        link.resume()
        self.assertEqual(len(peer.packets), limits.in_flight_requests)
        seen = []
        while peer.packets:
            self.assertLessEqual(len(peer.packets), limits.in_flight_requests)
            seen += answer_all(peer)
        self.assertEqual(seen, [f"/{number:06d}" for number in range(taken)])
        for each in asked[:taken]:
            self.successResultOf(each)

    def test_nothing_lost(self) -> None:
        """With a queue that is long enough, none is lost."""
        client, peer = self.make_connected(Limits(in_flight_requests=1000, queued_requests=self.COUNT))
        (link,) = self.reactor.links
        link.stall(to_client=False)
        asked = self.ask(client, 20_000)
        self.assertFalse(any(each.called for each in asked))
        link.resume()
        seen = 0
        while peer.packets:
            self.assertLessEqual(len(peer.packets), 1000)
            seen += len(answer_all(peer))
        self.assertEqual(seen, 20_000)
        self.assertTrue(all(each.called for each in asked))

    def test_bytes_at_the_transport(self) -> None:
        """The bytes at the transport of a server that does not read are bounded."""
        client, peer = self.make_connected(Limits(in_flight_bytes=100_000, queued_bytes=200_000))
        (link,) = self.reactor.links
        link.stall(to_client=False)
        asked = [client.set("/a", bytes(10_000)) for _ in range(100)]
        refused = [each for each in asked if each.called]
        for each in refused:
            self.assert_refused(each)
        self.assertLess(70 - 5, len(refused))
        link.resume()
        self.assertLess(sum(packet.length for packet in peer.packets), 100_000 + 10_100)
        answered = 0
        while peer.packets:
            peer.answer(SetDataRequest, StatResponse(STAT))
            answered += 1
        self.assertEqual(answered, 100 - len(refused))


class WaitingTests(BoundsTestCase):
    """The form of a client whose requests wait for room."""

    def test_never_refused(self) -> None:
        """However many there are, they wait, and are sent in order, between those of the client's own methods."""
        client, peer = self.make_connected(Limits(in_flight_requests=2, queued_requests=3, queued_bytes=200))
        waiting = client.waiting()
        asked = [(waiting if number % 100 else client).delete(f"/{number:06d}") for number in range(300)]
        seen = []
        while peer.packets:
            self.assertLessEqual(len(peer.packets), 2)
            seen += answer_all(peer)
        self.assertEqual(seen, [f"/{number:06d}" for number in range(300)])
        for each in asked:
            self.successResultOf(each)

    def test_bounds_count_the_clients_own(self) -> None:
        """Requests that wait in this way do not count against the client's own bounds."""
        client, peer = self.make_connected(Limits(in_flight_requests=1, queued_requests=1))
        first = client.waiting().delete("/0")
        others = self.ask(client.waiting(), 10)
        own = client.delete("/own")
        self.assert_refused(client.delete("/refused"))
        while peer.packets:
            answer_all(peer)
        for each in (first, *others, own):
            self.successResultOf(each)

    def test_forms(self) -> None:
        """Each form is a client of the same session, chroot and watches, and has all forms itself."""
        client, peer = self.make_connected(chroot="/app")
        for form in (client.waiting(), client.urgent(), client.waiting().urgent(), client.chroot("/x").waiting()):
            self.assertTrue(verifyObject(IBackpressure, form))
            self.assertTrue(verifyObject(IZooKeeperClient, form))
            self.assertEqual(form.session_id, client.session_id)
        waiting = client.waiting()
        self.assertIs(waiting.waiting(), waiting)
        self.assertEqual(client.urgent().connect_string, client.connect_string)
        self.assertTrue(client.chroot("/x").waiting().connect_string.endswith("/app/x"))
        asked = client.urgent().delete("/a")
        self.assertEqual(peer.answer(DeleteRequest).path, "/app/a")
        self.successResultOf(asked)

    def test_age(self) -> None:
        """Without a connection they fail after a time, as all do."""
        client, _ = self.make_connected(Limits(queued_time=2.0))
        self.server.stop()
        waiting, urgent = client.waiting().delete("/a"), client.urgent().delete("/a")
        self.pass_time(1.9)
        self.assertNoResult(waiting)
        self.pass_time(0.2)
        for each in (waiting, urgent):
            self.assertIs(self.failureResultOf(each, ConnectionLossException).value.applied, False)

    def test_cancelled(self) -> None:
        """A request that is cancelled in the queue is never sent."""
        client, peer = self.make_connected(Limits(in_flight_requests=1))
        asked = self.ask(client.waiting(), 4)
        asked[2].cancel()
        self.failureResultOf(asked[2], CancelledError)
        seen = []
        while peer.packets:
            seen += answer_all(peer)
        self.assertEqual(seen, ["/000000", "/000001", "/000003"])
        for each in (*asked[:2], asked[3]):
            self.successResultOf(each)

    def test_close(self) -> None:
        """``close`` does not wait for them: they fail, certainly without effect, and the session ends at once."""
        client, peer = self.make_connected(Limits(in_flight_requests=2))
        sent, own = self.ask(client, 2), client.delete("/own")
        waiting = self.ask(client.waiting(), 1000)
        closed = client.close()
        for each in waiting:
            self.assertIs(self.failureResultOf(each, ClosingException).value.applied, False)
        self.assertEqual(answer_all(peer), ["/000000", "/000001"])
        self.assertEqual(peer.operations, [Operation.DELETE, Operation.CLOSE_SESSION])
        peer.answer(DeleteRequest)
        peer.answer(CloseSessionRequest)
        for each in (*sent, own):
            self.successResultOf(each)
        self.successResultOf(closed)


class UrgentTests(BoundsTestCase):
    """The form of a client whose requests go ahead of others."""

    def test_ahead_of_the_queue(self) -> None:
        """An urgent request is sent at once, even if the window and the queue are full."""
        client, peer = self.make_connected(Limits(in_flight_requests=2, queued_requests=10))
        asked = [*self.ask(client, 5), *self.ask(client.waiting(), 5, begin=5)]
        urgent = client.urgent().delete("/urgent")
        self.assertEqual(sent_paths(peer), ["/000000", "/000001", "/urgent"])
        seen = []
        while peer.packets:
            seen += answer_all(peer)
        self.assertEqual(seen, ["/000000", "/000001", "/urgent", *[f"/{number:06d}" for number in range(2, 10)]])
        for each in (*asked, urgent):
            self.successResultOf(each)

    def test_without_a_connection(self) -> None:
        """On the next connection it is sent first, after the watches that are set again."""
        client, peer = self.make_connected(Limits(in_flight_requests=1))
        watch = self.keep(client.get_and_watch("/x")[1])
        peer.answer(GetDataRequest, DATA)
        peer.drop()
        asked = self.ask(client, 2)
        urgent = [client.urgent().delete(f"/urgent{number}") for number in range(3)]
        self.pass_time(0.5)
        again = self.server.peer
        again.accept()
        self.assertEqual(again.operations, [Operation.SET_WATCHES, *[Operation.DELETE] * 3])
        again.reply(again.packets.pop(0).xid)
        seen = []
        while again.packets:
            seen += answer_all(again)
        self.assertEqual(seen, ["/urgent0", "/urgent1", "/urgent2", "/000000", "/000001"])
        self.assertNoResult(watch)
        for each in (*asked, *urgent):
            self.successResultOf(each)

    def test_session_ended(self) -> None:
        """Requests of one session are not sent in the next."""
        client, peer = self.make_connected()
        peer.drop()
        urgent = client.urgent().delete("/a")
        self.pass_time(0.5)
        self.server.peer.expire()
        self.failureResultOf(urgent, SessionExpiredException)

    def test_closed(self) -> None:
        """An urgent request fails when the client is closed."""
        client, peer = self.make_connected()
        self.close_fast(client, peer)
        self.assertIs(self.failureResultOf(client.urgent().delete("/a"), ClosingException).value.applied, False)


class ClosingTests(BoundsTestCase):
    def test_close(self) -> None:
        """Behind a full window ``close`` waits for all that was asked before, and ends the session last (I1)."""
        client, peer = self.make_connected(Limits(in_flight_requests=2))
        asked = self.ask(client, 5)
        closed = client.close()
        self.assert_refused_as_closed(client.delete("/after"))
        order = []
        while peer.packets and peer.packets[0].operation == Operation.DELETE:
            order.append(peer.answer(DeleteRequest).path)
        self.assertEqual(order, [f"/{number:06d}" for number in range(5)])
        self.assertEqual(peer.operations, [Operation.CLOSE_SESSION])
        for each in asked:
            self.successResultOf(each)
        self.assertNoResult(closed)
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)
        self.assert_nothing_left()

    def assert_refused_as_closed(self, deferred: Deferred[Any]) -> None:
        self.assertIs(self.failureResultOf(deferred, ClosingException).value.applied, False)

    def test_close_with_a_silent_server(self) -> None:
        """If that takes too long, all fail: sent requests with ``applied`` None, queued ones with False."""
        client, peer = self.make_connected(Limits(in_flight_requests=2))
        asked = self.ask(client, 5)
        closed = client.close()
        self.pass_time(5.0)
        self.successResultOf(closed)
        told = [self.failureResultOf(each, ClosingException).value.applied for each in asked]
        self.assertEqual(told, [None, None, False, False, False])
        self.assertEqual(peer.operations, [Operation.DELETE, Operation.DELETE, Operation.CLOSE_SESSION])
        self.assert_nothing_left()

    def test_reads_too(self) -> None:
        """Every kind of request is counted."""
        client, peer = self.make_connected(Limits(in_flight_requests=1))
        read, synced, removed = client.get("/a"), client.sync(), client.delete("/b")
        self.assertEqual(peer.operations, [Operation.GET_DATA])
        peer.answer(GetDataRequest, DATA)
        self.assertEqual(peer.operations, [Operation.SYNC])
        peer.answer(SyncRequest, b"\0\0\0\1/")
        self.assertEqual(peer.operations, [Operation.DELETE])
        peer.answer(DeleteRequest)
        for each in (read, synced, removed):
            self.successResultOf(each)  # type: ignore[misc]
