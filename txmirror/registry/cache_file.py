"""A file with a registry's latest answers, for a start without ZooKeeper."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.printable import on_one_line
from txmirror.registry import stored_answers
from txmirror.registry.cache_writer import CacheWriter
from txmirror.registry.stored_answers import Entry
from txmirror.threads import run_in_thread
from txmirror.timers import Timer
from txmirror.types import Answer

#: The timeout of :meth:`CacheFile.get` and :meth:`CacheFile.stop`, in seconds.
_LONGEST_WAIT = 5.0
#: For this many seconds after a reconnection an empty list does not replace another list.
_HOLD = 60.0


class CacheFile:
    """A file of answers that several processes may share.

    It is JSON, written to a temporary file beside it, which then replaces it; mode 0600. Each process merges its answers
    under a lock on a file beside it: for each path the latest answer counts.

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
        self._writer = CacheWriter(self._path, reactor)
        self._hold_timer = Timer(reactor, self._release_held_back)
        self._answers: dict[str, Entry] = {}
        self._held_back: dict[str, Entry] = {}
        #: The puts that came before the file was read.
        self._pending_puts: list[Callable[[], None]] = []
        self._loading = False
        self._loaded = False
        self._waiting: Waiters[None] = Waiters()

    def load(self) -> None:
        """Start to read the file, unless it was read before; after :meth:`stop`, write it again.

        A missing file counts as empty; a damaged one is set aside with a warning.
        """
        self._writer.start()
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
        self._hold_timer.stop()
        self._writer.stop()
        return Deferred.fromCoroutine(self._finish()).addTimeout(_LONGEST_WAIT, self._reactor, self._not_finished)

    def _not_finished(self, result: Failure | None, _timeout: float) -> None:
        if isinstance(result, Failure):
            self._log.warn(
                "The cache file {path} is still being read or written after {seconds:g} s. Not waiting for it any more.",
                path=str(self._path),
                seconds=_LONGEST_WAIT,
            )

    async def _finish(self) -> None:
        if self._loading:
            await self._when_loaded()
        self._held_back.clear()
        await self._writer.finish()

    def _keep(self, entry: Entry, unreadable: Collection[str], hold: bool) -> None:
        path = entry.answer["path"]
        before = self._answers.get(path)
        if before is not None and unreadable:
            entry = attrs.evolve(entry, answer=_with_unreadable(entry.answer, before.answer, unreadable))
        if hold and before is not None and before.answer["children"] and not entry.answer["children"]:
            self._held_back[path] = entry
            return
        self._held_back.pop(path, None)
        self._answers[path] = entry
        self._writer.add(entry)

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
                "The cache file {path} cannot be read: {reason}. It counts as empty.",
                path=str(self._path),
                reason=on_one_line(str(error)),
            )
        else:
            self._writer.warn_set_aside(set_aside)
        finally:
            self._answers = answers
            self._loaded = True
            early, self._pending_puts = self._pending_puts, []
            for keep in early:
                keep()
            self._waiting.fire(None)

    def _when_loaded(self) -> Deferred[None]:
        return succeed(None) if self._loaded else self._waiting.wait()

    def _failed_unexpectedly(self, failure: Failure) -> None:
        self._log.failure("The cache file {path} failed because of a bug.", failure=failure, path=str(self._path))


def _with_unreadable(answer: Answer, before: Answer, unreadable: Collection[str]) -> Answer:
    """Return an answer, with the children of an earlier one that cannot be read now."""
    missing = {
        name: payload
        for name, payload in before["children"].items()
        if name not in answer["children"] and paths.join(answer["path"], name) in unreadable
    }
    return {**answer, "children": dict(sorted({**answer["children"], **missing}.items()))}
