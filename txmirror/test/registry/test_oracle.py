"""Many registrations under random faults: after the faults the nodes are the wanted ones, and no others."""

from __future__ import annotations

import os
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import NoConnection, NodeExistsException, NoNodeException, SystemErrorException
from txmirror.registry import CODECS, ServiceRegistry
from txmirror.testing import World

#: How many examples there are in place of the profile's.
_EXAMPLES = os.environ.get("TXMIRROR_ORACLE_EXAMPLES")

_PATH = "/services/ssh"
_NODES = [f"{_PATH}/host{number}:22" for number in range(5)]
#: The timeout of the registry, in seconds.
_TIMEOUT = 4.0
#: Long enough for every pause between attempts to be over, in seconds.
_QUIET = 150.0

#: What a call may fail with: then it leaves all as it was.
_REFUSALS = (NoConnection, SystemErrorException)

_node = st.sampled_from(_NODES)
_kind = st.sampled_from(["create", "delete", "set", "get", "transaction", "get_many", "add_watch", "set_watches"])

#: What is wanted, what somebody else does, and what goes wrong.
_step = st.one_of(
    st.tuples(st.just("register"), _node, st.integers(0, 3)),
    st.tuples(st.just("register"), _node, st.integers(0, 3)),
    st.tuples(st.just("unregister"), _node),
    st.tuples(st.just("meddle"), _node, st.sampled_from(["delete", "overwrite", "replace"])),
    st.tuples(st.just("part")),
    st.tuples(st.just("meet")),
    st.tuples(st.just("cut")),
    st.tuples(st.just("expire")),
    st.tuples(st.just("lose"), _kind, st.booleans()),
    st.tuples(st.just("refuse"), _kind),
    st.tuples(st.just("stall")),
    st.tuples(st.just("rebuild")),
    st.tuples(st.just("turns"), st.integers(1, 6)),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.3, 2.0])),
    st.tuples(st.just("wait"), st.sampled_from([5.0, 30.0])),
    st.tuples(st.just("check")),
)


class Scene:
    """A registry, another client that changes its nodes, and the wanted nodes.

    :param lazy: whether the registry is.
    """

    def __init__(self, world: World, lazy: bool) -> None:
        self._world = world
        self._server = world.server
        self._port = int(self._server.address.rpartition(":")[2])
        self._other = world.client(session_timeout=40.0)
        self._lazy = lazy
        # The pauses are the same in every run of an example.
        self.registry = ServiceRegistry(
            world.connect_string, timeout=_TIMEOUT, lazy=lazy, random=Random(1), reactor=world.reactor
        )
        #: What is wanted: what was accepted, and what is asked for and may be refused.
        self._wanted: dict[str, int] = {}
        self._asked: dict[str, tuple[int, object]] = {}
        self._calls: list[Deferred[Any]] = []
        self._faults: list[Any] = []
        self._parted = False

    # What somebody wants.

    def register(self, path: str, number: int) -> None:
        if path not in self._asked:
            # An earlier call may have its result after a withdrawal and this one; it is not this one's.
            asked = self._asked[path] = (number, object())
            call = self.registry.set_node(path, {"n": number})
            self._calls.append(call.addBoth(self._registered, path, asked))

    def _registered(self, result: object, path: str, asked: tuple[int, object]) -> None:
        if self._asked.get(path) is asked:
            del self._asked[path]
            if isinstance(result, Failure):
                result.trap(*_REFUSALS)
            else:
                self._wanted[path] = asked[0]

    def unregister(self, path: str) -> None:
        self._wanted.pop(path, None)
        self._asked.pop(path, None)
        self._calls.append(self.registry.set_node(path, state=False).addErrback(lambda f: f.trap(*_REFUSALS)))

    # What goes wrong.

    def meddle(self, path: str, how: str) -> None:
        if how == "overwrite":
            self._other.set(path, b"somebody else's").addErrback(lambda f: f.trap(NoNodeException))
            return
        self._other.delete(path).addErrback(lambda f: f.trap(NoNodeException))
        if how == "replace":
            self._other.create(path, b"somebody else's", ephemeral=True).addErrback(
                lambda f: f.trap(NodeExistsException, NoNodeException)
            )

    def part(self) -> None:
        self._world.reactor.black_hole("127.0.0.1", self._port)
        self._parted = True
        self.cut()

    def meet(self) -> None:
        self._world.reactor.undo_black_hole("127.0.0.1", self._port)
        self._parted = False

    def cut(self) -> None:
        for connection in self._connections():
            connection.drop()

    def expire(self) -> None:
        for session in self._server.sessions - {self._other.session_id}:
            self._server.expire_session(session)

    def lose(self, kind: str, reply: bool) -> None:
        for connection in self._connections():
            plan = self._server.lose_reply if reply else self._server.lose_request
            self._faults.append(plan(kind, session_id=connection.session_id))

    def refuse(self, kind: str) -> None:
        for connection in self._connections():
            error = SystemErrorException()
            self._faults.append(self._server.fail_next(kind, error, session_id=connection.session_id))

    def stall(self) -> None:
        for connection in self._connections():
            connection.stall()

    def rebuild(self) -> None:
        self._calls.append(self.registry.rebuild().addErrback(lambda f: f.trap(*_REFUSALS)))

    def turns(self, count: int) -> None:
        for _ in range(count):
            self._world.reactor.advance(0)

    def wait(self, seconds: float) -> None:
        self._world.pass_time(seconds)

    def _connections(self) -> list[Any]:
        return [each for each in self._server.connections if each.session_id not in (0, self._other.session_id)]

    # What there is in the end.

    def check(self) -> None:
        """Let it become quiet, and compare."""
        for fault in self._faults:
            fault.cancel()
        self._faults = []
        self.meet()
        # Whoever meddled has gone, with what is theirs.
        for path in _NODES:
            data = self._look(path)
            if data is not None and data[1] == self._other.session_id:
                self._world.result(self._other.delete(path))
        self._world.pass_time(_QUIET)
        assert all(_fired(call) for call in self._calls), "a call has come to nothing"
        assert not self._asked
        self._calls = []
        connection = self.registry._connections.current
        assert connection is not None or not self._wanted
        session = 0 if connection is None else connection.mirror.client.session_id
        found = {path: self._look(path) for path in _NODES}
        expected = {path: ({"n": self._wanted[path]}, session) if path in self._wanted else None for path in _NODES}
        assert found == expected, f"there is {found}, and not {expected}"

    def _look(self, path: str) -> tuple[object, int] | None:
        try:
            data, stat = self._world.result(self._other.get(path))
        except NoNodeException:
            return None
        facts = CODECS["ndsr"].decode(data)
        assert isinstance(facts, dict)
        return {key: facts[key] for key in facts.keys() - {"pid", "created", "created_zone"}}, stat.ephemeralOwner


def _fired(call: Deferred[Any]) -> bool:
    results: list[object] = []
    call.addBoth(results.append)
    return bool(results)


class OracleTests(SynchronousTestCase):
    @given(st.booleans(), st.lists(_step, min_size=10, max_size=40))
    @settings(settings() if _EXAMPLES is None else settings(max_examples=int(_EXAMPLES)))
    def test_oracle(self, lazy: bool, steps: list[tuple[Any, ...]]) -> None:
        """At each quiet point there is exactly one node for each registration that is wanted, owned by the living session,
        with the data last set; and none for those that are not."""
        with World() as world:
            world.reactor.patience = 50_000
            scene = Scene(world, lazy)
            for name, *arguments in steps:
                getattr(scene, name)(*arguments)
            scene.check()
            stopped = scene.registry.stop()
            world.pass_time(10)
            self.successResultOf(stopped)
