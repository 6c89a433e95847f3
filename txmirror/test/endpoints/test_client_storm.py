"""Client endpoints under random faults, from fixed seeds: every connection comes to an end, and at the end all is well again."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.application.internet import ClientService
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.discovery import ServiceProvider
from txmirror.endpoints import ProviderClientEndpoint
from txmirror.errors import NoInstanceException
from txmirror.registry import ServiceRegistry
from txmirror.test.endpoints.case import PORT, Closer, Greeter, RecorderFactory
from txmirror.test.endpoints.registry_case import RegistryCase

HOSTS = [f"10.0.0.{number}" for number in range(1, 6)]


class Storm:
    """Instances that start, end and misbehave, and connections to them.

    :param case: the test.
    :param seed: decides on all that happens.
    """

    def __init__(self, case: RegistryCase, seed: int) -> None:
        self.case = case
        self.random = Random(seed)
        self.running: dict[str, ServiceRegistry] = {}
        self.silent: set[str] = set()
        self.registry = case.world.registry()
        self.provider = ServiceProvider(self.registry, "/services/web", pick="least-pending", random=Random(seed))
        self.endpoint = ProviderClientEndpoint(self.provider, timeout=20.0, reactor=case.reactor)
        self.connecting: list[Deferred[Any]] = []
        self.ends: list[Failure] = []
        self.open: list[Any] = []

    def run(self, steps: int) -> None:
        actions = [self.start, self.start, self.kill, self.stop, self.silence, self.speak, self.cut, self.connect]
        actions += [self.connect, self.cancel, self.close, self.leave_zookeeper, self.return_to_zookeeper]
        for _ in range(steps):
            self.random.choice(actions)()
            self.case.reactor.pass_time(self.random.choice((0.0, 0.1, 1.0, 3.0, 10.0)))

    def end(self) -> None:
        """End all faults, and leave one instance at least."""
        for host in list(self.silent):
            self.silent.discard(host)
            self.case.reactor.undo_black_hole(host, PORT)
        self.return_to_zookeeper()
        for host in [host for host in self.running if host.endswith("5")]:
            self.kill(host)
        if not self.running:
            self.case.serve(HOSTS[0])

    # Instances. The last one closes every connection at once.

    def start(self) -> None:
        host = self.random.choice(HOSTS)
        if host not in self.running:
            self.running[host] = self.case.serve(host, Closer if host == HOSTS[-1] else Greeter)

    def kill(self, host: str | None = None) -> None:
        if self.running:
            host = host or self.random.choice(list(self.running))
            self.case.kill(host, self.running.pop(host))

    def stop(self) -> None:
        if self.running:
            host = self.random.choice(list(self.running))
            self.case.world.result(self.running.pop(host).stop())
            self.case.end(host)

    def silence(self) -> None:
        host = self.random.choice(HOSTS)
        self.silent.add(host)
        self.case.reactor.black_hole(host, PORT)

    def speak(self) -> None:
        if self.silent:
            self.case.reactor.undo_black_hole(self.silent.pop(), PORT)

    def cut(self) -> None:
        links = [each for each in self.case.reactor.links if each.server_address.port == PORT]
        if links:
            self.random.choice(links).cut()

    # ZooKeeper.

    def leave_zookeeper(self) -> None:
        self.case.world.disconnect(self.registry)

    def return_to_zookeeper(self) -> None:
        self.case.world.reconnect(self.registry)

    # Connections.

    def connect(self) -> None:
        self.connecting.append(self.endpoint.connect(self.case.factory))
        self.connecting[-1].addCallbacks(self.open.append, self.ends.append)

    def cancel(self) -> None:
        if self.connecting:
            self.random.choice(self.connecting).cancel()

    def close(self) -> None:
        if self.open:
            transport = self.open.pop(self.random.randrange(len(self.open))).tcp
            self.random.choice((transport.loseConnection, transport.abortConnection))()


class StormTests(RegistryCase):
    def storm(self, seed: int) -> None:
        storm = Storm(self, seed)
        factory = RecorderFactory()
        service = ClientService(storm.endpoint, factory, retryPolicy=lambda _: 0.5, clock=self.reactor)
        service.startService()
        storm.run(60)
        storm.end()
        self.reactor.pass_time(90.0)

        connected: Deferred[Any] = service.whenConnected()
        self.assertIn(self.successResultOf(connected).tcp.getPeer().host, HOSTS[:-1])
        self.assertEqual([each for each in storm.connecting if not each.called], [])
        kinds = {type(each.value) for each in storm.ends}
        self.assertLessEqual(kinds, {CancelledError, NoInstanceException})
        # The one of the service, and those of the program that are open.
        links = [each for each in self.reactor.links if each.server_address.port == PORT]
        self.assertEqual(len(links), 1 + len([each for each in storm.open if each.lost is None]))
        self.assertEqual(sum(storm.provider._pending._counts.values()), len(links))

        self.world.result(service.stopService())
        for each in storm.open:
            each.tcp.abortConnection()
        self.reactor.settle()
        self.assertEqual(storm.provider._pending._counts, {})
        storm.provider.close()

    def test_seeds(self) -> None:
        for seed in range(8):
            with self.subTest(seed):
                self.storm(seed)
                self.end_all()
                self.world.close()
                self.setUp()
