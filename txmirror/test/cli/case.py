"""The base of the tests of the command: a world, and command lines that run in it."""

from __future__ import annotations

import contextlib
import io
import json
from random import Random
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.command import main
from txmirror.cli.console import Console
from txmirror.cli.run import Program, Run
from txmirror.cli.settings import Settings
from txmirror.client import ZooKeeperClient
from txmirror.test.cli.processes import Process, ProcessReactor
from txmirror.testing import World


class Stream(io.StringIO):
    """A stream that can be of another encoding, and can lose its reader."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.flushed = 0
        self.error: OSError | None = None
        self.terminal = False
        self.descriptor: int | None = None
        self._bytes = Bytes(self)

    @property
    def buffer(self) -> Bytes:
        """The stream for bytes."""
        return self._bytes

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        self.flushed = len(self.getvalue())

    def fileno(self) -> int:
        return super().fileno() if self.descriptor is None else self.descriptor

    def isatty(self) -> bool:
        return self.terminal


class Bytes(io.BytesIO):
    """The bytes that were written to a stream."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream
        self.flushed = b""

    def write(self, data: Any) -> int:
        if self._stream.error is not None:
            raise self._stream.error
        return super().write(data)

    def flush(self) -> None:
        self.flushed = self.getvalue()


class Input(io.BytesIO):
    """A standard input, which may be a terminal."""

    def __init__(self, data: bytes = b"", *, terminal: bool = False) -> None:
        super().__init__(data)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Command:
    """One command line, as it is run."""

    def __init__(
        self,
        world: World,
        *arguments: str,
        stdin: bytes = b"",
        terminal: bool = False,
        encoding: str = "utf-8",
        width: int | None = None,
        error_terminal: bool = False,
        ascii_only: bool = False,
    ) -> None:
        self._world = world
        self._ascii_only = ascii_only
        self._width = width
        self._out = Stream()
        self._out.encoding = encoding
        self._err = Stream()
        self._err.terminal = error_terminal
        self.run: Run | None = None
        self.ended: Deferred[int] | None = None
        self._refused = 0
        if arguments:
            line = ["--servers", world.connect_string, *arguments]
            with contextlib.redirect_stderr(self._err):
                self._refused = main(line, launch=self.launch, stdin=Input(stdin, terminal=terminal))
        world.settle()

    def launch(self, settings: Settings, program: Program) -> int:
        console = Console(self._out, self._err, quiet=settings.quiet, width=self._width, ascii_only=self._ascii_only)
        self.run = Run(settings, console, self._world.reactor, random=Random(1))
        self.ended = self.run.perform(program)
        return 0

    @property
    def running(self) -> bool:
        return self.ended is not None and not self.ended.called

    @property
    def status(self) -> int:
        if self.ended is None:
            # It was refused before it began.
            return self._refused
        return self._world.result(self.ended)

    @property
    def out(self) -> str:
        assert self._out.flushed == len(self._out.getvalue()), "not all is flushed"
        return self._out.getvalue()

    @property
    def data(self) -> bytes:
        """The bytes of the output."""
        written = self._out.buffer
        assert written.flushed == written.getvalue(), "not all is flushed"
        return written.getvalue()

    @property
    def err(self) -> str:
        return self._err.getvalue()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def interrupt(self, number: int = 2) -> None:
        assert self.run is not None
        self.run.interrupt(number)
        self._world.settle()

    def connect_output(self, descriptor: int) -> None:
        """Give its output a descriptor, whose state it may ask for."""
        self._out.descriptor = descriptor

    def break_output(self, error: OSError) -> None:
        """Let it fail to write its results from now on."""
        self._out.error = error


class CommandTestCase(SynchronousTestCase):
    #: The time at the beginning, in seconds.
    begins = 0.0
    #: The settings of the world.
    settings: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.reactor = ProcessReactor()
        self.reactor.rightNow = self.begins
        self.world = World(reactor=self.reactor, **self.settings)
        self.addCleanup(self.world.close)
        self.other: ZooKeeperClient = self.world.client()

    @property
    def process(self) -> Process:
        """The only program that was started."""
        (process,) = self.reactor.processes
        return process

    @property
    def port(self) -> int:
        return int(self.world.server.address.rpartition(":")[2])

    def stop_server(self) -> None:
        """Kill the server; it keeps its data."""
        self.world.server.stop_listening()
        self.world.settle()

    def start_server(self) -> None:
        """Start it again."""
        self.world.server.listen(self.port)

    def make(self, path: str, data: bytes = b"", *, ephemeral: bool = False) -> None:
        self.world.result(self.other.create(path, data, ephemeral=ephemeral))

    def data(self, path: str) -> bytes:
        return self.world.result(self.other.get(path))[0]

    def start(self, *arguments: str, **streams: Any) -> Command:
        """Start a command line, and let everything happen that is due now.

        :param streams: as for :class:`Command`.
        """
        return Command(self.world, *arguments, **streams)

    def perform(self, program: Program) -> Command:
        """Run a program of the test's."""
        command = Command(self.world)
        command.launch(Settings(servers=self.world.connect_string), program)
        self.world.settle()
        return command

    def done(self, *arguments: str, stdin: bytes = b"", encoding: str = "utf-8", err: str = "") -> Command:
        """Run a command line that succeeds, and leaves no session."""
        command = self.start(*arguments, stdin=stdin, encoding=encoding)
        self.assertEqual((command.status, command.err), (0, err))
        self.assertEqual(self.world.server.sessions, {self.other.session_id})
        return command

    def assert_ended(self, command: Command, status: int) -> None:
        """Assert that it has ended, with nothing but messages, and has left no session."""
        self.world.settle()
        self.assertEqual((command.status, command.out), (status, ""))
        self.assertEqual(self.world.server.sessions, {self.other.session_id})

    def refused(self, status: int, *arguments: str, out: str = "") -> str:
        """Run a command line that fails; return the one line with the reason."""
        command = self.start(*arguments)
        self.assertEqual((command.status, command.out), (status, out))
        self.assertEqual(self.world.server.sessions, {self.other.session_id})
        self.assertRegex(command.err, r"\Atxmirror: [^\n]+\n\Z")
        return command.err.removeprefix("txmirror: ").rstrip("\n")
