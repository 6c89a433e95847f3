"""The services of the daemon: each is supervised, and the registrations, checks, maintenance and drain concern them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txmirror.checks import ChecksService, Status, TTLCheck
from txmirror.configuration import Difference, Service
from txmirror.service.maintenance import Maintenance
from txmirror.service.making_checks import CheckMaker
from txmirror.service.registrations import RegistrationsService
from txmirror.service.supervision import Supervision, Surroundings
from txmirror.service.znodes import service_of, znode_names


class Supervisor:
    """Supervises services: it implements :class:`~.registrations.IRegistrationsUser`.

    :param checks: runs the checks.
    :param registrations: registers.
    :param maintenance_file: keeps what is in maintenance; None forgets it with the process.
    :param reactor: the reactor.
    :ivar maintenance: what is in maintenance.
    :ivar drained: whether all services were withdrawn by :meth:`drain`.
    """

    _log = Logger()

    def __init__(
        self,
        checks: ChecksService,
        registrations: RegistrationsService,
        maintenance_file: str | None,
        reactor: Any,
    ) -> None:
        self.maintenance: Maintenance = Maintenance(maintenance_file, self.update, reactor)
        self.drained: bool = False
        self._checks = checks
        self._registrations = registrations
        self._reactor = reactor
        self._maker = CheckMaker(checks.state_of, reactor, checks.clock, lambda: checks.commands_file)
        self._services: dict[str, Supervision] = {}
        self._around = Surroundings(
            registrations=registrations,
            maintenance_of=self.maintenance.of,
            drained=lambda: self.drained,
            is_registered=self._is_registered,
            changed=self._dependency_changed,
            now=reactor.seconds,
        )
        registrations.user = self

    @property
    def services(self) -> Mapping[str, Supervision]:
        """The services by their ids."""
        return dict(self._services)

    def start(self, services: Iterable[Service]) -> None:
        """Supervise these services, when the checks run."""
        services = tuple(services)
        self.maintenance.load()
        self._declare(services)
        for service in services:
            self._supervise(service)

    def freeze(self) -> list[Supervision]:
        """Decide nothing more: all services stay as they are. Return them."""
        self.maintenance.stop()
        services = list(self._services.values())
        for each in services:
            each.freeze()
        return services

    def update(self) -> None:
        """Decide about all services again."""
        for each in list(self._services.values()):
            each.update()

    # Changes.

    def apply(self, change: Difference, services: Iterable[Service]) -> None:
        """Apply a difference: new services first, unchanged ones untouched.

        :param services: all services from now on.
        """
        services = tuple(services)
        self._declare(services)
        for service in change.added:
            self._supervise(service).update()
        for each in change.changed:
            self._replace(each.old, each.new)
        for service in change.removed:
            self._services.pop(service.id).retire()
            self._checks.remove(service.id)
        # A service may depend on one that was removed, or added.
        self.update()

    def _replace(self, old: Service, new: Service) -> None:
        supervision = self._services[new.id]
        if (old.checks, old.require, old.flap_hold) == (new.checks, new.require, new.flap_hold):
            supervision.replace(new)
            return
        health = self._maker.health(new)
        supervision.replace(new, health)
        self._checks.remove(new.id)
        self._checks.add(health)

    def drain(self) -> Deferred[None]:
        """Withdraw all services, and keep them out until :meth:`undo_drain`. Checks go on.

        :returns: fires when they are gone, and the longest ``drain`` of them is over.
        """
        longest = longest_drain(self._services.values())
        self.drained = True
        self._log.warn("Draining: all services are withdrawn until this is undone.")
        gone = gatherResults([each.update() for each in self._services.values()])
        return gone.addCallback(lambda _: deferLater(self._reactor, longest) if longest else None)

    def undo_drain(self) -> None:
        """Register services again after :meth:`drain`."""
        if self.drained:
            self.drained = False
            self._log.info("The drain is undone: services are registered again.")
            self.update()

    def push(self, service_id: str, check: str, status: Status, note: str) -> None:
        """Push the result of a ttl check.

        :raises KeyError: there is no such service, or no such ttl check.
        """
        for each in self._services[service_id].health.checks:
            if each.name == check and isinstance(each.check, TTLCheck):
                each.check.push(status, note)
                return
        raise KeyError(check)

    def _supervise(self, service: Service) -> Supervision:
        health = self._maker.health(service)
        supervision = self._services[service.id] = Supervision(service, health, self._around)
        self._checks.add(health)
        return supervision

    def _declare(self, services: Iterable[Service]) -> None:
        self._registrations.declare(
            {name: node.znode for service in services for name, node in znode_names(service).items()}
        )

    def _is_registered(self, service_id: str) -> bool:
        supervision = self._services.get(service_id)
        return supervision is not None and supervision.registered

    def _dependency_changed(self, service_id: str) -> None:
        for each in list(self._services.values()):
            if service_id in each.service.depends:
                each.update()

    # Called by the registrations.

    def is_undecided(self, name: str) -> bool:
        """Return whether it is not known yet if a znode is to be registered."""
        supervision = self._services.get(service_of(name))
        return supervision is not None and supervision.undecided

    def resumed(self, names: frozenset[str]) -> None:
        """Note that these znodes are registered in the session that was resumed."""
        ids = {service_of(name) for name in names}
        resumed = [each for service_id, each in self._services.items() if service_id in ids]
        for each in resumed:
            each.resumed()
        # After all are noted, because one may depend on another.
        for each in resumed:
            each.update()

    def session_ended(self) -> None:
        """Note that the session has expired."""
        for each in list(self._services.values()):
            each.session_ended()

    def registered(self, name: str) -> None:
        """Note that a znode is registered."""
        if name in self._services:
            self._services[name].confirmed()

    def changed(self, name: str) -> None:
        """Note that another session's znode is in a znode's place, or that ZooKeeper is out of reach."""
        if name in self._services:
            self._services[name].note()


def longest_drain(services: Iterable[Supervision]) -> float:
    """Return the longest ``drain`` of the services that are registered, in seconds."""
    return max((each.service.drain for each in services if each.registered), default=0.0)
