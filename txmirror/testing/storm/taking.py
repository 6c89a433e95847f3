"""Programs that share a locking queue in a storm: each entry is consumed once, and comes back when its program is gone."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import ZooKeeperException
from txmirror.recipes import LockingQueue, TakenEntry
from txmirror.testing.history import Answer, Operation, Outcome, Put, Take, Taken
from txmirror.testing.storm.holders import Claim
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene, session_to_come
from txmirror.testing.storm.queues import complaints

_PATH = "/jobs"
_ENTRIES = f"{_PATH}/entries"
_TAKEN = f"{_PATH}/taken"
#: The highest number of calls and entries at a time.
_MOST = 8


@attrs.define(eq=False)
class _Job:
    """An entry that a program has taken."""

    entry: TakenEntry
    operation: Operation
    claim: Claim


class TakingPart:
    """A program that puts entries into a locking queue, takes some, and consumes or releases them.

    A call that takes an entry ends in the history when the entry is consumed.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._pending = Pending(scene, name)
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._queue = LockingQueue(self._client, _PATH, name=name, reactor=scene.world.reactor)
        self._jobs: list[_Job] = []
        #: The calls that wait for an entry without a limit.
        self._waiting: dict[Deferred[Any], None] = {}
        #: The sessions in which a server has refused to give something back.
        self._refused: set[int] = set()

    def act(self, random: Random) -> None:
        """Put an entry, take one, consume or release one, or stop waiting."""
        if len(self._pending) + len(self._waiting) + len(self._jobs) < _MOST:
            random.choices([self._put, self._take, self._end_job, self._cancel], [5, 5, 6, 1])[0](random)
        else:
            random.choices([self._end_job, self._cancel], [6, 1])[0](random)

    def _put(self, random: Random) -> None:
        data = self._scene.unique(self.name)
        operation = self._begin(Put(_PATH, data.decode()))

        def done(result: Failure | None) -> None:
            if isinstance(result, Failure):
                self._failed(operation, result)
            else:
                self._end(operation, Outcome.APPLIED)

        putting = self._queue.put(data, random.choice((100, 100, 5)))
        self._pending.add(putting.addBoth(done), f"#{operation.number} put")

    def _take(self, random: Random) -> None:
        wait = random.choice((0, 0, 5.0, None))
        operation = self._begin(Take(_PATH))
        taking: Deferred[Any] = self._queue.get(wait=wait)

        def done(result: TakenEntry | Failure | None) -> None:
            self._waiting.pop(taking, None)
            if isinstance(result, Failure):
                result.trap(ZooKeeperException, CancelledError)
                # To take an entry changes nothing for good.
                self._end(operation, Outcome.NOT_APPLIED, error=type(result.value).__name__)
            elif result is None:
                self._end(operation, Outcome.NOT_APPLIED)
            else:
                self._took(operation, result)

        if wait is None:
            self._waiting[taking] = None
            taking.addBoth(done)
        else:
            self._pending.add(taking.addBoth(done), f"#{operation.number} take, wait {wait}")

    def _took(self, operation: Operation, entry: TakenEntry) -> None:
        self._scene.journal.note(self.name, f"#{operation.number} has taken {entry.name}, token {entry.token:#x}")
        claim = Claim(self.name, f"{_ENTRIES}/{entry.name}", lambda: entry.held)
        self._scene.holders.add(claim)
        if entry.held:
            self._scene.holders.entered(claim, entry.token, 1)
        self._jobs.append(_Job(entry, operation, claim))
        entry.lost.addCallback(lambda _: self._scene.holders.left(claim))

    def _end_job(self, random: Random) -> None:
        if not self._jobs:
            return
        job = self._jobs.pop(random.randrange(len(self._jobs)))
        self._leave(job)
        if random.random() < 0.7:
            self._consume(job)
        else:
            self._scene.journal.note(self.name, f"#{job.operation.number} releases {job.entry.name}")
            self._pending.add(job.entry.release().addBoth(self._released, job), f"#{job.operation.number} release")

    def _leave(self, job: _Job) -> None:
        self._scene.holders.left(job.claim)
        self._scene.holders.remove(job.claim)

    def _consume(self, job: _Job) -> None:
        self._scene.journal.note(self.name, f"#{job.operation.number} consumes {job.entry.name}")

        def done(result: bool | Failure) -> None:
            if isinstance(result, Failure):
                self._refused.add(self._client.session_id)
                self._failed(job.operation, result)
            elif result:
                self._end(job.operation, Outcome.APPLIED, Taken(job.entry.data.decode()))
            else:
                self._end(job.operation, Outcome.NOT_APPLIED)

        self._pending.add(job.entry.consume().addBoth(done), f"#{job.operation.number} consume")

    def _released(self, result: Failure | None, job: _Job) -> None:
        if isinstance(result, Failure):
            result.trap(ZooKeeperException, CancelledError)
            self._refused.add(self._client.session_id)
        self._end(job.operation, Outcome.NOT_APPLIED)

    def _cancel(self, random: Random) -> None:
        deferred = random.choice(list(self._waiting)) if self._waiting else self._pending.choose(random)
        if deferred is not None:
            self._scene.journal.note(self.name, "cancels a call")
            deferred.cancel()

    # The history.

    def _begin(self, call: Put | Take) -> Operation:
        return self._scene.journal.begin(self.name, session_to_come(self._client.session), call)

    def _end(
        self, operation: Operation, outcome: Outcome, answer: Answer | None = None, error: str | None = None
    ) -> None:
        self._scene.journal.end(operation, outcome, None, answer, error, self._client.session.session_number)

    def _failed(self, operation: Operation, failure: Failure) -> None:
        error = failure.value
        known = isinstance(error, (ZooKeeperException, CancelledError))
        self._scene.check(known, f"{self.name}: #{operation.number} has failed with {failure.getTraceback()}")
        outcome = Outcome.NOT_APPLIED if getattr(error, "applied", None) is False else Outcome.UNKNOWN
        self._end(operation, outcome, error=type(error).__name__)

    # Checks.

    def check(self) -> None:
        """Check that nobody else holds an entry that we hold."""
        for job in self._jobs:
            self._scene.holders.check(job.claim.path, 1)

    def check_settled(self) -> None:
        """Check that nobody waits for a free entry, that we keep only what we have, and that no entry was lost, or is there twice."""
        self._pending.check_none("all has settled")
        nodes = self._scene.truth.tree.nodes
        there, taken = self._names(_ENTRIES), self._names(_TAKEN)
        free = [name for name in there if name not in taken]
        self._scene.check(
            not (self._waiting and free), f"{self.name}: waits for an entry, and {free[:3]} are there and free"
        )
        own = self._client.session_id
        if own not in self._refused:
            mine = {job.entry.name for job in self._jobs}
            kept = [name for name in taken if nodes[f"{_TAKEN}/{name}"].stat().ephemeralOwner == own]
            left = [name for name in kept if name not in mine]
            self._scene.check(not left, f"{self.name}: {left[:3]} are kept, and nobody works on them")
        if not self._scene.truth.generation:
            entries = [(nodes[f"{_ENTRIES}/{name}"].data or b"").decode() for name in there]
            operations = [
                each for each in self._scene.journal.history.operations if getattr(each.call, "path", None) == _PATH
            ]
            for complaint in complaints(operations, entries):
                self._scene.check(False, f"{_PATH}: {complaint}")

    def _names(self, path: str) -> list[str]:
        node = self._scene.truth.tree.nodes.get(path)
        return [] if node is None else sorted(node.children)

    def close(self) -> Deferred[None]:
        """Close the client. What it has taken comes back."""
        for job in self._jobs:
            self._leave(job)
            self._end(job.operation, Outcome.NOT_APPLIED)
        self._jobs.clear()
        return self._client.close()

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")
        self._scene.check(not self._waiting, f"{self.name}: is closed, and waits for an entry")

    def spared(self) -> Sequence[int]:
        """Return the session, if entries may be relied on."""
        return (self._client.session_id,) if self._jobs or len(self._pending) or self._waiting else ()
