"""The daemon's notifications of systemd: its start, reloads, status, watchdog and stop."""

from __future__ import annotations

import os
from typing import Any

from txmirror.checks import Status
from txmirror.configuration import ConfigurationError
from txmirror.service import Daemon, RegistrationService
from txmirror.service.daemon import Phase
from txmirror.service.notifications import Notifications
from txmirror.service.systemd import SystemdVariables
from txmirror.test.service.case import DaemonTestCase, S, service
from txmirror.test.service.systemd_socket import SystemdSocket

_READY = "READY=1\nSTATUS="


class NotificationsTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.systemd = SystemdSocket()
        self.addCleanup(self.systemd.close)
        self.now_ns = 5_000_000_123

    def notify(self, daemon: Daemon, watchdog: float | None = None) -> Notifications:
        """Notify systemd of a daemon that has started."""
        variables = SystemdVariables(self.systemd.address, watchdog)
        notifications = Notifications(daemon, variables, self.reactor, monotonic_ns=lambda: self.now_ns)
        notifications.start()
        self.addCleanup(notifications.stop)
        self.notifications = notifications
        return notifications

    def begin(self, *parts: str, watchdog: float | None = None, **keys: Any) -> Daemon:
        """Start a daemon, of which systemd knows."""
        daemon = self.daemon(*parts, **keys)
        self.notify(daemon, watchdog)
        self.reactor.pass_time(0)
        return daemon

    def tearDown(self) -> None:
        for daemon in list(self.running):
            self.end(daemon, 40)
        self.notifications.stop()
        super().tearDown()

    def statuses(self, seconds: float) -> list[str]:
        """Return the statuses that arrive while time passes."""
        self.reactor.pass_time(seconds)
        return [each.removeprefix("STATUS=").rstrip(".") for each in self.systemd.messages()]

    def test_ready_without_zookeeper(self) -> None:
        """The daemon is ready as soon as the reactor runs, also if ZooKeeper is down."""
        daemon = self.daemon(service("web"), service("db", checks=0))
        self.notify(daemon)
        self.assertEqual(self.systemd.messages(), [])
        self.reactor.pass_time(0)
        status = "0 of 2 services registered, 1 held back, 1 pending; connecting to ZooKeeper."
        self.assertEqual(self.systemd.messages(), [_READY + status])

    def test_status(self) -> None:
        """The status follows the services and ZooKeeper. It is sent only when it has changed, and once a second at the most."""
        daemon = self.begin(service("web"), service("db", checks=0))
        self.systemd.messages()
        self.assertEqual(
            self.statuses(S), ["0 of 2 services registered, 1 held back, 1 pending; ZooKeeper is out of reach"]
        )
        self.server.listen(2181)
        # The pause before the next attempt to connect is up to 5 s.
        self.assertEqual(self.statuses(6)[-1:], ["1 of 2 services registered, 1 held back; connected to ZooKeeper"])
        self.assertEqual(self.statuses(10), [])
        for status in (Status.OK, Status.FAIL, Status.OK):
            self.push(daemon, "web", status)
            self.reactor.pass_time(0.3)
        sent = self.statuses(1)
        self.assertLessEqual(len(sent), 2)
        self.assertEqual(sent[-1], "2 of 2 services registered; connected to ZooKeeper")
        self.server.stop()
        self.assertEqual(self.statuses(2), ["2 of 2 services registered; ZooKeeper is out of reach"])
        daemon.supervisor.drain()
        self.assertEqual(self.statuses(1), ["0 of 2 services registered, 2 held back; ZooKeeper is out of reach"])

    def test_one_service(self) -> None:
        """One service is not many."""
        self.server.listen(2181)
        self.begin(service("db", checks=0))
        self.assertEqual(self.systemd.messages(), [_READY + "1 of 1 service registered; connected to ZooKeeper."])

    def test_long_status(self) -> None:
        """systemd can read a status, however much there is to say."""
        self.server.listen(2181)
        names = [f"service-{number}" for number in range(500)]
        daemon = self.begin(*(service(name) for name in names), watchdog=30)
        for name in names:
            loop: Any = daemon.checks.services[name].checks[0]._loop
            loop._due = -100
        self.reactor.pass_time(20)
        messages = self.systemd.messages()
        self.assertTrue(all(len(each.encode()) < 4000 for each in messages))
        # The status of so many services is not made each second.
        self.push(daemon, names[0])
        self.assertEqual(self.statuses(1.4), [])
        self.assertIn("1 of 500 services registered", self.statuses(1.2)[-1])

    def test_reload(self) -> None:
        """A reload is announced with the time, and its end is notified."""
        self.server.listen(2181)
        daemon = self.begin(service("web", checks=0))
        self.reactor.pass_time(2)
        self.systemd.messages()
        self.write(service("web", checks=0), service("db", checks=0))
        self.successResultOf(daemon.reload())
        status = "1 of 2 services registered, 1 pending; connected to ZooKeeper."
        self.assertEqual(self.systemd.messages(), ["RELOADING=1\nMONOTONIC_USEC=5000000", _READY + status])
        self.assertEqual(self.statuses(2)[-1], "2 of 2 services registered; connected to ZooKeeper")

    def test_refused_reload(self) -> None:
        """The daemon is ready after a reload that was refused, too, and its status has that until the next one."""
        self.server.listen(2181)
        daemon = self.begin(service("web", checks=0))
        self.reactor.pass_time(2)
        self.systemd.messages()
        self.write("nonsense")
        reloaded = daemon.reload()
        self.reactor.pass_time(0)
        self.failureResultOf(reloaded, ConfigurationError)
        status = "1 of 1 service registered; connected to ZooKeeper; the last reload has failed."
        self.assertEqual(self.systemd.messages(), ["RELOADING=1\nMONOTONIC_USEC=5000000", _READY + status])
        self.assertEqual(self.statuses(5), [])
        self.write(service("web", checks=0))
        daemon.reload()
        self.reactor.pass_time(0)
        self.assertEqual(self.systemd.messages()[-1], f"{_READY}1 of 1 service registered; connected to ZooKeeper.")

    def test_two_reloads(self) -> None:
        """While another reload goes on, the daemon is not ready."""
        self.server.listen(2181)
        daemon = self.begin(service("web", checks=0))
        self.systemd.messages()
        daemon._observers.notify(Phase.RELOADING)
        self.successResultOf(daemon.reload())
        heard = [each.partition("\n")[0] for each in self.systemd.messages()]
        self.assertEqual(heard, ["RELOADING=1", "RELOADING=1"])
        daemon._observers.notify(Phase.RELOADED)
        self.assertEqual([each.partition("\n")[0] for each in self.systemd.messages()], ["READY=1"])

    def test_reload_at_once(self) -> None:
        """A reload that begins before the daemon is ready is a part of its start."""
        self.server.listen(2181)
        daemon = self.daemon(service("web", checks=0))
        self.notify(daemon)
        daemon.reload()
        self.reactor.pass_time(0)
        self.assertEqual({each.partition("\n")[0] for each in self.systemd.messages()}, {"READY=1"})
        daemon.reload()
        self.reactor.pass_time(0)
        self.assertEqual([each.partition("\n")[0] for each in self.systemd.messages()][:2], ["RELOADING=1", "READY=1"])

    def test_stop(self) -> None:
        """A stop is announced, and asks for more time while it goes on, for stop_timeout and a little more at the most."""
        self.server.listen(2181)
        daemon = self.begin(service("web", checks=0, drain="12s"), daemon="stop_timeout = 20")
        self.reactor.pass_time(2)
        self.systemd.messages()
        self.running.remove(daemon)
        daemon._observers.notify(Phase.RELOADING)
        self.assertEqual(len(self.systemd.messages()), 1)
        stopped = daemon.stopService()
        # The reload ends after the beginning of the stop.
        daemon._observers.notify(Phase.NOT_RELOADED)
        first, *others = self.systemd.messages()
        self.assertEqual(first, "STOPPING=1\nSTATUS=Stopping, which takes 20 s at the most.")
        self.assertEqual(others, ["EXTEND_TIMEOUT_USEC=15000000"])
        daemon.reload().addErrback(lambda _: None)
        self.reactor.pass_time(12)
        self.assertTrue(stopped.called)
        self.assertEqual(self.systemd.messages(), ["EXTEND_TIMEOUT_USEC=15000000"] * 2)
        # It does not end, although it should.
        self.reactor.pass_time(60)
        self.assertEqual(self.systemd.messages(), ["EXTEND_TIMEOUT_USEC=10000000", "EXTEND_TIMEOUT_USEC=5000000"])
        self.notifications.stop()

    def test_stop_at_once(self) -> None:
        """A daemon that stops before it was ready never sends READY."""
        daemon = self.daemon(service("web", checks=0))
        self.notify(daemon)
        self.end(daemon, 40)
        self.assertNotIn("READY", "".join(self.systemd.messages()))

    def test_watchdog(self) -> None:
        """The watchdog is notified during outages and the stop, and not while a check's loop is dead: the status has
        the reason.
        """
        daemon = self.begin(service("web"), watchdog=4)
        beats = [each for each in self.statuses(10) if each == "WATCHDOG=1"]
        self.assertEqual(len(beats), 6)
        loop: Any = daemon.checks.services["web"].checks[0]._loop
        loop._due = -1000
        heard = self.statuses(10)
        self.assertNotIn("WATCHDOG=1", heard)
        self.assertIn("the loops of these checks do nothing any more: web/c0", heard[-1])
        self.assertEqual(len(self.log.about("The watchdog is not notified")), 1)
        daemon.stopService()
        self.running.remove(daemon)
        self.assertIn("WATCHDOG=1", self.statuses(4))

    def test_no_systemd(self) -> None:
        """Without systemd there are no messages, and no timers."""
        daemon = self.daemon(service("web"))
        before = len(self.reactor.getDelayedCalls())
        self.notifications = Notifications(daemon, SystemdVariables(), self.reactor)
        self.notifications.start()
        self.assertEqual(len(self.reactor.getDelayedCalls()), before)


class LaunchTests(DaemonTestCase):
    def test_launched(self) -> None:
        """twistd's service takes the variables from the environment, and closes the socket at the end."""
        systemd = SystemdSocket(abstract=True)
        self.addCleanup(systemd.close)
        environment = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "10000000", "PATH": "/bin"}
        self.patch(os, "environ", environment)
        self.write(service("web"))
        launched = RegistrationService(self.load(), random=self.chance, reactor=self.reactor)
        launched.startService()
        # The wall clock may jump, and this one does not.
        self.assertIs(launched._notifications._clock, launched.daemon.checks.clock)  # type: ignore[union-attr]
        self.assertEqual(environment, {"PATH": "/bin"})
        stopped = launched.stopService()
        self.reactor.pass_time(40)
        self.successResultOf(stopped)
        self.assertTrue(systemd.messages()[0].startswith("STOPPING=1\n"))
        self.assertIsNone(launched._notifications._notifier._socket)  # type: ignore[union-attr]
        launched.daemon.checks._stopped(None)  # type: ignore[union-attr]
