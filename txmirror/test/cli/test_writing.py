"""``set``, ``create`` and ``delete`` write once, or print the reason why they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from txmirror.errors import UnimplementedException
from txmirror.test.cli.case import CommandTestCase
from txmirror.types import ACL, OPEN_ACL, READ_ACL, Permission, digest_acl


class SetTests(CommandTestCase):
    def test_data(self) -> None:
        self.make("/a", b"old")
        self.assertEqual(self.done("set", "/a", "new é").out, "")
        self.assertEqual(self.data("/a"), "new é".encode())

    def test_stdin(self) -> None:
        """Any bytes come from the standard input."""
        self.make("/a")
        self.done("set", "/a", "-", stdin=b"\x00\xff\n")
        self.assertEqual(self.data("/a"), b"\x00\xff\n")

    def test_version(self) -> None:
        """With a version, only that version is replaced."""
        self.make("/a", b"0")
        self.done("set", "/a", "1", "--version", "0")
        message = self.refused(1, "set", "/a", "2", "--version", "0")
        self.assertEqual(message, "the znode is at version 1, not 0: '/a'")
        self.assertEqual(self.data("/a"), b"1")

    def test_missing(self) -> None:
        self.assertEqual(self.refused(1, "set", "/a", "1"), "no such znode: '/a'")

    def test_too_large(self) -> None:
        self.make("/a")
        command = self.start("set", "/a", "-", stdin=bytes(2_000_000))
        self.assertEqual((command.status, command.err.count("\n")), (1, 1))
        self.assertIn("is over the limit", command.err)


class CreateTests(CommandTestCase):
    def test_data(self) -> None:
        self.assertEqual(self.done("create", "a", "data").out, "/a\n")
        self.assertEqual(self.data("/a"), b"data")
        self.assertEqual(self.done("create", "/empty").out, "/empty\n")
        self.assertEqual(self.data("/empty"), b"")

    def test_stdin(self) -> None:
        self.done("create", "/a", "-", stdin=b"\xff")
        self.assertEqual(self.data("/a"), b"\xff")

    def test_exists(self) -> None:
        self.make("/a", b"old")
        self.assertEqual(self.refused(1, "create", "/a", "new"), "the znode exists already: '/a'")
        self.assertEqual(self.data("/a"), b"old")

    def test_makepath(self) -> None:
        """Nodes above it are made only if that is asked for, empty."""
        self.make("/a")
        message = self.refused(1, "create", "/a/b/c/d")
        self.assertEqual(message, "the parent of '/a/b/c/d' does not exist: --parents creates missing nodes above it")
        self.assertEqual(self.done("create", "--parents", "/a/b/c/d", "data").out, "/a/b/c/d\n")
        self.assertEqual((self.data("/a/b/c/d"), self.data("/a/b/c")), (b"data", b""))

    def test_makepath_deep(self) -> None:
        """A path may have more levels than Python can nest calls."""
        path = "/d" * 1_100
        self.assertEqual(self.done("create", "--parents", path).lines, [path])
        self.done("delete", "-r", "-y", "/d")

    def test_acl(self) -> None:
        """A node is open to everybody, or its creator's, or has the ACL that is given."""
        password = self.mktemp()
        Path(password).write_text("pw")
        Path(password).chmod(0o600)
        # The server shows hashes to nobody else.
        self.world.result(self.other.add_auth("digest", b"app:pw"))
        for number, (options, expected) in enumerate(
            (
                ((), OPEN_ACL),
                (("-u", "app", "--password-file", password), (digest_acl("app", "pw"), *READ_ACL)),
                (("--acl", "world:anyone:rw"), (ACL(Permission.READ | Permission.WRITE, "world", "anyone"),)),
                (("-u", "app", "--password-file", password, "--acl", "creator"), (digest_acl("app", "pw"),)),
            )
        ):
            self.done("create", f"/{number}", *options)
            acl, _ = self.world.result(self.other.get_acl(f"/{number}"))
            self.assertEqual(tuple(acl), expected)

    def test_sequence(self) -> None:
        """In a sequence the path that was made is another than that which was given."""
        self.assertEqual(self.done("create", "/a-", "--sequential").out, "/a-0000000000\n")
        self.make("/a")
        self.assertEqual(self.done("create", "/a/", "--sequential").out, "/a/0000000000\n")
        self.assertEqual(self.done("create", "/b/c/", "--sequential", "--parents").out, "/b/c/0000000000\n")
        self.assertEqual(self.done("create", "/", "--sequential").out, "/0000000003\n")


class ModeTests(CommandTestCase):
    settings: ClassVar[dict[str, Any]] = {"ttl_nodes": True}

    def exists(self, path: str) -> bool:
        return self.world.result(self.other.exists(path)) is not None

    def test_ephemeral(self) -> None:
        """An ephemeral node is held until the command is interrupted."""
        command = self.start("create", "/a", "data", "--ephemeral")
        self.assertEqual((command.running, command.out, self.data("/a")), (True, "/a\n", b"data"))
        self.world.pass_time(3600.0)
        self.assertTrue(self.exists("/a"))
        command.interrupt()
        self.assertEqual((command.status, command.err, self.exists("/a")), (0, "", False))

    def test_ephemeral_sequential(self) -> None:
        command = self.start("create", "/a-", "--ephemeral", "--sequential")
        self.assertEqual(command.out, "/a-0000000000\n")
        command.interrupt(15)
        self.assertFalse(self.exists("/a-0000000000"))

    def test_lost(self) -> None:
        """If the node is deleted, or the session expires, the command ends, and says why."""
        for number in range(2):
            command = self.start("create", "/a", "--ephemeral", "-q")
            if number:
                assert command.run is not None
                self.world.server.expire_session(command.run.client.session_id)
                self.world.pass_time(5.0)
            else:
                self.world.result(self.other.delete("/a"))
            why = "the session has expired" if number else "it was deleted"
            self.assertEqual((command.status, command.err), (69, f"txmirror: '/a' is lost: {why}\n"))

    def test_outage(self) -> None:
        """An outage within the session does not end it."""
        command = self.start("create", "/a", "--ephemeral", "-q")
        self.stop_server()
        self.world.pass_time(6.0)
        self.start_server()
        self.world.pass_time(3.0)
        self.assertTrue(command.running)
        command.interrupt()
        self.assertEqual(command.status, 0)

    def test_container(self) -> None:
        """A container is deleted some time after its last child."""
        self.assertEqual(self.done("create", "/a/b", "--container", "--parents").out, "/a/b\n")
        self.make("/a/b/c")
        self.world.result(self.other.delete("/a/b/c"))
        self.world.pass_time(120.0)
        self.assertEqual((self.exists("/a/b"), self.exists("/a")), (False, True))

    def test_ttl(self) -> None:
        """A node with a time to live is deleted when it was not changed for so long."""
        self.assertEqual(self.done("create", "/a", "1", "--ttl", "10m").out, "/a\n")
        self.assertEqual(self.done("create", "/b-", "--ttl", "600", "--sequential").out, "/b-0000000001\n")
        self.world.pass_time(500.0)
        self.assertTrue(self.exists("/a"))
        self.world.pass_time(200.0)
        self.assertFalse(self.exists("/a"))

    def test_no_ttl(self) -> None:
        """If the server has these nodes disabled, the message names its option."""
        self.world.server.fail_next("create", UnimplementedException())
        says = "the server creates no nodes with a time to live: its option extendedTypesEnabled is not set"
        self.assertEqual(self.refused(1, "create", "/a", "--ttl", "1s"), says)


class DeleteTests(CommandTestCase):
    def exists(self, path: str) -> bool:
        return self.world.result(self.other.exists(path)) is not None

    def test_one(self) -> None:
        self.make("/a")
        self.assertEqual(self.done("delete", "/a").out, "")
        self.assertFalse(self.exists("/a"))
        self.assertEqual(self.refused(1, "delete", "/a"), "no such znode: '/a'")

    def test_version(self) -> None:
        self.make("/a")
        message = self.refused(1, "delete", "/a", "--version", "1")
        self.assertEqual(message, "the znode is at version 0, not 1: '/a'")
        self.done("delete", "/a", "--version", "0")
        self.assertFalse(self.exists("/a"))

    def test_rm(self) -> None:
        """``rm`` is the same command."""
        self.make("/a")
        self.make("/a/b")
        self.assertEqual(self.done("rm", "-r", "-y", "/a").out, "")
        self.assertFalse(self.exists("/a"))

    def test_progress(self) -> None:
        """On a terminal a bar shows how many nodes are deleted, if that takes longer than a second; then it is removed."""
        self.make("/a")
        for number in range(300):
            self.other.create(f"/a/{number}")
        self.world.settle()
        for terminal in (True, False):
            self.world.server.delay_next("get_children", 2.0)
            command = self.start("rm", "-r", "-y", "/a", error_terminal=terminal)
            self.world.pass_time(3.0)
            self.assertEqual(command.status, 0)
            if terminal:
                self.assertIn("Deleting", command.err)
                self.assertIn("0/300", command.err)
                self.assertTrue(command.err.endswith("\r\x1b[K\x1b[?25h"))
                self.make("/a")
                self.make("/a/b")
            else:
                self.assertEqual(command.err, "")

    def test_below(self) -> None:
        """Nodes below are deleted only with -r, and only if that is confirmed by an option or by the user."""
        for path in ("/a", "/a/b", "/a/b/c", "/a/d"):
            self.make(path)
        self.assertEqual(self.refused(1, "delete", "/a"), "the znode has children: '/a'")
        self.assertTrue(self.exists("/a/b/c"))
        self.done("delete", "/a", "--recursive", "--yes")
        self.assertFalse(self.exists("/a"))
