"""Requests of newer clients: batches of reads, ephemerals, the number of nodes, and identities."""

from __future__ import annotations

from txmirror.errors import BadArgumentsException, MarshallingErrorException, NoAuthException, NoNodeException
from txmirror.test.embedded.peer import ServerTestCase
from txmirror.types import ACL, OPEN_ACL
from txmirror.wire import (
    CreateRequest,
    ErrorResult,
    ExistsRequest,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    MultiReadRequest,
    MultiResponse,
    WhoAmIRequest,
    WhoAmIResponse,
)

HIDDEN = (ACL(30, "world", "anyone"),)


class ReadTestCase(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client = self.peer()
        self.client.create("/a", b"one")
        self.client.create("/a/b", b"two", flags=1)
        self.client.create("/hidden", acl=HIDDEN)


class MultiReadTests(ReadTestCase):
    def test_results(self) -> None:
        """Each read has its result, or its refusal alone."""
        request = MultiReadRequest(
            (
                GetDataRequest("/a", False),
                GetDataRequest("/none", False),
                GetChildrenRequest("/a", False),
                GetChildrenRequest("/hidden", False),
            )
        )
        before = self.server.zxid
        self.assertEqual(
            self.client.ask(request).read(MultiResponse).results,
            [
                self.client.get("/a"),
                ErrorResult(NoNodeException.code or 0),
                GetChildrenResponse(["b"]),
                ErrorResult(NoAuthException.code or 0),
            ],
        )
        self.assertEqual(self.server.zxid, before)

    def test_nothing(self) -> None:
        """Nothing can be read, too."""
        self.assertEqual(self.client.ask(MultiReadRequest(())).read(MultiResponse).results, [])

    def test_no_watches(self) -> None:
        """It leaves no watches, even if the reads ask for them."""
        self.client.ask(MultiReadRequest((GetDataRequest("/a", True), GetChildrenRequest("/a", True))))
        self.client.set("/a")
        self.client.create("/a/c")
        self.assertEqual(self.client.events(), [])

    def test_writes(self) -> None:
        """A write among reads makes all of it unreadable."""
        request = MultiReadRequest((GetDataRequest("/a", False), CreateRequest("/b", b"", OPEN_ACL, 0)))
        self.assertEqual(self.client.ask(request).err, MarshallingErrorException.code)
        self.assertFalse(self.client.exists("/b"))


class ExistsTests(ReadTestCase):
    def test_bad_path(self) -> None:
        """A path with a null byte is refused; any other invalid path is a missing node."""
        for path, error in (("/a\0", BadArgumentsException), ("a", NoNodeException), ("/a/", NoNodeException)):
            self.assertEqual(self.client.ask(ExistsRequest(path, True)).err, error.code)


class QueryTests(ReadTestCase):
    def ephemerals(self, prefix: str) -> list[str]:
        return self.client.ask(GetEphemeralsRequest(prefix)).read(GetEphemeralsResponse).ephemerals

    def count(self, path: str) -> int:
        return self.client.ask(GetAllChildrenNumberRequest(path)).read(GetAllChildrenNumberResponse).totalNumber

    def test_ephemerals(self) -> None:
        """The reply lists the client's own ephemerals whose paths begin with the prefix; all if it is empty, or the root."""
        self.client.create("/ab", flags=1)
        self.peer().create("/ac", flags=1)
        self.assertEqual(self.ephemerals("/a/"), ["/a/b"])
        for everything in ("/", "", " ", "/a"):
            self.assertEqual(self.ephemerals(everything), ["/a/b", "/ab"])
        self.assertEqual(self.ephemerals("/none"), [])

    def test_count(self) -> None:
        """All nodes below one count, at any depth; the root has ZooKeeper's own."""
        self.client.create("/ab")
        self.assertEqual([self.count(path) for path in ("/", "/a", "/ab")], [7, 1, 0])

    def test_no_count(self) -> None:
        """A missing node is not counted, nor one that the client may not read."""
        for path, error in (("/none", NoNodeException), ("/hidden", NoAuthException)):
            self.assertEqual(self.client.ask(GetAllChildrenNumberRequest(path)).err, error.code)

    def test_who_am_i(self) -> None:
        """The reply lists the client's address and its authenticated users, without a password's hash."""
        for _ in range(2):
            self.client.auth(b"user:secret")
        self.client.auth(b"other:secret")
        self.assertEqual(
            self.client.ask(WhoAmIRequest()).read(WhoAmIResponse).clientInfo,
            [("ip", "127.0.0.1"), ("digest", "user"), ("digest", "other")],
        )
