"""The answers that a registry had last, in a file, for a start without ZooKeeper."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.timers import Timer
from txmirror.types import Answer, Payload, ZnodeStat

#: What this file is called inside, so that another program's is not taken for one.
_KIND = "txmirror answers"
_VERSION = 1
#: For so many seconds after the latest change nothing is written, as more may change.
_PAUSE = 1.0
#: After so many seconds it is tried again to write a file that could not be written.
_RETRY = 60.0
#: How long the end may be held up, in seconds.
_LONGEST_STOP = 5.0
#: For so many seconds after a reconnection an empty list does not replace another.
_DOUBT = 60.0


class CacheFile:
    """Keeps answers in a file, which several processes may share.

    It is JSON, written to a temporary file beside it, which then takes its place; mode 0600. Writers merge what they know,
    under a lock on a file beside it: for each path the latest answer counts.

    :param path: the file.
    :param clock: the reactor. Where it has a thread pool, the file is written in a thread of that.
    """

    _log = Logger()

    def __init__(self, path: str, clock: IReactorTime) -> None:
        self._path = Path(path).absolute()
        self._clock = clock
        self._timer = Timer(clock, self._write)
        self._later = Timer(clock, self._no_more_doubt)
        self._answers: dict[str, _Entry] = {}
        self._unwritten: dict[str, _Entry] = {}
        self._doubted: dict[str, _Entry] = {}
        self._writing: Deferred[None] | None = None
        self._failed = False
        self._retrying = False

    def load(self) -> None:
        """Read the file. A missing one is empty; a damaged one is set aside, with a warning."""
        try:
            self._answers, damage = _read_or_set_aside(self._path)
        except OSError as error:
            self._log.warn("The cache file {path} cannot be read: {reason}.", path=str(self._path), reason=str(error))
            return
        if damage is not None:
            self._say_damaged(damage)

    def get(self, path: str) -> Answer | None:
        """Give the last answer for a path."""
        entry = self._answers.get(path)
        return None if entry is None else entry.answer

    def connected(self) -> None:
        """Note a reconnection: servers may not have registered again yet."""
        self._later.start(_DOUBT)

    def put(self, answer: Answer) -> None:
        """Keep an answer."""
        path = answer["path"]
        entry = _Entry(self._clock.seconds(), answer)
        before = self._answers.get(path)
        if self._later.running and before is not None and before.answer["children"] and not answer["children"]:
            self._doubted[path] = entry
            return
        self._doubted.pop(path, None)
        self._answers[path] = self._unwritten[path] = entry
        if self._retrying:
            self._retrying = False
            self._timer.stop()
        self._begin()

    def stop(self) -> Deferred[None]:
        """Write what is still to be written. What is in doubt is not.

        :returns: fires when that is done, after five seconds at the latest; it never fails.
        """
        self._later.stop()
        self._doubted.clear()
        self._timer.stop()
        # Another process may hold the lock for as long as it likes.
        return Deferred.fromCoroutine(self._finish()).addTimeout(_LONGEST_STOP, self._clock, self._not_finished)

    def _not_finished(self, result: Failure | None, _timeout: float) -> None:
        if isinstance(result, Failure):
            self._log.warn("The cache file {path} is still being written.", path=str(self._path))

    async def _finish(self) -> None:
        if self._writing is not None:
            waiter: Deferred[None] = Deferred()
            self._writing.addCallback(waiter.callback)
            await waiter
            self._timer.stop()
        if self._unwritten:
            await self._write_once()

    def _no_more_doubt(self) -> None:
        doubted, self._doubted = self._doubted, {}
        for entry in doubted.values():
            self.put(entry.answer)

    def _begin(self, pause: float = _PAUSE) -> None:
        if self._unwritten and not self._timer.running and self._writing is None:
            self._timer.start(pause)
            self._retrying = pause == _RETRY

    def _write(self) -> None:
        self._writing = Deferred.fromCoroutine(self._write_once())
        # It may be over already.
        self._writing.addCallback(lambda _: self._written())

    def _written(self) -> None:
        self._writing = None
        self._begin(_RETRY if self._failed else _PAUSE)

    async def _write_once(self) -> None:
        entries, self._unwritten = self._unwritten, {}
        threads: Any = IReactorThreads(self._clock, None)
        try:
            if threads is None:
                notes = _merge(self._path, entries, self._clock.seconds())
            else:
                notes = await deferToThreadPool(
                    threads, threads.getThreadPool(), _merge, self._path, entries, self._clock.seconds()
                )
        except OSError as error:
            if not self._failed:
                self._log.warn(
                    "The cache file {path} cannot be written: {reason}.", path=str(self._path), reason=str(error)
                )
            self._failed = True
            self._unwritten = {**entries, **self._unwritten}
            return
        except (TypeError, ValueError) as error:
            # A codec of somebody's own has read what JSON cannot hold; it will not be otherwise the next time.
            good = {each: entry for each, entry in entries.items() if _can_be_written(entry)}
            self._log.warn(
                "The cache file {path} cannot hold the answers for {paths}: {reason}.",
                path=str(self._path),
                paths=", ".join(sorted(entries.keys() - good.keys())),
                reason=str(error),
            )
            self._unwritten = {**good, **self._unwritten}
            if self._unwritten and len(good) < len(entries):
                await self._write_once()
            return
        self._failed = False
        if notes:
            self._say_damaged(notes)

    def _say_damaged(self, reason: str) -> None:
        self._log.warn(
            "The cache file {path} is damaged ({reason}): it was set aside as {aside}.",
            path=str(self._path),
            reason=reason,
            aside=str(_aside(self._path)),
        )


@attrs.frozen
class _Entry:
    time: float
    answer: Answer


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".damaged")


def _read(path: Path) -> dict[str, _Entry]:
    """Read a cache file.

    :raises OSError: it cannot be read.
    :raises ValueError: what is in it is no cache; the message says why.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict) or content.get("kind") != _KIND or content.get("version") != _VERSION:
        raise ValueError(f"not what a version {_VERSION} of {_KIND!r} looks like")
    try:
        return {path: _entry(path, **entry) for path, entry in content["paths"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an entry is incomplete: {error}") from None


def _entry(path: str, *, time: Any, children: Any, data: Payload, stat: Sequence[int] | None) -> _Entry:
    if not isinstance(time, (int, float)) or not isinstance(children, dict):
        raise TypeError(f"{path!r} has no time or no children")
    return _Entry(
        time, {"children": children, "data": data, "path": path, "stat": None if stat is None else ZnodeStat(*stat)}
    )


def _read_or_set_aside(path: Path) -> tuple[dict[str, _Entry], str | None]:
    """Read a cache file, and set it aside if it is damaged; then say why."""
    try:
        return _read(path), None
    except FileNotFoundError:
        return {}, None
    except ValueError as error:
        path.replace(_aside(path))
        return {}, str(error)


def _merge(path: Path, entries: Mapping[str, _Entry], now: float) -> str | None:
    """Put entries into a cache file, beside what other processes put there. It blocks.

    :param now: what is there of a later time was written before the clock was set back, and counts for nothing.
    :returns: why the file that was there was set aside, if it was.
    """
    with open(path.with_name(path.name + ".lock"), "a", encoding="utf-8", opener=_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        merged, damage = _read_or_set_aside(path)
        for each, entry in entries.items():
            if each not in merged or not entry.time < merged[each].time <= now:
                merged[each] = entry
        _replace(
            path,
            {"kind": _KIND, "version": _VERSION, "paths": {each: _to_json(merged[each]) for each in sorted(merged)}},
        )
    return damage


def _to_json(entry: _Entry) -> dict[str, object]:
    answer = entry.answer
    return {"time": entry.time, "children": answer["children"], "data": answer["data"], "stat": answer["stat"]}


def _can_be_written(entry: _Entry) -> bool:
    try:
        json.dumps(_to_json(entry))
    except (TypeError, ValueError):
        return False
    return True


def _replace(path: Path, content: object) -> None:
    # Made with mode 0600, in the same folder, so that it can take the file's place in one step.
    handle, temporary = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
