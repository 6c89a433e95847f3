"""Servers that can only be read: taken where that is asked for, and left as soon as one can be written to."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

from twisted.internet.interfaces import IAddress, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from txmirror.client import ZooKeeperClient
from txmirror.errors import ConnectionLossException, NotReadOnlyException, SessionExpiredException
from txmirror.test.client.peer import SESSION, STAT, ClientTestCase, Peer, S, Server, ignore
from txmirror.testing import MemoryReactor
from txmirror.types import SessionEvent, SessionState, SessionTicket
from txmirror.wire import (
    CloseSessionRequest,
    DeleteRequest,
    GetDataRequest,
    GetDataResponse,
    SetWatchesRequest,
)

DATA = GetDataResponse(b"", STAT)
LOCAL = 0x7001
CONNECTED, SUSPENDED, ENDED = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.EXPIRED


class Question(Protocol):
    """The server's side of a connection that may begin with a four-letter word; other data goes to a peer."""

    def __init__(self, server: AskedServer) -> None:
        self.server = server
        self.peer: Peer | None = None
        self.open = True

    def dataReceived(self, data: bytes) -> None:
        if self.peer is None and data == b"isro":
            self.server.questions.append(self)
            self.server.asked.append(self.server.reactor.seconds())
            if self.server.mode is not None:
                cast(ITCPTransport, self.transport).write(self.server.mode)
                if self.server.hangs_up:
                    cast(ITCPTransport, self.transport).loseConnection()
            return
        if self.peer is None:
            self.peer = Peer(self.server)
            self.peer.makeConnection(cast(ITCPTransport, self.transport))
        self.peer.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.open = False
        if self.peer is not None:
            self.peer.connectionLost(reason)


class AskedServer(Server):
    """A server that answers ``isro`` too.

    :ivar mode: its answer; None for silence.
    :ivar hangs_up: whether it closes the connection after its answer, as it should.
    :ivar asked: the times of the queries.
    """

    def __init__(self, reactor: MemoryReactor, host: str) -> None:
        self.mode: bytes | None = b"ro"
        self.hangs_up = True
        self.asked: list[float] = []
        self.questions: list[Question] = []
        super().__init__(reactor, host)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return Question(self)


class ReadOnlyTestCase(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.stop()
        self.first = AskedServer(self.reactor, "10.0.0.1")
        self.second = AskedServer(self.reactor, "10.0.0.2")
        self.server, self.servers = self.first, [self.first, self.second]

    def connect(self, *, read_only: bool = True) -> tuple[ZooKeeperClient, Peer]:
        """Return a client with the first server, which is read-only."""
        client = self.make_client(read_only=read_only)
        connected = client.connect()
        peer = self.first.peer
        peer.accept(LOCAL, read_only=True)
        self.successResultOf(connected)
        return client, peer

    def asked(self) -> list[float]:
        """When anybody was asked."""
        return sorted(self.first.asked + self.second.asked)

    def steps(self) -> list[tuple[SessionState, int, bool]]:
        return [
            (step.state, step.session_number, step.read_only) for step in self.feed if isinstance(step, SessionEvent)
        ]


class HandshakeTests(ReadOnlyTestCase):
    def test_flag(self) -> None:
        """The handshake has the flag of a client that accepts read-only servers."""
        for read_only in (True, False):
            client = self.make_client(read_only=read_only)
            ignore(client.connect())
            self.assertIs(self.first.peer.hello.readOnly, read_only)

    def test_not_for_a_session(self) -> None:
        """A session that can write is never offered to a server that cannot (A10)."""
        client = self.make_client(read_only=True)
        ignore(client.connect())
        peer = self.first.peer
        self.assertIs(peer.hello.readOnly, True)
        peer.accept()
        peer.drop()
        self.pass_time(0.5)
        self.assertEqual(self.second.count, 1)
        hello = self.second.peer.hello
        self.assertEqual((hello.sessionId, hello.readOnly), (SESSION, False))

    def test_again_without_one(self) -> None:
        """Once that session has ended, such a server will do again."""
        client = self.make_client(self.first.address, read_only=True)
        ignore(client.connect())
        peer = self.first.peer
        peer.accept()
        self.reconnect(peer, self.first, accept=False).expire()
        self.pass_time(0.5)
        hello = self.first.peer.hello
        self.assertEqual((hello.sessionId, hello.readOnly), (0, True))

    def test_not_for_one_taken_over(self) -> None:
        """A session that was taken over is never offered to a read-only server."""
        client = self.make_client(read_only=True, session=SessionTicket(SESSION, b"p", 7))
        ignore(client.connect())
        self.assertIs(self.first.peer.hello.readOnly, False)


class SessionTests(ReadOnlyTestCase):
    def test_told(self) -> None:
        """Each session event has the flag that the session is read-only."""
        client, _ = self.connect()
        self.assertEqual(self.steps(), [(CONNECTED, 1, True)])
        self.assertIs(client.session.read_only, True)

    def test_writable(self) -> None:
        """With a writable server the flag of the session is false."""
        client, _ = self.make_connected(read_only=True)
        self.assertIs(client.session.read_only, False)
        self.pass_time(60)
        self.assertEqual(self.asked(), [])

    def test_reads_and_writes(self) -> None:
        """Reads are answered; a write is refused by the server, certainly without effect."""
        client, peer = self.connect()
        read, written = client.get("/a"), client.delete("/a")
        peer.answer(GetDataRequest, DATA)
        peer.answer(DeleteRequest, err=-119)
        self.successResultOf(read)
        self.assertIs(self.failureResultOf(written, NotReadOnlyException).value.applied, False)

    def test_ends_with_its_connection(self) -> None:
        """The session is of this one server: with its connection it has ended, and is offered to nobody (A10)."""
        client, peer = self.connect()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        lost = client.delete("/a")
        peer.drop()
        self.failureResultOf(lost, ConnectionLossException)
        self.failureResultOf(watch, SessionExpiredException)
        self.assertEqual(self.steps(), [(CONNECTED, 1, True), (SUSPENDED, 1, True), (ENDED, 1, False)])
        self.assertEqual(client.session_id, 0)
        self.assertIsNone(client.session_ticket)
        self.pass_time(0.5)
        new = self.second.peer
        self.assertEqual((new.hello.sessionId, new.hello.readOnly), (0, True))
        new.accept()
        self.assertEqual(self.steps()[3:], [(CONNECTED, 2, False)])
        self.assertEqual(new.packets, [])

    def test_floor(self) -> None:
        """The zxid that was seen there is the least for later servers (A2)."""
        client, peer = self.connect()
        self.show_zxid(client, peer, 70)
        peer.drop()
        self.pass_time(0.5)
        self.assertEqual(self.second.peer.hello.lastZxidSeen, 70)

    def test_close(self) -> None:
        """A session at a read-only server is closed as any other."""
        client, peer = self.connect()
        self.close_fast(client, peer)
        self.assert_nothing_left()


class SearchTests(ReadOnlyTestCase):
    def test_growing_pauses(self) -> None:
        """While the session is with such a server the others are asked, in turn, with growing pauses (G7)."""
        _, peer = self.connect()
        self.pass_time(600)
        times = self.asked()
        pauses = [after - before for before, after in pairwise(times)]
        self.assertGreater(len(pauses), 6)
        self.assertLess(pauses[0], 1)
        self.assertEqual(pauses, sorted(pauses))
        self.assertLess(pauses[-1], 61)
        self.assertGreater(pauses[-1], 30)
        self.assertLess(abs(len(self.first.asked) - len(self.second.asked)), 2)
        self.assertFalse(peer.lost)
        self.assertFalse(any(question.open for question in self.first.questions + self.second.questions))

    def test_not_asked_for(self) -> None:
        """Nobody is asked where it was not opted in, nor where the session can write."""
        client = self.make_client()
        ignore(client.connect())
        self.first.peer.accept()
        self.pass_time(60)
        self.assertEqual(self.asked(), [])

    def test_found(self) -> None:
        """The client connects to a writable server that it has found, with a new session (G8)."""
        client, peer = self.connect()
        third = AskedServer(self.reactor, "10.0.0.3")
        self.assertEqual(third.count, 0)
        self.second.mode = b"rw"
        self.pass_time(2)
        self.assertTrue(peer.lost)
        self.assertEqual((self.first.count, self.second.count), (1, 1))
        hello = self.second.peer.hello
        self.assertEqual((hello.sessionId, hello.readOnly), (0, True))
        self.second.peer.accept()
        self.assertEqual(
            self.steps(), [(CONNECTED, 1, True), (SUSPENDED, 1, True), (ENDED, 1, False), (CONNECTED, 2, False)]
        )
        self.assertEqual(client.session_id, SESSION)
        count = len(self.asked())
        self.pass_time(120)
        self.assertEqual(len(self.asked()), count)

    def test_the_same_server(self) -> None:
        """The writable server may be the same server, when it has its quorum again."""
        _, peer = self.connect()
        self.pass_time(0.5)
        self.first.mode = b"rw"
        self.wait_for_the_end_of(peer, 10)
        self.assertEqual(self.first.count, 2)
        self.assertEqual(self.second.count, 0)

    def test_other_answers(self) -> None:
        """Other answers do not count: invalid data, silence, refusal, endless data."""
        _, peer = self.connect()
        for mode in (
            b"",
            b"null",
            b"rwx",
            b"This ZooKeeper instance is not currently serving requests\n",
            b"x" * 10_000,
        ):
            self.first.mode = self.second.mode = mode
            self.pass_time(130)
        self.first.mode = self.second.mode = None
        self.pass_time(130)
        self.second.stop()
        self.pass_time(130)
        self.assertFalse(peer.lost)
        self.second.start()
        self.second.mode = b"rw"
        self.wait_for_the_end_of(peer, 200)
        self.assertEqual(self.second.count, 1)

    def wait_for_the_end_of(self, peer: Peer, within: int) -> None:
        """Let time go by until a connection is given up."""
        for _ in range(within):
            if not peer.lost:
                self.pass_time(1)
        self.assertTrue(peer.lost)

    def test_endless_answer(self) -> None:
        """An answer that is too long is not listened to, until the time of an attempt is over neither."""
        self.connect()
        self.first.mode = self.second.mode = b"x" * 10_000
        self.first.hangs_up = self.second.hangs_up = False
        self.pass_time(2)
        self.assertGreater(len(self.asked()), 2)
        self.assertFalse(any(question.open for question in self.first.questions + self.second.questions))

    def test_line_end(self) -> None:
        """The answer may end with a line's end."""
        _, peer = self.connect()
        self.second.mode = b"rw\n"
        self.pass_time(5)
        self.assertTrue(peer.lost)

    def test_silent_server(self) -> None:
        """A server that takes the question and is silent is left after the time of an attempt, and the next is asked."""
        self.connect()
        self.first.mode = self.second.mode = None
        self.pass_time(20)
        self.assertGreater(len(self.asked()), 2)
        open_ = [question for question in self.first.questions + self.second.questions if question.open]
        self.assertLessEqual(len(open_), 1)

    def test_black_hole(self) -> None:
        """A server that does not even accept the connection is left after the time of an attempt, and the next is
        queried.
        """
        self.connect()
        self.reactor.black_hole("10.0.0.2", 2181)
        self.pass_time(60)
        self.assertGreater(len(self.first.asked), 2)

    def test_pauses_begin_anew(self) -> None:
        """With each such session the pauses begin anew."""
        client, peer = self.connect()
        self.pass_time(300)
        peer.drop()
        self.pass_time(0.5)
        self.second.peer.accept(LOCAL + 1, read_only=True)
        self.assertEqual(client.session.session_number, 2)
        count = len(self.asked())
        self.pass_time(2)
        self.assertGreater(len(self.asked()), count + 1)

    def test_stops_with_the_connection(self) -> None:
        """Without a connection nobody is asked: everybody is tried anyway."""
        _, peer = self.connect()
        self.pass_time(1)
        count = len(self.asked())
        peer.drop()
        self.pass_time(0.2)
        self.second.peer.accept()
        self.pass_time(60)
        self.assertEqual(len(self.asked()), count)

    def test_close(self) -> None:
        """A close during the search, between two questions or within one, leaves nothing."""
        for mode in (b"ro", None):
            self.first.mode = self.second.mode = mode
            client, peer = self.connect()
            self.pass_time(2)
            self.close_fast(client, peer)
            self.assert_nothing_left()
            self.assertFalse(any(question.open for question in self.first.questions + self.second.questions))

    def test_leave(self) -> None:
        """A client that leaves such a session hands nothing over that another could use, and leaves nothing."""
        client, _ = self.connect()
        left = client.leave()
        self.pass_time(5)
        self.successResultOf(left)
        self.assert_nothing_left()

    def test_watches_by_set_watches(self) -> None:
        """The next session has only the watches that ``set_watches`` sets in it, relative to the last zxid seen."""
        client, peer = self.connect()
        self.show_zxid(client, peer, 70)
        self.second.mode = b"rw"
        self.pass_time(S)
        self.second.peer.accept()
        ignore(client.set_watches(client.session.zxid, ["/a"]))
        self.assertEqual(self.second.peer.take(SetWatchesRequest)[1].relativeZxid, 70)

    def test_close_while_dialling(self) -> None:
        """``close()`` while a question's connection is not made yet leaves nothing."""
        client, peer = self.connect()
        self.reactor.black_hole("10.0.0.1", 2181)
        self.reactor.black_hole("10.0.0.2", 2181)
        self.pass_time(1)
        closed = client.close()
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)
        self.assert_nothing_left()

    def test_stopped_while_dialling(self) -> None:
        """A question that was being dialled when the search ended is forgotten: it never ends a session that can write."""
        self.reactor.black_hole("10.0.0.1", 2181)
        client = self.make_client(",".join(server.address for server in (self.second, self.first)), read_only=True)
        ignore(client.connect())
        peer = self.second.peer
        peer.accept(LOCAL, read_only=True)
        self.pass_time(0.5)
        peer.drop()
        again = self.next_peer(self.second)
        again.accept()
        self.first.mode = self.second.mode = b"rw"
        asked = len(self.asked())
        self.pass_time(60)
        self.assertEqual((len(self.asked()) - asked, again.lost), (0, False))

    def test_no_ticket(self) -> None:
        """A session of a server that can only be read is nothing that can be handed over (A10)."""
        client, _ = self.connect()
        self.assertIsNone(client.session_ticket)
