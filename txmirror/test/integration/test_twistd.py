"""The main job, as an operator sees it: the real ``twistd``, a real ZooKeeper, and another project's client to look on."""

from __future__ import annotations

import contextlib
import json
import logging
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, NoNodeError, OperationTimeoutError, SessionExpiredError
from kazoo.protocol.states import ZnodeStat
from twisted.trial.unittest import SynchronousTestCase

from txmirror.service import state_file
from txmirror.test.zookeeper import ZooKeeperProcess, shared_server

# Its complaints about the servers that are killed are no news.
logging.getLogger("kazoo").addHandler(logging.NullHandler())

PATH = "/services/ssh/server1:22"
SAMPLE = "/services/sample/localhost:8080"
#: How long anything may take, in seconds.
_PATIENCE = 12.0
#: As the script of that name does, but of the Python that runs the tests.
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
_TXMIRROR = (*TWISTD, "-n", "--pidfile=", "txmirror")

_T = TypeVar("_T")


def wait_for(look: Callable[[], _T | None], what: str, patience: float = _PATIENCE) -> _T:
    """Look again and again, until there is something; at the end of patience, fail."""
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience:g} s: {what}")
        pause.wait(0.02)
    return found


class Twistd:
    """A child process, and its log.

    :param command: the command before the arguments.
    :param cwd: its working directory; a new folder if None.
    """

    def __init__(self, *arguments: str, command: Sequence[str] = _TXMIRROR, cwd: Path | None = None) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="txmirror-twistd-"))
        self._log = self._home / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments],
                cwd=cwd or self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str, patience: float = _PATIENCE) -> str:
        """Wait for a line with some text in the log, and return it."""

        def look() -> str:
            return next((line for line in self.log.splitlines() if text in line), "")

        try:
            return wait_for(look, f"{text!r} in the log", patience)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log:\n{self.log}") from None

    def terminate(self, patience: float = _PATIENCE) -> int:
        """Send SIGTERM, wait for the end, and return the exit status."""
        self.process.terminate()
        return self.process.wait(patience)

    def cleanup(self) -> None:
        """End it, if it is still there, and remove its files."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self._home, ignore_errors=True)


class TwistdTestCase(SynchronousTestCase):
    def twistd(self, *arguments: str) -> Twistd:
        twistd = Twistd(*arguments)
        self.addCleanup(twistd.cleanup)
        return twistd

    def register(self, address: str, session_timeout: float, path: str = PATH) -> Twistd:
        """Start a twistd that registers one service."""
        return self.twistd(
            *("--servers", address, "--session-timeout", str(session_timeout)),
            *("--register", path, "--data", "foo=bar"),
        )

    def own_server(self, *, start: bool = True) -> ZooKeeperProcess:
        """Make a server that the test may wound."""
        server = ZooKeeperProcess()
        self.addCleanup(server.cleanup)
        if start:
            server.start()
        return server

    def kazoo(self, address: str) -> KazooClient:
        client = KazooClient(address, timeout=10.0)

        def end() -> None:
            client.stop()
            client.close()

        self.addCleanup(end)
        client.start(timeout=10)
        return client

    def look(self, client: KazooClient, path: str = PATH) -> tuple[bytes, ZnodeStat] | None:
        """Return the data at a path; None if there is no node, or no connection at this moment."""
        try:
            return client.get(path)  # type: ignore[no-any-return]
        except (NoNodeError, ConnectionLoss, SessionExpiredError, OperationTimeoutError):
            return None

    def wait_registered(self, client: KazooClient, path: str = PATH) -> ZnodeStat:
        data, stat = wait_for(lambda: self.look(client, path), f"{path} is registered")
        self.assertEqual(json.loads(data)["foo"], "bar")
        self.assertNotEqual(stat.ephemeralOwner, 0)
        return stat

    def assert_quiet(self, twistd: Twistd) -> None:
        """Check that the log has nothing worse than warnings."""
        for bad in ("Traceback", "Unhandled", "#error]", "#critical]"):
            self.assertNotIn(bad, twistd.log)

    def end(self, twistd: Twistd, patience: float = _PATIENCE) -> None:
        """End it with SIGTERM: it goes, on its own, and has left no complaint."""
        status = twistd.terminate(patience)
        # Older versions of Twisted exit with 0 then, newer ones by the signal itself.
        self.assertIn(status, (0, -signal.SIGTERM), twistd.log)
        self.assertIn("Stopped.", twistd.log)
        self.assert_quiet(twistd)


class MainJobTests(TwistdTestCase):
    def test_registered_and_gone(self) -> None:
        """It is registered, with its data and its pid, and gone at once after SIGTERM, and so is its session."""
        server = shared_server()
        path = "/test_registered_and_gone/server1:22"
        client = self.kazoo(server.address)
        twistd = self.register(server.address, 10, path)
        stat = self.wait_registered(client, path)
        data, _ = client.get(path)
        self.assertEqual(json.loads(data)["pid"], twistd.process.pid)
        twistd.wait_for(f"Registered {path}.")
        self.end(twistd, 3)
        self.assertIsNone(client.exists(path))
        self.assertNotIn(stat.ephemeralOwner & 0xFFFFFFFFFFFFFFFF, server.sessions())
        self.assertIn(f"Withdrew {path}.", twistd.log)

    def test_two_services(self) -> None:
        """Several services are registered by one program."""
        server = shared_server()
        paths = [f"/test_two_services/{name}" for name in ("one:1", "two:2")]
        client = self.kazoo(server.address)
        twistd = self.twistd("--servers", server.address, "--data", "foo=bar", "-r", paths[0], "-r", paths[1])
        owners = {self.wait_registered(client, path).ephemeralOwner for path in paths}
        self.assertEqual(len(owners), 1)
        self.end(twistd)
        self.assertEqual(client.get_children("/test_two_services"), [])

    def test_deleted_and_overwritten(self) -> None:
        """A node that kazoo deletes or overwrites is restored."""
        server = shared_server()
        path = "/test_deleted_and_overwritten/server1:22"
        client = self.kazoo(server.address)
        twistd = self.register(server.address, 10, path)
        before = self.wait_registered(client, path)
        client.delete(path)
        after = self.wait_registered(client, path)
        self.assertEqual(after.ephemeralOwner, before.ephemeralOwner)
        self.assertGreater(after.czxid, before.czxid)
        client.set(path, b"{}")
        wait_for(lambda: client.get(path)[0] != b"{}", "the data is put back")
        self.wait_registered(client, path)
        self.end(twistd)

    def test_server_killed(self) -> None:
        """After SIGKILL and restart of the server the node is there, the same, in the same session; we are back soon.

        A server that has just begun to listen may take a handshake and never answer it: about one start in ten of 3.8.0
        does that to a client that comes in its first moments. Such an attempt is given up after S/3.
        """
        server = self.own_server()
        client = self.kazoo(server.address)
        twistd = self.register(server.address, 6)
        before = self.wait_registered(client)
        twistd.wait_for(f"Registered {PATH}.")
        server.kill()
        twistd.wait_for("Disconnected from")
        server.start()
        wait_for(lambda: "ZooKeeper is in reach again." in twistd.log, f"in reach again: {twistd.log}", 6 / 3 + 2)
        # A new client: the other one may take its time until it tries again.
        after = self.wait_registered(self.kazoo(server.address))
        self.assertEqual(twistd.log.count(f"Registered {PATH}."), 1)
        self.assertEqual((after.czxid, after.mzxid), (before.czxid, before.mzxid))
        self.assertEqual(after.ephemeralOwner, before.ephemeralOwner)
        self.assertIn("resumed session", twistd.log)
        self.end(twistd)

    def test_stopped_and_continued(self) -> None:
        """Stalled for longer than its session, it is there again under a new one when it goes on."""
        server = shared_server()
        path = "/test_stopped_and_continued/server1:22"
        client = self.kazoo(server.address)
        twistd = self.register(server.address, 1, path)
        before = self.wait_registered(client, path)
        twistd.wait_for(f"Registered {path}.")
        twistd.process.send_signal(signal.SIGSTOP)
        try:
            wait_for(lambda: client.exists(path) is None, "the session ends")
        finally:
            twistd.process.send_signal(signal.SIGCONT)
        after = self.wait_registered(client, path)
        self.assertNotEqual(after.ephemeralOwner, before.ephemeralOwner)
        # And it stays.
        wait_for(lambda: twistd.log.count(f"Registered {path}.") == 2, "registered again")
        self.assertEqual(self.wait_registered(client, path).czxid, after.czxid)
        self.end(twistd)
        self.assertIsNone(client.exists(path))

    def test_server_down_at_start(self) -> None:
        """Started before ZooKeeper, it logs that, waits, and registers when ZooKeeper starts."""
        server = self.own_server(start=False)
        twistd = self.register(server.address, 4)
        twistd.wait_for("Could not connect to")
        self.assertIn(server.address, twistd.wait_for("cannot be reached"))
        server.start()
        client = self.kazoo(server.address)
        self.wait_registered(client)
        self.end(twistd)

    def test_server_down_at_the_end(self) -> None:
        """With ZooKeeper down it ends within a bounded time, and logs the effect on the registration."""
        server = self.own_server()
        twistd = self.register(server.address, 4)
        twistd.wait_for(f"Registered {PATH}.")
        server.kill()
        twistd.wait_for("Disconnected from")
        self.end(twistd, 9)
        self.assertIn("Their znodes are deleted when the session expires", twistd.log)

    def test_another_s_node(self) -> None:
        """While another session owns the node, it waits, the log has the owner, and it registers when that node is
        gone.
        """
        server = shared_server()
        path = "/test_another_s_node/server1:22"
        client = self.kazoo(server.address)
        client.create(path, b"theirs", ephemeral=True, makepath=True)
        owner = client.client_id[0] & 0xFFFFFFFFFFFFFFFF
        twistd = self.register(server.address, 10, path)
        twistd.wait_for(f"{owner:#x}")
        client.delete(path)
        self.wait_registered(client, path)
        self.end(twistd)


class EmbeddedTests(TwistdTestCase):
    def address(self, twistd: Twistd) -> str:
        line = twistd.wait_for("listens on ")
        found = re.search(r"listens on (127\.0\.0\.1:\d+)", line)
        assert found is not None, line
        return found[1]

    def test_sample(self) -> None:
        """Alone, it registers a sample, shows it, and logs an address at which kazoo sees it."""
        twistd = self.twistd("--embedded")
        client = self.kazoo(self.address(twistd))
        data, stat = wait_for(lambda: self.look(client, SAMPLE), "the sample is registered")
        self.assertIn("pid", json.loads(data))
        self.assertNotEqual(stat.ephemeralOwner, 0)
        twistd.wait_for(f"registry: + {SAMPLE}")
        client.create("/services/other", b"hello")
        twistd.wait_for("registry: + /services/other  hello")
        client.set("/services/other", b"again")
        twistd.wait_for("registry: ~ /services/other  again")
        client.delete("/services/other")
        twistd.wait_for("registry: - /services/other")
        self.end(twistd, 5)

    def test_own_service(self) -> None:
        """With ``--register``, that node is registered in place of the sample."""
        twistd = self.twistd("--embedded", "--register", PATH, "--data", "foo=bar")
        client = self.kazoo(self.address(twistd))
        self.wait_registered(client)
        self.assertIsNone(client.exists("/services/sample"))
        self.end(twistd, 5)


class CommandLineTests(TwistdTestCase):
    def test_malformed(self) -> None:
        """A malformed option ends it before anything starts: one line that quotes it, and status 64."""
        for arguments, offender in (
            (("--register", "services/x"), "'services/x'"),
            (("--register", PATH, "--servers", "localhost:port"), "'port'"),
            (("--register", PATH, "--data", "foo"), "'foo'"),
            (("--register", PATH, "--bogus"), "--bogus"),
        ):
            twistd = self.twistd(*arguments)
            self.assertEqual(twistd.process.wait(_PATIENCE), 64)
            lines = twistd.log.splitlines()
            self.assertEqual(len(lines), 1, twistd.log)
            self.assertIn(offender, lines[0])

    def test_background(self) -> None:
        """A start in the background that fails ends at once, with the reason in the log, and leaves no pid file."""
        folder = Path(tempfile.mkdtemp(prefix="txmirror-twistd-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        lock = state_file.lock(folder / "session")
        self.addCleanup(state_file.unlock, lock)
        command = [*TWISTD, f"--pidfile={folder / 'pid'}", f"--logfile={folder / 'log'}", "txmirror"]
        service = ["--servers", "127.0.0.1:1", "--state-file", str(folder / "session"), "--register", PATH]
        ended = subprocess.run([*command, *service], check=False, capture_output=True, text=True, timeout=_PATIENCE)
        self.assertEqual(ended.returncode, 1)
        # twistd prints the first characters of the reason.
        self.assertIn(f"process {os.getpid()} uses the state file", ended.stderr)
        log = (folder / "log").read_text()
        self.assertIn(f"process {os.getpid()} uses the state file", log)
        self.assertNotIn("Traceback", log)
        # The parent ends as soon as it knows the reason; the child removes the file when it ends.
        wait_for(lambda: not (folder / "pid").exists(), "the pid file is removed")

    def test_help(self) -> None:
        """The help of twistd names the plugin, and the plugin's own help its options."""
        options = subprocess.run([*_TXMIRROR, "--help"], capture_output=True, text=True, check=True, timeout=_PATIENCE)
        self.assertIn("--register", options.stdout)
        commands = subprocess.run([*TWISTD, "--help"], capture_output=True, text=True, check=True, timeout=_PATIENCE)
        self.assertRegex(commands.stdout, r"(?m)^\s+txmirror\s+Keep services registered in ZooKeeper")


class LeftCommandsTests(TwistdTestCase):
    def test_killed(self) -> None:
        """Commands that a killed daemon leaves running are ended by the next one; a process that a check has detached goes on."""
        folder = Path(tempfile.mkdtemp(prefix="txmirror-twistd-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        pids = {name: folder / name for name in ("hangs", "child", "detached")}

        def end(path: Path) -> None:
            if path.exists():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(path.read_text()), signal.SIGKILL)

        for path in pids.values():
            self.addCleanup(end, path)
        hangs, detaches = folder / "hangs.sh", folder / "detaches.sh"
        # The second one runs first. Later runs do nothing.
        hangs.write_text(
            f"[ -s {pids['detached']} ] || exit 2\n[ -e {pids['hangs']} ] && exit\n"
            f"setsid sh -c 'echo $$ >{pids['child']}; exec sleep 60' &\n"
            f"echo $$ >{pids['hangs']}; exec sleep 60\n"
        )
        detaches.write_text(
            f"[ -e {pids['detached']} ] || setsid sh -c 'echo $$ >{pids['detached']}; exec sleep 60' >/dev/null 2>&1 &\n"
        )
        configuration = folder / "c.toml"
        checks = "".join(
            f'[[service]]\nname = "{path.stem}"\npath = "/services"\nnode = "{path.stem}"\n[[service.check]]\ntype = "command"\n'
            f'argv = ["sh", "{path}"]\ninterval = "6s"\ntimeout = "5900ms"\n'
            'fast_interval = "100ms"\nfall = 1000\n'
            for path in (hangs, detaches)
        )
        configuration.write_text(f'[zookeeper]\nservers = "127.0.0.1:1"\nstate_file = "state"\n{checks}')
        daemon = self.twistd("--config", str(configuration))
        wait_for(lambda: all(path.exists() and path.read_text() for path in pids.values()), "the commands run", 30)
        daemon.process.kill()
        daemon.process.wait()
        self.assertEqual([self.is_alive(path) for path in pids.values()], [True] * 3)
        daemon = self.twistd("--config", str(configuration))
        daemon.wait_for("Ending 1 command of checks that the last process left running.", 30)
        wait_for(lambda: not self.is_alive(pids["hangs"]) and not self.is_alive(pids["child"]), "both have ended")
        # And the check runs again.
        daemon.wait_for("Service hangs is up", 30)
        self.assertTrue(self.is_alive(pids["detached"]))
        self.end(daemon)
        self.assertFalse((folder / "state.commands").exists())

    def test_hurried(self) -> None:
        """A stop that is hurried leaves no command running, also none that ignores SIGTERM."""
        self.check_stop("30s", 2)

    def test_stopped_in_no_time(self) -> None:
        """A stop whose time is over leaves none, either."""
        self.check_stop("100ms", 1)

    def check_stop(self, stop_timeout: str, signals: int) -> None:
        folder = Path(tempfile.mkdtemp(prefix="txmirror-twistd-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        pid = folder / "pid"
        script = f"trap '' TERM; echo $$ >{pid}; while :; do sleep 0.1; done"
        (folder / "c.toml").write_text(
            f'[zookeeper]\nservers = "127.0.0.1:1"\n[daemon]\nstop_timeout = "{stop_timeout}"\n'
            '[[service]]\nname = "web"\npath = "/services"\nnode = "web"\n[[service.check]]\ntype = "command"\n'
            f'argv = ["sh", "-c", "{script}"]\ninterval = "3s"\ntimeout = "2900ms"\n'
        )
        daemon = self.twistd("--config", str(folder / "c.toml"))
        wait_for(lambda: pid.exists() and pid.read_text(), "the command runs", 30)
        for _ in range(signals):
            daemon.process.terminate()
            daemon.wait_for("Received SIGTERM")
        self.assertEqual(daemon.process.wait(_PATIENCE), -signal.SIGTERM)
        wait_for(lambda: not self.is_alive(pid), "the command has ended", 1.0)
        self.assertNotIn("Traceback", daemon.log)

    def is_alive(self, path: Path) -> bool:
        """Return whether the process with the pid in a file is alive."""
        try:
            state = Path(f"/proc/{path.read_text().strip()}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state != "Z"


class NotZooKeeper:
    """Another service that listens, in a thread of its own.

    :param answer: its answer to any data, before it closes; None keeps the connection, in silence. Empty closes each
        new connection at once.
    """

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._kept: list[socket.socket] = []
        #: When somebody connected, each time, by the monotonic clock.
        self.times: list[float] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def wait_for(self, count: int) -> list[float]:
        """Wait until so many have connected."""
        wait_for(lambda: len(self.times) >= count, f"{count} connections, of which there are {len(self.times)}")
        return self.times[:count]

    def close(self) -> None:
        # This wakes the thread up; a mere close would not.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for connection in (*self._kept, self._socket):
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.times.append(time.monotonic())
            if self._answer is None:
                self._kept.append(connection)
                continue
            with connection:
                connection.settimeout(5)
                if self._answer:
                    connection.recv(4096)
                    connection.sendall(self._answer)


class NotZooKeeperTests(TwistdTestCase):
    def start(self, answer: bytes | None) -> tuple[NotZooKeeper, Twistd]:
        server = NotZooKeeper(answer)
        self.addCleanup(server.close)
        return server, self.register(server.address, 1.5)

    def assert_no_spin(self, server: NotZooKeeper, twistd: Twistd) -> None:
        """Check that the random pauses grow, and that not every attempt is logged."""
        times = server.wait_for(7)
        self.assertGreater(times[-1] - times[0], 0.2)
        self.assertLessEqual(twistd.log.count("Could not connect to"), 2)
        self.assertIsNone(twistd.process.poll())

    def test_http(self) -> None:
        """A web server is recognised, its answer is logged, and it is tried again with pauses."""
        page = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nConnection: close\r\n\r\n<html>bad request</html>"
        server, twistd = self.start(page)
        line = twistd.wait_for("Could not connect to")
        self.assertIn(server.address, line)
        self.assertIn("HTTP/1.1", line)
        self.assert_no_spin(server, twistd)
        self.end(twistd, 3)

    def test_closes(self) -> None:
        """A server that closes each connection at once is logged as such, and tried again with pauses."""
        server, twistd = self.start(b"")
        line = twistd.wait_for("Could not connect to")
        self.assertIn(server.address, line)
        self.assertIn("closed the handshake without an answer", line)
        self.assert_no_spin(server, twistd)
        self.end(twistd, 3)

    def test_silent(self) -> None:
        """A silent server is given up after a while, logged as silent, and tried again."""
        began = time.monotonic()
        server, twistd = self.start(None)
        line = twistd.wait_for("Could not connect to")
        self.assertIn(server.address, line)
        self.assertIn("no answer to the handshake in time", line)
        # Each has S/3. On a busy machine it is seen late that one has come, the first of them too.
        times = server.wait_for(4)
        self.assertGreater(times[3] - began, 3 * 1.5 / 3)
        self.end(twistd, 3)

    def test_nonsense(self) -> None:
        """A server that answers with invalid data is recognised, and tried again with pauses."""
        server, twistd = self.start(b"\x00\x00\x00\x25" + b"\xff" * 37)
        self.assertIn(server.address, twistd.wait_for("Could not connect to"))
        self.assert_no_spin(server, twistd)
        self.end(twistd, 3)


class SignalTests(TwistdTestCase):
    def test_signals(self) -> None:
        """No signal but SIGKILL ends it without a withdrawal, and none leaves a traceback."""
        twistd = self.twistd("--embedded")
        twistd.wait_for("Registered")
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            twistd.process.send_signal(number)
            twistd.wait_for(f"Received {number.name}")
        twistd.process.send_signal(signal.SIGQUIT)
        self.assertEqual(twistd.process.wait(_PATIENCE), 0)
        twistd.wait_for("Withdrew")
        self.assertIn("Stopped.", twistd.log)
        self.assert_quiet(twistd)

    def test_repeated(self) -> None:
        """Signals that ask for the stop again end the wait; the session is closed in any case, and its nodes go with it."""
        twistd = self.twistd("--embedded")
        twistd.wait_for("Registered")
        for _ in range(3):
            twistd.process.send_signal(signal.SIGQUIT)
        self.assertEqual(twistd.process.wait(_PATIENCE), 0)
        twistd.wait_for("closed by its client")
        self.assertIn("Stopped.", twistd.log)
        self.assert_quiet(twistd)
