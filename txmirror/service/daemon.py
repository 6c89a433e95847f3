"""The daemon: the parts that twistd runs for a configuration, and the order of their start, their reload and their stop."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterable
from random import Random
from typing import Any

import attrs
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.checks import ChecksService, CommandsFile, SteadyReactor
from txmirror.configuration import Configuration, Difference, difference
from txmirror.configuration import Service as ServiceSettings
from txmirror.machine import Machine
from txmirror.mirror import Mirror
from txmirror.observers import Observers
from txmirror.output_files import OutputFilesService
from txmirror.registry import TokenBucket
from txmirror.service.bounded_steps import BoundedSteps
from txmirror.service.clients import client_maker, reading_client
from txmirror.service.connection_history import ConnectionHistory
from txmirror.service.counts import DaemonCounts, RequestCounts
from txmirror.service.heartbeat import Heartbeat
from txmirror.service.readers import Readers
from txmirror.service.registrations import RegistrationsService
from txmirror.service.reloading import Reloader
from txmirror.service.session_settings import MakeClient, SessionSettings
from txmirror.service.state import StateService
from txmirror.service.state_file import Origin
from txmirror.service.supervision import Supervision
from txmirror.service.supervisor import Supervisor, longest_drain


class Phase(enum.Enum):
    """A change of the daemon itself, for its observers."""

    RELOADING = "reloading"
    RELOADED = "reloaded"
    NOT_RELOADED = "not reloaded"
    """The reload has failed."""
    STOPPING = "stopping"


@implementer(IService)
class Daemon(Service):
    """Registers services while their checks pass.

    It starts its parts: the state file, the registrations and the checks. An outage of ZooKeeper stops neither the checks nor the
    start. Its stop takes ``stop_timeout`` at the most: it withdraws the services, waits for their ``drain``, and ends the session,
    or leaves it to the next process. It has more than 12 attributes because it is where the parts meet.

    :param configuration: the configuration.
    :param load: returns the configuration anew, for a reload; it is called in a thread. None if there are no files to read.
    :param make_client: makes the client; None makes one by the configuration.
    :param machine: the facts about this machine; found out if None.
    :param random: the random numbers of all parts, such as jitter and splay; its own if None.
    :param clock: the clock of the checks and of the client; see :class:`~txmirror.checks.ChecksService`.
    :param reactor: the reactor.
    :ivar configuration: the configuration that is in effect.
    :ivar checks: the checks, a service.
    :ivar registrations: the registrations, a service.
    :ivar output_files: the files that are kept equal to lists, a service.
    :ivar readers: the servers for readers, by HTTP and DNS.
    :ivar supervisor: the services, and what is in maintenance.
    :ivar counts: the counts of its work, for metrics.
    :ivar history: the outages of ZooKeeper.
    :ivar random: the random numbers.
    :ivar started_at: the time of the start in seconds since the Unix epoch.
    """

    _log = Logger()

    def __init__(
        self,
        configuration: Configuration,
        *,
        load: Callable[[], Configuration] | None = None,
        make_client: MakeClient | None = None,
        machine: Machine | None = None,
        random: Random | None = None,
        clock: IReactorTime | None = None,
        reactor: Any,
    ) -> None:
        self.configuration: Configuration = configuration
        self.started_at: Any = 0.0
        self.random: Random = Random() if random is None else random
        self._reactor = reactor
        self._stopping: BoundedSteps | None = None
        self._observers: Observers[Phase] = Observers(self._observer_failed)
        zookeeper, settings = configuration.zookeeper, configuration.daemon
        rate = zookeeper.write_rate
        self.checks: ChecksService = ChecksService(reactor=reactor, clock=clock, random=self.random.random)
        requests = RequestCounts() if make_client is None else None
        self.counts: DaemonCounts = DaemonCounts(self.checks.clock, requests)
        self.history: ConnectionHistory = ConnectionHistory(reactor)
        self._reloader = Reloader(
            load,
            self._apply,
            reactor,
            began=lambda: self._observers.notify(Phase.RELOADING),
            ended=self._note_reload,
        )
        origin = Origin.of(Machine.this() if machine is None else machine)
        # Else the session would expire when the wall clock is set back: the next ping would be late.
        steady: Any = SteadyReactor(reactor, self.checks.clock)
        self._state = None
        if zookeeper.state_file is not None:
            self._state = StateService(zookeeper.state_file, reactor)
            file = f"{zookeeper.state_file}.commands"
            self.checks.commands_file = CommandsFile(file, origin.boot, clock=self.checks.clock)
        session = SessionSettings(
            client_maker(zookeeper, steady, metrics=requests, random=self.random)
            if make_client is None
            else make_client,
            servers=zookeeper.servers,
            access=zookeeper.access,
            container=zookeeper.parent == "container",
            state=self._state,
            origin=origin,
            bucket=None if rate is None else TokenBucket(reactor, rate.burst, rate.burst / rate.per_second),
            counts=self.counts.sessions,
            random=self.random,
        )
        self.registrations: RegistrationsService = RegistrationsService(session, splay=settings.splay, reactor=reactor)
        self.supervisor: Supervisor = Supervisor(self.checks, self.registrations, settings.maintenance_file, reactor)
        self.output_files: OutputFilesService = OutputFilesService(
            random=self.random.random, clock=self.checks.clock, reactor=reactor
        )
        self.readers: Readers = Readers(
            lambda: reading_client(configuration.zookeeper, steady, make_client, self.random),
            self.counts.dns,
            self.random,
            reactor,
        )
        self._heartbeat = (
            None if settings.heartbeat_file is None else Heartbeat(settings.heartbeat_file, self.checks.stuck, reactor)
        )

    @property
    def stopping(self) -> bool:
        """True from the beginning of the stop."""
        return self._stopping is not None

    @property
    def state(self) -> StateService | None:
        """The state file; None if there is none."""
        return self._state

    def watch(self, key: Hashable, function: Callable[[Phase], object]) -> None:
        """Call ``function`` at each reload and at the stop, in place of the former one with this key. One that raises is logged."""
        self._observers.add(key, function)

    def unwatch(self, key: Hashable) -> None:
        """Remove the function with this key; silent if there is none."""
        self._observers.remove(key)

    def _observer_failed(self, key: Hashable, phase: Phase) -> None:
        self._log.failure("The observer {key!r} of the daemon raised an exception.", key=key, phase=phase)

    def startService(self) -> None:
        """Start the parts.

        :raises StateFileHeldError: another live process holds the state file. Nothing was started.
        """
        if self._state is not None:
            self._state.startService()
            if not self._state.locked:
                # Another process may use the file of commands, too.
                self.checks.commands_file = None
        super().startService()
        self.started_at = self._reactor.seconds()
        self.counts.sessions.start()
        self.supervisor.start(self.configuration.services)
        self.output_files.apply(self.configuration.watches)
        self.output_files.startService()
        self.readers.apply(self.configuration)
        self.readers.start()
        self.registrations.when_connecting().addCallback(self._use)
        self.registrations.startService()
        self.checks.startService()
        self.supervisor.update()
        if self._heartbeat is not None:
            self._heartbeat.start()

    def _use(self, mirror: Mirror) -> None:
        self.history.follow(mirror.client)
        self.output_files.use(mirror)
        self.readers.use(mirror)

    def stopService(self) -> Deferred[None]:
        """Stop. See the class.

        :returns: fires when all is stopped, after ``stop_timeout`` at the latest; it never fails.
        """
        super().stopService()
        self._stopping = steps = BoundedSteps(self.configuration.daemon.stop_timeout, self._reactor)
        self._observers.notify(Phase.STOPPING)
        return Deferred.fromCoroutine(self._stop(steps))

    def hurry(self) -> None:
        """Do not wait for the drain, and hardly for ZooKeeper: an operator has asked for the stop again."""
        if self._stopping is not None:
            # Commands that still run are killed at once.
            self.checks.stopService()
            self._stopping.hurry()

    async def _stop(self, steps: BoundedSteps) -> None:
        self._reloader.stop()
        services = self.supervisor.freeze()
        if self._heartbeat is not None:
            self._heartbeat.stop()
        checks_ended = self.checks.stopService()
        leave = self._state is not None and any(_is_left(each) for each in services)
        going = [each for each in services if not (leave and _is_left(each))]
        drain, count = longest_drain(going), sum(each.registered for each in going)
        if count:
            self._log.info("Stopping: withdrawing {count} {services}.", count=count, services=_services(count))
        withdrawn = self.registrations.withdraw_all([name for each in going for name in each.znodes.names])
        await steps.wait(withdrawn, "the services to be withdrawn")
        if drain and not steps.hurried:
            self._log.info("Waiting {drain:g} s for other programs to stop using the services.", drain=drain)
            await steps.wait(deferLater(self._reactor, drain), "the drain")
        await steps.wait(self.output_files.finish_changes(), "the commands after the changes of files")
        await steps.wait(self.output_files.stopService(), "the output files")
        await steps.wait(self.readers.stop(), "the servers for readers")
        await steps.wait(self.registrations.finish(leave=leave), "the session to be closed")
        await steps.wait(checks_ended, "the checks to end")
        # Those that have not ended are killed.
        self.checks.stopService()
        if self._state is not None:
            await steps.wait(self._state.stopService(), "the state file")
        self._log.info("Stopped.")

    def reload(self) -> Deferred[Difference]:
        """Read the configuration again, and apply the difference: new services first, unchanged ones untouched.

        :returns: fires with the difference when it is applied; new services are being registered then, and old ones withdrawn.
            Fails with :exc:`~txmirror.configuration.ConfigurationError` if the configuration is invalid, there are no files to
            read, or the daemon is stopping: then nothing has changed. Cancelling ends only the wait.
        """
        return self._reloader.reload()

    def _note_reload(self, result: Any) -> Any:
        self.counts.note_reload(result)
        self._observers.notify(Phase.NOT_RELOADED if isinstance(result, Failure) else Phase.RELOADED)
        return result

    def _apply(self, new: Configuration) -> Difference:
        old = self.configuration
        change = difference(old, new)
        self.configuration = _keep_what_needs_a_restart(old, new)
        self.registrations.splay = new.daemon.splay
        self.supervisor.apply(change, new.services)
        self.output_files.apply(new.watches)
        self.readers.apply(self.configuration)
        self._log.info(
            "Reloaded the configuration: added {added}; removed {removed}; changed {changed}; {unchanged} unchanged.",
            added=_names(change.added),
            removed=_names(change.removed),
            changed=", ".join(f"{each.new.id} ({', '.join(each.keys)})" for each in change.changed) or "none",
            unchanged=len(change.unchanged),
        )
        if change.outputs:
            self._log.info("Files that were added, removed or changed: {files}.", files=", ".join(change.outputs))
        if change.dns:
            self._log.info("Keys of [dns] that differ: {keys}.", keys=", ".join(change.dns))
        if change.http:
            self._log.info("Keys of [http] that differ: {keys}.", keys=", ".join(change.http))
        if change.restart:
            self._log.warn("These changes need a restart: {keys}.", keys=", ".join(change.restart))
        return change


def _is_left(supervision: Supervision) -> bool:
    """Return whether a service stays registered, for the next process."""
    return supervision.registered and supervision.service.on_stop == "keep-session"


def _services(count: int) -> str:
    return "service" if count == 1 else "services"


def _names(services: Iterable[ServiceSettings]) -> str:
    return ", ".join(service.id for service in services) or "none"


def _keep_what_needs_a_restart(old: Configuration, new: Configuration) -> Configuration:
    """Return the configuration that is in effect after a reload."""
    kept = {
        field.name: getattr(old.daemon, field.name)
        for field in attrs.fields(type(old.daemon))
        if field.metadata.get("restart")
    }
    return attrs.evolve(new, zookeeper=old.zookeeper, daemon=attrs.evolve(new.daemon, **kept))
