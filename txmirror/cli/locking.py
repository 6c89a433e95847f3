"""The commands ``lock`` and ``elect``: run a program while a lock is held, or while we lead."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from twisted.internet.defer import Deferred

from txmirror import paths
from txmirror.cli.child import Child
from txmirror.cli.formats import excerpt
from txmirror.cli.nodes import owner
from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import Status, status_of_signal
from txmirror.cli.while_held import RELEASE_TIME, release, run_while_held
from txmirror.errors import NoNodeException, ZooKeeperException
from txmirror.printable import process_name
from txmirror.recipes import Lock, Semaphore
from txmirror.recipes.lock_style import KAZOO
from txmirror.types import ZnodeStat

#: The most nodes that are read to find the holders of a lock, and the most holders that are named.
_MOST_SEEN, _MOST_NAMED = 100, 3


def lock(
    run: Run,
    path: str,
    child: Child,
    *,
    style: str | None,
    simultaneous: int | None,
    wait: float | None,
    grace: float | None,
) -> Deferred[Outcome]:
    """Acquire a lock, run a program while it is held, and release it.

    When the lock is lost, the program gets SIGTERM; if it has not ended after ``grace`` seconds, it gets SIGKILL.

    :param style: the implementation whose locks take part, as for :class:`txmirror.recipes.Lock`; None is kazoo's.
    :param simultaneous: the number of holders of a semaphore; None takes a lock.
    :param wait: the timeout for acquiring, in seconds; 0 does not wait; None waits without limit.
    :param grace: the time for the program to end when the lock is lost, in seconds. None: a third of the session timeout, which
        is the time between the loss and the moment when another session may get the lock if ZooKeeper is out of reach.
    :returns: fires when the lock is released, with the program's status; or with one of ours, if the lock was not acquired in
        time, or was lost. Fails if no session could be opened in time, and as :meth:`txmirror.recipes.Lock.acquire`.
    """
    name = process_name()
    lock: Lock | Semaphore = _make_lock(run, path, name, style)
    if simultaneous is not None:
        lock = Semaphore(run.client, path, leases=simultaneous, name=name, acl=run.acl, reactor=run.reactor)
    return Deferred.fromCoroutine(_lock(run, lock, child, wait, grace))


def elect(
    run: Run,
    path: str,
    make_child: Callable[[], Child],
    *,
    name: str | None,
    style: str | None,
    once: bool,
    grace: float | None,
) -> Deferred[Outcome]:
    """Stand for election, and run a program while we lead.

    When leadership is lost, the program gets SIGTERM; if it has not ended after ``grace`` seconds, it gets SIGKILL. Then we stand
    for election again, unless a signal has asked for the end meanwhile.

    :param make_child: returns a new run of the program.
    :param name: our name, which others see; None is the host and the process.
    :param style: the implementation whose candidates take part, as for :class:`txmirror.recipes.Election`; None is kazoo's.
    :param once: whether to end when leadership is lost.
    :param grace: as for :func:`lock`.
    :returns: fires when the program has ended by itself, and we have stepped down, with its status; or with one of ours, if
        leadership was lost. Fails if no session could be opened in time, and as :meth:`txmirror.recipes.Election.run`.
    """
    election = _make_lock(run, path, process_name() if name is None else name, style)
    return Deferred.fromCoroutine(_elect(run, election, make_child, once, grace))


def _make_lock(run: Run, path: str, name: str, style: str | None) -> Lock:
    # The holder of a lock is the leader of an election.
    return Lock(run.client, path, name=name, acl=run.acl, style=style or KAZOO.name, reactor=run.reactor)


async def _holders(run: Run, lock: Lock | Semaphore) -> str:
    """Return the holders of a lock or semaphore as text: each session, and the data of its node; empty if none was found."""
    if not run.mirror.is_connected():
        return ""
    found: list[tuple[bytes, ZnodeStat]] = []
    try:
        # The names end with their sequence numbers.
        names = sorted(await run.client.get_children(lock.path), key=lambda name: name[-10:])
        for name in names[:_MOST_SEEN]:
            with suppress(NoNodeException):
                found.append(await run.client.get(paths.join(lock.path, name)))
    except ZooKeeperException:
        return ""
    others = (each for each in found if each[1].ephemeralOwner not in (0, run.client.session_id))
    waiting = sorted(others, key=lambda each: each[1].czxid)
    holders = waiting[: lock.leases if isinstance(lock, Semaphore) else 1]
    described = [f"session {owner(stat)} ({excerpt(data)})" for data, stat in holders[:_MOST_NAMED]]
    if len(holders) > _MOST_NAMED:
        described.append("...")
    return f": {', '.join(described)}" if described else ""


async def _lock(run: Run, lock: Lock | Semaphore, child: Child, wait: float | None, grace: float | None) -> Outcome:
    await run.client.when_connected()
    run.outlive_outages()
    try:
        acquired = await lock.acquire(wait=wait)
    except ValueError as error:
        # The semaphore is in use with another number of holders.
        return Outcome(status=Status.REFUSED, errors=(str(error),))
    if not acquired:
        how = f"could not be acquired within {wait:g} s" if wait else "is held by another session"
        holders = Deferred.fromCoroutine(_holders(run, lock))
        by = await holders.addTimeout(RELEASE_TIME, run.reactor, lambda result, _: "")
        return Outcome(status=Status.TRY_LATER, errors=(f"{lock.path!r} {how}{by}",))
    status, lost = await _run_and_release(
        run, lock, child, grace, lambda: run.console.fail(f"{lock.path!r} was lost: ending {child.name}")
    )
    return Outcome(status=Status.UNAVAILABLE if lost else status)


async def _elect(run: Run, election: Lock, make_child: Callable[[], Child], once: bool, grace: float | None) -> Outcome:
    await run.client.when_connected()
    run.outlive_outages()

    def report_loss() -> None:
        # With --once it is the reason of the command's failure.
        report = run.console.fail if once else run.console.say
        report(f"leadership of {election.path!r} was lost: ending {child.name}")

    while True:
        run.forward_signals(None)
        try:
            await election.acquire()
        except ValueError as error:
            # Another kind of lock uses the path.
            return Outcome(status=Status.REFUSED, errors=(str(error),))
        run.console.say(f"elected: {election.path}")
        child = make_child()
        status, lost = await _run_and_release(run, election, child, grace, report_loss)
        if not lost:
            return Outcome(status=status)
        if child.asked_to_end is not None:
            return Outcome(status=status_of_signal(child.asked_to_end))
        if once:
            return Outcome(status=Status.UNAVAILABLE)


async def _run_and_release(
    run: Run, lock: Lock | Semaphore, child: Child, grace: float | None, report_loss: Callable[[], None]
) -> tuple[int, bool]:
    try:
        return await run_while_held(run, lock, child, grace, report_loss)
    finally:
        await release(run, lock)
