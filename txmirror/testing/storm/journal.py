"""The log of a storm: a line for each step, fault, operation and notification, and the history of the clients."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.testing.history import Answer, Call, History, Operation, Outcome, Recorder

#: The number of the last lines that are kept for a report.
_KEPT = 60


class Journal:
    """Collects the lines and the history of one storm.

    :param clock: the time of the lines.
    :param write: called with each line; None writes none.
    :ivar step: the number of the current step, for the lines.
    :ivar recorder: records the history.
    :ivar ended: the reasons for which sessions have ended at the servers.
    :ivar pipelined: see :class:`~txmirror.testing.history.operations.History`.
    :ivar last: the last lines.
    :ivar count: the number of lines.
    """

    def __init__(self, clock: IReactorTime, write: Callable[[str], object] | None = None) -> None:
        self.step = 0
        self.count: int = 0
        self.recorder: Recorder = Recorder()
        self.ended: dict[int, str] = {}
        self.pipelined: set[str] = set()
        self.last: deque[str] = deque(maxlen=_KEPT)
        self._clock = clock
        self._write = write
        self._hash = hashlib.sha256()

    def note(self, subject: str, text: str) -> None:
        """Add a line."""
        line = f"{self.step:5d} {self._clock.seconds():10.3f} {subject}: {text}"
        self.count += 1
        self._hash.update(line.encode() + b"\n")
        self.last.append(line)
        if self._write is not None:
            self._write(line)

    @property
    def digest(self) -> str:
        """The SHA-256 of all lines."""
        return self._hash.hexdigest()

    @property
    def history(self) -> History:
        """The history so far."""
        return self.recorder.history(self.pipelined)

    def begin(self, client: str, session: int, call: Call) -> Operation:
        """Note that an operation begins now."""
        operation = self.recorder.operation(self.recorder.begin(client, session, call))
        self.note(client, f"#{operation.number} {call}")
        return operation

    def end(
        self,
        operation: Operation,
        outcome: Outcome,
        zxid: int | None = None,
        answer: Answer | None = None,
        error: str | None = None,
        session: int | None = None,
    ) -> None:
        """Note the end of an operation.

        :param error: the name of the exception with which it has failed.
        :param session: the number of the client's session.
        """
        self.recorder.end(operation.number, outcome, answer, zxid, session=session)
        self.note(operation.client, f"#{operation.number} {outcome.value}, {error or answer}, zxid {zxid}")
