"""``export`` writes subtrees, and ``import`` makes them again, also after each was cut."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.cli import exporting
from txmirror.cli.subtrees import json_lines, walk
from txmirror.cli.subtrees.records import Record
from txmirror.errors import ClosingException
from txmirror.recipes.retry_policy import RetryPolicy
from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.types import ACL, OPEN_ACL, READ_ACL, Permission, digest_acl

_HEAD = '{"txmirror-export": 1, "root": "/app", "acls": false, "ephemerals": false}'


class TransferTestCase(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = str(Path(self.mktemp()).absolute())

    def make_app(self) -> None:
        self.make("/app", b"whole")
        self.make("/app/db")
        self.make("/app/db/host", "zoé\n".encode())
        self.make("/app/db/port", b"5432")
        self.make("/app/binary", b"\xff\x00")

    def make_many(self, count: int) -> None:
        """Make a tree in which the siblings of folders have children too."""
        self.make("/app")
        for number in range(count):
            folder = f"/app/{number % 10}"
            if number < 10:
                self.make(folder, b"folder")
            else:
                self.make(f"{folder}/{number}", str(number).encode())

    def write(self, *lines: str) -> str:
        Path(self.file).write_text("".join(f"{line}\n" for line in lines))
        return self.file

    def contents(self) -> list[str]:
        return Path(self.file).read_text().splitlines()

    def tree(self, path: str = "/app") -> dict[str, bytes]:
        """Return the data of a node and of all below it, by their relative paths."""
        found = {}
        waiting = [path]
        while waiting:
            each = waiting.pop()
            found[each.removeprefix(path)] = self.data(each)
            waiting += [f"{each}/{name}" for name in self.world.result(self.other.get_children(each))]
        return found

    def do(self, *arguments: str, stdin: bytes = b"") -> Command:
        """Run a command line that succeeds; messages are allowed."""
        command = self.start(*arguments, stdin=stdin)
        self.assertEqual(command.status, 0, command.err)
        return command


class SmallDiskFile(io.FileIO):
    """A file on a disk with room for half a megabyte."""

    def write(self, data: Any) -> int:
        part = memoryview(data)[: 500_000 - self.tell()]
        if not part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(part)


class SmallDiskPath(type(Path())):  # type: ignore[misc]
    """A path on such a disk."""

    def open(self, mode: str) -> io.BufferedWriter:
        return io.BufferedWriter(SmallDiskFile(self, mode))


class ExportTests(TransferTestCase):
    def test_output(self) -> None:
        """Each node is one line of ASCII, in order; text is text."""
        self.make_app()
        self.assertEqual(
            self.done("export", "/app").lines,
            [
                _HEAD,
                '{"path": "/", "data": "whole"}',
                '{"path": "/binary", "data_base64": "/wA="}',
                '{"path": "/db", "data": ""}',
                '{"path": "/db/host", "data": "zo\\u00e9\\n"}',
                '{"path": "/db/port", "data": "5432"}',
                '{"nodes": 5}',
            ],
        )

    def test_locale(self) -> None:
        """The output is the same in a locale without other characters."""
        self.make_app()
        self.make("/app/größe")
        self.assertEqual(self.done("export", "/app").out, self.done("export", "/app", encoding="ascii").out)

    def test_missing(self) -> None:
        """No file is made if there is nothing to export."""
        self.assertEqual(self.refused(1, "export", "/app", self.file), "no such znode: '/app'")
        self.assertFalse(Path(self.file).exists())

    def test_ephemerals(self) -> None:
        self.make_app()
        self.make("/app/db/session", b"me", ephemeral=True)
        self.assertNotIn("session", self.done("export", "/app").out)
        owner = f"{self.other.session_id & 0xFFFFFFFFFFFFFFFF:#x}"
        line = {"path": "/db/session", "data": "me", "ephemeral": owner}
        self.assertIn(json.dumps(line), self.done("export", "/app", "--ephemerals").lines)
        err = self.do("export", "/app", self.file).err
        self.assertEqual(err, f"txmirror: {self.file}: 5 nodes of /app; 1 ephemeral nodes left out\n")

    def test_acls(self) -> None:
        self.make_app()
        acl = (ACL(Permission.READ | Permission.ADMIN, "world", "anyone"), ACL(Permission.ALL, "ip", "127.0.0.1"))
        self.world.result(self.other.set_acl("/app/db", acl))
        line = {"path": "/db", "data": "", "acl": ["world:anyone:ra", "ip:127.0.0.1:cdrwa"]}
        self.assertIn(json.dumps(line), self.done("export", "/app", "--acls").lines)

    def test_hidden_acl(self) -> None:
        """A digest that the server hides is not taken for the real one."""
        self.make("/app")
        self.world.result(self.other.create("/app/a", b"", [digest_acl("app", "pw"), *READ_ACL]))
        command = self.start("export", "/app", "--acls")
        self.assertEqual(command.status, 77)
        self.assertIn('{"path": "/a", "data": ""}', command.lines)
        self.assertEqual(
            command.err,
            "txmirror: the ACL of '/app/a' has a digest that its servers show only to users with the permission 'a'\n",
        )

    def test_unreadable(self) -> None:
        """An unreadable node has a line, and all else is exported."""
        self.make_app()
        self.world.result(self.other.set_acl("/app/db", [digest_acl("app", "pw")]))
        command = self.start("export", "/app")
        self.assertEqual(command.status, 77)
        self.assertEqual([json.loads(line).get("path") for line in command.lines], [None, "/", "/binary", "/db", None])
        self.assertIn("error", json.loads(command.lines[3]))
        self.assertEqual(command.err.count("\n"), 1)

    def test_system_nodes(self) -> None:
        """The servers' own nodes are not exported with the root."""
        self.make_app()
        self.assertNotIn("zookeeper", self.done("export", "/").out)

    def test_exists(self) -> None:
        self.make_app()
        Path(self.file).write_text("precious")
        message = self.refused(1, "export", "/app", self.file)
        self.assertEqual(message, f"{self.file} exists already: --resume continues an export that was cut")
        self.assertEqual(Path(self.file).read_text(), "precious")
        self.assertIn("it is no export of txmirror", self.refused(1, "export", "/app", self.file, "--resume"))
        self.assertEqual(Path(self.file).read_text(), "precious")

    def test_resume(self) -> None:
        """Wherever an export was cut, also in the middle of a line, the rest is added."""
        self.make_many(40)
        self.do("export", "/app", self.file)
        whole = Path(self.file).read_bytes()
        for cut in [*range(0, 200, 19), *range(200, len(whole), 211), len(whole) - 1]:
            Path(self.file).write_bytes(whole[:cut])
            self.do("export", "/app", self.file, "--resume")
            self.assertEqual(Path(self.file).read_bytes(), whole, cut)

    def test_resume_complete(self) -> None:
        self.make_app()
        self.do("export", "/app", self.file)
        err = self.do("export", "/app", self.file, "--resume").err
        self.assertEqual(err, f"txmirror: {self.file} is complete already: 5 nodes\n")

    def test_resume_changed(self) -> None:
        """The place to continue at need not exist any more."""
        self.make_app()
        self.do("export", "/app", self.file)
        self.write(*self.contents()[:5])
        self.world.result(self.other.delete("/app/db/host"))
        self.make("/app/db/hosts", b"new")
        self.do("export", "/app", self.file, "--resume")
        self.assertEqual(
            self.contents()[5:],
            ['{"path": "/db/hosts", "data": "new"}', '{"path": "/db/port", "data": "5432"}', '{"nodes": 6}'],
        )

    def test_resume_after_unreadable(self) -> None:
        """Below a node that could not be read there is nothing, even if it can be read when the export is continued."""
        self.make_app()
        secret = [ACL(Permission.ALL & ~Permission.READ, "world", "anyone")]
        self.world.result(self.other.set_acl("/app/db", secret))
        self.start("export", "/app", self.file)
        self.write(*self.contents()[:4])
        self.assertIn("error", json.loads(self.contents()[3]))
        self.world.result(self.other.set_acl("/app/db", OPEN_ACL))
        self.do("export", "/app", self.file, "--resume")
        self.assertEqual(self.contents()[4:], ['{"nodes": 3}'])
        self.do("import", "/copy", self.file)

    def test_many_reads_fail(self) -> None:
        """When the client is closed, the walk ends with that failure, however many nodes are still to be read."""
        self.make("/app")
        for number in range(1500):
            self.other.create(f"/app/{number}")
        self.world.settle()
        client = self.world.client()
        self.world.server.delay_next("get", 100.0, path="/app/0")
        nodes = walk.Walk(client, "/app", RetryPolicy(client, self.reactor, through_sessions=True))
        self.assertEqual(self.world.result(Deferred.fromCoroutine(nodes.next())), Record((), b""))
        node = Deferred.fromCoroutine(nodes.next())
        self.assertNoResult(node)
        client.close()
        self.world.pass_time(60.0)
        self.assertIsInstance(self.failureResultOf(node).value, ClosingException)
        nodes.close()

    def test_resume_other(self) -> None:
        """An export of another node, or with other options, is not continued."""
        self.make_app()
        self.do("export", "/app/db", self.file)
        message = self.refused(1, "export", "/app", self.file, "--resume")
        self.assertEqual(
            message, f"{self.file}: it is an export of '/app/db', without ACLs, and not of '/app', without ACLs"
        )

    def test_interrupted(self) -> None:
        """After Ctrl-C in the middle, the export is continued."""
        self.make_many(60)
        command = self.start("export", "/app", self.file, "--rate", "10")
        self.world.pass_time(2.0)
        command.interrupt()
        self.assert_ended(command, 130)
        self.assertLess(len(self.contents()), 40)
        self.do("export", "/app", self.file, "--resume")
        self.assertEqual(self.contents(), [_HEAD, *self.done("export", "/app").lines[1:]])

    def test_outage(self) -> None:
        """Reads are repeated after a short outage; a long one ends the command, and the file is continued later."""
        self.make_many(60)
        command = self.start("export", "/app", self.file, "--rate", "10")
        self.world.pass_time(1.0)
        self.stop_server()
        self.world.pass_time(3.0)
        self.start_server()
        self.world.pass_time(20.0)
        self.assertEqual(command.status, 0, command.err)
        whole = self.contents()
        Path(self.file).unlink()
        # Do not read ahead.
        self.patch(walk, "_BUFFER", 0)
        command = self.start("export", "/app", self.file, "--rate", "10")
        self.world.pass_time(1.0)
        self.stop_server()
        self.world.pass_time(30.0)
        self.start_server()
        self.assertEqual(command.status, 69)
        self.assertIn("was out of reach for 5 s", command.err)
        self.do("export", "/app", self.file, "--resume")
        self.assertEqual(self.contents(), whole)

    def test_changes_meanwhile(self) -> None:
        """A node that is deleted before it is read is left out."""
        self.patch(walk, "_READS", 2)
        self.patch(walk, "_BUFFER", 0)
        self.make_many(60)
        command = self.start("export", "/app", "--rate", "10")
        self.world.result(self.other.delete("/app/9/59"))
        self.make("/app/9/58", b"new")
        self.world.pass_time(20.0)
        self.assertEqual((command.status, command.err), (0, ""))
        paths = [json.loads(line).get("path") for line in command.lines]
        self.assertEqual(("/9/59" in paths, "/9/58" in paths), (False, True))

    def test_full_disk(self) -> None:
        self.make_app()
        for number in range(10):
            self.make(f"/app/{number}", bytes(100_000))
        # A limit of the system would be one for all files of the process that runs the tests.
        full = self.patch(json_lines, "Path", SmallDiskPath)
        message = self.refused(74, "export", "/app", self.file)
        self.assertEqual(message, f"{self.file}: it cannot be written: No space left on device")
        full.restore()
        self.do("export", "/app", self.file, "--resume")
        self.assertEqual(self.contents(), self.done("export", "/app").lines)

    def test_reader_gone(self) -> None:
        """It ends when the reader of the output has ended."""
        self.patch(exporting, "_AT_A_TIME", 5)
        self.make_many(60)
        command = self.start("export", "/app", "--rate", "10")
        self.world.pass_time(1.0)
        command.break_output(BrokenPipeError())
        self.world.pass_time(1.0)
        self.assertEqual((command.status, command.err), (141, ""))

    def test_names(self) -> None:
        """The order does not depend on characters that sort before a slash."""
        self.make("/app")
        for name in ("a", "a b", "a!", "a0", "ä", "A", "…"):
            self.make(f"/app/{name}")
            self.make(f"/app/{name}/x")
        lines = self.done("export", "/app").lines
        self.do("import", "/copy", stdin="\n".join(lines).encode() + b"\n")
        self.assertEqual(self.tree("/copy"), self.tree())

    def test_usage(self) -> None:
        self.assertIn("--resume", self.refused(64, "export", "/app", "--resume"))
        self.assertIn("--folder", self.refused(64, "export", "/app", "--folder"))


class ImportTests(TransferTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_app()
        self.do("export", "/app", self.file)

    def test_equal(self) -> None:
        err = self.do("import", "/copy", self.file).err
        self.assertEqual(err, "txmirror: /copy: 5 created, 0 changed, 0 deleted, 0 equal already\n")
        self.assertEqual(self.tree("/copy"), self.tree())
        self.done("diff", "/app", "/copy", "--acls")
        # Once more changes nothing.
        err = self.do("import", "/copy", self.file).err
        self.assertEqual(err, "txmirror: /copy: 0 created, 0 changed, 0 deleted, 5 equal already\n")

    def test_stdin(self) -> None:
        self.do("import", "/copy", stdin=Path(self.file).read_bytes())
        self.assertEqual(self.tree("/copy"), self.tree())
        err = self.start("import", "/copy").err
        self.assertEqual(err, "txmirror: the standard input: it is empty, or cut in its first line\n")

    def test_dry_run(self) -> None:
        command = self.do("import", "/copy", self.file, "--dry-run")
        self.assertEqual(
            command.lines, [f"create   /copy{path}" for path in ("", "/binary", "/db", "/db/host", "/db/port")]
        )
        self.assertEqual(self.refused(1, "ls", "/copy"), "no such znode: '/copy'")
        self.world.result(self.other.set("/app/db", b"other"))
        self.make("/app/more")
        command = self.do("import", "/app", self.file, "-n", "--existing", "overwrite", "--prune", "-o", "jsonl")
        self.assertEqual(
            list(map(json.loads, command.lines)),
            [{"action": "set", "path": "/app/db", "data": ""}, {"action": "delete", "path": "/app/more"}],
        )

    def test_existing(self) -> None:
        """A node that differs stops the import before the first write, is left, or is overwritten."""
        self.make("/copy")
        self.make("/copy/db", b"other")
        command = self.start("import", "/copy", self.file)
        self.assertEqual(command.status, 1)
        self.assertEqual(
            command.err.splitlines(),
            [
                "txmirror: '/copy': it exists with other data",
                "txmirror: '/copy/db': it exists with other data",
                "txmirror: nothing was written",
            ],
        )
        self.assertEqual(self.tree("/copy"), {"": b"", "/db": b"other"})
        self.do("import", "/copy", self.file, "--existing", "skip")
        self.assertEqual(self.tree("/copy"), {**self.tree(), "": b"", "/db": b"other"})
        err = self.do("import", "/copy", self.file, "--existing", "overwrite").err
        self.assertEqual(err, "txmirror: /copy: 0 created, 2 changed, 0 deleted, 3 equal already\n")
        self.assertEqual(self.tree("/copy"), self.tree())

    def test_prune(self) -> None:
        """Pruning deletes what is not in the file, the lowest nodes first, and leaves ephemeral nodes and those above them."""
        wanted = self.tree()
        for path in ("/app/a", "/app/a/b", "/app/a/b/c", "/app/db/more", "/app/z", "/app/z/y", "/app/z/x"):
            self.make(path)
        self.make("/app/z/x/live", ephemeral=True)
        err = self.do("import", "/app", self.file).err
        self.assertIn("0 deleted, 5 equal", err)
        err = self.do("import", "/app", self.file, "--prune").err
        self.assertEqual(
            err, "txmirror: /app: 0 created, 0 changed, 5 deleted, 5 equal already, 3 differ and were kept\n"
        )
        self.assertEqual(self.tree(), {**wanted, "/z": b"", "/z/x": b"", "/z/x/live": b""})

    def test_prune_unreadable(self) -> None:
        """Nodes that the export could not read are not deleted, nor those below them."""
        self.write(*self.contents()[:3], '{"path": "/db", "error": "no permission"}', '{"nodes": 3}')
        wanted = self.tree()
        err = self.do("import", "/app", self.file, "--prune").err
        self.assertIn("0 deleted, 2 equal already, 1 were unreadable", err)
        self.assertEqual(self.tree(), wanted)

    def test_acls(self) -> None:
        acl = [ACL(Permission.ALL, "world", "anyone"), ACL(Permission.READ, "ip", "10.0.0.1")]
        self.world.result(self.other.set_acl("/app/db", acl))
        Path(self.file).unlink()
        self.do("export", "/app", self.file, "--acls")
        self.do("import", "/copy", self.file)
        self.assertEqual(self.world.result(self.other.get_acl("/copy/db"))[0], acl)
        self.do("import", "/plain", self.file, "--no-acls")
        self.assertEqual(tuple(self.world.result(self.other.get_acl("/plain/db"))[0]), OPEN_ACL)
        command = self.start("import", "/plain", self.file)
        self.assertEqual((command.status, "it exists with other ACL" in command.err), (1, True))
        self.do("import", "/plain", self.file, "--existing", "overwrite")
        self.assertEqual(self.world.result(self.other.get_acl("/plain/db"))[0], acl)

    def test_acl_option(self) -> None:
        """Nodes for which the export has no ACL get that of --acl, as those of create do; ACLs of the export count more."""
        acl = [ACL(Permission.ALL, "ip", "127.0.0.1"), ACL(Permission.READ, "world", "anyone")]
        options = ("--acl", "ip:127.0.0.1:cdrwa,world:anyone:r")
        self.do("import", "/copy", self.file, *options)
        for path in ("/copy", "/copy/db/port"):
            self.assertEqual(self.world.result(self.other.get_acl(path))[0], acl)
        Path(self.file).unlink()
        self.do("export", "/app", self.file, "--acls")
        self.do("import", "/plain", self.file, *options)
        self.assertEqual(tuple(self.world.result(self.other.get_acl("/plain/db"))[0]), OPEN_ACL)

    def test_ephemerals(self) -> None:
        Path(self.file).unlink()
        self.make("/app/live", b"me", ephemeral=True)
        self.do("export", "/app", self.file, "--ephemerals")
        err = self.do("import", "/copy", self.file).err
        self.assertIn("1 ephemeral ones left out", err)
        self.do("import", "/copy", self.file, "--ephemerals")
        self.assertEqual(self.data("/copy/live"), b"me")

    def test_ephemeral_in_its_place(self) -> None:
        self.make("/copy", b"whole")
        self.make("/copy/db", ephemeral=True)
        command = self.start("import", "/copy", self.file, "--existing", "overwrite")
        self.assertEqual(command.status, 1)
        self.assertIn("'/copy/db': an ephemeral znode of session 0x", command.err)

    def test_containers_and_ttl(self) -> None:
        """A line can ask for a container, or for a time to live."""
        lines = self.contents()
        lines[3] = '{"path": "/db", "data": "", "container": true}'
        self.write(*lines)
        self.do("import", "/copy", self.file)
        lines[2] = '{"path": "/binary", "data": "", "ttl": 60}'
        self.write(*lines)
        command = self.start("import", "/copy2", self.file)
        self.assertEqual(command.status, 1)
        self.assertIn("zookeeper.extendedTypesEnabled=true enables them", command.err)

    def test_parent(self) -> None:
        message = self.refused(1, "import", "/x/y/z", self.file)
        self.assertEqual(message, "the parent of '/x/y/z' does not exist: --parents creates missing nodes above it")
        self.do("import", "/x/y/z", self.file, "--parents")
        self.assertEqual(self.tree("/x/y/z"), self.tree())

    def test_system_nodes(self) -> None:
        self.assertIn("cannot be imported", self.refused(64, "import", "/zookeeper/x", self.file))

    def test_too_large(self) -> None:
        """A node that the server would refuse has a message of its own, and the others are created."""
        lines = self.contents()
        lines[2] = json.dumps({"path": "/binary", "data": "x" * 2_000_000})
        self.write(*lines)
        command = self.start("import", "/copy", self.file)
        self.assertEqual(command.status, 1)
        self.assertIn("create '/copy/binary': ", command.err)
        self.assertIn("1 of these failed", command.err)
        self.assertEqual(set(self.tree("/copy")), {"", "/db", "/db/host", "/db/port"})

    def test_interrupted(self) -> None:
        """After Ctrl-C, the same command does the rest."""
        self.make_many_file(400)
        command = self.start("import", "/copy", self.file, "--rate", "100")
        self.world.pass_time(2.0)
        command.interrupt()
        self.assert_ended(command, 130)
        self.assertLess(len(self.tree("/copy")), 400)
        self.do("import", "/copy", self.file)
        self.assertEqual(len(self.tree("/copy")), 401)

    def test_outage(self) -> None:
        """Writes are repeated after an outage, whether or not they had an effect."""
        self.make_many_file(900)
        command = self.start("import", "/copy", self.file, "--rate", "100")
        for _ in range(4):
            self.world.pass_time(1.0)
            self.stop_server()
            self.world.pass_time(0.7)
            self.start_server()
        self.world.pass_time(60.0)
        self.assertEqual(command.status, 0, command.err)
        self.assertIn("901 created", command.err)
        self.assertEqual(len(self.tree("/copy")), 901)

    def test_long_outage(self) -> None:
        self.make_many_file(900)
        command = self.start("import", "/copy", self.file, "--rate", "100")
        self.world.pass_time(3.0)
        self.stop_server()
        self.world.pass_time(30.0)
        self.start_server()
        self.world.pass_time(10.0)
        self.assertEqual(command.status, 69)
        self.assertIn("run the same import again: it does the rest", command.err)
        self.do("import", "/copy", self.file)
        self.assertEqual(len(self.tree("/copy")), 901)

    def test_created_meanwhile(self) -> None:
        """A node that another client creates first is compared again."""
        self.make_many_file(300)
        command = self.start("import", "/copy", self.file, "--rate", "100")
        self.world.pass_time(0.3)
        self.world.result(self.other.create("/copy", b""))
        self.world.result(self.other.create("/copy/0250", b"250"))
        self.world.result(self.other.create("/copy/0251", b"other"))
        self.world.pass_time(30.0)
        self.assertEqual(command.status, 1)
        self.assertIn(
            "create '/copy/0251': another client has created the znode meanwhile, with other data", command.err
        )
        self.assertEqual(len(self.tree("/copy")), 301)

    def make_many_file(self, count: int) -> None:
        lines = [json.dumps({"path": f"/{number:04}", "data": str(number)}) for number in range(count)]
        self.write(_HEAD, '{"path": "/", "data": ""}', *lines, json.dumps({"nodes": count + 1}))


class InvalidFileTests(TransferTestCase):
    """Nothing is written of a file that is invalid anywhere."""

    def assert_invalid(self, *lines: str, says: str, number: int | None = None) -> None:
        self.write(*lines)
        message = self.refused(1, "import", "/copy", self.file)
        where = "" if number is None else f"line {number}: "
        self.assertEqual(message, f"{self.file}: {where}{says}")
        self.assertEqual(self.refused(1, "get", "/copy"), "no such znode: '/copy'")

    def test_edited(self) -> None:
        root = '{"path": "/", "data": ""}'
        for line, says in (
            ("{", "it is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
            ("[1]", "it is not an object of JSON: [1]"),
            ('{"data": ""}', "it has no 'path'"),
            ('{"path": 1, "data": ""}', "its path is 1, and not a text"),
            ('{"path": "/a"}', "'/a' must have one of 'data' and 'data_base64'"),
            ('{"path": "/a", "data": 1}', "'data' is 1, and not a text"),
            ('{"path": "/a", "data": "\\ud800"}', "'data' has half of a surrogate pair, which is no character"),
            ('{"path": "/a", "data_base64": "a"}', "'data_base64' is no base64"),
            ('{"path": "/a", "data": "", "alc": []}', "'alc' is not a known key; did you mean 'acl'?"),
            (
                '{"path": "/a", "data": "", "acl": ["world:anyone:x"]}',
                "'world:anyone:x' is not scheme:id:permissions, with permissions of the letters cdrwa",
            ),
            ('{"path": "/a", "data": "", "ttl": 0}', "'ttl' is 0, and not a number of seconds from 0.001"),
            ('{"path": "/a/../b", "data": ""}', "'/a/../b' is not a znode path: '.' and '..' are not names of znodes"),
            ('{"path": "a", "data": ""}', "'a' is not a znode path: it must start with a slash"),
            ('{"path": "/a/b", "data": ""}', "the parent of '/a/b' is missing before it"),
            (root, "'/' is there twice"),
        ):
            self.assert_invalid(_HEAD, root, line, '{"nodes": 2}', says=says, number=3)

    def test_order(self) -> None:
        lines = [json.dumps({"path": path, "data": ""}) for path in ("/", "/a", "/b", "/a")]
        self.assert_invalid(
            _HEAD,
            *lines,
            '{"nodes": 4}',
            says="'/a' is there twice, or out of order: it must not come after '/b'. A node comes before the nodes below it, and"
            " siblings are sorted by name",
            number=5,
        )
        self.assert_invalid(
            _HEAD, *lines[1:2], '{"nodes": 1}', says="'/a' comes before '/', which must be the first", number=2
        )

    def test_ends(self) -> None:
        root = '{"path": "/", "data": ""}'
        cut = "its end is missing: the export was cut. --partial imports its complete lines"
        self.assert_invalid(_HEAD, root, says=cut)
        count = "there should be 2 nodes, but there are 1: correct the number if you mean it"
        self.assert_invalid(_HEAD, root, '{"nodes": 2}', says=count, number=3)
        self.assert_invalid(
            _HEAD, root, '{"nodes": 1}', root, says="there is something after the last line of the export", number=4
        )
        self.assert_invalid(says="it is empty, or cut in its first line")
        self.assert_invalid("{}", says="it is no export of txmirror", number=1)
        self.assert_invalid(
            _HEAD.replace("1", "2", 1), says="it has the format 2: this txmirror reads the format 1", number=1
        )

    def test_partial(self) -> None:
        """A file that was cut in the middle of a line has the lines before."""
        self.make_app()
        self.do("export", "/app", self.file)
        Path(self.file).write_bytes(Path(self.file).read_bytes()[:-30])
        self.assertIn("its end is missing", self.refused(1, "import", "/copy", self.file))
        self.assertIn("--prune", self.refused(64, "import", "/copy", self.file, "--partial", "--prune"))
        self.do("import", "/copy", self.file, "--partial")
        self.assertEqual(set(self.tree("/copy")), {"", "/binary", "/db", "/db/host"})

    def test_not_utf8(self) -> None:
        Path(self.file).write_bytes(_HEAD.encode() + b'\n{"path": "/", "data": "\xff"}\n')
        self.assertEqual(self.refused(1, "import", "/copy", self.file), f"{self.file}: line 2: it is not UTF-8")

    def test_huge_line(self) -> None:
        """A line without an end is not read as a whole."""
        self.patch(__import__("txmirror.cli.subtrees.json_lines", fromlist=["x"]), "_LONGEST_LINE", 1000)
        Path(self.file).write_bytes(_HEAD.encode() + b"\n" + b" " * 5000)
        self.assertIn("line 2: it has more than", self.refused(1, "import", "/copy", self.file))

    def test_missing_file(self) -> None:
        message = self.refused(74, "import", "/copy", "/no/such\nfile")
        self.assertEqual(message, r"/no/such\nfile: it cannot be read: No such file or directory")


class ScaleTests(TransferTestCase):
    def test_cut(self) -> None:
        """An export and an import that are cut in the middle, and done again, are equal. The tree has every shape."""
        self.make("/app")
        count = int(os.environ.get("TXMIRROR_SUBTREE_NODES", "2000"))
        half = str(count // 2)
        for begin in range(0, count, 2000):
            transaction = self.other.transaction()
            for number in range(begin, min(begin + 2000, count)):
                digits = f"{number:0{len(str(count - 1))}}"
                for depth in range(1, len(digits) + 1):
                    if not int(digits[depth:] or "0"):
                        transaction.create("/app/" + "/".join(digits[:depth]), f"{number}".encode())
            self.world.result(transaction.commit())
        command = self.start("export", "/app", self.file, "--rate", half)
        self.world.pass_time(1.0)
        command.interrupt(15)
        self.assert_ended(command, 143)
        lines = Path(self.file).read_bytes().count(b"\n")
        self.assertTrue(count // 4 < lines < count, lines)
        self.do("export", "/app", self.file, "--resume")
        command = self.start("import", "/copy", self.file, "--rate", half)
        self.world.pass_time(1.0)
        command.interrupt(15)
        self.assert_ended(command, 143)
        self.do("import", "/copy", self.file)
        self.done("diff", "/app", "/copy")
        self.done("diff", "/copy", "--file", self.file)
