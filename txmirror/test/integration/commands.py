"""Command lines that run in the process of the test, at a real server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from txmirror.cli.command import main
from txmirror.cli.console import Console
from txmirror.cli.run import Program, Run
from txmirror.cli.settings import Settings
from txmirror.test.cli.case import Input, Stream


class Command:
    """A command line in this process, with the reactor of the test.

    :ivar ended: fires with its exit status.
    """

    def __init__(self, reactor: Any, *arguments: str, stdin: bytes = b"") -> None:
        self._reactor = reactor
        self._out = Stream()
        self._err = Stream()
        self.run: Run | None = None
        self.ended: Deferred[int]
        main(arguments, launch=self._launch, stdin=Input(stdin))

    def _launch(self, settings: Settings, program: Program) -> int:
        self.run = Run(settings, Console(self._out, self._err, quiet=settings.quiet), self._reactor)
        self.ended = self.run.perform(program)
        return 0

    @property
    def out(self) -> str:
        return self._out.getvalue() or self._out.buffer.getvalue().decode()

    @property
    def err(self) -> str:
        return self._err.getvalue()
