"""Write an output file, and remember beside it that its command is still to run. These functions block."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from txmirror.files import create_file, follow_links


def update_file(path: Path, content: bytes, mode: int, *, mark: bool) -> bool:
    """Replace a file atomically, if it differs. The new one is on the disk when this returns.

    A symbolic link stays, and its target is replaced.

    :param mode: the permissions of the file.
    :param mark: create the mark of :func:`is_marked` before a replacement.
    :returns: whether it differed.
    :raises OSError: the file cannot be read or written, or there is something else than a regular file; then nothing was changed.
    """
    path = follow_links(path)
    try:
        status = path.lstat()
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISREG(status.st_mode):
            raise FileExistsError("it exists, and is not a regular file")
        if status.st_size == len(content) and path.read_bytes() == content:
            if stat.S_IMODE(status.st_mode) != mode:
                path.chmod(mode)
            return False
    # In the same folder, so that the replacement is atomic; hidden from patterns such as *.json.
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(handle, mode)
            file.flush()
            os.fsync(handle)
        if mark:
            # Not "touch", which follows a link that another user may have made.
            with contextlib.suppress(FileExistsError):
                os.close(create_file(_mark_of(path)))
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    return True


def read_identity(path: Path) -> tuple[int, ...] | None:
    """Return numbers that are others when the file was written, replaced, or given other permissions; None if it cannot be found."""
    try:
        status = follow_links(path).lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size, status.st_mode


def is_marked(path: Path) -> bool:
    """Return whether the file was replaced, and its command has not succeeded since: this or the last process was interrupted."""
    try:
        return _mark_of(follow_links(path)).exists()
    except OSError:
        return False


def remove_mark(path: Path) -> None:
    """Note that the command has succeeded.

    :raises OSError: the mark cannot be removed.
    """
    _mark_of(follow_links(path)).unlink(missing_ok=True)


def _mark_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.command-pending")
