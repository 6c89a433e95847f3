"""The limit of open files of this process: connections must leave room for everything else."""

from __future__ import annotations

import contextlib
import resource

#: A limit that never matters.
_NO_LIMIT = 2**31


def open_file_limit() -> int:
    """Return the most files and connections that this process can have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _NO_LIMIT if soft == resource.RLIM_INFINITY else soft


def raise_open_file_limit(wanted: int) -> None:
    """Raise the limit of this process to what is wanted, as far as the system permits that. It is never lowered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_within(most: int) -> int:
    """Return the most connections that leave half of the open files for everything else, and not more than ``most``."""
    return min(most, max(1, open_file_limit() // 2))
