"""A file with a registry's latest answers, for a start without ZooKeeper."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.printable import on_one_line
from txmirror.registry import stored_answers
from txmirror.registry.stored_answers import Entry, LockHeldError, Outcome
from txmirror.threads import run_in_thread
from txmirror.timers import Timer
from txmirror.types import Answer

#: The pause between the latest change and the write, in seconds, as more may change.
_PAUSE = 1.0
#: The pause before a failed write is retried, in seconds.
_RETRY = 60.0
#: The number of attempts to take the lock, and the pause between them in seconds.
_LOCK_TRIES = 20
_LOCK_PAUSE = 0.1
#: The timeout of :meth:`CacheFile.get` and :meth:`CacheFile.stop`, in seconds.
_LONGEST_WAIT = 5.0
#: For this many seconds after a reconnection an empty list does not replace another list.
_HOLD = 60.0


class CacheFile:
    """A file of answers that several processes may share.

    It is JSON, written to a temporary file beside it, which then replaces it; mode 0600. Each process merges its answers
    under a lock on a file beside it: for each path the latest answer counts. If another process keeps the lock, the write is
    retried after a minute, and no thread waits for the lock.

    A file is only used if it is a regular file of at most 64 MiB that belongs to this user or to root, and nobody else may
    write to it; the lock file likewise. Another file is set aside with a warning, as a damaged one is; a directory or a device
    is left in place. A symbolic link is followed, and stays.

    :param path: the file.
    :param reactor: the reactor. If it has a thread pool, the file is read and written in one of its threads.
    """

    _log = Logger()

    def __init__(self, path: str, reactor: IReactorTime) -> None:
        self._path = Path(path).absolute()
        self._reactor = reactor
        self._timer = Timer(reactor, self._write)
        self._hold_timer = Timer(reactor, self._release_held_back)
        self._answers: dict[str, Entry] = {}
        self._unwritten: dict[str, Entry] = {}
        self._held_back: dict[str, Entry] = {}
        #: The puts that came before the file was read.
        self._pending_puts: list[Callable[[], None]] = []
        self._loading = False
        self._loaded = False
        self._waiting: Waiters[None] = Waiters()
        self._writing: Deferred[None] | None = None
        self._failed = False
        self._retrying = False
        self._stopped = False

    def load(self) -> None:
        """Start to read the file, unless it was read before; after :meth:`stop`, write it again.

        A missing file counts as empty; a damaged one is set aside with a warning.
        """
        self._stopped = False
        self._schedule_write(_RETRY if self._failed else _PAUSE)
        self._begin_to_load()

    def get(self, path: str) -> Deferred[Answer | None]:
        """Return the latest answer for a path.

        :returns: fires with the answer, or with None if there is none, once the file is read; with None if that takes more than
            five seconds. It never fails. Cancelling ends the wait.
        """

        def look(_: None) -> Answer | None:
            entry = self._answers.get(path)
            return None if entry is None else entry.answer

        self._begin_to_load()
        return self._when_loaded().addTimeout(_LONGEST_WAIT, self._reactor, lambda *_: None).addCallback(look)

    def connected(self) -> None:
        """Note a reconnection: other services may not have registered again yet."""
        self._hold_timer.start(_HOLD)

    def put(self, answer: Answer, unreadable: Collection[str] = ()) -> None:
        """Store an answer.

        :param unreadable: the paths of children that cannot be read now, and are not in the answer: their stored data stays.
        """
        keep = partial(
            self._keep, Entry(self._reactor.seconds(), answer), frozenset(unreadable), self._hold_timer.running
        )
        if self._loaded:
            keep()
        else:
            self._pending_puts.append(keep)
            self._begin_to_load()

    def stop(self) -> Deferred[None]:
        """Write the answers that are not yet written, except empty lists that are held back.

        :returns: fires when they are written, after five seconds at the latest; it never fails.
        """
        self._stopped = True
        self._hold_timer.stop()
        self._timer.stop()
        return Deferred.fromCoroutine(self._finish()).addTimeout(_LONGEST_WAIT, self._reactor, self._not_finished)

    def _not_finished(self, result: Failure | None, _timeout: float) -> None:
        if isinstance(result, Failure):
            self._log.warn("The cache file {path} is still being read or written.", path=str(self._path))

    async def _finish(self) -> None:
        if self._loading:
            await self._when_loaded()
        self._held_back.clear()
        if self._writing is not None:
            waiter: Deferred[None] = Deferred()
            self._writing.addCallback(waiter.callback)
            await waiter
        if self._unwritten:
            await self._write_once()

    def _keep(self, entry: Entry, unreadable: Collection[str], hold: bool) -> None:
        path = entry.answer["path"]
        before = self._answers.get(path)
        if before is not None and unreadable:
            entry = attrs.evolve(entry, answer=_with_unreadable(entry.answer, before.answer, unreadable))
        if hold and before is not None and before.answer["children"] and not entry.answer["children"]:
            self._held_back[path] = entry
            return
        self._held_back.pop(path, None)
        self._answers[path] = self._unwritten[path] = entry
        if self._retrying:
            self._retrying = False
            self._timer.stop()
        self._schedule_write()

    def _release_held_back(self) -> None:
        doubted, self._held_back = self._held_back, {}
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
            answers, set_aside = await run_in_thread(self._reactor, stored_answers.read, self._path)
        except OSError as error:
            self._log.warn(
                "The cache file {path} cannot be read: {reason}.", path=str(self._path), reason=_text_of(error)
            )
        else:
            self._warn_set_aside(set_aside)
        finally:
            self._answers = answers
            self._loaded = True
            early, self._pending_puts = self._pending_puts, []
            for keep in early:
                keep()
            self._waiting.fire(None)

    def _when_loaded(self) -> Deferred[None]:
        return succeed(None) if self._loaded else self._waiting.wait()

    # Writing.

    def _schedule_write(self, pause: float = _PAUSE) -> None:
        if self._unwritten and not self._stopped and not self._timer.running and self._writing is None:
            self._timer.start(pause)
            self._retrying = pause == _RETRY

    def _write(self) -> None:
        self._retrying = False
        self._writing = Deferred.fromCoroutine(self._write_once())
        # The write may have ended already.
        self._writing.addErrback(self._failed_unexpectedly).addCallback(lambda _: self._written())

    def _written(self) -> None:
        self._writing = None
        self._schedule_write(_RETRY if self._failed else _PAUSE)

    async def _write_once(self) -> None:
        entries, self._unwritten = self._unwritten, {}
        failed = True
        try:
            outcome = await self._merge(entries)
            failed = False
        except OSError as error:
            if not self._failed:
                self._log.warn(
                    "The cache file {path} cannot be written: {reason}.", path=str(self._path), reason=_text_of(error)
                )
            return
        finally:
            # The write may have been cancelled, too.
            self._failed = failed
            if failed:
                self._unwritten = {**entries, **self._unwritten}
        self._warn_set_aside(outcome.set_aside)
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
                return await run_in_thread(
                    self._reactor, stored_answers.merge, self._path, entries, self._reactor.seconds()
                )
            except LockHeldError:
                # The reactor waits, not a thread: so the process can exit meanwhile.
                await deferLater(self._reactor, _LOCK_PAUSE)
        return await run_in_thread(self._reactor, stored_answers.merge, self._path, entries, self._reactor.seconds())

    def _failed_unexpectedly(self, failure: Failure) -> None:
        self._log.failure("The cache file {path} failed.", failure=failure, path=str(self._path))

    def _warn_set_aside(self, notes: Sequence[str]) -> None:
        for note in notes:
            self._log.warn("Cache file: {note}.", note=on_one_line(note))


def _with_unreadable(answer: Answer, before: Answer, unreadable: Collection[str]) -> Answer:
    """Return an answer, with the children of an earlier one that cannot be read now."""
    missing = {
        name: payload
        for name, payload in before["children"].items()
        if name not in answer["children"] and paths.join(answer["path"], name) in unreadable
    }
    return {**answer, "children": dict(sorted({**answer["children"], **missing}.items()))}


def _text_of(error: OSError) -> str:
    return on_one_line(str(error))
