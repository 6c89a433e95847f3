"""Two registrations of one session never keep the same path: they would overwrite each other without end."""

from __future__ import annotations

import gc
import weakref

from txmirror.errors import NodeExistsException
from txmirror.mirror import Mirror
from txmirror.registry import CODECS, Registration, RegistrationState, ServiceRegistry
from txmirror.test.registry.case import NODE, PATH, RegistryTestCase

OTHER = {"b": 2}


class PathOwnersTestCase(RegistryTestCase):
    """A client, and a mirror on it."""

    def setUp(self) -> None:
        super().setUp()
        self.client = self.world.client(session_timeout=self.timeout)
        self.mirror = self.make_mirror()

    def make_mirror(self) -> Mirror:
        mirror = Mirror(client=self.client, reactor=self.reactor)
        self.addCleanup(mirror.close)
        return mirror

    def register(self) -> Registration:
        """Register on the mirror."""
        registration = Registration(self.mirror, NODE, {"a": 1})
        registration.start()
        self.world.settle()
        self.assertIs(registration.state, RegistrationState.REGISTERED)
        return registration

    def assert_refused(self, registration: Registration) -> None:
        """Check that it cannot be started, and that the attempt writes nothing."""
        before = self.stat()
        error = self.assertRaises(NodeExistsException, registration.start)
        self.assertIn(f"{registration.path!r} is kept by another registration of this session", str(error))
        self.assertIn(repr(registration.path), self.failure(registration.keep({"c": 3}), NodeExistsException))
        self.assertFalse(registration.wanted)
        self.assertIs(registration.state, RegistrationState.WITHDRAWN)
        self.world.pass_time(100)
        self.assertEqual(self.stat(), before)


class RegistrationTests(PathOwnersTestCase):
    def test_same_mirror(self) -> None:
        """A second registration on the same mirror is refused, with any data."""
        self.register()
        self.assert_refused(Registration(self.mirror, NODE, OTHER))
        self.assert_refused(Registration(self.mirror, NODE, {"a": 1}))

    def test_same_client(self) -> None:
        """A second registration on another mirror of the same client is refused."""
        self.register()
        self.assert_refused(Registration(self.make_mirror(), NODE, OTHER))

    def test_view(self) -> None:
        """A second registration through a chroot, of the mirror or of the client, is refused, in both directions."""
        first = self.register()
        name = NODE.removeprefix(PATH)
        view = Registration(self.mirror.chroot(PATH), name, OTHER)
        self.assert_refused(view)
        beside = Mirror(client=self.client.chroot(PATH), reactor=self.reactor)
        self.addCleanup(beside.close)
        self.assert_refused(Registration(beside, name, OTHER))
        self.world.result(first.stop())
        view.start()
        self.world.settle()
        self.assert_refused(first)

    def test_not_yet_connected(self) -> None:
        """A second registration is refused before there is a session."""
        client = self.world.client(connect=False)
        mirrors = [Mirror(client=client, reactor=self.reactor) for _ in range(2)]
        for mirror in mirrors:
            self.addCleanup(mirror.close)
        registrations = [Registration(mirror, NODE, OTHER) for mirror in mirrors]
        registrations[0].start()
        self.assertRaises(NodeExistsException, registrations[1].start)

    def test_next_session(self) -> None:
        """A second registration is refused in the client's next session."""
        first = self.register()
        self.world.server.expire_session(self.client.session_id)
        self.world.pass_time(5)
        self.assertIs(first.state, RegistrationState.REGISTERED)
        self.assert_refused(Registration(self.mirror, NODE, OTHER))

    def test_other_sessions(self) -> None:
        """Another session's registration, and one of another path, is as it was: it waits, or is kept."""
        self.register()
        other = Registration(self.mirror, NODE + "1", OTHER)
        other.start()
        mirror = Mirror(client=self.world.client(), reactor=self.reactor)
        self.addCleanup(mirror.close)
        blocked = Registration(mirror, NODE, OTHER)
        blocked.start()
        self.world.settle()
        self.assertIs(other.state, RegistrationState.REGISTERED)
        self.assertIs(blocked.state, RegistrationState.BLOCKED)

    def test_after_stop(self) -> None:
        """When the first was stopped, or its mirror closed, the second is kept; and then the first is refused."""
        first = self.register()
        second = Registration(self.make_mirror(), NODE, OTHER)
        self.world.result(first.stop())
        self.assertIs(self.world.result(second.keep(OTHER)), RegistrationState.REGISTERED)
        self.assert_refused(first)
        self.world.result(second._mirror.close())
        self.assertIs(self.world.result(first.keep({"a": 1})), RegistrationState.REGISTERED)
        self.assertEqual(self.says(), {"a": 1})

    def test_same_again(self) -> None:
        """A registration may be started, stopped and started again."""
        first = self.register()
        first.start()
        first.stop()
        first.start()
        self.world.settle()
        self.assertIs(first.state, RegistrationState.REGISTERED)

    def test_withdrawal_under_way(self) -> None:
        """A withdrawal in an outage is over when another registration takes the path: it keeps the node, and the first
        deletes it no more."""
        for seconds in (1.0, 20.0):
            first = self.register()
            self.go_away()
            stopped = first.stop(timeout=None)
            second = Registration(self.make_mirror(), NODE, OTHER)
            second.start()
            self.assertIsNone(self.successResultOf(stopped))
            self.assertIs(first.state, RegistrationState.WITHDRAWN)
            self.world.pass_time(seconds)
            self.come_back()
            self.world.pass_time(10)
            self.assertEqual(self.says(), OTHER)
            self.assertIs(second.state, RegistrationState.REGISTERED)
            self.world.result(second.stop())
            self.assertIsNone(self.stat())

    def test_any_moment(self) -> None:
        """At whichever moment the first is stopped, and the second started, the second is in place in the end."""
        for turns in range(24):
            first = Registration(self.mirror, NODE, {"a": 1})
            second = Registration(self.make_mirror(), NODE, OTHER)
            first.start()
            self._after(turns, first, second)
            self.world.pass_time(5)
            self.assertEqual(self.says(), OTHER, turns)
            self.assertIs(first.state, RegistrationState.WITHDRAWN)
            self.assertIs(second.state, RegistrationState.REGISTERED)
            self.world.result(second.stop())
            self.assertIsNone(self.stat())

    def _after(self, turns: int, first: Registration, second: Registration) -> None:
        """Pass from one to the other when the world has taken so many turns: half of them to the stop, half to the start."""

        def later(count: int, call: object) -> None:
            assert callable(call)
            if count:
                self.reactor.callLater(0, later, count - 1, call)
            else:
                call()

        later(turns // 2, first.stop)
        later(turns, second.start)

    def test_forgotten(self) -> None:
        """Nothing is held for it: neither the mirror nor the client nor a registration that was stopped."""
        first = self.register()
        self.world.result(first.stop())
        held = weakref.ref(first)
        del first
        gc.collect()
        self.assertIsNone(held())


class RegistryTests(PathOwnersTestCase):
    def on_mirror(self, **options: object) -> ServiceRegistry:
        """Make a registry that uses the mirror."""
        return self.registry(mirror=self.mirror, **options)

    def test_two_registries(self) -> None:
        """Of two registries that share a mirror the second is refused, and keeps nothing of that."""
        first, second = self.on_mirror(), self.on_mirror()
        self.assertIs(self.world.result(first.set_node(NODE, {"a": 1})), True)
        before = self.stat()
        for _ in range(2):
            self.assertIn(repr(NODE), self.failure(second.set_node(NODE, OTHER), NodeExistsException))
        self.world.pass_time(100)
        self.assertEqual((self.stat(), self.says()), (before, {"a": 1}))
        self.assertIs(self.world.result(first.set_node(NODE, {"a": 2})), True)
        self.assertIs(self.world.result(first.set_node(NODE, state=False)), True)
        self.world.pass_time(100)
        self.assertIsNone(self.stat())
        self.assertIs(self.world.result(second.set_node(NODE, OTHER)), True)
        self.assertEqual(self.says(), OTHER)

    def test_rebuilt(self) -> None:
        """A registry that is rebuilt on its mirror, in an outage too, registers its nodes again."""
        registry = self.on_mirror(lazy=True)
        self.assertIs(self.world.result(registry.set_node(NODE, {"a": 1})), True)
        self.assertIs(self.world.result(registry.rebuild()), True)
        self.assertEqual(self.says(), {"a": 1})
        self.go_away()
        rebuilt = registry.rebuild()
        self.world.pass_time(3)
        self.come_back()
        self.world.pass_time(5)
        self.assertIs(self.successResultOf(rebuilt), True)
        self.assertEqual(self.says(), {"a": 1})
        stat = self.stat()
        assert stat is not None
        self.assertEqual(stat.ephemeralOwner, self.client.session_id)

    def test_taken_meanwhile(self) -> None:
        """A service that another has registered while a registry was stopped is not registered at its start; that is logged."""
        first, second = self.on_mirror(), self.on_mirror()
        self.world.result(first.set_node(NODE, {"a": 1}))
        self.world.result(first.stop())
        self.assertIs(self.world.result(second.set_node(NODE, OTHER)), True)
        self.assertIs(self.world.result(first.start()), True)
        self.world.pass_time(10)
        self.assertEqual(self.says(), OTHER)
        (warning,) = self.warnings.texts
        self.assertIn(f"{NODE} is not registered again", warning)
        self.assertIs(self.world.result(first.set_node(NODE, state=False)), True)
        self.assertEqual(CODECS["ndsr"].decode(self.world.result(self.other.get(NODE))[0]), self._facts(OTHER))

    def _facts(self, data: dict[str, int]) -> object:
        facts = CODECS["ndsr"].decode(self.world.result(self.other.get(NODE))[0])
        assert isinstance(facts, dict)
        return {"pid": facts["pid"], "created": facts["created"], "created_zone": "UTC", **data}
