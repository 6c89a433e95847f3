"""Contenders for locks and semaphores in a storm, and candidates of elections."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import ZooKeeperException
from txmirror.recipes import Election, Lock, ReadLock, Semaphore
from txmirror.testing.storm.holders import Claim
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene

LOCK = "/locks/one"
#: A lock that contenders of others share.
SHARED = "/locks/shared"
_SEMAPHORE = "/locks/two"
_ELECTION = "/locks/three"
_LEASES = 2


class ContenderPart:
    """A program that acquires a lock, holds it for a while, and releases it, again and again. It stops when the lock is lost.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses the kind of lock.
    :param style: the style of the lock; None lets ``random`` choose a kind of lock of our own.
    """

    def __init__(self, scene: Scene, name: str, random: Random, style: str | None = None) -> None:
        self.name = name
        self._scene = scene
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._pending = Pending(scene, name)
        kind = Lock if style else random.choice((Lock, Lock, ReadLock, Semaphore, Semaphore))
        self._lock: Lock | Semaphore
        if kind is Semaphore:
            self._capacity = _LEASES
            self._lock = Semaphore(self._client, _SEMAPHORE, leases=_LEASES, name=name, reactor=scene.world.reactor)
        elif style:
            self._capacity = 1
            self._lock = Lock(self._client, SHARED, name=name, style=style, reactor=scene.world.reactor)
        else:
            self._capacity = 1
            self._lock = kind(self._client, LOCK, name=name, reactor=scene.world.reactor)
        self._claim = Claim(name, self._lock.path, lambda: self._lock.held, shared=kind is ReadLock)
        self._orders = kind is Lock
        scene.holders.add(self._claim)
        self._acquiring: Deferred[bool] | None = None
        self._inside = False

    @property
    def idle(self) -> bool:
        """True if it neither holds the lock nor waits for it."""
        return self._acquiring is None and not self._inside

    def act(self, random: Random) -> None:
        """Begin to acquire, or release."""
        if self._inside:
            if random.random() < 0.7:
                self._release()
        elif self._acquiring is None:
            self._acquire(random.choice((None, None, None, 0, 0.3, 5.0)))
        elif random.random() < 0.15:
            self._scene.journal.note(self.name, "stops waiting")
            if random.random() < 0.5:
                self._acquiring.cancel()
            else:
                self._release()

    def _acquire(self, wait: float | None) -> None:
        self._scene.journal.note(self.name, f"acquires {self._lock.path}, wait {wait}")
        self._acquiring = self._lock.acquire(wait=wait)
        self._pending.add(self._acquiring.addBoth(self._acquired), "acquire")

    def _acquired(self, outcome: bool | Failure) -> None:
        self._acquiring = None
        if isinstance(outcome, Failure):
            self._scene.journal.note(self.name, f"has not acquired it: {type(outcome.value).__name__}")
            outcome.trap(CancelledError, ZooKeeperException)
            return
        self._scene.journal.note(self.name, f"has {'' if outcome else 'not '}acquired it, token {self._lock.token:#x}")
        if outcome:
            self._inside = True
            if self._lock.held:
                token = self._lock.token if self._orders else 0
                self._scene.holders.entered(self._claim, token, self._capacity)
            self._lock.lost.addCallback(self._lost)

    def _lost(self, _: None) -> None:
        if self._inside:
            self._scene.journal.note(self.name, "has lost it")
            self._release()

    def _release(self) -> None:
        self._inside = False
        self._scene.holders.left(self._claim)
        self._scene.journal.note(self.name, "releases it")
        self._pending.add(self._lock.release().addBoth(self._released), "release")

    def _released(self, outcome: Failure | None) -> None:
        if isinstance(outcome, Failure):
            # A server has refused it: the node goes with the session.
            outcome.trap(CancelledError, ZooKeeperException)

    def check(self) -> None:
        """Check that there are not too many holders."""
        self._scene.holders.check(self._lock.path, self._capacity)

    def check_settled(self) -> None:
        """Check that nobody waits for a lock that nobody holds."""
        if self._acquiring is None:
            self._pending.check_none("all has settled")
        elif not self._scene.holders.any_held(self._lock.path):
            self._scene.check(False, f"{self.name}: waits for {self._lock.path}, which nobody holds")

    def close(self) -> Deferred[None]:
        """Close the client, and with it the session."""
        self._scene.holders.left(self._claim)
        return self._client.close().addCallback(self._closed)

    def _closed(self, _: None) -> None:
        self._scene.holders.remove(self._claim)

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")

    def spared(self) -> Sequence[int]:
        """Return the session, if the lock may be relied on."""
        return () if self.idle else (self._client.session_id,)


class CandidatePart:
    """A candidate of an election.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._pending = Pending(scene, name)
        self._election = Election(self._client, _ELECTION, name=name, reactor=scene.world.reactor)
        self._claim = Claim(name, _ELECTION, lambda: bool(self._election.leading))
        scene.holders.add(self._claim)
        self._standing = False
        self._term: Deferred[str] | None = None

    def act(self, random: Random) -> None:
        """Begin to stand, end the term, or leave the election."""
        if not self._standing:
            self._scene.journal.note(self.name, "stands for election")
            self._standing = True
            self._pending.add(self._election.run(self._lead).addBoth(self._ended), "lead")
        elif self._term is not None and random.random() < 0.4:
            self._scene.journal.note(self.name, "ends its term")
            self._term.callback("done")
        elif random.random() < 0.2:
            self._scene.journal.note(self.name, "leaves the election")
            self._pending.add(self._election.stop(), "stop")

    def _lead(self) -> Deferred[str]:
        self._scene.journal.note(self.name, f"leads, token {self._election.token:#x}")
        if self._election.leading:
            self._scene.holders.entered(self._claim, self._election.token, 1)
        self._term = Deferred()
        return self._term.addBoth(self._term_over)

    def _term_over(self, outcome: Any) -> Any:
        self._scene.journal.note(self.name, "leads no more")
        self._scene.holders.left(self._claim)
        self._term = None
        return outcome

    def _ended(self, outcome: str | Failure) -> None:
        self._standing = False
        if isinstance(outcome, Failure):
            outcome.trap(CancelledError, ZooKeeperException)
        self._scene.journal.note(self.name, "does not stand any more")

    def check(self) -> None:
        """Check that there are not several leaders."""
        self._scene.holders.check(_ELECTION, 1)

    def check_settled(self) -> None:
        """Check that there is a leader, if somebody stands."""
        if not self._standing:
            self._pending.check_none("all has settled")
        elif not self._scene.holders.any_held(_ELECTION):
            self._scene.check(False, f"{self.name}: stands for election, and nobody leads")

    def close(self) -> Deferred[None]:
        """Leave the election, and close the client."""
        self._pending.add(self._election.stop(), "stop")
        return self._client.close().addCallback(self._closed)

    def _closed(self, _: None) -> None:
        self._scene.holders.remove(self._claim)

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")

    def spared(self) -> Sequence[int]:
        """Return the session, if leadership may be relied on."""
        return (self._client.session_id,) if self._standing else ()
