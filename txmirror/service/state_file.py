"""Read, write and lock the file that keeps a session for the next process. Everything here blocks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from txmirror.files import (
    UnsafeFileError,
    closed_on_error,
    open_file,
    open_lock,
    read_all,
    read_file,
    replace_file,
    set_aside_for,
)
from txmirror.json_text import JSONReader, JSONWriter
from txmirror.machine import Machine
from txmirror.types import SessionTicket

#: The file's type, stored in it, so that a file of another program is not mistaken for one.
_KIND = "txmirror session"
_VERSION = 1
#: The most bytes of such a file; 10,000 services have less.
_LARGEST = 4 * 2**20
_BOOT_ID = "/proc/sys/kernel/random/boot_id"

_READER = JSONReader(deepest=10)
_WRITER = JSONWriter(indent=2)


class StateFileHeldError(OSError):
    """Another process holds the state file. The message names its pid."""


@attrs.frozen
class Origin:
    """The machine on which a session was opened, and its latest boot."""

    machine: str
    """Another machine has another text. A copied image has the same machine-id, so the host's name is a part of it."""
    boot: str
    """Another boot has another text; empty if the system does not number its boots."""

    @classmethod
    def of(cls, machine: Machine) -> Origin:
        """Return the origin of the sessions that this process opens."""
        return cls(f"{machine.machine_id}@{machine.host_name}", _read_line(_BOOT_ID))


@attrs.frozen
class SavedSession:
    """A session as the file keeps it."""

    ticket: SessionTicket
    """The session's id, password and zxid."""
    timeout: float
    """The session timeout in seconds."""
    servers: str
    """The connection string, with the chroot."""
    origin: Origin
    """The machine and the boot in which the file was written."""
    paths: Mapping[str, str]
    """The znodes of the services, by their ids: each may exist in the session."""

    def covers(self, other: SavedSession) -> bool:
        """Return whether this is the same session as another one, with all of its znodes."""
        same = self.ticket.session_id == other.ticket.session_id
        return same and set(other.paths.values()) <= set(self.paths.values())


def lock(path: Path) -> int:
    """Take the lock beside a state file, without waiting, and write the pid into it.

    :returns: a descriptor; closing it gives the lock back, and so does the end of the process.
    :raises StateFileHeldError: another process holds the lock.
    :raises OSError: the lock file cannot be opened.
    """
    name = path.with_name(path.name + ".lock")
    # Another user's lock file would be set aside; but if it is held, that user's daemon runs.
    _check_free(path, name)
    descriptor, _ = open_lock(name)
    with closed_on_error(descriptor):
        _take(path, descriptor)
        # On a full disk the lock has no pid, but it is a lock all the same.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


def _check_free(path: Path, name: Path) -> None:
    """Check that no process holds a lock file, whoever owns it.

    :raises StateFileHeldError: one does.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        # There is none, or it cannot be used.
        return
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            _take(path, descriptor)
    finally:
        os.close(descriptor)


def _take(path: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        holder = f"process {pid}" if pid.isdigit() else "another process"
        raise StateFileHeldError(f"{holder} uses the state file {str(path)!r}") from None


def unlock(descriptor: int) -> None:
    """Release a lock."""
    # Closing is not enough: a child process that was forked meanwhile has the open file, too.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def read(path: Path) -> tuple[SavedSession | None, str | None]:
    """Read a state file. A damaged one, and one that others may read or write, is set aside.

    :returns: the session, or None if there is none; and the reason why a file was set aside.
    :raises OSError: the file cannot be read, or cannot be set aside.
    """
    try:
        descriptor = open_file(path)
    except FileNotFoundError:
        return None, None
    except UnsafeFileError as error:
        return None, set_aside_for(error)
    try:
        _check_private(path, descriptor)
        return _parse(read_all(path, descriptor, _LARGEST)), None
    except ValueError as error:
        return None, set_aside_for(UnsafeFileError(path, str(error), os.fstat(descriptor)))
    except UnsafeFileError as error:
        return None, set_aside_for(error)
    finally:
        os.close(descriptor)


def write(path: Path, saved: SavedSession) -> None:
    """Replace a state file. It is on the disk when this returns.

    :raises OSError: it cannot be written; then the old file is untouched.
    """
    whole = {
        "kind": _KIND,
        "version": _VERSION,
        "session": saved.ticket.to_text(),
        "timeout": saved.timeout,
        "servers": saved.servers,
        "machine": saved.origin.machine,
        "boot": saved.origin.boot,
        "services": dict(saved.paths),
    }
    replace_file(path, _WRITER.write(whole) + "\n")


def remove(path: Path) -> None:
    """Delete a state file, because its session has ended.

    :raises OSError: it cannot be deleted.
    """
    path.unlink(missing_ok=True)


def _check_private(path: Path, descriptor: int) -> None:
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid():
        raise UnsafeFileError(path, f"it belongs to user {status.st_uid}, not to user {os.geteuid()}", status)
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UnsafeFileError(path, f"others may read it (mode {stat.S_IMODE(status.st_mode):04o})", status)


def _parse(content: bytes) -> SavedSession:
    """Return the session of a file's content.

    :raises ValueError: the content is something else; the message quotes none of it, because it may be a secret.
    """
    try:
        whole: Any = _READER.read(content)
    except ValueError:
        raise ValueError("it is damaged: it is not JSON") from None
    if not isinstance(whole, dict) or whole.get("kind") != _KIND:
        raise ValueError(f"it is not a file of kind {_KIND!r}")
    if whole.get("version") != _VERSION:
        raise ValueError(f"it has another version than {_VERSION}")
    texts: list[Any] = [whole.get(name) for name in ("session", "servers", "machine", "boot")]
    timeout, paths = whole.get("timeout"), whole.get("services")
    if (
        not all(isinstance(each, str) for each in texts)
        or isinstance(timeout, bool)
        or not isinstance(timeout, (int, float))
        or not isinstance(paths, dict)
        or not all(isinstance(each, str) for each in paths.values())
    ):
        raise ValueError("it is damaged: an entry is missing, or of another type")
    session, servers, machine, boot = texts
    try:
        ticket = SessionTicket.from_text(session)
    except ValueError:
        raise ValueError("it is damaged: it has no session's ticket") from None
    return SavedSession(ticket, timeout, servers, Origin(machine, boot), paths)


def _read_line(path: str) -> str:
    try:
        return read_file(path, largest=1024).decode("ascii").strip()
    except (OSError, ValueError):
        return ""
