"""Programs that acquire several locks together in a storm: all or none, each exclusive, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import ZooKeeperException
from txmirror.recipes import Lock, MultiLock
from txmirror.testing.storm.holders import Claim
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene

#: Each two programs have a lock in common.
_PATHS = ("/several/a", "/several/b", "/several/c")
_ALL = "/several"


class SeveralPart:
    """A program that acquires two or three of three locks, holds them for a while, and releases them.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses the locks, and their order.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._pending = Pending(scene, name)
        reactor = scene.world.reactor
        locks = [
            Lock(self._client, path, name=name, reactor=reactor)
            for path in random.sample(_PATHS, random.choice((2, 3)))
        ]
        self._multi = MultiLock(locks, reactor=reactor)
        self._claims = [Claim(name, lock.path, partial(getattr, lock, "held")) for lock in self._multi.locks]
        #: All together, to see whether somebody has what he wants.
        self._all = Claim(name, _ALL, lambda: self._multi.held)
        for claim in (*self._claims, self._all):
            scene.holders.add(claim)
        self._acquiring: Deferred[bool] | None = None
        self._inside = False

    def act(self, random: Random) -> None:
        """Begin to acquire, stop that, or release."""
        if self._inside:
            if random.random() < 0.7:
                self._release()
        elif self._acquiring is None:
            wait = random.choice((None, None, None, 0, 0.3, 5.0))
            self._scene.journal.note(self.name, f"acquires {self._multi!r}, wait {wait}")
            self._acquiring = Deferred()
            acquiring = self._multi.acquire(wait=wait)
            if not acquiring.called:
                self._acquiring = acquiring
            self._pending.add(acquiring.addBoth(self._acquired), "acquire")
        elif random.random() < 0.15:
            self._scene.journal.note(self.name, "stops waiting")
            if random.random() < 0.5:
                self._acquiring.cancel()
            else:
                self._release()

    def _acquired(self, outcome: bool | Failure) -> None:
        self._acquiring = None
        if isinstance(outcome, Failure):
            self._scene.journal.note(self.name, f"has not acquired them: {type(outcome.value).__name__}")
            outcome.trap(CancelledError, ZooKeeperException)
        elif outcome:
            self._scene.journal.note(self.name, "has acquired them")
            self._inside = True
            for lock, claim in zip(self._multi.locks, self._claims, strict=True):
                if lock.held:
                    self._scene.holders.entered(claim, lock.token, 1)
            self._multi.lost.addCallback(self._lost)
        else:
            self._scene.journal.note(self.name, "has not acquired them in time")

    def _lost(self, _: None) -> None:
        if self._inside:
            self._scene.journal.note(self.name, "has lost one")
            self._release()

    def _release(self) -> None:
        self._inside = False
        for claim in self._claims:
            self._scene.holders.left(claim)
        self._scene.journal.note(self.name, "releases them")
        self._pending.add(self._multi.release().addErrback(_trap), "release")

    def check(self) -> None:
        """Check that each lock has one holder at most, and that we hold none if we do not have all."""
        for claim in self._claims:
            self._scene.holders.check(claim.path, 1)
        held = [claim.path for claim in self._claims if claim.held()]
        self._scene.check(
            not held or self._inside or self._acquiring is not None, f"{self.name}: holds {held}, and not all"
        )

    def check_settled(self) -> None:
        """Check that our nodes are all there, or none, and that somebody has all that he wants."""
        nodes = self._scene.truth.tree.nodes
        own = []
        for claim in self._claims:
            parent = nodes.get(claim.path)
            children = [] if parent is None else [nodes[f"{claim.path}/{name}"] for name in sorted(parent.children)]
            own.append(sum(child.stat().ephemeralOwner == self._client.session_id for child in children))
        if self._acquiring is not None:
            # One after another: the first ones are held, and the last one waits.
            self._scene.check(own == sorted(own, reverse=True) and max(own) == 1, f"{self.name}: has {own} nodes")
            first = next((claim.path for claim in self._claims if not claim.held()), _ALL)
            self._scene.check(
                self._scene.holders.any_held(first), f"{self.name}: waits for {first}, which nobody holds"
            )
            self._scene.check(self._scene.holders.any_held(_ALL), f"{self.name}: waits, and nobody has all")
        else:
            self._pending.check_none("all has settled")
            expected = int(self._inside)
            self._scene.check(
                own == [expected] * len(own), f"{self.name}: has {own} nodes of {self._multi!r}, not {expected} each"
            )

    def close(self) -> Deferred[None]:
        """Close the client, and with it the session."""
        for claim in self._claims:
            self._scene.holders.left(claim)
        return self._client.close().addCallback(self._closed)

    def _closed(self, _: None) -> None:
        for claim in (*self._claims, self._all):
            self._scene.holders.remove(claim)

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")

    def spared(self) -> Sequence[int]:
        """Return the session, if the locks may be relied on."""
        return (self._client.session_id,) if self._inside or self._acquiring is not None else ()


def _trap(failure: Failure) -> None:
    # A server has refused it: the node goes with the session.
    failure.trap(CancelledError, ZooKeeperException)
