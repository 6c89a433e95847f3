"""One service of the daemon: it is registered while its checks pass and nothing keeps it out."""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txmirror.checks import ProcessCheck, ServiceHealth, State
from txmirror.configuration import Service
from txmirror.registry import RegistrationState
from txmirror.service.maintenance import Flag
from txmirror.service.registrations import RegistrationsService
from txmirror.service.znodes import Znodes

#: The number of transitions that are kept.
_HISTORY = 50


class Condition(enum.Enum):
    """The condition of a service, for operators."""

    UNDECIDED = "undecided"
    """Its checks have not decided yet."""
    DOWN = "down"
    """Its checks fail."""
    MAINTENANCE = "maintenance"
    """An operator keeps it out."""
    DRAINED = "drained"
    """The whole daemon has withdrawn its services."""
    WAITING = "waiting"
    """It depends on a service that is not registered."""
    REGISTERING = "registering"
    """It is to be registered, and ZooKeeper has not confirmed it yet."""
    BLOCKED = "blocked"
    """Another session's znode is in its place."""
    REGISTERED = "registered"
    """It is registered."""


@attrs.frozen
class ConditionChange:
    """A change of a service's condition."""

    time: float
    """In seconds since the Unix epoch."""
    before: Condition | None
    after: Condition
    reason: str
    """A sentence."""


@attrs.frozen
class Surroundings:
    """The rest of the daemon, as a service needs it."""

    registrations: RegistrationsService
    maintenance_of: Callable[[str], Flag | None]
    drained: Callable[[], bool]
    is_registered: Callable[[str], bool]
    """Returns whether the service with an id is registered, or is at most cut off from ZooKeeper."""
    changed: Callable[[str], object]
    """Called when the service with an id was registered or withdrawn."""
    now: Callable[[], float]


class Supervision:
    """Decides whether a service is registered, and remembers why.

    :param service: the service's configuration.
    :param health: its health.
    :param surroundings: the rest of the daemon.
    :ivar service: the configuration.
    :ivar health: the health.
    :ivar registered: whether it is registered, or is at most cut off from ZooKeeper.
    :ivar entered: the number of changes to each condition.
    :ivar znodes: the znodes.
    """

    _log = Logger()

    def __init__(self, service: Service, health: ServiceHealth, surroundings: Surroundings) -> None:
        self.service: Service = service
        self.health: ServiceHealth = health
        self.registered: bool = False
        self.entered: Counter[Condition] = Counter()
        self.znodes: Znodes = Znodes(surroundings.registrations, service)
        self._around = surroundings
        self._active = True
        self._changes: deque[ConditionChange] = deque(maxlen=_HISTORY)
        self._observe(health)

    def _observe(self, health: ServiceHealth) -> None:
        health.watch(self, lambda _: self.update())
        for each in health.checks:
            if isinstance(each.check, ProcessCheck):
                each.check.pid_changed = self.update

    @property
    def transitions(self) -> Sequence[ConditionChange]:
        """The last 50 changes of the condition, the oldest first."""
        return tuple(self._changes)

    @property
    def condition(self) -> Condition:
        """The condition."""
        if self._around.drained():
            return Condition.DRAINED
        if self._around.maintenance_of(self.service.id) is not None:
            return Condition.MAINTENANCE
        if not self.health.wanted:
            return Condition.DOWN if self.health.decided else Condition.UNDECIDED
        if self._missing:
            return Condition.WAITING
        state = self.znodes.own_state
        if state is RegistrationState.REGISTERED:
            return Condition.REGISTERED
        if state is RegistrationState.BLOCKED:
            return Condition.BLOCKED
        return Condition.REGISTERING

    @property
    def wanted(self) -> bool:
        """True if the service is to be registered."""
        return self.condition in (Condition.REGISTERED, Condition.BLOCKED, Condition.REGISTERING)

    @property
    def undecided(self) -> bool:
        """True if nothing but the checks keeps it out, and they have not decided yet."""
        return self.condition is Condition.UNDECIDED

    @property
    def _missing(self) -> list[str]:
        return [name for name in self.service.depends if not self._around.is_registered(name)]

    def why(self) -> str:
        """Return a sentence that explains the condition."""
        condition, path = self.condition, self.service.znode_path
        if condition is Condition.DRAINED:
            return "The daemon was asked to withdraw all its services."
        if condition is Condition.MAINTENANCE:
            flag = self._around.maintenance_of(self.service.id)
            assert flag is not None
            return f"It is in maintenance: {flag.reason}{_until(flag)}."
        if condition in (Condition.DOWN, Condition.UNDECIDED):
            return self.health.why()
        if condition is Condition.WAITING:
            return f"It depends on {' and '.join(self._missing)}, which {_are(self._missing)} not registered."
        if condition is Condition.BLOCKED:
            return f"Another session has registered {path}: it is registered here when that znode is gone."
        if condition is Condition.REGISTERED:
            if not self.health.decided:
                return f"{path} is in place since before the restart, and the checks have not decided yet."
            missing = "".join(f" {clause}." for clause in self.znodes.missing())
            return f"{path} is in place: {_lower(self.health.why())}{missing}"
        return self._why_registering()

    def _why_registering(self) -> str:
        path = self.service.znode_path
        ready = "Its checks pass" if self.service.checks else "It has no checks"
        session = self._around.registrations.session
        if session is not None and session.refused:
            return f"{ready}, but ZooKeeper refuses the daemon's credentials."
        if session is None or session.client.session_id == 0:
            if session is None or not session.outages.ongoing:
                return f"{ready}: it is registered when the daemon has a session with ZooKeeper."
            return f"{ready}, and ZooKeeper is out of reach: it is registered when ZooKeeper is back."
        refusal = self._around.registrations.refusal(self.service.id)
        if refusal is not None:
            return f"{ready}, but ZooKeeper refuses {path}: {refusal}."
        if self.registered and not session.mirror.is_connected():
            return f"{path} was registered, and ZooKeeper is out of reach: the znode stays until the session expires."
        return f"{ready}: {path} is being registered."

    def next_action(self) -> str:
        """Return a clause about the next thing that happens by itself."""
        condition = self.condition
        if condition is Condition.MAINTENANCE:
            flag = self._around.maintenance_of(self.service.id)
            return (
                "wait for the end of the maintenance" if flag and flag.until else "none until the maintenance is ended"
            )
        return {
            Condition.DRAINED: "none until the drain is undone",
            Condition.DOWN: "register it when its checks pass again",
            Condition.UNDECIDED: "wait for its checks",
            Condition.WAITING: "register it when those services are registered",
            Condition.REGISTERING: self._registering(),
            Condition.BLOCKED: "register it when the other znode is gone",
            Condition.REGISTERED: "withdraw it if its checks fail",
        }[condition]

    def _registering(self) -> str:
        session = self._around.registrations.session
        if session is not None and session.refused:
            return "none until the daemon is restarted with other credentials"
        return "retry until ZooKeeper confirms it"

    # Events.

    def resumed(self) -> None:
        """Note that the service is registered from before a restart: it stays so until its checks decide.

        Call :meth:`update` when all such services are noted, because it may depend on another one.
        """
        self.health.resumed = True
        self.registered = True

    def session_ended(self) -> None:
        """Note that the session has expired: a service that its checks have not proven is not registered in the next."""
        if self.health.resumed and not self.health.decided:
            self.health.resumed = False
            self.update()

    def confirmed(self) -> None:
        """Note that the service is registered."""
        self.registered = True
        self._record()
        self._around.changed(self.service.id)

    def update(self) -> Deferred[None]:
        """Decide, and act on it.

        :returns: fires when the znode is gone, if it has to go; else at once. It never fails.
        """
        if not self._active:
            return succeed(None)
        if self.wanted:
            warning = self.health.state is State.WARN if self.health.decided else None
            self.znodes.keep(warning=warning, pid=self._pid())
            self._record()
            return succeed(None)
        self._record()
        return self._withdraw()

    def note(self) -> None:
        """Record the condition, which may have changed."""
        self._record()

    def replace(self, service: Service, health: ServiceHealth | None = None) -> None:
        """Use another configuration from now on.

        :param health: the new health; None keeps the present one.
        """
        self.service = service
        self.znodes.replace(service)
        if health is not None:
            self.health.unwatch(self)
            # It stays registered until the new checks have decided.
            health.resumed = self.health.wanted
            self.health = health
            self._observe(health)
        self.update()

    def retire(self) -> None:
        """Withdraw the service for good."""
        self.freeze()
        self.registered = False
        self.znodes.withdraw(timeout=None)

    def freeze(self) -> None:
        """Decide nothing more: the service stays as it is."""
        self._active = False
        self.health.unwatch(self)

    def _withdraw(self) -> Deferred[None]:
        was_registered, self.registered = self.registered, False
        if not self.undecided:
            # The last process may have registered it.
            self.znodes.release()
        withdrawal = self.znodes.withdraw()
        if was_registered:
            self._around.changed(self.service.id)
        return withdrawal

    def _pid(self) -> int | None:
        """Return the process number of the service's program, if a check knows it."""
        checks = (each.check for each in self.health.checks)
        return next((check.pid for check in checks if isinstance(check, ProcessCheck) and check.pid is not None), None)

    def _record(self) -> None:
        condition = self.condition
        before = self._changes[-1].after if self._changes else None
        if condition is before:
            return
        self.entered[condition] += 1
        self._changes.append(ConditionChange(self._around.now(), before, condition, self.why()))
        if condition is Condition.WAITING:
            self._log.info("Service {service} waits: {reason}", service=self.service.id, reason=_lower(self.why()))


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _until(flag: Flag) -> str:
    if flag.until is None:
        return ""
    return f", until {datetime.fromtimestamp(flag.until, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
