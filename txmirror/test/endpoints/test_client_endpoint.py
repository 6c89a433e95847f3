"""The client endpoint of a registry, in a world: it finds what is registered, follows it through failures, and leaves nothing behind."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.application.internet import ClientService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface.verify import verifyObject

from txmirror.discovery import ServiceProvider
from txmirror.endpoints import ProviderClientEndpoint, RegistryClientEndpoint
from txmirror.errors import NoInstanceException
from txmirror.test.endpoints.case import PORT
from txmirror.test.endpoints.registry_case import PATH, A, B, C, RegistryCase


class RegistryClientEndpointTests(RegistryCase):
    def setUp(self) -> None:
        super().setUp()
        self.registry = self.world.registry()

    def endpoint(self, **options: Any) -> RegistryClientEndpoint:
        return RegistryClientEndpoint(self.registry, PATH, **options)

    def test_interface(self) -> None:
        verifyObject(IStreamClientEndpoint, self.endpoint())
        self.assertEqual(repr(self.endpoint()), f"<RegistryClientEndpoint {PATH!r}>")

    def test_in_turn(self) -> None:
        """Connections go to the instances in turn, also with a new endpoint for each: they share what they know."""
        self.serve(A)
        self.serve(B)
        self.assertEqual({self.connected(self.endpoint()) for _ in range(2)}, {A, B})
        endpoint = self.endpoint()
        self.assertEqual({self.connected(endpoint) for _ in range(2)}, {A, B})

    def test_options(self) -> None:
        """The options choose the instance."""
        self.serve(A, zone="a", kind="big")
        self.serve(B, zone="b", kind="small")
        for options, host in (
            ({"where": {"kind": "small"}}, B),
            ({"where": lambda each: each.data["kind"] == "big"}, A),
            ({"zone": "b"}, B),
            ({"codec": "ndsr", "zone": "a"}, A),
        ):
            with self.subTest(options):
                self.assertEqual({self.connected(self.endpoint(**options)) for _ in range(3)}, {host})
        sticky = {self.connected(self.endpoint(pick="sticky", key="user 7")) for _ in range(3)}
        self.assertEqual(len(sticky), 1)

    def test_far_zone(self) -> None:
        """If the only instance in the zone does not answer, one of another zone has time enough."""
        self.serve(A, zone="a")
        self.serve(B, zone="b")
        self.reactor.black_hole(A, PORT)
        connecting = self.connect(self.endpoint(zone="a", timeout=30.0))
        self.reactor.pass_time(5.0)
        self.assertEqual(self.successResultOf(connecting).tcp.getPeer().host, B)

    def test_hold_for(self) -> None:
        """Endpoints with other limits have lists of their own: one keeps the former instances for some time after an outage."""
        instances = [self.serve(host) for host in (A, B)]
        held, not_held = self.endpoint(hold_for=60.0), self.endpoint()
        self.connected(held)
        self.connected(not_held)
        self.world.disconnect(self.registry)
        for registry in instances:
            self.world.result(registry.stop())
        self.world.reconnect(self.registry)
        self.reactor.pass_time(6.0)
        self.assertIn(self.connected(held), (A, B))
        self.failureResultOf(self.connect(self.endpoint(wait=0.0)), NoInstanceException)

    def test_unhashable(self) -> None:
        """Endpoints whose arguments cannot be compared do not share what they know, and work all the same."""
        self.serve(A, tags=["x"])
        self.serve(B, tags=["y"])
        for tag, host in (("x", A), ("y", B)):
            endpoint = self.endpoint(where={"tags": [tag]})
            self.assertEqual({self.connected(endpoint) for _ in range(2)}, {host})

    def test_invalid(self) -> None:
        invalid: tuple[tuple[dict[str, Any], type[Exception], str], ...] = (
            ({"pick": "best"}, ValueError, "'best'"),
            ({"pick": 7}, TypeError, "7"),
            ({"codec": "xml"}, LookupError, "xml"),
            ({"wait": "soon"}, TypeError, "'soon'"),
            ({"timeout": -1.0}, ValueError, "-1.0"),
            ({"least_in_zone": 0}, ValueError, "least_in_zone is 0"),
            ({"hold_for": "long"}, TypeError, "'long'"),
            ({"down_after": 0}, ValueError, "down_after is 0"),
            ({"down_for": -2}, ValueError, "-2"),
        )
        for options, kind, quoted in invalid:
            with self.subTest(options), self.assertRaises(kind) as raised:
                self.endpoint(**options)
            self.assertIn(quoted, str(raised.exception))
        self.assertRaises(ValueError, RegistryClientEndpoint, self.registry, "a\0b")

    def test_first_list(self) -> None:
        """The first connection waits for the list, and for an instance, for a bounded time."""
        connecting = self.connect(self.endpoint(wait=5.0))
        self.reactor.pass_time(4.0)
        self.assertNoResult(connecting)
        self.serve(A)
        self.assertEqual(self.successResultOf(connecting).tcp.getPeer().host, A)
        failing = self.connect(RegistryClientEndpoint(self.registry, "/services/none", wait=5.0))
        self.reactor.pass_time(5.0)
        failed = self.failureResultOf(failing, NoInstanceException).value
        self.assertIn("the path does not exist", str(failed))

    def test_zookeeper_away_at_first(self) -> None:
        """Without ZooKeeper the first connection fails after the wait, and says so; cancelled, it ends at once."""
        self.world.disconnect(self.registry)
        connecting = self.connect(self.endpoint(wait=3.0))
        self.reactor.pass_time(3.0)
        self.failureResultOf(connecting, NoInstanceException)
        connecting = self.connect(self.endpoint(wait=3.0))
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)

    def test_zookeeper_away(self) -> None:
        """With ZooKeeper away, connections go to the last known instances, and still to the next one after a failure."""
        registries = {host: self.serve(host) for host in (A, B)}
        endpoint = self.endpoint()
        self.connected(endpoint)
        self.world.disconnect()
        self.reactor.pass_time(60.0)
        self.assertEqual({self.connected(endpoint) for _ in range(2)}, {A, B})
        self.kill(A, registries[A])
        self.assertEqual({self.connected(endpoint) for _ in range(3)}, {B})

    def test_marked_down(self) -> None:
        """An instance that has refused twice is left alone for half a minute, also by other endpoints."""
        self.kill(A, self.serve(A))
        self.serve(B)
        attempts = self.note_attempts()
        for _ in range(6):
            self.assertEqual(self.connected(self.endpoint()), B)
        self.assertEqual(attempts.count(A), 2)

    def test_registry_stops(self) -> None:
        """A connection that waits ends with the registry's stop at the latest after its wait, and leaves nothing."""
        connecting = self.connect(self.endpoint(wait=5.0))
        self.world.result(self.registry.stop())
        self.reactor.pass_time(5.0)
        failed = self.failureResultOf(connecting, NoInstanceException).value
        self.assertIn("the registry is not connected to ZooKeeper", str(failed))

    def test_registry_stopped(self) -> None:
        """A stopped registry still has the last known instances."""
        self.serve(A)
        self.connected(self.endpoint())
        self.world.result(self.registry.stop())
        self.assertEqual(self.connected(self.endpoint()), A)

    def test_no_leak(self) -> None:
        """A hundred endpoints that are used and dropped leave no object, and one list of instances."""
        self.serve(A)
        dropped: list[weakref.ref[RegistryClientEndpoint]] = []
        for _ in range(100):
            endpoint = self.endpoint()
            dropped.append(weakref.ref(endpoint))
            self.connected(endpoint)
            for link in list(self.reactor.links):
                if link.server_address.host == A:
                    link.client.loseConnection()
            self.reactor.settle()
        del endpoint
        self.factory.made.clear()
        gc.collect()
        self.assertEqual([each for each in dropped if each() is not None], [])
        self.assertEqual(self.count_providers(), 1)

    def count_providers(self) -> int:
        """Return the number of providers of the registry that are not closed."""
        gc.collect()
        objects: list[Any] = [each for each in gc.get_objects() if type(each) is ServiceProvider]
        return len([each for each in objects if each._reactor is self.reactor and not each._closed])

    def test_no_leak_of_functions(self) -> None:
        """Endpoints with functions share no provider, and theirs is closed when they and their attempts are gone."""
        self.serve(A)
        for _ in range(20):
            self.connected(self.endpoint(where=lambda each: each.address))
        self.assertLessEqual(self.count_providers(), 2)
        waiting = self.connect(RegistryClientEndpoint(self.registry, PATH, where=lambda each: False, wait=5.0))
        self.connected(self.endpoint())
        self.assertNoResult(waiting)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        # The exception has references to the attempt.
        gc.collect()
        self.connected(self.endpoint())
        self.assertEqual(self.count_providers(), 1)


class ProviderClientEndpointTests(RegistryCase):
    def test_provider(self) -> None:
        """A program's own provider is used, and learns of failures."""
        self.serve(A)
        self.kill(B, self.serve(B))
        provider = ServiceProvider(self.world.registry(), PATH)
        self.world.settle()
        endpoint = ProviderClientEndpoint(provider, reactor=self.reactor)
        self.assertEqual({self.connected(endpoint) for _ in range(6)}, {A})
        self.assertEqual([each.address for each in provider.instances()], [A])

    def test_closed(self) -> None:
        """When the program closes the provider, a connection that waits fails, and so does every later one."""
        provider = ServiceProvider(self.world.registry(), "/services/none")
        endpoint = ProviderClientEndpoint(provider, reactor=self.reactor)
        waiting = self.connect(endpoint)
        self.assertNoResult(waiting)
        provider.close()
        self.failureResultOf(waiting, NoInstanceException)
        self.failureResultOf(self.connect(endpoint), NoInstanceException)

    def test_closed_while_connecting(self) -> None:
        """An attempt that has begun before is completed."""
        self.serve(A)
        provider = ServiceProvider(self.world.registry(), PATH)
        self.world.settle()
        connecting: Deferred[Any] = ProviderClientEndpoint(provider, reactor=self.reactor).connect(self.factory)
        provider.close()
        self.reactor.settle()
        self.assertEqual(self.successResultOf(connecting).tcp.getPeer().host, A)
        self.reactor.pass_time(2.0)


class FailoverTests(RegistryCase):
    """A ``ClientService`` moves from instance to instance by itself."""

    def setUp(self) -> None:
        super().setUp()
        endpoint = RegistryClientEndpoint(self.world.registry(), PATH)
        self.service = ClientService(endpoint, self.factory, retryPolicy=lambda _: 0.5, clock=self.reactor)
        self.service.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        self.world.result(self.service.stopService())

    def host(self) -> str:
        """Return the host to which the service is connected now."""
        self.reactor.settle()
        connected: Deferred[Any] = self.service.whenConnected()
        return str(self.successResultOf(connected).tcp.getPeer().host)

    def test_failover(self) -> None:
        """Instances are killed one after the other; each time the service has another one within its retry."""
        registries = {host: self.serve(host) for host in (A, B, C)}
        left = {A, B, C}
        while len(left) > 1:
            current = self.host()
            self.kill(current, registries[current])
            left.remove(current)
            self.reactor.pass_time(0.5)
            self.assertIn(self.host(), left)
        current = self.host()
        self.kill(current, registries[current])
        self.reactor.pass_time(120.0)
        self.serve("10.0.0.4")
        self.reactor.pass_time(6.0)
        self.assertEqual(self.host(), "10.0.0.4")

    def test_restarted(self) -> None:
        """The only instance is killed and started again at the same address, and is used at once, though it had failed."""
        self.kill(A, self.serve(A))
        self.reactor.pass_time(20.0)
        self.serve(A)
        self.reactor.pass_time(1.0)
        self.assertEqual(self.host(), A)

    def test_zookeeper_restarts(self) -> None:
        """While ZooKeeper is away, the service moves to another known instance."""
        registries = {host: self.serve(host) for host in (A, B)}
        current = self.host()
        self.world.disconnect()
        self.kill(current, registries[current])
        self.reactor.pass_time(1.0)
        self.assertEqual({current, self.host()}, {A, B})
