"""One item of a partitioned set, which one program holds at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.deferreds import Waiters
from txmirror.errors import ZooKeeperException, ZooServerProblem
from txmirror.recipes.election import Election
from txmirror.recipes.place import Place

#: The pause after a server's refusal, in seconds.
_PAUSE = 5.0


@attrs.frozen
class Share:
    """An item that we hold.

    :ivar item: the item.
    :ivar token: the fencing token: each holder of an item has a larger one. See :attr:`Lock.token`.
    """

    item: str
    token: int


Job = Callable[[Share], "Deferred[Any] | Coroutine[Deferred[Any], Any, Any]"]


class ClaimedItem:
    """Stands for the election of the holder of an item, and runs a job while we hold it, until :meth:`stop`.

    :param place: the partition's client.
    :param item: the item.
    :param election: the election of its holder.
    :param job: called with the share. It is cancelled, once, before the share is given up.
    :param changed: called when we begin to hold it, when it is being given up, and when its job has ended.
    :ivar stopping: whether it is being given up.
    """

    _log = Logger()

    def __init__(self, place: Place, item: str, election: Election, job: Job, changed: Callable[[], object]) -> None:
        self.item = item
        self._place = place
        self._election = election
        self._job = job
        self._changed = changed
        self.stopping: bool = False
        self._working = False
        self._pause: Deferred[None] | None = None

    @property
    def held(self) -> bool:
        """True if we hold it, and that is safe to rely on, until its job has ended."""
        return self._working and bool(self._election.leading)

    def run(self) -> Deferred[None]:
        """Begin. The result fires after :meth:`stop`, when the job has ended and our node is gone; or when there will be no
        session any more. It never fails.
        """
        return Deferred.fromCoroutine(self._run()).addErrback(
            lambda failure: self._log.failure("{item!r} is not shared any more.", failure, item=self.item)
        )

    def stop(self) -> None:
        """Cancel the job, and then give the item up."""
        if self.stopping:
            return
        self.stopping = True
        if self._pause is not None:
            self._pause.cancel()
        self._election.stop()

    async def _run(self) -> None:
        while not self.stopping:
            try:
                await self._election.run(self._hold)
            except CancelledError:
                break
            except ZooKeeperException as error:
                if isinstance(error, ZooServerProblem) and error.session_over:
                    break
                self._log.error(
                    "{item!r} cannot be held: {reason}. Retrying in {pause:g} s.",
                    item=self.item,
                    reason=str(error),
                    pause=_PAUSE,
                )
                await self._wait()
        await self._election.stop()

    async def _wait(self) -> None:
        if self.stopping:
            return
        self._pause = Deferred.fromCoroutine(self._place.retry_policy.pause_for(_PAUSE))
        try:
            await self._pause
        except CancelledError:
            pass
        finally:
            self._pause = None

    async def _hold(self) -> None:
        """Run the job until this is cancelled. End when the job has ended."""
        over: Waiters[None] = Waiters()
        ended = False

        def end(outcome: object) -> None:
            nonlocal ended
            ended = True
            if isinstance(outcome, Failure) and not isinstance(outcome.value, CancelledError):
                self._log.failure("The job for {item!r} failed. The share is kept.", outcome, item=self.item)
            over.fire(None)

        self._working = True
        work = maybeDeferred(self._job, Share(self.item, self._election.token))
        work.addBoth(end)
        self._changed()
        try:
            # A job that ends by itself keeps the share.
            await Deferred[None]()
        except CancelledError:
            self._changed()
            work.cancel()
            while not ended:
                # It may be cancelled again: when the lock is lost after a stop.
                with contextlib.suppress(CancelledError):
                    await over.wait()
            self._working = False
            self._changed()
            raise
