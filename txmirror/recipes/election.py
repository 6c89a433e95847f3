"""One leader among many programs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.deferreds import Waiters
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.clients import client_of
from txmirror.recipes.leadership import Leadership
from txmirror.recipes.lock import Lock
from txmirror.recipes.lock_style import KAZOO
from txmirror.recipes.meter import Meter, make_meter
from txmirror.timers import reactor_or_global
from txmirror.types import ACL

_T = TypeVar("_T")


class Election:
    """Stands for election, and runs a job while it leads.

    The leader is the holder of a :class:`Lock` at the path; kazoo's ``Election`` is that too, and so are Curator's
    ``LeaderSelector`` (``style="curator-mutex"``) and ``LeaderLatch`` (``style="curator-latch"``)::

        election = Election(client, "/election/sweeper", name="host1")
        sweeping = election.run(sweep)          # it runs while we lead
        ...
        await election.stop()                   # sweeping fails with CancelledError: wait for it, or give it an errback

    :param client: its session stands for election; as for :class:`Lock`.
    :param path: the election's node. If it and those above it are missing, they are created, persistent.
    :param name: our name, which others see.
    :param acl: the access control list of the candidates' nodes, and of the election's own; as for :class:`Lock`.
    :param style: the implementation whose candidates take part; as for :class:`Lock`.
    :param extra_lock_patterns: as for :class:`Lock`.
    :param reactor: the reactor; the global one if None.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``client`` or ``acl`` is of a wrong type, as for :class:`Lock`.
    :raises ValueError: ``style`` or ``extra_lock_patterns`` is invalid, as for :class:`Lock`.
    """

    _log = Logger()

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        name: str = "",
        acl: Sequence[ACL] | None = None,
        style: str = KAZOO.name,
        extra_lock_patterns: Sequence[str] = (),
        reactor: IReactorTime | None = None,
    ) -> None:
        self._lock = Lock(
            client, path, name=name, acl=acl, style=style, extra_lock_patterns=extra_lock_patterns, reactor=reactor
        )
        self.measure_as(make_meter(client_of(client), type(self).__name__, path, reactor_or_global(reactor)))
        self._leading = Leadership(lambda: self._lock.held, self.run)
        self._work: Deferred[Any] | None = None
        self._stopped = False
        self._ending = False
        self._stopping: Waiters[None] = Waiters()

    def __repr__(self) -> str:
        state = "outside" if self._work is None else "leading" if self._lock.held else "standing"
        return f"<Election {self._lock.describe()} {state}>"

    @property
    def leading(self) -> Leadership:
        """True while we lead, and that is safe to rely on; and an asynchronous iterable of the changes."""
        return self._leading

    @property
    def token(self) -> int:
        """The fencing token of our term: see :attr:`Lock.token`. 0 if there is none."""
        return self._lock.token

    def run(self, job: Callable[[], Deferred[_T] | Coroutine[Deferred[Any], Any, _T]]) -> Deferred[_T]:
        """Stand for election, and run ``job`` whenever we are elected, until it ends by itself.

        When leadership is lost, the Deferred of ``job`` is cancelled; when that has ended, we stand for election again. A job that
        is stopped has ended before another candidate can lead. A job whose leadership is lost with the connection has a third of
        the session timeout for its end, from its cancellation until another candidate can lead (see :attr:`Lock.lost`).

        :param job: called without arguments.
        :returns: fires with the result of ``job`` when it ends by itself, once we have stepped down. Fails as that does,
            or as :meth:`Lock.acquire`; with ``CancelledError`` after :meth:`stop`. Cancelling it stops the election, without
            waiting for the end.
        :raises RuntimeError: it stands for election already.
        """
        if self._work is not None:
            raise RuntimeError(f"{self!r} stands for election already")
        if not callable(job):
            raise TypeError(f"only a function can lead, not {job!r:.60}")

        def cancel(_: object) -> None:
            self.stop()

        ended: Deferred[Any] = Deferred(cancel)
        self._stopped = self._ending = False
        self._work = work = Deferred.fromCoroutine(self._stand(job))
        work.addBoth(self._step_down, ended)
        return ended

    def stop(self) -> Deferred[None]:
        """Leave the election, and cancel the running job.

        :returns: fires when that has ended, and none of our nodes can exist any more (see :meth:`Lock.release`); at once if
            we do not stand. It never fails. Cancelling ends the wait, and nothing else.
        """
        if self._work is None:
            return succeed(None)
        waiter = self._stopping.wait()
        if not self._stopped:
            self._stopped = True
            self._leading.stop()
            if not self._ending:
                self._work.cancel()
        return waiter

    def contenders(self) -> Deferred[list[str]]:
        """Return the names of all candidates, the leader first. See :meth:`Lock.contenders`."""
        return self._lock.contenders()

    def measure_as(self, meter: Meter) -> None:
        """Report to the metrics as the part of another recipe.

        :param meter: that of the other one.
        :meta private:
        """
        self._lock.measure_as(meter)

    async def _stand(self, job: Callable[[], Any]) -> Any:
        while True:
            await self._lock.acquire()
            lost = self._lock.lost
            # The job cannot be cancelled while it is being called, and a cancelled one may take its time to end.
            self._ending = True
            term = maybeDeferred(job)
            self._ending = False
            if self._stopped:
                term.cancel()
            lost.addCallback(self._end, term)
            try:
                result = await term
            except CancelledError:
                if self._stopped or not lost.called:
                    raise
            else:
                if self._stopped or not lost.called:
                    return result
            self._ending = False
            await self._lock.release()

    def _end(self, lost: None, term: Deferred[Any]) -> None:
        self._ending = True
        term.cancel()

    def _step_down(self, outcome: Any, ended: Deferred[Any]) -> None:
        def gone(_: object) -> None:
            self._work = None
            self._stopping.fire(None)
            if not ended.called:
                ended.callback(outcome)
            elif isinstance(outcome, Failure) and not outcome.check(CancelledError):
                self._log.failure("The leader's job failed after its Deferred was cancelled.", outcome)

        self._lock.release().addBoth(gone)
