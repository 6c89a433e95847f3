"""Write changed answers to a registry's cache file, one second after a change, and again when that has failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.deferreds import follow
from txmirror.printable import on_one_line
from txmirror.registry import stored_answers
from txmirror.registry.stored_answers import Entry, LockHeldError, Outcome
from txmirror.threads import run_in_thread
from txmirror.timers import Timer

#: The pause between the latest change and the write, in seconds, as more may change.
_PAUSE = 1.0
#: The pause before a failed write is retried, in seconds.
_RETRY = 60.0
#: The number of attempts to take the lock, and the pause between them in seconds.
_LOCK_TRIES = 20
_LOCK_PAUSE = 0.1


class CacheWriter:
    """Merges the changed answers of one process into the file, under its lock.

    If another process keeps the lock, the write is retried after a minute, and no thread waits for the lock.

    :param path: the file.
    :param reactor: the reactor.
    """

    _log = Logger()

    def __init__(self, path: Path, reactor: IReactorTime) -> None:
        self._path = path
        self._reactor = reactor
        self._timer = Timer(reactor, self._write)
        self._unwritten: dict[str, Entry] = {}
        self._writing: Deferred[None] | None = None
        self._failed = False
        self._retrying = False
        self._stopped = False

    def start(self) -> None:
        """Write from now on, also after a stop."""
        self._stopped = False
        self._schedule(_RETRY if self._failed else _PAUSE)

    def add(self, entry: Entry) -> None:
        """Write the answer for a path in place of the former one."""
        self._unwritten[entry.answer["path"]] = entry
        if self._retrying:
            self._retrying = False
            self._timer.stop()
        self._schedule()

    def stop(self) -> None:
        """Schedule no write any more; one that has begun continues."""
        self._stopped = True
        self._timer.stop()

    async def finish(self) -> None:
        """Write the rest at once. Call :meth:`stop` before."""
        if self._writing is not None:
            await follow(self._writing)
        if self._unwritten:
            await self._write_once()

    def _schedule(self, pause: float = _PAUSE) -> None:
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
        self._schedule(_RETRY if self._failed else _PAUSE)

    async def _write_once(self) -> None:
        entries, self._unwritten = self._unwritten, {}
        failed = True
        try:
            outcome = await self._merge(entries)
            failed = False
        except OSError as error:
            if not self._failed:
                self._log.warn(
                    "The cache file {path} cannot be written: {reason}. Retrying.",
                    path=str(self._path),
                    reason=on_one_line(str(error)),
                )
            return
        finally:
            # The write may have been cancelled, too.
            self._failed = failed
            if failed:
                self._unwritten = {**entries, **self._unwritten}
        self.warn_set_aside(outcome.set_aside)
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
                return await self._merge_once(entries)
            except LockHeldError:
                # The reactor waits, not a thread: so the process can exit meanwhile.
                await deferLater(self._reactor, _LOCK_PAUSE)
        return await self._merge_once(entries)

    def _merge_once(self, entries: dict[str, Entry]) -> Deferred[Outcome]:
        return run_in_thread(self._reactor, stored_answers.merge, self._path, entries, self._reactor.seconds())

    def _failed_unexpectedly(self, failure: Failure) -> None:
        self._log.failure("The cache file {path} failed because of a bug.", failure=failure, path=str(self._path))

    def warn_set_aside(self, notes: Sequence[str]) -> None:
        """Log the files that were set aside."""
        for note in notes:
            self._log.warn("Cache file: {note}.", note=on_one_line(note))
