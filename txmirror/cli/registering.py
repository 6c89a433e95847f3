"""The command ``register``: keep a service registered until interrupted, or while a program runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from twisted.internet.defer import CancelledError, Deferred

from txmirror.cli.child import Child
from txmirror.cli.run import Outcome, Run
from txmirror.errors import ClosingException
from txmirror.registry import Registration
from txmirror.withdrawal import wait_for_withdrawals


def register(run: Run, path: str, data: Mapping[str, object], child: Child | None) -> Deferred[Outcome]:
    """Register a service, and keep it registered.

    :param data: facts about the service.
    :param child: a program to start and to wait for, even if ZooKeeper is out of reach. Without one, a session must be opened in
        time, and the service is registered until the Deferred is cancelled.
    :returns: fires when the service is withdrawn, with the program's status.
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
        # Ignore a timeout: then the end of the session removes the node.
        with suppress(CancelledError):
            await wait_for_withdrawals([registration.stop()], run.reactor, lambda _result, _timeout: None)
    return Outcome(status=status)
