"""The operations that a server supports, as its answers and closed connections show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel

from txmirror.client import ZooKeeperClient
from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    NodeExistsException,
    NoNodeException,
    SessionExpiredException,
    UnimplementedException,
)
from txmirror.interfaces import IZooKeeperClient
from txmirror.test.client.peer import SESSION, STAT, ClientTestCase, Peer, Server, ignore
from txmirror.types import OPEN_ACL, CreateReply, ZnodeStat
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    Create2Request,
    CreateFlag,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    ErrorResult,
    ExistsRequest,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetDataRequest,
    GetDataResponse,
    MultiReadRequest,
    MultiResponse,
    PathResponse,
    StatResponse,
    WhoAmIRequest,
    WhoAmIResponse,
)

DATA = GetDataResponse(b"", STAT)


class ToldTests(ClientTestCase):
    """The answers of a server."""

    def test_not_asked(self) -> None:
        """Nothing is known about an operation that was never sent."""
        client, _ = self.make_connected()
        for method in ("add_watch", "create_with_ttl", "who_am_i", "get_many", "count_below", "reconfig"):
            self.assertIsNone(client.server_can(method))

    def test_before_connecting(self) -> None:
        """Nothing is known before the first connection."""
        self.assertIsNone(self.make_client().server_can("add_watch"))

    def test_done(self) -> None:
        """An operation that the server has executed is supported."""
        client, peer = self.make_connected()
        ignore(client.add_watch("/a"))
        peer.answer(AddWatchRequest, AddWatchResponse())
        self.assertIs(client.server_can("add_watch"), True)
        self.assertIsNone(client.server_can("who_am_i"))

    def test_failed(self) -> None:
        """An operation that has failed for another reason is supported too."""
        client, peer = self.make_connected()
        ignore(client.count_below("/a"))
        peer.answer(GetAllChildrenNumberRequest, err=-101)
        self.assertIs(client.server_can("count_below"), True)

    def test_unimplemented(self) -> None:
        """An operation that is refused as unimplemented is not supported; the client still sends it again, and the answer may change."""
        client, peer = self.make_connected()
        made = client.create_with_ttl("/a", ttl=1.0)
        peer.answer(CreateTTLRequest, err=-6)
        self.failureResultOf(made, UnimplementedException)
        self.assertIs(client.server_can("create_with_ttl"), False)
        ignore(client.create_with_ttl("/a", ttl=1.0))
        peer.answer(CreateTTLRequest, err=-110)
        self.assertIs(client.server_can("create_with_ttl"), True)

    def test_remembered(self) -> None:
        """The client remembers the abilities without a connection, and on the next one to the same server."""
        client, peer = self.make_connected()
        ignore(client.who_am_i())
        peer.answer(WhoAmIRequest, err=-6)
        peer.drop()
        self.assertIs(client.server_can("who_am_i"), False)
        self.reconnect(peer)
        self.assertIs(client.server_can("who_am_i"), False)

    def test_of_the_server_connected_to(self) -> None:
        """Each server is spoken of for itself."""
        other = self.add_server()
        client, peer = self.make_connected()
        ignore(client.who_am_i())
        peer.answer(WhoAmIRequest, err=-6)
        self.server.stop()
        self.pass_time(0.5)
        other.peer.accept()
        self.assertIsNone(client.server_can("who_am_i"))
        ignore(client.who_am_i())
        other.peer.answer(WhoAmIRequest, WhoAmIResponse([]))
        self.assertIs(client.server_can("who_am_i"), True)
        self.server.start()
        other.stop()
        self.pass_time(1)
        self.server.peer.accept()
        self.assertIs(client.server_can("who_am_i"), False)

    def test_always(self) -> None:
        """``server_can`` accepts every method of the basic client, and is true for those at once."""
        client = self.make_client()
        for method in IZooKeeperClient.names():
            if method not in ("connect", "close") and callable(getattr(client, method, None)):
                self.assertIs(client.server_can(method), True, method)

    def test_unknown_method(self) -> None:
        """A name that is no method with a request is a ValueError."""
        client, _ = self.make_connected()
        for name in ("", "addWatch", "ADD_WATCH", "close", "__init__", "session_id"):
            error = self.assertRaises(ValueError, client.server_can, name)
            self.assertIn(repr(name), str(error))


class RefusingTests(ClientTestCase):
    """Servers refuse an operation that they do not know, at once and without a zxid, and close the connection."""

    def refuse(self, client: ZooKeeperClient, peer: Peer) -> Deferred[Any]:
        asked = client.who_am_i()
        xid, _ = peer.take(WhoAmIRequest)
        peer.reply(xid, zxid=-1, err=-6)
        peer.close()
        return asked

    def said(self) -> list[str]:
        return [line for line in self.log_lines(LogLevel.warn) if "does not support" in line]

    def test_not_asked_again(self) -> None:
        """One connection is enough: on the next the operation is refused without a request. The log has one line."""
        client, peer = self.make_connected()
        error = self.failureResultOf(self.refuse(client, peer), UnimplementedException).value
        self.assertIs(error.applied, False)
        peer = self.reconnect(peer)
        for _ in range(3):
            self.failureResultOf(client.who_am_i(), UnimplementedException)
        self.assertEqual(peer.packets, [])
        self.assertIs(client.server_can("who_am_i"), False)
        (line,) = self.said()
        self.assertIn("10.0.0.1:2181 does not support WHO_AM_I, which ZooKeeper has had since 3.7", line)

    def test_asked_again(self) -> None:
        """After a reconnection for another reason the server may be a newer one: the request is sent once more. If it
        is refused again, nothing new is logged.
        """
        client, peer = self.make_connected()
        for _ in range(3):
            self.failureResultOf(self.refuse(client, peer), UnimplementedException)
            peer = self.reconnect(self.reconnect(peer))
        asked = client.who_am_i()
        peer.answer(WhoAmIRequest, WhoAmIResponse([]))
        self.assertEqual(self.successResultOf(asked), [])
        self.assertEqual(len(self.said()), 1)

    def test_two_operations(self) -> None:
        """The answer to one operation does not change the knowledge of another."""
        client, peer = self.make_connected()
        ignore(self.refuse(client, peer))
        peer = self.reconnect(peer)
        counted = client.count_below("/a")
        xid, _ = peer.take(GetAllChildrenNumberRequest)
        peer.reply(xid, zxid=-1, err=-6)
        peer.close()
        self.failureResultOf(counted, UnimplementedException)
        peer = self.reconnect(peer)
        self.failureResultOf(client.who_am_i(), UnimplementedException)
        self.failureResultOf(client.count_below("/a"), UnimplementedException)
        self.assertEqual(peer.packets, [])

    def test_before_others(self) -> None:
        """The refusal does not wait for the answers that are due before it: those come, or are lost with the connection."""
        client, peer = self.make_connected()
        answered, lost, asked = client.get("/a"), client.delete("/b"), client.who_am_i()
        first, _ = peer.take(GetDataRequest)
        peer.take(DeleteRequest)
        xid, _ = peer.take(WhoAmIRequest)
        peer.reply(xid, zxid=-1, err=-6)
        self.failureResultOf(asked, UnimplementedException)
        peer.reply(first, DATA)
        self.successResultOf(answered)
        peer.close()
        self.assertIsNone(self.failureResultOf(lost, ConnectionLossException).value.applied)

    def test_refused_in_order(self) -> None:
        """An operation that is disabled is refused with a zxid, and in order; the connection continues. Its later loss,
        for another reason, proves nothing.
        """
        client, peer = self.make_connected()
        made = client.create_with_ttl("/a", ttl=1.0)
        peer.answer(CreateTTLRequest, err=-6, zxid=7)
        self.failureResultOf(made, UnimplementedException)
        peer.close()
        peer = self.reconnect(peer)
        ignore(client.create_with_ttl("/a", ttl=1.0))
        peer.take(CreateTTLRequest)
        read, made = client.get("/a"), client.create_with_ttl("/a", ttl=1.0)
        peer.take(GetDataRequest)
        xid, _ = peer.take(CreateTTLRequest)
        peer.reply(xid, err=-6, zxid=8)
        self.failureResultOf(read, ConnectionLossException)
        ignore(made)

    def test_answers_since(self) -> None:
        """A connection that went on after a refusal was not closed because of it."""
        client, peer = self.make_connected()
        asked = client.who_am_i()
        peer.answer(WhoAmIRequest, zxid=-1, err=-6)
        self.failureResultOf(asked, UnimplementedException)
        self.show_zxid(client, peer, 5)
        peer.close()
        peer = self.reconnect(peer)
        ignore(client.who_am_i())
        peer.take(WhoAmIRequest)
        self.assertEqual(self.said(), [])


class CreatingTests(ClientTestCase):
    """Creates that are answered with the stat, on a server that does not know them."""

    def refuse(self, peer: Peer) -> None:
        xid, _ = peer.take(Create2Request)
        peer.reply(xid, zxid=-1, err=-6)

    def refused(self) -> tuple[ZooKeeperClient, Peer]:
        """Return a client that knows that its server does not know ``create2``."""
        client, peer = self.make_connected()
        ignore(client.create_and_stat("/"))
        self.refuse(peer)
        peer.take(ExistsRequest)
        peer.close()
        peer = self.reconnect(peer)
        peer.answer(CreateRequest, err=-110)
        return client, peer

    def test_first(self) -> None:
        """The first is done again on the next connection, which the refusal has cost."""
        client, peer = self.make_connected()
        made = client.write_create("/a", b"data", OPEN_ACL, CreateFlag.EPHEMERAL)
        self.refuse(peer)
        peer.take(ExistsRequest)
        self.assertEqual(peer.packets, [])
        peer.close()
        peer = self.reconnect(peer)
        self.assertEqual(
            peer.answer(CreateRequest, PathResponse("/a"), zxid=50), CreateRequest("/a", b"data", OPEN_ACL, 1)
        )
        stat = STAT._replace(czxid=50, version=0)
        peer.answer(ExistsRequest, StatResponse(stat))
        self.assertEqual(self.successResultOf(made), CreateReply(50, "/a", stat))

    def test_later(self) -> None:
        """Later ones are not tried in vain; with a sequence the stat is that of the node with the digits."""
        client, peer = self.refused()
        made = client.write_create("/a-", b"data", OPEN_ACL, CreateFlag.SEQUENCE)
        peer.answer(CreateRequest, PathResponse("/a-0000000007"), zxid=50)
        stat = STAT._replace(czxid=50, version=0)
        self.assertEqual(peer.answer(ExistsRequest, StatResponse(stat)).path, "/a-0000000007")
        self.assertEqual(self.successResultOf(made), CreateReply(50, "/a-0000000007", stat))

    def test_refusals(self) -> None:
        """A refused create fails as usual, and no read follows."""
        client, peer = self.refused()
        made = client.create_and_stat("/a")
        peer.answer(CreateRequest, err=-110)
        self.failureResultOf(made, NodeExistsException)
        self.assertEqual(peer.packets, [])

    def test_changed_meanwhile(self) -> None:
        """A node that has changed, was recreated or was deleted before it was read does not yield another node's stat."""
        client, peer = self.refused()
        for stat in (STAT._replace(czxid=50, version=1), STAT._replace(czxid=51, version=0), None):
            made = client.write_create("/a", b"data", OPEN_ACL, CreateFlag.EPHEMERAL)
            peer.answer(CreateRequest, PathResponse("/a"), zxid=50)
            if stat is None:
                peer.answer(ExistsRequest, err=-101)
            else:
                peer.answer(ExistsRequest, StatResponse(stat))
            unknown = ZnodeStat(0, 0, 0, 0, 0, 0, 0, SESSION, 4, 0, 0)
            self.assertEqual(self.successResultOf(made), CreateReply(50, "/a", unknown))

    def test_cut_off_before_the_stat(self) -> None:
        """A node that is known to have been made is not in doubt because its stat was lost with the connection."""
        client, peer = self.refused()
        made = client.create_and_stat("/a", b"data")
        peer.answer(CreateRequest, PathResponse("/a"), zxid=50)
        peer.take(ExistsRequest)
        peer.drop()
        self.assertEqual(self.successResultOf(made), ("/a", ZnodeStat(0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0)))

    def test_cut_off_before_the_answer(self) -> None:
        """If the connection is lost during the create itself, its result is unknown as usual, and it is not sent again."""
        client, peer = self.refused()
        made = client.create_and_stat("/a")
        peer.take(CreateRequest)
        peer.drop()
        self.assertIsNone(self.failureResultOf(made, ConnectionLossException).value.applied)
        self.assertEqual(self.reconnect(peer).packets, [])

    def test_session_over(self) -> None:
        """A create that was refused in one session is not sent in the next."""
        client, peer = self.make_connected()
        made = client.write_create("/a", b"", OPEN_ACL, CreateFlag.EPHEMERAL)
        self.refuse(peer)
        peer.close()
        self.pass_time(0.5)
        self.server.peer.expire()
        self.server.peer.accept(SESSION + 1)
        self.failureResultOf(made, SessionExpiredException)
        self.assertEqual(self.server.peer.packets, [])

    def test_cancelled(self) -> None:
        """Cancelled while the server is being looked at, it is not done."""
        client, peer = self.make_connected()
        made = client.write_create("/a", b"", OPEN_ACL, 0)
        self.refuse(peer)
        peer.take(ExistsRequest)
        made.cancel()
        self.failureResultOf(made, CancelledError)
        peer.close()
        self.assertEqual(self.reconnect(peer).packets, [])

    def test_closed(self) -> None:
        """A client that is closed meanwhile does not do it."""
        client, peer = self.make_connected()
        made = client.write_create("/a", b"", OPEN_ACL, 0)
        self.refuse(peer)
        peer.close()
        closed = client.close()
        self.pass_time(10)
        self.successResultOf(closed)
        self.assertIs(self.failureResultOf(made, ClosingException).value.applied, False)


class HangingUpTests(ClientTestCase):
    """Servers before 3.5 close the connection at an unknown operation."""

    def ask_and_cut(self, ask: Callable[[], Deferred[Any]], peer: Peer, *, cut: Callable[[], None]) -> Deferred[Any]:
        asked = ask()
        self.assertEqual(len(peer.packets), 1)
        peer.packets.clear()
        cut()
        return asked

    def connect(self) -> tuple[ZooKeeperClient, Peer]:
        return self.make_connected()

    def test_twice(self) -> None:
        """After the first loss the reason is unknown; after the second the operation fails as not supported."""
        client, peer = self.connect()
        first = self.ask_and_cut(client.who_am_i, peer, cut=peer.close)
        self.failureResultOf(first, ConnectionLossException)
        self.assertIsNone(client.server_can("who_am_i"))
        again = self.reconnect(peer)
        second = self.ask_and_cut(client.who_am_i, again, cut=again.close)
        self.failureResultOf(second, UnimplementedException)
        self.assertIs(client.server_can("who_am_i"), False)

    def refused(self) -> tuple[ZooKeeperClient, Peer]:
        """Return a client that knows that its server closes the connection on an operation."""
        client, peer = self.connect()
        for _ in range(2):
            ignore(self.ask_and_cut(client.who_am_i, peer, cut=peer.close))
            peer = self.reconnect(peer)
        return client, peer

    def test_refused_locally(self) -> None:
        """After that it is refused without asking, and the connection stays; all else goes on."""
        client, peer = self.refused()
        error = self.failureResultOf(client.who_am_i(), UnimplementedException).value
        self.assertIs(error.applied, False)
        self.assertEqual(peer.packets, [])
        read = client.get("/a")
        peer.answer(GetDataRequest, DATA)
        self.successResultOf(read)
        ignore(client.count_below("/a"))
        peer.answer(GetAllChildrenNumberRequest, GetAllChildrenNumberResponse(0))
        self.assertIs(client.server_can("count_below"), True)
        self.assertFalse(peer.lost)

    def test_asked_again(self) -> None:
        """After a reconnection for another reason the server may be a newer one, and is asked again."""
        client, peer = self.refused()
        again = self.reconnect(peer)
        asked = client.who_am_i()
        again.answer(WhoAmIRequest, WhoAmIResponse([]))
        self.assertEqual(self.successResultOf(asked), [])
        self.assertIs(client.server_can("who_am_i"), True)

    def test_asked_again_in_vain(self) -> None:
        """If the server closes the connection once more, the operation fails at once."""
        client, peer = self.refused()
        again = self.reconnect(peer)
        asked = self.ask_and_cut(client.who_am_i, again, cut=again.close)
        self.failureResultOf(asked, UnimplementedException)
        last = self.reconnect(again)
        self.failureResultOf(client.who_am_i(), UnimplementedException)
        self.assertEqual(last.packets, [])

    def test_others_fail_as_ever(self) -> None:
        """The requests behind it fail as with any lost connection."""
        client, peer = self.connect()
        for error in (ConnectionLossException, UnimplementedException):
            asked, behind = client.who_am_i(), client.delete("/a")
            self.assertEqual(len(peer.packets), 2)
            peer.close()
            self.failureResultOf(asked, error)
            self.assertIs(self.failureResultOf(behind, ConnectionLossException).value.applied, None)
            peer = self.reconnect(peer)

    def test_innocent(self) -> None:
        """A server that dies twice with ordinary requests is not blamed for anything."""
        client, peer = self.connect()
        for _ in range(4):
            asked = [client.delete("/a"), client.who_am_i()]
            self.assertEqual(len(peer.packets), 2)
            peer.close()
            for each in asked:
                self.failureResultOf(each, ConnectionLossException)
            peer = self.reconnect(peer)
        self.assertIsNone(client.server_can("who_am_i"))
        asked_again = client.who_am_i()
        peer.answer(WhoAmIRequest, WhoAmIResponse([]))
        self.successResultOf(asked_again)

    def test_not_running(self) -> None:
        """A server that dies twice at the same new operation, but has answered it in between, supports it."""
        client, peer = self.connect()
        for _ in range(2):
            ignore(self.ask_and_cut(client.who_am_i, peer, cut=peer.close))
            peer = self.reconnect(peer)
            ignore(client.who_am_i())
            peer.answer(WhoAmIRequest, WhoAmIResponse([]))
        self.assertIs(client.server_can("who_am_i"), True)

    def test_said_so_between(self) -> None:
        """A server that refuses the operation between two deaths at it is not judged by those deaths."""
        client, peer = self.connect()
        for error in (UnimplementedException, ConnectionLossException):
            asked = self.ask_and_cut(client.who_am_i, peer, cut=peer.close)
            self.failureResultOf(asked, ConnectionLossException)
            peer = self.reconnect(peer)
            if error is UnimplementedException:
                asked = client.who_am_i()
                peer.answer(WhoAmIRequest, err=-6)
                self.failureResultOf(asked, error)
        asked = client.who_am_i()
        peer.answer(WhoAmIRequest, WhoAmIResponse([]))
        self.successResultOf(asked)

    def test_known_before(self) -> None:
        """A server that has done it before knows it, however often it dies on it."""
        client, peer = self.connect()
        ignore(client.who_am_i())
        peer.answer(WhoAmIRequest, WhoAmIResponse([]))
        for _ in range(4):
            asked = self.ask_and_cut(client.who_am_i, peer, cut=peer.close)
            self.failureResultOf(asked, ConnectionLossException)
            peer = self.reconnect(peer)
        self.assertIs(client.server_can("who_am_i"), True)

    def test_different_operations(self) -> None:
        """Two different operations are not one and the same."""
        client, peer = self.connect()
        first = self.ask_and_cut(client.who_am_i, peer, cut=peer.close)
        self.failureResultOf(first, ConnectionLossException)
        again = self.reconnect(peer)
        second = self.ask_and_cut(lambda: client.count_below("/a"), again, cut=again.close)
        self.failureResultOf(second, ConnectionLossException)

    def test_different_servers(self) -> None:
        """Deaths of two different servers are not counted together."""
        other = self.add_server()
        client, peer = self.make_connected()
        servers: list[Server] = [other, self.server]
        first = self.ask_and_cut(client.who_am_i, peer, cut=peer.close)
        self.failureResultOf(first, ConnectionLossException)
        self.pass_time(0.5)
        self.assertEqual(servers[0].count, 1)
        servers[0].peer.accept()
        second = self.ask_and_cut(client.who_am_i, servers[0].peer, cut=servers[0].peer.close)
        self.failureResultOf(second, ConnectionLossException)

    def test_silence(self) -> None:
        """A server that is silent, and is given up by the client, has not hung up."""
        client, peer = self.connect()
        for _ in range(3):
            peer.answers_pings = False
            asked = client.who_am_i()
            self.pass_time(8.5)
            self.failureResultOf(asked, ConnectionLossException)
            peer = self.reconnect(peer) if self.server.peer is peer else self.server.peer
            if not peer.packets and client.session.state.value != "connected":
                peer.accept()
        self.assertIsNone(client.server_can("who_am_i"))

    def test_node_missing(self) -> None:
        """An ordinary refusal in between shows that it is known."""
        client, peer = self.connect()
        ignore(self.ask_and_cut(lambda: client.count_below("/a"), peer, cut=peer.close))
        again = self.reconnect(peer)
        counted = client.count_below("/a")
        again.answer(GetAllChildrenNumberRequest, err=-101)
        self.failureResultOf(counted, NoNodeException)
        asked = self.ask_and_cut(lambda: client.count_below("/a"), again, cut=again.close)
        self.failureResultOf(asked, ConnectionLossException)

    def test_ordinary_operation(self) -> None:
        """An operation that every server knows never counts as unknown, even if many connections end on it."""
        client, peer = self.connect()
        for _ in range(4):
            asked = client.delete("/a")
            peer.take(DeleteRequest)
            peer.close()
            self.failureResultOf(asked, ConnectionLossException)
            peer = self.reconnect(peer)
        self.assertIs(client.server_can("delete"), True)


class KeeperTests(ClientTestCase):
    """ClickHouse Keeper, whose password is all zeros, closes the connection at an unknown operation, and ends the
    session each time.
    """

    def connect(self) -> tuple[ZooKeeperClient, Peer]:
        client = self.make_client()
        ignore(client.connect())
        self.server.peer.accept(password=bytes(16))
        return client, self.server.peer

    def reconnected(self, old: Peer) -> Peer:
        """Return the next connection, with another session."""
        peer = self.reconnect(old, accept=False)
        peer.accept(SESSION + self.server.count, password=bytes(16))
        return peer

    def test_once(self) -> None:
        """There once is enough, or twice where the connection broke, which may be the network's doing; and it is not asked again."""
        for cut, times in ((Peer.close, 1), (Peer.drop, 2)):
            client, peer = self.connect()
            for time in range(1, times + 1):
                asked = client.who_am_i()
                self.assertEqual(peer.operations, [WhoAmIRequest.operation])
                cut(peer)
                if time < times:
                    self.failureResultOf(asked, ConnectionLossException)
                    self.assertIsNone(client.server_can("who_am_i"))
                    peer = self.reconnected(peer)
            error = self.failureResultOf(asked, UnimplementedException).value
            self.assertIsNone(error.applied)
            self.assertIs(client.server_can("who_am_i"), False)
            for _ in range(3):
                peer = self.reconnected(peer)
                self.assertIs(self.failureResultOf(client.who_am_i(), UnimplementedException).value.applied, False)
                self.assertEqual(peer.packets, [])
            peer.close()
            client.close()
            self.pass_time(6)

    def test_may_cost_session(self) -> None:
        """A request may cost the session, until the server has shown that it knows the operation. At ZooKeeper none does."""
        client, peer = self.connect()
        self.assertFalse(client.may_cost_session("get"))
        self.assertTrue(client.may_cost_session("read_many"))
        read = client.read_many(["/a"])
        peer.answer(MultiReadRequest, MultiResponse([ErrorResult(-101)]))
        self.successResultOf(read)
        self.assertFalse(client.may_cost_session("read_many"))
        self.assertRaises(ValueError, client.may_cost_session, "connect")
        other, _ = self.make_connected()
        self.assertFalse(other.may_cost_session("read_many"))

    def test_write(self) -> None:
        """Of a write it must be the server that has ended the connection; and it is asked once more on the next."""
        client, peer = self.connect()
        asked = client.create_with_ttl("/a", ttl=1.0)
        peer.drop()
        self.failureResultOf(asked, ConnectionLossException)
        self.assertIsNone(client.server_can("create_with_ttl"))
        peer = self.reconnected(peer)
        asked = client.create_with_ttl("/a", ttl=1.0)
        peer.close()
        self.failureResultOf(asked, UnimplementedException)
        peer = self.reconnected(self.reconnected(peer))
        asked = client.create_with_ttl("/a", ttl=1.0)
        self.assertEqual(peer.operations, [CreateTTLRequest.operation])
        ignore(asked)

    def test_set_watches(self) -> None:
        """Old servers do not know ``setWatches``: the first request finds that out, and later ones fail without being
        sent.
        """
        client, peer = self.connect()
        self.assertIsNone(client.server_can("set_watches"))
        brought = client.set_watches(1, data=["/a"])
        peer.close()
        self.failureResultOf(brought, UnimplementedException)
        self.assertIs(client.server_can("set_watches"), False)
        peer = self.reconnected(peer)
        for watches in ({"data": ["/a"]}, {}):
            self.failureResultOf(client.set_watches(1, **watches), UnimplementedException)
        self.assertEqual(peer.packets, [])

    def test_others_are_believed(self) -> None:
        """A server whose session has a password of its own is no Keeper."""
        client, peer = self.make_connected()
        self.assertIs(client.server_can("set_watches"), True)
        asked = client.who_am_i()
        peer.close()
        self.failureResultOf(asked, ConnectionLossException)
        self.assertIsNone(client.server_can("who_am_i"))
