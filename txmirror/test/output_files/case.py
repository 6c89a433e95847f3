"""The log of a test, and output files on a server in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.configuration import Watch
from txmirror.output_files import OutputFile
from txmirror.test.service.case import Log
from txmirror.test.threaded import ThreadedClock
from txmirror.testing import World

PATH = "/services/web"


def logged(test: SynchronousTestCase) -> Log:
    """Return the log from now to the end of a test."""
    log = Log()
    globalLogPublisher.addObserver(log)
    test.addCleanup(globalLogPublisher.removeObserver, log)
    return log


class OutputFileTestCase(SynchronousTestCase):
    imitate = "3.8"

    def setUp(self) -> None:
        self.log = logged(self)
        self.world = World(version=self.imitate)
        self.addCleanup(self.world.close)
        self.mirror = self.world.mirror()
        self.other = self.world.client(session_timeout=40.0)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.output = self.folder / "list"
        self.files: list[OutputFile] = []
        self.addCleanup(self.stop_all)
        for path in ("/services", PATH):
            self.world.result(self.other.create(path))

    def stop_all(self) -> None:
        stopped = [file.stop() for file in self.files]
        self.world.settle()
        for each in stopped:
            self.successResultOf(each)

    def watch(self, **keys: Any) -> Watch:
        return Watch(**{"path": PATH, "output": str(self.output), "format": "lines", **keys})

    def file(self, *, threads: ThreadedClock | None = None, **keys: Any) -> OutputFile:
        """Return an output file that has followed the list as far as the server can be reached."""
        file = OutputFile(
            self.watch(**keys),
            self.mirror,
            random=lambda: 0.5,
            clock=self.world.reactor,
            reactor=self.world.reactor if threads is None else threads,
        )
        self.files.append(file)
        self.world.settle()
        return file

    def add(self, *names: str, data: bytes = b"{}") -> None:
        for name in names:
            self.world.result(self.other.create(f"{PATH}/{name}", data))
        self.world.settle()

    def remove(self, *names: str) -> None:
        for name in names:
            self.world.result(self.other.delete(f"{PATH}/{name}"))
        self.world.settle()

    def lines(self) -> list[str]:
        """Return the lines of the file."""
        return self.output.read_text().splitlines()
