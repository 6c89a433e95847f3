"""The holders of all locks, semaphores and elections in a storm: never are there too many at once."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime

from txmirror.testing.history import Recorder
from txmirror.testing.storm.truth import Truth

#: After the loss of data, two may hold a lock for this time, in seconds: new clients find no trace of the holder, whose own lease is
#: not over yet.
_AMNESTY = 20.0


@attrs.define(eq=False)
class Claim:
    """A lock, a lease of a semaphore, or the leadership, as one program has it or not."""

    name: str
    """The name of the program."""
    path: str
    held: Callable[[], bool]
    """Returns whether it is held, and safe to rely on."""
    shared: bool = False
    """True if it is held together with others that are shared, too."""


class Holders:
    """The claims of all programs.

    :param truth: the data.
    :param clock: the time.
    :param recorder: records the times in which something was held.
    :param complain: called with each violation.
    """

    def __init__(
        self, truth: Truth, clock: IReactorTime, recorder: Recorder, complain: Callable[[str], object]
    ) -> None:
        self._truth = truth
        self._clock = clock
        self._recorder = recorder
        self._complain = complain
        #: The numbers of the holds in the history.
        self._holds: dict[Claim, int] = {}
        self._claims: list[Claim] = []
        self._generation = truth.generation
        self._amnesty = 0.0

    def add(self, claim: Claim) -> None:
        """Add a claim."""
        self._claims.append(claim)

    def remove(self, claim: Claim) -> None:
        """Remove a claim: its program is closed."""
        self._claims.remove(claim)

    def entered(self, claim: Claim, token: int, capacity: int) -> None:
        """Check that a program may hold what it has just acquired, and record that. The checker of histories checks the tokens.

        :param token: its fencing token; 0 if it has none that grows.
        :param capacity: the number of holders at a time.
        """
        self.check(claim.path, capacity)
        if self._clock.seconds() >= self._amnesty:
            self._holds[claim] = self._recorder.acquired(
                claim.name, claim.path, token or None, capacity=capacity, shared=claim.shared
            )

    def left(self, claim: Claim) -> None:
        """Note that a program does not rely any more on what it has acquired."""
        hold = self._holds.pop(claim, None)
        if hold is not None:
            self._recorder.left(hold)

    def any_held(self, path: str) -> bool:
        """Return whether a path has a holder."""
        return any(claim.path == path and claim.held() for claim in self._claims)

    def check(self, path: str, capacity: int) -> None:
        """Check that there are not too many holders of a path."""
        now = self._clock.seconds()
        if self._generation != self._truth.generation:
            self._generation = self._truth.generation
            self._amnesty = now + _AMNESTY
        if now < self._amnesty:
            return
        held = [claim for claim in self._claims if claim.path == path and claim.held()]
        if len(held) > capacity and not all(claim.shared for claim in held):
            self._complain(f"{path} is held by {', '.join(claim.name for claim in held)} at once")
