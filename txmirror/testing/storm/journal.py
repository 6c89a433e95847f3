"""The log of a storm: a line for each step, fault, operation and notification, and the operations as records."""

from __future__ import annotations

import enum
import hashlib
import json
from collections import deque
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime

#: The number of the last lines that are kept for a report.
_KEPT = 60


class Outcome(enum.Enum):
    """The effect of an operation, as the client reports it."""

    APPLIED = "applied"
    NOT_APPLIED = "not applied"
    UNKNOWN = "unknown"


# More than 7 parameters: it is a record of all that is known of an operation.
@attrs.define
class Operation:
    """One operation of a client. ``begin`` and ``end`` are positions in the sequence of all begins and ends."""

    number: int
    client: str
    session: int
    """The number of the client's session at the begin."""
    kind: str
    """The name of the client's method."""
    path: str
    begin: int
    argument: str | None = None
    """The data that it writes."""
    version: int | None = None
    """The version that the node must be at."""
    end: int | None = None
    outcome: Outcome | None = None
    zxid: int | None = None
    """The zxid of the reply, where the client reports it."""
    result: str | None = None
    """The data that was read, the path that was created, or the name of the exception."""

    def to_json(self) -> str:
        """Return the operation as one line of JSON."""
        fields = attrs.asdict(self)
        fields["outcome"] = None if self.outcome is None else self.outcome.value
        return json.dumps(fields)


class Journal:
    """Collects the lines and the operations of one storm.

    :param clock: the time of the lines.
    :param write: called with each line; None writes none.
    :ivar step: the number of the current step, for the lines.
    :ivar operations: all operations, in the order of their begins.
    :ivar last: the last lines.
    :ivar count: the number of lines.
    """

    def __init__(self, clock: IReactorTime, write: Callable[[str], object] | None = None) -> None:
        self.step = 0
        self.count = 0
        self.operations: list[Operation] = []
        self.last: deque[str] = deque(maxlen=_KEPT)
        self._clock = clock
        self._write = write
        self._positions = 0
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

    def begin(
        self, client: str, session: int, kind: str, path: str, data: bytes | None = None, version: int | None = None
    ) -> Operation:
        """Add an operation that begins now."""
        argument = None if data is None else data.decode("ascii")
        operation = Operation(len(self.operations), client, session, kind, path, self._position(), argument, version)
        self.operations.append(operation)
        self.note(client, f"#{operation.number} {kind} {path}" + ("" if argument is None else f" {argument!r}"))
        return operation

    def end(self, operation: Operation, outcome: Outcome, zxid: int | None = None, result: str | None = None) -> None:
        """Note the end of an operation."""
        operation.end = self._position()
        operation.outcome, operation.zxid, operation.result = outcome, zxid, result
        self.note(operation.client, f"#{operation.number} {outcome.value}, {result}, zxid {zxid}")

    def _position(self) -> int:
        self._positions += 1
        return self._positions
