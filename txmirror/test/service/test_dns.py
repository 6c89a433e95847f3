"""The DNS server of a daemon, from its start to its stop."""

from __future__ import annotations

from typing import Any

from twisted.names import dns

from txmirror.service import Daemon
from txmirror.test.dns.case import ask, decode, show
from txmirror.test.dns.test_service import PortsReactor
from txmirror.test.service.case import service
from txmirror.test.service.metrics_case import MetricsTestCase


class DNSTests(MetricsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        self.ports = PortsReactor()

    def start(self, *parts: str) -> Daemon:
        """Start a daemon whose ports of DNS are only noted."""
        daemon = self.daemon(*parts, settle=False)
        daemon.readers.dns._reactor = self.ports
        return daemon

    def ask(self, daemon: Daemon, name: str) -> Any:
        """Return the code, and the records of the answer."""
        waiting = daemon.readers.dns._responder.respond(ask(name), by_tcp=False)
        self.reactor.settle()
        reply = self.successResultOf(waiting)
        assert reply is not None
        message = decode(reply)
        return message.rCode, show(message.answers)

    def test_reload(self) -> None:
        """Without the table nothing listens. A reload opens the ports, changes the domain, and closes them; it logs that."""
        own = service("10.0.0.1", checks=0)
        daemon = self.start(own)
        self.reactor.pass_time(1)
        self.assertEqual((self.ports.open, self.ask(daemon, "services.service.mirror")[0]), ([], dns.ESERVER))
        for table, name, ports in (
            ('[dns]\nroot = "/"', "services.service.mirror", [8600, 8600]),
            ('[dns]\nroot = "/"\ndomain = "x"', "services.service.x", [8600, 8600]),
            ('[dns]\nroot = "/"\ndomain = "x"\nlisten = "127.0.0.1:53"', "services.service.x", [53, 53]),
        ):
            self.write(own, table)
            self.successResultOf(daemon.reload())
            self.reactor.settle()
            self.assertEqual([port for _, _, port in self.ports.open], ports)
            self.assertEqual(self.ask(daemon, name), (dns.OK, [f"{name} 10.0.0.1"]))
        self.write(own)
        self.successResultOf(daemon.reload())
        self.assertEqual(self.ports.open, [])
        self.assertEqual(len(self.log.about("Keys of [dns] that differ: ")), 4)

    def test_metrics(self) -> None:
        """There are metrics of the replies while DNS is served."""
        daemon = self.start(service("10.0.0.1", checks=0))
        self.assertEqual([each for each in self.samples(daemon) if "dns" in each[0]], [])
        self.write(service("10.0.0.1", checks=0), '[dns]\nroot = "/"')
        self.successResultOf(daemon.reload())
        self.reactor.settle()
        for name in ("services.service.mirror", "services.service.mirror", "no.service.mirror", "example.com"):
            self.ask(daemon, name)
        samples = self.samples(daemon)
        expected = {("NOERROR",): 2.0, ("NXDOMAIN",): 1.0, ("REFUSED",): 1.0}
        name = "txmirror_dns_replies_total"
        self.assertEqual({each[1:]: value for each, value in samples.items() if each[0] == name}, expected)
        for name, value in (
            ("txmirror_dns_listening", 1.0),
            ("txmirror_dns_truncated_total", 0.0),
            ("txmirror_dns_forwarded_total", 0.0),
            ("txmirror_dns_waiting", 0.0),
            ("txmirror_dns_duration_seconds_count", 4.0),
        ):
            self.assertEqual(samples[name,], value, name)

    def test_stop(self) -> None:
        """The ports are closed in the stop, after the drain."""
        daemon = self.start(service("a", drain=5))
        self.write(service("a", drain=5), "[dns]")
        self.reactor.settle()
        self.successResultOf(daemon.reload())
        self.push(daemon, "a")
        self.reactor.pass_time(1)
        stopped = daemon.stopService()
        self.running.remove(daemon)
        self.reactor.pass_time(1)
        self.assertEqual(len(self.ports.open), 2)
        self.reactor.pass_time(6)
        self.successResultOf(stopped)
        self.assertEqual(self.ports.open, [])
