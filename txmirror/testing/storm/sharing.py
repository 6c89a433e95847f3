"""Programs that share a set of items in a storm: each item is one program's at a time, and in the end each has its share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from txmirror.client import ZooKeeperClient
from txmirror.errors import ZooKeeperException
from txmirror.recipes import Partitioner, Share
from txmirror.rendezvous import hash_text, mix
from txmirror.testing.storm.holders import Claim
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene
from txmirror.types import SessionEvent, SessionState, WatchedEvent

_PATH = "/shares"
_ITEMS = ("a", "b", "c", "d")


class _Jobs:
    """The jobs of a member, which may take some time for their end.

    :param scene: the world.
    :param name: the name of the member in the log.
    :param client: its client.
    :param random: chooses how long the jobs take.
    :ivar claims: the items, each as the member holds it or not.
    """

    def __init__(self, scene: Scene, name: str, client: ZooKeeperClient, random: Random) -> None:
        self.claims: dict[str, Claim] = {}
        self._scene = scene
        self._name = name
        self._timeout = client.session_timeout
        self._random = random
        #: The pauses of jobs that end. A client that is closed leaves no timer.
        self._pauses: list[Deferred[None]] = []
        client.add_listener(self._session_changed)

    async def work(self, share: Share) -> None:
        """Work on an item until this is cancelled."""
        claim = self.claims[share.item]
        self._scene.journal.note(self._name, f"works on {share.item}, token {share.token:#x}")
        if claim.held():
            self._scene.holders.entered(claim, share.token, 1)
        try:
            # A job that ends by itself keeps the share.
            await (self._pause(20.0) if self._random.random() < 0.1 else Deferred[None]())
        except CancelledError:
            if not claim.held():
                # It is lost. A process that was busy may be late, and then nobody can rely on it.
                self._scene.holders.left(claim)
            with contextlib.suppress(CancelledError):
                await self._pause(self._random.choice((0.0, 0.0, 0.1, self._timeout / 4)))
        self._scene.journal.note(self._name, f"does not work on {share.item} any more")
        self._scene.holders.left(claim)

    async def _pause(self, seconds: float) -> None:
        pause: Deferred[None] = deferLater(self._scene.world.reactor, seconds)
        self._pauses.append(pause)
        try:
            await pause
        finally:
            self._pauses.remove(pause)

    def _session_changed(self, event: SessionEvent | WatchedEvent) -> None:
        if isinstance(event, SessionEvent) and event.state is SessionState.CLOSED:
            for pause in list(self._pauses):
                pause.cancel()

    def leave(self) -> None:
        """Note that the member does not rely on its items any more."""
        for claim in self.claims.values():
            self._scene.holders.left(claim)


class SharingPart:
    """A member of a group that shares some items, which starts and stops.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._pending = Pending(scene, name)
        self._client = scene.world.client(scene.servers(), session_timeout=random.choice(TIMEOUTS), connect=False)
        self._jobs = _Jobs(scene, name, self._client, Random(f"jobs {random.random()}"))
        self._partitioner = Partitioner(
            self._client,
            _PATH,
            _ITEMS,
            self._jobs.work,
            name=name,
            delay=random.choice((0.0, 1.0)),
            reactor=scene.world.reactor,
        )
        for item in _ITEMS:
            self._jobs.claims[item] = claim = Claim(name, f"{_PATH}/items/{item}", partial(self._holds, item))
            scene.holders.add(claim)
        #: Whether it stops before its client is closed.
        self._in_order = random.random() < 0.5
        #: From the start to the end of the stop, and from the begin of that.
        self._started = self._stopping = False
        self._starting: Deferred[None] | None = None

    def _holds(self, item: str) -> bool:
        return item in self._partitioner.shares

    def act(self, random: Random) -> None:
        """Start, stop, or stop waiting for the start."""
        if not self._started:
            self._start()
        elif self._starting is not None and random.random() < 0.2:
            self._scene.journal.note(self.name, "cancels its start")
            self._starting.cancel()
        elif not self._stopping and random.random() < 0.25:
            self._stop()

    def _start(self) -> None:
        self._scene.journal.note(self.name, "starts")
        self._started = True
        self._starting = starting = Deferred[None]()
        started = self._partitioner.start()
        if self._starting is starting and not started.called:
            self._starting = started
        self._pending.add(started.addBoth(self._has_started), "start")

    def _has_started(self, outcome: Failure | None) -> None:
        self._starting = None
        if isinstance(outcome, Failure):
            outcome.trap(ZooKeeperException, CancelledError)
            self._scene.journal.note(self.name, f"has not started: {type(outcome.value).__name__}")
            if not self._stopping:
                self._stop()
        else:
            self._scene.journal.note(self.name, "has started")

    def _stop(self) -> None:
        self._scene.journal.note(self.name, "stops")
        self._stopping = True
        self._pending.add(self._partitioner.stop().addCallback(self._has_stopped), "stop")

    def _has_stopped(self, _: None) -> None:
        self._started = self._stopping = False
        self._scene.journal.note(self.name, "has stopped")

    def check(self) -> None:
        """Check that each item is held by one program."""
        for claim in self._jobs.claims.values():
            self._scene.holders.check(claim.path, 1)

    def check_settled(self) -> None:
        """Check that we are a member exactly if we want to, and that we hold our share, and nothing else."""
        self._pending.check_none("all has settled")
        members = self._owners(f"{_PATH}/members")
        session = self._client.session_id
        expected = {session} if self._started else set()
        owners = {owner for name, owner in members.items() if name == self.name}
        self._scene.check(owners == expected, f"{self.name}: is a member with {owners}, not {expected}")
        share = {item for item in _ITEMS if self._started and _holder(item, members) == self.name}
        shares = self._partitioner.shares
        self._scene.check(shares == share, f"{self.name}: has {sorted(shares)}, not its share {sorted(share)}")
        for item, claim in self._jobs.claims.items():
            count = list(self._owners(claim.path).values()).count(session)
            self._scene.check(count == (item in share), f"{self.name}: has {count} nodes for {item}, shares {share}")
            held = not members or self._scene.holders.any_held(claim.path)
            self._scene.check(held, f"{claim.path} is held by nobody, and there are {sorted(members)}")

    def _owners(self, path: str) -> dict[str, int]:
        """Return the sessions that own the children of a node, by their names."""
        nodes = self._scene.truth.tree.nodes
        there = nodes.get(path)
        names = [] if there is None else sorted(there.children)
        return {name: nodes[f"{path}/{name}"].stat().ephemeralOwner for name in names}

    def close(self) -> Deferred[None]:
        """Stop, and close the client; or close it at once, and do not rely on the items any more."""
        ends: list[Callable[[], Deferred[None]]] = [self._partitioner.stop, self._client.close]
        if not self._in_order:
            ends.reverse()
            self._jobs.leave()
        return ends[0]().addCallback(lambda _: ends[1]()).addCallback(self._closed)

    def _closed(self, _: None) -> None:
        self._scene.check(not self._partitioner.shares, f"{self.name}: is closed, and {self._partitioner!r}")
        for claim in self._jobs.claims.values():
            self._scene.holders.remove(claim)

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the client is closed")

    def spared(self) -> Sequence[int]:
        """Return the session, if the items may be relied on."""
        return (self._client.session_id,) if self._started else ()


def _holder(item: str, members: Sequence[str] | dict[str, int]) -> str:
    """Return the member with the highest score for an item."""
    return max(members, default="", key=lambda name: (mix(hash_text(name) ^ hash_text(item)), name))
