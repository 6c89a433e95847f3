"""Under random writes and random faults, a settled mirror is equal to the server, and its watchers have reported that
state.

The server's data is the only model: nodes and trees are compared with it. Besides, each report is checked at once: that
nothing is reported twice, that nothing goes backwards, that a write which has fired shows, and that "settled" is true.
"""

from __future__ import annotations

import enum
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror import paths
from txmirror.embedded import Snapshot
from txmirror.embedded.tree import Tree as ServersTree
from txmirror.embedded.watches import Change as ServersChange
from txmirror.errors import ZooKeeperException
from txmirror.mirror import Change, ChangeKind, Existence, MirrorState, Node, recovery, watched_reads
from txmirror.test.mirror.world import MIRROR_HOST, OTHER_HOST, S, World, ignore, read, shown
from txmirror.test.models import FailureLog
from txmirror.testing import Link
from txmirror.testing.storm.witnesses import NodeWitness, Obscured, TreeWitness
from txmirror.types import CREATOR_ALL_ACL, OPEN_ACL, ZnodeStat

#: How many examples to run in place of as many as the profile says.
EXAMPLES = "TXMIRROR_MODEL_EXAMPLES"
STEPS = 30

_PATHS = ("/a", "/a/x", "/a/x/y", "/a/w", "/b", "/b/z", "/c")
#: Those that somebody hides and shows, in some of the examples.
_HIDEABLE = ("/b", "/c")
_MOST_TREES = 4
_FOLLOWING = {
    MirrorState.DISCONNECTED: {MirrorState.CONNECTED},
    MirrorState.CONNECTED: {MirrorState.SETTLED, MirrorState.DISCONNECTED},
    MirrorState.SETTLED: {MirrorState.DISCONNECTED},
}


def _not_x(path: str) -> bool:
    return not path.endswith("/x")


#: The trees that are made: their roots, depths, and what they keep.
_TREES: Sequence[tuple[str, int | None, Callable[[str], bool] | None]] = (
    ("/", None, None),
    ("/a", None, None),
    ("/b", None, None),
    ("/a/x", None, None),
    ("/", 1, None),
    ("/a", 1, None),
    ("/", None, _not_x),
)


class Deed(enum.Enum):
    """The possible steps of the other client."""

    CREATE = enum.auto()
    CREATE_EPHEMERAL = enum.auto()
    SET = enum.auto()
    SET_ROOT = enum.auto()
    DELETE = enum.auto()
    RECREATE = enum.auto()
    RECREATE_AT_ONCE = enum.auto()
    HIDE = enum.auto()
    SHOW = enum.auto()
    CREATE_HIDDEN = enum.auto()


class Mischief(Exception):
    """The exception that a watcher raises."""


a_path = st.sampled_from(_PATHS)
some_deeds = st.lists(st.tuples(st.sampled_from(Deed), a_path), min_size=1, max_size=6)
some_turns = st.integers(0, 6)
some_seconds = st.sampled_from([0.0, 0.0, 0.5, S, 2 * S])
some_data = st.sampled_from([b"", b"one", b"two"])
rarely = st.sampled_from([False, False, False, True])
very_rarely = st.sampled_from([False] * 9 + [True])
a_number = st.integers(0, _MOST_TREES - 1)


class _Log(FailureLog):
    def __call__(self, event: LogEvent) -> None:
        if not ("log_failure" in event and event["log_failure"].check(Mischief)):
            super().__call__(event)


class _Record:
    """Remembers all data that was ever written."""

    def __init__(self, world: World) -> None:
        self.data: set[bytes | None] = set()
        self._database = world.server._state.database
        self._database.followers.append(self)

    def changed(self, changes: Sequence[ServersChange]) -> None:
        nodes = self._database.tree.nodes
        self.data |= {nodes[change.path].data for change in changes if change.path in nodes}

    def replaced(self) -> None:
        """The data of a write is stored."""


class MirrorModel(RuleBasedStateMachine):
    """Another client, the mirror itself, the network and the server, each with random actions.

    :cvar version: the version of the servers.
    :cvar size: the number of servers.
    """

    version = "3.8"
    size = 1

    def __init__(self) -> None:
        super().__init__()
        self.world = World(version=self.version, size=self.size)
        self.world.result(self.world.other.add_auth("digest", b"bob:secret"))
        self.mirror = self.world.mirror
        self.witnesses: dict[str, NodeWitness] = {}
        self.trees: list[TreeWitness] = []
        self.faults: list[str] = []
        self.state = MirrorState.DISCONNECTED
        self.creations: Counter[str] = Counter()
        self.earlier_creations: Counter[str] = Counter()
        self.deletions = 0
        self.pending: list[Deferred[Any]] = []
        self.hiding: set[str] | None = None
        self.mischief: list[Callable[[], object]] = []
        self.snapshot: Snapshot | None = None
        self.written = _Record(self.world)
        self.never_written: list[bytes] = []
        self.serial = 0
        self.mirror.addStateWatcher("model", self.state_told)
        self.log = _Log(self.faults)
        globalLogPublisher.addObserver(self.log)

    @property
    def history(self) -> int:
        """Which data generation the mirror has seen last."""
        return self.world.mirror_client.session.data_generation

    @property
    def there(self) -> ServersTree:
        """The state of the servers."""
        return self.world.server._state.database.tree

    @initialize(
        missing=st.sets(a_path),
        later=st.sets(a_path),
        trees=st.lists(st.sampled_from(_TREES), max_size=2),
        hiding=rarely,
        settled=st.booleans(),
    )
    def begin(
        self,
        missing: set[str],
        later: set[str],
        trees: list[tuple[str, int | None, Callable[[str], bool] | None]],
        hiding: bool,
        settled: bool,
    ) -> None:
        if hiding:
            self.hiding = set()
        for path in _PATHS:
            if path not in missing:
                self.does(Deed.CREATE, path)
        for path in ("/", *_PATHS):
            if path not in later:
                self.node(path)
        for tree in trees:
            self.makes_tree(tree)
        if settled:
            self.world.settle()
            self.earlier_creations = self.creations.copy()

    # What is written.

    @rule(deeds=some_deeds, turns=some_turns)
    def somebody_does(self, deeds: list[tuple[Deed, str]], turns: int = 0) -> None:
        """Let the other client make changes, with some turns of the reactor between them."""
        for deed, path in deeds:
            self.does(deed, path)
            self.world.step(turns)

    @rule(deeds=some_deeds)
    def somebody_does_at_once(self, deeds: list[tuple[Deed, str]]) -> None:
        """Let the other client make changes in one transaction, if that is possible."""
        transaction = self.world.other.transaction()
        for deed, path in deeds:
            if deed in {Deed.DELETE, Deed.RECREATE, Deed.RECREATE_AT_ONCE}:
                self.deletions += 1
                transaction.delete(path)
            if deed in {Deed.CREATE, Deed.CREATE_EPHEMERAL, Deed.RECREATE, Deed.RECREATE_AT_ONCE}:
                self.creations[path] += 1
                transaction.create(path, b"created", ephemeral=deed is Deed.CREATE_EPHEMERAL)
            if deed is Deed.SET:
                transaction.set(path, b"set")
        ignore(transaction.commit())

    def does(self, deed: Deed, path: str) -> None:
        """Let the other client make one change, or try to."""
        other = self.world.other
        if deed in {Deed.DELETE, Deed.RECREATE}:
            self.deletions += 1
            ignore(other.delete(path))
        if deed in {Deed.CREATE, Deed.CREATE_EPHEMERAL, Deed.RECREATE}:
            self.creations[path] += 1
            ignore(other.create(path, b"created", ephemeral=deed is Deed.CREATE_EPHEMERAL))
        if deed is Deed.RECREATE_AT_ONCE:
            self.deletions += 1
            self.creations[path] += 1
            transaction = other.transaction()
            transaction.delete(path)
            transaction.create(path, b"created")
            ignore(transaction.commit())
        if deed is Deed.SET:
            ignore(other.set(path, b"set"))
        if deed is Deed.SET_ROOT:
            ignore(other.set("/", b"set"))
        if self.hiding is not None and path in _HIDEABLE:
            self.hides(deed, path, self.hiding)

    def hides(self, deed: Deed, path: str, hiding: set[str]) -> None:
        other = self.world.other
        if deed is Deed.SHOW:
            ignore(other.set_acl(path, OPEN_ACL))
        elif deed in {Deed.HIDE, Deed.CREATE_HIDDEN}:
            hiding.add(path)
            for obscured in self.obscured():
                obscured.add(path)
            if deed is Deed.HIDE:
                ignore(other.set_acl(path, CREATOR_ALL_ACL))
            else:
                self.creations[path] += 1
                ignore(other.create(path, b"created", CREATOR_ALL_ACL))

    @rule(path=a_path, data=some_data, ephemeral=rarely, makepath=rarely, cancelled=rarely)
    def mirror_creates(self, path: str, data: bytes, ephemeral: bool, makepath: bool, cancelled: bool) -> None:
        node = self.node(path)
        above: str | None = path
        while above is not None:
            self.creations[above] += 1
            above = paths.parent_of(above) if makepath else None
        data = self.unique(data)
        if self.version == "3.4":
            # What gives a node's stat at its creation is not known there.
            write = self.world.mirror_client.create(path, data, ephemeral=ephemeral)
            self.write(write, node, cancelled, data, shown=False)
        else:
            created = node.create(data, ephemeral=ephemeral, makepath=makepath)
            self.write(created, node, cancelled, data, created=not ephemeral)

    @rule(path=st.sampled_from(("/", *_PATHS)), data=some_data, cancelled=rarely)
    def mirror_sets(self, path: str, data: bytes, cancelled: bool) -> None:
        node = self.node(path)
        data = self.unique(data)
        self.write(node.set(data), node, cancelled, data)

    @rule(path=a_path, recursive=st.booleans(), cancelled=rarely)
    def mirror_deletes(self, path: str, recursive: bool, cancelled: bool) -> None:
        node = self.node(path)
        self.deletions += 1
        self.write(node.delete(recursive=recursive), node, cancelled, None)

    def unique(self, data: bytes) -> bytes:
        """Make data that nobody has written."""
        self.serial += 1
        return b"%b %d" % (data, self.serial)

    def write(
        self,
        write: Deferred[Any],
        node: Node,
        cancelled: bool,
        data: bytes | None,
        *,
        created: bool = False,
        shown: bool = True,
    ) -> None:
        """Check, at the moment when a write has fired, that the node and its parent show it; and if it has failed, that
        its ``applied`` is true.
        """

        def fired(result: object) -> None:
            if isinstance(result, Failure):
                assert result.check(ZooKeeperException, CancelledError), result.getTraceback()
                if data is not None and getattr(result.value, "applied", None) is False:
                    self.never_written.append(data)
                return
            if data is not None:
                assert data in self.written.data, f"{node} was written, the mirror says, and was not"
            if not shown or self.is_obscured(node):
                return
            state = node.state
            parent = self.witnesses.get(paths.parent_of(node.path) or "")
            assert state.existence is not Existence.UNKNOWN, f"{node} was written, and is unknown"
            if isinstance(result, ZnodeStat) and state.stat is not None:
                assert state.stat.mzxid >= result.mzxid, f"{node} was set to {result}, and is at {state.stat}"
            if created and not self.deletions:
                assert state.existence is Existence.PRESENT, f"{node} was created, and is absent"
                if parent is not None:
                    names = parent.node.state.children or ()
                    assert paths.name_of(node.path) in names, f"{parent.node} has {names}, and {node} was created"
            if result is None and self.creations[node.path] == self.earlier_creations[node.path]:
                assert state.existence is Existence.ABSENT, f"{node} was deleted, and is there"
                if parent is not None:
                    names = parent.node.state.children or ()
                    assert paths.name_of(node.path) not in names, f"{parent.node} has {names}, and {node} was deleted"

        self.expect(write.addBoth(fired))
        if cancelled:
            write.cancel()

    def is_obscured(self, node: Node) -> bool:
        """Return whether the mirror may be unable to read a node or its parent."""
        return self.witnesses[node.path].obscured.covers(node.path)

    # What is read.

    def node(self, path: str) -> Node:
        """Return a node of the mirror, and add a witness to it."""
        node = self.mirror.get(path)
        if path not in self.witnesses:
            self.witnesses[path] = witness = NodeWitness(self, node)
            node.addValueWatcher("unruly", self.unruly)
            for each in self.hiding or ():
                witness.obscured.add(each)
        return node

    @rule(path=a_path, timeout=st.sampled_from([0.1, 5.0, None]))
    def reads(self, path: str, timeout: float | None) -> None:
        self.expect(self.node(path).value(timeout).addBoth(self.witnesses[path].was_read))

    def expect(self, deferred: Deferred[Any]) -> None:
        """Record the failure of a Deferred, to raise it later."""
        deferred.addErrback(lambda failure: self.faults.append(failure.getTraceback()))
        self.pending.append(deferred)

    @rule(kind=st.sampled_from(_TREES))
    def makes_tree(self, kind: tuple[str, int | None, Callable[[str], bool] | None]) -> None:
        if len(self.trees) < _MOST_TREES:
            path, depth, keep = kind
            tree = self.mirror.tree(path, depth=depth, keep=keep)
            witness = TreeWitness(self, tree, depth, keep)
            for each in self.hiding or ():
                witness.obscured.add(each)
            self.trees.append(witness)
            tree.watch(self.unruly)
            tree.watch(self.tree_told)
            ignore(tree.ready())

    @rule(number=a_number)
    def closes_tree(self, number: int) -> None:
        if number < len(self.trees):
            witness = self.trees.pop(number)
            witness.closed = True
            before = dict(witness.tree)
            witness.tree.close()
            self.check_that(dict(witness.tree) == before, f"{witness.tree} was closed, and has changed")

    # What watchers do.

    def unruly(self, _: object) -> None:
        """Run the next action of a watcher."""
        if self.mischief:
            self.mischief.pop()()

    @rule(times=st.integers(1, 3))
    def will_raise(self, times: int) -> None:
        def fail() -> None:
            raise Mischief

        self.mischief += [fail] * times

    @rule(path=a_path)
    def will_write(self, path: str) -> None:
        self.mischief.append(lambda: self.mirror_sets(path, b"told", False))

    @rule(path=a_path)
    def will_create(self, path: str) -> None:
        self.mischief.append(lambda: self.mirror_creates(path, b"told", False, False, False))

    @rule(path=a_path)
    def will_delete(self, path: str) -> None:
        self.mischief.append(lambda: self.mirror_deletes(path, False, False))

    @rule(kind=st.sampled_from(_TREES))
    def will_make_tree(self, kind: tuple[str, int | None, Callable[[str], bool] | None]) -> None:
        self.mischief.append(lambda: self.makes_tree(kind))

    @rule(number=a_number)
    def will_close_tree(self, number: int) -> None:
        self.mischief.append(lambda: self.closes_tree(number))

    # What goes on.

    @rule(count=st.integers(1, 60))
    def turns(self, count: int) -> None:
        self.world.step(count)

    @rule()
    def an_instant(self) -> None:
        self.world.settle()

    @rule()
    def a_moment(self) -> None:
        self.world.pass_time(1.0)

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 2.0, S, 2 * S]))
    def time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    # What goes wrong.

    def links(self, host: str) -> list[Link]:
        return [link for link in self.world.reactor.links if link.server_address.host == host]

    @rule(host=st.sampled_from([MIRROR_HOST, MIRROR_HOST, MIRROR_HOST, OTHER_HOST]))
    def cut(self, host: str) -> None:
        for link in self.links(host):
            link.cut()

    @rule(to_client=st.none() | st.integers(0, 400), to_server=st.none() | st.integers(0, 400))
    def cut_after(self, to_client: int | None, to_server: int | None) -> None:
        for link in self.links(MIRROR_HOST):
            link.cut_after(to_client=to_client, to_server=to_server)

    @rule(deeds=some_deeds, expired=rarely, seconds=some_seconds)
    def goes_away(self, deeds: list[tuple[Deed, str]], expired: bool, seconds: float) -> None:
        """Disconnect the mirror from the servers, and let the other client make changes meanwhile."""
        self.world.part()
        self.cut(MIRROR_HOST)
        self.world.settle()
        self.somebody_does(deeds)
        if expired:
            self.expire(True)
        self.world.pass_time(seconds)
        self.world.unpart()

    @rule(deeds=some_deeds, number=st.integers(0, 2), seconds=some_seconds)
    def restarts(self, deeds: list[tuple[Deed, str]], number: int, seconds: float) -> None:
        """Kill a server, and start it again."""
        number %= self.size
        server = self.world.servers[number]
        self.somebody_does(deeds)
        server.stop_listening()
        self.world.pass_time(seconds)
        server.listen(self.world.ports[number], interface="")
        self.world.settle()

    @rule(deeds=some_deeds, expired=rarely, count=st.integers(0, 300), to_client=st.booleans())
    def returns_briefly(self, deeds: list[tuple[Deed, str]], expired: bool, count: int, to_client: bool) -> None:
        """Part the mirror from the server, and cut also the connection with which it returns, early in its life."""
        self.goes_away(deeds, expired, 0.0)
        for _ in range(50):
            if self.links(MIRROR_HOST):
                break
            self.world.reactor.advance(0.05)
        for link in self.links(MIRROR_HOST):
            link.cut_after(to_client=count if to_client else None, to_server=None if to_client else count)
        self.world.settle()

    @rule(to_client=st.booleans(), to_server=st.booleans())
    def flow(self, to_client: bool, to_server: bool) -> None:
        for link in self.links(MIRROR_HOST):
            link.server.hold(not to_client)
            link.client.hold(not to_server)

    @rule(piece=st.none() | st.integers(1, 30))
    def in_pieces(self, piece: int | None) -> None:
        self.world.reactor.piece = piece

    @rule(mirrors=st.sampled_from([True, True, False]))
    def expire(self, mirrors: bool) -> None:
        client = self.world.mirror_client if mirrors else self.world.other
        if client.session_id in self.world.server.sessions:
            self.deletions += 1
            self.world.server.expire_session(client.session_id)

    @rule()
    def drop_connections(self) -> None:
        for server in self.world.servers:
            server.drop_connections()

    @precondition(lambda self: self.size > 1)
    @rule(number=st.integers(0, 2), deeds=some_deeds)
    def lags(self, number: int, deeds: list[tuple[Deed, str]]) -> None:
        server = self.world.servers[number % self.size]
        if server._replica.lagging:
            server.catch_up()
        else:
            server.lag()
        self.somebody_does(deeds)

    @precondition(lambda self: self.size > 1)
    @rule()
    def moves(self) -> None:
        """Let the server that serves the mirror go away for a moment."""
        for server, port in zip(self.world.servers, self.world.ports, strict=True):
            if any(connection.session_id == self.world.mirror_client.session_id for connection in server.connections):
                server.stop_listening()
                self.world.pass_time(1.0)
                server.listen(port, interface="")
                break

    @rule(really=very_rarely)
    def wipe(self, really: bool) -> None:
        if really:
            self.lose_data(self.world.wipe)

    @rule()
    def remember(self) -> None:
        self.snapshot = self.world.server.snapshot()

    @rule(really=very_rarely)
    def roll_back(self, really: bool) -> None:
        snapshot = self.snapshot
        if really and snapshot is not None:
            self.lose_data(lambda: self.world.roll_back(snapshot))

    def lose_data(self, lose: Callable[[], object]) -> None:
        self.be_quiet()
        self.deletions += 1
        history = self.history
        lose()
        assert self.history == history + 1, "the loss of data went unnoticed"
        for obscured in self.obscured():
            # All is read again.
            obscured.forget()

    def obscured(self) -> list[Obscured]:
        """Return the paths of which each witness cannot be sure."""
        return [node.obscured for node in self.witnesses.values()] + [tree.obscured for tree in self.trees]

    # What must hold.

    def state_told(self, state: MirrorState) -> None:
        self.check_that(state in _FOLLOWING[self.state], f"{state} followed {self.state}")
        self.state = state
        if state is MirrorState.SETTLED:
            for witness in self.witnesses.values():
                for reading in (witness.node.value(), witness.node.children()):
                    self.check_that(bool(reading.called), f"all is settled, and {witness.node} is still to be read")
                    ignore(reading)
            for each in self.trees:
                self.check_that(each.tree.settled, f"all is settled, and {each.tree} is not")
            self.check_trees()

    def tree_told(self, change: Change) -> None:
        if change.kind is ChangeKind.SETTLED:
            self.check_trees()

    def check_trees(self) -> None:
        """Check that each settled tree is equal to the server, if the server has not changed since."""
        for witness in self.trees:
            if witness.tree.settled and self.mirror._engine._cache.store.zxid == self.there.zxid:
                complaint = witness.difference(self.there)
                self.check_that(complaint is None, f"settled, and {complaint}")

    def check_that(self, holds: bool, complaint: str) -> None:
        """Record a violation. Within a callback, an exception would only be logged."""
        if not holds:
            self.faults.append(complaint)

    def likely(self, path: str, repetitions: int) -> bool:
        """Return whether a node was created so often that equal children may have been reported so many times."""
        return repetitions < self.creations[path]

    def nothing_went_wrong(self) -> None:
        """Raise the violations that were recorded."""
        assert not self.faults, "\n".join(self.faults)

    @rule()
    def quiet(self) -> None:
        self.be_quiet()

    def be_quiet(self) -> None:
        """End all faults, give all clients the time to recover, and compare."""
        self.mischief.clear()
        self.world.heal()
        self.world.pass_time(40.0)
        if self.hiding is not None:
            # What could not be read is tried again after a minute at the latest.
            self.world.pass_time(65.0)
        self.nothing_went_wrong()
        assert self.mirror.is_connected(), "the mirror has not come back"
        assert self.mirror.state is MirrorState.SETTLED, "the mirror has not settled"
        unfired = [deferred for deferred in self.pending if not deferred.called]
        assert not unfired, f"{len(unfired)} Deferreds have not fired"
        self.pending.clear()
        for path, node in self.witnesses.items():
            node.look(self.there)
            complaint = node.difference(self.there)
            assert complaint is None, complaint
            if self.hiding is None:
                assert shown(node.node) == self.world.result(read(self.world.other, path))
            node.replay()
        for tree in self.trees:
            tree.look(self.there)
            assert tree.tree.settled, f"{tree.tree} has not settled"
            complaint = tree.difference(self.there)
            assert complaint is None, complaint
            tree.replay()
        for data in self.never_written:
            assert data not in self.written.data, f"{data!r} was not written, the mirror says, and was"
        self.deletions = 0
        self.earlier_creations = self.creations.copy()
        if self.hiding is not None:
            self.hiding.clear()

    def teardown(self) -> None:
        try:
            self.be_quiet()
            self.close_trees()
        finally:
            globalLogPublisher.removeObserver(self.log)
            self.mirror.delStateWatcher("model")
            self.world.close()
        self.nothing_went_wrong()
        for server in self.world.servers:
            assert not server._replica.watches.count(), "watches are left at a server"

    def close_trees(self) -> None:
        """Close all trees, and check that nothing is left of them."""
        while self.trees:
            self.closes_tree(0)
        self.world.settle()
        # What the server is taken not to know is not asked for. That may be a mistake, when the network has broken connections.
        if self.version != "3.4" and self.world.mirror_client.server_can("remove_watches") is not False:
            for server in self.world.servers:
                for table in (server._replica.watches.data, server._replica.watches.children):
                    left = {path for path in table.by_path if path not in self.witnesses}
                    assert not left, f"watches of trees are left on {left}"


class EnsembleModel(MirrorModel):
    """The model with three servers, which may lag behind one another."""

    size = 3


class OldModel(MirrorModel):
    """The model with a server without persistent watches and batched reads."""

    version = "3.4"


class OldEnsembleModel(MirrorModel):
    """The model with two such servers."""

    version = "3.4"
    size = 2


class KeeperModel(MirrorModel):
    """The model with a server that ends sessions with their connections, and reports changed children as changed data."""

    version = "keeper"


class ModelTests(SynchronousTestCase):
    def run_model(self, model: type[MirrorModel], share: int) -> None:
        """Run the number of examples of the environment variable, or a share of the profile's."""
        asked = os.environ.get(EXAMPLES)
        examples = int(asked) if asked else max(1, settings().max_examples // share)
        try:
            run_state_machine_as_test(model, settings=settings(max_examples=examples, stateful_step_count=STEPS))
        except AssertionError as error:
            # The steps that led there are in its notes, which trial does not show.
            raise AssertionError("\n".join([str(error), *getattr(error, "__notes__", ())])) from None
        finally:
            self.flushLoggedErrors(Mischief)

    def test_one_server(self) -> None:
        """M1 to M7, M9: whatever happens, in the end the mirror equals the server."""
        self.run_model(MirrorModel, 2)

    def test_ensemble(self) -> None:
        """M1 to M7, M9: in the end the mirror equals an ensemble of three servers, which may lag behind one another."""
        self.run_model(EnsembleModel, 3)

    def test_side_sessions(self) -> None:
        """M1 to M7, M9: in the end the mirror equals the server if each recovery of a tree uses a side session."""
        self.patch(recovery, "SIDE_SESSION_FROM", 0)
        self.run_model(MirrorModel, 4)

    def test_side_sessions_at_ensemble(self) -> None:
        """M1 to M7, M9: in the end the mirror equals an ensemble whose servers may lag, and refuse a side session then."""
        self.patch(recovery, "SIDE_SESSION_FROM", 0)
        self.run_model(EnsembleModel, 4)

    def test_old_server(self) -> None:
        """M1 to M7, M9: in the end the mirror equals a server without persistent watches and batched reads."""
        self.run_model(OldModel, 4)

    def test_old_ensemble(self) -> None:
        """M1 to M7, M9: in the end the mirror equals an ensemble of two such servers."""
        self.run_model(OldEnsembleModel, 4)

    def test_batches(self) -> None:
        """The same if even one node with a watch of its own is read in a batch."""
        self.patch(watched_reads, "_SINGLES", 0)
        self.patch(watched_reads, "_FEWEST", 1)
        self.run_model(MirrorModel, 4)
        self.run_model(EnsembleModel, 6)

    def test_keeper(self) -> None:
        """M1 to M7, M9: in the end the mirror equals a server that ends sessions with their connections, and reports
        changed children as changed data.
        """
        self.run_model(KeeperModel, 4)
