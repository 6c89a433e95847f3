"""Any history of changes and outages: in the end a provider has the instances that the server has, and picks only those."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.discovery import ServiceProvider
from txmirror.errors import NodeExistsException, NoNodeException
from txmirror.registry import ServiceRegistry
from txmirror.test.discovery.case import PATH
from txmirror.test.hypothesis_profiles import at_most
from txmirror.testing import World
from txmirror.types import Instance

_NAMES = st.sampled_from(["a:1", "b:1", "c:1", "d:1"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), _NAMES),
        st.tuples(st.just("delete"), _NAMES),
        st.tuples(st.just("set"), _NAMES),
        st.tuples(st.sampled_from(["disconnect", "reconnect", "rebuild", "stop", "start", "fail"]), st.just("")),
        st.tuples(st.just("pass"), st.sampled_from(["0.01", "1", "6", "20"])),
    ),
    max_size=25,
)


class History:
    """A world with a registry and a provider."""

    def __init__(self, world: World, hold_for: float) -> None:
        self.world = world
        self.other = world.client(session_timeout=40.0)
        for path in ("/services", PATH):
            world.result(self.other.create(path))
        self.registry: ServiceRegistry[bool] = world.registry()
        self.provider = ServiceProvider(self.registry, PATH, hold_for=hold_for)
        self.picked: list[Instance] = []
        self.written = 0

    def step(self, kind: str, argument: str) -> None:
        """Let something happen, and pick an instance."""
        path = f"{PATH}/{argument}"
        self.written += 1
        data = b'{"version": %d}' % self.written
        try:
            if kind == "create":
                self.world.result(self.other.create(path, data))
            elif kind == "delete":
                self.world.result(self.other.delete(path))
            elif kind == "set":
                self.world.result(self.other.set(path, data))
        except (NodeExistsException, NoNodeException):
            pass
        if kind == "disconnect":
            self.world.disconnect(self.registry)
        elif kind == "reconnect":
            self.world.reconnect(self.registry)
        elif kind == "pass":
            self.world.pass_time(float(argument))
        elif kind in ("rebuild", "stop", "start"):
            getattr(self.registry, kind)().addErrback(lambda _: None)
        elif kind == "fail":
            for each in self.picked[-2:]:
                self.provider.failed(each)
        self.provider.instance(wait=1.0).addCallbacks(self.picked.append, lambda _: None)

    def end(self) -> None:
        """Let everything be well for long enough."""
        self.world.reconnect(self.registry)
        self.registry.start().addErrback(lambda _: None)
        self.world.pass_time(80)


class HistoryTests(SynchronousTestCase):
    @at_most(30)
    @given(_STEPS, st.sampled_from([0.0, 30.0]))
    def test_in_the_end(self, steps: list[tuple[str, str]], hold_for: float) -> None:
        with World() as world:
            history = History(world, hold_for)
            for kind, argument in steps:
                history.step(kind, argument)
            history.end()
            names = world.result(history.other.get_children(PATH))
            names.sort()
            data = [world.result(history.other.get(f"{PATH}/{name}"))[0] for name in names]
            found = history.provider.instances()
            self.assertEqual([each.name for each in found], names)
            self.assertEqual([each.data for each in found], [json.loads(each) for each in data])
            history.provider.close()
