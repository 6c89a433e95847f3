"""Znodes and their stats are those of ZooKeeper 3.8.0."""

from __future__ import annotations

from txmirror.errors import (
    BadArgumentsException,
    BadVersionException,
    InvalidACLException,
    MarshallingErrorException,
    NoAuthException,
    NoChildrenForEphemeralsException,
    NodeExistsException,
    NoNodeException,
    NotEmptyException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.test.embedded.peer import Peer, ServerTestCase
from txmirror.types import ACL, CREATOR_ALL_ACL, OPEN_ACL, READ_ACL, ZnodeStat
from txmirror.wire import (
    Create2Request,
    Create2Response,
    CreateRequest,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    PathResponse,
    Request,
    SetACLRequest,
    SetDataRequest,
    StatResponse,
    SyncRequest,
)


class TreeTestCase(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.reactor.pass_time(1.5)
        self.client = self.peer()  # transaction 1

    def refused(self, request: Request, error: type[ZooKeeperException], peer: Peer | None = None) -> None:
        reply = (peer or self.client).ask(request)
        self.assertEqual((reply.err, reply.body), (error.code, b""))


class InitialTests(TreeTestCase):
    def test_root(self) -> None:
        """The root is there from the start, with the stat of a node that no transaction made."""
        root = self.client.get("/")
        self.assertEqual(root.data, b"")
        self.assertEqual(root.stat, ZnodeStat(0, 0, 0, 0, 0, -1, 0, 0, 0, 1, 0))

    def test_zookeeper(self) -> None:
        """The nodes that every server has are there."""
        self.assertEqual(self.client.children("/").children, ["zookeeper"])
        answer = self.client.children("/zookeeper")
        self.assertEqual(sorted(answer.children), ["config", "quota"])
        self.assertEqual(answer.stat.cversion, -2)

    def test_config_can_only_be_read(self) -> None:
        """The configuration can be read by anybody and changed by nobody."""
        answer = self.client.ask(GetACLRequest("/zookeeper/config")).read(GetACLResponse)
        self.assertEqual(tuple(answer.acl), READ_ACL)
        self.assertEqual(answer.stat.aversion, -1)
        self.refused(SetDataRequest("/zookeeper/config", b"", -1), NoAuthException)

    def test_special_nodes_stay(self) -> None:
        """The nodes that every server has cannot be deleted."""
        for path in ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"):
            self.refused(DeleteRequest(path, -1), BadArgumentsException)


class StatTests(TreeTestCase):
    def test_created(self) -> None:
        """A new node has the transaction and the time that made it, and zeroes."""
        answer = self.client.create("/a", b"abc")
        self.assertEqual(answer.path, "/a")
        self.assertEqual(answer.stat, ZnodeStat(2, 2, 1500, 1500, 0, 0, 0, 0, 3, 0, 2))

    def test_set(self) -> None:
        """A write of data changes mzxid, mtime, version and length."""
        self.client.create("/a", b"abc")
        self.reactor.pass_time(1)
        self.assertEqual(self.client.set("/a", b"x").stat, ZnodeStat(2, 3, 1500, 2500, 1, 0, 0, 0, 1, 0, 2))

    def test_null_data(self) -> None:
        """Null is kept apart from empty."""
        self.client.create("/a", None)
        self.assertIsNone(self.client.get("/a").data)

    def test_children(self) -> None:
        """Each child that comes and each that goes counts once in cversion, and is the parent's pzxid."""
        self.client.create("/a")
        self.client.create("/a/1")
        self.client.create("/a/2")
        self.client.delete("/a/1")
        stat = self.client.get("/a").stat
        self.assertEqual((stat.cversion, stat.numChildren, stat.pzxid), (3, 1, 5))
        self.assertEqual((stat.mzxid, stat.version), (2, 0))

    def test_acl(self) -> None:
        """A change of the ACL counts in aversion and nowhere else."""
        stat = self.client.create("/a").stat
        changed = self.client.ask(SetACLRequest("/a", OPEN_ACL, 0)).read(StatResponse).stat
        self.assertEqual(changed, stat._replace(aversion=1))
        self.refused(SetACLRequest("/a", OPEN_ACL, 0), BadVersionException)

    def test_ephemeral(self) -> None:
        """An ephemeral node names its session."""
        stat = self.client.create("/e", flags=1).stat
        self.assertEqual(stat.ephemeralOwner, self.client.session)

    def test_created_anew(self) -> None:
        """A node that is created again begins again."""
        self.client.create("/a")
        self.client.set("/a")
        self.client.delete("/a")
        self.assertEqual(self.client.create("/a").stat.version, 0)


class CreateTests(TreeTestCase):
    def test_create_answers_the_path(self) -> None:
        """The older of the two operations answers with the path alone."""
        reply = self.client.ask(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.assertEqual(reply.read(PathResponse).path, "/a")

    def test_sequence(self) -> None:
        """Sequence nodes are numbered by the children that their parent ever had, of any name."""
        self.client.create("/a")
        self.client.create("/a/other")
        self.assertEqual(self.client.create("/a/n-", flags=2).path, "/a/n-0000000001")
        self.client.delete("/a/n-0000000001")
        self.assertEqual(self.client.create("/a/", flags=3).path, "/a/0000000002")

    def test_no_parent(self) -> None:
        """There is no node without its parent."""
        self.refused(CreateRequest("/a/b", b"", OPEN_ACL, 0), NoNodeException)

    def test_exists(self) -> None:
        """A node is not created twice, and the root never."""
        self.client.create("/a")
        self.refused(CreateRequest("/a", b"", OPEN_ACL, 0), NodeExistsException)
        self.refused(CreateRequest("/", b"", OPEN_ACL, 0), NodeExistsException)

    def test_under_an_ephemeral(self) -> None:
        """An ephemeral node has no children."""
        self.client.create("/e", flags=1)
        self.refused(CreateRequest("/e/a", b"", OPEN_ACL, 0), NoChildrenForEphemeralsException)

    def test_bad_paths(self) -> None:
        """An invalid path is refused."""
        self.client.create("/a")
        for path in ("", "a", "/a/", "//", "/a/..", "/\x01", "/a\0"):
            self.refused(Create2Request(path, b"", OPEN_ACL, 0), BadArgumentsException)

    def test_flags(self) -> None:
        """Disabled and unknown kinds of nodes have different errors."""
        self.refused(CreateRequest("/a", b"", OPEN_ACL, 5), UnimplementedException)
        self.refused(CreateRequest("/a", b"", OPEN_ACL, 7), BadArgumentsException)
        self.refused(CreateRequest("/a", b"", OPEN_ACL, -1), BadArgumentsException)

    def test_container_flag_is_ignored(self) -> None:
        """The flag of a container on an ordinary create makes an ordinary node."""
        self.assertEqual(self.client.create("/a", flags=4).stat.ephemeralOwner, 0)


class WriteTests(TreeTestCase):
    def test_delete(self) -> None:
        """A node goes if its version is right and it has no children."""
        self.client.create("/a")
        self.client.create("/a/b")
        self.refused(DeleteRequest("/a", 1), BadVersionException)
        self.refused(DeleteRequest("/a", 0), NotEmptyException)
        self.client.delete("/a/b")
        self.client.delete("/a", 0)
        self.assertFalse(self.client.exists("/a"))
        self.refused(DeleteRequest("/a", -1), NoNodeException)

    def test_set(self) -> None:
        """Data is replaced if the version is right."""
        self.client.create("/a")
        self.refused(SetDataRequest("/a", b"1", 1), BadVersionException)
        self.client.set("/a", b"1", 0)
        self.assertEqual(self.client.get("/a").data, b"1")
        self.refused(SetDataRequest("/b", b"", -1), NoNodeException)

    def test_refused_writes_are_transactions(self) -> None:
        """A write that is refused takes a zxid too, and its reply has it. Reads take none."""
        before = self.server.zxid
        self.assertEqual(self.client.ask(SetDataRequest("/b", b"", -1)).zxid, before + 1)
        self.assertEqual(self.client.ask(GetDataRequest("/b", False)).zxid, before + 1)
        self.assertEqual(self.client.ping().zxid, before + 1)


class ReadTests(TreeTestCase):
    def test_missing(self) -> None:
        """A missing node is missing for every request."""
        for request in (
            ExistsRequest("/a", False),
            GetDataRequest("/a", False),
            GetChildrenRequest("/a", False),
            GetACLRequest("/a"),
        ):
            self.refused(request, NoNodeException)

    def test_children_without_stat(self) -> None:
        """The older request for children returns the names alone."""
        self.client.create("/a")
        reply = self.client.ask(GetChildrenRequest("/", False))
        self.assertEqual(sorted(reply.read(GetChildrenResponse).children), ["a", "zookeeper"])

    def test_sync(self) -> None:
        """A sync answers with its path, whether or not there is such a node."""
        self.assertEqual(self.client.ask(SyncRequest("/nowhere")).read(PathResponse).path, "/nowhere")

    def test_unreadable_record(self) -> None:
        """A request whose record is invalid is refused; the connection goes on, and the log has the reason."""

        class Short(DeleteRequest):
            def encode(self) -> bytes:
                return b"\0"

        self.refused(Short("", 0), MarshallingErrorException)
        self.assertTrue(self.client.exists("/"))


class AccessTests(TreeTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.stranger = self.peer()
        self.assertEqual(self.client.auth(b"user:secret")[:3], (-4, 0, 0))

    def acl(self, peer: Peer, path: str) -> list[ACL]:
        return peer.ask(GetACLRequest(path)).read(GetACLResponse).acl

    def test_creator(self) -> None:
        """``auth`` stands for the creator of the node; no other client has access."""
        self.client.create("/a", acl=CREATOR_ALL_ACL)
        (entry,) = self.acl(self.client, "/a")
        self.assertEqual(entry, ACL(31, "digest", "user:5w9W4eL3797Y4Wq8AcKUPPk8ha4="))
        for request in (
            GetDataRequest("/a", False),
            GetChildrenRequest("/a", False),
            GetACLRequest("/a"),
            SetDataRequest("/a", b"", -1),
            SetACLRequest("/a", OPEN_ACL, -1),
            CreateRequest("/a/b", b"", OPEN_ACL, 0),
            DeleteRequest("/a/b", -1),
        ):
            self.refused(request, NoAuthException, self.stranger)
        self.client.set("/a")

    def test_same_credentials(self) -> None:
        """Another connection with the same credentials is as good."""
        self.client.create("/a", acl=CREATOR_ALL_ACL)
        self.stranger.auth(b"user:secret")
        self.stranger.set("/a")

    def test_exists_is_for_all(self) -> None:
        """On 3.8.0 any client may ask for the existence of a node."""
        self.client.create("/a", acl=CREATOR_ALL_ACL)
        self.assertTrue(self.stranger.exists("/a"))

    def test_delete_asks_the_parent(self) -> None:
        """The parent's ACL permits deletion."""
        self.client.create("/a", acl=CREATOR_ALL_ACL)
        self.stranger.delete("/a")

    def test_hash_is_hidden(self) -> None:
        """A client that may read a node, but not change its ACL, sees no hash of a password."""
        self.client.create("/a", acl=(*READ_ACL, *CREATOR_ALL_ACL))
        self.assertEqual(self.acl(self.stranger, "/a"), [*READ_ACL, ACL(31, "digest", "user:x")])

    def test_address(self) -> None:
        """An address counts as an identity."""
        self.client.create("/a", acl=(ACL(31, "ip", "127.0.0.0/8"),))
        self.stranger.get("/a")
        self.client.create("/b", acl=(ACL(31, "ip", "10.0.0.1"),))
        self.refused(GetDataRequest("/b", False), NoAuthException)

    def test_invalid(self) -> None:
        """An ACL that is empty, or has an invalid identity, is refused."""
        invalid = [
            (),
            (ACL(31, "world", "someone"),),
            (ACL(31, "digest", "user"),),
            (ACL(31, "digest", "user:"),),
            (ACL(31, "ip", "localhost"),),
            (ACL(31, "ip", "10.0.0.0/33"),),
            (ACL(31, "other", "x"),),
        ]
        for acl in invalid:
            self.refused(CreateRequest("/a", b"", acl, 0), InvalidACLException)
            self.refused(SetACLRequest("/", acl, -1), InvalidACLException)
        self.refused(CreateRequest("/a", b"", CREATOR_ALL_ACL, 0), InvalidACLException, self.stranger)

    def test_repetitions(self) -> None:
        """An entry that is repeated is kept once."""
        reply = self.client.ask(Create2Request("/a", b"", OPEN_ACL * 3, 0))
        self.assertEqual(reply.read(Create2Response).path, "/a")
        self.assertEqual(tuple(self.acl(self.client, "/a")), OPEN_ACL)
