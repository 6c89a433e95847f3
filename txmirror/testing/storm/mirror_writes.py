"""The writes of a mirror in a storm: each shows when it fires, and a failure is true about its effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.errors import ZooKeeperException
from txmirror.mirror import Existence, Mirror, Node
from txmirror.testing.history import Call, Create, Delete, Operation, Outcome, Set
from txmirror.testing.storm.parts import PATHS, Pending, Scene, session_to_come
from txmirror.testing.storm.witnesses import NodeWitness
from txmirror.types import ZnodeStat


class MirrorWrites:
    """The writes of a mirror.

    :param scene: the world.
    :param name: the name of the mirror in the log.
    :param mirror: the mirror.
    :param pending: expects the results.
    :param node: returns a node of the mirror, with a witness.
    :param witnesses: the witnesses, by path.
    :ivar closing: whether the mirror is being closed, so that it need not show a write any more.
    """

    def __init__(
        self,
        scene: Scene,
        name: str,
        mirror: Mirror,
        pending: Pending,
        node: Callable[[str], Node],
        witnesses: Mapping[str, NodeWitness],
    ) -> None:
        self.closing = False
        self._scene = scene
        self._name = name
        self._mirror = mirror
        self._pending = pending
        self._node = node
        self._witnesses = witnesses
        self._not_written: list[bytes] = []

    def _check_that(self, holds: bool, complaint: str) -> None:
        self._scene.check(holds, f"{self._name}: {complaint}")

    def create(self, random: Random) -> None:
        """Begin to create a node."""
        path, ephemeral = random.choice(PATHS), random.random() < 0.15
        makepath = random.random() < 0.2
        data = self._scene.unique(self._name)
        operation = self._begin(Create(path, data.decode(), ephemeral, parents=makepath))
        created = self._node(path).create(data, ephemeral=ephemeral, makepath=makepath)
        self._write(operation, path, created, data)

    def set(self, random: Random) -> None:
        """Begin to set a node."""
        path = random.choice(("/", *PATHS))
        data = self._scene.unique(self._name)
        operation = self._begin(Set(path, data.decode()))
        self._write(operation, path, self._node(path).set(data, -1), data)

    def delete(self, random: Random) -> None:
        """Begin to delete a node."""
        path, recursive = random.choice(PATHS), random.random() < 0.5
        operation = self._begin(Delete(path, recursive=recursive))
        self._write(operation, path, self._node(path).delete(recursive=recursive), None)

    def _begin(self, call: Call) -> Operation:
        return self._scene.journal.begin(self._name, session_to_come(self._mirror.feed.session), call)

    def _write(self, operation: Operation, path: str, write: Deferred[Any], data: bytes | None) -> None:
        """Check, when a write has fired, that the node shows it; and if it has failed, that its ``applied`` is true."""
        truth = self._scene.truth
        generation, deletions, creations = truth.generation, truth.deletions, truth.creations[path]

        def done(result: Any) -> None:
            if isinstance(result, Failure):
                known = result.check(ZooKeeperException, CancelledError)
                self._check_that(known is not None, f"#{operation.number} has failed with {result.getTraceback()}")
                applied = getattr(result.value, "applied", None)
                if applied is False and data is not None:
                    self._not_written.append(data)
                outcome = Outcome.NOT_APPLIED if applied is False else Outcome.UNKNOWN
                self._scene.journal.end(operation, outcome, error=type(result.value).__name__)
                return
            zxid = result.mzxid if isinstance(result, ZnodeStat) else None
            self._scene.journal.end(operation, Outcome.APPLIED, zxid)
            if data is not None:
                self._check_that(truth.written[data] == 1, f"#{operation.number} was done {truth.written[data]} times")
            if not self.closing and generation == truth.generation:
                self._shows(operation, path, result, truth.deletions == deletions, truth.creations[path] == creations)

        self._pending.add(write.addBoth(done), f"#{operation.number} {operation.call}")

    def _shows(self, operation: Operation, path: str, result: Any, nothing_deleted: bool, not_created: bool) -> None:
        """Check that a write that has fired shows (M4).

        :param nothing_deleted: whether no node was deleted since the begin.
        :param not_created: whether the node was not created since the begin.
        """
        witness = self._witnesses.get(path)
        if witness is None or path in self._scene.hidden:
            return
        state = witness.node.state
        self._check_that(
            state.existence is not Existence.UNKNOWN, f"#{operation.number} was done, and {path} is unknown"
        )
        if isinstance(result, ZnodeStat) and state.stat is not None:
            shows = state.stat.mzxid >= result.mzxid
            self._check_that(shows, f"#{operation.number} has set {path} to {result}, and it shows {state.stat}")
        call = operation.call
        if isinstance(call, Create) and not call.ephemeral and nothing_deleted:
            self._check_that(
                state.existence is Existence.PRESENT, f"#{operation.number} was done, and {path} is absent"
            )
            self._parent_shows(operation, path, present=True)
        if isinstance(call, Delete) and not_created:
            self._check_that(state.existence is Existence.ABSENT, f"#{operation.number} was done, and {path} is there")
            self._parent_shows(operation, path, present=False)

    def _parent_shows(self, operation: Operation, path: str, *, present: bool) -> None:
        parent = self._witnesses.get(paths.parent_of(path) or "")
        if parent is not None:
            names = parent.node.state.children or ()
            shows = (paths.name_of(path) in names) is present
            self._check_that(shows, f"#{operation.number} was done, and {parent.node} has the children {names}")

    def check_settled(self) -> None:
        """Check that no write was done that is said to have had no effect."""
        for data in self._not_written:
            count = self._scene.truth.written[data]
            self._check_that(not count, f"{data!r} was not written, the mirror says, and was {count} times")
        self._not_written.clear()
