"""Bound how much of one kind of work is done at a time: a flood of it waits in little memory, and other work gets its
turn.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from txmirror.deferreds import Pump


class Member(Protocol):
    """Something that has work to do."""

    def admitted(self) -> None:
        """Begin the work: there is room."""


class AdmissionQueue:
    """Admit members while there is room, and the others in order as work ends.

    :param limit: how much may be under way.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._under_way = 0
        # To find its first key, an ordinary dict would skip the slot of every key removed before.
        self._waiting: OrderedDict[Member, None] = OrderedDict()
        self._admit = Pump(self._admit_waiting)

    def has_room(self, member: Member) -> bool:
        """Return whether ``member`` may begin; if not, its ``admitted`` is called when there is room."""
        if self._under_way < self._limit:
            return True
        self._waiting[member] = None
        return False

    def began(self) -> None:
        """Note that some work has begun."""
        self._under_way += 1

    def ended(self) -> None:
        """Note that some work has ended, and admit waiting members."""
        self._under_way -= 1
        # Work that ends at once re-enters here.
        self._admit()

    def _admit_waiting(self) -> None:
        while self._waiting and self._under_way < self._limit:
            member, _ = self._waiting.popitem(last=False)
            member.admitted()

    def discard(self, member: Member) -> None:
        """Admit ``member`` no more; silent if it does not wait."""
        self._waiting.pop(member, None)

    def clear(self) -> None:
        """Remove all members that wait now."""
        self._waiting.clear()
