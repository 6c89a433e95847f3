"""A client in a storm that makes nodes unreadable for all others, and readable again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import ZooKeeperException
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene
from txmirror.types import ACL, CREATOR_ALL_ACL, OPEN_ACL

#: The nodes that are hidden at times.
_PATHS = ("/b/z", "/c")


class HiderPart:
    """A client that changes the access control lists of some nodes.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._pending = Pending(scene, name)
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._expect(self._client.add_auth("digest", b"storm:secret"), "add_auth")
        self._expect(self._client.connect(), "connect")

    def _expect(self, deferred: Deferred[None], what: str) -> None:
        self._pending.add(deferred.addErrback(_trap), what)

    def act(self, random: Random) -> None:
        """Hide a node, or show it."""
        path, hide = random.choice(_PATHS), random.random() < 0.5
        self._scene.journal.note(self.name, f"{'hides' if hide else 'shows'} {path}")
        self._set_acl(path, CREATOR_ALL_ACL if hide else OPEN_ACL)

    def _set_acl(self, path: str, acl: Sequence[ACL]) -> None:
        note: Callable[[object], object] = lambda _: self._scene.hidden.note(path)  # noqa: E731 - it is called twice
        note(None)
        self._pending.add(self._client.set_acl(path, acl).addCallbacks(note, _trap), f"set_acl {path}")

    def check(self) -> None:
        """The others check all."""

    def check_settled(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("all has settled")

    def close(self) -> Deferred[None]:
        """Close the client."""
        return self._client.close()

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def _trap(failure: Failure) -> None:
    failure.trap(ZooKeeperException, CancelledError)
