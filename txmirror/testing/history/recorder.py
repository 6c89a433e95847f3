"""The recorder of a history."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable

import attrs

from txmirror.testing.history.calls import Answer, Call
from txmirror.testing.history.operations import Fired, History, Hold, Operation, Outcome


class Recorder:
    """Records a history. Any thread may use it.

    Call :meth:`begin` before the client is called, and :meth:`end` after its result is there, not the reverse: an interval that is too
    long only makes the judgement milder, and one that is too short makes it wrong.

    :param now: returns the moment; by default, it counts. Clients in several processes need ``time.monotonic_ns``.
    """

    def __init__(self, now: Callable[[], int] | None = None) -> None:
        self._now = itertools.count(1).__next__ if now is None else now
        self._lock = threading.Lock()
        self._operations: list[Operation] = []
        self._fired: list[Fired] = []
        self._holds: list[Hold] = []
        self._resets: list[int] = []

    def begin(self, client: str, session: int, call: Call) -> int:
        """Note that an operation begins. Return its number."""
        with self._lock:
            number = len(self._operations)
            self._operations.append(Operation(number, client, session, call, self._now()))
            return number

    def operation(self, number: int) -> Operation:
        """Return an operation, as it is recorded so far."""
        return self._operations[number]

    def end(
        self,
        number: int,
        outcome: Outcome,
        answer: Answer | None = None,
        zxid: int | None = None,
        *,
        session: int | None = None,
    ) -> None:
        """Note that an operation has ended.

        :param session: the number of the session in which it was answered, if that may be another one than at the begin.
        """
        with self._lock:
            begun = self._operations[number]
            session = begun.session if session is None else session
            self._operations[number] = attrs.evolve(
                begun, session=session, end=self._now(), outcome=outcome, answer=answer, zxid=zxid
            )

    def fired(self, number: int, *, event: bool = True) -> None:
        """Note that the watch of an operation has fired. Call it before the next reply of the client is recorded.

        :param event: False if it has ended without an event.
        """
        with self._lock:
            self._fired.append(Fired(number, self._now(), event))

    def acquired(
        self, client: str, path: str, token: int | None = None, *, capacity: int = 1, shared: bool = False
    ) -> int:
        """Note that a client holds a lock from now on. Return the number of the hold."""
        with self._lock:
            number = len(self._holds)
            self._holds.append(Hold(number, client, path, self._now(), None, token, capacity, shared))
            return number

    def left(self, number: int) -> None:
        """Note that a client does not rely on a lock any more. Call it before the lock is released."""
        with self._lock:
            self._holds[number] = attrs.evolve(self._holds[number], end=self._now())

    def reset(self) -> None:
        """Note that the data of the ensemble was lost or replaced."""
        with self._lock:
            self._resets.append(self._now())

    def history(self, pipelined: Iterable[str] = ()) -> History:
        """Return all so far.

        :param pipelined: see :class:`~txmirror.testing.history.operations.History`.
        """
        with self._lock:
            return History(
                tuple(self._operations),
                tuple(self._fired),
                tuple(self._holds),
                tuple(self._resets),
                frozenset(pipelined),
            )
