"""Curator's own locks, latch, leader selector and semaphore on one path with ours, at a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.errors import LockMismatchError
from txmirror.recipes import Election, Lock, ReadLock, Semaphore, WriteLock
from txmirror.test.client.contract import run
from txmirror.test.integration.commands import Command
from txmirror.test.integration.servers import janitor
from txmirror.test.neighbours.curator_programs import curator_programs
from txmirror.test.zookeeper import shared_server


class Curator(ProcessProtocol):
    """The Java program: commands and the lines of its answers."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.errors = b""
        self._lines: list[str] = []
        self._waiting: dict[str, Deferred[None]] = {}
        self._rest = b""

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode()
            waiting = self._waiting.pop(text, None)
            if waiting is None:
                self._lines.append(text)
            else:
                waiting.callback(None)

    def errReceived(self, data: bytes) -> None:
        self.errors += data

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(None)

    def send(self, command: str) -> None:
        """Send a command."""
        assert self.transport is not None
        self.transport.write(command.encode() + b"\n")

    def line(self, text: str) -> Deferred[None]:
        """Wait for a line; those that have arrived count once."""
        waited: Deferred[None] = Deferred()
        if text in self._lines:
            self._lines.remove(text)
            waited.callback(None)
        else:
            self._waiting[text] = waited
        return waited

    def ask(self, command: str, answer: str) -> Deferred[None]:
        """Send a command, and wait for its answer."""
        self.send(command)
        return self.line(answer)


class CuratorLocksTests(TestCase):
    timeout = 120

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        self.java = curator_programs()
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        address = (await deferToThread(shared_server)).address
        self.root = "/curator-locks"
        await deferToThread(lambda: janitor(address).delete(self.root, recursive=True))
        self.addCleanup(deferToThread, lambda: janitor(address).delete(self.root, recursive=True))
        self.client = ZooKeeperClient(address)
        self.addCleanup(self.client.close)
        await self.client.connect()
        self.address = address

    async def start(self, name: str) -> Curator:
        """Start the program for a path of its own, which is :attr:`path` from now on."""
        from twisted.internet import reactor

        self.path = f"{self.root}/{name}"
        command = self.java.command("Locks", self.address, self.path)
        curator = Curator()
        made: Any = reactor
        process = made.spawnProcess(curator, command[0], command, env=None)

        def end() -> Deferred[None]:
            if not curator.ended.called:
                process.signalProcess("KILL")
            return curator.ended

        self.addCleanup(end)
        return curator

    async def until_contenders(self, lock: Any, count: int) -> None:
        """Wait until a lock has a number of contenders; the test's timeout is the limit."""
        while len(await lock.contenders()) != count:
            pass

    async def check_lock(self, curator: Curator, kind: str, make: Callable[[], Any]) -> None:
        """A lock goes from Curator to us and back, in the order in which each came; each excludes the other."""
        ours, other = make(), make()
        await curator.ask(f"acquire {kind}", f"held {kind}")
        self.assertFalse(await ours.acquire(wait=0))
        acquired = ours.acquire()
        await self.until_contenders(ours, 2)
        self.assertFalse(acquired.called)
        await curator.ask(f"release {kind}", f"released {kind}")
        self.assertTrue(await acquired)
        await curator.ask(f"try {kind}", f"busy {kind}")
        held = curator.ask(f"acquire {kind}", f"held {kind}")
        await self.until_contenders(ours, 2)
        behind = other.acquire()
        await self.until_contenders(ours, 3)
        await ours.release()
        await held
        self.assertFalse(behind.called)
        await curator.ask(f"release {kind}", f"released {kind}")
        self.assertTrue(await behind)
        await other.release()

    @run
    async def test_mutex(self) -> None:
        """``InterProcessMutex``; and the name that go-zookeeper gives is a contender for it too."""
        curator = await self.start("mutex")
        await self.check_lock(curator, "mutex", lambda: Lock(self.client, self.path, style="curator-mutex"))
        await self.check_lock(curator, "mutex", lambda: Lock(self.client, self.path, style="go"))
        await curator.ask("acquire mutex", "held mutex")
        failure = await self.assertFailure(Lock(self.client, self.path).acquire(), LockMismatchError)
        self.assertIn("style='curator-mutex'", str(failure))
        await curator.ask("release mutex", "released mutex")

    @run
    async def test_command(self) -> None:
        """``txmirror lock --style curator-mutex`` waits for Curator, and Curator for it."""
        from twisted.internet import reactor

        curator = await self.start("command")
        await curator.ask("acquire mutex", "held mutex")
        options = ("-s", self.address, "lock", self.path, "--style", "curator-mutex")
        refused = Command(reactor, *options, "--wait", "0", "--", "true")
        self.assertEqual(await refused.ended, 75)
        end = Path(self.mktemp()).resolve()
        command = Command(reactor, *options, "--", "sh", "-c", f"while [ ! -e {end} ]; do sleep 0.05; done; exit 3")
        contenders = Lock(self.client, self.path, style="curator-mutex")
        await self.until_contenders(contenders, 2)
        await curator.ask("release mutex", "released mutex")
        held = curator.ask("acquire mutex", "held mutex")
        await self.until_contenders(contenders, 2)
        self.assertFalse(held.called)
        end.touch()
        self.assertEqual(await command.ended, 3)
        await held

    @run
    async def test_read_write(self) -> None:
        """``InterProcessReadWriteLock``: readers share it, writers exclude all."""
        curator = await self.start("read-write")
        style = "curator-read-write"

        def writer() -> WriteLock:
            return WriteLock(self.client, self.path, style=style)

        await self.check_lock(curator, "write", writer)
        await self.check_lock(curator, "read", writer)
        await self.check_lock(curator, "write", lambda: ReadLock(self.client, self.path, style=style))
        ours = ReadLock(self.client, self.path, style=style)
        await curator.ask("acquire read", "held read")
        self.assertTrue(await ours.acquire(wait=0))
        await curator.ask("try write", "busy write")
        await curator.ask("release read", "released read")
        await curator.ask("acquire read", "held read")
        await ours.release()

    async def check_election(self, curator: Curator, kind: str, style: str) -> None:
        """We lead after Curator does, and it leads after us."""
        first = Election(self.client, self.path, name="ours", style=style)
        await curator.ask(f"acquire {kind}", f"held {kind}")
        elected: Deferred[None] = Deferred()
        job: Deferred[Any] = Deferred()

        def lead() -> Deferred[Any]:
            elected.callback(None)
            return job

        leading = first.run(lead)
        while len(await first.contenders()) != 2:
            pass
        self.assertFalse(elected.called)
        await curator.ask(f"release {kind}", f"released {kind}")
        await elected
        job.callback("led")
        self.assertEqual(await leading, "led")

    @run
    async def test_latch(self) -> None:
        """``LeaderLatch``, which leads when our candidate has left."""
        curator = await self.start("latch")
        ours = Election(self.client, self.path, style="curator-latch")
        changes = ours.leading.__aiter__()
        self.assertTrue(await changes.__anext__())
        held = curator.ask("acquire latch", "held latch")
        while len(await ours.contenders()) != 2:
            pass
        self.assertEqual(await ours.contenders(), ["", "curator"])
        self.assertFalse(held.called)
        await ours.stop()
        await held
        other = Election(self.client, self.path, style="curator-latch").run(lambda: Deferred.fromCoroutine(_led()))
        await curator.ask("release latch", "released latch")
        self.assertEqual(await other, "led")

    @run
    async def test_selector(self) -> None:
        """``LeaderSelector`` is a mutex."""
        curator = await self.start("selector")
        await self.check_election(curator, "selector", "curator-mutex")

    @run
    async def test_revoke(self) -> None:
        """Curator asks us to give up a lock, and we ask Curator."""
        curator = await self.start("revoke")
        ours = Lock(self.client, self.path, style="curator-mutex", name="ours")
        await ours.acquire()
        asked = ours.revocation
        await curator.ask("ask revoker", "asked revoker")
        await asked
        await ours.release()
        await curator.ask("acquire revocable", "held revocable")
        asked = curator.line("asked revocable")
        self.assertEqual(len(await ours.revoke()), 1)
        await asked

    @run
    async def test_semaphore(self) -> None:
        """``InterProcessSemaphoreV2`` is recognised, and refused with a sentence."""
        curator = await self.start("semaphore")
        await curator.ask("acquire semaphore", "held semaphore")
        for claim in (
            Lock(self.client, self.path),
            Lock(self.client, self.path, style="curator-mutex"),
            Semaphore(self.client, self.path, leases=2),
        ):
            failure = await self.assertFailure(claim.acquire(), LockMismatchError)
            self.assertIn("Curator's InterProcessSemaphoreV2", str(failure))
        # ``locks`` is empty while Curator holds its lease, and a container: the server may have deleted it.
        self.assertEqual(set(await self.client.get_children(self.path)) - {"locks"}, {"leases"})


async def _led() -> str:
    return "led"
