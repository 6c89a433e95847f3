"""Programs that share a counter in a storm: each addition counts once."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import ZooKeeperException
from txmirror.recipes import Counter
from txmirror.testing.history import Add, Count, Number, Outcome
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene, session_to_come

_PATH = "/counter"
#: The highest number of calls at a time.
_MOST = 20


class CountingPart:
    """A program that adds to a counter, and reads it. The checker of histories judges what it has seen.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._pending = Pending(scene, name)
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._counter = Counter(self._client, _PATH, reactor=scene.world.reactor)

    def act(self, random: Random) -> None:
        """Add to the counter, or read it, or stop waiting."""
        choice = random.random()
        if choice < 0.08:
            self._cancel(random)
        elif len(self._pending) < _MOST:
            self._call(Add(_PATH, random.choice((1, 2, 5))) if choice < 0.7 else Count(_PATH))

    def _call(self, call: Add | Count) -> None:
        operation = self._scene.journal.begin(self.name, session_to_come(self._client.session), call)
        calling = self._counter.add(call.amount) if isinstance(call, Add) else self._counter.value()

        def done(result: int | Failure) -> None:
            end, session = self._scene.journal.end, self._client.session.session_number
            if not isinstance(result, Failure):
                end(operation, Outcome.APPLIED, None, Number(result), session=session)
                return
            error = result.value
            known = isinstance(error, (ZooKeeperException, CancelledError))
            self._scene.check(known, f"{self.name}: #{operation.number} has failed with {result.getTraceback()}")
            outcome = Outcome.NOT_APPLIED if getattr(error, "applied", None) is False else Outcome.UNKNOWN
            end(operation, outcome, error=type(error).__name__, session=session)

        self._pending.add(calling.addBoth(done), f"#{operation.number} {call}")

    def _cancel(self, random: Random) -> None:
        deferred = self._pending.choose(random)
        if deferred is not None:
            self._scene.journal.note(self.name, "cancels a call")
            deferred.cancel()

    def check(self) -> None:
        """All is checked when it has settled."""

    def check_settled(self) -> None:
        """Check that nothing waits, and that the number at the servers is the sum of what was added."""
        self._pending.check_none("all has settled")
        if self._scene.truth.generation:
            return
        amounts = {Outcome.APPLIED: 0, Outcome.UNKNOWN: 0, Outcome.NOT_APPLIED: 0}
        for operation in self._scene.journal.history.operations:
            if isinstance(operation.call, Add):
                amounts[operation.outcome] += operation.call.amount
        low, high = amounts[Outcome.APPLIED], amounts[Outcome.APPLIED] + amounts[Outcome.UNKNOWN]
        node = self._scene.truth.tree.nodes.get(_PATH)
        number = int((node.data if node is not None else None) or b"0")
        self._scene.check(low <= number <= high, f"{_PATH} is {number}, and {low} to {high} was added")

    def close(self) -> Deferred[None]:
        """Close the client."""
        return self._client.close()

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()
