"""Any deed, at any turn of the reactor while a recipe works: as many worlds as there are turns, each time a turn later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.hypothesis_profiles import stride
from txmirror.testing import World

#: The session timeout of these tests, in seconds.
S = 6.0
_WorldT = TypeVar("_WorldT", bound="Moments")


class Moments(World):
    """A world with two clients: the first one looks, and deeds are done to the second.

    :ivar outcomes: the results and failures of :meth:`begin`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.first = self.client(session_timeout=S)
        self.second = self.client(session_timeout=S)
        self.outcomes: list[Any] = []
        self.begun: list[Deferred[Any]] = []

    def begin(self, work: Deferred[Any]) -> Deferred[Any]:
        """Note the outcome of some work."""
        self.begun.append(work)
        return work.addBoth(self.outcomes.append)

    def step(self) -> bool:
        """Take one turn, and return whether there was one."""
        calls = self.reactor.calls
        due = bool(calls) and calls[0].getTime() <= self.reactor.seconds()
        self.reactor.take_turns(1)
        return due

    # Deeds.

    def drop(self) -> None:
        """Break the second client's connection."""
        for connection in self.server.connections:
            if connection.session_id == self.second.session_id:
                connection.drop()

    def expire(self) -> None:
        """Expire its session."""
        if self.second.session_id in self.server.sessions:
            self.server.expire_session(self.second.session_id)

    def drop_and_expire(self) -> None:
        """Expire its session while it has no connection."""
        self.drop()
        self.expire()

    def cancel(self) -> None:
        """Cancel all work."""
        for work in self.begun:
            work.cancel()

    def cancel_and_drop(self) -> None:
        """Cancel all work, and break the connection."""
        self.cancel()
        self.drop()

    def drop_and_cancel(self) -> None:
        """The same in the other order."""
        self.drop()
        self.cancel()

    def close_second(self) -> None:
        """Close its client."""
        self.second.close()

    # Looking.

    def ephemerals(self) -> dict[str, int]:
        """Return the owner of each ephemeral node."""
        nodes = self.server._state.database.tree.nodes
        return {path: owner for path, node in nodes.items() if (owner := node.stat().ephemeralOwner)}

    def persistent(self, below: str) -> list[str]:
        """Return the names of the persistent children of a node."""
        return sorted(
            path.rpartition("/")[2]
            for path, node in self.server._state.database.tree.nodes.items()
            if path.startswith(f"{below}/") and "/" not in path[len(below) + 1 :] and not node.stat().ephemeralOwner
        )


class MomentsCase(SynchronousTestCase):
    """Does a deed at each turn of some work."""

    def everywhere(
        self,
        make: Callable[[], _WorldT],
        begin: Callable[[_WorldT], object],
        deed: Callable[[_WorldT], object],
        check: Callable[[_WorldT], object],
        least: int = 3,
    ) -> None:
        """Begin something, take so many turns, do the deed, and check; again with one turn more, until there are no more.

        :param least: the least number of turns, below which the test is in vain.
        """
        number, more = 0, True
        while more:
            with make() as world:
                begin(world)
                more = all(world.step() for _ in range(number))
                deed(world)
                world.pass_time(3.0)
                try:
                    check(world)
                    world.pass_time(1.0)
                    self.assertEqual(world.ephemerals(), {})
                except AssertionError as error:
                    raise AssertionError(f"after {number} turns: {error}") from error
            number += stride()
        self.assertGreater(number, least)


def failed(outcome: Any, *errors: type[Exception]) -> bool:
    """Return whether an outcome is a failure with one of these errors."""
    return isinstance(outcome, Failure) and isinstance(outcome.value, errors)
