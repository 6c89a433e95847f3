"""How many requests a registration costs the servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from zope.interface import implementer

from txmirror.interfaces import IMetrics
from txmirror.mirror import Mirror
from txmirror.registry import Registration, RegistrationState, ServiceRegistry
from txmirror.test.registry.case import NODE, PATH, RegistryTestCase
from txmirror.types import ACL, Permission, SessionEvent

#: A node that nobody may read.
HIDDEN = [ACL(Permission.ALL & ~Permission.READ, "world", "anyone")]


@implementer(IMetrics)
class Sent:
    """Counts the requests that a client sends, but for its own upkeep."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def sent(self, operation: str, size: int) -> None:
        if operation not in ("PING", "SET_WATCHES", "SET_WATCHES2"):
            self.counts[operation] += 1

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None:
        pass

    def lost(self, operation: str, seconds: float) -> None:
        pass

    def received(self, size: int) -> None:
        pass

    def connected(self, event: SessionEvent) -> None:
        pass

    def disconnected(self, event: SessionEvent) -> None:
        pass


class CountingTestCase(RegistryTestCase):
    """A mirror whose client's requests are counted."""

    def setUp(self) -> None:
        super().setUp()
        self.counted = Sent()
        self.client = self.world.client(session_timeout=self.timeout, metrics=self.counted)
        self.mirror = Mirror(client=self.client, reactor=self.reactor)
        self.addCleanup(self.mirror.close)
        self.world.settle()

    def count(self, act: Callable[[], object]) -> dict[str, int]:
        """Call a function, and return the requests that were sent until nothing happens any more."""
        before = Counter(self.counted.counts)
        act()
        self.world.pass_time(5)
        return dict(self.counted.counts - before)


class RegistryTests(CountingTestCase):
    """1,000 services cost at most two requests each."""

    services = 200

    def register(self, registry: ServiceRegistry) -> None:
        for number in range(self.services):
            self.world.result(registry.set_node(f"{PATH}/server{number}:22", {"number": number}))

    def setUp(self) -> None:
        super().setUp()
        self.registered = self.registry(mirror=self.mirror)
        self.make(f"{PATH}/other:22")
        self.world.result(self.registered.start())

    def assert_registered(self) -> None:
        for number in range(self.services):
            path = f"{PATH}/server{number}:22"
            self.assertEqual(self.says(path), {"number": number})
            stat = self.stat(path)
            assert stat is not None
            self.assertEqual(stat.ephemeralOwner, self.client.session_id)

    def test_set_node(self) -> None:
        """A service whose parent exists is created, and read with a watch, and nothing else."""
        sent = self.count(lambda: self.register(self.registered))
        self.assertEqual(sent, {"CREATE2": self.services, "GET_DATA": self.services})
        self.assert_registered()

    def test_next_session(self) -> None:
        """In the next session the service is created, and read with a watch, and nothing else."""
        self.register(self.registered)
        sent = self.count(lambda: self.world.server.expire_session(self.client.session_id))
        self.assertEqual(sent, {"CREATE2": self.services, "GET_DATA": self.services})
        self.assert_registered()

    def test_same_session(self) -> None:
        """In the same session a reconnection costs nothing, for any number of services."""
        self.register(self.registered)

        def blink() -> None:
            for connection in self.world.server.connections:
                connection.drop()
            self.world.pass_time(2)

        self.assertEqual(self.count(blink), {})
        self.assert_registered()

    def test_again(self) -> None:
        """The same data again takes no request; other data is written, and read with a watch."""
        self.register(self.registered)
        self.assertEqual(self.count(lambda: self.register(self.registered)), {})
        sent = self.count(lambda: self.registered.set_node(f"{PATH}/server1:22", {"number": "one"}))
        self.assertEqual(sent, {"SET_DATA": 1, "GET_DATA": 1})


class RegistrationTests(CountingTestCase):
    def register(self, acl: list[ACL] | None = None) -> Registration:
        registration = Registration(self.mirror, NODE, {"a": 1}, acl=acl)
        registration.start()
        self.world.settle()
        return registration

    def test_parents_missing(self) -> None:
        """Where the nodes above it are missing, they are created first."""
        sent = self.count(self.register)
        # /services/ssh twice: the first time /services is missing. The parents are created without their stat.
        self.assertEqual(sent, {"CREATE2": 2, "GET_DATA": 2, "CREATE": 3})

    def test_blocked(self) -> None:
        """Another session's node is waited for with the watch of the same read."""
        self.make(NODE, b"theirs", ephemeral=True)
        self.assertEqual(self.count(self.register), {"CREATE2": 1, "GET_DATA": 1})
        sent = self.count(lambda: self.world.result(self.other.delete(NODE)))
        self.assertEqual(sent, {"CREATE2": 1, "GET_DATA": 1})
        self.assertEqual(self.says(), {"a": 1})

    def test_overwritten(self) -> None:
        """A node that others have written is read, and then written and read again."""
        self.make(PATH)
        self.register()
        sent = self.count(lambda: self.world.result(self.other.set(NODE, b"theirs")))
        self.assertEqual(sent, {"GET_DATA": 2, "SET_DATA": 1})
        self.assertEqual(self.says(), {"a": 1})

    def test_withdrawn(self) -> None:
        """The owner is asked for before the node is deleted."""
        self.make(PATH)
        registration = self.register()
        self.assertEqual(self.count(registration.stop), {"EXISTS": 1, "DELETE": 1})

    def test_watch_removed(self) -> None:
        """A registration that is stopped while another session's node is there leaves no watch behind."""
        self.make(NODE, b"theirs", ephemeral=True)
        registration = self.register()
        self.assertIs(registration.state, RegistrationState.BLOCKED)
        self.assertEqual(self.count(registration.stop), {"REMOVE_WATCHES": 1})
        self.assertEqual(self.count(lambda: self.world.result(self.other.set(NODE, b"x"))), {})

    def test_unreadable(self) -> None:
        """A node of ours that we may not read is watched by its existence, and looked at from time to time. That is
        logged once.
        """
        self.make(PATH)
        with_watch = {"CREATE2": 1, "GET_DATA": 1, "EXISTS": 1}
        registration: list[Registration] = []
        self.assertEqual(self.count(lambda: registration.append(self.register(HIDDEN))), with_watch)
        self.assertIs(registration[0].state, RegistrationState.REGISTERED)
        sent = self.count(lambda: self.world.pass_time(600))
        self.assertEqual(sent, {"GET_DATA": 10, "EXISTS": 10})
        (warning,) = self.warnings.texts
        self.assertIn("does not permit us to read it", warning)
        self.world.result(self.other.delete(NODE))
        self.world.pass_time(61)
        self.assertIsNotNone(self.stat())
        self.world.result(registration[0].stop())
        self.assertIsNone(self.stat())
