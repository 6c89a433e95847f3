"""A connection that is cut at every byte of the server's data: only whole frames count."""

from __future__ import annotations

from collections.abc import Iterator

from txmirror.client import ZooKeeperClient
from txmirror.errors import ConnectionLossException
from txmirror.test.client.peer import (
    PASSWORD,
    SESSION,
    STAT,
    ClientTestCase,
    Peer,
    S,
    event,
    ignore,
    reply,
    write,
)
from txmirror.types import EventType, SessionState
from txmirror.wire import (
    AuthRequest,
    ConnectResponse,
    CreateRequest,
    GetDataRequest,
    GetDataResponse,
    Operation,
    PathResponse,
    SetWatchesRequest,
    encode_frame,
)

DATA = GetDataResponse(b"data", STAT)


class CutTestCase(ClientTestCase):
    def cuts(self, length: int) -> Iterator[tuple[int, bool]]:
        """Return every possible number of bytes, each for a connection that breaks and one that is closed."""
        for count in range(length + 1):
            for orderly in (False, True):
                yield count, orderly

    def deliver(self, peer: Peer, said: bytes, count: int, orderly: bool) -> None:
        """Deliver the first bytes of the server's data, and then nothing any more."""
        if orderly:
            write(peer, said[:count])
            peer.close()
        else:
            self.reactor.links[-1].cut_after(to_client=count)
            peer.send(said)
        self.settle()
        self.assertTrue(peer.lost)

    def watch(self, client: ZooKeeperClient, peer: Peer, *paths: str, zxid: int = 50) -> None:
        """Let the feed watch these nodes."""
        for path in paths:
            ignore(client.read_data(path))
            peer.answer(GetDataRequest, DATA, zxid=zxid)


class HandshakeTests(CutTestCase):
    def test_first(self) -> None:
        """A first handshake that is cut before its end has opened no session: the next one requests a new one, and the
        queue is sent there. A whole one has opened a session, which is resumed (A8, B3).
        """
        for read_only in (False, None):
            answer = encode_frame(ConnectResponse(round(S * 1000), SESSION, PASSWORD, read_only).encode())
            for count, orderly in self.cuts(len(answer)):
                whole = count == len(answer)
                client = self.make_client()
                connected = client.connect()
                queued = client.get("/a")
                self.deliver(self.server.peer, answer, count, orderly)
                self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED] if whole else [])
                again = self.next_peer(self.server)
                self.assertEqual(again.hello.sessionId, SESSION if whole else 0)
                again.accept()
                self.successResultOf(connected)
                if whole:
                    self.assertIsNone(self.failureResultOf(queued, ConnectionLossException).value.applied)
                else:
                    again.answer(GetDataRequest, DATA)
                    self.assertEqual(self.successResultOf(queued), (b"data", STAT))
                self.assertEqual(again.packets, [])
                self.assertEqual(client.session.session_number, 1)
                self.close_fast(client, again)

    def test_expired(self) -> None:
        """An answer that the session is over has ended it only if it has come whole (F1)."""
        answer = encode_frame(ConnectResponse(0, 0, bytes(16), False).encode())
        for count, orderly in self.cuts(len(answer)):
            client, peer = self.make_connected()
            self.deliver(self.reconnect(peer, accept=False), answer, count, orderly)
            again = self.next_peer(self.server) if count < len(answer) else self.server.peer
            self.assertEqual(again.hello.sessionId, 0 if count == len(answer) else SESSION)
            again.accept(session_id=SESSION + (count == len(answer)))
            self.assertEqual(client.session.session_number, 2 if count == len(answer) else 1)
            self.close_fast(client, again)


class ReplyTests(CutTestCase):
    def test_write(self) -> None:
        """The reply to a write that is cut anywhere leaves it unknown whether it was done, and it is not sent again; one
        that has come whole is an answer (E1, H1)."""
        answer = reply(1, PathResponse("/made"), zxid=77)
        for count, orderly in self.cuts(len(answer)):
            client, peer = self.make_connected()
            made = client.create("/made", b"", sequence=True)
            peer.take(CreateRequest)
            self.deliver(peer, answer, count, orderly)
            if count == len(answer):
                self.assertEqual(self.successResultOf(made), "/made")
            else:
                self.assertIsNone(self.failureResultOf(made, ConnectionLossException).value.applied)
            again = self.reconnect(peer)
            self.assertEqual(again.hello.lastZxidSeen, 77 if count == len(answer) else 0)
            self.assertEqual(again.packets, [])
            self.close_fast(client, again)

    def test_read_with_a_watch(self) -> None:
        """The reply to a read that is cut anywhere has set no watch; one that has come whole has (C1, C2)."""
        answer = reply(1, DATA, zxid=77)
        for count, orderly in self.cuts(len(answer)):
            client, peer = self.make_connected()
            read, watch = client.get_and_watch("/a")
            ignore(watch)
            peer.take(GetDataRequest)
            self.deliver(peer, answer, count, orderly)
            again = self.reconnect(peer)
            if count == len(answer):
                self.assertEqual(self.successResultOf(read), (b"data", STAT))
                self.assertEqual(again.answer(SetWatchesRequest), SetWatchesRequest(77, ("/a",), (), ()))
            else:
                self.failureResultOf(read, ConnectionLossException)
            self.assertEqual(again.packets, [])
            self.assertFalse(watch.called)
            self.close_fast(client, again)

    def test_identity(self) -> None:
        """The answer to an identity that is cut anywhere is no answer: it is waited for at the next server (F7)."""
        answer = reply(-4, zxid=0)
        for count, orderly in self.cuts(len(answer)):
            client, peer = self.make_connected()
            taken = client.add_auth("digest", b"u:p")
            self.settle()
            self.deliver(peer, answer, count, orderly)
            self.assertEqual(taken.called, count == len(answer))
            again = self.reconnect(peer)
            self.assertEqual(again.answer_auth(), AuthRequest("digest", b"u:p"))
            self.successResultOf(taken)
            self.close_fast(client, again)


class EventTests(CutTestCase):
    def test_event(self) -> None:
        """A watch whose event is cut anywhere stands, and is set again; one whose event has come whole has fired, once, and
        is not (C1)."""
        said = event(EventType.CHANGED, "/a", zxid=90)
        for count, orderly in self.cuts(len(said)):
            client, peer = self.make_connected()
            self.watch(client, peer, "/a")
            self.deliver(peer, said, count, orderly)
            whole = count == len(said)
            self.assertEqual(len(self.watch_events()), whole)
            again = self.reconnect(peer)
            if not whole:
                self.assertEqual(again.answer(SetWatchesRequest), SetWatchesRequest(50, ("/a",), (), ()))
                again.event(EventType.CHANGED, "/a")
            self.assertEqual(again.packets, [])
            self.assertEqual(len(self.watch_events()), 1)
            self.close_fast(client, again)

    def test_events_of_one_transaction(self) -> None:
        """Events of one transaction, and the reply that shows it, cut at any byte: the lost ones come again, because
        watches are set again relative to the last whole reply, whatever zxid the events have (D5).
        """
        first, second = event(EventType.CHANGED, "/a", zxid=90), event(EventType.CHANGED, "/b", zxid=90)
        said = first + second + reply(4, DATA, zxid=90)
        for count, orderly in self.cuts(len(said)):
            client, peer = self.make_connected()
            self.watch(client, peer, "/a", "/b", "/c")
            ignore(client.get("/a"))
            peer.take(GetDataRequest)
            self.deliver(peer, said, count, orderly)
            owed = ("/a", "/b", "/c")[(count >= len(first)) + (count >= len(first + second)) :]
            zxid = 90 if count == len(said) else 50
            again = self.reconnect(peer)
            self.assertEqual(again.hello.lastZxidSeen, zxid)
            self.assertEqual(again.answer(SetWatchesRequest), SetWatchesRequest(zxid, owed, (), ()))
            self.close_fast(client, again)


class SetWatchesTests(CutTestCase):
    def test_reply(self) -> None:
        """The connection is cut anywhere in the answer to setWatches, an event and the reply: the watches that have not fired
        are set again, relative to the same zxid (C5, C6)."""
        owed = event(EventType.DELETED, "/a", zxid=80)
        said = owed + reply(1, zxid=90)
        for count, orderly in self.cuts(len(said)):
            client, peer = self.make_connected()
            self.watch(client, peer, "/a", "/b")
            again = self.reconnect(peer)
            again.take(SetWatchesRequest)
            self.deliver(again, said, count, orderly)
            third = self.reconnect(again)
            self.assertEqual(third.hello.lastZxidSeen, 90 if count == len(said) else 50)
            left = ("/b",) if count >= len(owed) else ("/a", "/b")
            self.assertEqual(third.answer(SetWatchesRequest), SetWatchesRequest(50, left, (), ()))
            self.assertEqual(len(self.watch_events()), count >= len(owed))
            self.close_fast(client, third)

    def test_of_a_former_session(self) -> None:
        """Watches of a former session are this one's only if the reply has come whole (C2)."""
        answer = reply(1, zxid=90)
        for count, orderly in self.cuts(len(answer)):
            client, peer = self.make_connected()
            done = client.set_watches(33, data=["/d"])
            ignore(done)
            self.assertEqual(peer.operations, [Operation.SET_WATCHES])
            self.deliver(peer, answer, count, orderly)
            again = self.reconnect(peer)
            if count == len(answer):
                self.assertEqual(again.answer(SetWatchesRequest), SetWatchesRequest(90, ("/d",), (), ()))
            self.assertEqual(again.packets, [])
            self.close_fast(client, again)
