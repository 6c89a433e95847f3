"""The commands of recipes at a real server, beside other programs, and with the faults of both ends."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.recipes import Lock
from txmirror.test.client.contract import run
from txmirror.test.integration.commands import Command
from txmirror.test.integration.servers import janitor
from txmirror.test.zookeeper import ZooKeeperProcess, shared_server


class Killed(ProcessProtocol):
    """A process that says when it has written its first line, and when it has ended."""

    def __init__(self) -> None:
        self.written: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        if not self.written.called:
            self.written.callback(None)

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(None)


class CommandRecipesCase(TestCase):
    timeout = 40

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.address = await deferToThread(self.serve)
        self.path = f"/command-recipes/{self._testMethodName}"
        self.client = ZooKeeperClient(self.address, session_timeout=4.0)
        self.addCleanup(self.client.close)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def serve(self) -> str:
        """Return the address of a server without the node of this test."""
        address = shared_server().address
        janitor(address).delete(f"/command-recipes/{self._testMethodName}", recursive=True)
        return address

    def begin(self, *arguments: str, stdin: bytes = b"") -> Command:
        """Start a command line, which is ended by the test at the latest."""
        command = Command(self.reactor, "-s", self.address, *arguments, stdin=stdin)

        def end() -> Deferred[int]:
            if not command.ended.called and command.run is not None:
                command.run.interrupt(signal.SIGTERM)
            return command.ended

        self.addCleanup(end)
        return command

    async def done(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """Run a command line, and return its status and output."""
        command = self.begin(*arguments, stdin=stdin)
        status = await command.ended
        return status, command.out, command.err

    async def until(self, condition: Callable[[], object]) -> None:
        """Look until something is so; the test's timeout is the limit."""
        while not condition():
            await deferLater(self.reactor, 0.02)

    def program(self, name: str) -> list[str]:
        """Return a program that appends its token to the file NAME, until there is a file NAME.end; its status is then 3. A signal for
        it makes the file NAME.ended.
        """
        file = shlex.quote(str((self.folder / name).resolve()))
        script = (
            f"trap 'echo > {file}.ended; exit 5' TERM; echo $TXMIRROR_TOKEN >> {file};"
            f" while [ ! -e {file}.end ]; do sleep 0.05; done; exit 3"
        )
        return ["--", "sh", "-c", script]

    def started(self, name: str) -> list[int]:
        """Return the tokens of the starts of a program."""
        file = self.folder / name
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def let_end(self, name: str) -> None:
        (self.folder / f"{name}.end").touch()


class CommandRecipesTests(CommandRecipesCase):
    @run
    async def test_queue(self) -> None:
        """Entries come by priority; one that waits gets the next; one whose program fails is there again."""
        self.assertEqual(await self.done("queue", "put", self.path, "-", "--lines", stdin=b"a\nb\n"), (0, "", ""))
        self.assertEqual(await self.done("queue", "put", self.path, "first", "--priority", "5"), (0, "", ""))
        status, out, _ = await self.done("queue", "get", self.path, "--count", "2", "--lines")
        self.assertEqual((status, out), (0, "first\na\n"))
        status, _, _ = await self.done("queue", "get", self.path, "--consume-with", "false")
        self.assertEqual(status, 1)
        self.assertEqual((await self.done("queue", "get", self.path, "--wait", "0"))[1], "b")
        waiting = self.begin("queue", "get", self.path)
        self.assertEqual(await self.done("queue", "put", self.path, "c"), (0, "", ""))
        self.assertEqual((await waiting.ended, waiting.out), (0, "c"))

    @run
    async def test_counter_and_barrier(self) -> None:
        """Numbers add up; who waits at a barrier goes on when it is removed."""
        self.assertEqual(await self.done("counter", f"{self.path}/n", "--add", "3"), (0, "3\n", ""))
        self.assertEqual(await self.done("counter", f"{self.path}/n", "--add", "-5"), (0, "-2\n", ""))
        self.assertEqual(await self.done("counter", f"{self.path}/n"), (0, "-2\n", ""))
        barrier = f"{self.path}/b"
        self.assertEqual(await self.done("barrier", "create", barrier), (0, "", ""))
        waiting = self.begin("barrier", "wait", barrier)
        status, _, err = await self.done("barrier", "wait", barrier, "--wait", "0.2")
        self.assertEqual((status, err), (75, f"txmirror: the barrier {barrier!r} was there for 0.2 s\n"))
        self.assertFalse(waiting.ended.called)
        self.assertEqual(await self.done("barrier", "remove", barrier), (0, "", ""))
        self.assertEqual(await waiting.ended, 0)
        together = [self.begin("barrier", "run", barrier, "--count", "2", *self.program(name)) for name in "ab"]
        await self.until(lambda: (self.folder / "a").exists() and (self.folder / "b").exists())
        for name in "ab":
            self.let_end(name)
        self.assertEqual([await each.ended for each in together], [3, 3])

    @run
    async def test_lock_style(self) -> None:
        """A lock of Curator's style excludes its contenders, and the status is the program's."""
        theirs = Lock(self.client, self.path, style="curator-mutex", name="theirs")
        command = self.begin("lock", self.path, "--style", "curator-mutex", *self.program("job"))
        await self.until(lambda: self.started("job"))
        self.assertFalse(await theirs.acquire(wait=0))
        status, _, err = await self.done("lock", self.path, "--", "true")
        self.assertEqual((status, err.count("\n")), (1, 1))
        self.assertIn("style='curator-mutex'", err)
        acquired = theirs.acquire()
        self.let_end("job")
        self.assertEqual(await command.ended, 3)
        self.assertTrue(await acquired)
        status, _, err = await self.done("lock", self.path, "--style", "curator-mutex", "--wait", "0", "--", "true")
        self.assertEqual(status, 75)
        self.assertIn("is held by another session", err)

    @run
    async def test_elect(self) -> None:
        """Of two candidates one leads; the other does when the first has ended, with a larger token."""
        first = self.begin("elect", self.path, *self.program("first"))
        await self.until(lambda: self.started("first"))
        second = self.begin("elect", self.path, *self.program("second"))
        while len(await Lock(self.client, self.path).contenders()) != 2:
            pass
        self.assertEqual(self.started("second"), [])
        self.let_end("first")
        self.assertEqual(await first.ended, 3)
        await self.until(lambda: self.started("second"))
        self.assertGreater(self.started("second"), self.started("first"))
        self.let_end("second")
        self.assertEqual(await second.ended, 3)

    @run
    async def test_killed(self) -> None:
        """The lock of a command that is killed (SIGKILL) is free when its session has expired, and not before."""
        command = [sys.executable, "-m", "txmirror", "lock", self.path, "-s", self.address, "-t", "2"]
        protocol = Killed()
        process = self.reactor.spawnProcess(
            protocol, command[0], [*command, "--", "sh", "-c", "echo held; exec sleep 3"], env=dict(os.environ)
        )
        await protocol.written
        ours = Lock(self.client, self.path)
        self.assertFalse(await ours.acquire(wait=0))
        acquired = ours.acquire()
        process.signalProcess("KILL")
        began = self.reactor.seconds()
        self.assertTrue(await acquired)
        # It was in contact a third of the timeout ago at most.
        self.assertGreater(self.reactor.seconds() - began, 1.0)
        await protocol.ended


class StoppedServerTests(CommandRecipesCase):
    def serve(self) -> str:
        self.server = ZooKeeperProcess()
        self.addCleanup(deferToThread, self.server.cleanup)
        self.server.start()
        return self.server.address

    @run
    async def test_elect(self) -> None:
        """While the server is stopped (SIGSTOP), the program ends at the lease, and is started again when the server goes on."""
        command = self.begin("elect", self.path, "-t", "2", *self.program("job"))
        await self.until(lambda: self.started("job"))
        await deferToThread(self.server.pause)
        await self.until((self.folder / "job.ended").exists)
        self.assertFalse(command.ended.called)
        self.assertEqual(len(self.started("job")), 1)
        await deferToThread(self.server.resume)
        await self.until(lambda: len(self.started("job")) == 2)
        tokens = self.started("job")
        self.assertGreater(tokens[1], tokens[0])
        self.assertRegex(command.err, r"(?s)elected: .*was lost: ending sh.*elected: ")
        self.let_end("job")
        self.assertEqual(await command.ended, 3)
