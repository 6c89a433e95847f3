"""The embedded server in a process of its own, for programs that block, or run in threads, or are not in Python.

Its calls block, and use no reactor: it is not for tests that run on one.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from types import TracebackType
from typing import IO, TypeVar

_ProcessT = TypeVar("_ProcessT", bound="ServerProcess")

#: Timeouts for the server's start and end, in seconds.
_START_TIME = 30.0
_END_TIME = 5.0
_ANNOUNCEMENT = " listening at "


class ServerProcess:
    """A child process that runs ``python -m txmirror.embedded`` on a free port of 127.0.0.1, until :meth:`stop`.

    As a context manager it stops by itself. The constructor returns when the server listens.

    :param version: the ZooKeeper to imitate, as for :class:`txmirror.embedded.EmbeddedServer`.
    :param tick_time: ZooKeeper's tick in seconds, likewise.
    :param ttl_nodes: whether TTL nodes are enabled, likewise.
    :ivar host: the host at which it listens.
    :ivar port: the port at which it listens.
    :ivar pid: the process id.
    :raises RuntimeError: the server did not start; the message contains its output.
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
        self.pid: int = self._process.pid
        self._lines: list[str] = []
        self._address = ""
        self._settled = threading.Event()
        # This thread reads all output, so that the server never blocks on a full pipe.
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        if not self._settled.wait(_START_TIME) or not self._address:
            self.stop()
            raise RuntimeError(
                f"the embedded server did not start: exit status {self._process.returncode}, after {command}\n{self.output}"
            )
        host, _, port = self._address.rpartition(":")
        self.host: str = host
        self.port: int = int(port)

    def __repr__(self) -> str:
        return f"<ServerProcess {self.connect_string}>"

    def __enter__(self: _ProcessT) -> _ProcessT:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def connect_string(self) -> str:
        """The server's address, ``host:port``, for clients."""
        return self._address

    @property
    def output(self) -> str:
        """The output of the server so far: its log."""
        return "".join(self._lines)

    def stop(self) -> int:
        """End the process, by force if it does not end in five seconds, and wait for it. It can be called again.

        :returns: the exit status: 0 without a fault.
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
