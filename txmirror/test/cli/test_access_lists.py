"""``acl get`` prints what ``acl set`` and ``--acl`` accept."""

from __future__ import annotations

import re
from pathlib import Path

from txmirror.access import parse_acl, show_acl
from txmirror.test.cli.case import CommandTestCase
from txmirror.types import ACL, OPEN_ACL, READ_ACL, Permission, digest_acl

_HASH = "app:" + digest_acl("app", "pw").identity.partition(":")[2]


class ACLTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        for path in ("/a", "/a/b", "/a/b/c", "/a/d"):
            self.make(path)

    def acl(self, path: str) -> tuple[ACL, ...]:
        return tuple(self.world.result(self.other.get_acl(path))[0])

    def test_one(self) -> None:
        """The entries of one node are printed one a line."""
        self.assertEqual(self.done("acl", "get", "/a").out, "world:anyone:cdrwa\n")
        self.world.result(self.other.set_acl("/a", [*READ_ACL, ACL(Permission.ALL, "ip", "10.0.0.0/8")]))
        self.assertEqual(self.done("acl", "get", "/a").lines, ["world:anyone:r", "ip:10.0.0.0/8:cdrwa"])

    def test_several(self) -> None:
        expected = ["/a  world:anyone:cdrwa", "/a/b  world:anyone:cdrwa"]
        self.assertEqual(self.done("acl", "get", "/a", "/a/b").lines, expected)
        lines = self.done("acl", "get", "/a", "-r").lines
        self.assertEqual([each.split()[0] for each in lines], ["/a", "/a/b", "/a/b/c", "/a/d"])

    def test_formats(self) -> None:
        expected = {"path": "/a", "acl": ["world:anyone:cdrwa"], "aversion": 0}
        self.assertEqual(self.done("acl", "get", "/a", "-o", "jsonl").json, expected)
        self.assertEqual(self.done("acl", "get", "/a", "-o", "json").json, [expected])
        self.assertEqual(len(self.done("acl", "get", "/a", "-r", "-o", "jsonl").lines), 4)

    def test_errors(self) -> None:
        self.assertEqual(self.refused(1, "acl", "get", "/missing"), "no such znode: '/missing'")
        self.assertEqual(self.refused(1, "acl", "get", "/missing", "-r"), "no such znode: '/missing'")
        self.assertEqual(self.refused(1, "acl", "set", "/missing", "open"), "no such znode: '/missing'")
        self.assertEqual(self.refused(1, "acl", "set", "/missing", "open", "-ry"), "no such znode: '/missing'")

    def test_no_credentials(self) -> None:
        """An ACL that stands for the credentials needs some, and the message says how to give them; other reasons are not explained so."""
        advice = "creator (the scheme auth) stands for your credentials: give --username and --password-file"
        for arguments in (
            ("acl", "set", "/a", "creator"),
            ("acl", "set", "/a", "world:anyone:r,auth::cdrwa", "-ry"),
            ("--acl", "creator", "create", "/x"),
            ("--acl", "creator", "lock", "/x", "--", "true"),
        ):
            self.assertRegex(self.refused(1, *arguments), rf"\Ainvalid ACL: '/[ax].*': {re.escape(advice)}\Z")
        self.assertEqual(self.refused(1, "acl", "set", "/a", "other:x:r"), "invalid ACL: '/a'")
        password = Path(self.mktemp())
        password.write_text("pw")
        password.chmod(0o600)
        self.done("-u", "app", "--password-file", str(password), "acl", "set", "/a", "creator")
        self.world.result(self.other.add_auth("digest", b"app:pw"))
        self.assertEqual(self.acl("/a"), (ACL(Permission.ALL, "digest", _HASH),))

    def test_outage(self) -> None:
        """If many requests fail at the same time, there is one message."""
        self.world.server.delay_next("set_acl", 60.0)
        command = self.start("acl", "set", "/a", "read-only", "-ry", "--timeout", "2")
        self.stop_server()
        self.world.pass_time(10.0)
        self.assertEqual(command.status, 69)
        self.assertRegex(command.err, r"\Atxmirror: [^\n]*; the write may have been applied\n\Z")

    def test_set(self) -> None:
        self.assertEqual(self.done("acl", "set", "/a", f"world:anyone:r,digest:{_HASH}:cdrwa").out, "")
        self.assertEqual(self.acl("/a")[0], READ_ACL[0])
        self.assertEqual(self.acl("/a/b"), OPEN_ACL)

    def test_version(self) -> None:
        self.done("acl", "set", "/a", "open", "--version", "0")
        message = self.refused(1, "acl", "set", "/a", "read-only", "--version", "0")
        self.assertEqual(message, "the ACL is at version 1, not 0: '/a'")
        self.assertEqual(self.acl("/a"), OPEN_ACL)

    def test_dry_run(self) -> None:
        """With -r the lowest nodes are set first; those that have the ACL are left alone. A dry run prints the difference only."""
        self.done("acl", "set", "/a/d", "read-only")
        lines = self.done("acl", "set", "/a", "read-only", "-r", "--dry-run").lines
        self.assertEqual(lines, [f"{path}  world:anyone:cdrwa -> world:anyone:r" for path in ("/a/b/c", "/a/b", "/a")])
        self.assertEqual(self.acl("/a/b"), OPEN_ACL)
        lines = self.done("acl", "set", "/a", "read-only", "-r", "-y").lines
        self.assertEqual(lines, ["/a/b/c", "/a/b", "/a"])
        self.assertEqual({self.acl(path) for path in ("/a", "/a/b", "/a/b/c", "/a/d")}, {READ_ACL})
        self.assertEqual(self.world.result(self.other.get_acl("/a/d"))[1].aversion, 1)

    def test_own_nodes(self) -> None:
        """ZooKeeper's own nodes are left alone, and below a chroot there are none."""
        lines = self.done("acl", "set", "/", "read-only", "-r", "-n").lines
        self.assertEqual([each.split()[0] for each in lines], ["/a/d", "/a/b/c", "/a/b", "/a", "/"])
        self.make("/a/zookeeper")
        lines = self.done("acl", "set", "/", "read-only", "-r", "-n", "-s", f"{self.world.connect_string}/a").lines
        self.assertIn("/zookeeper", [each.split()[0] for each in lines])

    def test_refused(self) -> None:
        """Nodes that may not be changed are named; the others are set."""
        self.world.result(self.other.set_acl("/a/d", [ACL(Permission.READ, "world", "anyone")]))
        command = self.start("acl", "set", "/a", "world:anyone:rwa", "-r", "-y")
        self.assertEqual((command.status, command.lines), (77, ["/a/b/c", "/a/b", "/a"]))
        self.assertEqual(command.err, "txmirror: not permitted by the ACL: '/a/d'\n")

    def test_lost_reply(self) -> None:
        self.world.server.lose_reply("set_acl", path="/a")
        command = self.start("acl", "set", "/a", "open")
        self.assertEqual(command.status, 69)
        self.assertIn("the write may have been applied", command.err)

    def test_same_form(self) -> None:
        """What is shown can be parsed, also the names of certificates, which have commas."""
        acl = (
            *OPEN_ACL,
            ACL(Permission.READ | Permission.WRITE, "x509", "CN=app,O=Example: Ltd,C=DE"),
            ACL(Permission.ALL, "sasl", "app/host@REALM"),
        )
        self.assertEqual(parse_acl(",".join(show_acl(acl))), acl)
        self.assertRaises(ValueError, parse_acl, "x509:CN=app,O=Example")
