"""Programs that share a queue in a storm: each entry is put once, and taken once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.errors import ZooKeeperException
from txmirror.recipes import Queue
from txmirror.testing.history import Answer, Operation, Outcome, Put, Take, Taken
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene, session_to_come

_PATH = "/queue"
#: The highest number of calls at a time.
_MOST = 20


class QueuePart:
    """A program that puts entries into a queue, and takes some.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._pending = Pending(scene, name)
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._queue = Queue(self._client, _PATH, reactor=scene.world.reactor)
        #: The calls that wait for an entry without a limit.
        self._waiting: dict[Deferred[bytes | None], None] = {}

    def act(self, random: Random) -> None:
        """Put an entry, or take one, or stop waiting."""
        if len(self._pending) + len(self._waiting) < _MOST:
            random.choices([self._put, self._take, self._cancel], [6, 6, 1])[0](random)

    def _begin(self, call: Put | Take) -> Operation:
        return self._scene.journal.begin(self.name, session_to_come(self._client.session), call)

    def _put(self, random: Random) -> None:
        data = self._scene.unique(self.name)
        operation = self._begin(Put(_PATH, data.decode()))
        putting = self._queue.put(data, random.choice((100, 100, 5)))

        def done(result: Failure | None) -> None:
            if isinstance(result, Failure):
                self._failed(operation, result)
            else:
                self._end(operation, Outcome.APPLIED)

        self._pending.add(putting.addBoth(done), f"#{operation.number} put")

    def _take(self, random: Random) -> None:
        wait = random.choice((0, 0, 5.0, None))
        operation = self._begin(Take(_PATH))
        limit = self._scene.world.reactor.seconds() + (self._client.session_timeout if wait == 0 else wait or 0.0)
        taking = self._queue.get(wait=wait)

        def done(result: bytes | Failure | None) -> None:
            self._waiting.pop(taking, None)
            if isinstance(result, Failure):
                self._failed(operation, result)
            elif result is not None:
                self._end(operation, Outcome.APPLIED, Taken(result.decode()))
            else:
                # At the end of the time, an entry that was just taken is put back, and may be lost.
                in_time = self._scene.world.reactor.seconds() < limit
                self._end(operation, Outcome.NOT_APPLIED if in_time else Outcome.UNKNOWN)

        if wait is None:
            self._waiting[taking] = None
            taking.addBoth(done)
        else:
            self._pending.add(taking.addBoth(done), f"#{operation.number} take, wait {wait}")

    def _cancel(self, random: Random) -> None:
        deferred = random.choice(list(self._waiting)) if self._waiting else self._pending.choose(random)
        if deferred is not None:
            self._scene.journal.note(self.name, "cancels a call")
            deferred.cancel()

    def _end(
        self, operation: Operation, outcome: Outcome, answer: Answer | None = None, error: str | None = None
    ) -> None:
        self._scene.journal.end(operation, outcome, None, answer, error, self._client.session.session_number)

    def _failed(self, operation: Operation, failure: Failure) -> None:
        error = failure.value
        known = isinstance(error, (ZooKeeperException, CancelledError))
        self._scene.check(known, f"{self.name}: #{operation.number} has failed with {failure.getTraceback()}")
        applied = getattr(error, "applied", None)
        outcome = Outcome.NOT_APPLIED if applied is False else Outcome.UNKNOWN
        self._end(operation, outcome, error=type(error).__name__)

    def check(self) -> None:
        """All is checked when it has settled."""

    def check_settled(self) -> None:
        """Check that nobody waits for an entry that is there, and that no entry was lost, or is there twice."""
        self._pending.check_none("all has settled")
        entries = self._entries()
        self._scene.check(
            not (self._waiting and entries), f"{self.name}: waits for an entry, and there are {entries[:3]}"
        )
        if not self._scene.truth.generation:
            for complaint in complaints(self._scene.journal.history.operations, entries):
                self._scene.check(False, f"{_PATH}: {complaint}")

    def _entries(self) -> list[str]:
        nodes = self._scene.truth.tree.nodes
        queue = nodes.get(_PATH)
        names = [] if queue is None else sorted(queue.children)
        return [(nodes[paths.join(_PATH, name)].data or b"").decode() for name in names]

    def close(self) -> Deferred[None]:
        """Close the client."""
        return self._client.close()

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")
        self._scene.check(not self._waiting, f"{self.name}: is closed, and waits for an entry")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def complaints(operations: Iterable[Operation], entries: Sequence[str]) -> list[str]:
    """Return what is wrong with a queue, compared with the operations so far.

    :param entries: the entries that are there.
    """
    put: dict[str, Outcome] = {}
    taken: set[str] = set()
    unknown = 0
    for operation in operations:
        if isinstance(operation.call, Put):
            put[operation.call.item] = operation.outcome
        elif isinstance(operation.answer, Taken):
            taken.add(operation.answer.item or "")
        elif isinstance(operation.call, Take):
            unknown += operation.outcome is Outcome.UNKNOWN
    found = [f"{item!r} is there {count} times" for item, count in Counter(entries).items() if count > 1]
    found += [f"{item!r} was taken, and is there" for item in entries if item in taken]
    found += [f"{item!r} was not put, and is there" for item in entries if put.get(item) is Outcome.NOT_APPLIED]
    lost = [item for item, outcome in put.items() if outcome is Outcome.APPLIED and item not in taken]
    lost = [item for item in lost if item not in entries]
    if len(lost) > unknown:
        found.append(f"{', '.join(lost[:5])} are gone, and only {unknown} calls can have taken some")
    return found
