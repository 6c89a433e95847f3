"""Mirrors in a storm: their nodes and trees are compared with the data of their servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.client import Limits
from txmirror.embedded.tree import Tree as ServersTree
from txmirror.errors import ClosingException
from txmirror.mirror import Mirror, MirrorState, Node
from txmirror.testing.storm.mirror_writes import MirrorWrites
from txmirror.testing.storm.parts import PATHS, TIMEOUTS, Pending, Scene
from txmirror.testing.storm.witnesses import NodeWitness, TreeWitness

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
        self._writes = MirrorWrites(scene, name, self.mirror, self._pending, self._node, self._witnesses)
        scene.hidden.observers.append(self._hide)
        self.mirror.addStateWatcher("storm", self._state_changed)
        self._expect(self.mirror.connect().addErrback(_trap), "connect")
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
                self._writes.create,
                self._writes.set,
                self._writes.delete,
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
            witness = self._witnesses[path] = NodeWitness(self, node)
            witness.obscured.paths.update(self._scene.hidden.paths)
            node.addValueWatcher("reaction", self._watcher_called)
        return node

    def _hide(self, path: str) -> None:
        """Note that a node may be unreadable."""
        for each in self._all_witnesses():
            each.obscured.add(path)

    def _all_witnesses(self) -> list[NodeWitness | TreeWitness]:
        return [*self._witnesses.values(), *self._trees]

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

    def _make_tree(self, random: Random) -> None:
        if len(self._trees) < _MOST_TREES:
            path, depth, keep = random.choice(_TREES)
            self._scene.journal.note(self.name, f"makes a tree of {path}, depth {depth}{', filtered' if keep else ''}")
            tree = self.mirror.tree(path, depth=depth, keep=keep)
            witness = TreeWitness(self, tree, depth, keep)
            witness.obscured.paths.update(self._scene.hidden.paths)
            self._trees.append(witness)
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
        action = random.choice(
            (
                self._writes.set,
                self._writes.create,
                self._writes.delete,
                self._make_tree,
                self._close_tree,
                self._forget,
            )
        )
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
        if self._scene.hidden.old:
            for each in self._all_witnesses():
                each.look(self._scene.truth.tree)
        self._compare(self._scene.truth.tree, self._witnesses.values(), self._trees)
        for witness in self._witnesses.values():
            witness.replay()
        for tree in self._trees:
            self.check_that(tree.tree.settled, f"{tree.tree} has not settled")
            tree.replay()
        self._writes.check_settled()

    def close(self) -> Deferred[None]:
        """Close the mirror."""
        self._writes.closing = True
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


def _trap(failure: Failure) -> None:
    failure.trap(ClosingException, CancelledError)


def _is_end(result: object) -> bool:
    return isinstance(result, Failure) and bool(result.check(CancelledError, ClosingException))
