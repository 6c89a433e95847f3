"""``lock``: a program that runs only while a lock is held."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from twisted.internet.defer import CancelledError, Deferred

from txmirror import paths
from txmirror.cli.child import Child
from txmirror.cli.formats import excerpt
from txmirror.cli.nodes import owner
from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import Status
from txmirror.errors import NoNodeException, ZooKeeperException
from txmirror.recipes import Lock, Semaphore
from txmirror.types import ZnodeStat

#: How long the release may take, in seconds. The session's end takes care of the rest.
_RELEASE = 2.0
#: How many nodes below a lock's are looked at to say who holds it, and how many holders are named.
_MOST_SEEN, _MOST_NAMED = 100, 3
#: By which name the program has the fencing token in its environment.
TOKEN = "TXMIRROR_TOKEN"  # noqa: S105 - it is no secret


def lock(
    run: Run, path: str, child: Child, *, simultaneous: int | None, wait: float | None, grace: float | None
) -> Deferred[Outcome]:
    """Wait for a lock, run a program while it is held, and release it.

    When the lock is lost, the program is asked to end; when it has not ended after a while, it is killed.

    :param simultaneous: how many may hold it at once, in a semaphore; None takes a lock.
    :param wait: how long to wait for it, in seconds; 0 does not wait for anybody else; None waits as long as it takes.
    :param grace: how long the program has to end when the lock is lost, in seconds. None: a third of the session timeout, which
        is what there is until others may have the lock where ZooKeeper is out of reach.
    :returns: fires when the lock is released, with the program's status; or with one of ours, where the lock was not to be had
        in time, or was lost. Fails if no session could be opened in time, and as :meth:`txmirror.recipes.Lock.acquire`.
    """
    name = f"{socket.gethostname()}:{os.getpid()}"
    claim: Lock | Semaphore = Lock(run.client, path, name=name, acl=run.acl, reactor=run.reactor)
    if simultaneous is not None:
        claim = Semaphore(run.client, path, leases=simultaneous, name=name, acl=run.acl, reactor=run.reactor)
    return Deferred.fromCoroutine(_lock(run, claim, child, wait, grace))


async def _holders(run: Run, claim: Lock | Semaphore) -> str:
    """Describe those who hold a lock, or leases of a semaphore, by session and by what they say in their nodes; empty if none is
    to be seen.
    """
    if not run.mirror.is_connected():
        return ""
    found: list[tuple[bytes, ZnodeStat]] = []
    try:
        # Their sequence numbers are at the end.
        names = sorted(await run.client.get_children(claim.path), key=lambda name: name[-10:])
        for name in names[:_MOST_SEEN]:
            with suppress(NoNodeException):
                found.append(await run.client.get(paths.join(claim.path, name)))
    except ZooKeeperException:
        return ""
    others = (each for each in found if each[1].ephemeralOwner not in (0, run.client.session_id))
    waiting = sorted(others, key=lambda each: each[1].czxid)
    holders = waiting[: claim.leases if isinstance(claim, Semaphore) else 1]
    described = [f"session {owner(stat)} ({excerpt(data)})" for data, stat in holders[:_MOST_NAMED]]
    if len(holders) > _MOST_NAMED:
        described.append("...")
    return f": {', '.join(described)}" if described else ""


async def _lock(run: Run, claim: Lock | Semaphore, child: Child, wait: float | None, grace: float | None) -> Outcome:
    await run.client.when_connected()
    run.outlive_outages()
    try:
        acquired = await claim.acquire(wait=wait)
    except ValueError as error:
        # Others share it among another number.
        return Outcome(status=Status.REFUSED, complaints=(str(error),))
    if not acquired:
        how = f"was not to be had within {wait:g} s" if wait else "is held by somebody else"
        holders = Deferred.fromCoroutine(_holders(run, claim))
        by = await holders.addTimeout(_RELEASE, run.reactor, lambda result, _: "")
        return Outcome(status=Status.TRY_LATER, complaints=(f"{claim.path!r} {how}{by}",))
    lost = False

    def end(_: object) -> None:
        nonlocal lost
        lost = True
        run.console.fail(f"{claim.path!r} was lost: {child.name} is ended")
        child.end(run.client.session_timeout / 3 if grace is None else grace)

    try:
        child.start({TOKEN: str(claim.token)})
        run.forward_signals(child.interrupt)
        claim.lost.addCallback(end)
        status = await child.ended
    finally:
        # If it fails, that was logged. Then too the end of the session lets others in.
        with suppress(ZooKeeperException, CancelledError):
            await claim.release().addTimeout(_RELEASE, run.reactor, lambda result, _: None)
    return Outcome(status=Status.UNAVAILABLE if lost else status)
