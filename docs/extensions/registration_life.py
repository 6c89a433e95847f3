"""A Sphinx directive that draws the life of a registration: its states, as a real one enters them on a server in memory."""

from __future__ import annotations

from collections.abc import Callable

from drawings import STYLE, Drawing
from sphinx.application import Sphinx

from txmirror.client import ZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.registry import Registration, RegistrationState
from txmirror.testing import World

_PATH = "/services/web/host1:80"
#: Longer than a session timeout, in seconds.
_LONG = 60.0
#: So often the state is looked at while time passes, in seconds.
_STEP = 0.5

#: The events that lead from one state to another.
Causes = dict[tuple[RegistrationState, RegistrationState], list[str]]


class Life:
    """Lets one thing after another happen to a registration, and notes the states that it enters."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._other: ZooKeeperClient = world.client()
        self._mirror: Mirror = world.mirror()
        self._registration = Registration(self._mirror, _PATH, {"zone": "b"})
        self.causes: Causes = {}

    def event(self, cause: str, happen: Callable[[], object], *, wait: float = 0.0, end: str | None = None) -> None:
        """Let something happen, and note the changes that follow.

        :param cause: the reason of the first change.
        :param wait: how many seconds pass then.
        :param end: the reason of the changes after the first one; None for the same.
        """
        reasons = iter([cause])
        before = self._registration.state
        happen()
        while True:
            now = self._registration.state
            if now is not before:
                self._note(before, now, next(reasons, end or cause))
                before = now
            if self._is_due():
                self._world.reactor.take_turns(1)
            elif wait > 0:
                self._world.pass_time(_STEP)
                wait -= _STEP
            else:
                break

    def _is_due(self) -> bool:
        reactor = self._world.reactor
        return bool(reactor.calls) and reactor.calls[0].time <= reactor.seconds()

    def _note(self, before: RegistrationState, after: RegistrationState, cause: str) -> None:
        causes = self.causes.setdefault((before, after), [])
        if cause not in causes:
            causes.append(cause)

    def live(self) -> None:
        """Let all kinds of things happen."""
        registration, other, mirror, world = self._registration, self._other, self._mirror, self._world

        def lose(wait: float) -> None:
            self.event("the connection is lost", lambda: world.disconnect(mirror), wait=wait)

        def find(cause: str) -> None:
            self.event(cause, lambda: world.reconnect(mirror), wait=_LONG)

        created = "the node is created"
        self.event("start()", registration.start, end=created)
        lose(0)
        find("the session has survived, with the node")
        self.event("others delete the node", lambda: other.delete(_PATH), wait=_LONG, end=created)
        self.event("others change it", lambda: other.set(_PATH, b"{}"), wait=_LONG, end="the data is written again")
        lose(_LONG)
        find("the session has expired: a new node is created")
        lose(_LONG)
        world.result(other.create(_PATH, b"", ephemeral=True))
        find("another session's node is there")
        lose(0)
        find("another session's node is there")
        self.event("that node is gone: ours is created", lambda: other.delete(_PATH), wait=_LONG)
        self.event("stop(): the node is deleted", registration.stop)
        world.disconnect(mirror)
        self.event("start()", registration.start)
        self.event("stop(), before a node was written", registration.stop)
        world.reconnect(mirror)


def record() -> Causes:
    """Return the changes of a registration's state, with their reasons."""
    with World() as world:
        life = Life(world)
        life.live()
        return life.causes


def life_dot() -> str:
    """Draw the states of a registration. An arrow has the reasons of the change."""
    lines = ["digraph life {", STYLE, "rankdir=TB; ranksep=0.9; nodesep=0.5;"]
    for (before, after), causes in record().items():
        label = "".join(f"  {cause}  \\l" for cause in causes)
        lines.append(f'"{before.value}" -> "{after.value}" [label="{label}"];')
    return "\n".join([*lines, "}"])


class RegistrationLife(Drawing):
    """``.. registration-life::``"""

    draw = staticmethod(life_dot)
    text = "The life of a registration: its states, and the events that lead from one to another"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("registration-life", RegistrationLife)
    return {"parallel_read_safe": True}
