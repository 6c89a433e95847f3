"""``lock`` runs a program only while a lock is held."""

from __future__ import annotations

import signal
from pathlib import Path

from txmirror.recipes import Lock, Semaphore
from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.types import READ_ACL, digest_acl

PATH = "/locks/report"


class LockTestCase(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.theirs = Lock(self.other, PATH, name="them", reactor=self.reactor)

    @property
    def holder(self) -> str:
        """The command's description of the lock's holder."""
        return f"session {self.other.session_id:#x} (them)"

    def lock(self, *options: str, terminal: bool = False) -> Command:
        return self.start("lock", PATH, *options, "--", "sh", "-c", "work", terminal=terminal)

    def take(self) -> None:
        """Let another client acquire the lock."""
        self.assertTrue(self.world.result(self.theirs.acquire(wait=0)))

    def nodes(self, path: str = PATH) -> list[str]:
        return self.world.result(self.other.get_children(path))

    def assert_free(self) -> None:
        """Assert that nobody holds the lock, or waits for it."""
        self.assertEqual(self.nodes(), [])
        self.take()
        self.world.result(self.theirs.release())


class LockTests(LockTestCase):
    def test_held(self) -> None:
        """The program runs while the lock is held, has the fencing token, and its exit status is the command's."""
        for status in (0, 7):
            self.reactor.processes.clear()
            command = self.lock()
            self.assertEqual(self.process.arguments, [b"sh", b"-c", b"work"])
            stat = self.world.result(self.other.exists(f"{PATH}/{self.nodes()[0]}"))
            assert stat is not None
            self.assertEqual(self.process.environment[b"TXMIRROR_TOKEN"], str(stat.czxid).encode())
            self.assertFalse(self.world.result(self.theirs.acquire(wait=0)))
            self.process.end(status)
            self.assert_ended(command, status)
            self.assertEqual(command.err, "")
            self.assert_free()

    def test_acl(self) -> None:
        """With a user the lock's nodes are that user's."""
        password = self.mktemp()
        Path(password).write_text("pw")
        Path(password).chmod(0o600)
        self.world.result(self.other.add_auth("digest", b"app:pw"))
        for number, options in enumerate(((), ("--simultaneous", "2"))):
            self.reactor.processes.clear()
            path = f"{PATH}-{number}"
            command = self.start("lock", path, *options, "-u", "app", "--password-file", password, "--", "sh")
            for each in (path, f"{path}/{self.nodes(path)[0]}"):
                acl, _ = self.world.result(self.other.get_acl(each))
                self.assertEqual(tuple(acl), (digest_acl("app", "pw"), *READ_ACL))
            self.process.end()
            self.assert_ended(command, 0)

    def test_waits(self) -> None:
        """Without a limit the command waits for the lock as long as it takes, and starts no program."""
        self.take()
        command = self.lock()
        self.world.pass_time(1000.0)
        self.assertEqual((command.running, self.reactor.processes), (True, []))
        self.world.result(self.theirs.release())
        self.process.end()
        self.assert_ended(command, 0)

    def test_wait(self) -> None:
        """With a limit it goes when that is over, and leaves nothing."""
        self.take()
        command = self.lock("--wait", "10")
        self.world.pass_time(9.99)
        self.assertTrue(command.running)
        self.world.pass_time(0.01)
        self.assert_ended(command, 75)
        self.assertEqual(command.err, f"txmirror: {PATH!r} could not be acquired within 10 s: {self.holder}\n")
        self.assertEqual((len(self.nodes()), self.reactor.processes), (1, []))

    def test_no_wait(self) -> None:
        """With --wait 0 the command fails at once if the lock is held."""
        self.take()
        command = self.lock("--wait", "0")
        self.assert_ended(command, 75)
        self.assertEqual(command.err, f"txmirror: {PATH!r} is held by another session: {self.holder}\n")
        self.world.result(self.theirs.release())
        command = self.lock("--wait", "0")
        self.process.end()
        self.assert_ended(command, 0)

    def test_wait_in_an_outage(self) -> None:
        """The limit holds with ZooKeeper out of reach, too."""
        self.take()
        command = self.lock("--wait", "60", "-q")
        self.stop_server()
        self.world.pass_time(59.99)
        self.assertTrue(command.running)
        self.world.pass_time(2.01)
        self.assertEqual((command.status, self.reactor.processes), (75, []))

    def test_interrupted(self) -> None:
        """Interrupted while it waits, it leaves nothing."""
        self.take()
        for number in (signal.SIGINT, signal.SIGTERM):
            command = self.lock()
            command.interrupt(number)
            self.assert_ended(command, 128 + number)
            self.assertEqual((command.err, len(self.nodes())), ("", 1))

    def test_signals(self) -> None:
        """While the program runs, signals are its own, and the lock is held until it has ended."""
        command = self.lock()
        command.interrupt(signal.SIGTERM)
        self.assertEqual((self.process.signals, len(self.nodes())), (["TERM"], 1))
        self.process.end(signal=signal.SIGTERM)
        self.assert_ended(command, 143)
        self.assert_free()

    def test_cannot_start(self) -> None:
        """If a program cannot be started, the lock is released."""
        self.reactor.refuses = OSError(8, "Exec format error")
        command = self.lock()
        self.assert_ended(command, 126)
        self.assert_free()

    def test_no_server(self) -> None:
        command = self.start("lock", PATH, "-s", "127.0.0.1:1", "--timeout", "2", "--", "sh")
        self.world.pass_time(2.0)
        self.assertEqual((command.status, self.reactor.processes), (69, []))

    def test_refused(self) -> None:
        """A refusal of ZooKeeper is printed."""
        self.make("/locks", ephemeral=True)
        command = self.lock()
        self.assert_ended(command, 1)
        self.assertRegex(command.err, r"\Atxmirror: ephemeral znodes can have no children[^\n]*\n\Z")


class LostTests(LockTestCase):
    def test_deleted(self) -> None:
        """When its node is deleted the program is asked to end, and then the status is not the program's."""
        command = self.lock()
        self.world.result(self.other.delete(f"{PATH}/{self.nodes()[0]}"))
        self.assertEqual(self.process.signals, ["TERM"])
        self.assertEqual(command.err, f"txmirror: {PATH!r} was lost: ending sh\n")
        self.world.pass_time(1.0)
        self.process.end(5)
        self.assert_ended(command, 69)
        self.assertEqual(self.process.signals, ["TERM"])

    def test_killed(self) -> None:
        """A program that does not end is killed after the grace period: by default a third of the session timeout."""
        for options, grace in (((), 10.0 / 3), (("--session-timeout", "6"), 2.0), (("--grace", "60"), 60.0)):
            self.reactor.processes.clear()
            command = self.lock(*options)
            self.world.result(self.other.delete(f"{PATH}/{self.nodes()[0]}"))
            self.world.pass_time(grace - 0.01)
            self.assertEqual(self.process.signals, ["TERM"])
            self.world.pass_time(0.02)
            self.assertEqual(self.process.signals, ["TERM", "KILL"])
            self.process.end(signal=signal.SIGKILL)
            self.assert_ended(command, 69)

    def test_out_of_reach(self) -> None:
        """With ZooKeeper out of reach the program is ended, and killed, before anybody else can have the lock."""
        command = self.lock("-q")
        waiting = self.theirs.acquire()
        assert command.run is not None
        silent = self.world.server.connection_of(command.run.client.session_id)
        silent.stall()
        self.reactor.black_hole("127.0.0.1", self.port)
        killed_at = None
        for _ in range(200):
            self.world.pass_time(0.1)
            if killed_at is None and self.process.signals == ["TERM", "KILL"]:
                killed_at = self.reactor.seconds()
            if waiting.called:
                break
        assert killed_at is not None
        self.assertTrue(waiting.called)
        self.assertLess(killed_at, self.reactor.seconds())
        self.reactor.undo_black_hole("127.0.0.1", self.port)
        self.process.end(signal=signal.SIGKILL)
        self.world.pass_time(5.0)
        self.assertEqual(command.status, 69)
        self.world.result(self.theirs.release())

    def test_expired(self) -> None:
        """When the session expires, the program is ended before any other client can have the lock."""
        command = self.lock("-q")
        assert command.run is not None
        self.world.server.expire_session(command.run.client.session_id)
        self.world.pass_time(1.0)
        self.assertEqual(self.process.signals, ["TERM"])
        self.process.end(signal=signal.SIGTERM)
        self.world.pass_time(5.0)
        self.assertEqual(command.status, 69)

    def test_outage_that_passes(self) -> None:
        """An outage that ends in time costs nothing."""
        command = self.lock("-q")
        self.stop_server()
        self.world.pass_time(3.0)
        self.start_server()
        self.world.pass_time(3.0)
        self.assertEqual(self.process.signals, [])
        self.process.end()
        self.assert_ended(command, 0)

    def test_ended_in_an_outage(self) -> None:
        """A program that ends while ZooKeeper is away does not wait for it for long."""
        command = self.lock("-q")
        self.stop_server()
        self.process.end(3)
        self.world.pass_time(4.0)
        self.assertEqual(command.status, 3)


class SemaphoreTests(LockTestCase):
    def test_simultaneous(self) -> None:
        """With a number, so many may hold it."""
        semaphore = Semaphore(self.other, PATH, leases=2, reactor=self.reactor)
        self.assertTrue(self.world.result(semaphore.acquire()))
        command = self.lock("--simultaneous", "2")
        late = self.lock("--simultaneous", "2", "--wait", "0")
        self.assertEqual((late.status, late.out), (75, ""))
        self.process.end()
        self.assert_ended(command, 0)
        self.world.result(semaphore.release())

    def test_other_number(self) -> None:
        """All must agree on it."""
        self.world.result(Semaphore(self.other, PATH, leases=3, name="them", reactor=self.reactor).acquire())
        command = self.lock("--simultaneous", "2")
        self.assert_ended(command, 1)
        session = f"session {self.other.session_id:#x}"
        self.assertEqual(
            command.err,
            f"txmirror: the semaphore {PATH!r} has 3 leases, not 2, and 'them' ({session}) holds one:"
            " ask for 3, or ask again when nobody uses it, which writes the new number\n",
        )
        self.assertEqual((self.nodes(f"{PATH}-__lock__"), self.reactor.processes), ([], []))

    def test_other_kind(self) -> None:
        """A lock and a semaphore at one path exclude each other: the later one fails, and its message names the other."""
        semaphore = Semaphore(self.other, PATH, leases=2, name="them", reactor=self.reactor)
        self.world.result(semaphore.acquire())
        command = self.lock()
        self.assert_ended(command, 1)
        self.assertIn(f"{PATH!r} is used as a semaphore, held by 'them' (session ", command.err)
        self.world.result(semaphore.release())
        self.take()
        command = self.lock("--simultaneous", "2")
        self.assert_ended(command, 1)
        self.assertIn(f"{PATH!r} is used as a lock, held by 'them' (session ", command.err)
        self.assertEqual((len(self.nodes()), self.reactor.processes), (1, []))


class StyleTests(LockTestCase):
    def test_styles(self) -> None:
        """With a style, the locks of another implementation are excluded, and kazoo's refused."""
        theirs = Lock(self.other, PATH, name="them", style="curator-mutex", reactor=self.reactor)
        self.assertTrue(self.world.result(theirs.acquire()))
        command = self.lock("--style", "go", "--wait", "0")
        self.assert_ended(command, 75)
        self.assertIn(self.holder, command.err)
        command = self.lock("--wait", "0")
        self.assert_ended(command, 1)
        self.assertRegex(command.err, r"\Atxmirror: [^\n]*Curator's InterProcessMutex[^\n]*\n\Z")
        self.world.result(theirs.release())
        command = self.lock("--style", "go")
        self.process.end()
        self.assert_ended(command, 0)
