"""A file that follows a list, through all that happens to the list, the connection and the file."""

from __future__ import annotations

from txmirror.output_files.output_file import OutputState
from txmirror.output_files.writing import is_marked
from txmirror.test.output_files.case import PATH, OutputFileTestCase
from txmirror.types import ACL, OPEN_ACL, Permission


class FollowingTests(OutputFileTestCase):
    def test_list(self) -> None:
        """The file has the list when that is known, and follows it, sorted by the names of the znodes."""
        self.add("b:2")
        file = self.file(settle=0.0)
        self.assertEqual(self.lines(), ["b:2"])
        self.assertEqual((file.state, file.instances, file.writes), (OutputState.CURRENT, 1, 1))
        self.add("a:1")
        self.assertEqual(self.lines(), ["a:1", "b:2"])
        self.remove("b:2")
        self.assertEqual(self.lines(), ["a:1"])
        self.assertEqual(self.log.about("now has")[0], f"{self.output} now has 1 instance of web.")

    def test_settles(self) -> None:
        """The first change is written at once, and those that follow it together, after the window."""
        self.add("a:1")
        file = self.file(settle=2.0)
        self.add("b:2")
        self.add("c:3")
        self.assertEqual(self.lines(), ["a:1"])
        self.world.pass_time(2)
        self.assertEqual(self.lines(), ["a:1", "b:2", "c:3"])
        self.assertEqual(file.writes, 2)

    def test_data(self) -> None:
        """New data of a node is a change."""
        self.add("a:1")
        self.file(format="json", settle=0.0)
        before = self.output.read_bytes()
        self.world.result(self.other.set(f"{PATH}/a:1", b'{"foo": "bar"}'))
        self.world.settle()
        self.assertNotEqual(self.output.read_bytes(), before)
        self.assertIn(b'"foo": "bar"', self.output.read_bytes())

    def test_same_content(self) -> None:
        """A change that does not change the content does not replace the file."""
        self.add("a:1")
        file = self.file(settle=0.0)
        before = self.output.stat().st_ino
        self.world.result(self.other.set(f"{PATH}/a:1", b'{"foo": "bar"}'))
        self.world.settle()
        self.assertEqual((file.writes, self.output.stat().st_ino), (1, before))

    def test_no_path(self) -> None:
        """A path that is not there has an empty list, until it is created."""
        self.world.result(self.other.delete(PATH))
        self.file(settle=0.0)
        self.assertEqual(self.lines(), [])
        self.world.result(self.other.create(PATH))
        self.add("a:1")
        self.assertEqual(self.lines(), ["a:1"])

    def test_grandchildren(self) -> None:
        """Nodes below the instances are no instances."""
        self.add("a:1")
        self.world.result(self.other.create(f"{PATH}/a:1/b:2"))
        self.file()
        self.assertEqual(self.lines(), ["a:1"])


class OutageTests(OutputFileTestCase):
    def test_before_the_connection(self) -> None:
        """Without ZooKeeper from the start the file of the last process stays."""
        self.output.write_text("former\n")
        self.world.disconnect(self.mirror)
        file = self.file()
        self.world.pass_time(100)
        self.assertEqual((self.lines(), file.state), (["former"], OutputState.UNKNOWN))

    def test_outage(self) -> None:
        """In an outage the file stays; after it, it is written once, with all changes."""
        self.add("a:1", "b:2")
        file = self.file(settle=0.0)
        self.world.disconnect(self.mirror)
        self.add("c:3", "d:4")
        self.world.pass_time(300)
        self.assertEqual(self.lines(), ["a:1", "b:2"])
        self.world.reconnect(self.mirror)
        self.world.pass_time(10)
        self.assertEqual(self.lines(), ["a:1", "b:2", "c:3", "d:4"])
        self.assertEqual(file.writes, 2)

    def test_readers_before_writers(self) -> None:
        """A list that is empty after an outage is kept back, and the file has the full one again without ever having been empty."""
        self.add("a:1", "b:2")
        file = self.file(settle=0.0, keep_if_below=1.0, keep_for=60.0)
        self.world.disconnect(self.mirror)
        self.remove("a:1", "b:2")
        self.world.pass_time(30)
        self.world.reconnect(self.mirror)
        self.world.pass_time(10)
        self.assertEqual((self.lines(), file.state), (["a:1", "b:2"], OutputState.KEPT))
        self.add("a:1", "b:2")
        self.world.pass_time(100)
        self.assertEqual((self.lines(), file.state, file.writes), (["a:1", "b:2"], OutputState.CURRENT, 1))
        self.assertEqual(
            self.log.about("stays as it is"),
            [f"The list of web has 0 instances, and had 2: {self.output} stays as it is for up to 1 m."],
        )

    def test_kept_in_an_outage(self) -> None:
        """If the time of the former list ends in an outage, the list after the outage is good."""
        self.add("a:1", "b:2")
        self.file(settle=0.0, keep_if_below=1.0, keep_for=60.0)
        self.remove("a:1", "b:2")
        self.world.disconnect(self.mirror)
        self.world.pass_time(100)
        self.assertEqual(self.lines(), ["a:1", "b:2"])
        self.world.reconnect(self.mirror)
        self.world.pass_time(10)
        self.assertEqual(self.lines(), [])


class KeepingTests(OutputFileTestCase):
    def test_collapse(self) -> None:
        """A list that has lost more than its part is kept for the time, and is then written."""
        self.add("a:1", "b:2", "c:3", "d:4")
        self.file(settle=0.0, keep_if_below=0.5, keep_for=60.0)
        self.remove("a:1", "b:2")
        self.assertEqual(self.lines(), ["c:3", "d:4"])
        self.remove("c:3", "d:4")
        self.world.pass_time(59)
        self.assertEqual(self.lines(), ["c:3", "d:4"])
        self.world.pass_time(2)
        self.assertEqual(self.lines(), [])

    def test_empty_after_a_restart(self) -> None:
        """A new process does not replace a file that has instances by an empty one at once."""
        self.output.write_text("former:1\n")
        file = self.file(settle=0.0, keep_for=60.0)
        self.assertEqual((self.lines(), file.state), (["former:1"], OutputState.KEPT))
        self.world.pass_time(61)
        self.assertEqual(self.lines(), [])

    def test_empty_again_after_a_restart(self) -> None:
        """If the file of the last process is of an empty list already, nothing is kept."""
        self.output.write_text("")
        self.assertIs(self.file(settle=0.0).state, OutputState.CURRENT)

    def test_off(self) -> None:
        """Where every list is believed, an empty one is written at once."""
        self.add("a:1")
        self.file(settle=0.0, keep_if_below=0.0)
        self.remove("a:1")
        self.assertEqual(self.lines(), [])


class FaultTests(OutputFileTestCase):
    def test_unusable_nodes(self) -> None:
        """Nodes that cannot be decoded or expressed are left out, and each is named once, with the reason."""
        self.add("a:1", "no-port")
        self.add("b:2", data=b'{"x": 1e999}')
        file = self.file(settle=0.0, codec="ndsr")
        self.add("c:3")
        self.assertEqual(self.lines()[0], "a:1")
        self.assertIn("c:3", self.lines())
        self.assertIn("no-port", file.omitted)
        self.assertEqual(len(self.log.about("no-port is left out")), 1)

    def test_many_unusable_nodes(self) -> None:
        """Of many such nodes only some are named."""
        self.add("a:1", *(f"no-port{count}" for count in range(50)))
        file = self.file(settle=0.0)
        self.assertEqual(len(file.omitted), 50)
        self.assertEqual(len(self.log.about("left out")), 6)
        self.assertEqual(self.log.about("more nodes"), [f"45 more nodes are left out of {self.output}."])

    def test_unreadable_node(self) -> None:
        """A node that may not be read is left out."""
        self.add("a:1", "b:2")
        write_only = [ACL(Permission.WRITE | Permission.ADMIN, "world", "anyone")]
        self.world.result(self.other.set_acl(f"{PATH}/b:2", write_only))
        file = self.file(settle=0.0)
        self.assertEqual((self.lines(), list(file.omitted)), (["a:1"], ["b:2"]))

    def test_unreadable_list(self) -> None:
        """A list that may not be read leaves the file as it is, and is tried again until it may."""
        self.output.write_text("former\n")
        write_only = [ACL(Permission.WRITE | Permission.ADMIN, "world", "anyone")]
        self.add("a:1")
        self.world.result(self.other.set_acl(PATH, write_only))
        file = self.file(settle=0.0)
        self.world.pass_time(10)
        self.assertEqual((self.lines(), file.state), (["former"], OutputState.FAILED))
        self.assertEqual(len(self.log.about("stays as it is, and is tried again")), 1)
        self.world.result(self.other.set_acl(PATH, OPEN_ACL))
        self.world.pass_time(130)
        self.assertEqual((self.lines(), file.state, file.failure), (["a:1"], OutputState.CURRENT, None))

    def test_no_folder(self) -> None:
        """A file that cannot be written is tried again; that is said once, and so is the success."""
        self.add("a:1")
        file = self.file(output=str(self.folder / "x" / "list"))
        self.world.pass_time(20)
        self.assertEqual((file.state, file.failure), (OutputState.FAILED, "No such file or directory"))
        self.assertEqual(len(self.log.about("x/list")), 1)
        (self.folder / "x").mkdir()
        self.world.pass_time(60)
        self.assertEqual((self.folder / "x" / "list").read_text(), "a:1\n")
        self.assertEqual(file.state, OutputState.CURRENT)
        self.assertEqual(len(self.log.about("x/list")), 2)

    def test_template_fails(self) -> None:
        """A template that raises leaves the former file, and is read again at each attempt."""
        template = self.folder / "template"
        template.write_text("{% for each in instances %}{{ each.name }}\n{% endfor %}")
        self.add("a:1")
        file = self.file(format="template", template=str(template), settle=0.0)
        self.assertEqual(self.lines(), ["a:1"])
        template.write_text("{{ nothing }}")
        self.add("b:2")
        self.assertEqual((self.lines(), file.state), (["a:1"], OutputState.FAILED))
        self.assertEqual(
            self.log.about("the template"),
            [
                f"{self.output} stays as it is, and is tried again: the template {template} has failed: 'nothing' is undefined."
            ],
        )
        template.write_text("{{ instances|length }}\n")
        self.world.pass_time(2)
        self.assertEqual(self.lines(), ["2"])

    def test_refresh(self) -> None:
        """A template that has changed counts after :meth:`refresh`."""
        template = self.folder / "template"
        template.write_text("1")
        file = self.file(format="template", template=str(template), settle=0.0)
        template.write_text("2")
        self.world.pass_time(100)
        self.assertEqual(self.lines(), ["1"])
        file.refresh()
        self.assertEqual(self.lines(), ["2"])


class StopTests(OutputFileTestCase):
    def test_at_any_time(self) -> None:
        """Stopped before and after the list is known, in a window and in a pause, it leaves no timer, and writes no more."""
        self.add("a:1")
        for keys in ({"settle": 10.0}, {"output": str(self.folder / "no" / "list")}):
            for seconds in (None, 0.0, 1.5):
                file = self.file(**keys) if seconds is not None else None
                if file is not None:
                    self.world.pass_time(seconds or 0.0)
                    self.successResultOf(file.stop())
        before = self.output.stat().st_ino
        self.add("b:2")
        self.world.pass_time(30)
        self.assertEqual(self.output.stat().st_ino, before)

    def test_mirror_closed(self) -> None:
        """If the mirror is closed first, the file stays, and the stop fires."""
        self.add("a:1")
        file = self.file()
        self.world.result(self.mirror.close())
        self.successResultOf(file.stop())
        self.assertEqual(self.lines(), ["a:1"])


class CommandTests(OutputFileTestCase):
    def test_interrupted(self) -> None:
        """A file that was replaced keeps a mark until its command has succeeded, so that the next process runs it."""
        self.add("a:1")
        # This command cannot be run: the mark stays.
        file = self.file(command=(str(self.folder / "missing"),))
        assert file.command is not None
        self.assertIn("cannot run", str(file.command.failure))
        self.assertTrue(is_marked(self.output))
        self.successResultOf(file.stop())
        again = self.file(command=(str(self.folder / "missing"),))
        assert again.command is not None
        self.assertEqual((again.writes, again.command.failures), (0, 1))

    def test_unchanged(self) -> None:
        """A file that is not replaced and has no mark runs no command."""
        self.add("a:1")
        self.output.write_text("a:1\n")
        file = self.file(command=(str(self.folder / "missing"),))
        assert file.command is not None
        self.assertEqual((file.writes, file.command.failures), (0, 0))
        self.assertEqual([each.name for each in self.folder.iterdir()], [self.output.name])
