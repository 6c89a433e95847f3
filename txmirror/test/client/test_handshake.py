"""The handshake: its contents, its order, and the possible answers of the server."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import ServerFactory

from txmirror.client import Limits, ZooKeeperClient
from txmirror.test.client.peer import PASSWORD, SESSION, STAT, ClientTestCase, Peer, S, ignore, reply, write
from txmirror.types import SessionState
from txmirror.wire import (
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    GetDataRequest,
    GetDataResponse,
    Operation,
    PathResponse,
    encode_frame,
)

ACCEPTANCE = ConnectResponse(round(S * 1000), SESSION, PASSWORD, False)


class RequestTests(ClientTestCase):
    def test_first_handshake(self) -> None:
        """The first handshake of all asks for a new session, and claims to have seen nothing."""
        self.make_client(session_timeout=7.5).connect().addErrback(lambda _: None)
        self.assertEqual(self.server.peer.hello, ConnectRequest(0, 7500, 0, bytes(16), False))

    def test_resumption(self) -> None:
        """A handshake that resumes a session offers its id and password, and the last zxid that was seen."""
        client, peer = self.make_connected()
        self.show_zxid(client, peer, 77)
        resumed = self.reconnect(peer, accept=False)
        self.assertEqual(resumed.hello, ConnectRequest(77, round(S * 1000), SESSION, PASSWORD, False))

    def test_highest_zxid(self) -> None:
        """A handshake has the highest zxid seen, not the latest (D6)."""
        client, peer = self.make_connected()
        self.show_zxid(client, peer, 77)
        self.show_zxid(client, peer, 60)
        self.assertEqual(self.reconnect(peer, accept=False).hello.lastZxidSeen, 77)

    def test_zxid_in_a_new_session(self) -> None:
        """A handshake for a new session, too, has the highest zxid seen, so that no lagging server accepts it (D6)."""
        client, peer = self.make_connected()
        self.show_zxid(client, peer, 77)
        self.reconnect(peer, accept=False).expire()
        self.pass_time(0.5)
        self.assertEqual(self.server.peer.hello.sessionId, 0)
        self.assertEqual(self.server.peer.hello.lastZxidSeen, 77)
        self.assertEqual(self.server.peer.hello.passwd, bytes(16))

    def test_timeout_asked_for_again(self) -> None:
        """The client requests the configured timeout, even after a server has negotiated another (A9)."""
        client = self.make_client(session_timeout=30.0)
        ignore(client.connect())
        self.server.peer.accept(timeout=4.0)
        self.assertEqual(client.session_timeout, 4.0)
        resumed = self.reconnect(self.server.peer, accept=False)
        self.assertEqual(resumed.hello.timeOut, 30_000)
        resumed.expire()
        self.pass_time(0.5)
        self.assertEqual(self.server.peer.hello.timeOut, 30_000)
        self.assertEqual(client.session_timeout, 30.0)


class OrderTests(ClientTestCase):
    def test_nothing_before_the_answer(self) -> None:
        """Rule 1: nothing but the handshake is sent before its answer has come (A6)."""
        client = self.make_client()
        for deferred in (client.connect(), client.get("/a"), client.add_auth("digest", b"u:p"), client.sync()):
            ignore(deferred)
        self.pass_time(S / 3 - 0.5)
        self.assertEqual(self.server.peer.packets, [])
        self.assertEqual(self.server.peer.pings, [])

    def test_nothing_before_half_an_answer(self) -> None:
        """Rule 1: a part of the answer is no answer (A6)."""
        client = self.make_client()
        ignore(client.connect())
        ignore(client.get("/a"))
        peer = self.server.peer
        peer.send(encode_frame(ACCEPTANCE.encode())[:-1])
        self.pass_time(1)
        self.assertEqual(peer.packets, [])
        self.assertIs(client.session.state, SessionState.CONNECTING)

    def test_what_follows_the_answer(self) -> None:
        """Rule 1: after the answer the client sends the identities, then the watches, then the queue, each in its order
        (A7).
        """
        client, peer = self.make_connected()
        ignore(client.add_auth("digest", b"first:1"))
        peer.answer_auth()
        ignore(client.read_data("/watched"))
        peer.answer(GetDataRequest, GetDataResponse(b"", STAT))
        peer.drop()
        ignore(client.get("/queued"))
        ignore(client.add_auth("digest", b"second:2"))
        ignore(client.delete("/queued"))
        self.pass_time(0.5)
        self.server.peer.accept()
        self.assertEqual(
            self.server.peer.operations,
            [Operation.AUTH, Operation.AUTH, Operation.SET_WATCHES, Operation.GET_DATA, Operation.DELETE],
        )
        self.assertEqual(self.server.peer.answer_auth().auth, b"first:1")
        self.assertEqual(self.server.peer.answer_auth().auth, b"second:2")

    def test_queued_before_what_is_asked_on_connection(self) -> None:
        """Rule 1: a listener's requests at the connection are sent after the queued ones (A7)."""
        client = self.make_client()
        ignore(client.get("/queued"))
        client.add_listener(lambda step: ignore(client.get("/listener")))
        client.connect().addCallback(lambda _: ignore(client.get("/connected")))
        peer = self.server.peer
        peer.accept()
        paths = [peer.take(GetDataRequest)[1].path for _ in range(3)]
        self.assertEqual(paths, ["/queued", "/listener", "/connected"])


class AnswerTests(ClientTestCase):
    def test_session(self) -> None:
        """With the answer the session stands, with the negotiated timeout, and ``connect`` fires."""
        client = self.make_client(session_timeout=30.0)
        connected = client.connect()
        self.settle()
        self.assertNoResult(connected)
        self.server.peer.accept(session_id=-5, timeout=6.0)
        self.successResultOf(connected)
        self.assertEqual((client.session_id, client.session_timeout), (-5, 6.0))
        self.assertEqual(self.states(), [SessionState.CONNECTED])

    def test_without_read_only(self) -> None:
        """The answer of an old server lacks the last byte, and is an answer all the same (A8)."""
        client = self.make_client()
        connected = client.connect()
        self.server.peer.accept(read_only=None)
        self.successResultOf(connected)

    def test_split_anywhere(self) -> None:
        """An answer that arrives in two pieces is the same, at whichever byte it is cut (A8)."""
        for answer in (ACCEPTANCE, ConnectResponse(round(S * 1000), SESSION, PASSWORD, None)):
            frame = encode_frame(answer.encode())
            for cut in range(1, len(frame)):
                client = self.make_client()
                connected = client.connect()
                peer = self.server.peer
                peer.send(frame[:cut])
                self.assertNoResult(connected)
                peer.send(frame[cut:])
                self.successResultOf(connected)
                self.close_fast(client, peer)

    def test_byte_by_byte(self) -> None:
        """A whole conversation works when every byte comes alone."""
        self.reactor.piece = 1
        client, peer = self.make_connected()
        self.show_zxid(client, peer, 77)
        self.assertEqual(self.reconnect(peer).hello.lastZxidSeen, 77)
        self.close_fast(client, self.server.peer)

    def test_with_what_follows(self) -> None:
        """An answer that arrives together with the first replies is separated from them."""
        client = self.make_client()
        answer = client.get("/a")
        ignore(client.connect())
        self.server.peer.send(encode_frame(ACCEPTANCE.encode()), reply(1, GetDataResponse(b"x", STAT)))
        self.assertEqual(self.successResultOf(answer), (b"x", STAT))

    def test_no_password(self) -> None:
        """A null password is kept as an empty one."""
        client = self.make_client()
        ignore(client.connect())
        self.server.peer.accept(password=None)
        self.assertEqual(self.reconnect(self.server.peer, accept=False).hello.passwd, b"")

    def test_connect_again(self) -> None:
        """While the session is connected, ``connect`` fires at once, and makes no second connection."""
        client, _ = self.make_connected()
        self.successResultOf(client.connect())
        self.assertEqual(self.server.count, 1)

    def test_one_connection_for_an_attempt(self) -> None:
        """An attempt is one connection, and its first data is the handshake, in one frame (G9)."""
        said: list[list[bytes]] = []

        class Listener(TwistedProtocol):
            def connectionMade(self) -> None:
                said.append([])

            def dataReceived(self, data: bytes) -> None:
                said[-1].append(data)

        factory: ServerFactory[Any] = ServerFactory()
        factory.protocol = Listener
        self.reactor.listenTCP(2181, factory, interface="10.0.0.9")
        ignore(self.make_client("10.0.0.9").connect())
        self.pass_time(S / 3 - 0.1)
        hello = ConnectRequest(0, round(S * 1000), 0, bytes(16), False)
        self.assertEqual(said, [[encode_frame(hello.encode())]])
        self.pass_time(0.2)
        self.assertEqual(said, [[encode_frame(hello.encode())]] * 2)

    def test_connect_twice_at_once(self) -> None:
        """Two calls of ``connect`` wait for the same connection."""
        client = self.make_client()
        first, second = client.connect(), client.connect()
        self.server.peer.accept()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.server.count, 1)


class ConstructionTests(ClientTestCase):
    def test_connects_when_told(self) -> None:
        """A client that was made does nothing before ``connect``."""
        self.make_client()
        self.pass_time(10)
        self.assertEqual(self.server.count, 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_bad_timeout(self) -> None:
        """A session timeout that is no positive number of seconds is a ValueError that quotes it."""
        for timeout in (0, -1, 1e10, float("nan"), float("inf")):
            error = self.assertRaises(ValueError, self.make_client, session_timeout=timeout)
            self.assertIn(repr(timeout), str(error))

    def test_bad_address(self) -> None:
        """A malformed address is a ValueError at once, that quotes it."""
        error = self.assertRaises(ValueError, self.make_client, "10.0.0.1:http")
        self.assertIn("10.0.0.1:http", str(error))

    def test_attempt_limit(self) -> None:
        """Rule 6: an attempt may take a third of the session's timeout, and no more than four seconds."""
        self.assertEqual([Limits().attempt(timeout) for timeout in (1.5, 9.0, 12.0, 60.0)], [0.5, 3.0, 4.0, 4.0])


class RefusalTests(ClientTestCase):
    """Answers whose protocol version is not 0 are refusals, whatever their other fields: as of a ClickHouse Keeper
    without a leader.
    """

    REFUSAL = encode_frame(ConnectResponse(round(S * 1000), -1, bytes(16), None, 42).encode())

    def test_session_is_kept(self) -> None:
        """A refusal does not end our session, which continues at the next server; nor does any request run in another
        session.
        """
        second = self.add_server()
        client, peer = self.make_connected()
        second.on_handshake = lambda refusing: write(refusing, self.REFUSAL)
        peer.drop()
        created = client.create("/a")
        refusing = self.next_peer(second)
        self.assertTrue(refusing.lost)
        self.assertNoResult(created)
        self.assertEqual(refusing.packets, [])
        resumed = self.next_peer(self.server)
        self.assertEqual(resumed.hello, ConnectRequest(0, round(S * 1000), SESSION, PASSWORD, False))
        resumed.accept()
        resumed.answer(CreateRequest, PathResponse("/a"))
        self.assertEqual(self.successResultOf(created), "/a")
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CONNECTED])
        self.assertEqual((client.session.session_number, client.session_id), (1, SESSION))
        (line,) = [line for line in self.log_lines() if "42" in line]
        self.assertIn("refuses sessions", line)
        self.assertIn("10.0.0.2:2181", line)

    def test_first_session(self) -> None:
        """While every server refuses there is no session; there is one as soon as a server has its leader."""
        client = self.make_client()
        connected = client.connect()
        self.server.on_handshake = lambda refusing: write(refusing, self.REFUSAL)
        self.pass_time(20)
        self.assertNoResult(connected)
        self.assertEqual((self.states(), client.session_id), ([], 0))
        self.server.on_handshake = lambda refusing: None
        self.next_peer(self.server).accept()
        self.successResultOf(connected)


class KeeperTests(ClientTestCase):
    """Sessions of ClickHouse Keeper, which does not check the last zxid seen."""

    def reconnected(self, seen: int, reached: int) -> tuple[ZooKeeperClient, Peer]:
        """Let a client see a transaction, and get another session from a server that has reached one."""
        client = self.make_client()
        ignore(client.connect())
        self.server.peer.accept(password=bytes(16))
        self.show_zxid(client, self.server.peer, seen)
        peer = self.reconnect(self.server.peer, accept=False)
        peer.ping_zxid = reached
        peer.accept(SESSION + 1, password=bytes(16))
        return client, peer

    def test_wiped(self) -> None:
        """Before a new session is used, a ping finds the server's zxid: if that is below the last zxid seen, its data
        was wiped, and a new data generation begins.
        """
        for reached, history in ((49, 1), (50, 0), (51, 0), (0, 0)):
            client, peer = self.reconnected(50, reached)
            self.assertEqual(len(peer.pings), 1)
            self.assertEqual(
                (client.session.state, client.session.session_number), (SessionState.CONNECTED, 2), reached
            )
            self.assertEqual(client.session.data_generation, history, reached)
            self.close_fast(client, peer)
            self.pass_time(6.0)

    def test_silent(self) -> None:
        """A server that does not answer that ping gets no session for it, and the next one is tried in time."""
        client = self.make_client()
        ignore(client.connect())
        self.server.peer.accept(password=bytes(16))
        self.show_zxid(client, self.server.peer, 50)
        peer = self.reconnect(self.server.peer, accept=False)
        peer.answers_pings = False
        peer.accept(SESSION + 1, password=bytes(16))
        self.assertIs(client.session.state, SessionState.SUSPENDED)
        self.pass_time(S / 3)
        self.assertTrue(peer.lost)
        self.assertIs(client.session.state, SessionState.SUSPENDED)
        self.next_peer(self.server).accept(SESSION + 2, password=bytes(16))
        self.assertEqual((client.session.state, client.session.session_number), (SessionState.CONNECTED, 2))

    def test_first_session(self) -> None:
        """A client that has seen no zxid sends no such ping."""
        client = self.make_client()
        ignore(client.connect())
        self.server.peer.accept(password=bytes(16))
        self.assertEqual(self.server.peer.pings, [])
        self.assertIs(client.session.state, SessionState.CONNECTED)
