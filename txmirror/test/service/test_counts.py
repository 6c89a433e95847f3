"""The daemon's counts: sessions, the time without a connection, requests, reloads, changes of condition and failures of files."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from txmirror.checks import Status
from txmirror.interfaces import IMetrics
from txmirror.service import state_file
from txmirror.service.counts import RequestCounts
from txmirror.service.supervision import Condition
from txmirror.test.service.case import DaemonTestCase, S, service


class SessionCountsTests(DaemonTestCase):
    def test_first(self) -> None:
        """The time until the first session counts from the start on, and the session is one that has begun."""
        daemon = self.daemon(service("web", checks=0))
        counts = daemon.counts.sessions
        self.reactor.pass_time(3)
        self.assertAlmostEqual(counts.disconnected_seconds, 3.0)
        self.assertEqual((counts.begun, counts.connections, counts.connected, counts.stands), (0, 0, False, False))
        self.server.listen(2181)
        self.reactor.pass_time(30)
        self.assertEqual((counts.begun, counts.connections, counts.connected, counts.stands), (1, 1, True, True))
        before = counts.disconnected_seconds
        self.assertTrue(3 < before < 30, before)
        self.reactor.pass_time(5)
        self.assertEqual(counts.disconnected_seconds, before)

    def test_start(self) -> None:
        """The time before the start does not count."""
        self.write(service("web", checks=0))
        daemon = self.make_daemon(self.load(), clock=self.reactor)
        self.reactor.pass_time(5)
        daemon.startService()
        self.running.append(daemon)
        self.reactor.pass_time(1)
        self.assertAlmostEqual(daemon.counts.sessions.disconnected_seconds, 1.0)

    def test_short_outage(self) -> None:
        """After a short outage the same session goes on: only a connection is counted, and the time."""
        self.server.listen(2181)
        counts = self.daemon(service("web", checks=0)).counts.sessions
        before = counts.disconnected_seconds
        self.server.stop_listening()
        self.server.drop_connections()
        self.reactor.pass_time(1)
        self.assertEqual((counts.connected, counts.stands), (False, True))
        self.assertAlmostEqual(counts.disconnected_seconds - before, 1.0, places=3)
        self.server.listen(2181)
        self.reactor.pass_time(2)
        self.assertEqual((counts.begun, counts.expired, counts.connections), (1, 0, 2))
        self.assertTrue(1 <= counts.disconnected_seconds - before < 3)

    def test_long_outage(self) -> None:
        """In a long outage the session ends; another one begins after it."""
        self.server.listen(2181)
        daemon = self.daemon(service("web", checks=0))
        counts = daemon.counts.sessions
        session = daemon.registrations.session
        assert session is not None
        self.server.stop_listening()
        self.server.drop_connections()
        self.reactor.pass_time(4 * S)
        self.server.expire_session(session.client.session_id)
        self.assertEqual((counts.connected, counts.stands, counts.begun), (False, False, 1))
        self.server.listen(2181)
        self.reactor.pass_time(20)
        self.assertEqual((counts.begun, counts.expired, counts.connected, counts.stands), (2, 1, True, True))

    def test_taken_over(self) -> None:
        """A session of the last process is not one that has begun here; the next one is."""
        self.server.listen(2181)
        self.kill(self.daemon(service("web", checks=0), state=True))
        daemon = self.daemon(service("web", checks=0), state=True)
        counts = daemon.counts.sessions
        self.assertEqual((counts.begun, counts.connections, counts.stands), (0, 1, True))
        session = daemon.registrations.session
        assert session is not None
        self.server.expire_session(session.client.session_id)
        self.reactor.pass_time(20)
        self.assertEqual((counts.begun, counts.expired), (1, 1))

    def test_not_taken_over(self) -> None:
        """If the last process's session has expired, the first one begins here."""
        self.server.listen(2181)
        self.kill(self.daemon(service("web", checks=0), state=True))
        self.reactor.pass_time(3 * S)
        counts = self.daemon(service("web", checks=0), state=True).counts.sessions
        self.reactor.pass_time(5)
        self.assertEqual((counts.begun, counts.connected), (1, True))


class WorkCountsTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)

    def test_requests(self) -> None:
        """The client's requests count by their operations, with times and bytes."""
        self.assertTrue(verifyObject(IMetrics, RequestCounts()))
        daemon = self.daemon(service("web", checks=0))
        counts = daemon.counts.requests
        assert counts is not None
        creates = counts.sent_by_operation["CREATE"] + counts.sent_by_operation["CREATE2"]
        # The service's znode, without the one above it, and both.
        self.assertEqual(creates, 3)
        self.assertEqual(counts.times.cumulative[-1][1], sum(counts.sent_by_operation.values()))
        self.assertEqual((counts.unanswered, counts.sent_bytes > 100, counts.received_bytes > 100), (0, True, True))
        self.server.lose_reply("set")
        self.write(service("web", checks=0, data__x=1))
        self.successResultOf(daemon.reload())
        self.reactor.pass_time(5)
        self.assertEqual((counts.sent_by_operation["SET_DATA"], counts.unanswered > 0), (1, True))

    def test_reloads(self) -> None:
        """Reloads and failed ones are counted; the failure lasts until the next success."""
        daemon = self.daemon(service("web", checks=0))
        counts = daemon.counts
        self.write("[[servise]]")
        self.failureResultOf(daemon.reload())
        self.assertEqual((counts.reloads, counts.failed_reloads, counts.last_reload_failed), (1, 1, True))
        self.write(service("web", checks=0))
        self.successResultOf(daemon.reload())
        self.assertEqual((counts.reloads, counts.failed_reloads, counts.last_reload_failed), (2, 1, False))

    def test_conditions(self) -> None:
        """Each change of a service's condition counts."""
        daemon = self.daemon(service("web", flap_hold__downs=0))
        for _ in range(60):
            self.push(daemon, "web")
            self.push(daemon, "web", Status.FAIL)
        entered = daemon.supervisor.services["web"].entered
        self.assertEqual((entered[Condition.UNDECIDED], entered[Condition.DOWN]), (1, 60))
        self.assertEqual(entered[Condition.REGISTERED], 60)

    def test_state_file(self) -> None:
        """Each failure to write the state file counts, also in the attempts that are not logged."""

        def full(path: object, saved: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(state_file, "write", full)
        daemon = self.daemon(service("web", checks=0), state=True)
        assert daemon.state is not None
        self.assertEqual(daemon.state.failures, 1)
        self.reactor.pass_time(60)
        self.assertGreater(daemon.state.failures, 1)

    def test_unreadable_state_file(self) -> None:
        """A state file that cannot be read or deleted is a failure."""

        def fail(path: object) -> None:
            raise OSError(5, "Input/output error")

        self.patch(state_file, "read", fail)
        self.patch(state_file, "remove", fail)
        daemon = self.daemon(service("web", checks=0), state=True)
        assert daemon.state is not None
        self.assertEqual(daemon.state.failures, 1)
        self.end(daemon, 10)
        self.assertEqual(daemon.state.failures, 2)

    def test_damaged_state_file(self) -> None:
        """A file that was set aside is a failure, too."""
        self.state_file.write_text("{")
        self.state_file.chmod(0o600)
        daemon = self.daemon(service("web", checks=0), state=True)
        assert daemon.state is not None
        self.assertEqual(daemon.state.failures, 1)

    def test_maintenance_file(self) -> None:
        """A maintenance file that cannot be written is a failure."""
        daemon = self.daemon(service("web", checks=0), daemon='maintenance_file = "missing/folder"')
        maintenance = daemon.supervisor.maintenance
        self.assertEqual(maintenance.failures, 0)
        self.successResultOf(maintenance.set("web", "disk", None))
        self.assertEqual(maintenance.failures, 1)

    def test_damaged_maintenance_file(self) -> None:
        """A maintenance file that was set aside is a failure."""
        (self.folder / "maintenance").write_text("{")
        daemon = self.daemon(service("web", checks=0), daemon='maintenance_file = "maintenance"')
        self.assertEqual(daemon.supervisor.maintenance.failures, 1)

    def test_watches(self) -> None:
        """The client counts its watches: one for a registration."""
        daemon = self.daemon(service("web", checks=0))
        session = daemon.registrations.session
        assert session is not None
        client = session.client
        before = client.watch_count  # type: ignore[attr-defined]
        self.assertGreater(before, 0)
        waited = client.get_and_watch("/services")[1]
        added = client.add_watch("/services", recursive=True)  # type: ignore[attr-defined]
        self.reactor.settle()
        self.successResultOf(added)
        self.assertEqual(client.watch_count, before + 2)  # type: ignore[attr-defined]
        waited.addErrback(lambda _: None).cancel()
