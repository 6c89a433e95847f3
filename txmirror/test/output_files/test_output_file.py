"""A file that follows a list, through all that happens to the list, the connection and the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred

from txmirror.errors import UnknownServerException
from txmirror.formats import FORMATS
from txmirror.output_files.output_file import OutputState
from txmirror.output_files.writing import is_marked, remove_mark, update_file
from txmirror.test.output_files.case import PATH, OutputFileTestCase
from txmirror.test.threaded import ThreadedClock
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

    def test_always_changing(self) -> None:
        """A list that is never read completely, because there are always new changes, is written nevertheless."""
        self.add("a:1")
        file = self.file(settle=2.0)
        session = self.mirror.client.session_id
        for number in range(500):
            for kind in ("get", "get_many"):
                self.world.server.delay_next(kind, 0.2, session_id=session)
            self.other.create(f"{PATH}/b:{number + 1}", b"{}")
            self.world.pass_time(0.02)
        self.assertGreater(file.writes, 1)
        self.assertGreater(len(self.lines()), 100)
        self.world.pass_time(10)
        self.assertEqual(len(self.lines()), 501)

    def test_decoded_in_a_thread(self) -> None:
        """The nodes are decoded in a thread: 10,000 of them would hold up the reactor."""
        self.add("a:1")
        threads = ThreadedClock()
        file = self.file(threads=threads)
        self.assertEqual(file._list._decoded, {})
        threads.run_thread()
        self.assertEqual(len(file._list._decoded), 1)
        threads.run_threads()
        self.assertEqual(self.lines(), ["a:1"])


class UnansweredTests(OutputFileTestCase):
    imitate = "3.4"

    def test_one_node(self) -> None:
        """If a server cannot answer the read of one node, the file follows the others."""
        self.add("a:1", "b:2")
        self.file(settle=0.0)
        self.world.pass_time(1)
        for _ in range(100):
            self.world.server.fail_next("get", UnknownServerException(-200), path=f"{PATH}/b:2")
        self.world.result(self.other.set(f"{PATH}/b:2", b"{}"))
        self.add("c:3")
        self.assertEqual(self.lines(), ["a:1", "b:2"])
        self.world.pass_time(10)
        self.assertEqual(self.lines(), ["a:1", "b:2", "c:3"])

    def test_slow_start(self) -> None:
        """A list of which one node was never read is not written, although a write waits for less time."""
        self.output.write_text("former\n")
        self.add("a:1", "b:2", "c:3")
        self.world.pass_time(1)
        self.world.server.delay_next("get", 6, path=f"{PATH}/b:2", session_id=self.mirror.client.session_id)
        file = self.file()
        self.world.pass_time(5.5)
        self.assertEqual((self.lines(), file.problem), (["former"], "the list was not read yet"))
        self.world.pass_time(10)
        self.assertEqual(self.lines(), ["a:1", "b:2", "c:3"])


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
        self.assertEqual((self.lines(), file.state), (["a:1", "b:2"], OutputState.STALE))
        self.assertEqual(file.problem, "the list was not read again since the connection to ZooKeeper was lost")
        self.world.reconnect(self.mirror)
        self.world.pass_time(10)
        self.assertEqual(self.lines(), ["a:1", "b:2", "c:3", "d:4"])
        self.assertEqual((file.writes, file.state, file.problem), (2, OutputState.CURRENT, None))

    def test_states_in_an_outage(self) -> None:
        """A file that is not current when the connection is lost keeps its state, and one that could be written again is stale."""
        self.add("a:1")
        self.output.mkdir()
        file = self.file(settle=0.0)
        self.world.disconnect(self.mirror)
        self.assertIs(file.state, OutputState.FAILED)
        self.output.rmdir()
        self.world.reconnect(self.mirror)
        self.world.pass_time(70)
        self.assertIs(file.state, OutputState.CURRENT)
        self.world.disconnect(self.mirror)
        self.assertIs(file.state, OutputState.STALE)
        self.world.reconnect(self.mirror)
        self.world.pass_time(10)
        # The list is the same: nothing was to be written.
        self.assertEqual((file.state, file.writes), (OutputState.CURRENT, 1))

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

    def cut_after(self, size: int) -> None:
        """Cut the mirror's connection after it has received some more bytes."""
        for link in self.world.reactor.links:
            if link.server_address.host != "127.0.0.1":
                link.cut_after(to_client=size)

    def test_never_incomplete(self) -> None:
        """Wherever the connection breaks in the replies of a recovery, also with new sessions: an incomplete list is never written."""
        stable = [f"a:{number + 1}" for number in range(12)]
        self.add(*stable)
        file = self.file(settle=0.0, keep_if_below=0.0)
        for size in range(0, 1500, 20):
            self.other.create(f"{PATH}/x:{size + 1}", b"{}")
            if size % 60 == 0:
                self.world.server.expire_session(self.mirror.client.session_id)
            self.cut_after(size)
            self.world.pass_time(10)
            self.cut_after(size)
            self.world.pass_time(3)
        self.world.pass_time(60)
        self.assertEqual(len(self.lines()), len(self.world.result(self.other.get_children(PATH))))
        counts = [int(line.split("now has ")[1].split()[0]) for line in self.log.about("now has")]
        self.assertGreater(len(counts), 30)
        self.assertGreaterEqual(min(counts), len(stable))
        self.assertEqual(file.writes, len(counts))


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

    def test_short_after_a_restart(self) -> None:
        """A new process does not believe a list that is much shorter than that of the former file, in each format."""
        names = [f"10.0.0.{number + 1}:80" for number in range(8)]
        for name in FORMATS:
            with self.subTest(name):
                self.add(*names)
                output = str(self.folder / f"{name}.json")
                first = self.file(format=name, output=output)
                before = Path(output).read_bytes()
                self.successResultOf(first.stop())
                self.remove(*names[3:])
                file = self.file(format=name, output=output, keep_for=60.0)
                self.assertEqual((Path(output).read_bytes(), file.state), (before, OutputState.KEPT))
                self.world.pass_time(61)
                self.assertEqual((file.instances, file.state), (3, OutputState.CURRENT))
                self.remove(*names[:3])

    def test_empty_after_a_failure(self) -> None:
        """A first attempt that fails does not take the protection from the file of the last process."""
        template = self.folder / "template"
        template.write_text("{{ nothing }}")
        self.output.write_text("former:1\n")
        file = self.file(format="template", template=str(template), settle=0.0, keep_for=60.0)
        self.assertIs(file.state, OutputState.FAILED)
        template.write_text("{{ instances|length }}\n")
        self.world.pass_time(30)
        self.assertEqual((self.lines(), file.state), (["former:1"], OutputState.KEPT))
        self.world.pass_time(60)
        self.assertEqual(self.lines(), ["0"])

    def test_unusable(self) -> None:
        """Instances that the format cannot express, or that are down, are missing for the reader: such a list is kept back, too."""
        self.add(
            *(f"10.0.0.{number + 1}:80" for number in range(4)), data=b'{"host": "10.0.0.1", "port": 80, "name": "x"}'
        )
        file = self.file(format="envoy-eds", settle=0.0)
        before = self.output.read_bytes()
        for number in range(4):
            self.other.set(f"{PATH}/10.0.0.{number + 1}:80", b'{"host": "web.example", "port": 80, "name": "x"}')
        self.world.settle()
        self.assertEqual((self.output.read_bytes(), file.state), (before, OutputState.KEPT))
        self.world.pass_time(130)
        self.assertEqual((file.instances, len(file.omitted)), (0, 4))

    def test_said_at_the_end(self) -> None:
        """If the list is long enough again, that is logged."""
        self.add("a:1")
        self.file(settle=0.0)
        self.remove("a:1")
        self.add("a:1")
        self.assertEqual(self.log.about("already has"), [f"{self.output} already has 1 instance of web."])

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

    def test_poison(self) -> None:
        """Data that UTF-8 cannot express leaves out its own node, and not the whole file."""
        self.add("a:1")
        self.add("b:2", data=b'{"foo": "\\ud800"}')
        for name in FORMATS:
            file = self.file(format=name, output=str(self.folder / f"{name}.json"))
            self.assertEqual(
                (file.state, list(file.omitted)), (OutputState.CURRENT, ["b:2"] + ["a:1"] * (name == "envoy-eds"))
            )

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

    def test_unreadable_later(self) -> None:
        """A node that may not be read any more is left out, too: nobody knows its state."""
        self.add("a:1", "b:2")
        file = self.file(settle=0.0)
        write_only = [ACL(Permission.WRITE | Permission.ADMIN, "world", "anyone")]
        self.world.result(self.other.set_acl(f"{PATH}/b:2", write_only))
        # A server does not report a change to those who may not read the node.
        self.world.disconnect(self.mirror)
        self.world.result(self.other.set(f"{PATH}/b:2", b"{}"))
        self.world.reconnect(self.mirror)
        self.world.pass_time(10)
        self.assertEqual((self.lines(), list(file.omitted)), (["a:1"], ["b:2"]))
        self.world.result(self.other.set_acl(f"{PATH}/b:2", OPEN_ACL))
        self.world.pass_time(130)
        self.assertEqual((self.lines(), list(file.omitted)), (["a:1", "b:2"], []))

    def test_unreadable_list(self) -> None:
        """A list that may not be read leaves the file as it is, and is tried again until it may."""
        self.output.write_text("former\n")
        write_only = [ACL(Permission.WRITE | Permission.ADMIN, "world", "anyone")]
        self.add("a:1")
        self.world.result(self.other.set_acl(PATH, write_only))
        file = self.file(settle=0.0)
        self.world.pass_time(10)
        self.assertEqual((self.lines(), file.state), (["former"], OutputState.FAILED))
        self.assertEqual(len(self.log.about("could not be updated, and stays as it is")), 1)
        self.world.result(self.other.set_acl(PATH, OPEN_ACL))
        self.world.pass_time(130)
        self.assertEqual((self.lines(), file.state, file.failure), (["a:1"], OutputState.CURRENT, None))

    def test_no_folder(self) -> None:
        """A file that cannot be written is tried again; one line is logged about that, and one about the success."""
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
                f"{self.output} could not be updated, and stays as it is: the template {template} has failed: 'nothing' is undefined. Retrying."
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

    def test_in_a_write(self) -> None:
        """Stopped at each step of a write, it fires when the step has ended; a command is not begun, but left to the next process."""
        self.add("a:1")
        for steps in range(8):
            self.output.unlink(missing_ok=True)
            threads = ThreadedClock()
            file = self.file(threads=threads, command=(str(self.folder / "missing"),))
            for _ in range(steps):
                if threads.waiting:
                    threads.run_thread()
            working = bool(threads.waiting)
            stopped = file.stop()
            self.assertEqual(working, self.has_no_result(stopped))
            threads.run_threads()
            self.successResultOf(stopped)
            assert file.command is not None
            self.assertEqual(is_marked(self.output), self.output.exists())
            self.assertEqual(file.command.failures, 0 if working or not file.writes else 1)
            remove_mark(self.output)

    def has_no_result(self, stopped: Deferred[None]) -> bool:
        return not stopped.called


class RestoreTests(OutputFileTestCase):
    def test_changed_or_deleted(self) -> None:
        """If another program changes or deletes the file, it is as before within a minute, also without a connection."""
        self.add("a:1")
        file = self.file()
        self.world.disconnect(self.mirror)
        changes: tuple[Callable[[], object], ...] = (
            lambda: self.output.write_text("foreign\n"),
            self.output.unlink,
            lambda: self.output.write_text(self.output.read_text()),
            lambda: self.output.chmod(0o600),
        )
        for number, change in enumerate(changes):
            change()
            self.world.pass_time(60)
            self.assertEqual((self.lines(), self.output.stat().st_mode & 0o777), (["a:1"], 0o644))
            self.assertEqual(file.writes, min(number + 2, 3))
        self.assertEqual(len(self.log.about("Another program has changed or deleted")), 2)

    def test_cannot(self) -> None:
        """If it cannot be written again, that is the problem of the file, until it can."""
        self.add("a:1")
        folder = self.folder / "x"
        folder.mkdir()
        file = self.file(output=str(folder / "list"))
        (folder / "list").unlink()
        folder.rmdir()
        self.world.pass_time(60)
        self.assertEqual(file.problem, "No such file or directory")
        folder.mkdir()
        self.world.pass_time(130)
        self.assertEqual((file.problem, (folder / "list").read_text()), (None, "a:1\n"))

    def test_command(self) -> None:
        """The command runs after that as after any change."""
        self.add("a:1")
        file = self.file(command=(str(self.folder / "missing"),), settle=0.0)
        assert file.command is not None
        self.world.pass_time(3600)
        before = file.command.failures
        self.output.unlink()
        self.world.pass_time(61)
        self.assertGreaterEqual(file.command.failures, before + 2)
        self.assertTrue(is_marked(self.output))


class CommandTests(OutputFileTestCase):
    def test_interrupted_in_an_outage(self) -> None:
        """The command of the last process runs at once, also without a connection."""
        self.output.write_text("a:1\n")
        update_file(self.output, b"b:2\n", 0o644, mark=True)
        self.world.disconnect(self.mirror)
        file = self.file(command=(str(self.folder / "missing"),))
        assert file.command is not None
        self.assertEqual(file.command.failures, 1)

    def test_replaced_while_it_succeeds(self) -> None:
        """If the command succeeds while the file is being replaced, the mark stays for the new content; else it is removed."""
        self.add("a:1")
        threads = ThreadedClock()
        file = self.file(threads=threads, command=(str(self.folder / "missing"),), settle=0.0)
        threads.run_threads()
        self.add("b:2")
        # The nodes are decoded, and the file is still to be written.
        threads.run_thread()
        file._command_succeeded()
        while "b:2" not in self.lines():
            threads.run_thread()
        self.assertTrue(is_marked(self.output))
        threads.run_threads()
        self.assertTrue(is_marked(self.output), "the command of the new content has not succeeded")
        file._command_succeeded()
        threads.run_threads()
        self.assertFalse(is_marked(self.output))

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
