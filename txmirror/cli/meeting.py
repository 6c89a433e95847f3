"""The commands ``counter`` and ``barrier``."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txmirror.cli.child import Child
from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import Status
from txmirror.printable import process_name
from txmirror.recipes import Barrier, Counter, DoubleBarrier


def count(run: Run, path: str, amount: int | None) -> Deferred[Outcome]:
    """Show the number of a counter, after adding to it if there is an amount.

    :returns: fails as :meth:`txmirror.recipes.Counter.add`; a node without a number is refused.
    """
    return Deferred.fromCoroutine(_count(run, path, amount))


def create_barrier(run: Run, path: str) -> Deferred[Outcome]:
    """Put a barrier in place, unless it is there. Fails as :meth:`txmirror.recipes.Barrier.create`."""
    run.note_doubt("the barrier may have been created")
    return _barrier(run, path).create().addCallback(lambda _: Outcome())


def remove_barrier(run: Run, path: str) -> Deferred[Outcome]:
    """Remove a barrier; that there is none is refused. Fails as :meth:`txmirror.recipes.Barrier.remove`."""
    run.note_doubt("the barrier may have been removed")

    def removed(there_was: bool) -> Outcome:
        if there_was:
            return Outcome()
        return Outcome(status=Status.REFUSED, errors=(f"there is no barrier at {path!r}",))

    return _barrier(run, path).remove().addCallback(removed)


def wait_at_barrier(run: Run, path: str, wait: float | None) -> Deferred[Outcome]:
    """Wait until there is no barrier.

    :param wait: the limit, in seconds; None waits without limit.
    :returns: fails if no session could be opened in time, and as :meth:`txmirror.recipes.Barrier.wait`.
    """
    return Deferred.fromCoroutine(_wait(run, path, wait))


def run_together(
    run: Run, path: str, child: Child, *, count: int, name: str | None, wait: float | None
) -> Deferred[Outcome]:
    """Run a program when there are enough participants of a double barrier, and wait until all have left.

    :param count: the number of participants.
    :param name: our name; None is the host and the process.
    :param wait: the limit for entering, in seconds; None waits without limit.
    :returns: fires with the program's status. Fails if no session could be opened in time, and as
        :meth:`txmirror.recipes.DoubleBarrier.enter` and ``leave``.
    """
    return Deferred.fromCoroutine(
        _run_together(run, path, child, count, process_name() if name is None else name, wait)
    )


def _barrier(run: Run, path: str) -> Barrier:
    return Barrier(run.client, path, acl=run.acl, reactor=run.reactor)


async def _count(run: Run, path: str, amount: int | None) -> Outcome:
    counter = Counter(run.client, path, acl=run.acl, reactor=run.reactor)
    if amount is not None:
        run.note_doubt("the amount may have been added")
    try:
        number = await (counter.value() if amount is None else counter.add(amount))
    except ValueError as error:
        # The node holds something else.
        return Outcome(status=Status.REFUSED, errors=(str(error),))
    return Outcome((str(number),))


async def _wait(run: Run, path: str, wait: float | None) -> Outcome:
    await run.client.when_connected()
    run.outlive_outages()
    if await _barrier(run, path).wait(timeout=wait):
        return Outcome()
    return Outcome(status=Status.TRY_LATER, errors=(f"the barrier {path!r} was there for {wait:g} s",))


async def _run_together(run: Run, path: str, child: Child, count: int, name: str, wait: float | None) -> Outcome:
    barrier = DoubleBarrier(run.client, path, count=count, name=name, acl=run.acl, reactor=run.reactor)
    await run.client.when_connected()
    run.outlive_outages()
    if not await barrier.enter(timeout=wait):
        text = f"{count} participants did not come to {path!r} within {wait:g} s"
        return Outcome(status=Status.TRY_LATER, errors=(text,))
    # If it cannot be started, the end of the session deletes our node.
    child.start()
    run.forward_signals(child.interrupt)
    status = await child.ended
    run.forward_signals(None)
    await barrier.leave()
    return Outcome(status=status)
