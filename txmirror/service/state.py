"""The session file of the daemon, as a service: it is locked while the service runs, and read and written in a thread."""

from __future__ import annotations

import contextlib
from pathlib import Path

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from txmirror.deferreds import Waiters, follow
from txmirror.printable import on_one_line
from txmirror.retrying import RetryTimer
from txmirror.service import state_file
from txmirror.service.state_file import SavedSession
from txmirror.threads import run_in_thread

#: The first and the longest pause before a file is written again that could not be, in seconds.
_FIRST, _LONGEST = 10.0, 600.0
#: The longest time that a stop waits for the users of a file, in seconds.
_LONGEST_USE = 30.0


@implementer(IService)
class StateService(Service):
    """Keeps a session in a file, so that the next process can take it over with its nodes.

    The file is JSON, mode 0600, and replaced atomically. A damaged file, one of another version or another owner, and one that
    others may read, is renamed to ``.damaged``, with a warning. If the file cannot be written, that is logged once, and it is tried
    again at growing intervals; until it succeeds, the session is not handed over. A file that lacks a znode of the session is deleted
    then: the next process would take over the session, and leave that znode registered for ever.

    Its stop waits for the registrations that use it: a program can stop all its services at once, as ``MultiService`` does.

    :param path: the file. Its folder must exist.
    :param reactor: the reactor. If it has a thread pool, the file is read and written in one of its threads.
    :ivar failures: the number of times that the file could not be locked, read, written or deleted, or was set aside.
    """

    _log = Logger()

    def __init__(self, path: str, reactor: IReactorTime) -> None:
        self.failures: int = 0
        self._path = Path(path).absolute()
        self._reactor = reactor
        self._lock: int | None = None
        self._turn = DeferredLock()
        self._wanted: SavedSession | None = None
        self._written: SavedSession | None = None
        self._failed = False
        self._uses = 0
        self._unused: Waiters[None] = Waiters()
        self._again = RetryTimer(reactor, self._save_again, first=_FIRST, longest=_LONGEST)

    def startService(self) -> None:
        """Lock the file until the stop.

        :raises StateFileHeldError: another live process holds it; the message names its pid.
        """
        try:
            self._lock = state_file.lock(self._path)
        except state_file.StateFileHeldError:
            raise
        except OSError as error:
            self._note_failure(error)
        super().startService()

    @property
    def locked(self) -> bool:
        """True if this process has locked the file."""
        return self._lock is not None

    def use(self) -> None:
        """Begin to use the file: a stop waits for :meth:`release`, for 30 seconds at the most."""
        self._uses += 1

    def release(self) -> None:
        """End a use."""
        self._uses -= 1
        if self._uses == 0:
            self._unused.fire(None)

    def stopService(self) -> Deferred[None]:
        """Unlock the file, when it is written, and not used any more.

        :returns: fires then; it never fails.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._uses:
            with contextlib.suppress(DeferredTimeout):
                await self._unused.wait().addTimeout(_LONGEST_USE, self._reactor)
        self._again.stop()
        await self._turn.run(self._unlock)

    def _unlock(self) -> None:
        if self._lock is not None:
            state_file.unlock(self._lock)
            self._lock = None

    def load(self) -> Deferred[SavedSession | None]:
        """Read the file.

        :returns: fires with the session of the last process; with None if there is none, or it cannot be read. It never fails.
        """
        return Deferred.fromCoroutine(self._load())

    async def _load(self) -> SavedSession | None:
        if self._lock is None:
            return None
        try:
            saved, aside = await self._turn.run(run_in_thread, self._reactor, state_file.read, self._path)
        except OSError as error:
            self.failures += 1
            self._log.warn(
                "The state file {path} cannot be read: {reason}. A new session is opened.",
                path=str(self._path),
                reason=on_one_line(str(error)),
            )
            return None
        if aside is not None:
            self.failures += 1
            self._log.warn("State file: {reason}. A new session is opened.", reason=on_one_line(aside))
        self._written = saved
        return saved

    def save(self, saved: SavedSession) -> Deferred[bool]:
        """Write a session to the file, unless it is written already. Of several that wait, only the latest is written.

        :returns: fires with True when it is on the disk; with False if it cannot be written, or another one was written in its
            place. It never fails. Cancelling ends only the wait: a write that has begun ends before the next one begins.
        """
        self._wanted = saved
        return follow(Deferred.fromCoroutine(self._save(saved)))

    async def _save(self, saved: SavedSession) -> bool:
        await self._turn.acquire()
        try:
            if self._lock is None or saved is not self._wanted:
                return False
            if saved != self._written:
                await run_in_thread(self._reactor, state_file.write, self._path, saved)
            self._written = saved
            self._note_success()
            return True
        except OSError as error:
            self._note_failure(error)
            await self._remove_incomplete(saved)
            if self.running:
                self._again.start()
            return False
        finally:
            self._turn.release()

    async def _remove_incomplete(self, saved: SavedSession) -> None:
        """Delete the file, unless it has the session and all its znodes."""
        if self._written is not None and self._written.covers(saved):
            return
        self._written = None
        # A disk that is full permits this; if it cannot be done, there is nothing left to try.
        with contextlib.suppress(OSError):
            await run_in_thread(self._reactor, state_file.remove, self._path)

    def _save_again(self) -> None:
        if self._wanted is not None:
            self.save(self._wanted)

    def forget(self) -> Deferred[None]:
        """Delete the file: its session has ended.

        :returns: fires when it is deleted, or cannot be, which is logged. It never fails. Cancelling ends only the wait.
        """
        self._wanted = None
        self._again.stop()
        return follow(Deferred.fromCoroutine(self._forget()))

    async def _forget(self) -> None:
        if self._lock is None:
            return
        try:
            await self._turn.run(run_in_thread, self._reactor, state_file.remove, self._path)
        except OSError as error:
            self.failures += 1
            self._log.warn(
                "The state file {path} cannot be deleted: {reason}. Its session has ended.",
                path=str(self._path),
                reason=on_one_line(str(error)),
            )
        self._written = None

    def _note_success(self) -> None:
        self._again.stop()
        self._again.reset()
        if self._failed:
            self._failed = False
            self._log.info("The state file {path} is written again.", path=str(self._path))

    def _note_failure(self, error: OSError) -> None:
        self.failures += 1
        if not self._failed:
            self._failed = True
            self._log.warn(
                "The state file {path} cannot be written: {reason}. Retrying. Services are registered anyway, but other programs notice"
                " a restart.",
                path=str(self._path),
                reason=on_one_line(str(error)),
            )
