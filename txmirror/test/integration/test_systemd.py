"""The real daemon under a socket of systemd's kind, and the unit in the judgement of systemd's own tools."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.installed import make_unit
from txmirror.test.integration.test_twistd import Twistd, TwistdTestCase, wait_for
from txmirror.test.pages.found import tested_blocks
from txmirror.test.pages.rows import rows_of
from txmirror.test.service.systemd_socket import SystemdSocket

_FILE = """
[zookeeper]
servers = "127.0.0.1:{port}"
[host]
allow_loopback = true
[daemon]
control = "control.sock"
stop_timeout = "10s"
[[service]]
name = "web"
path = "/services"
node = "web:1"
[[service.check]]
type = "command"
argv = ["sh", "-c", "env > {folder}/new && mv {folder}/new {folder}/environment"]
interval = "1s"
"""


class SystemdTests(TwistdTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="txmirror-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.systemd = SystemdSocket()
        self.addCleanup(self.systemd.close)
        self.systemd.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.heard: list[str] = []
        self.senders: set[int] = set()
        for name, value in (("NOTIFY_SOCKET", self.systemd.address), ("WATCHDOG_USEC", "2000000")):
            self.addCleanup(self.restore, name, os.environ.get(name))
            os.environ[name] = value
        # No server listens at the port of a socket that was closed.
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    def restore(self, name: str, value: str | None) -> None:
        """Restore a variable of the environment."""
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value

    def configure(self, more: str = "") -> Path:
        file = self.folder / "txmirror.toml"
        file.write_text(_FILE.format(port=self.port, folder=self.folder) + more)
        return file

    def listen(self) -> None:
        """Receive the messages that have arrived."""
        while True:
            try:
                data, ancillary, _, _ = self.systemd.socket.recvmsg(4096, 1024)
            except BlockingIOError:
                return
            self.heard.append(data.decode())
            for level, kind, content in ancillary:
                self.assertEqual((level, kind), (socket.SOL_SOCKET, socket.SCM_CREDENTIALS))
                self.senders.add(struct.unpack("3i", content)[0])

    def wait_for(self, start: str, daemon: Twistd) -> str:
        """Wait for a message, and forget those before it."""

        def look() -> str | None:
            self.listen()
            return next((each for each in self.heard if each.startswith(start)), None)

        try:
            found = wait_for(look, f"{start} from systemd's view: {self.heard}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the log:\n{daemon.log}") from None
        del self.heard[: self.heard.index(found) + 1]
        return found

    def test_life(self) -> None:
        """Ready without ZooKeeper, the watchdog, a reload by a signal, one that is refused, and the stop."""
        daemon = Twistd("--config", str(self.configure()))
        self.addCleanup(daemon.cleanup)
        ready = self.wait_for("READY=1", daemon)
        self.assertIn("\nSTATUS=0 of 1 service registered", ready)
        # The control socket listens, and SIGHUP has a handler.
        before = time.monotonic_ns() // 1000
        daemon.process.send_signal(signal.SIGHUP)
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.folder / "control.sock"))
        reloading = self.wait_for("RELOADING=1", daemon)
        at = int(reloading.removeprefix("RELOADING=1\nMONOTONIC_USEC="))
        self.assertTrue(before <= at <= time.monotonic_ns() // 1000, (before, at))
        self.assertNotIn("reload", self.wait_for("READY=1", daemon))
        for _ in range(2):
            self.wait_for("WATCHDOG=1", daemon)
        self.wait_for("STATUS=0 of 1 service registered, 1 pending; ZooKeeper is out of reach.", daemon)

        self.configure("[nonsense]\n")
        control_option = ("--control", str(self.folder / "control.sock"))
        done = subprocess.run(
            [sys.executable, "-m", "txmirror", "reload", *control_option],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        self.assertNotEqual(done.returncode, 0)
        self.wait_for("RELOADING=1", daemon)
        self.assertIn("; the last reload has failed.", self.wait_for("READY=1", daemon))

        wait_for((self.folder / "environment").exists, "the check runs")
        environment = (self.folder / "environment").read_text()
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            self.assertNotIn(name, environment)

        self.assertIn(daemon.terminate(), (0, -signal.SIGTERM), daemon.log)
        self.assertNotIn("Traceback", daemon.log)
        self.wait_for("STOPPING=1", daemon)
        self.assertNotIn("READY", "".join(self.heard))
        extension = self.wait_for("EXTEND_TIMEOUT_USEC=", daemon)
        self.assertTrue(10_000_000 < int(extension.partition("=")[2]) <= 15_000_000, extension)
        self.assertEqual(self.senders, {daemon.process.pid})


class UnitTests(SynchronousTestCase):
    if shutil.which("systemd-analyze") is None:
        skip = "there is no systemd-analyze (Debian's package systemd)"

    def analyze(self, *arguments: str, drop_in: str = "") -> str:
        """Run systemd-analyze for the unit, and return its output.

        :param drop_in: the text of a drop-in.
        """
        folder = Path(tempfile.mkdtemp(prefix="txmirror-"))
        self.addCleanup(shutil.rmtree, folder)
        file = folder / "txmirror.service"
        file.write_text(make_unit(sys.executable))
        if drop_in:
            more = folder / "txmirror.service.d" / "more.conf"
            more.parent.mkdir()
            more.write_text(drop_in)
        done = subprocess.run(
            ["systemd-analyze", "--no-pager", *arguments, str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout.replace(f"{folder}/", "")

    def test_valid(self) -> None:
        """systemd understands every line of the unit, which the documentation shows: ``txmirror.service``."""
        self.assertEqual(self.analyze("verify", "--man=no"), "")

    def test_security(self) -> None:
        """The exposure is at most 2.5 of 10."""
        self.assertIn("Overall exposure level", self.analyze("security", "--offline=true", "--threshold=25"))

    def test_drop_ins(self) -> None:
        """systemd understands the drop-ins of the documentation, where its version has their values."""
        order, reload = tested_blocks("docs/operations/running.rst", __name__)
        self.assertEqual(self.analyze("verify", "--man=no", drop_in=order.text), "")
        self.assertIn("Unknown key", self.analyze("verify", "--man=no", drop_in="[Unit]\nBefor=a.service\n"))
        version = re.search(
            r"systemd (\d+)",
            subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True).stdout,
        )
        assert version is not None
        found = self.analyze("verify", "--man=no", drop_in=reload.text)
        if int(version[1]) >= 253:
            self.assertEqual(found, "")
        else:
            self.assertRegex(found, r"\A\S+: Failed to parse service type, ignoring: notify-reload\n\Z")

    def test_rows(self) -> None:
        """systemd understands the lines for checks that need more."""
        rows = list(rows_of("docs/operations/running.rst"))
        table = [row[1] for row in rows[[row[-1].text for row in rows].index("Lines") :]]
        lines = [code for cell in table for code in cell.codes if re.match(r"[A-Z]\w+=", code)]
        self.assertGreater(len(lines), 10)
        # Each key that stands twice counts with both values.
        drop_in = "\n".join(["[Service]", *lines, ""])
        self.assertEqual(self.analyze("verify", "--man=no", drop_in=drop_in), "")
