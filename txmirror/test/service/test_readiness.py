"""``/healthz`` and ``/readyz``: when they say yes, and the sentences with which they say no."""

from __future__ import annotations

from txmirror.checks import CheckHealth, Status
from txmirror.client import ZooKeeperClient
from txmirror.service import Daemon
from txmirror.test.service.case import S, service
from txmirror.test.service.metrics_case import MetricsTestCase

_SESSION = "There is no session with ZooKeeper.\n"


class ReadyTests(MetricsTestCase):
    def ready(self, daemon: Daemon) -> tuple[int, str]:
        response = self.read(daemon, "/readyz")
        self.assertEqual(response.headers["cache-control"], "no-store")
        return response.status, response.text

    def test_start(self) -> None:
        """It is ready when there is a session, and all checks have decided, also if against a service."""
        daemon = self.daemon(service("web"), service("db"), service("mail", checks=0))
        undecided = "".join(f"The checks of service {name} have not decided yet.\n" for name in ("web", "db"))
        self.assertEqual(self.ready(daemon), (503, _SESSION + undecided))
        self.server.listen(2181)
        self.reactor.pass_time(10)
        self.assertEqual(self.ready(daemon), (503, undecided))
        self.push(daemon, "web")
        self.assertEqual(self.ready(daemon), (503, "The checks of service db have not decided yet.\n"))
        self.push(daemon, "db", Status.FAIL)
        self.assertEqual(self.ready(daemon), (200, "ok\n"))

    def test_not_started(self) -> None:
        """Before the start it is not ready."""
        self.write(service("web", checks=0))
        daemon = self.make_daemon(self.load())
        self.assertEqual(self.ready(daemon), (503, "The daemon has not started.\n" + _SESSION))

    def test_outage(self) -> None:
        """A short outage changes nothing; one in which the session is lost does, until the next session."""
        self.server.listen(2181)
        daemon = self.daemon(service("web", checks=0))
        self.assertEqual(self.ready(daemon), (200, "ok\n"))
        self.server.stop_listening()
        self.server.drop_connections()
        self.reactor.pass_time(1)
        self.assertEqual(self.ready(daemon), (200, "ok\n"))
        self.reactor.pass_time(2 * S)
        self.assertEqual(self.ready(daemon), (503, _SESSION))
        self.server.listen(2181)
        self.reactor.pass_time(20)
        self.assertEqual(self.ready(daemon), (200, "ok\n"))

    def test_resumed(self) -> None:
        """A session of the last process is a session, but the checks have to decide anew."""
        self.server.listen(2181)
        first = self.daemon(service("web"), state=True)
        self.push(first, "web")
        self.kill(first)
        daemon = self.daemon(service("web"), state=True)
        self.assertEqual(self.ready(daemon), (503, "The checks of service web have not decided yet.\n"))
        self.push(daemon, "web")
        self.assertEqual(self.ready(daemon), (200, "ok\n"))

    def test_reload(self) -> None:
        """A service that a reload adds makes it wait; a reload that fails changes nothing."""
        self.server.listen(2181)
        daemon = self.daemon(service("web", checks=0))
        self.write("[[servise]]")
        self.failureResultOf(daemon.reload())
        self.assertEqual(self.ready(daemon), (200, "ok\n"))
        self.write(service("web", checks=0), service("db"))
        self.successResultOf(daemon.reload())
        self.assertEqual(self.ready(daemon), (503, "The checks of service db have not decided yet.\n"))

    def test_stop(self) -> None:
        """From the beginning of the stop it is not ready."""
        self.server.listen(2181)
        daemon = self.daemon(service("web", checks=0, drain="5s"))
        self.running.remove(daemon)
        stopped = daemon.stopService()
        self.reactor.pass_time(1)
        self.assertEqual(self.ready(daemon), (503, "The daemon is stopping.\n"))
        self.reactor.pass_time(10)
        self.successResultOf(stopped)


class HealthTests(MetricsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.web = self.daemon(service("web"))

    def test_well(self) -> None:
        """Without ZooKeeper, too, the daemon is well."""
        self.reactor.pass_time(60)
        response = self.read(self.web, "/healthz")
        self.assertEqual((response.status, response.text), (200, "ok\n"))

    def test_stuck_check(self) -> None:
        """A check whose loop does nothing any more is named; a late one is only counted in the metrics."""
        self.patch(CheckHealth, "stuck", True)
        self.assertEqual(self.samples(self.web)["txmirror_checks_stuck",], 1)
        self.assertEqual(self.read(self.web, "/healthz").status, 200)
        self.patch(CheckHealth, "dead", True)
        response = self.read(self.web, "/healthz")
        text = "The loops of these checks do nothing any more: web/c0.\n"
        self.assertEqual((response.status, response.text), (503, text))

    def test_stuck_client(self) -> None:
        """A client that makes no progress is named."""
        self.patch(ZooKeeperClient, "stuck", True)
        response = self.read(self.web, "/healthz")
        self.assertEqual(response.status, 503)
        self.assertIn("The client of ZooKeeper neither has a connection", response.text)
