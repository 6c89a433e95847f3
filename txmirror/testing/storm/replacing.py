"""Programs that share a value in a storm: each change is done once, and replaces the value that it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import ZooKeeperException
from txmirror.recipes import SharedValue, VersionedValue
from txmirror.testing.history import (
    Answer,
    Change,
    Changed,
    Look,
    Operation,
    Outcome,
    Refusal,
    Refused,
    Value,
)
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene, session_to_come

_PATH = "/value"
#: The highest number of calls at a time.
_MOST = 10


class ReplacingPart:
    """A program that replaces a value, and reads it. The checker of histories judges what it has seen.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._pending = Pending(scene, name)
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._value = SharedValue(self._client, _PATH, reactor=scene.world.reactor)
        #: The last value that a reply has shown.
        self._seen: bytes | VersionedValue = b""

    def act(self, random: Random) -> None:
        """Replace the value, read it, or stop waiting."""
        if random.random() < 0.08:
            self._cancel(random)
        elif len(self._pending) < _MOST:
            random.choices([self._update, self._try_set, self._look], [4, 3, 2])[0](random)

    def _update(self, random: Random) -> None:
        value = self._scene.unique(self.name)
        operation = self._begin(Change(_PATH, value.decode()))
        formers: list[bytes] = []

        def change(former: bytes) -> bytes:
            formers.append(former)
            return value

        def done(result: bytes | Failure) -> None:
            # Each call of the function follows a write that was certainly not done.
            answer = Changed(formers[-1].decode()) if formers else None
            if isinstance(result, Failure):
                self._failed(operation, result, answer)
                return
            self._seen = result
            self._scene.check(result == value, f"{self.name}: #{operation.number} has returned {result!r}")
            self._end(operation, Outcome.APPLIED, answer)

        self._pending.add(self._value.update(change).addBoth(done), f"#{operation.number} update")

    def _try_set(self, random: Random) -> None:
        value, expected = self._scene.unique(self.name), self._seen
        data = expected if isinstance(expected, bytes) else expected.data
        operation = self._begin(Change(_PATH, value.decode(), data.decode()))

        def done(result: bool | Failure) -> None:
            if isinstance(result, Failure):
                self._failed(operation, result)
            elif result:
                self._seen = value
                self._end(operation, Outcome.APPLIED)
            else:
                self._end(operation, Outcome.NOT_APPLIED, Refused(Refusal.OTHER_VALUE))

        self._pending.add(self._value.try_set(value, expected).addBoth(done), f"#{operation.number} try_set")

    def _look(self, random: Random) -> None:
        operation = self._begin(Look(_PATH))

        def done(result: bytes | VersionedValue | Failure) -> None:
            if isinstance(result, Failure):
                self._failed(operation, result)
                return
            self._seen = result
            data = result if isinstance(result, bytes) else result.data
            self._end(operation, Outcome.APPLIED, Value(data.decode()))

        # An update that leaves the value as it is has seen the present one, too.
        calls = (self._value.get, self._value.get_versioned, lambda: self._value.update(lambda _: None))
        looking: Deferred[Any] = random.choice(calls)()
        self._pending.add(looking.addBoth(done), f"#{operation.number} look")

    def _cancel(self, random: Random) -> None:
        deferred = self._pending.choose(random)
        if deferred is not None:
            self._scene.journal.note(self.name, "cancels a call")
            deferred.cancel()

    def _begin(self, call: Change | Look) -> Operation:
        return self._scene.journal.begin(self.name, session_to_come(self._client.session), call)

    def _end(
        self, operation: Operation, outcome: Outcome, answer: Answer | None = None, error: str | None = None
    ) -> None:
        self._scene.journal.end(operation, outcome, None, answer, error, self._client.session.session_number)

    def _failed(self, operation: Operation, failure: Failure, answer: Answer | None = None) -> None:
        error = failure.value
        known = isinstance(error, (ZooKeeperException, CancelledError))
        self._scene.check(known, f"{self.name}: #{operation.number} has failed with {failure.getTraceback()}")
        outcome = Outcome.NOT_APPLIED if getattr(error, "applied", None) is False else Outcome.UNKNOWN
        self._end(operation, outcome, answer, type(error).__name__)

    def check(self) -> None:
        """All is checked when it has settled."""

    def check_settled(self) -> None:
        """Check that nothing waits, and let the checker of histories know the value at the servers."""
        self._pending.check_none("all has settled")
        node = self._scene.truth.tree.nodes.get(_PATH)
        data = (node.data if node is not None else None) or b""
        self._end(self._begin(Look(_PATH)), Outcome.APPLIED, Value(data.decode()))

    def close(self) -> Deferred[None]:
        """Close the client."""
        return self._client.close()

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()
