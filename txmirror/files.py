"""Safe opening of files that other users of the machine may have prepared.

A folder to which others may write can contain a FIFO on which a program blocks for ever, a link to one of the user's own files, or
forged content. So these functions open a file without blocking and without following a link, and then check the open file itself,
which nobody can replace any more. As OpenSSH does with its own files, they trust a regular file that belongs to this user or to
root, and to which only its owner may write.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: The most bytes to read of a file, unless a caller sets another limit.
LARGEST: Final = 64 * 2**20

#: The most symbolic links to follow, one to the next; as many as Linux follows.
_MOST_LINKS = 40

#: The number of attempts to open a lock file, which other processes may create or set aside at the same time.
_LOCK_OPENINGS = 10

_WAY = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
#: The kinds that are never moved out of the way: more than a file may depend on them.
_FIXED = (stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK)


class UnsafeFileError(OSError):
    """A file is unsafe to use. The message says why.

    :ivar path: its path.
    :ivar status: its status when it was checked.
    """

    def __init__(self, path: str | Path, reason: str, status: os.stat_result) -> None:
        super().__init__(reason)
        self.path: Path = Path(path)
        self.status = status

    @property
    def movable(self) -> bool:
        """True if the file may be moved out of the way. A directory or a device may not."""
        return stat.S_IFMT(self.status.st_mode) not in _FIXED


def check_owner(path: str | Path, status: os.stat_result) -> None:
    """Check that nobody else may write to a file or folder.

    :raises UnsafeFileError: it belongs to another user, except root, or others may write to it.
    """
    if status.st_uid not in (os.geteuid(), 0):
        raise UnsafeFileError(path, f"it belongs to user {status.st_uid}, not to user {os.geteuid()}", status)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeFileError(path, f"others may write to it (mode {stat.S_IMODE(status.st_mode):04o})", status)


def check_file(path: str | Path, *, folder: int | None = None) -> None:
    """Check the file at a path, as :func:`open_file` does, without opening it.

    :raises UnsafeFileError: it is not a regular file, or others may write to it.
    :raises OSError: its status cannot be read.
    """
    _check(path, os.stat(path, dir_fd=folder, follow_symlinks=False))


def open_file(path: str | Path, flags: int = os.O_RDONLY, *, folder: int | None = None) -> int:
    """Open an existing regular file, without blocking, if nobody else may write to it.

    :param flags: as for ``os.open``.
    :param folder: the descriptor of the folder that ``path`` starts from.
    :returns: its descriptor.
    :raises UnsafeFileError: it is not a regular file, or others may write to it.
    :raises OSError: it cannot be opened.
    """
    # Opening a device can have side effects.
    check_file(path, folder=folder)
    descriptor = os.open(path, flags | _WAY, dir_fd=folder)
    with closed_on_error(descriptor):
        _check(path, os.fstat(descriptor))
    return descriptor


@contextlib.contextmanager
def closed_on_error(descriptor: int) -> Iterator[None]:
    """Close a descriptor if the body raises."""
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise


def create_file(path: str | Path, *, folder: int | None = None) -> int:
    """Create a file that only this user may read or write, and open it.

    :param folder: as for :func:`open_file`.
    :returns: its descriptor.
    :raises FileExistsError: ``path`` exists, even as a dangling link.
    :raises OSError: it cannot be created.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _WAY, 0o600, dir_fd=folder)


def read_all(path: str | Path, descriptor: int, largest: int = LARGEST) -> bytes:
    """Read a file to its end.

    :param path: its name, for the error.
    :raises UnsafeFileError: it has more than ``largest`` bytes.
    :raises OSError: it cannot be read.
    """
    status = os.fstat(descriptor)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        # It may grow while it is read.
        content = b"" if status.st_size > largest else file.read(largest + 1)
    if status.st_size > largest or len(content) > largest:
        size = max(status.st_size, len(content))
        raise UnsafeFileError(path, f"it has {size} bytes, which is more than {largest}", status)
    return content


def read_file(path: str | Path, *, folder: int | None = None, largest: int = LARGEST) -> bytes:
    """Read a whole file. The arguments and exceptions are those of :func:`open_file` and :func:`read_all`."""
    descriptor = open_file(path, folder=folder)
    try:
        return read_all(path, descriptor, largest)
    finally:
        os.close(descriptor)


def read_secret(path: str | Path, *, largest: int) -> bytes:
    """Read a file that not everybody may read. The arguments and exceptions are those of :func:`open_file` and :func:`read_all`, except
    that symbolic links are followed.

    :raises UnsafeFileError: everybody may read it.
    """
    path = follow_links(Path(path))
    descriptor = open_file(path)
    try:
        check_private(path, os.fstat(descriptor))
        return read_all(path, descriptor, largest)
    finally:
        os.close(descriptor)


def check_private(path: str | Path, status: os.stat_result) -> None:
    """Check that not everybody may read a file.

    :raises UnsafeFileError: everybody may read it.
    """
    if status.st_mode & stat.S_IROTH:
        raise UnsafeFileError(path, f"everybody may read it (mode {stat.S_IMODE(status.st_mode):04o})", status)


def follow_links(path: Path) -> Path:
    """Return the target of a path if it is a symbolic link, and the path itself otherwise. The target need not exist.

    :raises UnsafeFileError: a link belongs to another user, except root, or the links form a circle.
    :raises OSError: a folder may not be searched.
    """
    for _ in range(_MOST_LINKS):
        try:
            status = path.lstat()
        except FileNotFoundError:
            return path
        if not stat.S_ISLNK(status.st_mode):
            return path
        if status.st_uid not in (os.geteuid(), 0):
            raise UnsafeFileError(path, f"it is a symbolic link of user {status.st_uid}", status)
        path = path.parent / path.readlink()
    raise UnsafeFileError(path, "it is one of a circle of symbolic links", status)


def set_aside(path: Path, seen: os.stat_result) -> Path | None:
    """Rename an unusable file, so that a new one can take its place and the old one can be inspected.

    :param seen: the file's status when it was found to be unusable.
    :returns: its new name. None if another process has replaced or removed the file.
    :raises OSError: it cannot be renamed.
    """
    aside = path.with_name(path.name + ".damaged")
    try:
        if not os.path.samestat(path.lstat(), seen):
            return None
    except FileNotFoundError:
        return None
    path.replace(aside)
    return aside


def set_aside_for(error: UnsafeFileError) -> str | None:
    """Rename an unsafe or damaged file, and say so.

    :param error: the reason, with the file's path and status.
    :returns: a clause for a log: the file's old and new path, and the reason. None if another process has replaced or removed the
        file.
    :raises UnsafeFileError: it may not be moved: it is a directory or a device.
    :raises OSError: it cannot be renamed.
    """
    if not error.movable:
        raise error
    aside = set_aside(error.path, error.status)
    return None if aside is None else f"{str(error.path)!r} was set aside as {str(aside)!r}: {error}"


def open_lock(path: Path) -> tuple[int, list[str]]:
    """Open a lock file for ``flock``, and create it if it is missing. One that others may write to is set aside.

    :returns: its descriptor, and a text for each file that was set aside, as from :func:`set_aside_for`.
    :raises OSError: it cannot be opened, or others keep replacing it.
    """
    notes: list[str] = []
    for _ in range(_LOCK_OPENINGS):
        try:
            return open_file(path, os.O_RDWR), notes
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                return create_file(path), notes
        except UnsafeFileError as error:
            note = set_aside_for(error)
            notes += [] if note is None else [note]
    raise BlockingIOError(f"others keep replacing its lock, {path.name!r}")


def replace_file(path: Path, text: str) -> None:
    """Replace a file atomically by one that only this user may read or write. It is on the disk when this returns.

    :param text: its content, in ASCII.
    :raises UnsafeFileError: the file system reports another owner or mode, so that the file would be refused when it is read.
    :raises OSError: it cannot be written; then the old file is untouched.
    """
    # Created with mode 0600 in the same folder, so that it can replace the file atomically.
    handle, temporary = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            check_owner(temporary, os.fstat(handle))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def _check(path: str | Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "of an unknown kind")
        raise UnsafeFileError(path, f"it is {kind}, not a regular file", status)
    check_owner(path, status)
