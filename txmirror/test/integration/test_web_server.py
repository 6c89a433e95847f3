"""Twisted's own web server registers itself by a string: the real ``twistd`` and a real ZooKeeper."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

from kazoo.client import KazooClient

from txmirror.test.integration.test_twistd import TWISTD, Twistd, TwistdTestCase, wait_for
from txmirror.test.zookeeper import shared_server

PATH = "/services/web-by-string"
#: A page that takes a second and a half, which is longer than a stop waits without open connections.
_SLOW = """
from twisted.internet import reactor
from twisted.web import resource as web, server

class Slow(web.Resource):
    def render_GET(self, request):
        request.write(b"begun")
        reactor.callLater(1.5, self.end, request)
        return server.NOT_DONE_YET

    def end(self, request):
        request.write(b"ended")
        request.finish()

resource = Slow()
"""


class WebServerTests(TwistdTestCase):
    def setUp(self) -> None:
        self.server = shared_server()
        self.client: KazooClient = self.kazoo(self.server.address)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "slow.rpy").write_text(_SLOW)
        (self.folder / "page.html").write_text("the page")

    def web(self, *options: str, drain: str = "5") -> Twistd:
        hosts = self.server.address.replace(":", r"\:")
        listen = rf"mirror:{PATH}:hosts={hosts}:listen=tcp\:0:drain={drain}"
        arguments = (*options, "web", "--path", str(self.folder.absolute()), "--listen", listen)
        twistd = Twistd(*arguments, command=TWISTD)
        self.addCleanup(twistd.cleanup)
        return twistd

    def names(self) -> list[str]:
        names: list[str] = self.client.get_children(PATH) if self.client.exists(PATH) else []
        return names

    def registered(self) -> tuple[str, int]:
        """Wait until one server is registered, and return its address."""
        (name,) = wait_for(self.names, "registered")
        data, stat = self.client.get(f"{PATH}/{name}")
        self.assertIn(stat.ephemeralOwner, self.server.sessions())
        record = json.loads(data)
        return record["host"], record["port"]

    def request(self, address: tuple[str, int], page: str) -> socket.socket:
        """Begin a request. Closing it is left to the end of the test."""
        connection = socket.create_connection(address, 5)
        self.addCleanup(connection.close)
        connection.sendall(f"GET /{page} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n".encode())
        return connection

    def read(self, connection: socket.socket, until: bytes = b"") -> bytes:
        """Return all that is received, to the end, or until there is some text in it."""
        received = b""
        while not until or until not in received:
            piece = connection.recv(65536)
            if not piece:
                break
            received += piece
        return received

    def end_daemon(self, pidfile: Path) -> None:
        if pidfile.exists():
            os.kill(int(pidfile.read_text()), signal.SIGKILL)

    def test_clean_stop(self) -> None:
        """At a stop, the node goes first. Then new requests are answered for a while, and those that have begun end. The port and the
        session are closed after that.
        """
        twistd = self.web("-n", "--pidfile=")
        address = self.registered()
        sessions = self.server.sessions()
        slow = self.request(address, "slow.rpy")
        self.read(slow, b"begun")
        twistd.process.terminate()
        wait_for(lambda: not self.names(), "withdrawn")
        self.assertIn(b"the page", self.read(self.request(address, "page.html")))
        self.assertIn(b"ended", self.read(slow))
        self.assertEqual(twistd.process.wait(5), -signal.SIGTERM)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(address, 5)
        self.assertEqual(len(sessions - self.server.sessions()), 1)
        self.assertNotIn("Traceback", twistd.log)

    def test_daemon(self) -> None:
        """A server that twistd puts in the background registers itself after the fork, and withdraws itself likewise."""
        pidfile, log = self.folder.absolute() / "pid", self.folder.absolute() / "log"
        twistd = self.web(f"--pidfile={pidfile}", f"--logfile={log}", drain="0")
        self.assertEqual(twistd.process.wait(10), 0)
        self.addCleanup(self.end_daemon, pidfile)
        address = self.registered()
        self.assertIn(b"the page", self.read(self.request(address, "page.html")))
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
        wait_for(lambda: not self.names(), "withdrawn")
        wait_for(lambda: not pidfile.exists(), "ended")
        self.assertNotIn("Traceback", log.read_text())
