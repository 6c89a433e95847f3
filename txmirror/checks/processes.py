"""The processes of this machine, as ``/proc`` shows them (Linux): their environments, their groups, and signals to them."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
from typing import Final

#: The number of bytes to read at once. A file in ``/proc`` yields fewer only at its end.
_PART: Final = 2**17
#: The states of a process, as a member of a group.
_LIVING, _ZOMBIE, _OTHER = "living", "zombie", "other"
_OPEN_PIDFD: Final = getattr(os, "pidfd_open", None)


def list_pids() -> list[int]:
    """Return the pids of all processes that are visible, the largest first; none without ``/proc``."""
    try:
        # Without pathlib, which would take four times as long here and below.
        return sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)  # noqa: PTH208
    except OSError:
        return []


def read_variable(pid: int, name: bytes) -> bytes | None:
    """Return a variable in the environment of a process; None if it has none, has ended, is a zombie, or is another user's.

    While a process executes another program, its environment is empty for an instant.
    """
    environment = b"\0" + _read(pid, "environ")
    _, found, rest = environment.partition(b"\0" + name + b"=")
    return rest.partition(b"\0")[0] if found else None


def find_living(group: int, known: int | None = None) -> int | None:
    """Return the pid of a process of a group that is not a zombie, which its parent may reap at any time; None if there is none.

    :param known: the former result; the other processes are looked at only if that one has ended.
    """
    if known is not None and _state(known, group) == _LIVING:
        return known
    states = set()
    for pid in list_pids():
        state = _state(pid, group)
        if state == _LIVING:
            return pid
        states.add(state)
    # Where /proc does not show the group, it counts as alive.
    return None if _ZOMBIE in states else group


def _state(pid: int, group: int) -> str:
    fields = _read(pid, "stat").rpartition(b")")[2].split()[:3]
    if len(fields) < 3 or int(fields[2]) != group:
        return _OTHER
    return _ZOMBIE if fields[0] in (b"Z", b"X") else _LIVING


def _read(pid: int, name: str) -> bytes:
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    parts = []
    try:
        while True:
            part = os.read(descriptor, _PART)
            parts.append(part)
            if len(part) < _PART:
                break
    except OSError:
        # It has ended meanwhile.
        pass
    finally:
        os.close(descriptor)
    return b"".join(parts)


class ProcessHandle:
    """One process: not another one that has got its pid later.

    :param pid: its pid.
    :raises ProcessLookupError: there is none.
    :raises OSError: the system has no such handles, or no descriptor is free.
    """

    def __init__(self, pid: int) -> None:
        if _OPEN_PIDFD is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._descriptor: int = _OPEN_PIDFD(pid)

    @property
    def alive(self) -> bool:
        """True until it has ended."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return not poll.poll(0)

    def signal(self, number: int) -> None:
        """Send it a signal, if it has not ended.

        :raises PermissionError: it runs as another user.
        """
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def close(self) -> None:
        """Close the handle. The process is not affected."""
        os.close(self._descriptor)
