"""Under random writes, cuts and expired sessions, decoded trees and their indexes are equal to the server's data, at each change too."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.mirror import Decoded, DecodedChange, Index, Tree
from txmirror.test.mirror.world import World, ignore
from txmirror.test.models import FailureLog

_STEPS = 25
_PATHS = ("/n", "/n/a", "/n/a/x", "/n/b", "/n/c")
_MOST_VIEWS = 4

a_path = st.sampled_from(_PATHS)
#: Each character is a key. The last two cannot be decoded, and cannot be indexed.
some_data = st.sampled_from([b"", b"a", b"ab", b"b", b"!", b"?"])
some_deeds = st.lists(st.tuples(a_path, st.none() | some_data, st.booleans()), min_size=1, max_size=6)
#: None for as many as are left.
some_turns = st.none() | st.integers(0, 8)
a_number = st.integers(0, _MOST_VIEWS - 1)


def decode(path: str, data: bytes) -> str:
    """Decode a node's data."""
    if data == b"!":
        raise ValueError("it cannot be decoded")
    return data.decode()


def keys_of(path: str, value: str) -> list[str]:
    """Return the keys of a node."""
    if value == "?":
        raise ValueError("it has no keys")
    return list(value)


class Witness:
    """Watches a view, and checks that each change follows from the one before, and that the view and its index show it.

    :param check: records a violation.
    :param mischief: called with each change; calls something on views and trees.
    """

    def __init__(self, tree: Tree, check: Callable[[bool, str], None], mischief: Callable[[Witness], None]) -> None:
        self.tree = tree
        self.view: Decoded[str] = tree.decoded(decode)
        self.index: Index[str, str] = self.view.index("keys", keys_of)
        self.shown = dict(self.view)
        self.errors = dict(self.view.errors)
        self._check = check
        self._mischief = mischief
        self.view.watch(self.first)
        self.view.watch(self.second)

    def first(self, change: DecodedChange[str]) -> None:
        """Check a change."""
        path = change.path
        self._check(self.shown.get(path) == change.old, f"{change} after {self.shown.get(path)!r}")
        self.shown.pop(path, None)
        self.errors.pop(path, None)
        if change.new is not None:
            self.shown[path] = change.new
        if change.error is not None:
            self.errors[path] = change.error
        self.agree()
        self._mischief(self)

    def second(self, change: DecodedChange[str]) -> None:
        """Check that another watcher sees the same state, unless the first has closed the view."""
        self._check(not self.view.closed, "a closed view has notified")
        self._check(self.shown.get(change.path) == change.new, f"a second watcher got {change} too late")

    def agree(self) -> None:
        """Check that the view and its index show what was notified."""
        self._check(dict(self.view) == self.shown, f"{dict(self.view)} is shown, {self.shown} was notified")
        self._check(self.view.errors == self.errors, "there are other errors than were notified")
        expected: dict[str, dict[str, str]] = {}
        for path, value in self.shown.items():
            if value != "?":
                for key in value:
                    expected.setdefault(key, {})[path] = value
        indexed = {key: dict(nodes) for key, nodes in self.index.items()}
        self._check(indexed == expected, f"{indexed} is indexed, and not {expected}")
        refused = {path for path, value in self.shown.items() if value == "?"}
        self._check(self.index.errors.keys() == refused, "other nodes could not be indexed")


class DecodedModel(RuleBasedStateMachine):
    """Another client, the network and the server, and a program with views, each with random actions."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.faults: list[str] = []
        self.log = FailureLog(self.faults)
        globalLogPublisher.addObserver(self.log)
        self.witnesses: list[Witness] = []
        self.closed: list[Witness] = []
        #: What watchers are to do with the next changes.
        self.mischief: list[Callable[[Witness], None]] = []
        self.away = False
        for path in _PATHS:
            self.world.make(path, b"a")
        self.follow()

    def check(self, holds: bool, complaint: str) -> None:
        """Record a violation. Within a callback, an exception would only be logged."""
        if not holds:
            self.faults.append(complaint)

    def make_mischief(self, witness: Witness) -> None:
        """Do in a watcher what was planned."""
        if self.mischief:
            self.mischief.pop()(witness)

    def close(self, witness: Witness, *, tree_too: bool) -> None:
        """Close a view, and perhaps its tree."""
        (witness.tree.close if tree_too else witness.view.close)()
        self.closed += [each for each in self.witnesses if each.view.closed]
        self.witnesses = [each for each in self.witnesses if not each.view.closed]

    def add(self, tree: Tree) -> None:
        """Add a view."""
        self.witnesses.append(Witness(tree, self.check, self.make_mischief))

    @precondition(lambda self: len(self.witnesses) < _MOST_VIEWS)
    @rule()
    def follow(self) -> None:
        self.add(self.world.mirror.tree("/n"))

    @precondition(lambda self: 0 < len(self.witnesses) < _MOST_VIEWS)
    @rule(number=a_number)
    def another_view(self, number: int) -> None:
        self.add(self.witnesses[number % len(self.witnesses)].tree)

    @precondition(lambda self: self.witnesses)
    @rule(number=a_number, tree_too=st.booleans())
    def closes(self, number: int, tree_too: bool) -> None:
        self.close(self.witnesses[number % len(self.witnesses)], tree_too=tree_too)

    @rule(deed=st.sampled_from(["close", "close tree", "another", "index"]))
    def in_watcher(self, deed: str) -> None:
        if deed == "another":
            self.mischief.append(lambda witness: self.add(witness.tree))
        elif deed == "index":
            self.mischief.append(lambda witness: self.compare(witness, witness.view.index(f"{id(object())}", keys_of)))
        else:
            self.mischief.append(lambda witness: self.close(witness, tree_too=deed == "close tree"))

    def compare(self, witness: Witness, index: Index[str, str]) -> None:
        """Check that a new index is equal to the one that was there."""
        self.check(dict(index) == dict(witness.index), "a new index is another")
        del witness.view.indexes[index.name]
        witness.view._entries.pop()

    @rule(deeds=some_deeds, turns=some_turns)
    def writes(self, deeds: list[tuple[str, bytes | None, bool]], turns: int | None) -> None:
        """Set or create some nodes, or delete them, or create them again."""
        other = self.world.other
        for path, data, again in deeds:
            if data is None or again:
                ignore(other.delete(path))
            if data is not None:
                ignore(other.set(path, data))
                ignore(other.create(path, data))
        self.passes(turns)

    @rule(turns=some_turns)
    def passes(self, turns: int | None) -> None:
        if turns is None:
            self.world.settle()
        else:
            self.world.step(turns)

    @precondition(lambda self: not self.away)
    @rule()
    def leaves(self) -> None:
        self.world.settle()
        if self.world.mirror.is_connected():
            self.world.leave()
            self.away = True

    @precondition(lambda self: self.away)
    @rule()
    def comes_back(self) -> None:
        self.away = False
        self.world.unpart()
        self.world.pass_time(3.0)

    @rule()
    def expires(self) -> None:
        if self.world.mirror_client.session_id in self.world.server.sessions:
            self.world.expire()

    @rule()
    def quiet(self) -> None:
        self.mischief.clear()
        self.away = False
        self.world.heal()
        self.world.pass_time(40.0)
        nodes = self.world.server._state.database.tree.nodes
        there = {path: node.data or b"" for path, node in nodes.items() if path == "/n" or path.startswith("/n/")}
        for witness in self.witnesses:
            self.check(witness.view.settled, f"{witness.view} has not settled")
            if witness.view.settled:
                self.check(witness.view.ready().called, f"{witness.view} is not ready")
            shown = {path: data.decode() for path, data in there.items() if data != b"!"}
            self.check(dict(witness.view) == shown, f"{dict(witness.view)} is shown, and not {shown}")
            self.check(set(witness.view.errors) == there.keys() - shown.keys(), "the errors are others")
        for witness in [*self.witnesses, *self.closed]:
            witness.agree()
        assert not self.faults, "\n".join(self.faults)

    def teardown(self) -> None:
        try:
            self.quiet()
        finally:
            globalLogPublisher.removeObserver(self.log)
            self.world.close()


class ModelTests(SynchronousTestCase):
    def test_model(self) -> None:
        """Each change follows from the one before, the views show it when it is notified, and in the end they equal the server."""
        examples = max(1, settings().max_examples // 4)
        try:
            run_state_machine_as_test(
                DecodedModel, settings=settings(max_examples=examples, stateful_step_count=_STEPS)
            )
        except AssertionError as error:
            # The steps that led there are in its notes, which trial does not show.
            raise AssertionError("\n".join([str(error), *getattr(error, "__notes__", ())])) from None
