"""A reactor in memory that starts programs: it records each request, and a program ends when the test ends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any, cast

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessProtocol, IProcessTransport, IReactorProcess
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.testing import MemoryReactor


class Process:
    """A program that runs: the part of Twisted's process transport that is used here.

    :ivar stdin: the contents of its standard input; None if that is ours.
    """

    def __init__(self, protocol: Any, arguments: Sequence[bytes], environment: Mapping[bytes, bytes]) -> None:
        self.pid: int | None = 4711
        self.arguments = arguments
        self.environment = environment
        self.signals: list[str] = []
        self.stdin: bytes | None = None
        self._protocol = protocol
        protocol.makeConnection(self)

    def signalProcess(self, signalID: str | int) -> None:
        if self.pid is None:
            raise ProcessExitedAlready
        # By name Twisted knows but five.
        assert isinstance(signalID, int)
        self.signals.append(signal.Signals(signalID).name.removeprefix("SIG"))

    def end(self, status: int = 0, signal: signal.Signals | None = None) -> None:
        self.pid = None
        done = status == 0 and signal is None
        reason = ProcessDone(0) if done else ProcessTerminated(None if signal else status, signal)
        self._protocol.processEnded(Failure(reason))


@implementer(IReactorProcess)
class ProcessReactor(MemoryReactor):
    """Starts them.

    :ivar processes: all processes that were started.
    :ivar refuses: the exception to raise in place of starting one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.refuses: OSError | None = None

    def spawnProcess(
        self,
        processProtocol: IProcessProtocol,
        executable: bytes | str,
        args: Sequence[bytes | str] = (),
        env: Mapping[Any, Any] | None = None,
        path: bytes | str | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: Any = False,
        childFDs: Mapping[int, int | str] | None = None,
    ) -> IProcessTransport:
        # It has our own streams, or a file in place of the standard input.
        assert childFDs is not None
        source = childFDs[0]
        assert childFDs == {0: source, 1: 1, 2: 2}
        if self.refuses is not None:
            raise self.refuses
        process = Process(processProtocol, [each for each in args if isinstance(each, bytes)], env or {})
        if isinstance(source, int) and source != 0:
            with os.fdopen(os.dup(source), "rb") as file:
                process.stdin = file.read()
        self.processes.append(process)
        return cast(IProcessTransport, process)
