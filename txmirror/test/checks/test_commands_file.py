"""The commands that a killed process has left behind are ended by the next one, and nothing else is: real processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import skipUnless

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.checks import CommandsFile, descendants
from txmirror.checks.descendants import VARIABLE, make_mark
from txmirror.checks.processes import read_variable
from txmirror.test.checks.case import RecordedLog

_SLEEP = "import time; time.sleep(50)"
_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(SIGN, 'w'); {_SLEEP}"
#: How long a process may take, in seconds.
_PATIENCE = 20.0


def wait_for(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not look():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in time: {what}")


@skipUnless(Path("/proc/self/stat").exists(), "the processes are looked for in /proc")
class CommandsFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        recorded = RecordedLog()
        self.log = recorded.texts
        globalLogPublisher.addObserver(recorded)
        self.addCleanup(globalLogPublisher.removeObserver, recorded)
        self.clock = Clock()
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "commands"

    def file(self, boot: str = "boot1") -> CommandsFile:
        """Return the file, as a process has it that is killed later: it is not stopped."""
        file = CommandsFile(str(self.path), boot, clock=self.clock)
        self.addCleanup(file.stop)
        return file

    def start(self, mark: str, script: str = _SLEEP) -> subprocess.Popen[bytes]:
        """Start a process with a mark, in a session of its own."""
        environment = {**os.environ, VARIABLE: mark}
        process = subprocess.Popen([sys.executable, "-S", "-c", script], env=environment, start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_for(lambda: read_variable(process.pid, VARIABLE.encode()) is not None, "the process begins")
        return process

    def stubborn(self, mark: str) -> subprocess.Popen[bytes]:
        """Start a process that ignores SIGTERM."""
        sign = Path(self.mktemp()).absolute()
        process = self.start(mark, _STUBBORN.replace("SIGN", repr(str(sign))))
        wait_for(sign.exists, "the process ignores SIGTERM")
        return process

    def succeed(self, file: CommandsFile) -> None:
        """Start a file, and wait until the commands have ended."""
        started: Deferred[None] = file.start()

        def poll() -> bool:
            self.clock.advance(0.001)
            return bool(started.called)

        wait_for(poll, "the commands end")
        self.assertIsNone(self.successResultOf(started))

    def test_ended(self) -> None:
        """Commands that run are ended with their descendants; those that have ended are no more in the file."""
        file = self.file()
        self.successResultOf(file.start())
        marks = [make_mark() for _ in range(3)]
        commands = [self.start(mark) for mark in marks]
        lines = [file.add(mark, command.pid) for mark, command in zip(marks, commands, strict=True)]
        detached = [self.start(mark) for mark in marks]
        commands[1].kill()
        commands[1].wait()
        file.remove(lines[1])
        self.succeed(self.file())
        for process in (commands[0], commands[2], detached[0], detached[2]):
            self.assertEqual(process.wait(_PATIENCE), -signal.SIGTERM)
        self.assertIsNone(detached[1].poll())
        self.assertEqual(self.log, ["Ending 2 commands of checks that the last process left running."])
        # It was cleared.
        self.assertEqual(self.path.read_text(), "txmirror commands 1 boot1\n")

    def test_exited_meanwhile(self) -> None:
        """If a command has exited after its process was killed, the children that it has left are spared."""
        file = self.file()
        self.successResultOf(file.start())
        mark = make_mark()
        command, detached = self.start(mark), self.start(mark)
        file.add(mark, command.pid)
        command.kill()
        command.wait()
        self.successResultOf(self.file().start())
        self.assertIsNone(detached.poll())
        self.assertEqual(self.log, [])

    def test_another_s_pid(self) -> None:
        """A process that has got the pid of a command later is spared."""
        file = self.file()
        self.successResultOf(file.start())
        other = self.start(make_mark())
        file.add(make_mark(), other.pid)
        self.successResultOf(self.file().start())
        self.assertIsNone(other.poll())

    def test_stubborn(self) -> None:
        """A command that ignores SIGTERM is killed after the grace. Until then the file still has it."""
        file = self.file()
        self.successResultOf(file.start())
        mark = make_mark()
        command = self.stubborn(mark)
        file.add(mark, command.pid)
        started = self.file().start()
        self.clock.pump([0.05] * 18)
        self.assertNoResult(started)
        self.assertIsNone(command.poll())
        self.assertIn(mark, self.path.read_text())
        self.clock.pump([0.05] * 3)
        self.assertEqual(command.wait(_PATIENCE), -signal.SIGKILL)
        self.clock.advance(0.05)
        self.successResultOf(started)
        self.assertNotIn(mark, self.path.read_text())

    def test_stopped(self) -> None:
        """A stop while commands are being ended leaves them to the next process."""
        file = self.file()
        self.successResultOf(file.start())
        mark = make_mark()
        command = self.stubborn(mark)
        file.add(mark, command.pid)
        successor = self.file()
        started = successor.start()
        self.assertNoResult(started)
        successor.stop()
        self.assertIsNone(self.successResultOf(started))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.path.exists())
        self.succeed(self.file())
        self.assertEqual(command.wait(_PATIENCE), -signal.SIGKILL)

    def test_ended_at_once(self) -> None:
        """If the commands have ended before they are looked for, a stop deletes the file, too."""
        file = self.file()
        self.successResultOf(file.start())
        mark = make_mark()
        file.add(mark, self.start(mark).pid)
        self.patch(descendants, "list_pids", list)
        successor = self.file()
        self.assertIsNone(self.successResultOf(successor.start()))
        self.assertEqual(len(self.log), 1)
        successor.stop()
        self.assertFalse(self.path.exists())

    def test_lines(self) -> None:
        """A line is used again, and a stop deletes the file if no command is left."""
        file = self.file()
        self.successResultOf(file.start())
        marks = [make_mark() for _ in range(3)]
        numbers = [file.add(mark, 4711) for mark in marks]
        self.assertEqual(numbers, [0, 1, 2])
        file.remove(1)
        self.assertEqual(file.add(marks[1], 12), 1)
        _, *lines = self.path.read_text().splitlines()
        self.assertEqual([line.split() for line in lines], [[marks[0], "4711"], [marks[1], "12"], [marks[2], "4711"]])
        for number in numbers:
            file.remove(number)
        file.stop()
        self.assertFalse(self.path.exists())
        # A stopped one notes nothing.
        file.remove(file.add(marks[0], 1))

    def test_left_behind(self) -> None:
        """A stop with a command that could not be ended keeps the file."""
        file = self.file()
        self.successResultOf(file.start())
        file.add(make_mark(), 4711)
        file.stop()
        self.assertTrue(self.path.exists())

    def test_unusable_content(self) -> None:
        """The commands of another boot, and a damaged file, are forgotten."""
        file = self.file()
        self.successResultOf(file.start())
        mark = make_mark()
        command = self.start(mark)
        file.add(mark, command.pid)
        good = self.path.read_bytes()
        for boot, content in (("boot2", good), ("boot1", b"x" + good), ("boot1", good[:-10]), ("boot1", b"\xff" * 99)):
            self.path.write_bytes(content)
            other = self.file(boot)
            self.successResultOf(other.start())
            other.stop()
            self.assertIsNone(command.poll())
        self.assertEqual(self.log, [])

    def test_hole(self) -> None:
        """A line that could not be written does not hide the next one."""
        file = self.file()
        self.successResultOf(file.start())
        mark = make_mark()
        command = self.start(mark)
        file.add(make_mark(), 1)
        file.add(mark, command.pid)
        content = self.path.read_bytes()
        begin = content.index(b"\n") + 1
        self.path.write_bytes(content[:begin] + bytes(38) + content[begin + 38 :])
        self.succeed(self.file())
        self.assertEqual(command.wait(_PATIENCE), -signal.SIGTERM)

    def test_cannot_be_used(self) -> None:
        """Without a folder that is logged once, and commands run all the same."""
        file = CommandsFile(str(self.path / "none" / "commands"), "boot1", clock=self.clock)
        self.successResultOf(file.start())
        file.remove(file.add(make_mark(), 1))
        file.stop()
        (line,) = self.log
        self.assertIn("No such file or directory", line)
        self.assertIn("the commands of its checks keep running", line)

    def test_full_disk(self) -> None:
        """On a full disk, too, and the daemon goes on."""
        file = self.file()
        self.successResultOf(file.start())

        def refuse(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.patch(os, "pwrite", refuse)
        for _ in range(3):
            file.remove(file.add(make_mark(), 1))
        (line,) = self.log
        self.assertIn("No space left on device", line)

    def test_grace(self) -> None:
        """A grace that is out of range is refused."""
        self.assertRaises(ValueError, CommandsFile, "f", "", grace=-1.0, clock=self.clock)
