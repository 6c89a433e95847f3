"""Debian's real ZooKeeper, run as a child process for the integration tests.

This module knows how to find the server, start it, stop or pause it, and query it. It knows nothing of txmirror. Its
calls block, for seconds where a server starts: a test with a running reactor uses ``deferToThread``.

The environment variable ``TXMIRROR_ZOOKEEPER`` decides whether the real server is used:

``auto`` (or nothing)
    where it is installed; else the tests that need it are skipped.
``require``
    always; without it, they fail.
``off``
    never.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from unittest import SkipTest

__all__ = ["JVM_OPTIONS", "ServerFailed", "ZooKeeperProcess", "check_available", "free_ports", "shared_server"]

_POLICY = "TXMIRROR_ZOOKEEPER"
_JAR = Path("/usr/share/java/zookeeper.jar")
#: The Java archives of another ZooKeeper than Debian's, as for ``java -cp``: ``/opt/zookeeper/lib/*``.
_JARS = os.environ.get("TXMIRROR_ZOOKEEPER_JARS")
# slf4j-simple first, or the server logs nothing.
_CLASS_PATH = _JARS or f"/usr/share/java/slf4j-simple.jar:{_JAR}:/usr/share/java/*"
#: Java's options for a quick start.
JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dzookeeper.forceSync=no",
    "-Dzookeeper.preAllocSize=1024",
    "-Dzookeeper.extendedTypesEnabled=true",
    "-Dznode.container.checkIntervalMs=500",
)
_CONFIGURATION = """\
tickTime=500
dataDir={data}
clientPort={port}
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=*
extendedTypesEnabled=true
"""
# Below the range from which the kernel takes ports for outgoing connections: a port that is kept while its server is
# down is then neither taken by one, nor does a client that tries it connect to itself.
_PORTS = range(20_000, 32_000)
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 10.0
# A server that is just starting may accept a connection and never answer on it: then it is asked anew.
_LOOK_TIMEOUT = 1.0


class ServerFailed(Exception):
    """The server did not start; the message ends with the last lines of its log."""


def check_available() -> None:
    """Let a test that needs the real server go on only where it may and can have one.

    :raises SkipTest: the environment rules it out, or it is not installed.
    :raises ServerFailed: it is not installed, and the environment requires it.
    """
    policy = os.environ.get(_POLICY) or "auto"
    if policy not in {"auto", "require", "off"}:
        raise ValueError(f"{_POLICY} is {policy!r}: not one of auto, require, off")
    if policy == "off":
        raise SkipTest(f"no real ZooKeeper server: {_POLICY} is off")
    if shutil.which("java") is None or not (_JARS or _JAR.exists()):
        missing = "no real ZooKeeper server: install one with `apt-get install zookeeper`"
        raise ServerFailed(missing) if policy == "require" else SkipTest(missing)


@functools.cache
def shared_server() -> ZooKeeperProcess:
    """The server that all tests of one run share: started when first asked for, stopped when the interpreter exits.

    A test that wounds its server makes its own in place of this one.

    :raises SkipTest: see :func:`check_available`.
    :raises ServerFailed: it is required and missing, or did not start.
    """
    server = ZooKeeperProcess()
    atexit.register(server.cleanup)
    server.start()
    return server


class ZooKeeperProcess:
    """One standalone server on loopback, with a data folder and a port of its own that outlast its restarts.

    It grants sessions of 1 to 10 seconds. The caller must call :meth:`cleanup` at the end.

    :param jvm_options: Java's options; ``(*JVM_OPTIONS, "-Dmore=of them")`` adds to those for a quick start.
    :param configuration: lines for ``zoo.cfg``, after those that every server here has.
    :ivar port: where it listens for clients, without TLS.
    :ivar home: the server's folder, where files that ``configuration`` and ``jvm_options`` name may be put before
        :meth:`start`; :meth:`cleanup` removes it.
    :ivar configuration: the lines as given; a list, which may be added to until the first :meth:`start`.
    :ivar jvm_options: Java's options, likewise.
    :raises SkipTest: see :func:`check_available`.
    :raises ServerFailed: it is required and not installed.
    """

    _serving_modes: ClassVar[frozenset[str]] = frozenset({"standalone"})

    def __init__(self, jvm_options: Sequence[str] = JVM_OPTIONS, configuration: Sequence[str] = ()) -> None:
        check_available()
        self.jvm_options = list(jvm_options)
        self.configuration = list(configuration)
        (self.port,) = free_ports(1)
        self.home = Path(tempfile.mkdtemp(prefix="txmirror-zookeeper-"))
        self._data = self.home / "data"
        self._log = self.home / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    def address(self) -> str:
        """The address for clients, as ``127.0.0.1:port``; the same after restarts."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """True if the process is alive, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def paused(self) -> bool:
        """True if the process is alive, and was paused."""
        return self.running and self._paused

    def start(self) -> None:
        """Start the server on the data that it has, and wait until it serves.

        :raises ServerFailed: it ended, or did not serve within 30 seconds. It is not left running.
        """
        self.launch()
        self.wait_until_serving()

    def launch(self) -> None:
        """Start the server on the data that it has, without waiting."""
        assert not self.running, "the server runs already"
        self._data.mkdir(exist_ok=True)
        configuration = self.home / "zoo.cfg"
        # Where there is one, it is the server's own: it keeps there what its ensemble was changed to.
        if not configuration.exists():
            common = _CONFIGURATION.format(data=self._data, port=self.port)
            configuration.write_text(common + "".join(f"{line}\n" for line in self.configuration))
        main_class = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        command = ["java", *self.jvm_options, "-cp", _CLASS_PATH, main_class, str(configuration)]
        self._paused = False
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def wait_until_serving(self) -> None:
        """Wait until the server serves that was launched.

        :raises ServerFailed: as :meth:`start`.
        """
        assert self._process is not None, "the server was not launched"
        process, deadline = self._process, time.monotonic() + _START_TIMEOUT
        while process.poll() is None and time.monotonic() < deadline:
            if self._serves():
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        ended = process.poll()
        if ended is None:
            self.kill()
        what = "did not serve in time" if ended is None else f"ended with status {ended}"
        raise ServerFailed(f"ZooKeeper {what}; its log ends with:\n{self._log_tail()}")

    def stop(self) -> None:
        """Ask the server to end (SIGTERM) and wait until it has; its data stays."""
        process = self._running_process()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)  # a paused process would never see the other
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL) and wait until it is gone; its data stays."""
        process = self._running_process()
        process.kill()
        process.wait(_STOP_TIMEOUT)

    def restart(self) -> None:
        """Stop the server and start it again, with the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stall the server (SIGSTOP): its connections stay open, and nothing is answered until :meth:`resume`."""
        process = self._running_process()
        process.send_signal(signal.SIGSTOP)
        # A signal is on its way for a while, and Java has many threads: until the last has stopped, it may answer.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self._paused = True

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._running_process().send_signal(signal.SIGCONT)
        self._paused = False

    def wipe(self) -> None:
        """Forget all data of a server that is stopped: the next start is a new data generation, whose zxids begin again."""
        assert not self.running, "only a stopped server's data can be wiped"
        shutil.rmtree(self._data, ignore_errors=True)
        for kept in self.home.glob("zoo.cfg*"):
            kept.unlink()

    def four_letter(self, word: str, timeout: float = 5.0) -> str:
        """Ask one of the server's four-letter words.

        :param timeout: how long to wait for an answer, in seconds.
        :raises OSError: there was none.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(word.encode("ascii"))
            with connection.makefile("rb") as answer:
                return answer.read().decode("utf-8")

    def version(self) -> str:
        """Ask the server for its release, such as ``3.8.0``.

        :raises OSError: there was no answer.
        """
        answer = self.four_letter("srvr")
        found = re.match(r"Zookeeper version: (\d+(?:\.\d+)*)", answer)
        assert found is not None, answer
        return found[1]

    def mode(self, timeout: float = 5.0) -> str | None:
        """Return the server's mode: ``standalone``, ``leader``, ``follower`` or ``read-only``; None while it does not
        serve.

        :param timeout: how long to wait for an answer, in seconds.
        """
        try:
            answer = self.four_letter("srvr", timeout) if self.running and not self._paused else ""
        except OSError:
            return None
        found = re.search(r"^Mode: (\S+)$", answer, re.MULTILINE)
        return None if found is None else found[1]

    def sessions(self) -> set[int]:
        """The ids of the sessions that are alive, those of clients that are gone but not yet timed out among them.

        The server prints them as hexadecimal numbers, signed in a client's handshake and unsigned here.
        """
        sessions, _, _ = self.four_letter("dump").partition("ephemeral nodes dump:")
        return {int(line, 16) for line in sessions.splitlines() if line.startswith("\t0x")}

    def cleanup(self) -> None:
        """End the process if it runs, and remove all files. May be called twice."""
        if self.running:
            self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def _running_process(self) -> subprocess.Popen[bytes]:
        process = self._process
        assert process is not None and process.poll() is None, "the server does not run"
        return process

    def _serves(self) -> bool:
        # `ruok` is answered before the server serves; `srvr` then says that it does not yet. The folder in `conf` shows
        # that it is this server which answers, and not another that took the port.
        try:
            serving = self.mode(_LOOK_TIMEOUT) in self._serving_modes
            return serving and str(self._data) in self.four_letter("conf", _LOOK_TIMEOUT)
        except OSError:
            return False

    def _log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])


def free_ports(count: int) -> list[int]:
    """Find free ports on loopback, each another.

    :raises ServerFailed: there are too few in a hundred tries.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
        if len(found) == count:
            return found
    raise ServerFailed(f"{len(found)} free ports on loopback in a hundred tries, and not {count}")
