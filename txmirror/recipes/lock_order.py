"""The order of contenders: by the sequence numbers in the names of their nodes. Other nodes are no contenders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile

from txmirror.recipes.lock_style import KAZOO, STYLES, LockStyle
from txmirror.recipes.sequences import DIGITS, distance, is_number

#: A semaphore's leases have kazoo's names: 32 hexadecimal digits.
_LEASE = re.compile(r"[0-9a-f]{32}\Z")


class LockOrder:
    """The order of the contenders of one style at a path.

    :param style: the names of the contenders.
    :param extra: further texts before the sequence number: such contenders exclude all others.
    """

    def __init__(self, style: LockStyle = KAZOO, extra: Sequence[str] = ()) -> None:
        self.style = style
        self._shared = style.shared
        texts = [style.exclusive, *([] if style.shared is None else [style.shared]), *extra]
        self._contender = re.compile(rf"({'|'.join(map(re.escape, texts))})({DIGITS})\Z")
        self._foreign_styles = {
            text: each
            # Of two styles with one text, the first is named.
            for each in reversed(list(STYLES.values()))
            for text in (each.exclusive, each.shared)
            if text is not None and text not in texts
        }
        self._foreign = re.compile(rf"({'|'.join(map(re.escape, self._foreign_styles))})({DIGITS})\Z")

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Return the names of contenders, the first in the queue first."""
        numbers = {name: place[1] for name in names if (place := self._place(name)) is not None}
        reference = next(iter(numbers.values()), 0)
        return sorted(numbers, key=lambda name: distance(reference, numbers[name]))

    def holders(self, names: Iterable[str]) -> list[str]:
        """Return the names of contenders that hold the lock: the first one, or all readers before the first other."""
        contenders = self.in_order(names)
        readers = list(takewhile(self._is_reader, contenders))
        return readers or contenders[:1]

    def predecessor(self, names: Iterable[str], own: str) -> str | None:
        """Return the contender that another has to wait for next: the last of those before it that exclude it; None if there is
        none.

        :param own: the contender's own name, one of ``names``. A reader does not wait for other readers.
        """
        place = self._place(own)
        assert place is not None, own
        shared, number = place
        nearest, before = 0, None
        for name in names:
            other = self._place(name)
            if other is not None and not (shared and other[0]):
                away = distance(number, other[1])
                if away < 0 and (before is None or away > nearest):
                    nearest, before = away, name
        return before

    def foreign(self, names: Iterable[str]) -> list[tuple[str, LockStyle]]:
        """Return the names of contenders of other styles, with one of their styles each, in the order of the names."""
        found = ((name, self._foreign.search(name)) for name in names)
        return sorted(
            ((name, self._foreign_styles[match[1]]) for name, match in found if match is not None),
            key=lambda item: item[0],
        )

    def _is_reader(self, name: str) -> bool:
        place = self._place(name)
        return place is not None and place[0]

    def _place(self, name: str) -> tuple[bool, int] | None:
        """Return whether a contender is a reader, and its number; None if the name is not a contender's."""
        match = self._contender.search(name)
        if match is None:
            return None
        number = int(match[2])
        return (match[1] == self._shared, number) if is_number(number) else None


def leases_in(names: Iterable[str]) -> list[str]:
    """Return the names of a semaphore's leases."""
    return sorted(name for name in names if _LEASE.match(name))
