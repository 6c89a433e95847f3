"""A host in a storm, with one daemon after another: each process starts, works, and is stopped or killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror.checks import Status
from txmirror.configuration import Configuration, ConfigurationError, load
from txmirror.interfaces import ISessionHolder
from txmirror.machine import Machine
from txmirror.service import Daemon, state_file
from txmirror.service.daemon import Phase
from txmirror.service.maintenance import HOST
from txmirror.service.report import describe_daemon
from txmirror.service.state_file import StateFileHeldError
from txmirror.service.supervision import Condition
from txmirror.test.service.storms.process import Disk, Process
from txmirror.test.service.storms.services import SERVICES, StormService, choose_services, dependants
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene

#: The longest time that a stop may take, in seconds.
STOP_TIMEOUT = 10.0
#: The longest time by which its timers may be late, because the machine is busy.
_LATE = 6.0
_INVALID = '[[service]]\nname = "a b"\n'


@attrs.define(eq=False)
class Running:
    """One process of a host."""

    process: Process
    daemon: Daemon
    pending: Pending
    """The calls that wait."""
    statuses: dict[str, dict[str, Status]] = attrs.field(factory=dict)
    """The last status that each check of each service was given."""
    applied: Sequence[StormService] = ()
    """The services of the configuration that is in effect."""
    read: Sequence[StormService] = ()
    """The services of the configuration that was read last."""
    stop_before: float | None = None
    """The time at which a stop must be complete."""

    @property
    def session(self) -> int:
        """The session; 0 if there is none."""
        session = self.daemon.registrations.session
        return 0 if session is None else session.client.session_id

    def failing(self) -> set[str]:
        """Return the services with a check that fails, and those that depend on them. The daemon may not have noticed it yet."""
        failing = {name for name, last in self.statuses.items() if any(each is not Status.OK for each in last.values())}
        return {each for name in sorted(failing) for each in (name, *dependants(self.applied, name))}

    def find(self, name: str) -> StormService | None:
        """Return a service that is in effect."""
        return next((each for each in self.applied if each.name == name), None)


class Host:
    """A host. It has more than 12 attributes: four are its files, and others the processes that ran on it.

    :param scene: the world.
    :param name: its name in the log.
    :param folder: a folder for its files.
    :param random: chooses its settings.
    :param numbers: the numbers for the data of services.
    :param reconfigured: called with the names of those services, when services are added or removed, or depend on others.
    :ivar name: its name.
    :ivar running: the process that runs and is not being stopped; None if there is none.
    :ivar disk: its disk.
    :ivar output: the file that is kept equal to the list of services.
    """

    def __init__(
        self,
        scene: Scene,
        name: str,
        folder: Path,
        random: Random,
        numbers: Iterator[int],
        reconfigured: Callable[..., object],
    ) -> None:
        self.name = name
        self.running: Running | None = None
        self.disk = Disk(scene.world.reactor)
        self.output = folder / "list"
        self._scene = scene
        self._folder = folder
        self._random = Random(f"{name} {random.random()}")
        self._numbers = numbers
        self._reconfigured = reconfigured
        self._stopping: list[Running] = []
        self._written: Sequence[StormService] = ()
        #: The services that the last process had in maintenance, and whether it had written all of them to the file.
        self._maintained, self._written_down = frozenset[str](), True
        #: The services that were in effect last.
        self._former: Sequence[StormService] = ()
        self._head = self._choose_head(random)
        folder.mkdir()
        self.write()

    def _choose_head(self, random: Random) -> str:
        servers = ",".join(f"{host}:{port}" for host, port in self._scene.servers())
        rate = "write_rate = { per_second = 2, burst = 3 }" if random.random() < 0.2 else ""
        parent = random.choice(("persistent", "persistent", "container"))
        splay = random.choice((0, 0, 1))
        return (
            f'[zookeeper]\nservers = "{servers}"\nsession_timeout = {random.choice(TIMEOUTS[1:])}\n'
            f'state_file = "state"\nparent = "{parent}"\n{rate}\n'
            f'[daemon]\nmaintenance_file = "maintenance"\nstop_timeout = "{STOP_TIMEOUT}s"\nsplay = {splay}\n'
            f'[host]\nname = "{self.name}"\nallow_loopback = true\n'
            f'[[watch]]\npath = "{SERVICES}"\noutput = "list"\nformat = "lines"\nkeep_if_below = 0\n'
            f"settle = {random.choice((0, 2))}\n"
        )

    # The configuration.

    def write(self) -> None:
        """Write a valid configuration."""
        self._written = choose_services(self._random, self.name, self._numbers)
        self._file.write_text("\n".join([self._head, *(each.to_toml() for each in self._written)]))

    def write_invalid(self) -> None:
        """Write an invalid configuration."""
        self._written = ()
        self._file.write_text(self._head + _INVALID)

    @property
    def _file(self) -> Path:
        return self._folder / "txmirror.toml"

    @property
    def _machine(self) -> Machine:
        return Machine(self.name, f"machine of {self.name}", 1, {})

    def _load(self, running: Running) -> Configuration:
        running.read = self._written
        return load(self._file, self._machine)

    # Processes.

    def start(self) -> None:
        """Start a daemon, unless one runs."""
        if self.running is not None:
            return
        if not self._written:
            self.write()
        process = Process(self._scene.world.reactor, self.disk, Random(self._random.random()))
        daemon = Daemon(
            load(self._file, self._machine),
            load=lambda: self._load(running),
            machine=self._machine,
            random=self._random,
            clock=process,
            reactor=process,
        )
        running = Running(process, daemon, Pending(self._scene, self.name), applied=self._written)
        daemon.watch(self, lambda phase: self._phase(running, phase))
        try:
            daemon.startService()
        except StateFileHeldError:
            # The former process has not ended.
            self._check_that(bool(self._stopping), "the state file is held, and no process runs")
            self._note("cannot start yet")
            return
        self._note(f"starts with {_names(self._written)}")
        self.running = running
        self._compare(self._written)
        flags = frozenset(daemon.supervisor.maintenance.flags)
        if flags != self._maintained:
            self._check_that(
                not self._written_down, f"{sorted(flags)} is in maintenance, and was {sorted(self._maintained)}"
            )
            self._reconfigured(self)

    def _phase(self, running: Running, phase: Phase) -> None:
        if phase is Phase.RELOADED:
            running.applied = running.read
            self._compare(running.applied)
            self._note(f"has reloaded {_names(running.applied)}")

    def _compare(self, services: Sequence[StormService]) -> None:
        """Report the services that concerns a change of the configuration."""
        former, self._former = {each.name: each for each in self._former}, services
        now = {each.name: each for each in services}
        changed = former.keys() ^ now.keys()
        changed |= {name for name in former.keys() & now.keys() if former[name].depends != now[name].depends}
        names = {name for each in sorted(changed) for name in (each, *dependants(services, each))}
        if names:
            self._reconfigured(self, *sorted(names))

    def reload(self) -> None:
        """Read the configuration again."""
        assert self.running is not None
        self._note("reloads")
        reloaded = self.running.daemon.reload()
        self.running.pending.add(
            reloaded.addErrback(lambda failure: failure.trap(ConfigurationError) and None), "reload"
        )

    def stop(self, *, hurry: bool) -> Deferred[None]:
        """Stop the daemon.

        :param hurry: whether to ask for it twice.
        """
        running, self.running = self.running, None
        assert running is not None
        self._note(f"stops{', and hurries' if hurry else ''}")
        running.stop_before = self._now + STOP_TIMEOUT + _LATE
        self._stopping.append(running)
        stopped: Deferred[None] = running.daemon.stopService()
        if hurry:
            running.daemon.hurry()
        return stopped.addBoth(self._stopped, running)

    def _stopped(self, result: object, running: Running) -> None:
        text = result.getTraceback() if isinstance(result, Failure) else result
        self._check_that(result is None, f"the stop has ended with {text}")
        self._note("is stopped")
        self._stopping.remove(running)
        self._end(running)

    def kill(self) -> None:
        """End all processes at once."""
        self._note("is killed")
        running = [*self._stopping, *([] if self.running is None else [self.running])]
        self._stopping, self.running = [], None
        for each in running:
            self._end(each)

    def _end(self, running: Running) -> None:
        """Let a process end: nothing of it runs any more, and the system takes back its lock."""
        running.process.kill(running)
        state = running.daemon.state
        assert state is not None
        state._unlock()
        maintenance = running.daemon.supervisor.maintenance
        self._maintained = frozenset(maintenance.flags)
        self._written_down = maintenance.kept and not len(running.pending)

    # Operators.

    def push(self, name: str, check: str, status: Status) -> None:
        """Push the result of a check."""
        running = self.running
        assert running is not None
        self._note(f"{name}/{check} is {status.name}")
        running.statuses.setdefault(name, {})[check] = status
        running.daemon.supervisor.push(name, check, status, "")

    def maintain(self, name: str) -> None:
        """Begin or end the maintenance of a service."""
        assert self.running is not None
        maintenance = self.running.daemon.supervisor.maintenance
        if name in maintenance.flags:
            self._note(f"ends the maintenance of {name}")
            self.running.pending.add(maintenance.end(name), "the end of a maintenance")
        else:
            self._note(f"maintains {name}")
            self.running.pending.add(maintenance.set(name, "a reason", None), "maintenance")

    def drain(self) -> None:
        """Withdraw all services, or undo that."""
        assert self.running is not None
        supervisor = self.running.daemon.supervisor
        self._note(f"drained: {not supervisor.drained}")
        if supervisor.drained:
            supervisor.undo_drain()
        else:
            supervisor.drain()

    def describe(self) -> None:
        """Look at the state, as an operator does."""
        assert self.running is not None
        described = Deferred.fromCoroutine(describe_daemon(self.running.daemon))
        self.running.pending.add(described.addCallback(lambda _: None), "the description")

    # Checks.

    @property
    def _now(self) -> float:
        return self._scene.world.reactor.seconds()

    def wanted(self) -> dict[str, StormService]:
        """Return the services that must be registered, when all has settled and all checks have decided."""
        running, wanted = self.running, dict[str, StormService]()
        if running is None or running.daemon.supervisor.drained:
            return wanted
        maintained = running.daemon.supervisor.maintenance.flags
        for each in running.applied:
            up = each.is_up(running.statuses.get(each.name, {})) and maintained.keys().isdisjoint((each.name, HOST))
            # A service depends only on those before it.
            if up and all(name in wanted for name in each.depends):
                wanted[each.name] = each
        return wanted

    def check(self) -> None:
        """Check that no stop takes too long."""
        for each in self._stopping:
            late = each.stop_before is not None and self._now > each.stop_before
            self._check_that(not late, f"has not stopped within {STOP_TIMEOUT:g} s")

    def check_settled(self) -> None:
        """Check that nothing waits, and that the conditions and the files are as they must be."""
        self._check_that(not self._stopping, "has not stopped")
        running = self.running
        if running is None:
            return
        running.pending.check_none("all has settled")
        names = {each.name for each in running.applied}
        self._check_that(running.daemon.supervisor.services.keys() == names, f"does not have the services {names}")
        for name, supervision in running.daemon.supervisor.services.items():
            condition, why = supervision.condition, supervision.why()
            if name in self.wanted():
                right = condition in (Condition.REGISTERED, Condition.BLOCKED)
                self._check_that(right, f"{name} is {condition.value}: {why}")
            else:
                self._check_that(not supervision.wanted, f"{name} is {condition.value}: {why}")
        self._check_output(running)
        self._check_state(running)

    def _check_output(self, running: Running) -> None:
        node = self._scene.truth.tree.nodes.get(SERVICES)
        lines = sorted(node.children) if node is not None else []
        there = self.output.read_text().splitlines() if self.output.exists() else []
        (file,) = running.daemon.output_files.files.values()
        if file.failure is not None and file._retry.running:
            # The changes while the disk was full have made the pause long.
            return
        known = len(lines) - len(file.omitted)
        self._check_that(len(there) == known and set(there) <= set(lines), f"{there} is written, and there is {lines}")

    def _check_state(self, running: Running) -> None:
        saved, _ = state_file.read(self._folder / "state")
        session = running.daemon.registrations.session
        assert session is not None
        holder = ISessionHolder(session.client)
        ticket, wanted = holder.session_ticket, {path for each in self.wanted().values() for path in each.paths}
        same = saved is not None and ticket is not None and saved.ticket.session_id == ticket.session_id
        self._check_that(same, f"the state file has {saved}, and the session is {ticket}")
        self._check_that(saved is None or wanted <= set(saved.paths.values()), f"the state file does not have {wanted}")

    def _check_that(self, holds: bool, complaint: str) -> None:
        self._scene.check(holds, f"{self.name}: {complaint}")

    def _note(self, text: str) -> None:
        self._scene.journal.note(self.name, text)


def _names(services: Sequence[StormService]) -> str:
    return ", ".join(f"{each.name} {each.number}" for each in services)
