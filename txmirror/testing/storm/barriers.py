"""Programs that share a barrier and a double barrier in a storm: nobody passes too early, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import ZooKeeperException
from txmirror.recipes import Barrier, DoubleBarrier
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene

_BARRIER = "/barrier"
_DOUBLE = "/double"
_READY = "ready"
_COUNT = 2
#: The highest number of calls at a time.
_MOST = 6


class BarrierPart:
    """A program that puts a barrier in place, removes it, and waits at it.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._pending = Pending(scene, name)
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._barrier = Barrier(self._client, _BARRIER, reactor=scene.world.reactor)
        #: The calls that wait without a limit.
        self._waiting: dict[Deferred[Any], None] = {}

    def act(self, random: Random) -> None:
        """Begin one action."""
        if len(self._pending) + len(self._waiting) < _MOST:
            random.choices([self._create, self._remove, self._wait, self._cancel], [4, 3, 5, 1])[0](random)
        else:
            self._cancel(random)

    def _create(self, random: Random) -> None:
        self._pending.add(self._barrier.create().addBoth(self._done, "create"), "create")

    def _remove(self, random: Random) -> None:
        self._pending.add(self._barrier.remove().addBoth(self._done, "remove"), "remove")

    def _wait(self, random: Random) -> None:
        timeout = random.choice((None, None, 5.0))
        self._scene.journal.note(self.name, f"waits, timeout {timeout}")
        generation, since = self._scene.truth.generation, self._scene.truth.zxid
        waiting: Deferred[Any] = self._barrier.wait(timeout=timeout)

        def done(outcome: bool | Failure) -> None:
            self._waiting.pop(waiting, None)
            self._done(outcome, "wait")
            if outcome is True and generation == self._scene.truth.generation:
                absent = self._scene.truth.was_absent(_BARRIER, since)
                self._scene.check(absent, f"{self.name}: has passed {_BARRIER}, which was there all the time")

        if timeout is None:
            self._waiting[waiting] = None
            waiting.addBoth(done)
        else:
            self._pending.add(waiting.addBoth(done), "wait")

    def _done(self, outcome: object, action: str) -> None:
        if isinstance(outcome, Failure):
            outcome.trap(ZooKeeperException, CancelledError)
            outcome = type(outcome.value).__name__
        self._scene.journal.note(self.name, f"{action}: {outcome}")

    def _cancel(self, random: Random) -> None:
        deferred = random.choice(list(self._waiting)) if self._waiting else self._pending.choose(random)
        if deferred is not None:
            self._scene.journal.note(self.name, "cancels a call")
            deferred.cancel()

    def check(self) -> None:
        """All is checked when it happens, or when it has settled."""

    def check_settled(self) -> None:
        """Check that nobody waits at a barrier that is not there."""
        self._pending.check_none("all has settled")
        there = _BARRIER in self._scene.truth.tree.nodes
        self._scene.check(there or not self._waiting, f"{self.name}: waits at {_BARRIER}, which is not there")

    def close(self) -> Deferred[None]:
        """Close the client."""
        return self._client.close()

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")
        self._scene.check(not self._waiting, f"{self.name}: is closed, and waits at {_BARRIER}")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


class RendezvousPart:
    """A participant of a double barrier.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._barrier = DoubleBarrier(self._client, _DOUBLE, count=_COUNT, name=name, reactor=scene.world.reactor)
        self._calling: Deferred[Any] | None = None
        self._action = ""
        self._limited = False

    def act(self, random: Random) -> None:
        """Enter, leave, or stop waiting."""
        if self._calling is not None:
            if random.random() < 0.15:
                self._scene.journal.note(self.name, f"stops to {self._action}")
                self._calling.cancel()
            return
        timeout = random.choice((None, None, 4.0))
        self._action = "leave" if self._barrier.entered else "enter"
        self._limited = timeout is not None
        self._scene.journal.note(self.name, f"begins to {self._action}, timeout {timeout}")
        generation, since = self._scene.truth.generation, self._scene.truth.zxid
        call = self._barrier.leave if self._barrier.entered else self._barrier.enter
        self._calling = Deferred()
        calling = call(timeout=timeout)
        if not calling.called:
            self._calling = calling
        calling.addBoth(self._done, self._action, generation, since)
        calling.addErrback(lambda failure: self._scene.check(False, f"{self.name}: {failure.getTraceback()}"))

    def _done(self, outcome: bool | Failure, action: str, generation: int, since: int) -> None:
        self._calling = None
        shown: object = outcome
        if isinstance(outcome, Failure):
            outcome.trap(ZooKeeperException, CancelledError)
            shown = type(outcome.value).__name__
        self._scene.journal.note(self.name, f"{action}: {shown}")
        if outcome is not True or generation != self._scene.truth.generation:
            return
        if action == "enter":
            self._scene.check(self._were_enough(since), f"{self.name}: has entered, and there were not {_COUNT}")
        else:
            self._scene.check(self._were_none(since), f"{self.name}: has left, and others were there all the time")

    def _were_enough(self, since: int) -> bool:
        """Return whether there were enough participants at once, since a zxid or before without a moment with none."""
        for zxid, names in self._scene.truth.children_backwards(_DOUBLE):
            participants = _participants(names)
            if len(participants) >= _COUNT:
                return True
            if not participants and zxid <= since:
                return False
        return False

    def _were_none(self, since: int) -> bool:
        for zxid, names in self._scene.truth.children_backwards(_DOUBLE):
            if not _participants(names):
                return True
            if zxid <= since:
                return False
        return False

    def check(self) -> None:
        """All is checked when it happens, or when it has settled."""

    def check_settled(self) -> None:
        """Check that nobody waits in vain, and that the participants are those that want to be."""
        nodes = self._scene.truth.tree.nodes
        parent = nodes.get(_DOUBLE)
        participants = [] if parent is None else _participants(sorted(parent.children))
        own = [
            name for name in participants if nodes[f"{_DOUBLE}/{name}"].stat().ephemeralOwner == self._client.session_id
        ]
        wanted = self._barrier.entered or (self._calling is not None and self._action == "enter")
        self._scene.check(len(own) == wanted, f"{self.name}: has the nodes {own}, and is {self._barrier!r}")
        if self._calling is None:
            return
        self._scene.check(not self._limited, f"{self.name}: its time to {self._action} is over")
        if self._action == "enter":
            self._scene.check(
                len(participants) < _COUNT, f"{self.name}: waits to enter, and there are {len(participants)}"
            )
        else:
            self._scene.check(bool(participants), f"{self.name}: waits to leave, and nobody is there")

    def close(self) -> Deferred[None]:
        """Close the client."""
        return self._client.close()

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._scene.check(self._calling is None, f"{self.name}: is closed, and waits to {self._action}")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def _participants(names: Sequence[str] | None) -> list[str]:
    return [name for name in names or () if name != _READY]
