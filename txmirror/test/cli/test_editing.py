"""``edit`` writes what the editor leaves, if nobody else has changed the node meanwhile; the edited text is never lost."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.types import ACL, Permission


class EditTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", {**os.environ, "EDITOR": "sh -e", "VISUAL": ""})
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.patch(tempfile, "tempdir", str(folder))
        self.folder = folder
        self.make("/a", b"old\n")

    def edit(self, text: bytes | None = None, path: str = "/a") -> Command:
        """Start the command, and let the editor write a text."""
        command = self.start("edit", path)
        self.assertTrue(command.running, command.err)
        if text is not None:
            self.file.write_bytes(text)
        return command

    @property
    def file(self) -> Path:
        return Path(os.fsdecode(self.process.arguments[-1]))

    def end_editor(self, status: int = 0) -> None:
        self.process.end(status)
        self.world.settle()

    def assert_kept(self, command: Command, says: str, text: bytes) -> None:
        """Assert that nothing is written, and that the message names the file with the text."""
        match = re.fullmatch(rf"txmirror: {says}; the edited text is in '(.*)'\n", command.err)
        assert match is not None, command.err
        self.assertEqual((command.status, Path(match[1]).read_bytes()), (1, text))

    def test_written(self) -> None:
        """The editor has the data in a file of this user's, with the name of the node; its text is written, and the file removed."""
        command = self.edit(b"new\n")
        self.assertEqual(self.process.arguments[:2], [b"sh", b"-e"])
        self.assertEqual((self.file.name, self.file.parent.stat().st_mode & 0o777), ("a", 0o700))
        self.end_editor()
        self.assertEqual((command.status, command.out, command.err), (0, "", ""))
        self.assertEqual((self.data("/a"), list(self.folder.iterdir())), (b"new\n", []))

    def test_unchanged(self) -> None:
        """The same text is not written: the version stays."""
        self.make("/b", b"no line end")
        for path, text in (("/a", b"old\n"), ("/b", b"no line end\n")):
            command = self.edit(text, path)
            self.end_editor()
            self.assertEqual(
                (command.status, command.err), (0, f"txmirror: '{path}' is unchanged: nothing was written\n")
            )
            self.assertEqual(self.world.result(self.other.get(path))[1].version, 0)
            self.reactor.processes.clear()
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_line_end(self) -> None:
        """Most editors end the last line. If the data had no line end there, the new data have none either."""
        self.make("/b", b"old")
        self.edit(b"new\n", "/b")
        self.end_editor()
        self.assertEqual(self.data("/b"), b"new")

    def test_empty_line(self) -> None:
        """An empty line that the user adds after a line end is written."""
        self.edit(b"old\n\n")
        self.end_editor()
        self.assertEqual(self.data("/a"), b"old\n\n")

    def test_changed(self) -> None:
        """If the node has changed meanwhile, nothing is written, and the text is kept."""
        command = self.edit(b"new\n")
        self.world.result(self.other.set("/a", b"other"))
        self.end_editor()
        self.assert_kept(command, r"'/a' has changed \(version 1, not 0\) meanwhile: nothing was written", b"new\n")
        self.assertEqual(self.data("/a"), b"other")

    def test_deleted(self) -> None:
        """So it is if the node was deleted, even if it was created again and has the same version."""
        command = self.edit(b"new\n")
        self.world.result(self.other.delete("/a"))
        self.end_editor()
        self.assert_kept(command, "'/a' was deleted meanwhile: nothing was written", b"new\n")
        self.reactor.processes.clear()
        self.make("/a", b"old\n")
        command = self.edit(b"new\n")
        self.world.result(self.other.delete("/a"))
        self.make("/a", b"old\n")
        self.end_editor()
        self.assert_kept(command, "'/a' was deleted and created again meanwhile: nothing was written", b"new\n")
        self.assertEqual(self.data("/a"), b"old\n")

    def test_changed_at_the_end(self) -> None:
        """A change between the last look and the write is seen by the server."""
        self.world.server.delay_next("set", 1.0)
        command = self.edit(b"new\n")
        self.process.end()
        self.world.settle()
        self.assertTrue(command.running)
        self.world.result(self.other.set("/a", b"other"))
        self.world.pass_time(1.0)
        self.assert_kept(command, "'/a' has changed meanwhile: nothing was written", b"new\n")

    def test_failure(self) -> None:
        """If the editor fails, nothing is written; a text that has changed is kept."""
        command = self.edit()
        self.end_editor(1)
        line = "txmirror: the editor has failed, with status 1: nothing was written\n"
        self.assertEqual((command.status, command.err, list(self.folder.iterdir())), (1, line, []))
        self.reactor.processes.clear()
        command = self.edit(b"new\n")
        self.end_editor(2)
        self.assert_kept(command, "the editor has failed, with status 2: nothing was written", b"new\n")
        self.assertEqual(self.data("/a"), b"old\n")

    def test_refused(self) -> None:
        """If the server refuses the write, the text is kept."""
        self.world.result(self.other.set_acl("/a", [ACL(Permission.READ, "world", "anyone")]))
        command = self.edit(b"new\n")
        self.end_editor()
        self.assertEqual(command.status, 77)
        kept, reason = command.err.splitlines()
        self.assertEqual(reason, "txmirror: not permitted by the ACL: '/a'")
        self.assertEqual(Path(kept.removeprefix("txmirror: the edited text is in ").strip("'")).read_bytes(), b"new\n")

    def test_lost_reply(self) -> None:
        """If no answer comes, the text is kept, and the message says that it may have been written."""
        command = self.edit(b"new\n")
        self.world.server.lose_reply("set", path="/a")
        self.end_editor()
        self.assertEqual(command.status, 69)
        self.assertIn("the edited text is in", command.err)
        self.assertIn("the write may have been applied", command.err)

    def test_outage(self) -> None:
        """ZooKeeper may be out of reach for any time while the editor runs, without messages on its screen."""
        command = self.edit(b"new\n")
        self.stop_server()
        self.world.pass_time(600.0)
        self.start_server()
        self.world.pass_time(10.0)
        self.end_editor()
        self.world.pass_time(1.0)
        self.assertEqual((command.status, command.err, self.data("/a")), (0, "", b"new\n"))

    def test_outage_at_the_end(self) -> None:
        """If it is still out of reach then, the command gives up after the timeout, and the text is kept."""
        command = self.edit(b"new\n")
        self.stop_server()
        self.world.pass_time(600.0)
        self.process.end()
        self.world.pass_time(4.9)
        self.assertTrue(command.running)
        self.world.pass_time(2.2)
        self.assertEqual(command.status, 69)
        self.assertEqual(next(self.folder.rglob("a")).read_bytes(), b"new\n")
        self.assertIn("the edited text is in", command.err)

    def test_no_text(self) -> None:
        self.make("/b", b"\x00\xff")
        says = "'/b' is not text: 2 bytes; get --raw and set write its bytes"
        self.assertEqual(self.refused(65, "edit", "/b"), says)
        self.assertEqual(self.refused(1, "edit", "/missing"), "no such znode: '/missing'")
        self.assertEqual(self.reactor.processes, [])

    def test_names(self) -> None:
        """The editor learns from the name that it is JSON; odd names are no names of other files."""
        self.make("/-x y:22", b'{"a": 1}')
        self.edit(path="/-x y:22")
        self.assertEqual(self.file.name, "x_y_22.json")
        self.end_editor()

    def test_cannot_run(self) -> None:
        """If the editor cannot be started, that is the message, and no file is left."""
        self.reactor.refuses = OSError(13, "Permission denied")
        message = self.refused(126, "edit", "/a")
        self.assertIn("cannot be run: Permission denied", message)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_signal(self) -> None:
        """A signal goes to the editor, and nothing is written if that ends it."""
        command = self.edit(b"new\n")
        command.interrupt(15)
        self.assertEqual(self.process.signals, ["TERM"])
        self.end_editor(143)
        self.assertEqual((command.status, self.data("/a")), (1, b"old\n"))
