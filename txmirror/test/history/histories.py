"""Histories for tests, written down as a few lines."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txmirror.testing.history import (
    Answer,
    Call,
    Finding,
    Fired,
    History,
    Hold,
    Operation,
    Outcome,
    Rule,
    judge,
)


class Script:
    """Makes a history. Moments are given or count by tens: an operation follows the one before it."""

    def __init__(self, *pipelined: str) -> None:
        self._pipelined = frozenset(pipelined)
        self._operations: list[Operation] = []
        self._fired: list[Fired] = []
        self._holds: list[Hold] = []
        self._resets: list[int] = []
        self._now = 0

    def do(
        self,
        client: str,
        call: Call,
        zxid: int | None = None,
        answer: Answer | None = None,
        *,
        outcome: Outcome = Outcome.APPLIED,
        at: tuple[int, int | None] | None = None,
        session: int = 1,
    ) -> int:
        """Add an operation. Return its number."""
        self._now += 10
        begin, end = (self._now, self._now + 5) if at is None else at
        number = len(self._operations)
        self._operations.append(Operation(number, client, session, call, begin, end, outcome, answer, zxid))
        return number

    def lose(self, client: str, call: Call, at: tuple[int, int | None] | None = None) -> int:
        """Add an operation whose effect the client does not know."""
        return self.do(client, call, outcome=Outcome.UNKNOWN, at=at)

    def refuse(self, client: str, call: Call, answer: Answer | None = None, at: tuple[int, int] | None = None) -> int:
        """Add an operation that was not done."""
        return self.do(client, call, None, answer, outcome=Outcome.NOT_APPLIED, at=at)

    def fire(self, operation: int, *, event: bool = True) -> None:
        """The watch of an operation fires now, or ends without an event."""
        self._now += 10
        self._fired.append(Fired(operation, self._now, event))

    def hold(
        self,
        client: str,
        begin: int,
        end: int | None,
        token: int | None = None,
        *,
        capacity: int = 1,
        shared: bool = False,
        path: str = "/lock",
    ) -> None:
        """Add a hold."""
        self._holds.append(Hold(len(self._holds), client, path, begin, end, token, capacity, shared))

    def reset(self) -> None:
        """The data is lost now."""
        self._now += 10
        self._resets.append(self._now)

    @property
    def history(self) -> History:
        """The history so far."""
        return History(
            tuple(self._operations), tuple(self._fired), tuple(self._holds), tuple(self._resets), self._pipelined
        )


class RulesCase(SynchronousTestCase):
    def assert_true(self, script: Script) -> None:
        self.assertEqual([str(each) for each in judge(script.history)], [])

    def found(self, script: Script) -> list[Finding]:
        return judge(script.history)

    def rules(self, script: Script) -> list[Rule]:
        """Return the rules that a history breaks."""
        return [each.rule for each in self.found(script)]

    def assert_found(self, script: Script, rule: Rule, sentence: str, *operations: int) -> None:
        """The one finding has this rule and this sentence, and these operations, first those that the sentence names."""
        found = judge(script.history)
        self.assertEqual(
            [(each.rule, each.sentence, each.operations) for each in found], [(rule, sentence, operations)]
        )
