"""Run a program while something is held: a lock, the leadership, or an entry of a queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from twisted.internet.defer import CancelledError, Deferred

from txmirror.cli.child import Child
from txmirror.cli.run import Run
from txmirror.errors import ZooKeeperException
from txmirror.recipes import Lock, Semaphore, TakenEntry

#: The timeout of a release, in seconds. After it the end of the session releases.
RELEASE_TIME = 2.0
#: The program's environment variable for the fencing token.
TOKEN = "TXMIRROR_TOKEN"  # noqa: S105 - it is no secret


async def run_while_held(
    run: Run,
    held: Lock | Semaphore | TakenEntry,
    child: Child,
    grace: float | None,
    report_loss: Callable[[], None],
    *,
    variables: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> tuple[int, bool]:
    """Run a program. From now on, signals are forwarded to it.

    When the held is lost, the program gets SIGTERM; if it has not ended after ``grace`` seconds, it gets SIGKILL.

    :param held: it must be held. It is not released here.
    :param grace: in seconds. None: a third of the session timeout, which is the time between the loss and the moment when another
        session may hold it if ZooKeeper is out of reach.
    :param report_loss: called when it is lost.
    :param variables: variables to add to the program's environment, besides the fencing token.
    :param stdin: the program's standard input; None for ours.
    :returns: the program's status, and whether it was lost meanwhile.
    :raises CommandError: the program cannot be started.
    """
    lost = False

    def end(_: object) -> None:
        nonlocal lost
        lost = True
        report_loss()
        child.end(run.client.session_timeout / 3 if grace is None else grace)

    child.start({TOKEN: str(held.token), **(variables or {})}, stdin=stdin)
    run.forward_signals(child.interrupt)
    held.lost.addCallback(end)
    status = await child.ended
    return status, lost


async def release(run: Run, held: Lock | Semaphore | TakenEntry) -> None:
    """Release, for a limited time. A failure was logged; then the end of the session releases."""
    releasing: Deferred[None] = held.release()
    with suppress(ZooKeeperException, CancelledError):
        await releasing.addTimeout(RELEASE_TIME, run.reactor, lambda result, _: None)
