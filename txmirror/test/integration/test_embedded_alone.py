"""The embedded server in a process of its own, as a user starts it, with another project's client."""

from __future__ import annotations

import signal
import socket
import sys

from txmirror.test.integration.test_twistd import Twistd, TwistdTestCase

_EMBEDDED = (sys.executable, "-m", "txmirror.embedded")


class AloneTests(TwistdTestCase):
    def embedded(self, *arguments: str) -> Twistd:
        """Start one with ``python -m``."""
        process = Twistd(*arguments, command=_EMBEDDED)
        self.addCleanup(process.cleanup)
        return process

    def address(self, process: Twistd) -> str:
        return process.wait_for("listening at ").split()[-1]

    def test_module(self) -> None:
        """It serves kazoo at the address that its log ends a line with; Ctrl-C ends it, with status 0, clients or not."""
        process = self.embedded("--listen", "127.0.0.1:0")
        host, port = self.address(process).split(":")
        client = self.kazoo(f"{host}:{port}")
        client.create("/a/b", b"x", ephemeral=True, makepath=True)
        self.assertEqual(client.get("/a/b")[0], b"x")
        self.assertEqual(client.server_version()[:2], (3, 8))
        client.stop()
        self.assertIn("lost when it stops", process.log)
        with socket.create_connection((host, int(port))):
            process.process.send_signal(signal.SIGINT)
            self.assertEqual(process.process.wait(3), 0, process.log)
        self.assertIn("Stopped.", process.log)
        self.assert_quiet(process)

    def test_twistd(self) -> None:
        """As a command of twistd's plugin it is the same, with the same settings."""
        process = self.twistd("embedded", "--listen", "0", "--imitate", "3.9")
        client = self.kazoo(self.address(process))
        self.assertEqual(client.server_version()[:2], (3, 9))
        client.stop()
        self.end(process, 3)

    def test_cannot_start(self) -> None:
        """A port that is taken: one line that quotes it, no traceback, and status 1."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            for process in (self.embedded("--listen", address), self.twistd("embedded", "--listen", address)):
                self.assertEqual(process.process.wait(10), 1, process.log)
                lines = [
                    line for line in process.log.splitlines() if "starting up" not in line and "class:" not in line
                ]
                self.assertEqual(len(lines), 1, process.log)
                self.assertIn(f"txmirror embedded: cannot listen at {address}: ", lines[0])
