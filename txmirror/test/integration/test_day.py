"""A day of the daemon: real processes, a real ZooKeeper and real signals, and another project's client to look on."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest import SkipTest

from kazoo.protocol.states import ZnodeStat

from txmirror.test.integration.test_twistd import Twistd, TwistdTestCase, wait_for
from txmirror.test.test_examples import find_examples

#: How long anything may take, in seconds.
_PATIENCE = 30.0
_SERVICES = "/services"

_HEAD = """
version = 1

[zookeeper]
servers = "{servers}"
session_timeout = "20s"
state_file = "state"

[host]
allow_loopback = true

[daemon]
control = "control.sock"
maintenance_file = "maintenance.json"
stop_timeout = "10s"

[defaults]
path = "/services"
node = "{{name}}:1"
check = {{ interval = "2s", fast_interval = "100ms", timeout = "1500ms", rise = 2, fall = 2 }}
flap_hold = {{ downs = 2, window = "1m", hold = "2s" }}
"""
_WEB = """
[[service]]
name = "web"
port = {port}
drain = "3s"
on_stop = "{on_stop}"
data = {{ weight = 10 }}
[[service.check]]
type = "tcp"
"""
_DB = """
[[service]]
name = "db"
on_stop = "{on_stop}"
[[service.check]]
type = "command"
argv = ["sh", "-c", "test -e {folder}/db || exit 2"]
"""
_MAIL = """
[[service]]
name = "mail"
on_stop = "{on_stop}"
[[service.check]]
type = "process"
pid_file = "{folder}/pid"
"""
_CACHE = """
[[service]]
name = "cache"
"""
#: Patterns of the parts of a line that differ from day to day, and their replacements.
_DIFFERENT = (
    (r"127\.0\.0\.1:\d+", "<address>"),
    (r"0x[0-9a-f]+", "<id>"),
    (r"/\S*txmirror\.toml", "<file>"),
    (r"^(\w+) +", r"\1 "),
)


class DayTests(TwistdTestCase):
    def setUp(self) -> None:
        # The path of a socket must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="txmirror-day-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "txmirror.toml"
        self.logs: list[Twistd] = []

    def configure(self, *services: str, on_stop: str = "deregister") -> None:
        parts = [each.format(port=self.port, folder=self.folder, on_stop=on_stop) for each in services]
        self.file.write_text(_HEAD.format(servers=self.server.address) + "".join(parts))

    def start(self) -> Twistd:
        daemon = self.twistd("--config", os.path.relpath(self.file, self.folder), cwd=self.folder)
        self.logs.append(daemon)
        return daemon

    def twistd(self, *arguments: str, cwd: Path | None = None) -> Twistd:
        twistd = Twistd(*arguments, cwd=cwd)
        self.addCleanup(twistd.cleanup)
        return twistd

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command of an operator, and return its status and output."""
        done = subprocess.run(
            [sys.executable, "-m", "txmirror", *arguments, "--control", "control.sock"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        return done.returncode, done.stdout + done.stderr

    def stats(self, *names: str) -> dict[str, ZnodeStat]:
        def look() -> dict[str, ZnodeStat] | None:
            found = {name: self.look(self.client, f"{_SERVICES}/{name}:1") for name in names}
            return {name: each[1] for name, each in found.items() if each} if all(found.values()) else None

        return wait_for(look, f"{names} are registered", _PATIENCE)

    def wait_gone(self, name: str) -> None:
        wait_for(
            lambda: self.client.exists(f"{_SERVICES}/{name}:1") is None, f"{name} is withdrawn: {self.log}", _PATIENCE
        )

    @property
    def log(self) -> str:
        return "".join(each.log for each in self.logs)

    def watch(self) -> list[list[str]]:
        """Return the list to which each new list of children is added."""
        lists: list[list[str]] = []
        self.client.ChildrenWatch(_SERVICES, lambda children: lists.append(sorted(children)))
        wait_for(lambda: lists, "the first list of children")
        return lists

    def test_day(self) -> None:  # noqa: PLR0915 - one story; a second one would start the servers again
        """Start without ZooKeeper, proven services, flapping, outages, restarts, reload, maintenance, and a stop in order."""
        self.server = self.own_server(start=False)
        web = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(web.close)
        accepting = threading.Thread(target=_accept, args=(web,), daemon=True)
        accepting.start()
        self.port = web.getsockname()[1]
        (self.folder / "pid").write_text(str(os.getpid()))
        self.configure(_WEB, _DB, _MAIL)

        # ZooKeeper is down; the checks run.
        daemon = self.start()
        daemon.wait_for("Service web is up: check tcp passes.")
        daemon.wait_for("Service mail is up")
        self.server.start()
        self.client = self.kazoo(self.server.address)
        self.stats("web", "mail")
        self.assertIsNone(self.client.exists(f"{_SERVICES}/db:1"))
        (self.folder / "db").touch()
        self.stats("db", "web", "mail")

        # One flaps, and is held.
        for _ in range(2):
            (self.folder / "db").unlink()
            self.wait_gone("db")
            (self.folder / "db").touch()
            wait_for(
                lambda: self.client.exists(f"{_SERVICES}/db:1") or "goes down too often" in self.log,
                f"db is back, or held: {self.log}",
                _PATIENCE,
            )
        daemon.wait_for("Service db goes down too often", _PATIENCE)
        before = self.stats("db", "web", "mail")

        # ZooKeeper is killed and restarted.
        daemon.wait_for("Registered /services/db:1.")
        self.server.kill()
        daemon.wait_for("Disconnected from")
        self.server.start()
        daemon.wait_for("ZooKeeper is in reach again.", _PATIENCE)
        self.assertEqual(self.stats(*before), before)

        # The daemon is killed and restarted, and others see nothing.
        lists = self.watch()
        daemon.process.kill()
        daemon.process.wait()
        daemon = self.start()
        daemon.wait_for("with 3 of its registrations")
        daemon.wait_for("Service db is up")
        self.assertEqual(self.stats(*before), before)
        self.assertEqual(lists, [["db:1", "mail:1", "web:1"]])

        # A second daemon is refused.
        other = self.start()
        self.assertEqual(other.process.wait(_PATIENCE), 75, other.log)
        self.assertIn(f"process {daemon.process.pid} uses the state file", other.log)
        self.assertNotIn("Traceback", self.logs.pop().log)

        # Stopped with keep-session, and started again.
        self.configure(_WEB, _DB, _MAIL, on_stop="keep-session")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("added none; removed none; changed web (on_stop), db (on_stop), mail (on_stop); 0 unchanged")
        self.end(daemon)
        daemon = self.start()
        daemon.wait_for("with 3 of its registrations")
        daemon.wait_for("Service web is up")
        self.assertEqual(self.stats(*before), before)
        self.assertEqual(lists, [["db:1", "mail:1", "web:1"]])

        # One service is added and one removed, and nothing is written for the others.
        self.configure(_WEB, _DB, _CACHE)
        status, output = self.command("reload")
        self.assertEqual(status, 0, output)
        self.wait_gone("mail")
        after = self.stats("web", "db", "cache")
        self.assertEqual((after["web"], after["db"]), (before["web"], before["db"]))
        # An invalid file changes nothing.
        good = self.file.read_text()
        self.file.write_text(good.replace("drain", "drian"))
        status, output = self.command("reload")
        self.assertEqual(status, 1)
        self.assertIn("did you mean 'drain'", output)
        self.file.write_text(good)
        self.assertEqual(self.stats("web", "db", "cache"), after)

        # Maintenance.
        daemon.wait_for("Service db is up")
        status, output = self.command("status")
        self.assertEqual(status, 0, output)
        status, output = self.command("maint", "db", "-m", "new disk", "--for", "1h")
        self.assertEqual(status, 0, output)
        self.wait_gone("db")
        status, output = self.command("why", "db")
        self.assertEqual(status, 1, output)
        self.assertIn("It is in maintenance: new disk, until ", output)
        self.assertEqual(self.command("maint", "db", "--end")[0], 0)
        self.stats("db")

        # SIGTERM: withdrawn, drained, ended.
        session = after["web"].ephemeralOwner & 0xFFFFFFFFFFFFFFFF
        daemon.process.terminate()
        self.wait_gone("web")
        withdrawn = time.monotonic()
        self.assertIsNone(daemon.process.poll())
        self.assertIn(session, self.server.sessions())
        daemon.process.wait(_PATIENCE)
        self.assertGreater(time.monotonic() - withdrawn, 1.0)
        self.assertNotIn(session, self.server.sessions())
        self.assertFalse((self.folder / "state").exists())
        for bad in ("Traceback", "Unhandled", "#critical]"):
            self.assertNotIn(bad, self.log)
        errors = [line for line in self.log.splitlines() if "#error]" in line]
        self.assertEqual(len(errors), 1, errors)
        self.assertIn("Not reloaded: ", errors[0])
        order = ["Stopping:", "Withdrew /services/web:1.", "Waiting 3 s", "Stopped."]
        places = [daemon.log.rindex(text) for text in order]
        self.assertEqual(places, sorted(places), daemon.log)
        self.check_page()
        if "TXMIRROR_DAY_LOG" in os.environ:
            Path(os.environ["TXMIRROR_DAY_LOG"]).write_text(self.log)

    def check_page(self) -> None:
        """Each line of the day in the documentation, with its level, is in the log of this day too."""
        try:
            page = find_examples().parent / "day.log"
        except SkipTest:
            return
        shown = {_comparable(line.split(" ", 1)[1]) for line in page.read_text("utf-8").splitlines() if line}
        found = {_comparable(f"{level} {text}") for level, text in re.findall(r"#(\w+)\] (.+)", self.log)}
        # The reasons vary with the moment at which the server begins to listen.
        missing = {line for line in shown - found if not line.startswith("warn Could not connect")}
        self.assertEqual(missing, set())


def _comparable(line: str) -> str:
    """Return a line of the log without addresses, ids of sessions and folders."""
    for pattern, replacement in _DIFFERENT:
        line = re.sub(pattern, replacement, line)
    return line


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return
