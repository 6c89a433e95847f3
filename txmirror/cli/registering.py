"""``register``: a service that is registered until the command is interrupted, or for as long as a program runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from twisted.internet.defer import CancelledError, Deferred

from txmirror.cli.child import Child
from txmirror.cli.run import Outcome, Run
from txmirror.errors import ClosingException
from txmirror.registry import Registration

#: How long the withdrawal may take, in seconds. The session's end takes care of the rest.
_WITHDRAWAL = 2.0


def register(run: Run, path: str, data: Mapping[str, object], child: Child | None) -> Deferred[Outcome]:
    """Register a service, and keep it registered.

    :param data: facts for whoever finds it.
    :param child: a program to start and to wait for. It runs whatever ZooKeeper does. Without one, there must be a session
        in time, and then it goes on until it is cancelled.
    :returns: fires when it is withdrawn, with the program's status.
    """
    return Deferred.fromCoroutine(_register(run, path, data, child))


async def _register(run: Run, path: str, data: Mapping[str, object], child: Child | None) -> Outcome:
    if child is None:
        await run.client.when_connected()
    run.outlive_outages()
    registration = Registration(run.mirror, path, data, acl=run.acl)
    registration.start()
    registered = registration.when_registered()
    registered.addCallbacks(
        lambda _: run.console.say(f"registered: {path}"), lambda failure: failure.trap(ClosingException) and None
    )
    status = 0
    try:
        if child is None:
            with suppress(CancelledError):
                await Deferred[None]()
        else:
            child.start()
            run.forward_signals(child.interrupt)
            status = await child.ended
    finally:
        # It does not matter here whether it was withdrawn in time.
        with suppress(CancelledError):
            await registration.stop().addTimeout(_WITHDRAWAL, run.reactor, lambda result, _: None)
    return Outcome(status=status)
