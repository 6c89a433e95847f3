"""A check by a command: real processes, which hang, fork, flood and ignore signals, and of which nothing may be left."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from txmirror.checks import (
    CheckSettings,
    ChecksService,
    CommandCheck,
    ICheck,
    Result,
    ServiceCheck,
    ServiceHealth,
    State,
    Status,
)
from txmirror.testing.reactor import MemoryReactor

#: A program that ignores SIGTERM, as its children do.
_STUBBORN = "trap '' TERM; "


@skipUnless(Path("/proc/self/stat").exists(), "the tests look for processes in /proc")
class CommandTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.marker = f"{self.id()}-{os.getpid()}"
        self.addCleanup(self.check_nothing_left)

    def left(self) -> list[int]:
        """Return the processes of this test that are alive."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                # Zombies have no command line.
                if self.marker.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return [pid for pid in found if pid != os.getpid()]

    def check_nothing_left(self) -> None:
        left = self.left()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(left, [])

    def shell(self, script: str, grace: float = 0.2, **options: Any) -> CommandCheck:
        """Return a check that runs a script."""
        # The shell waits for the last command too, so that its own command line shows the marker.
        return CommandCheck(["sh", "-c", f"{script}", self.marker], grace=grace, reactor=self.reactor, **options)

    def sleeper(self) -> str:
        """Return a command that sleeps, in whose command line is the marker."""
        return f"{sys.executable} -S -c 'import time; time.sleep(50)' {self.marker}"

    def sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self.reactor, seconds)

    async def until(self, count: int) -> None:
        """Wait until so many processes of this test are alive."""
        while len(self.left()) != count:
            await self.sleep(0.01)

    def test_statuses(self) -> Deferred[None]:
        """The exit status decides; both output and errors are kept."""

        async def test() -> None:
            for script, status, output in (
                ("exit 0", Status.OK, "exit status 0"),
                ("echo fine", Status.OK, "fine"),
                ("exit 1", Status.WARN, "exit status 1"),
                ("echo half full >&2; exit 1", Status.WARN, "half full"),
                ("exit 2", Status.FAIL, "exit status 2"),
                ("echo CRITICAL; exit 255", Status.FAIL, "CRITICAL"),
                ("kill -9 $$", Status.FAIL, "killed by SIGKILL"),
            ):
                self.assertEqual(await self.shell(script).run(), Result(status, output))

        return Deferred.fromCoroutine(test())

    def test_no_program(self) -> Deferred[None]:
        """A program that is missing or not executable, and a missing folder, are one line."""

        async def test() -> None:
            program = Path(self.mktemp()).resolve()
            program.write_text("#!/no/such/interpreter\n")
            for argv, cwd, reason in (
                (["no-such-program", "-x"], None, "there is no such program, or it is not executable"),
                ([str(program)], None, "there is no such program, or it is not executable"),
                (["true"], "/no/such/folder", "there is no directory /no/such/folder"),
            ):
                result = await CommandCheck(argv, cwd=cwd, reactor=self.reactor).run()
                self.assertEqual(result, Result(Status.FAIL, f"cannot run {argv[0]}: {reason}"))
            program.chmod(0o700)
            result = await CommandCheck([str(program)], reactor=self.reactor).run()
            self.assertIs(result.status, Status.FAIL)
            self.patch(os, "environ", {"PATH": "/no/such/folder"})
            result = await CommandCheck(["/bin/true"], reactor=self.reactor).run()
            self.assertEqual(result, Result(Status.FAIL, "cannot run /bin/true: the program setsid is not installed"))

        return Deferred.fromCoroutine(test())

    def test_surroundings(self) -> Deferred[None]:
        """It gets a few variables, and those of the check; its folder; no input; and a session of its own."""

        async def test() -> None:
            self.patch(os, "environ", {**os.environ, "SECRET": "x", "TZ": "UTC"})
            result = await self.shell("env").run()
            names = {line.partition("=")[0] for line in result.output.splitlines()}
            self.assertIn("PATH", names)
            self.assertEqual(names - {"PWD", "OLDPWD", "SHLVL", "TXMIRROR_CHECK", "_"} - set(os.environ), set())
            self.assertNotIn("SECRET", names)
            own = self.shell("echo $PATH $A; pwd; cat; ps -o sid= $$ || true", environment={"A": "é"}, cwd="/")
            result = await own.run()
            self.assertEqual(result.output.splitlines()[1], "/")
            self.assertIn("é", result.output)
            session = await self.shell("cut -d' ' -f6 /proc/$$/stat; echo $$").run()
            sid, pid = session.output.split()
            self.assertEqual(sid, pid)

        return Deferred.fromCoroutine(test())

    def test_output(self) -> Deferred[None]:
        """Much output is cut, and bytes that are not UTF-8 are escaped."""

        async def test() -> None:
            result = await self.shell("printf 'a\\377b\\033[2J'").run()
            self.assertEqual(result, Result(Status.OK, "a\\xffb\\x1b[2J"))
            result = await self.shell("seq 1 100000").run()
            self.assertIs(result.status, Status.OK)
            self.assertLessEqual(len(result.output), 4096)
            self.assertRegex(result.output, r"^1\n2\n")
            self.assertRegex(result.output, r" bytes omitted \.\.\.\n[\d\n]+\n100000$")

        return Deferred.fromCoroutine(test())

    def test_flood(self) -> Deferred[None]:
        """A program that writes without end is killed, also if it ignores the signals."""

        async def test() -> None:
            for script in ("yes", "trap '' TERM PIPE; while :; do echo yes; done", "trap '' TERM PIPE; yes; yes; yes"):
                result = await self.shell(script).run()
                self.assertIs(result.status, Status.FAIL)
                self.assertEqual(result.line, "killed: it wrote more than 1048576 bytes")

        return Deferred.fromCoroutine(test())

    def test_hangs(self) -> Deferred[None]:
        """Cancelling ends the whole tree: children, their children, and those whose parents have ended."""

        async def test() -> None:
            sleeper = self.sleeper()
            for script, count in (
                (f"{sleeper}; :", 2),
                (f"{sleeper} & {sleeper} & wait", 3),
                (f"(({sleeper} &) &); {sleeper}; :", 3),
                (f"{_STUBBORN}{sleeper}; {sleeper}; :", 2),
                (f"{_STUBBORN}(({sleeper} &) &); {sleeper}; {sleeper}; :", 3),
            ):
                running = self.shell(f"echo begun; {script}").run()
                await self.until(count)
                running.cancel()
                error: Any = await self.assertFailure(running, CancelledError)
                self.assertEqual(error.args, ("begun\n",))
                self.assertEqual(self.left(), [])

        return Deferred.fromCoroutine(test())

    def test_cancelled_early(self) -> Deferred[None]:
        """It may be cancelled before the command has its own group, and at any time after that."""

        async def test() -> None:
            for number in range(20):
                running = self.shell(f"{self.sleeper()} & {self.sleeper()}").run()
                await self.sleep(number * 0.0005)
                running.cancel()
                await self.assertFailure(running, CancelledError)
                self.assertEqual(self.left(), [])

        return Deferred.fromCoroutine(test())

    def test_hurry(self) -> Deferred[None]:
        """Cancelling once more does not wait for the grace."""

        async def test() -> None:
            running = self.shell(f"{_STUBBORN}{self.sleeper()}; {self.sleeper()}", grace=1000.0).run()
            await self.until(2)
            running.cancel()
            await self.sleep(0.1)
            self.assertEqual(len(self.left()), 2)
            running.cancel()
            await self.assertFailure(running, CancelledError)
            self.assertEqual(self.left(), [])

        return Deferred.fromCoroutine(test())

    def test_leaves_children(self) -> Deferred[None]:
        """Children that go on after the command are killed, and it has failed."""

        async def test() -> None:
            for script in (
                f"{self.sleeper()} & echo done",
                f"{self.sleeper()} >/dev/null 2>&1 & echo done",
                f"{_STUBBORN}({self.sleeper()} &) ; echo done",
            ):
                result = await self.shell(script).run()
                self.assertEqual(result, Result(Status.FAIL, "killed: children went on after it had exited\ndone"))
                self.assertEqual(self.left(), [])

        return Deferred.fromCoroutine(test())

    def test_short_children(self) -> Deferred[None]:
        """Children that end soon after the command are waited for."""

        async def test() -> None:
            result = await self.shell("(sleep 0.1; echo child) & echo done", grace=30.0).run()
            self.assertEqual(result, Result(Status.OK, "done\nchild"))

        return Deferred.fromCoroutine(test())

    def test_cancelled_after_the_exit(self) -> Deferred[None]:
        """If the time is over while children of a command go on that has exited, the error says so, and they are killed."""

        async def test() -> None:
            file = Path(self.mktemp()).resolve()
            running = self.shell(
                f"{self.sleeper()} & echo done; echo $$ >{file}.new; mv {file}.new {file}", grace=1000.0
            ).run()
            # The reactor has reaped the shell, and the child has begun.
            while not file.exists() or Path(f"/proc/{file.read_text().strip()}").exists() or len(self.left()) != 1:
                await self.sleep(0.01)
            running.cancel()
            error: Any = await self.assertFailure(running, CancelledError)
            self.assertEqual(error.args, ("the command had exited, but its children went on\ndone\n",))
            self.assertEqual(self.left(), [])

        return Deferred.fromCoroutine(test())

    def test_sessions_of_their_own(self) -> Deferred[None]:
        """A command that is killed takes all its descendants with it, also those that have left its group and ignore SIGTERM."""

        async def test() -> None:
            sleeper = self.sleeper()
            for script, count in (
                (f"setsid {sleeper} & {sleeper}; :", 3),
                (f"(setsid sh -c '(setsid {sleeper.replace(chr(39), chr(34))} &) &' &) ; {sleeper}; :", 3),
                (f"{_STUBBORN}setsid {sleeper} & trap - TERM; {sleeper}; :", 3),
                (f"{_STUBBORN}(setsid {sleeper} >/dev/null 2>&1 &) ; {sleeper}; {sleeper}; :", 3),
            ):
                running = self.shell(script).run()
                await self.until(count)
                running.cancel()
                await self.assertFailure(running, CancelledError)
                self.assertEqual(self.left(), [], script)

        return Deferred.fromCoroutine(test())

    def test_on_the_run(self) -> Deferred[None]:
        """A chain of processes is killed of which each starts the next in another session, and ends soon."""

        async def test() -> None:
            script = Path(self.mktemp()).resolve()
            # Should it escape, the chain ends by itself.
            script.write_text('#!/bin/sh\n[ "$1" = 1000 ] && exit\nsetsid "$0" $(($1 + 1)) "$2" &\n')
            script.chmod(0o700)
            running = self.shell(f"{_STUBBORN}{script} 1 {self.marker}; {self.sleeper()}; :", grace=0.0).run()
            while len(self.left()) < 2:
                await self.sleep(0.01)
            running.cancel()
            await self.assertFailure(running, CancelledError)
            # One look can miss a process that is just being started.
            self.assertEqual([self.left() for _ in range(20)], [[]] * 20)

        return Deferred.fromCoroutine(test())

    def test_others_go_on(self) -> Deferred[None]:
        """A run that is killed touches neither another run of the same check nor a process with another mark."""

        async def test() -> None:
            check = self.shell(f"setsid {self.sleeper()} & {self.sleeper()}; :")
            first, second = check.run(), check.run()
            await self.until(6)
            first.cancel()
            await self.assertFailure(first, CancelledError)
            self.assertEqual(len(self.left()), 3)
            second.cancel()
            await self.assertFailure(second, CancelledError)

        return Deferred.fromCoroutine(test())

    def test_leaves_the_group(self) -> Deferred[None]:
        """If the command exits in time, a child with a session of its own goes on, and does not hold up the check."""

        async def test() -> None:
            result = await self.shell(f"setsid {self.sleeper()} & echo done").run()
            self.assertEqual(result, Result(Status.OK, "done"))
            await self.until(1)
            (pid,) = self.left()
            os.kill(pid, signal.SIGKILL)
            await self.until(0)

        return Deferred.fromCoroutine(test())

    def test_service(self) -> Deferred[None]:
        """In a service: a command that hangs runs into its timeout; stopping waits until no process is left."""
        return Deferred.fromCoroutine(self._test_service())

    async def _test_service(self) -> None:
        settings = CheckSettings(interval=0.05, timeout=0.1, jitter=0.0, fall=2)
        check = self.shell(f"{_STUBBORN}{self.sleeper()}; {self.sleeper()}")
        health = ServiceHealth("web", [ServiceCheck("command", check, settings)])
        service = ChecksService([health], reactor=self.reactor)
        service.startService()
        while health.state is State.UNKNOWN:
            await self.sleep(0.01)
        self.assertRegex(health.why(), r"^Check command failed \d times in a row \(no result within 0\.1 s")
        while not self.left():
            await self.sleep(0.01)
        await service.stopService()
        self.assertEqual(self.left(), [])


class ArgumentTests(SynchronousTestCase):
    def test_interface(self) -> None:
        check = CommandCheck(["check_load", "-w", "8"], reactor=MemoryReactor())
        self.assertTrue(verifyObject(ICheck, check))
        self.assertEqual((check.kind, check.description), ("command", "command check_load -w 8"))

    def test_invalid(self) -> None:
        """Arguments that no command can have are refused before anything runs."""
        wrong: Any
        for wrong in ("true", ["sleep", 1]):
            self.assertRaises(TypeError, CommandCheck, wrong, reactor=MemoryReactor())
        for wrong in ([], ["a\0b"]):
            self.assertRaises(ValueError, CommandCheck, wrong, reactor=MemoryReactor())
        for wrong in ({"": "x"}, {"a=b": "x"}, {"a": "x\0"}):
            self.assertRaises(ValueError, CommandCheck, ["true"], environment=wrong, reactor=MemoryReactor())
        self.assertRaises(ValueError, CommandCheck, ["true"], grace=-1, reactor=MemoryReactor())
