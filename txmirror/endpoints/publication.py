"""Keeps an instance registered from the start of the reactor until it is withdrawn. No failure ends that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.endpoints.sessions import Lease
from txmirror.registry import ServiceNode, ServiceRegistry
from txmirror.retrying import RetryTimer
from txmirror.withdrawal import wait_for_withdrawals

#: The pauses between attempts to register what ZooKeeper has refused, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class Publication:
    """Registers an instance, retries when that fails, and withdraws it.

    :param service: names the service in the log.
    :param lease: the registry. It is not released here.
    :param describe: returns the node to register, given the registry's servers; raises ValueError if there is no address.
    :param reactor: runs the timers. If it provides ``IReactorCore``, nothing begins before it runs: before that, a program may
        still fork, or change its user.
    """

    _log = Logger()

    def __init__(
        self, service: str, lease: Lease, describe: Callable[[str], ServiceNode], reactor: IReactorTime
    ) -> None:
        self.service: str = service
        self._lease = lease
        self._describe = describe
        self._reactor = reactor
        self._retry = RetryTimer(reactor, self._attempt, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        self._attempting: Deferred[None] | None = None
        self._stopped = False
        self._reported = ""
        #: The registry and the path that may be registered there.
        self._placed: tuple[ServiceRegistry[bool], str] | None = None

    @property
    def placed(self) -> bool:
        """True if others may have seen the instance."""
        return self._placed is not None

    def start(self) -> None:
        """Register the instance as soon as the reactor runs."""
        core: Any = IReactorCore(self._reactor, None)
        if core is None:
            self._attempt()
        else:
            core.callWhenRunning(self._attempt)

    def withdraw(self) -> Deferred[None]:
        """Withdraw the instance, and do not register it again.

        :returns: fires when its node is gone, or after two seconds, which is logged: then the registry removes it when ZooKeeper is
            back, or the end of its session does. It never fails.
        """
        self._stopped = True
        self._retry.stop()
        if self._attempting is not None:
            self._attempting.cancel()
        if self._placed is None:
            return succeed(None)
        registry, path = self._placed
        # The registry's result says whether ZooKeeper is out of reach, which it has logged.
        gone: Deferred[None] = maybeDeferred(registry.set_node, path, state=False).addCallback(lambda _: None)
        return wait_for_withdrawals([gone], self._reactor, self._too_late).addErrback(self._not_withdrawn)

    def _too_late(self, result: object, timeout: float) -> None:
        if isinstance(result, Failure):
            raise TimeoutError(f"ZooKeeper has not answered for {timeout:g} s")

    def _not_withdrawn(self, failure: Failure) -> None:
        self._log.warn(
            "{service} was not withdrawn: {reason}. Its node is deleted when the session ends.",
            service=self.service,
            reason=failure.getErrorMessage(),
        )

    def _attempt(self) -> None:
        if self._stopped:
            return
        attempt = self._attempting = Deferred.fromCoroutine(self._register())
        attempt.addCallbacks(lambda _: self._succeeded(), self._failed)

    async def _register(self) -> None:
        registry = await self._lease.registry()
        node = self._describe(registry.servers)
        self._placed = registry, node.znode
        await maybeDeferred(registry.set_node, node.znode, node.facts(), codec=node.codec)

    def _succeeded(self) -> None:
        self._attempting = None
        if self._reported:
            self._log.info("{service} is being registered again.", service=self.service)
            self._reported = ""

    def _failed(self, failure: Failure) -> None:
        self._attempting = None
        if self._stopped:
            return
        reason = failure.getErrorMessage()
        if reason != self._reported:
            self._reported = reason
            self._log.warn(
                "{service} is not registered: {reason}. Retrying.",
                service=self.service,
                reason=reason,
            )
        self._retry.start()
