"""Wait for withdrawals when a process or a registry stops, in a bounded time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

#: The timeout, in seconds. After it the end of the session removes the nodes that are left.
_TIMEOUT = 2.0


def wait_for_withdrawals(
    withdrawals: Sequence[Deferred[None]],
    reactor: IReactorTime,
    timed_out: Callable[[Failure | None, float], None],
) -> Deferred[None]:
    """Wait for withdrawals, for two seconds at the most.

    :param reactor: runs the timer.
    :param timed_out: called after a timeout, as by :meth:`twisted.internet.defer.Deferred.addTimeout`.
    :returns: fires when all are done; fails as the first that fails does. A timeout, or cancelling, cancels all waits.
    """

    def first(failure: Failure) -> Failure:
        return failure.value.subFailure if isinstance(failure.value, FirstError) else failure

    everything = gatherResults(withdrawals, consumeErrors=True).addCallbacks(lambda _: None, first)
    return everything.addTimeout(_TIMEOUT, reactor, timed_out)
