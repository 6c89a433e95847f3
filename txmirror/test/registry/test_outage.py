"""ZooKeeper away for a minute, and registries that are asked, and changed, all the while."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from txmirror.client import Limits
from txmirror.client import client as client_module
from txmirror.errors import NoConnection
from txmirror.registry import ServiceRegistry
from txmirror.test.client.peer import LongestPauses
from txmirror.test.registry.case import RegistryTestCase
from txmirror.types import Answer, ZnodeStat

#: How long ZooKeeper is away, and how soon everything is right when it is back, in seconds.
AWAY, SOON = 60.0, 2.0
#: How often everything is asked for, in seconds.
EVERY = 0.1

#: Nothing changes of the first while ZooKeeper is away; of the others one thing each, or several.
QUIET, GROWING, SHRINKING, CHANGING, BUSY, THEIRS = PATHS = [
    f"/services/{name}" for name in ("quiet", "growing", "shrinking", "changing", "busy", "theirs")
]


@implementer(ILogObserver)
class Errors:
    """Keeps all lines that are logged as errors."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if event["log_level"] >= LogLevel.error:
            self.texts.append(formatEvent(event))


class Follower:
    """A registry with calls for all paths, all the time, and callbacks.

    :ivar wrong: its violations.
    :ivar told: the reported answers of each path.
    """

    def __init__(self, registry: ServiceRegistry) -> None:
        self.registry = registry
        self.wrong: list[str] = []
        self.told: dict[str, list[Answer]] = {path: [] for path in PATHS}
        self.asked = 0
        for path in PATHS:
            registry.add_callback(path, self.told[path].append)

    def ask(self) -> None:
        """Call ``get`` for all paths; each answer comes at once, and equals the last reported one."""
        for path in PATHS:
            answers: list[Any] = []
            self.registry.get(path).addBoth(answers.append)
            self.asked += 1
            if answers != self.told[path][-1:]:
                self.wrong.append(f"{path} was {answers}, and not {self.told[path][-1:]}")

    def forget(self) -> None:
        """Drop all reported answers but the last of each path."""
        for told in self.told.values():
            del told[:-1]

    def children(self, path: str) -> list[dict[str, object]]:
        """Return the children of each notification, without the keys that every node of a registry has."""
        return [
            {
                name: {key: data[key] for key in data.keys() - {"pid", "created", "created_zone"}}
                if isinstance(data, dict)
                else data
                for name, data in answer["children"].items()
            }
            for answer in self.told[path]
        ]


class OutageTests(RegistryTestCase):
    def setUp(self) -> None:
        self.patch(client_module, "Random", LongestPauses)
        super().setUp()
        # It looks when all is to be right, and has to be back by then.
        self.other = self.world.client(session_timeout=40.0, limits=Limits(max_backoff=0.5))
        self.errors = Errors()
        globalLogPublisher.addObserver(self.errors)
        self.addCleanup(globalLogPublisher.removeObserver, self.errors)
        #: What is to be there, and who has it.
        self.wanted: dict[str, tuple[ServiceRegistry, dict[str, object]]] = {}
        self.eager, self.lazy = self.started(), self.started(lazy=True)
        for who, registry in (("eager", self.eager), ("lazy", self.lazy)):
            for path in PATHS[:-1]:
                self.want(registry, f"{path}/{who}", {"n": 1})
        self.want(self.lazy, f"{SHRINKING}/gone", {"n": 1})
        self.make(f"{THEIRS}/host", b'{"n":1}', ephemeral=True)
        self.followers = [
            Follower(registry) for registry in (self.eager, self.lazy, self.started(readonly=True, lazy=True))
        ]
        self.world.settle()
        for follower in self.followers:
            follower.forget()
        self.load = LoopingCall(self.ask)
        self.load.clock = self.reactor
        self.load.start(EVERY).addErrback(lambda failure: failure.raiseException())
        self.addCleanup(self.ask_no_more)

    def ask(self) -> None:
        for follower in self.followers:
            follower.ask()

    def ask_no_more(self) -> None:
        if self.load.running:
            self.load.stop()

    def want(self, registry: ServiceRegistry, path: str, data: dict[str, object]) -> None:
        """Register at once."""
        self.assertIs(self.world.result(registry.set_node(path, data)), True)
        self.wanted[path] = (registry, data)

    def stats(self) -> dict[str, ZnodeStat | None]:
        """Return the stats of all nodes that are wanted."""
        return {path: self.stat(path) for path in self.wanted}

    # What happens meanwhile.

    def while_away(self) -> None:
        """Let a minute pass, in which the lazy registry accepts new calls, and the other one refuses them."""
        self.world.pass_time(AWAY / 4)
        self.put_off(lambda: self.lazy.set_node(f"{GROWING}/new", {"n": 1}), f"{GROWING}/new", {"n": 1})
        self.put_off(lambda: self.lazy.set_node(f"{CHANGING}/lazy", {"n": 2}), f"{CHANGING}/lazy", {"n": 2})
        self.put_off(lambda: self.lazy.unset(f"{SHRINKING}/gone"), f"{SHRINKING}/gone", None)
        self.refused(lambda: self.eager.set_node(f"{BUSY}/eager", {"n": 2}))
        self.refused(lambda: self.eager.set_node(f"{BUSY}/refused", {"n": 2}))
        for number in range(2, 6):
            self.put_off(partial(self.lazy.set_node, f"{BUSY}/lazy", {"n": number}), f"{BUSY}/lazy", {"n": number})
        self.world.pass_time(AWAY * 3 / 4 - (self.reactor.seconds() - self.began - AWAY / 4))

    def put_off(self, call: Callable[[], Deferred[bool]], path: str, data: dict[str, object] | None) -> None:
        """Make a call to the lazy registry. It is postponed, with one warning."""
        self.assertIs(self.successResultOf(call()), False)
        self.assertEqual(len(self.warnings.texts), 1, self.warnings.texts)
        self.warnings.texts.clear()
        if data is None:
            del self.wanted[path]
        else:
            self.wanted[path] = (self.lazy, data)

    def refused(self, call: Callable[[], Deferred[bool]]) -> None:
        """Ask the other one for something: that fails, and is not done later either."""
        self.failureResultOf(call(), NoConnection)

    def away(self, leave: Callable[[], None], come_back: Callable[[], None], soon: float = SOON) -> None:
        """Let ZooKeeper be away for a minute, and then be back for as long as all may take to be right."""
        self.world.pass_time(1.0)
        self.began = self.reactor.seconds()
        leave()
        self.while_away()
        self.assertEqual(self.reactor.seconds(), self.began + AWAY)
        for follower in self.followers:
            self.assertTrue(all(follower.registry.stale(path) for path in PATHS))
            self.assertEqual({len(told) for told in follower.told.values()}, {1}, "nothing is told while it is away")
        come_back()
        self.world.pass_time(soon)

    def assert_right(self) -> None:
        """Check that all nodes are as wanted, that all followers know it, and that nothing was wrong meanwhile."""
        for path in PATHS[:-1]:
            there = {f"{path}/{name}" for name in self.world.result(self.other.get_children(path))}
            self.assertEqual(there, {wanted for wanted in self.wanted if wanted.startswith(path + "/")})
        for path, (registry, data) in self.wanted.items():
            stat = self.stat(path)
            assert stat is not None
            self.assertEqual((path, self.says(path), stat.ephemeralOwner), (path, data, self.session_of(registry)))
        now = {path: self.known(path) for path in PATHS}
        for follower in self.followers:
            for path in PATHS:
                self.assertFalse(follower.registry.stale(path))
                self.assertEqual(follower.children(path)[-1], now[path])
                self.assertFalse(any(one == two for one, two in pairwise(follower.told[path])), "told twice")
            self.assertEqual(follower.wrong, [])
            self.assertGreater(follower.asked, len(PATHS) * AWAY / EVERY)
        # It asked all the time, and has not failed.
        self.assertTrue(self.load.running)
        self.assertEqual((self.errors.texts, self.warnings.texts), ([], []))

    def known(self, path: str) -> dict[str, object]:
        """Return the expected answer for a path."""
        return {name: self.says(f"{path}/{name}") for name in self.world.result(self.other.get_children(path))}

    # The tests.

    def test_session_survives(self) -> None:
        """The servers are down, and the sessions survive that: healthy nodes are unchanged, and changes are reported
        once.
        """
        before = self.stats()
        sessions = {registry: self.session_of(registry) for registry in (self.eager, self.lazy)}
        self.away(self.shut_down, self.start_up)
        self.assert_right()
        self.assertEqual(sessions, {registry: self.session_of(registry) for registry in sessions})
        after = self.stats()
        changed = {f"{CHANGING}/lazy", f"{BUSY}/lazy"}
        for path in before.keys() & after.keys():
            one, two = before[path], after[path]
            assert one is not None
            assert two is not None
            self.assertEqual(two, one) if path not in changed else self.assertEqual(two.czxid, one.czxid)
        for path in changed:
            stat = after[path]
            assert stat is not None
            self.assertEqual(stat.version, 1, "only the last is written")
        expected = {QUIET: 1, GROWING: 2, SHRINKING: 2, CHANGING: 2, BUSY: 2, THEIRS: 1}
        for follower in self.followers:
            self.assertEqual({path: len(told) for path, told in follower.told.items()}, expected)

    def test_sessions_end(self) -> None:
        """The servers are down, and the sessions end: everything is registered again, and unchanged answers are not
        reported.
        """
        self.sessions_end(self.shut_down, self.start_up_late)

    def test_silence(self) -> None:
        """With silent servers everything is registered again; the attempt in progress when ZooKeeper is back may fail,
        too.
        """
        self.sessions_end(self.go_away, self.come_back, SOON + self.timeout / 3)

    def shut_down(self) -> None:
        self.port = self._port
        self.world.server.stop_listening()

    def start_up(self) -> None:
        self.world.server.listen(self.port)

    def start_up_late(self) -> None:
        """Let the server be there again, without the sessions of the registries."""
        for session in self.world.server.sessions - {self.other.session_id}:
            self.world.server.expire_session(session)
        self.start_up()

    def sessions_end(self, leave: Callable[[], None], come_back: Callable[[], None], soon: float = SOON) -> None:
        before = self.stats()
        sessions = {registry: self.session_of(registry) for registry in (self.eager, self.lazy)}
        self.away(leave, come_back, soon)
        self.assert_right()
        for registry, session in sessions.items():
            self.assertNotEqual(self.session_of(registry), session)
        for path, stat in self.stats().items():
            assert stat is not None
            self.assertEqual(stat.version, 0, "it is made once, as it is wanted now")
            former = before.get(path)
            self.assertTrue(former is None or stat.czxid > former.czxid)
        for follower in self.followers:
            self.assertEqual(len(follower.told[THEIRS]), 1)
