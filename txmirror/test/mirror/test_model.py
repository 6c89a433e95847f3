"""Under random writes and random faults, a mirror that has settled is equal to the server, and its watchers were told so.

What the server has is the only model: nodes are compared with what another client reads. Besides, each thing that is
told is checked when it is told: that nothing is told twice, that nothing goes backwards, that a write which has fired
shows, and that "settled" is true.
"""

from __future__ import annotations

import enum
import os
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror import paths
from txmirror.errors import NoNodeException, OperationTimeoutException, ZooKeeperException
from txmirror.mirror import Existence, MirrorState, Node
from txmirror.test.mirror.world import MIRROR_HOST, OTHER_HOST, PORT, S, Value, World, ignore, read, shown
from txmirror.test.models import FailureLog
from txmirror.testing import Link
from txmirror.types import ZnodeStat

#: How many examples to run in place of as many as the profile says.
EXAMPLES = "TXMIRROR_MODEL_EXAMPLES"
STEPS = 30

_PATHS = ("/a", "/a/x", "/a/x/y", "/b", "/b/z", "/c")
_FOLLOWING = {
    MirrorState.DISCONNECTED: {MirrorState.CONNECTED},
    MirrorState.CONNECTED: {MirrorState.SETTLED, MirrorState.DISCONNECTED},
    MirrorState.SETTLED: {MirrorState.DISCONNECTED},
}


class Deed(enum.Enum):
    """What somebody else may do."""

    CREATE = enum.auto()
    CREATE_EPHEMERAL = enum.auto()
    SET = enum.auto()
    SET_ROOT = enum.auto()
    DELETE = enum.auto()
    RECREATE = enum.auto()


a_path = st.sampled_from(_PATHS)
some_deeds = st.lists(st.tuples(st.sampled_from(Deed), a_path), min_size=1, max_size=6)
some_turns = st.integers(0, 6)
some_seconds = st.sampled_from([0.0, 0.0, 0.5, S, 2 * S])
some_data = st.sampled_from([b"", b"one", b"two"])
rarely = st.sampled_from([False, False, False, True])


class Witness:
    """Listens to one node, and checks what it hears.

    :ivar values: what the value watcher was told: the history, and the value.
    :ivar children: what the watcher of the children was told, likewise.
    """

    def __init__(self, model: MirrorModel, node: Node) -> None:
        self.model = model
        self.node = node
        self.values: list[tuple[int, Value | None]] = []
        self.children: list[tuple[int, list[str] | None]] = []
        self.repetitions = 0
        node.addValueWatcher("witness", self.value_told)
        node.addChildWatcher("witness", self.children_told)

    @property
    def history(self) -> int:
        return self.model.world.mirror_client.session.history

    def value_told(self, value: Value | None) -> None:
        if self.values and self.values[-1][0] == self.history:
            before = self.values[-1][1]
            self.model.check(_identity(before) != _identity(value), f"{self.node} was told twice: {value}")
        if value is not None:
            newest = self.newest()
            self.model.check(value[1].mzxid > newest, f"{self.node} went back from {newest} to {value}")
        self.values.append((self.history, value))

    def children_told(self, names: list[str] | None) -> None:
        self.model.check(names is None or names == sorted(names), f"{self.node} has unsorted children: {names}")
        if self.children and self.children[-1] == (self.history, names):
            # Another node with the same children is another state.
            self.repetitions += 1
            likely = names is not None and self.repetitions < self.model.creations[self.node.path]
            self.model.check(likely, f"{self.node} was told twice that its children are {names}")
        self.children.append((self.history, names))

    def newest(self) -> int:
        """Give the highest mzxid that was told in this history; -1 if there was none."""
        return max((value[1].mzxid for history, value in self.values if history == self.history and value), default=-1)

    def was_read(self, result: Value | Failure) -> None:
        """Check what a read has given."""
        if isinstance(result, Failure):
            kind = result.check(NoNodeException, OperationTimeoutException)
            assert kind is not None, result.getTraceback()
            if kind is NoNodeException:
                assert self.node.state.existence is Existence.ABSENT, f"{self.node} is not absent, and was read so"
        else:
            newest = self.newest()
            assert result[1].mzxid >= newest, f"{self.node} was read as {result}, with {newest} known"

    def replay(self) -> None:
        """What was told, replayed, is what there is."""
        state = self.node.state
        value = None if state.value is None or state.stat is None else (state.value, state.stat)
        assert self.values, f"{self.node} was told nothing"
        assert _identity(self.values[-1][1]) == _identity(value), f"{self.node} was told {self.values[-1]} at last"
        names = None if state.children is None else list(state.children)
        assert self.children[-1][1] == names, f"{self.node} was told to have {self.children[-1]} at last, not {names}"


def _identity(value: Value | None) -> tuple[bytes, int, int] | None:
    return None if value is None else (value[0], value[1].czxid, value[1].mzxid)


class MirrorModel(RuleBasedStateMachine):
    """Somebody else, the mirror itself, the network and the server, each doing whatever comes to mind."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.mirror = self.world.mirror
        self.witnesses: dict[str, Witness] = {}
        self.faults: list[str] = []
        self.state = MirrorState.DISCONNECTED
        self.creations: Counter[str] = Counter()
        self.earlier_creations: Counter[str] = Counter()
        self.deletions = 0
        self.pending: list[Deferred[Any]] = []
        self.mirror.addStateWatcher("model", self.state_told)
        self.log = FailureLog(self.faults)
        globalLogPublisher.addObserver(self.log)

    @initialize(missing=st.sets(a_path), later=st.sets(a_path), settled=st.booleans())
    def begin(self, missing: set[str], later: set[str], settled: bool) -> None:
        for path in _PATHS:
            if path not in missing:
                self.does(Deed.CREATE, path)
        for path in ("/", *_PATHS):
            if path not in later:
                self.node(path)
        if settled:
            self.world.settle()
            self.earlier_creations = self.creations.copy()

    # What is written.

    @rule(deeds=some_deeds, turns=some_turns)
    def somebody_does(self, deeds: list[tuple[Deed, str]], turns: int = 0) -> None:
        """Let somebody else do things, with so many turns of the reactor between them."""
        for deed, path in deeds:
            self.does(deed, path)
            self.world.step(turns)

    def does(self, deed: Deed, path: str) -> None:
        """Let somebody else do one thing, or try to."""
        other = self.world.other
        if deed in {Deed.DELETE, Deed.RECREATE}:
            self.deletions += 1
            ignore(other.delete(path))
        if deed in {Deed.CREATE, Deed.CREATE_EPHEMERAL, Deed.RECREATE}:
            self.creations[path] += 1
            ignore(other.create(path, b"created", ephemeral=deed is Deed.CREATE_EPHEMERAL))
        if deed is Deed.SET:
            ignore(other.set(path, b"set"))
        if deed is Deed.SET_ROOT:
            ignore(other.set("/", b"set"))

    @rule(path=a_path, data=some_data, ephemeral=rarely, makepath=rarely, cancelled=rarely)
    def mirror_creates(self, path: str, data: bytes, ephemeral: bool, makepath: bool, cancelled: bool) -> None:
        node = self.node(path)
        above: str | None = path
        while above is not None:
            self.creations[above] += 1
            above = paths.parent_of(above) if makepath else None
        self.write(node.create(data, ephemeral=ephemeral, makepath=makepath), node, cancelled, created=not ephemeral)

    @rule(path=st.sampled_from(("/", *_PATHS)), data=some_data, cancelled=rarely)
    def mirror_sets(self, path: str, data: bytes, cancelled: bool) -> None:
        node = self.node(path)
        self.write(node.set(data, -1), node, cancelled)

    @rule(path=a_path, recursive=st.booleans(), cancelled=rarely)
    def mirror_deletes(self, path: str, recursive: bool, cancelled: bool) -> None:
        node = self.node(path)
        self.deletions += 1
        self.write(node.delete(recursive=recursive), node, cancelled)

    def write(self, write: Deferred[Any], node: Node, cancelled: bool, *, created: bool = False) -> None:
        """Check, in the moment in which a write has fired, that the node and its parent show it."""

        def fired(result: object) -> None:
            if isinstance(result, Failure):
                assert result.check(ZooKeeperException, CancelledError), result.getTraceback()
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

    # What is read.

    def node(self, path: str) -> Node:
        """Give a node of the mirror, which from then on has a witness."""
        node = self.mirror.get(path)
        if path not in self.witnesses:
            self.witnesses[path] = Witness(self, node)
        return node

    @rule(path=a_path, timeout=st.sampled_from([0.1, 5.0, None]))
    def reads(self, path: str, timeout: float | None) -> None:
        self.expect(self.node(path).value(timeout).addBoth(self.witnesses[path].was_read))

    def expect(self, deferred: Deferred[Any]) -> None:
        """Raise what a Deferred fails with, when there is time to."""
        deferred.addErrback(lambda failure: self.faults.append(failure.getTraceback()))
        self.pending.append(deferred)

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
        """Part the mirror from the server, and let somebody else do things meanwhile."""
        self.world.reactor.black_hole(MIRROR_HOST, PORT)
        self.cut(MIRROR_HOST)
        self.world.settle()
        self.somebody_does(deeds)
        if expired:
            self.expire(True)
        self.world.pass_time(seconds)
        self.world.reactor.undo_black_hole(MIRROR_HOST, PORT)

    @rule(deeds=some_deeds, seconds=some_seconds)
    def restarts(self, deeds: list[tuple[Deed, str]], seconds: float) -> None:
        """Kill the server, and start it again."""
        self.somebody_does(deeds)
        self.world.stop_server()
        self.world.pass_time(seconds)
        self.world.start_server()

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
        self.world.server.drop_connections()

    @rule(really=st.sampled_from([False] * 9 + [True]))
    def wipe(self, really: bool) -> None:
        if really:
            self.be_quiet()
            self.deletions += 1
            history = self.world.mirror_client.session.history
            self.world.wipe()
            assert self.world.mirror_client.session.history == history + 1, "the loss of all data went unnoticed"

    # What must hold.

    def state_told(self, state: MirrorState) -> None:
        self.check(state in _FOLLOWING[self.state], f"{state} followed {self.state}")
        self.state = state
        if state is MirrorState.SETTLED:
            for witness in self.witnesses.values():
                for reading in (witness.node.value(), witness.node.children()):
                    self.check(bool(reading.called), f"all is settled, and {witness.node} is still to be read")
                    ignore(reading)

    def check(self, holds: bool, complaint: str) -> None:
        """Note what does not hold. Within a callback, to raise would only be logged."""
        if not holds:
            self.faults.append(complaint)

    def nothing_went_wrong(self) -> None:
        """Raise what was found within callbacks."""
        assert not self.faults, "\n".join(self.faults)

    @rule()
    def quiet(self) -> None:
        self.be_quiet()

    def be_quiet(self) -> None:
        """End all faults, give everybody the time to recover, and compare."""
        self.world.heal()
        self.world.pass_time(40.0)
        self.nothing_went_wrong()
        assert self.mirror.is_connected(), "the mirror has not come back"
        assert self.mirror.state is MirrorState.SETTLED, "the mirror has not settled"
        unfired = [deferred for deferred in self.pending if not deferred.called]
        assert not unfired, f"{len(unfired)} Deferreds have not fired"
        self.pending.clear()
        for path, witness in self.witnesses.items():
            there = self.world.result(read(self.world.other, path))
            here = shown(witness.node)
            assert here == there, f"{path} is {there} at the server, and {here} in the mirror"
            witness.replay()
        self.deletions = 0
        self.earlier_creations = self.creations.copy()

    def teardown(self) -> None:
        try:
            self.be_quiet()
        finally:
            globalLogPublisher.removeObserver(self.log)
            self.mirror.delStateWatcher("model")
            self.world.close()
        self.nothing_went_wrong()


class ModelTests(SynchronousTestCase):
    def test_model(self) -> None:
        """M1 to M7, M9: whatever happens, in the end the mirror is what the server is."""
        examples = int(os.environ.get(EXAMPLES) or settings.default.max_examples)  # type: ignore[union-attr]
        try:
            run_state_machine_as_test(MirrorModel, settings=settings(max_examples=examples, stateful_step_count=STEPS))
        except AssertionError as error:
            # The steps that led there are in its notes, which trial does not show.
            raise AssertionError("\n".join([str(error), *getattr(error, "__notes__", ())])) from None
