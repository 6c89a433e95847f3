"""Single znodes: what is shown of them, what is hidden, and what happens without a connection."""

from __future__ import annotations

import base64

from twisted.internet.error import ConnectionLost

from txmirror.client import Limits
from txmirror.errors import NoAuthException, NoNodeException, ThrottledOpException
from txmirror.test.web.api.case import APITestCase
from txmirror.types import ACL, OPEN_ACL, Permission, digest_acl
from txmirror.web.api import nodes, reading


class NodeTestCase(APITestCase):
    def create(self, path: str, data: bytes = b"", acl: tuple[ACL, ...] = OPEN_ACL) -> None:
        self.world.result(self.other.create(path, data, acl))


class NodeTests(NodeTestCase):
    def test_node(self) -> None:
        """A znode is shown with everything that ZooKeeper says of it."""
        self.create("/a", b"text \xc3\xa4\n\t")
        self.create("/a/z")
        self.create("/a/b")
        response = self.ask("/v1/nodes/a")
        value = response.value
        stat = self.world.result(self.other.exists("/a"))
        assert stat is not None
        self.assertEqual(
            value,
            {
                "path": "/a",
                "data": {"text": "text \xe4\n\t"},
                "truncated": False,
                "stat": {
                    "czxid": f"{stat.czxid:#x}",
                    "mzxid": f"{stat.mzxid:#x}",
                    "pzxid": f"{stat.pzxid:#x}",
                    "ctime": stat.ctime / 1000,
                    "mtime": stat.mtime / 1000,
                    "version": 0,
                    "cversion": 2,
                    "aversion": 0,
                    "ephemeralOwner": None,
                    "dataLength": 9,
                    "numChildren": 2,
                },
                "acl": [
                    {"scheme": "world", "id": "anyone", "permissions": ["read", "write", "create", "delete", "admin"]}
                ],
                "children": ["b", "z"],
                "children_truncated": False,
                "stale": False,
                "age": 0.0,
            },
        )
        self.assertEqual(response.headers["age"], "0")

    def test_ephemeral(self) -> None:
        """The owner is shown as ZooKeeper's tools show it."""
        self.world.result(self.other.create("/e", ephemeral=True))
        self.assertEqual(self.ask("/v1/nodes/e").value["stat"]["ephemeralOwner"], f"{self.other.session_id:#x}")

    def test_root(self) -> None:
        """The root has an empty path."""
        value = self.ask("/v1/nodes/").value
        self.assertEqual((value["path"], value["children"]), ("/", ["services", "zookeeper"]))

    def test_fresh(self) -> None:
        """A change is shown at once, and nothing stays to be watched."""
        self.create("/a", b"1")
        self.assertEqual(self.ask("/v1/nodes/a").value["data"], {"text": "1"})
        self.world.result(self.other.set("/a", b"2"))
        self.assertEqual(self.ask("/v1/nodes/a").value["data"], {"text": "2"})

    def test_paths(self) -> None:
        """Any name that ZooKeeper has is found; a path that it cannot have is refused with a line that quotes it."""
        for name, sent in (("a b", "a%20b"), ("\xe4\u4e2d", "%C3%A4%E4%B8%AD"), ("100%", "100%25"), ("...", "...")):
            self.create(f"/{name}")
            self.assertEqual(self.ask(f"/v1/nodes/{sent}").value["path"], f"/{name}")
        for sent, quoted in (("a/", "'/a/'"), ("a//b", "'/a//b'"), ("a/../b", "'/a/../b'"), ("%00", r"'/\x00'")):
            self.assertIn(quoted, self.refusal(f"/v1/nodes/{sent}", 400))
        self.assertIn("'/no'", self.refusal("/v1/nodes/no", 404))

    def test_binary(self) -> None:
        """Data that is no text is shown in base64."""
        for data in (b"\xff", b"\xed\xa0\x80", b"a\0b", b"\x1b[31m", b"\x7f", b"\xc2\x85", b"\xef\xbf\xbf"):
            self.create("/b", data)
            shown = self.ask("/v1/nodes/b").value["data"]
            self.assertEqual(base64.b64decode(shown["base64"]), data)
            self.world.result(self.other.delete("/b"))

    def test_long(self) -> None:
        """Of long data the beginning is shown, also if that ends inside a character."""
        self.patch(nodes, "MOST_DATA", 4)
        for name, data, shown in (
            ("exact", b"abcd", {"text": "abcd"}),
            ("text", b"abcde", {"text": "abcd"}),
            ("cut", "abc\xe4".encode(), {"text": "abc"}),
            ("cut4", "ab\U0001f600".encode(), {"text": "ab"}),
            ("wrong", b"abc\xff\xff", {"base64": base64.b64encode(b"abc\xff").decode()}),
        ):
            self.create(f"/{name}", data)
            value = self.ask(f"/v1/nodes/{name}").value
            self.assertEqual((value["data"], value["truncated"]), (shown, len(data) > 4), name)
        # The end of the data is no cut.
        self.create("/half", b"abc\xc3")
        self.assertIn("base64", self.ask("/v1/nodes/half").value["data"])

    def test_many_children(self) -> None:
        """Of many children the first ones are shown; a very long list is not even asked for."""
        self.patch(nodes, "MOST_CHILDREN", 3)
        self.create("/a")
        for name in "dcba":
            self.create(f"/a/{name}")
        value = self.ask("/v1/nodes/a").value
        self.assertEqual((value["children"], value["children_truncated"]), (["a", "b", "c"], True))
        self.patch(reading, "_MOST_ASKED", 3)
        value = self.ask("/v1/nodes/a").value
        self.assertEqual((value["children"], value["children_truncated"]), ([], True))

    def test_too_long_reply(self) -> None:
        """A list that the client does not take is shown as one that is not complete."""
        self.create("/a")
        for number in range(40):
            self.create(f"/a/{number:0100}")
        self.readers.mirror = self.world.mirror(limits=Limits(max_reply=1000))
        value = self.ask("/v1/nodes/a").value
        self.assertEqual((value["children"], value["children_truncated"]), ([], True))

    def test_digest(self) -> None:
        """The hash of a password is not shown."""
        self.create(
            "/a", b"", (digest_acl("user", "password", Permission.ALL), ACL(Permission.READ, "world", "anyone"))
        )
        response = self.ask("/v1/nodes/a")
        self.assertEqual(
            response.value["acl"],
            [
                {"scheme": "digest", "id": "user:***", "permissions": ["read", "write", "create", "delete", "admin"]},
                {"scheme": "world", "id": "anyone", "permissions": ["read"]},
            ],
        )
        self.assertNotIn(digest_acl("user", "password").identity.partition(":")[2], response.text)

    def test_forbidden(self) -> None:
        """A znode that may not be read is a 403 with one line."""
        self.create("/a", b"secret", (digest_acl("user", "password"),))
        self.assertIn("not permitted by the ACL", self.refusal("/v1/nodes/a", 403))

    def test_forbidden_acl(self) -> None:
        """If only the ACL may not be read, it is null."""
        self.create("/a", b"text")
        self.world.server.fail_next("get_acl", NoAuthException())
        value = self.ask("/v1/nodes/a").value
        self.assertEqual((value["data"], value["acl"]), ({"text": "text"}, None))

    def test_deleted_meanwhile(self) -> None:
        """A znode that is deleted between the requests is a 404."""
        self.create("/a")
        self.world.server.fail_next("get_acl", NoNodeException())
        self.refusal("/v1/nodes/a", 404)


class OutageTests(NodeTestCase):
    def test_known(self) -> None:
        """Without a connection, a znode that is known is shown as it was, without its ACL."""
        self.make("web", "10.0.0.1:80", x=1)
        self.ask("/v1/services")
        self.world.disconnect(self.mirror)
        self.world.pass_time(50.0)
        response = self.ask("/v1/nodes/services/web/10.0.0.1:80")
        value = response.value
        self.assertEqual((value["data"], value["acl"]), ({"text": '{"x": 1}'}, None))
        self.assertEqual((value["stale"], value["age"], response.headers["age"]), (True, 50.0, "50"))

    def test_unknown(self) -> None:
        """One that is not known is a 503, and shown after the outage."""
        self.create("/a", b"1")
        self.world.disconnect(self.mirror)
        self.assertIn("out of reach", self.refusal("/v1/nodes/a", 503))
        self.refusal("/v1/nodes/no", 503)
        self.world.reconnect(self.mirror)
        self.world.pass_time(15.0)
        self.assertEqual(self.ask("/v1/nodes/a").value["data"], {"text": "1"})
        self.refusal("/v1/nodes/no", 404)

    def test_read_before(self) -> None:
        """One that was read before is shown as it was then, if it is not too large."""
        self.create("/a", b"1")
        self.create("/large", b"1" * 70_000)
        self.create("/gone", b"1")
        for path in ("a", "large", "gone"):
            self.ask(f"/v1/nodes/{path}")
        self.world.pass_time(10.0)
        self.world.result(self.other.delete("/gone"))
        self.refusal("/v1/nodes/gone", 404)
        self.world.disconnect(self.mirror)
        self.world.pass_time(50.0)
        value = self.ask("/v1/nodes/a").value
        self.assertEqual((value["data"], value["acl"][0]["id"], value["age"]), ({"text": "1"}, "anyone", 60.0))
        self.refusal("/v1/nodes/large", 503)
        self.refusal("/v1/nodes/gone", 503)

    def test_bounded(self) -> None:
        """Only so many are remembered: those that were read last."""
        self.patch(reading, "_MOST_KEPT", 2)
        for name in "abca":
            if self.world.result(self.other.exists(f"/{name}")) is None:
                self.create(f"/{name}")
            self.ask(f"/v1/nodes/{name}")
        self.world.disconnect(self.mirror)
        self.assertEqual([self.ask(f"/v1/nodes/{name}").status for name in "abc"], [200, 503, 200])

    def test_lost(self) -> None:
        """If the connection is lost during the request, what is known is shown."""
        self.make("web", "10.0.0.1:80", x=1)
        self.ask("/v1/services")
        for request in ("get", "get_acl"):
            fault = self.world.server.lose_reply(request)
            self.assertEqual(self.ask("/v1/nodes/services/web/10.0.0.1:80").value["stale"], True)
            self.assertTrue(fault.happened)
            self.world.pass_time(15.0)
        self.world.server.lose_reply("get")
        self.refusal("/v1/nodes/zookeeper", 503)

    def test_refused(self) -> None:
        """An error of the server is a 503."""
        self.world.server.fail_next("get", ThrottledOpException())
        self.assertIn("throttling", self.refusal("/v1/nodes/services", 503))

    def test_slow(self) -> None:
        """A server that does not answer in 5 seconds is a 503, and the answer that comes later is dropped."""
        for request in ("get", "get_acl"):
            self.world.server.delay_next(request, 8.0)
            waiting = self.begin("/v1/nodes/services")
            self.world.pass_time(4.9)
            self.assertFalse(waiting.answered)
            self.world.pass_time(0.2)
            self.assertEqual(waiting.response.status, 503)
            self.assertEqual(waiting.response.errors, ["ZooKeeper did not answer within 5 s"])
            self.world.pass_time(5.0)

    def test_client_goes(self) -> None:
        """A client that goes during the request leaves nothing behind."""
        self.world.server.delay_next("get", 2.0)
        waiting = self.begin("/v1/nodes/services")
        waiting.leave(ConnectionLost())
        self.world.pass_time(5.0)
        self.assertEqual(waiting.transport.value(), b"")

    def test_closed(self) -> None:
        """After the end of the mirror, what it knew is shown."""
        self.make("web", "10.0.0.1:80", x=1)
        self.ask("/v1/services")
        self.world.result(self.mirror.close())
        self.assertEqual(self.ask("/v1/nodes/services/web/10.0.0.1:80").value["stale"], True)
        self.refusal("/v1/nodes/zookeeper", 503)
