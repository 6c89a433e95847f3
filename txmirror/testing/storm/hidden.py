"""The nodes of a storm that were unreadable at some time."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime

#: The longest time until a mirror reads a node again that it could not read, in seconds.
_RETRIED = 65.0


@attrs.define
class Hidden:
    """The nodes that were unreadable at some time.

    The servers send no events about a node to clients that may not read it, and none when it is readable again.
    """

    _clock: IReactorTime
    paths: set[str] = attrs.field(factory=set)
    observers: list[Callable[[str], object]] = attrs.field(factory=list)
    """Called with each of them."""
    _changed: float = 0.0

    def __contains__(self, path: str) -> bool:
        return path in self.paths

    def note(self, path: str) -> None:
        """Note that a node may be unreadable from now on, or readable again."""
        self.paths.add(path)
        self._changed = self._clock.seconds()
        for observer in self.observers:
            observer(path)

    @property
    def old(self) -> bool:
        """True if all clients must have noticed all of them."""
        return self._clock.seconds() - self._changed > _RETRIED
