"""Detect that a client is used in a forked child of the process in which it began to connect.

A forked child shares its parent's socket and epoll object, so that the child's use of them disturbs the parent. Every request
of a client therefore fails in a child, with a message that says so. (The child must not run the parent's reactor either.)
"""

from __future__ import annotations

import os

from txmirror.errors import InvalidStateException


class Generation:
    """Counts the forks that lead to this process."""

    number = 0

    @classmethod
    def forked(cls) -> None:
        """Note that this process is a child."""
        cls.number += 1


os.register_at_fork(after_in_child=Generation.forked)


def other_process(path: str | None = None) -> InvalidStateException:
    """Return the exception for requests of the parent's client."""
    message = "this client belongs to the process that forked this one: make another here"
    return InvalidStateException(message, path=path, applied=False)
