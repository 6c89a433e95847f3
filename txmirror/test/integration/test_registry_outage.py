"""Real servers away for ten seconds, one killed and one paused, under registries that are asked and changed all the while."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kazoo.client import KazooClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from txmirror.errors import NoConnection
from txmirror.registry import ServiceRegistry
from txmirror.test.client.contract import run
from txmirror.test.integration.faults import SLACK
from txmirror.test.zookeeper import ZooKeeperProcess
from txmirror.types import Answer

# That it has lost its connection is no news.
logging.getLogger("kazoo").addHandler(logging.NullHandler())

#: How long the servers are away, and how soon everything is right when they are back, in seconds.
AWAY, SOON = 10.0, 2.0
#: The session timeouts of those whose session survives, and of the one whose session does not, in seconds.
LONG, SHORT = 5.0, 2.0
#: How often everything is asked for, in seconds.
EVERY = 0.1

SERVICE = "/services/ssh"


@implementer(ILogObserver)
class Complaints:
    """Keeps the registries' warnings, and all errors of this package."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        least = LogLevel.warn if event["log_namespace"].startswith("txmirror.registry") else LogLevel.error
        if event["log_namespace"].startswith("txmirror") and event["log_level"] >= least:
            self.texts.append(formatEvent(event))


class Asked:
    """A registry whose ``get`` is called all the time.

    :ivar told: the arguments of its callback.
    :ivar wrong: the missing answers, and those that differ from the callback's.
    """

    def __init__(self, server: ZooKeeperProcess, **options: Any) -> None:
        self.registry = ServiceRegistry(server.address, **options)
        self.told: list[Answer] = []
        self.wrong: list[object] = []
        self.asked = 0

    def ask(self) -> None:
        answers: list[object] = []
        self.registry.get(SERVICE).addBoth(answers.append)
        self.asked += 1
        if answers != self.told[-1:]:
            self.wrong.append(answers)

    def shows(self, expected: Mapping[str, object]) -> bool:
        """Return whether it shows these nodes, each with its ``n``, and is up to date."""
        children = self.told[-1]["children"]
        return (
            not self.registry.stale(SERVICE)
            and {name: data["n"] if isinstance(data, dict) else data for name, data in children.items()} == expected
        )


def ask_all(everybody: Sequence[Asked]) -> None:
    """Ask each."""
    for asked in everybody:
        asked.ask()


def stop(call: LoopingCall) -> None:
    """Stop it, if it was not stopped before."""
    if call.running:
        call.stop()


class Watcher:
    """kazoo's watch on the data of nodes.

    :ivar seen: of each path the creation of the node that was seen; None where there was none.
    """

    def __init__(self, server: ZooKeeperProcess) -> None:
        retry = {"max_tries": -1, "delay": 0.05, "max_delay": 0.1, "max_jitter": 0.0}
        self.client = KazooClient(server.address, timeout=10.0, connection_retry=retry, command_retry=retry)
        self.seen: dict[str, set[int | None]] = {}

    def watch(self, *paths: str) -> None:
        self.client.start(10)
        for path in paths:
            self.seen[path] = set()
            self.client.DataWatch(path, partial(self._changed, self.seen[path]))

    def _changed(self, seen: set[int | None], _data: bytes | None, stat: Any, *_event: object) -> None:
        seen.add(None if stat is None else stat.czxid)

    def look(self) -> dict[str, int]:
        """Return the czxid of each node that exists."""
        stats = {path: self.client.retry(self.client.exists, path) for path in self.seen}
        return {path: stat.czxid for path, stat in stats.items() if stat is not None}

    def end(self) -> None:
        self.client.stop()
        self.client.close()


class RegistryOutageTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor

    @run
    async def test_ten_seconds(self) -> None:
        """``get`` answers all the time, nothing raises, and two seconds after a server serves again the answers are
        right. If the session has survived, the nodes are unchanged.
        """
        killed, paused = self.make_server(), self.make_server()
        await gatherResults([deferToThread(server.start) for server in (killed, paused)])
        complaints = Complaints()
        eager, lazy = await self.follow(killed, timeout=LONG), await self.follow(killed, timeout=LONG, lazy=True)
        other = await self.follow(paused, timeout=SHORT)
        everybody = (eager, lazy, other)
        for name, asked in (("eager", eager), ("lazy", lazy), ("other", other)):
            for number in range(3):
                self.assertIs(await asked.registry.set_node(f"{SERVICE}/{name}{number}", {"n": 1}), True)
        ours = {f"{name}{number}": 1 for name in ("eager", "lazy") for number in range(3)}
        theirs = {f"other{number}": 1 for number in range(3)}
        await self.when(lambda: eager.shows(ours) and lazy.shows(ours) and other.shows(theirs), 10, "all is there")
        watcher = Watcher(killed)
        self.addCleanup(deferToThread, watcher.end)
        await deferToThread(watcher.watch, *(f"{SERVICE}/{name}" for name in ours))
        before = await deferToThread(watcher.look)
        for asked in everybody:
            del asked.told[:-1]
        globalLogPublisher.addObserver(complaints)
        self.addCleanup(globalLogPublisher.removeObserver, complaints)
        load = LoopingCall(ask_all, everybody)
        going = load.start(EVERY)
        self.addCleanup(stop, load)

        # They go.
        await gatherResults([deferToThread(killed.kill), deferToThread(paused.pause)])
        gone = self.reactor.seconds()
        await deferLater(self.reactor, LONG + 1)
        # One of them is told of new things, which it does later; the others refuse to be.
        self.assertIs(await lazy.registry.set_node(f"{SERVICE}/lazy0", {"n": 2}), False)
        self.assertIs(await lazy.registry.set_node(f"{SERVICE}/new", {"n": 1}), False)
        self.assertIs(await lazy.registry.unset(f"{SERVICE}/lazy1"), False)
        for asked in (eager, other):
            await self.assertFailure(asked.registry.set_node(f"{SERVICE}/refused", {"n": 1}), NoConnection)
        await deferLater(self.reactor, gone + AWAY - self.reactor.seconds())
        for asked in everybody:
            self.assertTrue(asked.registry.stale(SERVICE))
            self.assertEqual(len(asked.told), 1, "nothing is told while they are away")

        # They come back.
        await deferToThread(paused.resume)
        killed.launch()
        del ours["lazy1"]
        await gatherResults(
            [
                self.when(lambda: other.shows(theirs), SOON + SHORT / 3, "a new session has what the former had"),
                Deferred.fromCoroutine(self.restarted(killed, (eager, lazy), {**ours, "lazy0": 2, "new": 1})),
            ]
        )
        load.stop()
        await going
        after = await deferToThread(watcher.look)
        self.assertEqual({f"{SERVICE}/{name}": after[f"{SERVICE}/{name}"] for name in ours}, after)
        for path, czxid in after.items():
            self.assertEqual((before[path], watcher.seen[path]), (czxid, {czxid}))
        for asked in everybody:
            self.assertEqual(asked.wrong, [])
            self.assertGreater(asked.asked, AWAY / EVERY / 2)
        # One for each thing that was put off.
        self.assertEqual(len(complaints.texts), 3, complaints.texts)

    def make_server(self) -> ZooKeeperProcess:
        server = ZooKeeperProcess()
        self.addCleanup(deferToThread, server.cleanup)
        return server

    async def follow(self, server: ZooKeeperProcess, **options: Any) -> Asked:
        """Make a registry that follows the service."""
        asked = Asked(server, **options)
        self.addCleanup(asked.registry.stop)
        await asked.registry.start()
        await asked.registry.add_callback(SERVICE, asked.told.append)
        return asked

    async def restarted(
        self, server: ZooKeeperProcess, everybody: Sequence[Asked], expected: Mapping[str, object]
    ) -> None:
        """Check that everything is right soon after a launched server serves."""
        await deferToThread(server.wait_until_serving)
        # A server that is just listening may never answer a handshake: then that attempt is in vain.
        await self.when(
            lambda: all(asked.shows(expected) for asked in everybody),
            SOON + LONG / 3,
            "the session goes on, and all is done",
        )

    def when(self, so: Callable[[], bool], seconds: float, what: str) -> Deferred[None]:
        """Wait until something is so, but no longer than that (and the slack of a machine that is shared)."""
        since = self.reactor.seconds()

        def look() -> None:
            if so():
                looking.stop()
            elif self.reactor.seconds() > since + seconds + SLACK:
                raise self.failureException(f"not within {seconds:g} s: {what}")

        looking = LoopingCall(look)
        return looking.start(0.02).addCallback(lambda _: None)
