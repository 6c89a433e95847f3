"""The control socket: its requests, answers, changes and refusals."""

from __future__ import annotations

import grp
import json
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import AccumulatingProtocol, StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from txmirror.checks import Status
from txmirror.configuration import from_options
from txmirror.service import ControlService, Daemon, make_root
from txmirror.test.constant_random import ConstantRandom
from txmirror.test.service.case import DaemonTestCase, Log, service


class ControlTestCase(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        self.client()

    def request(self, daemon: Daemon, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request, and return the status and the decoded body of the answer."""
        transport, answer = self.begin(daemon, method, path, body)
        status, content = answer(transport)
        return status, content

    def begin(self, daemon: Daemon, method: str, path: str, body: object = None) -> tuple[StringTransport, Any]:
        site = Site(make_root(daemon), reactor=self.reactor, timeout=None)
        protocol: Any = site.buildProtocol(None)
        protocol.timeOut = None
        transport = StringTransport()
        self.protocol = protocol
        protocol.makeConnection(transport)
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        protocol.dataReceived(head.encode() + content)
        self.reactor.settle()

        def answer(transport: StringTransport) -> tuple[int, Any]:
            received, _, payload = transport.value().partition(b"\r\n\r\n")
            return int(received.split()[1]), json.loads(payload)

        return transport, answer


class ReadTests(ControlTestCase):
    def test_daemon(self) -> None:
        """The daemon is described, with its session and no secret."""
        daemon = self.daemon(service("web", checks=0), state=True)
        status, answer = self.request(daemon, "GET", "/v1/daemon")
        self.assertEqual(status, 200)
        self.assertEqual((answer["pid"], answer["connected"]), (os.getpid(), True))
        self.assertEqual(int(answer["session"], 16), self.stat("web").ephemeralOwner)
        ticket = daemon.registrations.session.client.session_ticket  # type: ignore[union-attr]
        assert ticket is not None
        self.assertNotIn(ticket.password.hex(), json.dumps(answer))

    def test_services(self) -> None:
        """All services are listed with their checks, and one with its whole history."""
        daemon = self.daemon(service("web"), service("db", checks=0))
        daemon.supervisor.push("web", "c0", Status.WARN, "slow\nvery slow")
        self.reactor.settle()
        _, answer = self.request(daemon, "GET", "/v1/daemon")
        web, db = answer["services"]
        self.assertEqual((web["id"], web["condition"], web["health"]), ("web", "registered", "warn"))
        self.assertEqual(web["checks"][0]["output"], "slow")
        self.assertEqual(db["checks"], [])
        self.assertNotIn("transitions", web)
        _, whole = self.request(daemon, "GET", "/v1/daemon/services/web")
        self.assertEqual(whole["checks"][0]["output"], "slow\nvery slow")
        self.assertEqual([each["after"] for each in whole["transitions"]], ["undecided", "registering", "registered"])
        self.assertIsNone(whole["owner"])
        self.assertIn("is in place", whole["why"])

    def test_owner(self) -> None:
        """The owner of a znode in a service's place is named."""
        client = self.clients[0]
        client.create("/services", b"")
        client.create("/services/web:1", b"theirs", ephemeral=True)
        daemon = self.daemon(service("web", checks=0))
        _, answer = self.request(daemon, "GET", "/v1/daemon/services/web")
        self.assertEqual(answer["condition"], "blocked")
        self.assertEqual(int(answer["owner"], 16), client.session_id)
        # While ZooKeeper is out of reach, the answer does not wait for it.
        self.server.stop_listening()
        self.reactor.settle()
        _, answer = self.request(daemon, "GET", "/v1/daemon/services/web")
        self.assertEqual(answer["condition"], "registering")

    def test_id_with_slashes(self) -> None:
        """An id may have slashes: it is percent-encoded."""
        items = [("register", "/services/web:1")]
        configuration = from_options(items, servers="127.0.0.1:2181", session_timeout=4.0)
        daemon = self.make_daemon(configuration)
        daemon.startService()
        self.running.append(daemon)
        self.reactor.settle()
        status, answer = self.request(daemon, "GET", "/v1/daemon/services/%2Fservices%2Fweb%3A1")
        self.assertEqual((status, answer["condition"]), (200, "registered"))


class ChangeTests(ControlTestCase):
    def test_push(self) -> None:
        """A ttl check is pushed."""
        daemon = self.daemon(service("web"))
        path = "/v1/daemon/services/web/checks/c0"
        self.assertEqual(self.request(daemon, "PUT", path), (200, {}))
        self.assertEqual(list(self.registered()), ["web"])
        self.request(daemon, "PUT", path, {"status": "fail", "note": "no disk"})
        self.assertEqual(self.registered(), {})
        self.assertIn("no disk", daemon.supervisor.services["web"].why())
        for body in ({"status": "bad"}, {"note": 3}, {"state": "ok"}):
            self.assertEqual(self.request(daemon, "PUT", path, body)[0], 400)
        self.assertEqual(self.request(daemon, "PUT", "/v1/daemon/services/web/checks/c1")[0], 404)
        self.assertEqual(self.request(daemon, "PUT", "/v1/daemon/services/db/checks/c0")[0], 404)

    def test_maintenance(self) -> None:
        """Maintenance is set and ended, for a service or for all, with an end or without."""
        daemon = self.daemon(service("web", checks=0), service("db", checks=0))
        status, answer = self.request(daemon, "PUT", "/v1/daemon/maintenance/web", {"reason": "disk", "for": 60})
        self.assertEqual((status, answer["kept"]), (200, False))
        self.assertEqual(answer["maintenance"]["web"]["until"], self.reactor.seconds() + 60)
        self.assertEqual(list(self.registered()), ["db"])
        self.request(daemon, "PUT", "/v1/daemon/maintenance", {"reason": "kernel"})
        self.assertEqual(self.registered(), {})
        self.request(daemon, "DELETE", "/v1/daemon/maintenance")
        self.assertEqual(list(self.registered()), ["db"])
        self.request(daemon, "DELETE", "/v1/daemon/maintenance/web")
        self.assertEqual(list(self.registered()), ["db", "web"])
        # It has ended already.
        self.assertEqual(self.request(daemon, "DELETE", "/v1/daemon/maintenance/web")[0], 200)
        self.assertEqual(self.request(daemon, "DELETE", "/v1/daemon/maintenance/wbe")[0], 404)

    def test_invalid_maintenance(self) -> None:
        """Without a reason, or for no service, nothing changes."""
        daemon = self.daemon(service("web", checks=0))
        for body in (
            {},
            {"reason": ""},
            {"reason": "a\nb"},
            {"reason": "x", "until": "soon"},
            {"reason": "x", "for": -1},
        ):
            status, answer = self.request(daemon, "PUT", "/v1/daemon/maintenance/web", body)
            self.assertEqual((status, len(answer["errors"])), (400, 1), body)
        self.assertEqual(self.request(daemon, "PUT", "/v1/daemon/maintenance/db", {"reason": "x"})[0], 404)
        # The name that stands for the host is not one of a service.
        self.assertEqual(self.request(daemon, "PUT", "/v1/daemon/maintenance/*", {"reason": "x"})[0], 404)
        self.assertEqual(self.request(daemon, "DELETE", "/v1/daemon/maintenance/*")[0], 404)
        self.assertEqual(list(self.registered()), ["web"])

    def test_drain(self) -> None:
        """The answer to a drain comes when all is gone, and the drain is over."""
        daemon = self.daemon(service("web", checks=0, drain="5s"))
        transport, answer = self.begin(daemon, "PUT", "/v1/daemon/drain")
        self.assertEqual(self.registered(), {})
        self.reactor.pass_time(4)
        self.assertEqual(transport.value(), b"")
        self.reactor.pass_time(2)
        self.assertEqual(answer(transport), (200, {"drained": True}))
        self.assertEqual(self.request(daemon, "DELETE", "/v1/daemon/drain"), (200, {"drained": False}))
        self.assertEqual(list(self.registered()), ["web"])

    def test_reload(self) -> None:
        """A reload answers with the difference, or with all errors."""
        daemon = self.daemon(service("a", checks=0), service("b", checks=0))
        self.write(service("a", checks=0, drain="3s"), service("c", checks=0))
        status, answer = self.request(daemon, "PUT", "/v1/daemon/reload")
        expected = {
            "added": ["c"],
            "removed": ["b"],
            "changed": {"a": ["drain"]},
            "unchanged": [],
            "output_files": [],
            "dns": [],
            "http": [],
            "restart": [],
        }
        self.assertEqual((status, answer), (200, expected))
        self.write(service("a", drian=1, prot=2))
        status, answer = self.request(daemon, "PUT", "/v1/daemon/reload")
        self.assertEqual((status, len(answer["errors"])), (422, 2))
        self.assertEqual(list(self.registered()), ["a", "c"])


class RefusalTests(ControlTestCase):
    def test_unknown(self) -> None:
        """Other resources and other methods are refused."""
        daemon = self.daemon(service("web", checks=0))
        self.assertEqual(self.request(daemon, "GET", "/v1/daemon/services/db")[0], 404)
        for path in (
            "/v1",
            "/v2/daemon",
            "/v1/nope",
            "/v1/daemon/services/web/",
            "/v1/daemon/services/web/checks",
            "/v1/daemon/maintenance/a/b",
        ):
            status, answer = self.request(daemon, "GET", path)
            self.assertEqual((path, status, list(answer)), (path, 404, ["errors"]))
        self.assertEqual(self.request(daemon, "POST", "/v1/daemon/reload")[0], 405)
        self.assertEqual(self.request(daemon, "PUT", "/v1/daemon")[0], 405)

    def test_bodies(self) -> None:
        """A body that is not a JSON object, or too long, is refused."""
        daemon = self.daemon(service("web", checks=0))
        for body, expected in ((b"{", 400), (b"[]", 400), (b"[" * 50_000, 400), (b" " * 70_000, 413)):
            self.assertEqual(self.request(daemon, "PUT", "/v1/daemon/maintenance/web", body)[0], expected)

    def test_client_gone(self) -> None:
        """A client that does not wait for its answer does no harm."""
        daemon = self.daemon(service("web", checks=0, drain="5s"))
        self.begin(daemon, "PUT", "/v1/daemon/drain")
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.reactor.pass_time(10)
        self.assertEqual(self.registered(), {})


class SocketTests(TestCase):
    """The socket itself, in a real folder."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)
        # The path of a socket must be short.
        folder = tempfile.TemporaryDirectory(prefix="txmirror-")
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "control"

    def control(self, group: str | None = None) -> ControlService:
        configuration = from_options([("register", "/a")], servers="127.0.0.1:1", session_timeout=4.0)
        control = ControlService(
            Daemon(configuration, random=ConstantRandom(0.5), reactor=self.reactor), str(self.path), group, self.reactor
        )
        self.assertTrue(verifyObject(IService, control))
        control.startService()
        self.addCleanup(control.stopService)
        return control

    def test_private(self) -> None:
        """Only this user may use it."""
        self.control()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    async def test_changes(self) -> None:
        """Everybody who may connect may change, with any Host."""
        self.control()
        closed: Deferred[None] = Deferred()
        client: Any = AccumulatingProtocol()
        client.closedDeferred = closed
        await connectProtocol(UNIXClientEndpoint(self.reactor, str(self.path)), client)
        client.transport.write(b"DELETE /v1/daemon/maintenance HTTP/1.0\r\nHost: a.example\r\n\r\n")
        await closed
        self.assertIn(b" 200 ", client.data.partition(b"\r\n")[0])

    def test_group(self) -> None:
        """Or the members of a group."""
        group = grp.getgrgid(os.getegid()).gr_name
        self.control(group)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o660)
        self.assertEqual(self.path.stat().st_gid, os.getegid())

    def test_no_such_group(self) -> None:
        """A group that does not exist is logged, and the socket stays private."""
        self.control("no-such-group")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(len(self.log.about("there is no such group")), 1)

    def test_stale(self) -> None:
        """A socket that a killed process has left is replaced."""
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(self.path))
            stale.listen()
        self.control()
        self.assertEqual(self.log.about("cannot be served"), [])

    def test_in_use(self) -> None:
        """A socket at which another process listens stays, and so does a file."""
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
            other.listen()
            self.control()
            self.assertEqual(len(self.log.about("another process listens there")), 1)
            self.assertTrue(self.path.exists())
        self.path.unlink()
        self.path.write_text("mine")
        self.control()
        self.assertEqual(len(self.log.about("a file that is not a socket")), 1)
        self.assertEqual(self.path.read_text(), "mine")

    def test_no_folder(self) -> None:
        """If it cannot be made, the daemon goes on without it."""
        self.path = self.path / "missing"
        self.control()
        (line,) = self.log.about("cannot be served")
        self.assertIn("Retrying", line)

    async def test_removed(self) -> None:
        """The socket is removed at the end."""
        control = self.control()
        stopped: Deferred[None] = control.stopService()
        await stopped
        self.assertFalse(self.path.exists())
