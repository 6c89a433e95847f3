"""The answers that a registry had last, in a file, for a start without ZooKeeper."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorThreads, IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.printable import on_one_line
from txmirror.registry import stored_answers
from txmirror.registry.stored_answers import Entry, LockHeldError, Outcome
from txmirror.timers import Timer
from txmirror.types import Answer

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: For so many seconds after the latest change nothing is written, as more may change.
_PAUSE = 1.0
#: After so many seconds it is tried again to write a file that could not be written.
_RETRY = 60.0
#: How often it is tried to take the lock, and how many seconds there are between two tries.
_LOCK_TRIES = 20
_LOCK_PAUSE = 0.1
#: How long the first answer, and the end, may be held up, in seconds.
_LONGEST_WAIT = 5.0
#: For so many seconds after a reconnection an empty list does not replace another.
_DOUBT = 60.0


class CacheFile:
    """Keeps answers in a file, which several processes may share.

    It is JSON, written to a temporary file beside it, which then takes its place; mode 0600. Writers merge what they know,
    under a lock on a file beside it: for each path the latest answer counts. If another process keeps the lock, nothing is
    written for a minute, and no thread waits for it.

    A file is only used if it is a regular file of at most 64 MiB that belongs to this user or to root, and nobody else may
    write to it; the lock file likewise. Another one is set aside, with a warning, as a damaged one is; a directory or a device
    is left where it is. A symbolic link is followed, and stays.

    :param path: the file.
    :param clock: the reactor. Where it has a thread pool, the file is read and written in a thread of that.
    """

    _log = Logger()

    def __init__(self, path: str, clock: IReactorTime) -> None:
        self._path = Path(path).absolute()
        self._clock = clock
        self._timer = Timer(clock, self._write)
        self._later = Timer(clock, self._no_more_doubt)
        self._answers: dict[str, Entry] = {}
        self._unwritten: dict[str, Entry] = {}
        self._doubted: dict[str, Entry] = {}
        #: The calls that keep what was put before the file was read.
        self._early: list[Callable[[], None]] = []
        self._loading = False
        self._loaded = False
        self._waiting: list[Deferred[None]] = []
        self._writing: Deferred[None] | None = None
        self._failed = False
        self._retrying = False
        self._stopped = False

    def load(self) -> None:
        """Begin to read the file, if that was not done yet; and to write it again after :meth:`stop`.

        A missing one is empty; a damaged one is set aside, with a warning.
        """
        self._stopped = False
        self._begin(_RETRY if self._failed else _PAUSE)
        self._begin_to_load()

    def get(self, path: str) -> Deferred[Answer | None]:
        """Return the last answer for a path.

        :returns: fires with it, or with None if there is none, once the file is read. It never fails. If the file takes more
            than five seconds to read, it fires with None. Cancelling ends the wait.
        """

        def look(_: None) -> Answer | None:
            entry = self._answers.get(path)
            return None if entry is None else entry.answer

        self._begin_to_load()
        return self._when_loaded().addTimeout(_LONGEST_WAIT, self._clock, lambda *_: None).addCallback(look)

    def connected(self) -> None:
        """Note a reconnection: servers may not have registered again yet."""
        self._later.start(_DOUBT)

    def put(self, answer: Answer, unreadable: Collection[str] = ()) -> None:
        """Keep an answer.

        :param unreadable: the paths of children that cannot be read now, and are not in the answer: what was kept of them stays.
        """
        keep = partial(self._keep, Entry(self._clock.seconds(), answer), frozenset(unreadable), self._later.running)
        if self._loaded:
            keep()
        else:
            self._early.append(keep)
            self._begin_to_load()

    def stop(self) -> Deferred[None]:
        """Write what is still to be written. What is in doubt is not.

        :returns: fires when that is done, after five seconds at the latest; it never fails.
        """
        self._stopped = True
        self._later.stop()
        self._timer.stop()
        return Deferred.fromCoroutine(self._finish()).addTimeout(_LONGEST_WAIT, self._clock, self._not_finished)

    def _not_finished(self, result: Failure | None, _timeout: float) -> None:
        if isinstance(result, Failure):
            self._log.warn("The cache file {path} is still being read or written.", path=str(self._path))

    async def _finish(self) -> None:
        if self._loading:
            await self._when_loaded()
        self._doubted.clear()
        if self._writing is not None:
            waiter: Deferred[None] = Deferred()
            self._writing.addCallback(waiter.callback)
            await waiter
        if self._unwritten:
            await self._write_once()

    def _keep(self, entry: Entry, unreadable: Collection[str], in_doubt: bool) -> None:
        path = entry.answer["path"]
        before = self._answers.get(path)
        if before is not None and unreadable:
            entry = attrs.evolve(entry, answer=_with_unreadable(entry.answer, before.answer, unreadable))
        if in_doubt and before is not None and before.answer["children"] and not entry.answer["children"]:
            self._doubted[path] = entry
            return
        self._doubted.pop(path, None)
        self._answers[path] = self._unwritten[path] = entry
        if self._retrying:
            self._retrying = False
            self._timer.stop()
        self._begin()

    def _no_more_doubt(self) -> None:
        doubted, self._doubted = self._doubted, {}
        for entry in doubted.values():
            self.put(entry.answer)

    # Reading.

    def _begin_to_load(self) -> None:
        if not self._loading:
            self._loading = True
            Deferred.fromCoroutine(self._load()).addErrback(self._failed_unexpectedly)

    async def _load(self) -> None:
        answers: dict[str, Entry] = {}
        try:
            answers, set_aside = await self._in_thread(stored_answers.read, self._path)
        except OSError as error:
            self._log.warn("The cache file {path} cannot be read: {reason}.", path=str(self._path), reason=_say(error))
        else:
            self._say_set_aside(set_aside)
        finally:
            self._answers = answers
            self._loaded = True
            early, self._early = self._early, []
            for keep in early:
                keep()
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)

    def _when_loaded(self) -> Deferred[None]:
        if self._loaded:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    # Writing.

    def _begin(self, pause: float = _PAUSE) -> None:
        if self._unwritten and not self._stopped and not self._timer.running and self._writing is None:
            self._timer.start(pause)
            self._retrying = pause == _RETRY

    def _write(self) -> None:
        self._retrying = False
        self._writing = Deferred.fromCoroutine(self._write_once())
        # It may be over already.
        self._writing.addErrback(self._failed_unexpectedly).addCallback(lambda _: self._written())

    def _written(self) -> None:
        self._writing = None
        self._begin(_RETRY if self._failed else _PAUSE)

    async def _write_once(self) -> None:
        entries, self._unwritten = self._unwritten, {}
        failed = True
        try:
            outcome = await self._merge(entries)
            failed = False
        except OSError as error:
            if not self._failed:
                self._log.warn(
                    "The cache file {path} cannot be written: {reason}.", path=str(self._path), reason=_say(error)
                )
            return
        finally:
            # It may have been cancelled, too.
            self._failed = failed
            if failed:
                self._unwritten = {**entries, **self._unwritten}
        self._say_set_aside(outcome.set_aside)
        if outcome.refused:
            self._log.warn(
                "The cache file {path} cannot hold the answers for {paths}: {reason}.",
                path=str(self._path),
                paths=on_one_line(", ".join(sorted(outcome.refused))),
                reason=on_one_line(next(iter(outcome.refused.values()))),
            )

    async def _merge(self, entries: dict[str, Entry]) -> Outcome:
        for _ in range(_LOCK_TRIES):
            try:
                return await self._in_thread(stored_answers.merge, self._path, entries, self._clock.seconds())
            except LockHeldError:
                # The reactor waits, and no thread: the process can exit meanwhile.
                await deferLater(self._clock, _LOCK_PAUSE)
        return await self._in_thread(stored_answers.merge, self._path, entries, self._clock.seconds())

    def _in_thread(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        threads: Any = IReactorThreads(self._clock, None)
        if threads is None:
            return succeed(function(*args, **kwargs))
        return deferToThreadPool(threads, threads.getThreadPool(), function, *args, **kwargs)

    def _failed_unexpectedly(self, failure: Failure) -> None:
        self._log.failure("The cache file {path} failed.", failure=failure, path=str(self._path))

    def _say_set_aside(self, notes: Sequence[str]) -> None:
        for note in notes:
            self._log.warn("Cache file: {note}.", note=on_one_line(note))


def _with_unreadable(answer: Answer, before: Answer, unreadable: Collection[str]) -> Answer:
    """Return an answer with those children of an earlier one that cannot be read now."""
    missing = {
        name: payload
        for name, payload in before["children"].items()
        if name not in answer["children"] and paths.join(answer["path"], name) in unreadable
    }
    return {**answer, "children": dict(sorted({**answer["children"], **missing}.items()))}


def _say(error: OSError) -> str:
    return on_one_line(str(error))
