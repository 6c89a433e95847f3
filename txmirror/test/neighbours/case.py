"""The daemon as a process, on a real ZooKeeper, beside a program of another project.

The environment variable ``TXMIRROR_NEIGHBOURS`` selects the behaviour if such a program is not installed: ``auto``, the default,
skips the test; ``require`` fails; ``off`` skips all of these tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

from kazoo.client import KazooClient
from twisted.trial.unittest import SkipTest

from txmirror.test.integration.test_twistd import Twistd, TwistdTestCase, wait_for
from txmirror.test.zookeeper import shared_server

#: The longest time that anything may take, in seconds.
PATIENCE = 60.0
_POLICY = "TXMIRROR_NEIGHBOURS"

_HEAD = """
[zookeeper]
servers = "{servers}"
session_timeout = "5s"
{session}

[host]
allow_loopback = true

[daemon]
control = "control.sock"
{settings}

[defaults]
check = {{ interval = "1s", fast_interval = "100ms", timeout = "500ms", rise = 1, fall = 1 }}
"""

_T = TypeVar("_T")


def policy() -> str:
    """Return the behaviour if a program is not installed."""
    return os.environ.get(_POLICY) or "auto"


def need(program: str, package: str) -> str:
    """Return the path of a program.

    :raises SkipTest: it is not installed, or these tests are off.
    """
    if policy() == "off":
        raise SkipTest(f"no other programs: {_POLICY} is off")
    # Some are only on root's path.
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        missing = f"{program} is not installed: apt-get install {package}"
        raise RuntimeError(missing) if policy() == "require" else SkipTest(missing)
    return path


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A check has closed its connection without a request."""


class WebServer:
    """A web server at an address of the loopback network, which answers each request with its name.

    :param name: the name.
    :param host: the address, in 127.0.0.0/8.
    :ivar port: the port.
    """

    def __init__(self, name: str, host: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.host = host
        self._server = _Server((host, 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self._open = True

    def stop(self) -> None:
        """Stop listening."""
        if self._open:
            self._open = False
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


class NeighboursTestCase(TwistdTestCase):
    def setUp(self) -> None:
        # The path of a socket must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="txmirror-neighbours-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.client: KazooClient
        self.servers = ""

    def connect(self, root: str) -> None:
        """Use the shared server from now on, below a new node."""
        server = shared_server()
        client = self.kazoo(server.address)
        client.delete(root, recursive=True)
        client.ensure_path(root)
        self.client = self.kazoo(server.address + root)
        self.servers = server.address + root

    def daemon(self, *parts: str, session: str = "", settings: str = "") -> Twistd:
        """Start the daemon with these parts of a configuration.

        :param session: more lines of ``[zookeeper]``.
        :param settings: more lines of ``[daemon]``.
        """
        path = self.folder / "txmirror.toml"
        path.write_text(_HEAD.format(servers=self.servers, session=session, settings=settings) + "\n".join(parts))
        twistd = Twistd("--config", str(path), cwd=self.folder)
        self.addCleanup(twistd.cleanup)
        return twistd

    def run_program(self, *command: str, name: str) -> subprocess.Popen[bytes]:
        """Start a program, whose output goes to ``NAME.log`` in the folder, until the end of the test."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

        def end() -> None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self.addCleanup(end)
        return process

    def wait(self, look: Callable[[], _T | None], what: str, log: str | None = None) -> _T:
        """Look until there is something; fail with a program's log if there is not."""
        try:
            return wait_for(look, what, PATIENCE)
        except AssertionError as error:
            text = "" if log is None else (self.folder / f"{log}.log").read_text(errors="replace")[-3000:]
            raise AssertionError(f"{error}\n{text}") from None

    def web_server(self, name: str, host: str) -> WebServer:
        server = WebServer(name, host)
        self.addCleanup(server.stop)
        return server
