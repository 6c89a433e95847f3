"""The processes of a command are found by their mark: real processes, which another pass over /proc may miss."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from txmirror.checks import descendants, processes
from txmirror.checks.descendants import VARIABLE, Descendants, make_mark
from txmirror.checks.processes import ProcessHandle, find_living, read_variable

_SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(50)")


@skipUnless(Path("/proc/self/stat").exists(), "the processes are looked for in /proc")
class DescendantsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.passes = 0
        self.missed = 0
        list_pids = processes.list_pids

        def look() -> list[int]:
            self.passes += 1
            if self.passes <= self.missed:
                return []
            return list_pids()

        self.patch(descendants, "list_pids", look)
        self.mark = make_mark()
        self.found = Descendants([self.mark])
        self.addCleanup(self.found.close)

    def start(self, mark: str | None = None) -> subprocess.Popen[bytes]:
        """Start a process with a mark."""
        environment = {**os.environ, VARIABLE: self.mark if mark is None else mark}
        process = subprocess.Popen(_SLEEP, env=environment, start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        # The environment is empty until the program has begun.
        deadline = time.monotonic() + 20
        while read_variable(process.pid, VARIABLE.encode()) is None:
            self.assertLess(time.monotonic(), deadline)
        return process

    def test_found(self) -> None:
        """Processes with one of the marks are found, with their marks; others are not."""
        other = make_mark()
        one, two = self.start(), self.start(other)
        self.start(make_mark())
        self.assertEqual(list(self.found.find()), [(one.pid, self.mark)])
        self.assertEqual(set(Descendants([self.mark, other]).find()), {(one.pid, self.mark), (two.pid, other)})

    def test_ended(self) -> None:
        """A zombie is not alive, whether it was signalled or not."""
        one, other = self.start(), self.start(make_mark())
        self.assertTrue(self.found.are_alive())
        self.found.signal(signal.SIGKILL)
        os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
        self.assertFalse(self.found.are_alive())
        self.assertEqual(one.wait(), -signal.SIGKILL)
        self.assertIsNone(other.poll())

    def test_missed(self) -> None:
        """One pass that finds nothing decides nothing."""
        process = self.start()
        self.missed = 1
        self.assertTrue(self.found.are_alive())
        self.passes = 0
        self.found.signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL)

    def test_passes(self) -> None:
        """While a process that was signalled is alive, no pass is needed."""
        process = self.start()
        self.found.signal(signal.SIGCONT)
        before = self.passes
        for _ in range(10):
            self.assertTrue(self.found.are_alive())
        self.assertEqual(self.passes, before)
        process.kill()
        process.wait()
        self.assertFalse(self.found.are_alive())
        self.assertEqual(self.passes, before + 2)

    def test_many(self) -> None:
        """With more processes than handles, all are signalled, and the rest is found by passes."""
        several = [self.start() for _ in range(18)]
        self.found.signal(signal.SIGCONT)
        for process in several[2:]:
            process.kill()
            process.wait()
        self.assertTrue(self.found.are_alive())
        self.found.signal(signal.SIGKILL)
        self.assertEqual({process.wait() for process in several}, {-signal.SIGKILL})
        self.assertFalse(self.found.are_alive())

    def test_without_handles(self) -> None:
        """On a system without handles of processes they are signalled by their pids."""
        self.patch(processes, "_OPEN_PIDFD", None)
        process = self.start()
        self.found.signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL)
        self.assertFalse(self.found.are_alive())

    def test_closed(self) -> None:
        """No descriptor is left open."""
        self.start()
        before = self.descriptors()
        self.found.signal(signal.SIGCONT)
        self.found.signal(signal.SIGCONT)
        self.assertEqual(len(self.descriptors()), len(before) + 1)
        self.found.close()
        self.assertEqual(self.descriptors(), before)

    def descriptors(self) -> set[str]:
        return {path.name for path in Path("/proc/self/fd").iterdir()}


@skipUnless(hasattr(os, "pidfd_open"), "the system has no handles of processes")
class ProcessHandleTests(SynchronousTestCase):
    def test_ended(self) -> None:
        """A process is alive until it has ended; a signal after that reaches no other process."""
        process = subprocess.Popen(_SLEEP)
        self.addCleanup(process.kill)
        handle = ProcessHandle(process.pid)
        self.addCleanup(handle.close)
        self.assertTrue(handle.alive)
        handle.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), -signal.SIGTERM)
        self.assertFalse(handle.alive)
        handle.signal(signal.SIGTERM)
        self.assertRaises(ProcessLookupError, ProcessHandle, process.pid)


@skipUnless(Path("/proc/self/stat").exists(), "the groups are read in /proc")
class GroupTests(SynchronousTestCase):
    def test_zombies(self) -> None:
        """A group has living processes until all are zombies. One that /proc does not show counts as alive."""
        process = subprocess.Popen(_SLEEP, start_new_session=True)
        self.addCleanup(process.kill)
        self.assertEqual(find_living(process.pid), process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.assertIsNone(find_living(process.pid))
        self.assertIsNone(find_living(process.pid, process.pid))
        process.wait()
        self.assertEqual(find_living(process.pid), process.pid)

    def test_known(self) -> None:
        """While the process that was found is alive, no other one is looked at; after it, another one is found."""
        script = "sleep 50 >&2 & echo $!; exec sleep 50 >&2"
        process = subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(os.killpg, process.pid, signal.SIGKILL)
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.stdout.close()
        list_pids = processes.list_pids
        self.patch(processes, "list_pids", list)
        self.assertEqual(find_living(process.pid, child), child)
        self.patch(processes, "list_pids", list_pids)
        os.kill(child, signal.SIGKILL)
        while find_living(process.pid, child) == child:
            pass
        self.assertEqual(find_living(process.pid, child), process.pid)
