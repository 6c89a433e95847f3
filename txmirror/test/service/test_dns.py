"""The DNS server of a daemon, from its start to its stop."""

from __future__ import annotations

from typing import Any

from twisted.names import dns

from txmirror.service import Daemon
from txmirror.test.dns.case import ask, decode, show
from txmirror.test.dns.test_service import PortsReactor
from txmirror.test.service.case import DaemonTestCase, service


class DNSTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        self.ports = PortsReactor()

    def start(self, *parts: str) -> Daemon:
        """Start a daemon whose ports of DNS are only noted."""
        daemon = self.daemon(*parts, settle=False)
        daemon.dns._reactor = self.ports
        return daemon

    def ask(self, daemon: Daemon, name: str) -> Any:
        """Return the code, and the records of the answer."""
        waiting = daemon.dns._responder.respond(ask(name), by_tcp=False)
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
