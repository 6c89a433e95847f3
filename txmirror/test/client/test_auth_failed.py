"""SASL authentication at the start of each connection, against a server that uses DIGEST-MD5 (RFC 2831)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import DigestMD5, ZooKeeperClient
from txmirror.errors import AuthFailedException, ClosingException, ConnectionLossException
from txmirror.test.client.peer import STAT, ClientTestCase, Peer, S, ignore
from txmirror.types import SessionEvent, SessionState, WatchedEvent
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    DeleteRequest,
    GetDataRequest,
    GetDataResponse,
    Operation,
    SaslRequest,
    SaslResponse,
    SetWatchesRequest,
)

DATA = GetDataResponse(b"", STAT)
USER, WORD = "alice", "a secret, quite long"
CHALLENGE = b'realm="zk-sasl-md5",nonce="0a4fF+/nonce",qop="auth",charset=utf-8,algorithm=md5-sess'
_PAIR = re.compile(rb'(\w[\w-]*)=("(?:[^"\\]|\\.)*"|[^,]*)')


def parse(said: bytes) -> dict[str, str]:
    """Read the pairs of a client's word."""
    return {name.decode(): value.strip(b'"').decode() for name, value in _PAIR.findall(said)}


def digest(fields: dict[str, str], user: str, password: str, method: str) -> str:
    """Compute the response value of RFC 2831, section 2.1.2.1; ``method`` is empty for the server's own."""

    def h(data: bytes) -> bytes:
        return hashlib.md5(data, usedforsecurity=False).digest()

    secret = h(f"{user}:{fields['realm']}:{password}".encode())
    a1 = h(secret + f":{fields['nonce']}:{fields['cnonce']}".encode()).hex()
    a2 = h(f"{method}:{fields['digest-uri']}".encode()).hex()
    return h(f"{a1}:{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:{fields['qop']}:{a2}".encode()).hex()


class DigestTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The computation of these tests is that of the example in RFC 2831, section 4."""
        fields = {
            "realm": "elwood.innosoft.com",
            "nonce": "OA6MG9tEQGm2hh",
            "nc": "00000001",
            "cnonce": "OA6MHXh6VqTrRk",
            "digest-uri": "imap/elwood.innosoft.com",
            "qop": "auth",
        }
        self.assertEqual(digest(fields, "chris", "secret", "AUTHENTICATE"), "d388dad90d4bbd760a152321f2143af7")
        self.assertEqual(digest(fields, "chris", "secret", ""), "ea40f60335c427b5527b84dbabcdfffd")


class CredentialsTests(SynchronousTestCase):
    def test_password_is_not_shown(self) -> None:
        """The password is not in the ``repr``."""
        self.assertNotIn(WORD, repr(DigestMD5(USER, WORD)))
        self.assertIn(USER, repr(DigestMD5(USER, WORD)))


class SaslTestCase(ClientTestCase):
    def make_sasl(self, password: str = WORD, **options: Any) -> ZooKeeperClient:
        return self.make_client(sasl=DigestMD5(USER, password), **options)

    def begin(self, peer: Peer) -> None:
        """Answer the handshake, and the client's first word by a challenge."""
        peer.accept()
        self.assertEqual(peer.operations, [Operation.SASL])
        self.assertEqual(peer.answer(SaslRequest, SaslResponse(CHALLENGE), zxid=0).token, b"")

    def prove(self, peer: Peer, *, rightly: bool = True) -> None:
        """Complete the whole exchange, as a server that verifies the proof."""
        self.begin(peer)
        self.assertEqual(peer.operations, [Operation.SASL])
        xid, request = peer.take(SaslRequest)
        fields = parse(request.token or b"")
        self.assertEqual((fields["username"], fields["realm"], fields["qop"]), (USER, "zk-sasl-md5", "auth"))
        self.assertEqual((fields["nonce"], fields["nc"]), ("0a4fF+/nonce", "00000001"))
        self.assertEqual(fields["digest-uri"], "zookeeper/zk-sasl-md5")
        if fields["response"] == digest(fields, USER, WORD, "AUTHENTICATE") and rightly:
            peer.reply(xid, SaslResponse(f"rspauth={digest(fields, USER, WORD, '')}".encode()), zxid=0)
        else:
            # As a real server does it.
            peer.reply(xid, SaslResponse(None), zxid=0, err=-115)
            peer.close()

    def make_proved(self, **options: Any) -> tuple[ZooKeeperClient, Peer]:
        client = self.make_sasl(**options)
        connected = client.connect()
        self.prove(self.server.peer)
        self.successResultOf(connected)
        return client, self.server.peer

    def assert_refused(self, *deferreds: Deferred[Any]) -> None:
        for deferred in deferreds:
            self.failureResultOf(deferred, AuthFailedException)


class SuccessTests(SaslTestCase):
    def test_before_anything_else(self) -> None:
        """Before the authentication no request is sent, and no Deferred fires (A7); then the identities are sent, and
        the queue.
        """
        client = self.make_sasl()
        connected, read = client.connect(), client.get("/a")
        added = client.add_auth("digest", b"u:p")
        peer = self.server.peer
        self.begin(peer)
        self.assertEqual(peer.operations, [Operation.SASL])
        self.assertEqual(self.states(), [])
        self.assertNoResult(connected)
        xid, request = peer.take(SaslRequest)
        fields = parse(request.token or b"")
        self.assertEqual(fields["response"], digest(fields, USER, WORD, "AUTHENTICATE"))
        self.pass_time(1)
        self.assertEqual(peer.packets, [])
        self.assertNoResult(connected)
        peer.reply(xid, SaslResponse(f"rspauth={digest(fields, USER, WORD, '')}".encode()), zxid=0)
        self.successResultOf(connected)
        self.assertEqual(peer.operations, [Operation.AUTH, Operation.GET_DATA])
        peer.answer_auth()
        peer.answer(GetDataRequest, DATA)
        self.successResultOf(added)
        self.successResultOf(read)
        self.assertEqual(self.states(), [SessionState.CONNECTED])

    def test_on_every_connection(self) -> None:
        """The client authenticates on every connection; then it sends the identities, the watches, and the queue."""
        client, peer = self.make_proved()
        ignore(client.add_auth("digest", b"u:p"))
        peer.answer_auth()
        ignore(client.get_and_watch("/a")[1])
        peer.answer(GetDataRequest, DATA)
        peer.drop()
        ignore(client.delete("/queued"))
        again = self.reconnect(peer, accept=False)
        self.prove(again)
        self.assertEqual(again.operations, [Operation.AUTH, Operation.SET_WATCHES, Operation.DELETE])
        again.answer_auth()
        again.answer(SetWatchesRequest)
        again.answer(DeleteRequest)

    def test_asked_meanwhile(self) -> None:
        """Requests during the authentication wait."""
        client = self.make_sasl()
        ignore(client.connect())
        peer = self.server.peer
        self.begin(peer)
        ignore(client.delete("/a"))
        self.assertEqual(peer.operations, [Operation.SASL])

    def test_new_nonce(self) -> None:
        """The client's own nonce is another one each time."""
        seen = set()
        for _ in range(3):
            client = self.make_sasl()
            ignore(client.connect())
            self.begin(self.server.peer)
            seen.add(parse(self.server.peer.take(SaslRequest)[1].token or b"")["cnonce"])
        self.assertEqual(len(seen), 3)

    def test_nothing_in_the_log(self) -> None:
        """Neither the password nor any token of the exchange is logged."""
        client, peer = self.make_proved()
        self.close_fast(client, peer)
        said = "\n".join(self.log_lines())
        for secret in (WORD, "rspauth", "cnonce"):
            self.assertNotIn(secret, said)

    def test_other_names(self) -> None:
        """The server's and the service's names can be given."""
        client = self.make_client(sasl=DigestMD5(USER, WORD, service="zk", host="example"))
        ignore(client.connect())
        self.begin(self.server.peer)
        fields = parse(self.server.peer.take(SaslRequest)[1].token or b"")
        self.assertEqual(fields["digest-uri"], "zk/example")


class CutOffTests(SaslTestCase):
    def test_tried_again(self) -> None:
        """An exchange that is cut off shows nothing: it begins anew on the next connection."""
        for steps in range(3):
            client = self.make_sasl()
            connected = client.connect()
            peer = self.server.peer
            if steps == 0:
                peer.accept()
            else:
                self.begin(peer)
                if steps == 2:
                    peer.take(SaslRequest)
            peer.close()
            self.assertNoResult(connected)
            again = self.next_peer(self.server)
            self.prove(again)
            self.successResultOf(connected)
            self.assertEqual(self.states(), [SessionState.CONNECTED])
            self.close_fast(client, again)

    def test_silent_server(self) -> None:
        """A server that falls silent in the exchange is given up in the time of an attempt."""
        client = self.make_sasl()
        connected = client.connect()
        self.begin(self.server.peer)
        count = self.server.count
        self.pass_time(S / 3 + 0.1)
        self.assertTrue(self.server.peers[count - 1].lost)
        again = self.server.peer if self.server.count > count else self.next_peer(self.server)
        self.prove(again)
        self.successResultOf(connected)

    def test_on_return(self) -> None:
        """A lost connection during the authentication of a reconnection is retried, and the session is resumed."""
        client, peer = self.make_proved()
        cut = self.reconnect(peer, accept=False)
        self.begin(cut)
        cut.close()
        again = self.next_peer(self.server)
        self.prove(again)
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CONNECTED])
        self.assertEqual(client.session.session_number, 1)

    def test_closed_meanwhile(self) -> None:
        """A close in the middle of the exchange leaves nothing."""
        for steps in range(2):
            client = self.make_sasl()
            connected = client.connect()
            if steps:
                self.begin(self.server.peer)
            else:
                self.server.peer.accept()
            closed = client.close()
            self.pass_time(5)
            self.successResultOf(closed)
            self.failureResultOf(connected, ClosingException)
            self.assert_nothing_left()


class RefusedTests(SaslTestCase):
    """The servers do not let the client in."""

    def refuse(self, **options: Any) -> tuple[ZooKeeperClient, list[Deferred[Any]]]:
        """Return a client with a wrong password, and the Deferreds of its earlier requests."""
        client = self.make_sasl("wrong", **options)
        pending: list[Deferred[Any]] = [
            client.connect(),
            client.when_connected(),
            client.get("/a"),
            client.delete("/a"),
            client.add_auth("digest", b"u:p"),
            client.set_watches(1, ["/a"]),
        ]
        self.prove(self.server.peer)
        return client, pending

    def test_told_once(self) -> None:
        """The feed has the failure once, as its last event; so does the log."""
        client, pending = self.refuse()
        self.assert_refused(*pending)
        self.pass_time(60)
        self.assertEqual(self.states(), [SessionState.AUTH_FAILED])
        self.assertIs(client.session.state, SessionState.AUTH_FAILED)
        self.assertEqual(len(self.log_lines(LogLevel.error)), 1)
        self.assertNotIn("wrong", "\n".join(self.log_lines()))

    def test_no_further_attempts(self) -> None:
        """Nothing more is tried."""
        _, pending = self.refuse()
        self.assert_refused(*pending)
        self.assertEqual(self.server.count, 1)
        self.pass_time(60)
        self.assertEqual(self.server.count, 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertTrue(self.server.peer.lost)

    def test_nothing_was_sent(self) -> None:
        """Earlier requests were never sent, and their failures say so."""
        _, pending = self.refuse()
        for each in pending[2:4]:
            self.assertIs(self.failureResultOf(each, AuthFailedException).value.applied, False)
        self.assert_refused(*pending[:2], *pending[4:])
        self.assertEqual(self.server.peer.packets, [])

    def test_what_is_asked_later(self) -> None:
        """Later requests fail at once."""
        client, pending = self.refuse()
        self.assert_refused(*pending)
        self.assert_refused(
            client.connect(),
            client.when_connected(),
            client.get("/a"),
            client.create("/a", protect=True),
            client.add_auth("digest", b"u:p"),
            client.set_watches(1, ["/a"]),
            client.add_watch("/a"),
            client.who_am_i(),
            client.sync(),
        )
        self.successResultOf(client.when_lease_expires())
        self.pass_time(60)
        self.assertEqual(self.server.count, 1)

    def test_close(self) -> None:
        """The client can be closed at once afterwards."""
        client, pending = self.refuse()
        self.assert_refused(*pending)
        closed = client.close()
        self.settle()
        self.successResultOf(closed)
        self.assertEqual(self.states(), [SessionState.AUTH_FAILED, SessionState.CLOSED])
        self.assert_nothing_left()
        self.failureResultOf(client.get("/a"), ClosingException)

    def test_leave(self) -> None:
        """leave() returns no ticket afterwards: there is no session to hand over."""
        client, pending = self.refuse()
        self.assert_refused(*pending)
        self.assertIsNone(self.result_of(client.leave()))

    def test_close_from_the_listener(self) -> None:
        """A listener may close the client at the failure."""
        client = self.make_sasl("wrong")
        closed: list[Deferred[None]] = []

        def listener(step: SessionEvent | WatchedEvent) -> None:
            if isinstance(step, SessionEvent) and step.state is SessionState.AUTH_FAILED:
                closed.append(client.close())

        client.add_listener(listener)
        connected = client.connect()
        self.prove(self.server.peer)
        self.pass_time(5)
        self.successResultOf(closed[0])
        self.failureResultOf(connected)
        self.assert_nothing_left()

    def test_password_changed(self) -> None:
        """An established session ends so too, when the password is no longer accepted: watches fail, and persistent
        ones are notified.
        """
        client, peer = self.make_proved()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        told: list[SessionEvent | WatchedEvent] = []
        ignore(client.add_watch("/b", told.append))
        peer.answer(AddWatchRequest, AddWatchResponse())
        unsafe = client.when_lease_expires()
        peer.drop()
        queued = client.delete("/queued")
        self.prove(self.reconnect(peer, accept=False), rightly=False)
        self.assert_refused(watch, queued)
        self.successResultOf(unsafe)
        states = [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.AUTH_FAILED]
        self.assertEqual(self.states(), states)
        self.assertEqual([step.state for step in told if isinstance(step, SessionEvent)], states[1:])
        count = self.server.count
        self.pass_time(60)
        self.assertEqual(self.server.count, count)
        self.assertEqual(self.states(), states)

    def test_no_sasl(self) -> None:
        """A server without SASL does not let the client prove anything: it is not spoken to as nobody."""
        replies: list[Callable[[Peer], object]] = [
            lambda peer: peer.answer(SaslRequest, SaslResponse(None), zxid=0),
            lambda peer: peer.answer(SaslRequest, SaslResponse(b""), zxid=0),
            lambda peer: peer.answer(SaslRequest, err=-115, zxid=0),
            lambda peer: peer.answer(SaslRequest, err=-6, zxid=0),
        ]
        for answer in replies:
            client = self.make_sasl()
            connected, read = client.connect(), client.get("/a")
            peer = self.server.peer
            peer.accept()
            answer(peer)
            self.assert_refused(connected, read)
            self.assertIs(client.session.state, SessionState.AUTH_FAILED)
            self.assertEqual(peer.packets, [])
            count = self.server.count
            self.pass_time(60)
            self.assertEqual(self.server.count, count)

    def test_garbage(self) -> None:
        """A challenge that makes no sense is no proof of anything: it is answered with nothing sensible, or the connection given
        up; but it does not say that we are refused."""
        for challenge in (b"\xff\xfe", b"nonsense", b'realm="x"', b'nonce="x",qop="auth-conf"', b"=,=,="):
            client = self.make_sasl()
            connected = client.connect()
            peer = self.server.peer
            peer.accept()
            peer.answer(SaslRequest, SaslResponse(challenge), zxid=0)
            self.settle()
            if peer.lost and not connected.called:
                self.assertIs(client.session.state, SessionState.CONNECTING)
                self.close_quietly(client, connected)
                continue
            if not connected.called:
                # What the client made of it the server refuses.
                peer.answer(SaslRequest, err=-115, zxid=0)
            self.assert_refused(connected)
            self.assertEqual(peer.packets, [])

    def close_quietly(self, client: ZooKeeperClient, connected: Deferred[None]) -> None:
        ignore(connected)
        client.close()
        self.pass_time(6)

    def test_server_in_trouble(self) -> None:
        """A server that is only in trouble refuses nobody: another connection is tried (E6)."""
        for err in (-127, -1, -7):
            client = self.make_sasl()
            connected = client.connect()
            peer = self.server.peer
            peer.accept()
            peer.answer(SaslRequest, err=err, zxid=0)
            self.assertTrue(peer.lost)
            self.assertNoResult(connected)
            again = self.next_peer(self.server)
            again.accept()
            self.assertEqual(again.operations, [SaslRequest.operation])
            self.close_quietly(client, connected)

    def test_server_knows_no_password(self) -> None:
        """A server that cannot prove that it knows the password too is not trusted."""
        for last in (b"rspauth=00000000000000000000000000000000", b"rspauth=", None):
            client = self.make_sasl()
            connected = client.connect()
            peer = self.server.peer
            self.begin(peer)
            peer.answer(SaslRequest, SaslResponse(last), zxid=0)
            self.assert_refused(connected)
            self.assertEqual(peer.packets, [])

    def test_another_word(self) -> None:
        """A server with an invalid last token is not trusted: it gets only tokens of the exchange, for the time of an
        attempt.
        """
        for last in (b"", b"nonsense"):
            client = self.make_sasl()
            connected, read = client.connect(), client.get("/a")
            peer = self.server.peer
            self.begin(peer)
            for _ in range(20):
                peer.answer(SaslRequest, SaslResponse(last), zxid=0)
                if not peer.packets:
                    break
            self.assertEqual([word for word in peer.operations if word != Operation.SASL], [])
            self.assertEqual(self.states()[:1], [SessionState.AUTH_FAILED] if connected.called else [])
            self.pass_time(S / 3)
            self.assertTrue(peer.lost)
            self.close_bounded(client)
            ignore(connected)
            ignore(read)

    def close_bounded(self, client: ZooKeeperClient) -> None:
        closed = client.close()
        self.pass_time(5)
        self.successResultOf(closed)


class DemandedTests(ClientTestCase):
    """A server that requires SASL closes the session of a client without it (-124)."""

    def test_request(self) -> None:
        """The answer to a request is final: the client stops, and every Deferred fails."""
        client, peer = self.make_connected()
        _, watch = client.get_and_watch("/w")
        peer.answer(GetDataRequest, DATA)
        asked, behind = client.get("/a"), client.delete("/b")
        xid, _ = peer.take(GetDataRequest)
        peer.reply(xid, err=-124)
        self.failureResultOf(asked)
        self.failureResultOf(watch, AuthFailedException)
        self.failureResultOf(behind).trap(AuthFailedException, ConnectionLossException)
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.AUTH_FAILED])
        self.pass_time(60)
        self.assertEqual(self.server.count, 1)
        self.assertTrue(peer.lost)
        self.failureResultOf(client.get("/a"), AuthFailedException)
        self.failureResultOf(client.connect(), AuthFailedException)
        self.successResultOf(self.closed(client))

    def closed(self, client: ZooKeeperClient) -> Deferred[None]:
        closed = client.close()
        self.settle()
        return closed

    def test_hung_up_behind_it(self) -> None:
        """If the server closes the connection with the answer, the client stops, too."""
        client, peer = self.make_connected()
        asked = client.get("/a")
        xid, _ = peer.take(GetDataRequest)
        peer.reply(xid, err=-124)
        peer.close()
        self.failureResultOf(asked)
        self.pass_time(60)
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.AUTH_FAILED])
        self.assertEqual(self.server.count, 1)

    def test_while_closing(self) -> None:
        """In the middle of a close it is over with that."""
        client, peer = self.make_connected()
        asked = client.get("/a")
        closed = client.close()
        xid, _ = peer.take(GetDataRequest)
        peer.reply(xid, err=-124)
        self.failureResultOf(asked)
        self.settle()
        self.successResultOf(closed)
        self.assert_nothing_left()

    def test_refused_identity_is_none(self) -> None:
        """An identity that is refused, on the other hand, is its caller's failure alone (F7)."""
        client, peer = self.make_connected()
        added = client.add_auth("digest", b"u:p")
        peer.answer_auth(err=-115)
        peer.close()
        self.failureResultOf(added, AuthFailedException)
        self.next_peer(self.server).accept()
        self.assertIs(client.session.state, SessionState.CONNECTED)
        self.assertEqual(self.server.peer.packets, [])
