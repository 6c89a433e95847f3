"""The service that runs the checks of many services."""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from txmirror.checks.commands_file import CommandsFile
from txmirror.checks.health import ServiceHealth
from txmirror.checks.interfaces import ICheck
from txmirror.checks.judgement import State
from txmirror.checks.loop import LoopContext
from txmirror.checks.slots import Slots
from txmirror.checks.steady_clock import SteadyClock
from txmirror.durations import check_seconds


@implementer(IService)
class ChecksService(Service):
    """Runs the checks of services, from its start to its stop.

    The number of probes at a time is bounded; others wait in order. The checks of services are independent of each other.

    :param services: the services; :meth:`add` and :meth:`remove` change them.
    :param reactor: the reactor; its ``seconds()`` is the time of day.
    :param clock: measures pauses and timeouts. None measures them so that jumps of the wall clock do not matter.
    :param random: returns random numbers from 0 to 1, for the jitter.
    :param commands_at_once: the most commands at a time.
    :param probes_at_once: the most other probes at a time.
    :param stop_timeout: the time limit for stopping, in seconds.
    :ivar commands_file: keeps the commands that run, for the process after this one; it may be set before the start. Then commands
        wait until those of a killed process have ended. None, the default, keeps none.
    :raises ValueError: two services have the same name, or a number is out of range.
    """

    _log = Logger()

    def __init__(
        self,
        services: Iterable[ServiceHealth] = (),
        *,
        reactor: Any,
        clock: IReactorTime | None = None,
        random: Callable[[], float] = _random.random,
        commands_at_once: int = 16,
        probes_at_once: int = 64,
        stop_timeout: float = 10.0,
    ) -> None:
        check_seconds("stop_timeout", stop_timeout)
        if commands_at_once < 1 or probes_at_once < 1:
            raise ValueError("commands_at_once and probes_at_once are numbers from 1")
        # A reactor without threads has no wall clock: the test controls the time.
        self._steady = SteadyClock(reactor) if clock is None and IReactorFromThreads.providedBy(reactor) else None
        #: The clock of pauses and timeouts, for a :class:`TTLCheck` too.
        self.clock: IReactorTime = clock or self._steady or reactor
        self._commands = Slots(commands_at_once)
        self._others = Slots(probes_at_once)
        self._context = LoopContext(clock=self.clock, slots=self._slots, random=random, wall_time=reactor.seconds)
        self.commands_file: CommandsFile | None = None
        self._stop_timeout = stop_timeout
        self._services: dict[str, ServiceHealth] = {}
        for service in services:
            self.add(service)

    @property
    def services(self) -> Mapping[str, ServiceHealth]:
        """The services by name."""
        return MappingProxyType(self._services)

    def state_of(self, name: str) -> State | None:
        """Return the state of a service, or None if there is none with this name."""
        service = self._services.get(name)
        return None if service is None else service.state

    def stuck(self) -> Sequence[str]:
        """Return the names of the checks whose loops make no progress, each with its service's, for a monitor."""
        return [f"{service.name}/{check}" for service in self._services.values() for check in service.stuck]

    def dead(self) -> Sequence[str]:
        """Return the names of the checks whose loops are dead, each with its service's: only a restart helps."""
        return [
            f"{service.name}/{check.name}"
            for service in self._services.values()
            for check in service.checks
            if check.dead
        ]

    def add(self, service: ServiceHealth) -> None:
        """Add a service. If this service runs, its checks start.

        :raises ValueError: there is one with this name.
        """
        if service.name in self._services:
            raise ValueError(f"there is a service {service.name!r}")
        self._services[service.name] = service
        if self.running:
            service.start(self._context)

    def remove(self, name: str) -> Deferred[None]:
        """Remove a service and stop its checks.

        :returns: fires when its probes have ended, or after ``stop_timeout``. It never fails. Cancelling ends only the wait.
        :raises KeyError: there is none with this name.
        """
        return self._stop([self._services.pop(name)])

    def startService(self) -> None:
        """Start the checks."""
        if self.running:
            return
        super().startService()
        self._others.resume()
        if self._steady is not None:
            self._steady.start()
        if self.commands_file is None:
            self._commands.resume()
        else:
            self._commands.pause()
            self.commands_file.start().addCallback(self._resume_commands)
        for service in tuple(self._services.values()):
            service.start(self._context)

    def stopService(self) -> Deferred[None]:
        """Stop the checks: cancel all probes, and wait until nothing of them is left. Calling it again hurries.

        :returns: fires when all probes have ended, or after ``stop_timeout``. It never fails. Cancelling ends only the wait.
        """
        super().stopService()
        # The end of one probe must not begin another.
        for slots in (self._commands, self._others):
            slots.pause()
        return self._stop(tuple(self._services.values())).addCallback(self._stopped)

    def _resume_commands(self, _: object) -> None:
        if self.running:
            self._commands.resume()

    def _stopped(self, _: object) -> None:
        if self.running:
            return
        if self.commands_file is not None:
            self.commands_file.stop()
        if self._steady is not None:
            self._steady.stop()

    def _stop(self, services: Sequence[ServiceHealth]) -> Deferred[None]:
        stops = [service.stop() for service in services]
        stopped: Deferred[Any] = DeferredList(stops, consumeErrors=True)
        stopped.addTimeout(self._stop_timeout, self.clock, onTimeoutCancel=lambda _, __: self._give_up(services))
        return stopped.addCallback(lambda _: None)

    def _give_up(self, services: Sequence[ServiceHealth]) -> None:
        self._log.error(
            "The checks of {services} did not end within {seconds:g} s; their probes are left running.",
            services=", ".join(service.name for service in services if service.probing),
            seconds=self._stop_timeout,
        )

    def _slots(self, check: ICheck) -> Slots:
        return self._commands if check.kind == "command" else self._others
