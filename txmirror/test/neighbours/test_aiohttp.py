"""A web server in aiohttp with a mirror on the same event loop: the example of the documentation, as a process."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

from kazoo.client import KazooClient
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from txmirror.test.integration.test_twistd import wait_for
from txmirror.test.neighbours.case import PATIENCE, policy
from txmirror.test.test_examples import find_examples
from txmirror.testing import ServerProcess


def need_aiohttp() -> None:
    """Check that aiohttp is installed.

    :raises SkipTest: it is not, or these tests are off.
    """
    if policy() == "off":
        raise SkipTest("no other programs: TXMIRROR_NEIGHBOURS is off")
    if importlib.util.find_spec("aiohttp") is None:
        missing = "aiohttp is not installed: pip install aiohttp"
        raise RuntimeError(missing) if policy() == "require" else SkipTest(missing)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


class AiohttpTests(SynchronousTestCase):
    def setUp(self) -> None:
        need_aiohttp()
        self.zookeeper = ServerProcess()
        self.addCleanup(self.zookeeper.stop)
        self.client = KazooClient(self.zookeeper.connect_string)
        self.client.start()
        self.addCleanup(self.client.close)
        self.addCleanup(self.client.stop)
        self.url = f"http://127.0.0.1:{free_port()}/"
        port = self.url.rpartition(":")[2].strip("/")
        command = [sys.executable, "-B", "aiohttp_server.py", self.zookeeper.connect_string, port]
        self.server = subprocess.Popen(
            command, cwd=find_examples(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.addCleanup(self.server.communicate)
        self.addCleanup(self.server.kill)

    def get(self) -> tuple[int, bytes] | None:
        """Return the status and body of a response; None if the server does not listen yet."""
        try:
            with urllib.request.urlopen(self.url, timeout=PATIENCE) as response:  # noqa: S310 - it is an http one
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except urllib.error.URLError:
            return None

    def test_server(self) -> None:
        """It answers with the current data, and at SIGTERM closes its session and exits."""
        wait_for(self.get, "the server listens", PATIENCE)
        self.assertEqual(self.get(), (404, b"no such znode: '/greeting'"))
        self.client.create("/greeting", b"hello")
        wait_for(lambda: self.get() == (200, b"hello"), "it is seen", PATIENCE)
        self.client.set("/greeting", b"good bye")
        wait_for(lambda: self.get() == (200, b"good bye"), "it is seen", PATIENCE)
        self.server.send_signal(signal.SIGTERM)
        output, _ = self.server.communicate(timeout=PATIENCE)
        self.assertEqual(self.server.returncode, 0, output.decode())
        self.assertNotIn(b"Traceback", output)
        # kazoo's session is the only one that is left.
        self.assertIn(b"Connections: 2\n", self.client.command(b"srvr").encode())
