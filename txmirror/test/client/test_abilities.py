"""What a server can do: as it has shown, by what it answers and by what it hangs up on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.client import ZooKeeperClient
from txmirror.errors import ConnectionLossException, NoNodeException, UnimplementedException
from txmirror.interfaces import IZooKeeperClient
from txmirror.test.client.peer import STAT, ClientTestCase, Peer, Server, ignore
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    CreateTTLRequest,
    DeleteRequest,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetDataRequest,
    GetDataResponse,
    WhoAmIRequest,
    WhoAmIResponse,
)

DATA = GetDataResponse(b"", STAT)


class ToldTests(ClientTestCase):
    """What a server says."""

    def test_not_asked(self) -> None:
        """Of what a server was not asked nothing is known."""
        client, _ = self.make_connected()
        for method in ("add_watch", "create_with_ttl", "who_am_i", "get_many", "count_below", "reconfig"):
            self.assertIsNone(client.server_can(method))

    def test_before_connecting(self) -> None:
        """Nor is anything known before there was a server."""
        self.assertIsNone(self.make_client().server_can("add_watch"))

    def test_done(self) -> None:
        """What it has done it can do."""
        client, peer = self.make_connected()
        ignore(client.add_watch("/a"))
        peer.answer(AddWatchRequest, AddWatchResponse())
        self.assertIs(client.server_can("add_watch"), True)
        self.assertIsNone(client.server_can("who_am_i"))

    def test_failed(self) -> None:
        """What has failed for another reason it can do too."""
        client, peer = self.make_connected()
        ignore(client.count_below("/a"))
        peer.answer(GetAllChildrenNumberRequest, err=-101)
        self.assertIs(client.server_can("count_below"), True)

    def test_unimplemented(self) -> None:
        """What it says that it does not implement it cannot; it is asked again all the same, and may have learnt it."""
        client, peer = self.make_connected()
        made = client.create_with_ttl("/a", ttl=1.0)
        peer.answer(CreateTTLRequest, err=-6)
        self.failureResultOf(made, UnimplementedException)
        self.assertIs(client.server_can("create_with_ttl"), False)
        ignore(client.create_with_ttl("/a", ttl=1.0))
        peer.answer(CreateTTLRequest, err=-110)
        self.assertIs(client.server_can("create_with_ttl"), True)

    def test_remembered(self) -> None:
        """What is known stays known without a connection, and on the next one to the same server."""
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
        """Every method of the basic client can be asked about, and what every server can do is known at once."""
        client = self.make_client()
        for method in IZooKeeperClient.names():
            if method not in ("connect", "close") and callable(getattr(client, method, None)):
                self.assertIs(client.server_can(method), True, method)

    def test_unknown_method(self) -> None:
        """What is no method of the client's that asks a server is a mistake."""
        client, _ = self.make_connected()
        for name in ("", "addWatch", "ADD_WATCH", "close", "__init__", "session_id"):
            error = self.assertRaises(ValueError, client.server_can, name)
            self.assertIn(repr(name), str(error))


class HangingUpTests(ClientTestCase):
    """Servers before 3.5 hang up on what they do not know."""

    def ask_and_cut(self, ask: Callable[[], Deferred[Any]], peer: Peer, *, cut: Callable[[], None]) -> Deferred[Any]:
        asked = ask()
        self.assertEqual(len(peer.packets), 1)
        peer.packets.clear()
        cut()
        return asked

    def connect(self) -> tuple[ZooKeeperClient, Peer]:
        return self.make_connected()

    def test_twice(self) -> None:
        """At the first time nobody can know what the server meant; at the second the caller is told."""
        client, peer = self.connect()
        first = self.ask_and_cut(client.who_am_i, peer, cut=peer.close)
        self.failureResultOf(first, ConnectionLossException)
        self.assertIsNone(client.server_can("who_am_i"))
        again = self.reconnect(peer)
        second = self.ask_and_cut(client.who_am_i, again, cut=again.close)
        self.failureResultOf(second, UnimplementedException)
        self.assertIs(client.server_can("who_am_i"), False)

    def refused(self) -> tuple[ZooKeeperClient, Peer]:
        """Give a client that knows that its server hangs up on an operation."""
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
        """If it hangs up then once more, that is told at once."""
        client, peer = self.refused()
        again = self.reconnect(peer)
        asked = self.ask_and_cut(client.who_am_i, again, cut=again.close)
        self.failureResultOf(asked, UnimplementedException)
        last = self.reconnect(again)
        self.failureResultOf(client.who_am_i(), UnimplementedException)
        self.assertEqual(last.packets, [])

    def test_others_fail_as_ever(self) -> None:
        """What was asked behind it fails as with any lost connection."""
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
        """Nor is one that dies twice with the same new operation, but did other things between."""
        client, peer = self.connect()
        for _ in range(2):
            ignore(self.ask_and_cut(client.who_am_i, peer, cut=peer.close))
            peer = self.reconnect(peer)
            ignore(client.who_am_i())
            peer.answer(WhoAmIRequest, WhoAmIResponse([]))
        self.assertIs(client.server_can("who_am_i"), True)

    def test_said_so_between(self) -> None:
        """Nor is one that has answered in between, be it that it does not implement it."""
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
        """Nor are two different servers."""
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
        """What every server knows is never taken for unknown, however often a server dies on it."""
        client, peer = self.connect()
        for _ in range(4):
            asked = client.delete("/a")
            peer.take(DeleteRequest)
            peer.close()
            self.failureResultOf(asked, ConnectionLossException)
            peer = self.reconnect(peer)
        self.assertIs(client.server_can("delete"), True)
