"""The processes of this machine, as ``/proc`` shows them (Linux): their environments, their groups, and signals to them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import Final

#: The number of bytes to read at once. A file in ``/proc`` yields fewer only at its end.
_PART: Final = 2**17
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


def has_living(group: int) -> bool:
    """Return False if all processes of a group are zombies, which their parents may reap at any time."""
    found = False
    for pid in list_pids():
        fields = _read(pid, "stat").rpartition(b")")[2].split()[:3]
        if len(fields) == 3 and int(fields[2]) == group:
            if fields[0] not in (b"Z", b"X"):
                return True
            found = True
    # Where /proc does not show the group, it counts as alive.
    return not found


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
            raise NotImplementedError
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
