"""Clients in a storm."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import Deferred

from txmirror.client import Limits, ZooKeeperClient
from txmirror.testing.storm.handing import HandingOver
from txmirror.testing.storm.parts import TIMEOUTS, Scene
from txmirror.testing.storm.persistent import PersistentChecks
from txmirror.testing.storm.reading import Reads
from txmirror.testing.storm.replies import Replies
from txmirror.testing.storm.watching import WatchChecks
from txmirror.testing.storm.writing import Writes
from txmirror.types import SessionTicket

#: Few requests in flight, and a short queue.
_TINY = Limits(in_flight_requests=3, queued_requests=8)
#: The number of requests of a flood.
_FLOODS = (20, 200, 1000)


class ClientPart:
    """A client that reads, writes and watches a few nodes, and hands over its session to another one. Some use read-only servers.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        servers = scene.servers()
        timeout, limits = random.choice(TIMEOUTS), _TINY if random.random() < 0.3 else None
        read_only = random.random() < 0.5

        def make(ticket: SessionTicket | None) -> ZooKeeperClient:
            return scene.world.client(
                servers, session=ticket, session_timeout=timeout, limits=limits, read_only=read_only, connect=False
            )

        scene.journal.pipelined.add(name)
        self._replies = Replies(scene, name, make(None))
        self._watches = WatchChecks(scene, self._replies)
        self._persistent = PersistentChecks(scene, self._replies)
        self._reads = Reads(scene, self._replies, self._watches)
        self._writes = Writes(scene, name, self._replies)
        self._handing = HandingOver(scene, make, self._replies, self._check_all_ended, read_only=read_only)
        #: Some clients do something much more often than others.
        self._weights = [weight * random.choice((1, 1, 4)) for weight in (8, 10, 2, 2, 1, 1, 2, 1)]

    def act(self, random: Random) -> None:
        """Begin one action."""
        if not self._handing.leaving:
            actions = [
                self._reads.act,
                self._writes.act,
                self._reads.sync,
                self._reads.batch,
                self._cancel,
                self._flood,
                self._persistent.act,
                self._handing.act,
            ]
            random.choices(actions, self._weights)[0](random)

    def _cancel(self, random: Random) -> None:
        deferred = self._replies.pending.choose(random)
        if deferred is not None:
            self._replies.note("cancels an operation")
            deferred.cancel()

    def _flood(self, random: Random) -> None:
        count = random.choice(_FLOODS)
        self._replies.note(f"begins {count} operations at once")
        for _ in range(count):
            (self._reads if random.random() < 0.7 else self._writes).act(random)

    def check(self) -> None:
        """Check what the client reports of its session. All else is checked when it happens."""
        self._handing.check()

    def check_settled(self) -> None:
        """Check that the client is connected, that nothing waits, and that no watch was missed."""
        self._handing.check_settled()
        self._replies.check_settled()
        self._watches.check_settled()

    def close(self) -> Deferred[None]:
        """Close the client."""
        return self._handing.close()

    def check_closed(self) -> None:
        """Check that all requests and watches have failed."""
        self._check_all_ended("the client is closed")

    def _check_all_ended(self, when: str) -> None:
        self._replies.pending.check_none(when)
        self._watches.check_closed()
        self._persistent.check_closed()

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()
