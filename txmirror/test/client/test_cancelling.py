"""Cancelling any operation at any time: it abandons an answer, and shifts no other's."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementedBy
from zope.interface.interface import Method

from txmirror.client import ZooKeeperClient
from txmirror.errors import ConnectionLossException
from txmirror.test.client.operations import OPERATIONS, OTHERS, ZXID, Asked
from txmirror.test.client.peer import STAT, ClientTestCase, Peer, ignore, reply
from txmirror.types import SessionState
from txmirror.wire import AuthRequest, GetDataRequest, GetDataResponse, Operation


class TableTests(ClientTestCase):
    def test_complete(self) -> None:
        """Every method of every interface that the client provides is in the table, or named as one that sends nothing."""
        methods = {
            name
            for interface in implementedBy(ZooKeeperClient)
            for name, described in interface.namesAndDescriptions(all=True)
            if isinstance(described, Method)
        }
        self.assertEqual(methods, OPERATIONS.keys() | OTHERS)

    def test_true(self) -> None:
        """Each operation that is not cancelled returns the result of the table, with one request."""
        client, peer = self.make_connected()
        for name, asked in OPERATIONS.items():
            answer = asked.ask(client)
            self.assertEqual(len(peer.packets), 1, name)
            peer.reply(peer.packets.pop().xid, asked.answer, zxid=ZXID)
            self.assertEqual(self.successResultOf(answer), asked.result, name)


class CancellingTests(ClientTestCase):
    def ask_between(self, client: ZooKeeperClient, asked: Asked) -> tuple[Deferred[Any], ...]:
        """Ask for something between two reads."""
        return client.get("/before"), asked.ask(client), client.get("/after")

    def answer_read(self, peer: Peer, path: str, answer: Deferred[Any]) -> None:
        """Answer a read, which must get its own answer, and not before."""
        self.assertFalse(answer.called)
        request = peer.answer(GetDataRequest, GetDataResponse(path.encode(), STAT), zxid=ZXID)
        self.assertEqual(request.path, path)
        self.assertEqual(self.successResultOf(answer), (path.encode(), STAT))

    def cancel(self, result: object, cancelled: Deferred[Any]) -> object:
        cancelled.cancel()
        return result

    def test_before_it_is_sent(self) -> None:
        """Rule 12: a request that is cancelled while it waits for a connection is never sent; its neighbours are (E2)."""
        for asked in OPERATIONS.values():
            client = self.make_client()
            before, cancelled, after = self.ask_between(client, asked)
            cancelled.cancel()
            self.failureResultOf(cancelled, CancelledError)
            ignore(client.connect())
            peer = self.server.peer
            peer.accept()
            self.assertEqual(peer.operations, [Operation.GET_DATA] * 2)
            self.answer_read(peer, "/before", before)
            self.answer_read(peer, "/after", after)
            self.close_fast(client, peer)

    def test_after_it_was_sent(self) -> None:
        """Rule 12: the reply to a cancelled request in flight is still its own, whether a success or a failure, of a
        known code or an unknown one (D2, E7).
        """
        for name, asked in OPERATIONS.items():
            for err in (0, -101, -4242):
                client, peer = self.make_connected()
                before, cancelled, after = self.ask_between(client, asked)
                self.assertEqual(len(peer.packets), 3, name)
                cancelled.cancel()
                self.failureResultOf(cancelled, CancelledError)
                self.answer_read(peer, "/before", before)
                peer.reply(peer.packets.pop(0).xid, b"" if err else asked.answer, zxid=ZXID, err=err)
                self.assertNoResult(after)
                self.answer_read(peer, "/after", after)
                self.assertFalse(peer.lost)
                self.close_fast(client, peer)

    def test_when_the_answer_is_there(self) -> None:
        """Rule 12: a request that is cancelled in the callback of the one before, when both replies have arrived
        together, still has its own reply.
        """
        for asked in OPERATIONS.values():
            client, peer = self.make_connected()
            before, cancelled, after = self.ask_between(client, asked)
            before.addCallback(self.cancel, cancelled)
            read = GetDataResponse(b"read", STAT)
            peer.send(reply(1, read), reply(2, asked.answer), reply(3, read))
            self.failureResultOf(cancelled, CancelledError)
            self.assertEqual(self.successResultOf(after), (b"read", STAT))
            peer.packets.clear()
            self.close_fast(client, peer)

    def test_when_the_connection_goes(self) -> None:
        """Rule 12: the Deferred of a cancelled request does not fire again when the connection is lost, and it is not
        sent again.
        """
        for asked in OPERATIONS.values():
            client, peer = self.make_connected()
            before, cancelled, after = self.ask_between(client, asked)
            self.settle()
            cancelled.cancel()
            self.failureResultOf(cancelled, CancelledError)
            again = self.reconnect(peer)
            for lost in (before, after):
                self.failureResultOf(lost, ConnectionLossException)
            self.assertEqual(again.packets, [])
            self.assertIs(client.session.state, SessionState.CONNECTED)
            self.close_fast(client, again)

    def test_when_it_was_answered(self) -> None:
        """Rule 12: cancelling an answered request does nothing."""
        for name, asked in OPERATIONS.items():
            client, peer = self.make_connected()
            answer = asked.ask(client)
            peer.reply(peer.packets.pop().xid, asked.answer, zxid=ZXID)
            answer.cancel()
            self.assertEqual(self.successResultOf(answer), asked.result, name)
            self.close_fast(client, peer)

    def test_all(self) -> None:
        """Rule 12: of all operations on their way together, every other one cancelled, the others get their own answers."""
        client, peer = self.make_connected()
        answers = {name: asked.ask(client) for name, asked in OPERATIONS.items()}
        self.settle()
        cancelled = list(OPERATIONS)[::2]
        for name in cancelled:
            answers[name].cancel()
            self.failureResultOf(answers[name], CancelledError)
        frames = [
            reply(packet.xid, asked.answer, zxid=ZXID)
            for packet, asked in zip(peer.packets, OPERATIONS.values(), strict=True)
        ]
        peer.packets.clear()
        peer.send(*frames)
        for name, asked in OPERATIONS.items():
            if name not in cancelled:
                self.assertEqual(self.successResultOf(answers[name]), asked.result, name)
        self.assertFalse(peer.lost)

    def test_identity_before_it_is_sent(self) -> None:
        """Rule 12: an identity whose wait is cancelled before there is a connection is offered all the same: it was added."""
        client = self.make_client()
        taken = client.add_auth("digest", b"u:p")
        taken.cancel()
        self.failureResultOf(taken, CancelledError)
        ignore(client.connect())
        peer = self.server.peer
        peer.accept()
        self.assertEqual(peer.answer_auth(), AuthRequest("digest", b"u:p"))
        self.assertFalse(peer.lost)

    def test_connect_among_others(self) -> None:
        """Rule 12: of several waits for the connection, one may be cancelled; the others fire."""
        client = self.make_client()
        first, cancelled, last = client.connect(), client.connect(), client.connect()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.server.peer.accept()
        self.successResultOf(first)
        self.successResultOf(last)
