"""Clients in a storm."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.client import Limits
from txmirror.errors import ClosingException
from txmirror.testing.storm.parts import TIMEOUTS, Scene
from txmirror.testing.storm.reading import Reads
from txmirror.testing.storm.replies import Replies
from txmirror.testing.storm.watching import WatchChecks
from txmirror.testing.storm.writing import Writes
from txmirror.types import SessionState

#: Few requests in flight, and a short queue.
_TINY = Limits(in_flight_requests=3, queued_requests=8)
#: The number of requests of a flood.
_FLOODS = (20, 200, 1000)


class ClientPart:
    """A client that reads, writes and watches a few nodes.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        limits = _TINY if random.random() < 0.3 else None
        self._client = scene.world.client(
            scene.servers(), session_timeout=random.choice(TIMEOUTS), limits=limits, connect=False
        )
        scene.journal.pipelined.add(name)
        self._replies = Replies(scene, name, self._client)
        self._watches = WatchChecks(scene, self._replies, self._client)
        self._reads = Reads(scene, self._client, self._replies, self._watches)
        self._writes = Writes(scene, name, self._client, self._replies)
        self._replies.pending.add(self._client.connect().addErrback(_trap), "connect")

    def act(self, random: Random) -> None:
        """Begin one action."""
        actions = [self._reads.act, self._writes.act, self._reads.sync, self._reads.batch, self._cancel, self._flood]
        random.choices(actions, [8, 10, 2, 2, 1, 1])[0](random)

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
        """All is checked when it happens."""

    def check_settled(self) -> None:
        """Check that the client is connected, that nothing waits, and that no watch was missed."""
        session = self._client.session
        self._replies.check_that(session.state is SessionState.CONNECTED, f"is {session}")
        self._replies.check_settled()
        self._watches.check_settled()

    def close(self) -> Deferred[None]:
        """Close the client."""
        return self._client.close()

    def check_closed(self) -> None:
        """Check that all requests and watches have failed."""
        self._replies.pending.check_none("the client is closed")
        self._watches.check_closed()

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def _trap(failure: Failure) -> None:
    failure.trap(ClosingException, CancelledError)
