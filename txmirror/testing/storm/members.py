"""Members of a group and of a party in a storm: in the end, exactly those that have joined are there, in their present sessions."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import ZooKeeperException
from txmirror.recipes import Members, Party
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene

_GROUP = "/group"
_PARTY = "/party"


class MemberPart:
    """A program that joins a group or a party, leaves it, reads the members, and now and then deletes a node of another.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._pending = Pending(scene, name)
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        reactor = scene.world.reactor
        self._recipe: Members | Party
        if random.random() < 0.6:
            self._recipe = Members(self._client, _GROUP, name, name.encode(), reactor=reactor)
        else:
            self._recipe = Party(self._client, _PARTY, name=name, reactor=reactor)
        self._wanted = False

    def act(self, random: Random) -> None:
        """Begin one action."""
        if len(self._pending) < 6:
            change = self._leave if self._wanted else self._join
            random.choices([change, self._read, self._meddle], [4, 3, 1])[0](random)

    def _join(self, random: Random) -> None:
        self._scene.journal.note(self.name, "joins")
        self._wanted = True
        joining = self._recipe.join()

        def failed(failure: Failure) -> None:
            failure.trap(ZooKeeperException, CancelledError)
            self._scene.journal.note(self.name, f"has not joined: {type(failure.value).__name__}")
            if failure.check(ZooKeeperException):
                self._wanted = False

        self._pending.add(joining.addCallbacks(self._joined, failed), "join")

    def _joined(self, _: None) -> None:
        self._scene.journal.note(self.name, "has joined")

    def _leave(self, random: Random) -> None:
        self._scene.journal.note(self.name, "leaves")
        self._wanted = False
        self._pending.add(self._recipe.leave().addBoth(self._done, "leave"), "leave")

    def _read(self, random: Random) -> None:
        reading: Deferred[Any] = self._recipe.members()
        self._pending.add(reading.addBoth(self._done, "members"), "members")

    def _meddle(self, random: Random) -> None:
        there = self._scene.truth.tree.nodes.get(self._recipe.path)
        names = [] if there is None else sorted(there.children)
        if names:
            path = f"{self._recipe.path}/{random.choice(names)}"
            self._scene.journal.note(self.name, f"deletes {path}")
            self._pending.add(self._client.delete(path).addBoth(self._done, "delete"), "delete")

    def _done(self, outcome: object, action: str) -> None:
        if isinstance(outcome, Failure):
            outcome.trap(ZooKeeperException, CancelledError)
            outcome = type(outcome.value).__name__
        if isinstance(outcome, (dict, list)):
            outcome = sorted(outcome)
        self._scene.journal.note(self.name, f"{action}: {outcome}")

    def check(self) -> None:
        """All is checked when it has settled."""

    def check_settled(self) -> None:
        """Check that our node is there exactly if we have joined, once, and that it is of our session."""
        self._pending.check_none("all has settled")
        nodes = self._scene.truth.tree.nodes
        there = nodes.get(self._recipe.path)
        paths = [] if there is None else [f"{self._recipe.path}/{name}" for name in sorted(there.children)]
        owners = [nodes[path].stat().ephemeralOwner for path in paths if nodes[path].data == self.name.encode()]
        expected = [self._client.session_id] if self._wanted else []
        self._scene.check(
            owners == expected, f"{self.name}: is in {self._recipe.path} with sessions {owners}, not {expected}"
        )
        self._scene.check(self._recipe.joined == self._wanted, f"{self.name}: is {self._recipe!r}")

    def close(self) -> Deferred[None]:
        """Close the client."""
        return self._client.close()

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()
