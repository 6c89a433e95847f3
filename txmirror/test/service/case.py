"""A daemon on a server in memory, with a configuration that the test writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txmirror.checks import Status
from txmirror.client import ZooKeeperClient
from txmirror.configuration import Configuration, load
from txmirror.embedded import EmbeddedServer
from txmirror.errors import NoNodeException
from txmirror.machine import Machine
from txmirror.service import Daemon
from txmirror.test.constant_random import ConstantRandom
from txmirror.testing import MemoryReactor

#: The session timeout of the daemons, in seconds.
S = 4.0


@implementer(ILogObserver)
class Log:
    """Keeps the lines that this package logs, from information upwards."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.worst = LogLevel.info

    def __call__(self, event: LogEvent) -> None:
        if event["log_namespace"].startswith("txmirror.") and event["log_level"] >= LogLevel.info:
            self.lines.append(formatEvent(event))
            self.worst = max(self.worst, event["log_level"])

    def about(self, text: str) -> list[str]:
        return [line for line in self.lines if text in line]


def service(name: str, *, checks: int = 1, **keys: object) -> str:
    """Return a service's table, with ttl checks named c0, c1, ..."""
    lines = ["[[service]]", f'name = "{name}"', f'node = "{name}:1"', 'path = "/services"']
    lines += [f"{key.replace('__', '.')} = {json.dumps(value)}" for key, value in keys.items()]
    for number in range(checks):
        lines += ["[[service.check]]", 'type = "ttl"', 'ttl = "1h"', f'name = "c{number}"']
    return "\n".join([*lines, ""])


class DaemonTestCase(SynchronousTestCase):
    """A test of daemons, which all get their random numbers from it, as do its clients.

    :ivar chance: the random numbers.
    """

    imitate = "3.8"

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.chance: Random = ConstantRandom(0.5)
        self.server = EmbeddedServer(self.reactor, version=self.imitate)
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)
        self.clients: list[ZooKeeperClient] = []
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.state_file = self.folder.absolute() / "state"
        self.machine = "machine1"
        self.host = "host1"
        self.running: list[Daemon] = []

    def tearDown(self) -> None:
        for daemon in list(self.running):
            self.end(daemon, 40)
        for client in self.clients:
            client.close()
        self.reactor.pass_time(6)
        self.server.stop()
        self.reactor.settle()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.links, [])

    # The daemon.

    def write(self, *parts: str, state: bool = False, zookeeper: str = "", daemon: str = "") -> Path:
        """Write the configuration's file."""
        head = f'[zookeeper]\nservers = "127.0.0.1:2181"\nsession_timeout = {S}\n{zookeeper}\n'
        if state:
            head += f'state_file = "{self.state_file}"\n'
        path = self.folder / "txmirror.toml"
        path.write_text("\n".join([head, "[daemon]", daemon, "[host]\nallow_loopback = true", *parts]))
        return path

    def load(self) -> Configuration:
        return load(self.folder / "txmirror.toml", self.this_machine())

    def this_machine(self) -> Machine:
        return Machine(self.host, self.machine, 4711, {})

    def daemon(self, *parts: str, settle: bool = True, **keys: Any) -> Daemon:
        """Start a daemon with these services."""
        self.write(*parts, **keys)
        daemon = self.make_daemon(self.load(), load=self.load, clock=self.reactor)
        daemon.startService()
        self.running.append(daemon)
        if settle:
            self.reactor.settle()
        return daemon

    def make_daemon(self, configuration: Configuration, **options: Any) -> Daemon:
        """Return a daemon that the test starts itself.

        :param options: further arguments of the daemon.
        """
        return Daemon(configuration, machine=self.this_machine(), random=self.chance, reactor=self.reactor, **options)

    def push(self, daemon: Daemon, name: str, status: Status = Status.OK, check: str = "c0") -> None:
        daemon.supervisor.push(name, check, status, "")
        self.reactor.settle()

    def end(self, daemon: Daemon, seconds: float = 0.0) -> None:
        """Stop a daemon, which takes no longer than this."""
        if daemon in self.running:
            self.running.remove(daemon)
        stopped: Deferred[None] = daemon.stopService()
        self.reactor.pass_time(seconds)
        self.assertIsNone(self.successResultOf(stopped))

    def kill(self, daemon: Daemon) -> None:
        """End a daemon as SIGKILL does: its connections are lost, and its timers never fire. Its lock is free."""
        self.running.remove(daemon)
        daemon.checks.stopService()
        for each in daemon.supervisor.services.values():
            each.freeze()
        daemon.supervisor.maintenance.stop()
        state = daemon._state
        # Nothing more is written to the file.
        if state is not None:
            state._again.stop()
            state._unlock()
        content = self.state_file.read_bytes() if self.state_file.exists() else None
        finished = daemon.registrations.finish(leave=True)
        self.reactor.pass_time(0.1)
        self.successResultOf(finished)
        self.assertEqual(self.state_file.read_bytes() if self.state_file.exists() else None, content)

    # ZooKeeper.

    def client(self) -> ZooKeeperClient:
        client = ZooKeeperClient("127.0.0.1:2181", random=self.chance, reactor=self.reactor)
        self.clients.append(client)
        connected = client.connect()
        self.reactor.settle()
        self.successResultOf(connected)
        return client

    def registered(self, client: ZooKeeperClient | None = None) -> dict[str, Mapping[str, object]]:
        """Return the data of the znodes that are registered, by their services' names."""
        if client is None:
            client = self.clients[0] if self.clients else self.client()
        reading = client.get_children("/services").addErrback(lambda failure: failure.trap(NoNodeException) and [])
        self.reactor.settle()
        found = {}
        for name in sorted(self.successResultOf(reading)):
            read = client.get(f"/services/{name}")
            self.reactor.settle()
            found[name.partition(":")[0]] = json.loads(self.successResultOf(read)[0])
        return found

    def stat(self, name: str) -> Any:
        """Return the stat of a service's znode; None if there is none."""
        reading = self.clients[0].exists(f"/services/{name}:1")
        self.reactor.settle()
        return self.successResultOf(reading)
