"""The names that implementations of locks give to their contenders' nodes. All end with a sequence number of the servers.

The names are facts from the sources of kazoo 2.10, Curator 5.4 (``StandardLockInternalsDriver``, ``InterProcessReadWriteLock``,
``LeaderLatch``) and go-zookeeper 1.0 (``lock.go``).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import attrs


def _digits() -> str:
    return uuid.uuid4().hex


def _curator() -> str:
    return f"_c_{uuid.uuid4()}-"


def _go() -> str:
    return f"_c_{uuid.uuid4().hex}-"


@attrs.frozen
class LockStyle:
    """The names of one implementation."""

    name: str
    """The value of ``style=``."""
    user: str
    """The implementation, for messages."""
    unique: Callable[[], str]
    """Returns the beginning of a node's name, which no other node has."""
    exclusive: str
    """The text before the sequence number of a contender that excludes all others."""
    shared: str | None = None
    """The text before the sequence number of a reader; None if there are no readers."""
    keeps_name: bool = True
    """True if the name of a contender stays in its node when it is asked to give up the lock."""


#: Two implementations have the same text before the number.
_LOCK_USERS = "Curator's InterProcessMutex or go-zookeeper's Lock"

KAZOO = LockStyle("kazoo", "kazoo's locks", _digits, "__lock__", "__rlock__")

#: The styles by their names.
STYLES: Mapping[str, LockStyle] = MappingProxyType(
    {
        style.name: style
        for style in (
            KAZOO,
            LockStyle("curator-mutex", _LOCK_USERS, _curator, "lock-", keeps_name=False),
            LockStyle(
                "curator-read-write", "Curator's InterProcessReadWriteLock", _curator, "__WRIT__", "__READ__", False
            ),
            LockStyle("curator-latch", "Curator's LeaderLatch", _curator, "latch-", keeps_name=False),
            LockStyle("go", _LOCK_USERS, _go, "lock-"),
        )
    }
)


def find_style(name: str) -> LockStyle:
    """Return the style with a name.

    :raises ValueError: there is none; the message quotes the name.
    """
    try:
        return STYLES[name]
    except (KeyError, TypeError):
        raise ValueError(f"style is {name!r:.60}, and not one of {', '.join(STYLES)}") from None


def check_patterns(patterns: Sequence[object]) -> Sequence[str]:
    """Return ``extra_lock_patterns`` if they are valid.

    :raises ValueError: one is not a text for a node's name; the message quotes it.
    :raises TypeError: they are one text.
    """
    if isinstance(patterns, str):
        raise TypeError(f"extra_lock_patterns is {patterns!r:.60}, and not a sequence of texts")
    checked = []
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern or "/" in pattern:
            raise ValueError(f"extra_lock_patterns has {pattern!r:.60}, which is no text for the name of a node")
        checked.append(pattern)
    return checked
