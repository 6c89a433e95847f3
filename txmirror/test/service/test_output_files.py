"""The output files of a daemon, from its start to its stop."""

from __future__ import annotations

from twisted.internet.task import Clock

from txmirror.service import Daemon
from txmirror.test.service.case import DaemonTestCase, S, service
from txmirror.test.threaded import ThreadedClock


class OutputFilesTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.output = self.folder / "list"
        self.server.listen(2181)

    def watch(self, **keys: object) -> str:
        lines = ["[[watch]]", 'path = "/services"', 'output = "list"', 'format = "lines"', "settle = 0"]
        return "\n".join([*lines, *(f"{key} = {value}" for key, value in keys.items()), ""])

    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()

    def up(self, *parts: str) -> Daemon:
        daemon = self.daemon(*parts)
        for each in daemon.supervisor.services:
            self.push(daemon, each)
        self.reactor.pass_time(1)
        return daemon

    def test_own_services(self) -> None:
        """The file has the services of the daemon itself, as they go up and down, until the session is closed."""
        daemon = self.up(service("a"), service("b"), self.watch())
        self.assertEqual(self.lines(), ["a:1", "b:1"])
        daemon.supervisor.maintenance.set("b", "broken", None)
        self.reactor.pass_time(1)
        self.assertEqual(self.lines(), ["a:1"])

    def test_stop(self) -> None:
        """In a stop the file follows the withdrawals, and stays."""
        daemon = self.up(service("a", drain=5), self.watch(keep_if_below=0))
        stopped = daemon.stopService()
        self.running.remove(daemon)
        self.reactor.pass_time(1)
        self.assertEqual(self.lines(), [])
        self.reactor.pass_time(10)
        self.successResultOf(stopped)
        self.assertTrue(self.output.exists())

    def test_stop_without_drain(self) -> None:
        """The file follows the withdrawals also without a drain, and within the window in which further changes are awaited."""
        daemon = self.up(service("a"), self.watch(keep_if_below=0).replace("settle = 0", 'settle = "1m"'))
        self.reactor.pass_time(61)
        self.assertEqual(self.lines(), ["a:1"])
        self.end(daemon, 5)
        self.assertEqual(self.lines(), [])

    def test_no_services(self) -> None:
        """A daemon may have files and no services."""
        self.up(self.watch())
        self.assertEqual(self.lines(), [])

    def test_reload(self) -> None:
        """A reload adds, changes and removes files; that is logged with their names."""
        daemon = self.up(service("a"))
        self.assertFalse(self.output.exists())
        for parts, content in ((self.watch(), "a:1\n"), (self.watch(name='"x"', mode='"0600"'), "a:1\n")):
            self.write(service("a"), parts)
            self.successResultOf(daemon.reload())
            self.reactor.settle()
            self.assertEqual(self.output.read_text(), content)
        self.assertEqual(self.output.stat().st_mode & 0o777, 0o600)
        self.write(service("a"))
        self.successResultOf(daemon.reload())
        self.assertEqual(daemon.output_files.files, {})
        self.assertEqual(len(self.log.about("Files that were added, removed or changed: ")), 3)

    def test_hangs(self) -> None:
        """A file system that hangs holds up the stop for ``stop_timeout`` at the most; the services are withdrawn before."""
        self.write(service("a"), self.watch(), daemon='stop_timeout = "7s"')
        daemon = self.make_daemon(self.load(), clock=self.reactor)
        daemon.output_files._reactor = threads = ThreadedClock()
        daemon.startService()
        self.reactor.settle()
        self.push(daemon, "a")
        self.reactor.pass_time(1)
        self.assertEqual(list(self.registered()), ["a"])
        self.assertTrue(threads.waiting)
        stopped = daemon.stopService()
        self.reactor.pass_time(1)
        self.assertEqual(self.registered(), {})
        self.assertNoResult(stopped)
        self.reactor.pass_time(6)
        self.successResultOf(stopped)

    def test_clock(self) -> None:
        """The files use the clock of the checks."""
        self.write(self.watch())
        clock = Clock()
        daemon = self.make_daemon(self.load(), clock=clock)
        self.assertIs(daemon.output_files._clock, clock)

    def test_zookeeper_down(self) -> None:
        """Without ZooKeeper the file stays as it is, and the stop is bounded."""
        self.output.write_text("former")
        self.server.stop()
        self.reactor.settle()
        daemon = self.daemon(self.watch())
        self.reactor.pass_time(3 * S)
        self.assertEqual(self.output.read_text(), "former")
        self.end(daemon, 10)

    def test_new_session(self) -> None:
        """After the end of the session the file is followed in the next one."""
        daemon = self.up(service("a"), self.watch())
        assert daemon.registrations.session is not None
        self.server.expire_session(daemon.registrations.session.client.session_id)
        self.reactor.pass_time(20)
        self.assertEqual(self.lines(), ["a:1"])
        self.client().create("/services/c:3", b"{}")
        self.reactor.pass_time(1)
        self.assertEqual(self.lines(), ["a:1", "c:3"])
