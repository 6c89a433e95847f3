"""Read, merge and replace the cache file on the disk. Everything here blocks, and is run in a thread."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from txmirror.files import (
    LARGEST,
    UnsafeFileError,
    check_file,
    follow_links,
    open_file,
    open_lock,
    read_all,
    replace_file,
    set_aside_for,
)
from txmirror.json_text import DEEPEST, JSONReader, JSONWriter
from txmirror.types import Answer, Payload, ZnodeStat

#: The file's type, stored in it, so that a file of another program is not mistaken for a cache file.
_KIND = "txmirror answers"
_VERSION = 1

_READER = JSONReader(deepest=DEEPEST + 10, in_thread=True)
_WRITER = JSONWriter()


@attrs.frozen
class Entry:
    """An answer, and the time at which it was true, in seconds since the epoch."""

    time: float
    answer: Answer


@attrs.frozen
class Outcome:
    """The result of merging answers into a cache file."""

    set_aside: Sequence[str]
    """One text for each file that was set aside: its old and its new path, and the reason."""
    refused: Mapping[str, str]
    """The answers that were left out because JSON cannot hold them: the reason by path."""


class LockHeldError(OSError):
    """Another process holds the lock of a cache file."""


def read(path: Path) -> tuple[dict[str, Entry], Sequence[str]]:
    """Read a cache file. A missing file counts as empty; so does a damaged or unsafe one, which is set aside.

    :returns: the answers by path; and the files that were set aside, as in :class:`Outcome`.
    :raises OSError: the file cannot be read, or it cannot be set aside.
    """
    notes: list[str] = []
    return _read(_target(path, notes), notes), notes


def merge(path: Path, entries: Mapping[str, Entry], now: float) -> Outcome:
    """Merge entries into a cache file, beside the entries of other processes. For each path the latest entry counts.

    :param now: the current time. Entries of a later time were written before the clock was set back, and are ignored.
    :raises LockHeldError: another process holds the lock; nothing was written.
    :raises OSError: the file cannot be written.
    """
    notes: list[str] = []
    refused: dict[str, str] = {}
    target = _target(path, notes)
    _check_place(target)
    with _locked(target, notes):
        merged = _read(target, notes)
        for each, entry in entries.items():
            if each not in merged or not entry.time < merged[each].time <= now:
                merged[each] = entry
        _replace(target, _to_text(merged, refused))
    return Outcome(notes, refused)


def _target(path: Path, notes: list[str]) -> Path:
    try:
        return follow_links(path)
    except UnsafeFileError as error:
        _set_aside(error, notes)
        return path


def _check_place(path: Path) -> None:
    """Check that the path is not a directory or a device, before a lock file is created beside it.

    :raises UnsafeFileError: it is one.
    """
    try:
        check_file(path)
    except FileNotFoundError:
        pass
    except UnsafeFileError as error:
        if not error.movable:
            raise


def _read(path: Path, notes: list[str]) -> dict[str, Entry]:
    try:
        descriptor = open_file(path)
    except FileNotFoundError:
        return {}
    except UnsafeFileError as error:
        _set_aside(error, notes)
        return {}
    try:
        return _parse(read_all(path, descriptor))
    except ValueError as error:
        _set_aside(UnsafeFileError(path, f"it is damaged: {error}", os.fstat(descriptor)), notes)
        return {}
    except UnsafeFileError as error:
        _set_aside(error, notes)
        return {}
    finally:
        os.close(descriptor)


def _set_aside(error: UnsafeFileError, notes: list[str]) -> None:
    note = set_aside_for(error)
    notes += [] if note is None else [note]


@contextlib.contextmanager
def _locked(path: Path, notes: list[str]) -> Iterator[None]:
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor, moved = open_lock(lock)
    except BlockingIOError as error:
        raise LockHeldError(str(error)) from None
    notes += moved
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeldError(f"another process holds its lock, {path.name + '.lock'!r}") from None
        try:
            yield
        finally:
            # Closing is not enough: a child process that was forked meanwhile has the open file, too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _parse(content: bytes) -> dict[str, Entry]:
    """Return the entries of a cache file.

    :raises ValueError: it is not a cache file; the message contains the reason.
    """
    whole = _READER.read(content)
    if not isinstance(whole, dict) or whole.get("kind") != _KIND or whole.get("version") != _VERSION:
        raise ValueError(f"not a file of version {_VERSION} of {_KIND!r}")
    try:
        return {path: _entry(path, **entry) for path, entry in whole["paths"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an entry is incomplete: {error}") from None


def _entry(path: str, *, time: Any, children: Any, data: Payload, stat: Sequence[int] | None) -> Entry:
    if not isinstance(time, (int, float)) or not isinstance(children, dict):
        raise TypeError(f"{path!r} has no time or no children")
    return Entry(
        time, {"children": children, "data": data, "path": path, "stat": None if stat is None else ZnodeStat(*stat)}
    )


def _to_text(entries: Mapping[str, Entry], refused: dict[str, str]) -> str:
    # One entry at a time, so that the reactor's thread can run in between.
    lines = []
    for path in sorted(entries):
        try:
            lines.append(f"{_WRITER.write(path)}: {_to_json(entries[path])}")
        except (TypeError, ValueError) as error:
            # A codec of the application has decoded a value that JSON cannot hold.
            refused[path] = str(error)
    return f'{{"kind": {_WRITER.write(_KIND)}, "version": {_VERSION}, "paths": {{{", ".join(lines)}}}}}'


def _to_json(entry: Entry) -> str:
    answer = entry.answer
    return _WRITER.write(
        {"time": entry.time, "children": answer["children"], "data": answer["data"], "stat": answer["stat"]},
        deepest=DEEPEST + 5,
    )


def _replace(path: Path, text: str) -> None:
    if len(text) > LARGEST:
        raise OSError(errno.EFBIG, f"it would have {len(text)} bytes, which is more than {LARGEST}")
    replace_file(path, text)
