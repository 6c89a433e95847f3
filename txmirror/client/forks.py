"""Whether a process is still the one in which a client began to connect.

A forked child has its parent's socket, and its parent's epoll object with it: what the child does with them is done to the
parent. So whatever a client is asked for in a child fails, and says so. (The child must not run the parent's reactor either.)
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
    """Make what a client of the parent's fails with."""
    message = "this client belongs to the process that forked this one: make another here"
    return InvalidStateException(message, path=path, applied=False)
