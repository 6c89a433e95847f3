"""Every kind of node, and the operations of newer servers, against a server that the test controls."""

from __future__ import annotations

from txmirror.errors import NoNodeException, PathError, UnimplementedException
from txmirror.test.client.peer import STAT, ClientTestCase
from txmirror.types import OPEN_ACL
from txmirror.wire import (
    ClientInfo,
    Create2Request,
    Create2Response,
    CreateContainerRequest,
    CreateTTLRequest,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    WhoAmIRequest,
    WhoAmIResponse,
)


class CreateModeTests(ClientTestCase):
    def test_stat(self) -> None:
        """A create returns the created path, and its stat on request."""
        client, peer = self.make_connected()
        made = client.create_and_stat("/a-", b"x", ephemeral=True, sequence=True)
        request = peer.answer(Create2Request, Create2Response("/a-0000000001", STAT))
        self.assertEqual(request, Create2Request("/a-", b"x", OPEN_ACL, 3))
        self.assertEqual(self.successResultOf(made), ("/a-0000000001", STAT))

    def test_container(self) -> None:
        """A container has an operation and a flag of its own."""
        client, peer = self.make_connected()
        made = client.create_container("/a", b"x")
        request = peer.answer(CreateContainerRequest, Create2Response("/a", STAT))
        self.assertEqual(request, CreateContainerRequest("/a", b"x", OPEN_ACL, 4))
        self.assertEqual(self.successResultOf(made), ("/a", STAT))

    def test_time_to_live(self) -> None:
        """A time to live goes out in milliseconds, with a flag of its own, and another with a sequence."""
        client, peer = self.make_connected()
        for sequence, flags in ((False, 5), (True, 6)):
            made = client.create_with_ttl("/a", b"x", ttl=1.5, sequence=sequence)
            request = peer.answer(CreateTTLRequest, Create2Response("/a", STAT))
            self.assertEqual(request, CreateTTLRequest("/a", b"x", OPEN_ACL, flags, 1500))
            self.assertEqual(self.successResultOf(made), ("/a", STAT))

    def test_unimplemented(self) -> None:
        """A server without a kind of node, or with it disabled, refuses the create; the connection continues."""
        client, peer = self.make_connected()
        made = client.create_with_ttl("/a", ttl=1.0)
        peer.answer(CreateTTLRequest, err=-6)
        self.assertIs(self.failureResultOf(made, UnimplementedException).value.applied, False)
        self.assertFalse(peer.lost)

    def test_arguments(self) -> None:
        """Values that every server refuses raise at the call."""
        client, peer = self.make_connected()
        for ttl in (0.0, -1.0, 0.0001, 2.0**40):
            error = self.assertRaises(ValueError, client.create_with_ttl, "/a", ttl=ttl)
            self.assertIn(repr(ttl), str(error))
        self.assertRaises(PathError, client.create_container, "a")
        self.assertRaises(TypeError, client.create_and_stat, "/a", "text")
        self.assertEqual(peer.packets, [])


class QueryTests(ClientTestCase):
    def test_ephemerals(self) -> None:
        """Of the server's results, only those at or below the node are returned: the server compares prefixes, not
        names.
        """
        client, peer = self.make_connected()
        found = client.get_ephemerals("/a")
        peer.answer(GetEphemeralsRequest, GetEphemeralsResponse(["/a", "/a/b", "/ab"]))
        self.assertEqual(self.successResultOf(found), ["/a", "/a/b"])
        found = client.get_ephemerals()
        self.assertEqual(peer.answer(GetEphemeralsRequest, GetEphemeralsResponse(["/x"])).path, "/")
        self.assertEqual(self.successResultOf(found), ["/x"])

    def test_ephemerals_below_a_chroot(self) -> None:
        """Nodes outside the chroot are left out, and the others are shown without it."""
        client = self.make_client(self.server.address + "/app")
        client.connect()
        peer = self.server.peer
        peer.accept()
        found = client.get_ephemerals()
        request = peer.answer(GetEphemeralsRequest, GetEphemeralsResponse(["/app/a", "/apple"]))
        self.assertEqual(request.path, "/app")
        self.assertEqual(self.successResultOf(found), ["/a"])

    def test_count(self) -> None:
        """The server counts the nodes below a node."""
        client, peer = self.make_connected()
        count = client.count_below("/a")
        self.assertEqual(peer.answer(GetAllChildrenNumberRequest, GetAllChildrenNumberResponse(7)).path, "/a")
        self.assertEqual(self.successResultOf(count), 7)
        missing = client.count_below("/b")
        peer.answer(GetAllChildrenNumberRequest, err=-101)
        self.assertEqual(self.failureResultOf(missing, NoNodeException).value.path, "/b")

    def test_who_am_i(self) -> None:
        """The session's identities come as pairs."""
        client, peer = self.make_connected()
        identities = client.who_am_i()
        peer.answer(WhoAmIRequest, WhoAmIResponse([ClientInfo("ip", "127.0.0.1"), ClientInfo("digest", "user")]))
        self.assertEqual(self.successResultOf(identities), [("ip", "127.0.0.1"), ("digest", "user")])
