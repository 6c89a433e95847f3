"""Daemons in a storm: what their checks and operators want is registered, and nothing else."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from txmirror.checks import Status
from txmirror.client import ZooKeeperClient
from txmirror.errors import ZooKeeperException
from txmirror.registry import CODECS
from txmirror.service.maintenance import HOST
from txmirror.test.service.storms.host import Host
from txmirror.test.service.storms.process import bury
from txmirror.test.service.storms.registered import Registered
from txmirror.test.service.storms.services import PARENTS, SERVICES, StormService, dependants
from txmirror.testing import World
from txmirror.testing.storm.everything import make_world, replaced_for
from txmirror.testing.storm.journal import Journal
from txmirror.testing.storm.parts import Scene
from txmirror.testing.storm.storms import Plan
from txmirror.testing.storm.truth import Truth

_HOSTS = 2
#: The time from the last results of checks until all must be registered, in seconds.
_DECIDED = 12.0
#: The time for which a write may still be done after its failure, in seconds.
_STILL_DONE = 10.0


class DaemonProgram:
    """Hosts with daemons, and somebody who deletes and overwrites their znodes.

    :param world: the world.
    :param journal: the log.
    :param random: chooses the settings.
    """

    def __init__(self, world: World, journal: Journal, random: Random) -> None:
        self._scene = scene = Scene(world, journal, Truth(world.server._state, journal.recorder.reset))
        self._folder = Path(tempfile.mkdtemp())
        self._random = Random(f"daemons {random.random()}")
        numbers = itertools.count(1)
        self._actions: dict[Callable[[Host, Random], object], float] = {
            self._push: 10,
            self._reload: 2,
            self._maintain: 1.5,
            self._stop: 1,
            self._kill: 0.7,
            self._drain: 0.6,
            self._fill_disk: 0.5,
            self._meddle: 1.5,
            self._describe: 1,
        }
        for action in self._actions:
            # Some happen more often than others.
            self._actions[action] *= random.choice((0.3, 1, 1, 5))
        self._registered = Registered(scene)
        self._hosts = [
            Host(scene, name, self._folder / name, random, numbers, self._registered.excuse)
            for name in (f"host{number}" for number in range(_HOSTS))
        ]
        #: The times until which somebody's writes may be done, by their paths.
        self._meddling: dict[str, float] = {}
        self._other: ZooKeeperClient = world.client(scene.servers(), connect=False)
        self._other.connect().addErrback(_trap)
        for host in self._hosts:
            host.start()

    # Actions.

    def act(self, random: Random) -> None:
        """Let something happen at a host."""
        host = random.choice(self._hosts)
        if host.running is None:
            if random.random() < 0.5:
                host.start()
            return
        random.choices(list(self._actions), list(self._actions.values()))[0](host, random)

    def _push(self, host: Host, random: Random) -> None:
        service = self._choose(host, random)
        if service is not None and service.checks:
            status = random.choice((Status.OK, Status.OK, Status.OK, Status.WARN, Status.FAIL))
            self._excuse(host, service.name)
            host.push(service.name, random.choice(service.check_names), status)

    def _excuse(self, host: Host, name: str) -> None:
        """Note that an event concerns a service, and those that depend on it."""
        assert host.running is not None
        self._registered.excuse(host, name, *dependants(host.running.applied, name))

    def _excuse_path(self, path: str) -> None:
        for host in self._hosts:
            for service in () if host.running is None else host.running.applied:
                if service.path == path:
                    self._excuse(host, service.name)

    def _choose(self, host: Host, random: Random) -> StormService | None:
        assert host.running is not None
        supervised = host.running.daemon.supervisor.services
        return random.choice([each for each in host.running.applied if each.name in supervised] or [None])

    def _reload(self, host: Host, random: Random) -> None:
        if random.random() < 0.15:
            host.write_invalid()
        elif random.random() < 0.8:
            host.write()
        host.reload()

    def _maintain(self, host: Host, random: Random) -> None:
        service = self._choose(host, random)
        if service is None or random.random() < 0.2:
            self._registered.excuse(host)
            host.maintain(HOST)
        else:
            self._excuse(host, service.name)
            host.maintain(service.name)

    def _stop(self, host: Host, random: Random) -> None:
        self._registered.excuse(host)
        host.stop(hurry=random.random() < 0.3)

    def _kill(self, host: Host, random: Random) -> None:
        host.kill()
        if random.random() < 0.7:
            host.start()

    def _drain(self, host: Host, random: Random) -> None:
        self._registered.excuse(host)
        host.drain()

    def _fill_disk(self, host: Host, random: Random) -> None:
        host.disk.fill(random.choice((0.5, 3.0, 12.0)))

    def _meddle(self, host: Host, random: Random) -> None:
        """Let somebody else delete or overwrite a znode."""
        service = self._choose(host, random)
        if service is None:
            return
        path = random.choice(service.paths)
        delete = random.random() < 0.6
        self._scene.journal.note("somebody", f"{'deletes' if delete else 'overwrites'} {path}")
        self._meddling[path] = float("inf")
        call: Deferred[Any] = self._other.delete(path) if delete else self._other.set(path, b"somebody else's")
        call.addErrback(_trap).addCallback(lambda _: self._meddled(path))

    def _meddled(self, path: str) -> None:
        # A write whose connection was lost may still be done.
        self._meddling[path] = self._scene.world.reactor.seconds() + _STILL_DONE

    def _describe(self, host: Host, random: Random) -> None:
        host.describe()

    # Checks.

    def check(self) -> None:
        """Check all that must hold at any moment."""
        for host in self._hosts:
            host.check()
        for path, until in list(self._meddling.items()):
            self._excuse_path(path)
            if until < self._scene.world.reactor.seconds():
                del self._meddling[path]
        self._registered.check(self._hosts)
        self._scene.raise_complaints()

    async def check_settled(self) -> None:
        """Let all checks decide, and check that exactly what they want is registered."""
        for host in self._hosts:
            self._decide(host)
        await deferLater(self._scene.world.reactor, _DECIDED)
        for host in self._hosts:
            host.check_settled()
        self._check_registered()
        self._scene.raise_complaints()

    def _decide(self, host: Host) -> None:
        self._registered.excuse(host)
        for service in () if host.running is None else host.running.applied:
            for name in service.check_names:
                host.push(service.name, name, self._random.choice((Status.OK, Status.OK, Status.OK, Status.FAIL)))

    def _check_registered(self) -> None:
        """Check that each path that is wanted has the znode of one who wants it, and that no other path has one."""
        wishes: dict[str, list[tuple[int, int]]] = {}
        for host in self._hosts:
            for service in host.wanted().values():
                assert host.running is not None
                for path in service.paths:
                    wishes.setdefault(path, []).append((service.number, host.running.session))
        nodes = self._scene.truth.tree.nodes
        there = [f"{parent}/{name}" for parent in PARENTS if parent in nodes for name in nodes[parent].children]
        for path in sorted({*wishes, *there}):
            wanted, node = wishes.get(path, []), nodes.get(path)
            data = b"" if node is None else node.data or b""
            if path.startswith(SERVICES):
                facts = CODECS["ndsr"].decode(data)
                found = (facts.get("n") if isinstance(facts, dict) else facts, 0 if node is None else node.owner)
                right = found in wanted if wanted else node is None
                self._scene.check(right, f"{path} is {found}, and should be one of {wanted}")
            else:
                owner = None if node is None else node.owner
                right = owner in [session for _, session in wanted] if wanted else node is None
                self._scene.check(right, f"{path} is of session {owner}, and should be of one of {wanted}")

    def spared(self) -> Collection[int]:
        """Return no session: any may expire."""
        return ()

    def close(self) -> Deferred[None]:
        """Stop all daemons."""
        stopping = [host.stop(hurry=False) for host in self._hosts if host.running is not None]
        return gatherResults(stopping).addCallback(lambda _: self._finish())

    def _finish(self) -> None:
        for host in self._hosts:
            host.disk.stop()
        shutil.rmtree(self._folder)
        self._scene.raise_complaints()


def plan_of(seed: int) -> Plan:
    """Return the plan of a storm with daemons."""
    bury()
    return Plan(partial(make_world, seed), DaemonProgram, replaced=replaced_for(seed))


def _trap(failure: Failure) -> None:
    failure.trap(ZooKeeperException)
