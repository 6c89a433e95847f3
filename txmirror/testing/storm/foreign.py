"""A contender of another implementation in a storm: it makes its node by hand, in the form of Curator's ``InterProcessMutex``."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from random import Random

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror.errors import ZooKeeperException
from txmirror.testing.storm.contenders import SHARED
from txmirror.testing.storm.holders import Claim
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene


class ForeignPart:
    """A program that creates a node for itself below a lock, and deletes it later. It holds the lock while the node is the first: the
    servers' data says so, because it is no part of what is judged.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._pending = Pending(scene, name)
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._pending.add(self._client.connect().addErrback(_trap), "connect")
        self._unique = ""
        self._claim = Claim(name, SHARED, self._held)
        scene.holders.add(self._claim)

    def _nodes(self) -> list[str]:
        """Return the names of all contenders, the first in the queue first."""
        parent = self._scene.truth.tree.nodes.get(SHARED)
        return [] if parent is None else sorted(parent.children, key=lambda name: int(name[-10:]))

    def _held(self) -> bool:
        names = self._nodes()
        return bool(self._unique and names) and names[0].startswith(self._unique)

    def act(self, random: Random) -> None:
        """Create a node, or delete it."""
        own = [name for name in self._nodes() if self._unique and name.startswith(self._unique)]
        if len(self._pending):
            return
        if not own:
            self._unique = f"_c_{uuid.uuid4()}-"
            self._scene.journal.note(self.name, f"creates {self._unique}")
            creating = self._client.create(f"{SHARED}/{self._unique}lock-", b"", ephemeral=True, sequence=True)
            self._pending.add(creating.addErrback(_trap), "create")
        elif random.random() < 0.6:
            self._scene.journal.note(self.name, f"deletes {own[0]}")
            self._pending.add(self._client.delete(f"{SHARED}/{own[0]}").addErrback(_trap), "delete")

    def check(self) -> None:
        """Check that there are not several holders."""
        self._scene.holders.check(SHARED, 1)

    def check_settled(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("all has settled")

    def close(self) -> Deferred[None]:
        """Close the client, and with it the session."""
        return self._client.close().addCallback(lambda _: self._scene.holders.remove(self._claim))

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def _trap(failure: Failure) -> None:
    failure.trap(ZooKeeperException)
