"""Writes the operations of one client to a file while they happen, and reads the files of all clients as one history.

A record is written at the begin and again at the end, so that nothing is lost when the process is killed.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import attrs

from txmirror.testing.history import Answer, Call, Fired, Get, History, Hold, Operation, Outcome, from_lines, to_lines


class Log:
    """The file of one client. Any thread may use it.

    :param client: the client's name.
    :param path: the file. It is created, or appended to.
    """

    def __init__(self, client: str, path: Path) -> None:
        self.client = client
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._lock = threading.Lock()
        self._operations = 0
        self._holds = 0

    def begin(self, session: int, call: Call) -> Operation:
        """Note that an operation begins, before the client is called."""
        with self._lock:
            operation = Operation(self._operations, self.client, session, call, time.monotonic_ns())
            self._operations += 1
        self._write(History((operation,)))
        return operation

    def end(
        self, operation: Operation, outcome: Outcome, answer: Answer | None = None, zxid: int | None = None
    ) -> Operation:
        """Note that an operation has ended, after its result is there."""
        end = time.monotonic_ns()
        ended = attrs.evolve(operation, end=end, outcome=outcome, answer=answer, zxid=zxid)
        self._write(History((ended,)))
        return ended

    def fired(self, operation: Operation) -> None:
        """Note that the watch of a read has fired."""
        self._write(History((), (Fired(operation.number, time.monotonic_ns()),)))

    def watch_lost(self, operation: Operation) -> None:
        """Note that the client has reported that the watch of a read is lost."""
        self._write(History((attrs.evolve(operation, call=attrs.evolve(cast(Get, operation.call), watch=False)),)))

    def acquired(self, path: str, begin: int, token: int | None) -> Hold:
        """Note that the client holds a lock since a moment."""
        with self._lock:
            hold = Hold(self._holds, self.client, path, begin, None, token)
            self._holds += 1
        self._write(History((), (), (hold,)))
        return hold

    def left(self, hold: Hold, end: int) -> None:
        """Note that the client has not relied on a lock since a moment."""
        self._write(History((), (), (attrs.evolve(hold, end=end),)))

    def note(self, note: str, **fields: object) -> None:
        """Write something else, with the moment."""
        self._line(json.dumps({"note": note, "client": self.client, "at": time.monotonic_ns(), **fields}))

    def _write(self, history: History) -> None:
        self._line(next(to_lines(history)))

    def _line(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())


def read_all(paths: Iterable[Path]) -> tuple[History, list[dict[str, Any]]]:
    """Return the history of some files, and their notes. A last line that is incomplete does not count."""
    operations: list[Operation] = []
    fired: list[Fired] = []
    holds: list[Hold] = []
    notes: list[dict[str, Any]] = []
    moved: dict[tuple[Path, int], int] = {}
    found: list[tuple[Path, Operation]] = []
    watches: list[tuple[Path, Fired]] = []
    for path in paths:
        lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        records = [line for line in lines if not line.startswith('{"note"')]
        notes += [json.loads(line) for line in lines if line.startswith('{"note"')]
        history = from_lines(records)
        found += [(path, each) for each in {each.number: each for each in history.operations}.values()]
        watches += [(path, each) for each in history.fired]
        holds += {each.number: each for each in history.holds}.values()
    found.sort(key=lambda each: each[1].begin)
    for number, (path, each) in enumerate(found):
        moved[path, each.number] = number
        operations.append(attrs.evolve(each, number=number))
    fired = [attrs.evolve(each, operation=moved[path, each.operation]) for path, each in watches]
    holds = [
        attrs.evolve(each, number=number) for number, each in enumerate(sorted(holds, key=lambda hold: hold.begin))
    ]
    notes.sort(key=lambda note: note["at"])
    return History(tuple(operations), tuple(fired), tuple(holds)), notes
