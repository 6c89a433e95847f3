"""The in-memory server in a process of its own, for programs that block, or run in threads, or are not in Python.

It knows no reactor, and waits: it is not for tests that run on one.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from types import TracebackType
from typing import IO, TypeVar

_ProcessT = TypeVar("_ProcessT", bound="ServerProcess")

#: How long a server may take to start, and to end, in seconds.
_START_TIME = 30.0
_END_TIME = 5.0
_ANNOUNCEMENT = " listening at "


class ServerProcess:
    """A child process that runs ``python -m txmirror.embedded`` on a free port of 127.0.0.1, until :meth:`stop`.

    As a context it stops itself. It has begun to listen when it has been made.

    :param version: which ZooKeeper to imitate, as for :class:`txmirror.embedded.EmbeddedServer`.
    :param tick_time: ZooKeeper's tick in seconds, likewise.
    :param ttl_nodes: whether nodes may have a time to live, likewise.
    :ivar host: where it listens.
    :ivar port: where it listens.
    :ivar pid: the process' id.
    :raises RuntimeError: it did not start; the message holds its output.
    """

    def __init__(self, *, version: str = "3.8", tick_time: float = 0.5, ttl_nodes: bool = False) -> None:
        command = [sys.executable, "-m", "txmirror.embedded", "--listen", "127.0.0.1:0"]
        command += [f"--imitate={version}", f"--tick-time={tick_time}", *(["--ttl-nodes"] if ttl_nodes else [])]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.pid = self._process.pid
        self._lines: list[str] = []
        self._address = ""
        self._settled = threading.Event()
        # It reads for as long as there is something, so that the server never waits for its log to be read.
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        if not self._settled.wait(_START_TIME) or not self._address:
            self.stop()
            raise RuntimeError(
                f"the embedded server did not start: exit status {self._process.returncode}, after {command}\n{self.output}"
            )
        self.host, _, port = self._address.rpartition(":")
        self.port = int(port)

    def __repr__(self) -> str:
        return f"<ServerProcess {self.connection_string}>"

    def __enter__(self: _ProcessT) -> _ProcessT:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def connection_string(self) -> str:
        """Where it listens, ``host:port``, as clients take it."""
        return self._address

    @property
    def output(self) -> str:
        """What it has written so far: its log."""
        return "".join(self._lines)

    def stop(self) -> int:
        """End the process, and wait until it has ended; by force, where it does not end by itself. May be called again.

        :returns: its exit status: 0 where all is well.
        """
        if self._process.poll() is None:
            self._process.terminate()
        try:
            status = self._process.wait(_END_TIME)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join(_END_TIME)
        return status

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._lines.append(line)
                if _ANNOUNCEMENT in line and not self._address:
                    self._address = line.split()[-1]
                    self._settled.set()
        self._settled.set()
