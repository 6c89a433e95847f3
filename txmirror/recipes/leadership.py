"""The leadership of an election: true or false at this moment, and its changes one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure


class Leadership:
    """True while an election's object leads, and that is safe to rely on; and an asynchronous iterable of the changes.

    An iteration stands for election. It yields True when we are elected, and False when the leadership is lost. It stands for
    election again when the program asks for the next change after False: so the program ends its work first. It ends after
    :meth:`.Election.stop`, which a program that leaves the loop must call. It raises the failure of :meth:`.Election.run`. ::

        async for leads in election.leading:
            if leads:
                sweeper.start()
            else:
                await sweeper.stop()

    After a ``stop`` there is no False: the loop ends, and the program ends its work behind it. Others may lead by then; where that
    matters, use :meth:`.Election.run`, which waits for the end of the work.

    :param leads: returns whether we lead.
    :param run: stands for election, and calls a function whenever we are elected.
    """

    def __init__(self, leads: Callable[[], bool], run: Callable[[Callable[[], Deferred[None]]], Deferred[Any]]) -> None:
        self._leads = leads
        self._run = run
        self._changes: LeadershipChanges | None = None

    def __bool__(self) -> bool:
        return self._leads()

    def __repr__(self) -> str:
        return f"<Leadership {self._leads()}>"

    def __aiter__(self) -> LeadershipChanges:
        """Stand for election.

        :raises RuntimeError: the election's object stands for election already.
        """
        changes = LeadershipChanges(self._run)
        self._changes = changes
        return changes

    def stop(self) -> None:
        """Note that the election is being stopped: the end of a term waits for nobody.

        :meta private:
        """
        if self._changes is not None:
            self._changes.stop()
            self._changes = None


class LeadershipChanges:
    """One iteration: at most one change waits for the program.

    :param run: as for :class:`Leadership`.
    """

    def __init__(self, run: Callable[[Callable[[], Deferred[None]]], Deferred[Any]]) -> None:
        self._stopped = False
        self._next: bool | None = None
        #: The program waits for a change.
        self._waiting: Deferred[bool] | None = None
        #: The end of a term waits for the program, which has to ask for the change after False.
        self._ending: Deferred[None] | None = None
        self._lost_taken = False
        self._outcome: Failure | None = None
        self._over = False
        self._running = run(self._term).addBoth(self._ended)

    def __aiter__(self) -> LeadershipChanges:
        return self

    def __anext__(self) -> Deferred[bool]:
        """Wait for the next change. Cancelling ends the wait alone."""
        if self._waiting is not None:
            raise RuntimeError("only one can wait for the next change of an election")
        if self._next is not None:
            return succeed(self._take())
        if self._over:
            return fail(self._end())
        waiting: Deferred[bool] = Deferred(self._cancelled)
        self._waiting = waiting
        if self._lost_taken:
            self._end_term()
        return waiting

    def stop(self) -> None:
        """Note that the election is being stopped. See :meth:`Leadership.stop`."""
        self._stopped = True
        self._end_term()

    def _end_term(self) -> None:
        self._lost_taken = False
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.callback(None)

    def _cancelled(self, _: object) -> None:
        self._waiting = None

    def _term(self) -> Deferred[None]:
        self._put(True)
        return Deferred[None]().addErrback(self._lost)

    def _lost(self, failure: Failure) -> Deferred[None]:
        """Wait, after the end of a term, until the program has taken notice, and asks for the next change."""
        if self._stopped or not failure.check(CancelledError):
            return fail(failure)
        if self._next:
            # The program has not been notified of this term.
            self._next = None
            return succeed(None)
        self._ending = Deferred()
        self._put(False)
        return self._ending

    def _put(self, leads: bool) -> None:
        self._next = leads
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(self._take())

    def _take(self) -> bool:
        taken, self._next = self._next, None
        assert taken is not None
        self._lost_taken = not taken
        return taken

    def _ended(self, outcome: Any) -> None:
        self._over, self._next, self._ending = True, None, None
        if isinstance(outcome, Failure) and not outcome.check(CancelledError):
            self._outcome = outcome
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(self._end())

    def _end(self) -> Failure:
        """Return the end of the iteration: a failure once, if there is one."""
        outcome, self._outcome = self._outcome, None
        return Failure(StopAsyncIteration()) if outcome is None else outcome
