"""The common ground of a storm's parts: clients, mirrors, registries and contenders for locks in one world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror.testing.storm.arrivals import Arrivals
from txmirror.testing.storm.hidden import Hidden
from txmirror.testing.storm.holders import Holders
from txmirror.testing.storm.journal import Journal
from txmirror.testing.storm.listening import Listening
from txmirror.testing.storm.services import Services
from txmirror.testing.storm.truth import Truth
from txmirror.testing.world import World
from txmirror.types import SessionEvent, SessionState
from txmirror.wire import Operation

#: The nodes that clients and mirrors write.
PATHS = ("/a", "/a/x", "/a/x/y", "/b", "/b/z", "/c")
#: The session timeouts of the parts, in seconds.
TIMEOUTS = (2.0, 4.0, 6.0, 8.0)


class Part(Protocol):
    """One program of a storm, with a session of its own.

    :ivar name: its name in the log.
    """

    name: str

    def act(self, random: Random) -> object:
        """Begin one action."""

    def check(self) -> object:
        """Check all that must hold at any moment. Violations are reported to the scene."""

    def check_settled(self) -> object:
        """Check all that must hold when everything has settled."""

    def close(self) -> Deferred[None]:
        """End the program."""

    def check_closed(self) -> object:
        """Check that nothing of it is left pending. Called when ``close`` has fired."""

    def spared(self) -> Sequence[int]:
        """Return the sessions that must not expire at this moment: something relies on them."""


@attrs.define
class Scene:
    """All that the parts of a storm share."""

    world: World
    journal: Journal
    truth: Truth
    holders: Holders = attrs.field(init=False)
    services: Services = attrs.field(init=False)
    hidden: Hidden = attrs.field(init=False)
    listening: Listening = attrs.field(init=False)
    arrivals: Arrivals = attrs.field(init=False)
    complaints: list[str] = attrs.field(factory=list)
    """The violations so far. Within a callback, an exception would only be logged."""
    _hosts: int = attrs.field(default=0, init=False)
    _serial: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.services = Services(self.truth)
        self.hidden = Hidden(self.world.reactor)
        self.listening = Listening(self.world, self.truth)
        self.arrivals = Arrivals(lambda complaint: self.check(False, complaint))
        self.holders = Holders(
            self.truth, self.world.reactor, self.journal.recorder, lambda complaint: self.check(False, complaint)
        )

    def check(self, holds: bool, complaint: str | Callable[[], str]) -> None:
        """Record a violation, if something does not hold."""
        if not holds:
            text = complaint if isinstance(complaint, str) else complaint()
            self.journal.note("violation", text)
            self.complaints.append(text)

    def raise_complaints(self) -> None:
        """Raise the violations that were recorded.

        :raises AssertionError: there are some.
        """
        assert not self.complaints, "\n".join(self.complaints[:5])

    def servers(self) -> list[tuple[str, int]]:
        """Return the servers at an address that nobody else uses."""
        self._hosts += 1
        host = f"127.2.{self._hosts // 250}.{self._hosts % 250 + 1}"
        return [(host, int(server.address.rpartition(":")[2])) for server in self.world.servers]

    @property
    def plain_creates(self) -> bool:
        """True if the servers, which are older than 3.5, do not report the stat of a new node, or may be taken for such servers."""
        version = self.world.server._replica._version
        # A single connection that is closed at a creation is enough for that at ClickHouse Keeper.
        return version.keeper or Operation.CREATE2 not in version.operations

    def unique(self, name: str) -> bytes:
        """Return data that nobody has written."""
        self._serial += 1
        return f"{name} {self._serial}".encode()


class Pending:
    """The Deferreds of a part that have not fired.

    :param scene: records those that stay pending.
    :param name: the name of the part.
    """

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._name = name
        self._waiting: dict[Deferred[Any], str] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, deferred: Deferred[Any], what: str) -> None:
        """Expect a Deferred to fire. Its last callback must not fail."""

        def fired(result: object) -> None:
            self._waiting.pop(deferred, None)
            if isinstance(result, Failure):
                self._scene.check(False, f"{self._name}: {what} has failed: {result.getTraceback()}")

        self._waiting[deferred] = what
        deferred.addBoth(fired)

    def choose(self, random: Random) -> Deferred[Any] | None:
        """Return one of them."""
        return random.choice(list(self._waiting)) if self._waiting else None

    def check_none(self, when: str) -> None:
        """Check that all have fired."""
        left = list(self._waiting.values())
        self._scene.check(not left, lambda: f"{self._name}: {when}, {len(left)} Deferreds wait: {left[:5]}")


def session_to_come(session: SessionEvent) -> int:
    """Return the number of the session that executes a request which is made now."""
    # Between two sessions, a request waits for the next one.
    return session.session_number + (session.state in (SessionState.CONNECTING, SessionState.EXPIRED))
