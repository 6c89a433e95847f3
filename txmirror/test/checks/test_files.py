"""Checks that look at files: the process of a pid file, and the age of a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txmirror.checks import FileAgeCheck, ICheck, ProcessCheck, Result, Status
from txmirror.test.threaded import ThreadedClock


class FilesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = ThreadedClock()
        self.path = self.mktemp()

    def probe(self, check: Any) -> Result:
        """Return the result of a probe."""
        running = check.run()
        self.assertNoResult(running)
        self.reactor.waiting.pop()()
        result: Result = self.successResultOf(running)
        return result


class FileAgeTests(FilesTestCase):
    def check(self, age: float) -> Result:
        """Return the result for a file of an age in seconds, of at most 60."""
        path = Path(self.path)
        path.touch()
        self.reactor.rightNow = 1_000_000.0
        os.utime(path, (0, 1_000_000.0 - age))
        return self.probe(FileAgeCheck(self.path, max_age=60.0, reactor=self.reactor))

    def test_age(self) -> None:
        self.assertEqual(self.check(12.4), Result(Status.OK, f"{self.path} was modified 12 s ago, of at most 60 s"))
        self.assertEqual(self.check(75), Result(Status.FAIL, f"{self.path} was modified 75 s ago, of at most 60 s"))

    def test_future(self) -> None:
        """A little difference of the clocks is nothing; a large one is a warning."""
        self.assertIs(self.check(-1).status, Status.OK)
        self.assertEqual(self.check(-90), Result(Status.WARN, f"{self.path} was modified 90 s in the future"))

    def test_missing(self) -> None:
        check = FileAgeCheck(self.path, max_age=60.0, reactor=self.reactor)
        self.assertTrue(verifyObject(ICheck, check))
        self.assertEqual(self.probe(check), Result(Status.FAIL, f"{self.path}: No such file or directory"))

    def test_hanging(self) -> None:
        """A file system that hangs takes one thread; while it does, the check fails."""
        check = FileAgeCheck(self.path, max_age=60.0, reactor=self.reactor)
        running = check.run()
        running.cancel()
        self.failureResultOf(running, CancelledError)
        hangs = f"{self.path}: the file system has not answered an earlier request"
        self.assertEqual(self.successResultOf(check.run()), Result(Status.FAIL, hangs))
        self.reactor.waiting.pop()()
        self.assertEqual(self.probe(check), Result(Status.FAIL, f"{self.path}: No such file or directory"))

    def test_invalid(self) -> None:
        self.assertRaises(ValueError, FileAgeCheck, "a", max_age=0, reactor=self.reactor)


class ProcessTests(FilesTestCase):
    def check(self, text: str, proc: str = "/proc") -> Result:
        """Return the result for a pid file with a text."""
        Path(self.path).write_text(text)
        return self.probe(ProcessCheck(self.path, reactor=self.reactor, proc=proc))

    def test_runs(self) -> None:
        self.assertTrue(verifyObject(ICheck, ProcessCheck(self.path, reactor=self.reactor)))
        self.assertEqual(self.check(f"{os.getpid()}\nmore\n"), Result(Status.OK, f"process {os.getpid()} runs"))

    def test_pid(self) -> None:
        """The check knows the process that it has found last, and notifies when that is another one."""
        check = ProcessCheck(self.path, reactor=self.reactor)
        Path(self.path).write_text(str(os.getpid()))
        self.probe(check)
        self.assertEqual(check.pid, os.getpid())
        changes: list[int | None] = []
        check.pid_changed = lambda: changes.append(check.pid)
        self.probe(check)
        Path(self.path).write_text("x")
        self.probe(check)
        self.assertEqual((check.pid, changes), (os.getpid(), []))
        Path(self.path).write_text(str(os.getppid()))
        self.probe(check)
        self.assertEqual(changes, [os.getppid()])

    def test_ended(self) -> None:
        with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
            pass
        self.assertEqual(self.check(str(process.pid)), Result(Status.FAIL, f"there is no process {process.pid}"))

    def test_other_user(self) -> None:
        """A process that may not be signalled runs."""

        def kill(pid: int, number: int) -> None:
            raise PermissionError

        self.patch(os, "kill", kill)
        self.assertIs(self.check(str(os.getpid())).status, Status.OK)

    def test_no_pid(self) -> None:
        for text in ("", "\n12", "x", "-1", "0", "1.5", "٣", "9" * 80):
            self.assertIs(self.check(text).status, Status.FAIL)
        self.assertEqual(self.check("web"), Result(Status.FAIL, f"{self.path} has no process id on its first line"))

    def test_no_file(self) -> None:
        result = self.probe(ProcessCheck(self.path, reactor=self.reactor))
        self.assertEqual(result, Result(Status.FAIL, f"{self.path}: No such file or directory"))

    def proc(self, state: str, began: float) -> str:
        """Return a folder like /proc, for a process with a state that began some seconds after the pid file was written."""
        folder = Path(self.mktemp())
        (folder / str(os.getpid())).mkdir(parents=True)
        Path(self.path).touch()
        written = int(Path(self.path).stat().st_mtime)
        ticks = int((1000 + began) * os.sysconf("SC_CLK_TCK"))
        fields = [state] + ["0"] * 18 + [str(ticks), "0"]
        (folder / str(os.getpid()) / "stat").write_text(f"{os.getpid()} (a ) Z 1 (b) {' '.join(fields)}\n")
        (folder / "stat").write_text(f"cpu 1 2\nbtime {written - 1000}\nprocesses 5\n")
        return str(folder)

    def test_recycled(self) -> None:
        """A process that began after the pid file was written is another one with the same id."""
        pid = os.getpid()
        self.assertEqual(self.check(str(pid), self.proc("S", -5)), Result(Status.OK, f"process {pid} runs"))
        self.assertEqual(self.check(str(pid), self.proc("S", 1)), Result(Status.OK, f"process {pid} runs"))
        result = self.check(str(pid), self.proc("S", 300))
        self.assertIs(result.status, Status.FAIL)
        self.assertRegex(result.output, rf"^process {pid} is another one: it began (299|300) s after ")

    def test_zombie(self) -> None:
        pid = os.getpid()
        expected = Result(Status.FAIL, f"process {pid} has ended, and its parent has not noticed")
        self.assertEqual(self.check(str(pid), self.proc("Z", -5)), expected)

    def test_no_proc(self) -> None:
        """Without /proc the process need only exist."""
        self.assertIs(self.check(str(os.getpid()), "/no/such/folder").status, Status.OK)
