"""Mirrors in a storm: their nodes and trees are compared with the data of their servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.client import Limits
from txmirror.embedded.tree import Tree as ServersTree
from txmirror.errors import ClosingException, ZooKeeperException
from txmirror.mirror import Existence, Mirror, MirrorState, Node
from txmirror.testing.storm.journal import Operation, Outcome
from txmirror.testing.storm.parts import PATHS, TIMEOUTS, Pending, Scene
from txmirror.testing.storm.witnesses import NodeWitness, TreeWitness
from txmirror.types import ZnodeStat

_MOST_TREES = 3
#: Few requests in flight.
_TINY = Limits(in_flight_requests=3, queued_requests=8)
_FOLLOWING = {
    MirrorState.DISCONNECTED: {MirrorState.CONNECTED, MirrorState.CLOSED},
    MirrorState.CONNECTED: {MirrorState.SETTLED, MirrorState.DISCONNECTED, MirrorState.CLOSED},
    # Without a reconnection, it follows if a server has failed to answer a read.
    MirrorState.SETTLED: {MirrorState.CONNECTED, MirrorState.DISCONNECTED, MirrorState.CLOSED},
}


def _not_x(path: str) -> bool:
    return not path.endswith("/x")


#: The trees that are made: their roots, depths and filters.
_TREES: Sequence[tuple[str, int | None, Callable[[str], bool] | None]] = (
    ("/", None, None),
    ("/a", None, None),
    ("/b", None, None),
    ("/a/x", None, None),
    ("/", 1, None),
    ("/a", 1, None),
    ("/", None, _not_x),
)


class MirrorPart:
    """A mirror of a few nodes and trees, which also writes. Its checks are those of the mirror's contract.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self.mirror: Mirror = scene.world.mirror(
            scene.servers(),
            connect=False,
            session_timeout=random.choice(TIMEOUTS),
            linger=random.choice((3.0, 60.0)),
            limits=_TINY if random.random() < 0.2 else None,
        )
        self._scene = scene
        self._pending = Pending(scene, name)
        self._witnesses: dict[str, NodeWitness] = {}
        self._trees: list[TreeWitness] = []
        self._state = MirrorState.DISCONNECTED
        #: The next actions of the watchers.
        self._reactions: list[Callable[[], object]] = []
        self._not_written: list[bytes] = []
        self._closing = False
        self.mirror.addStateWatcher("storm", self._state_changed)
        for path in PATHS:
            if random.random() < 0.6:
                self._node(path)
        for _ in range(random.randrange(3)):
            self._make_tree(random)

    # What a witness asks.

    @property
    def history(self) -> int:
        """The data generation that the mirror has seen last."""
        return self.mirror.feed.session.data_generation

    def likely(self, path: str, repetitions: int) -> bool:
        """Return whether a node was created so often that equal children may have been reported so many times."""
        return repetitions < self._scene.truth.creations[path]

    def check_that(self, holds: bool, complaint: str) -> None:
        """Record a violation."""
        self._scene.check(holds, f"{self.name}: {complaint}")

    # Actions.

    def act(self, random: Random) -> None:
        """Begin one action."""
        random.choices(
            [
                self._read,
                self._create,
                self._set,
                self._delete,
                self._make_tree,
                self._close_tree,
                self._forget,
                self._react,
                self._cancel,
            ],
            [6, 5, 5, 3, 2, 2, 1, 2, 1],
        )[0](random)

    def _node(self, path: str) -> Node:
        """Return a node of the mirror, with a witness."""
        node = self.mirror.get(path)
        if path not in self._witnesses:
            self._witnesses[path] = NodeWitness(self, node)
            node.addValueWatcher("reaction", self._watcher_called)
        return node

    def _read(self, random: Random) -> None:
        path, timeout = random.choice(PATHS), random.choice((0.1, 5.0, None))
        node = self._node(path)
        witness = self._witnesses[path]
        if random.random() < 0.2:
            self._scene.journal.note(self.name, f"reads {path} freshly")
            self._expect(self._read_freshly(node, timeout), f"fresh read of {path}")
            return

        def done(result: Any) -> None:
            if not _is_end(result):
                witness.was_read(result)

        self._expect(node.value(timeout).addBoth(done), f"read of {path}")

    def _read_freshly(self, node: Node, timeout: float | None) -> Deferred[None]:
        """Read behind a sync: the result must show all that was done before."""
        truth = self._scene.truth
        generation, zxid = truth.generation, truth.zxid
        before = truth.at(node.path, zxid)

        def done(result: Any) -> None:
            if isinstance(result, Failure) or generation != truth.generation:
                return
            late = before is not None and result[1].mzxid < before.mzxid
            self.check_that(
                not late, f"a fresh read of {node.path} has shown {result}, and before it there was {before}"
            )

        return node.value(timeout, fresh=True).addBoth(done)

    def _create(self, random: Random) -> None:
        path, ephemeral = random.choice(PATHS), random.random() < 0.15
        makepath = random.random() < 0.2
        data = self._scene.unique(self.name)
        kind = "create_ephemeral" if ephemeral else "create"
        operation = self._begin(kind, path, data)
        created = self._node(path).create(data, ephemeral=ephemeral, makepath=makepath)
        self._write(operation, created, data)

    def _set(self, random: Random) -> None:
        path = random.choice(("/", *PATHS))
        data = self._scene.unique(self.name)
        operation = self._begin("set", path, data)
        self._write(operation, self._node(path).set(data, -1), data)

    def _delete(self, random: Random) -> None:
        path, recursive = random.choice(PATHS), random.random() < 0.5
        operation = self._begin("delete", path, None)
        self._write(operation, self._node(path).delete(recursive=recursive), None)

    def _begin(self, kind: str, path: str, data: bytes | None) -> Operation:
        number = self.mirror.feed.session.session_number
        return self._scene.journal.begin(self.name, number, kind, path, data)

    def _write(self, operation: Operation, write: Deferred[Any], data: bytes | None) -> None:
        """Check, when a write has fired, that the node shows it; and if it has failed, that its ``applied`` is true."""
        truth, path = self._scene.truth, operation.path
        generation, deletions, creations = truth.generation, truth.deletions, truth.creations[path]

        def done(result: Any) -> None:
            if isinstance(result, Failure):
                known = result.check(ZooKeeperException, CancelledError)
                self.check_that(known is not None, f"#{operation.number} has failed with {result.getTraceback()}")
                applied = getattr(result.value, "applied", None)
                if applied is False and data is not None:
                    self._not_written.append(data)
                outcome = Outcome.NOT_APPLIED if applied is False else Outcome.UNKNOWN
                self._scene.journal.end(operation, outcome, None, type(result.value).__name__)
                return
            zxid = result.mzxid if isinstance(result, ZnodeStat) else None
            self._scene.journal.end(operation, Outcome.APPLIED, zxid)
            if data is not None:
                self.check_that(truth.written[data] == 1, f"#{operation.number} was done {truth.written[data]} times")
            if not self._closing and generation == truth.generation:
                self._shows(operation, result, truth.deletions == deletions, truth.creations[path] == creations)

        self._expect(write.addBoth(done), f"#{operation.number} {operation.kind} {path}")

    def _shows(self, operation: Operation, result: Any, nothing_deleted: bool, not_created: bool) -> None:
        """Check that a write that has fired shows (M4).

        :param nothing_deleted: whether no node was deleted since the begin.
        :param not_created: whether the node was not created since the begin.
        """
        path = operation.path
        witness = self._witnesses.get(path)
        if witness is None:
            return
        state = witness.node.state
        self.check_that(
            state.existence is not Existence.UNKNOWN, f"#{operation.number} was done, and {path} is unknown"
        )
        if isinstance(result, ZnodeStat) and state.stat is not None:
            shows = state.stat.mzxid >= result.mzxid
            self.check_that(shows, f"#{operation.number} has set {path} to {result}, and it shows {state.stat}")
        if operation.kind == "create" and nothing_deleted:
            self.check_that(state.existence is Existence.PRESENT, f"#{operation.number} was done, and {path} is absent")
            self._parent_shows(operation, present=True)
        if operation.kind == "delete" and not_created:
            self.check_that(state.existence is Existence.ABSENT, f"#{operation.number} was done, and {path} is there")
            self._parent_shows(operation, present=False)

    def _parent_shows(self, operation: Operation, *, present: bool) -> None:
        parent = self._witnesses.get(paths.parent_of(operation.path) or "")
        if parent is not None:
            names = parent.node.state.children or ()
            shows = (paths.name_of(operation.path) in names) is present
            self.check_that(shows, f"#{operation.number} was done, and {parent.node} has the children {names}")

    def _make_tree(self, random: Random) -> None:
        if len(self._trees) < _MOST_TREES:
            path, depth, keep = random.choice(_TREES)
            self._scene.journal.note(self.name, f"makes a tree of {path}, depth {depth}{', filtered' if keep else ''}")
            tree = self.mirror.tree(path, depth=depth, keep=keep)
            self._trees.append(TreeWitness(self, tree, depth, keep))
            tree.watch(self._watcher_called)
            tree.ready().addErrback(lambda _: None)

    def _close_tree(self, random: Random) -> None:
        if self._trees:
            witness = self._trees.pop(random.randrange(len(self._trees)))
            self._scene.journal.note(self.name, f"closes the tree of {witness.tree.path}")
            witness.closed = True
            before = dict(witness.tree)
            witness.tree.close()
            self.check_that(dict(witness.tree) == before, f"{witness.tree} was closed, and has changed")

    def _forget(self, random: Random) -> None:
        """Let a node be evicted."""
        if self._witnesses:
            path = random.choice(list(self._witnesses))
            self._scene.journal.note(self.name, f"forgets {path}")
            node = self._witnesses.pop(path).node
            for key in ("witness", "reaction"):
                node.delValueWatcher(key)
            node.delChildWatcher("witness")

    def _react(self, random: Random) -> None:
        """Let the next watcher that is called act, too."""
        action = random.choice((self._set, self._create, self._delete, self._make_tree, self._close_tree, self._forget))
        seed = random.random()
        self._reactions.append(lambda: action(Random(seed)))

    def _watcher_called(self, _: object) -> None:
        if self._reactions:
            self._reactions.pop()()

    def _cancel(self, random: Random) -> None:
        deferred = self._pending.choose(random)
        if deferred is not None:
            self._scene.journal.note(self.name, "cancels an operation")
            deferred.cancel()

    def _expect(self, deferred: Deferred[Any], what: str) -> None:
        self._pending.add(deferred, what)

    # Checks.

    def _state_changed(self, state: MirrorState) -> None:
        self._scene.journal.note(self.name, f"is {state.value}")
        self.check_that(state in _FOLLOWING[self._state], f"{state} follows {self._state}")
        self._state = state
        if state is MirrorState.SETTLED:
            for path, witness in self._witnesses.items():
                for reading in (witness.node.value(), witness.node.children()):
                    self.check_that(bool(reading.called), f"all is settled, and {path} is still to be read")
                    reading.addErrback(lambda _: None)
            for tree in self._trees:
                self.check_that(tree.tree.settled, f"all is settled, and {tree.tree} is not")

    def check(self) -> None:
        """Check that a settled mirror equals its server, if it has seen all that its server has done."""
        if self.mirror.state is MirrorState.SETTLED:
            there = self._server()
            if there is not None and there.zxid == self.mirror._engine._cache.store.zxid:
                nodes = [witness for witness in self._witnesses.values() if _is_fresh(witness.node)]
                self._compare(there, nodes, [witness for witness in self._trees if witness.tree.settled])

    def _server(self) -> ServersTree | None:
        """Return the data of the mirror's server."""
        session = self.mirror.client.session_id
        for server in self._scene.world.servers:
            if any(connection.session_id == session for connection in server.connections):
                return server._replica.tree
        return None

    def _compare(self, there: ServersTree, nodes: Iterable[NodeWitness], trees: Iterable[TreeWitness]) -> None:
        for complaint in (*(node.difference(there) for node in nodes), *(tree.difference(there) for tree in trees)):
            self.check_that(complaint is None, f"settled, and {complaint}")

    def check_settled(self) -> None:
        """Check that the mirror has settled, and equals the servers."""
        self._reactions.clear()
        self._pending.check_none("all has settled")
        self.check_that(self.mirror.state is MirrorState.SETTLED, f"is {self.mirror.state}, and should have settled")
        self._compare(self._scene.truth.tree, self._witnesses.values(), self._trees)
        for witness in self._witnesses.values():
            witness.replay()
        for tree in self._trees:
            self.check_that(tree.tree.settled, f"{tree.tree} has not settled")
            tree.replay()
        for data in self._not_written:
            count = self._scene.truth.written[data]
            self.check_that(not count, f"{data!r} was not written, the mirror says, and was {count} times")
        self._not_written.clear()

    def close(self) -> Deferred[None]:
        """Close the mirror."""
        self._closing = True
        return self.mirror.close()

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the mirror is closed")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def _is_fresh(node: Node) -> bool:
    """Return whether a node's data and children are known, and not known to have changed."""
    fresh = True
    for reading in (node.value(None), node.children(None)):
        fresh = fresh and bool(reading.called)
        reading.addErrback(lambda _: None)
        reading.cancel()
    return fresh


def _is_end(result: object) -> bool:
    return isinstance(result, Failure) and bool(result.check(CancelledError, ClosingException))
