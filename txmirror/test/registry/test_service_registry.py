"""ServiceRegistry beyond the contract that its interface makes with all providers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from txmirror.errors import (
    ClosingException,
    NoAuthException,
    NoConnection,
    NodeExistsException,
    RequestTooLargeException,
)
from txmirror.mirror import Mirror
from txmirror.registry import PlainCodec, ServiceRegistry
from txmirror.test.registry.case import NODE, PATH, RegistryTestCase
from txmirror.testing import World
from txmirror.types import ACL, OPEN_ACL, READ_ACL, Answer, Permission, digest_acl


class ArgumentTests(RegistryTestCase):
    def test_wrong(self) -> None:
        """Invalid options are refused at once, in a line that quotes them."""
        for options, quoted in (
            ({"timeout": 0}, "0"),
            ({"timeout": float("inf")}, "inf"),
            ({"audit": 0}, "0"),
            ({"audit": float("nan")}, "nan"),
            ({"hold_for": -1.0}, "-1.0"),
            ({"hold_for": float("nan")}, "nan"),
            ({"rate_limit_calls": 5}, "5"),
            ({"rate_limit_time": 2.0}, "2.0"),
            ({"rate_limit_calls": 0, "rate_limit_time": 2.0}, "0"),
            ({"username": "a:b"}, "'a:b'"),
            ({"username": ""}, "''"),
        ):
            error = self.assertRaises(ValueError, ServiceRegistry, reactor=Clock(), **options)
            self.assertIn(quoted, str(error))
            self.assertNotIn("\n", str(error))
        error = self.assertRaises(ValueError, ServiceRegistry, "host:port", reactor=Clock())
        self.assertIn("'host:port'", str(error))
        no_numbers: tuple[tuple[dict[str, Any], str], ...]
        no_numbers = (
            ({"timeout": "5"}, "'5'"),
            ({"timeout": True}, "True"),
            ({"audit": True}, "True"),
            ({"hold_for": "1"}, "'1'"),
        )
        for options, quoted in no_numbers:
            self.assertIn(quoted, str(self.assertRaises(TypeError, ServiceRegistry, reactor=Clock(), **options)))

    def test_names(self) -> None:
        """Servers and session timeout have the mirror's names, and those of nd_service_registry; both at once are an
        error.
        """
        names: tuple[dict[str, Any], ...]
        names = ({"servers": "zk1:1,zk2:2", "session_timeout": 7.5}, {"server": "zk1:1,zk2:2", "timeout": 7.5})
        for options in names:
            registry = ServiceRegistry(reactor=Clock(), **options)
            self.assertEqual((registry._connections.options.servers, registry.timeout), ("zk1:1,zk2:2", 7.5))
        self.assertEqual(ServiceRegistry("zk3:3", reactor=Clock())._connections.options.servers, "zk3:3")
        names = ({"servers": "zk1:1", "server": "zk2:2"}, {"session_timeout": 1.0, "timeout": 2.0})
        for options in names:
            error = self.assertRaises(TypeError, ServiceRegistry, reactor=Clock(), **options)
            for name in options:
                self.assertIn(f"{name}=", str(error))

    def test_quiet(self) -> None:
        """A new registry does not connect, and starts no timer."""
        clock = Clock()
        ServiceRegistry(reactor=clock, lazy=True)
        self.assertEqual(clock.getDelayedCalls(), [])


class NothingKeptTests(RegistryTestCase):
    """Without ZooKeeper, a failed call leaves nothing that continues."""

    def setUp(self) -> None:
        super().setUp()
        self.go_away()

    def connections(self) -> int:
        return len(self.world.server.connections)

    def test_start(self) -> None:
        """A start that has failed tries no more; another one may succeed."""
        registry = self.registry()
        starting = registry.start()
        self.world.pass_time(3.9)
        self.assertNoResult(starting)
        self.world.pass_time(0.2)
        self.failure(starting, NoConnection)
        self.come_back()
        self.world.pass_time(60)
        self.assertEqual(self.connections(), 1)
        self.assertIs(self.world.result(registry.start()), True)

    def test_all(self) -> None:
        """A write, a first ``get`` or a lock that has failed leaves nothing that continues, nor do several of them."""
        registry = self.registry()
        told: list[Answer] = []
        calls: list[Deferred[Any]] = [
            registry.set_node(NODE),
            registry.set_node(NODE, {"again": 1}),
            registry.set_data(PATH, "x"),
            registry.get(PATH, callback=told.append),
            registry.add_callback(PATH, told.append),
            registry.unset(PATH + "/other"),
            registry.start(),
        ]
        self.world.pass_time(4.1)
        for call in calls:
            self.failure(call, NoConnection)
        self.come_back()
        self.world.pass_time(60)
        self.assertEqual((self.connections(), told), (1, []))
        self.assertIsNone(self.stat())
        self.assertIsNone(self.stat(PATH))
        self.assertTrue(registry.stale(PATH))

    def test_others_kept(self) -> None:
        """Calls that have failed in an outage change nothing: the former registration stays, and no new one is made."""
        self.come_back()
        registry = self.started()
        self.world.result(registry.set_node(NODE, {"a": 1}))
        self.go_away()
        changing = registry.set_node(NODE, {"a": 2})
        other = registry.set_node(PATH + "/other:22")
        self.world.pass_time(4.1)
        self.failure(changing, NoConnection)
        self.failure(other, NoConnection)
        self.come_back()
        self.world.pass_time(6)
        self.assertEqual(self.says(), {"a": 1})
        self.assertIsNone(self.stat(PATH + "/other:22"))

    def test_too_late(self) -> None:
        """A write that was sent when the connection went is not known to have happened, and is taken back if it has."""
        self.come_back()
        registry = self.started()
        self.world.result(registry.set_node(NODE))
        self.world.result(registry.unset(NODE))
        connection = self.world.server.connection_of(self.session_of(registry))
        connection.stall(incoming=False)
        registering = registry.set_node(NODE)
        self.world.settle()
        self.go_away()
        self.assertIsNotNone(self.stat())
        self.world.pass_time(4.1)
        self.failure(registering, NoConnection)
        self.come_back()
        self.world.pass_time(6)
        self.assertIsNone(self.stat())


class RefusedTests(RegistryTestCase):
    """A refusal of ZooKeeper is one clear error, and nothing is left of it."""

    def refused(self, deferred: Deferred[bool], kind: type[Exception]) -> str:
        text = self.failure(deferred, kind)
        self.assertNotIn("\n", text)
        self.world.pass_time(100)
        self.assertEqual(self.warnings.texts, [])
        return text

    def test_not_allowed(self) -> None:
        """Without the permission to write the call fails; reading continues."""
        self.world.result(self.other.create("/services", b"", READ_ACL))
        registry = self.started(username="amy", password="pw")
        self.assertIn(repr(PATH), self.refused(registry.set_node(NODE), NoAuthException))
        self.assertIn(repr(PATH), self.refused(registry.set_data(PATH + "/x"), NoAuthException))
        self.assertEqual(self.answer(registry, "/services")["children"], {})

    def test_too_large(self) -> None:
        """Data over the limit of a request is refused; the former data stays."""
        registry = self.started()
        huge = {"huge": "x" * 1_100_000}
        self.refused(registry.set_node(NODE, huge), RequestTooLargeException)
        self.assertIsNone(self.stat())
        self.world.result(registry.set_node(NODE, {"a": 1}))
        self.refused(registry.set_node(NODE, huge), RequestTooLargeException)
        self.assertEqual(self.says(), {"a": 1})
        self.refused(registry.set_data(PATH + "/d", huge), RequestTooLargeException)

    def test_persistent(self) -> None:
        """A persistent node is not registered over, and stays as it is."""
        self.make(NODE, b"theirs")
        registry = self.started()
        self.assertIn(repr(NODE), self.refused(registry.set_node(NODE), NodeExistsException))
        self.assertEqual(self.says(), {"string_value": "theirs"})

    def test_adopted(self) -> None:
        """Unless that was asked for: then its data is written, and it is never deleted."""
        self.make(NODE, b"theirs")
        registry = self.started(adopt_persistent=True)
        self.assertIs(self.world.result(registry.set_node(NODE, {"a": 1})), True)
        self.assertEqual(self.says(), {"a": 1})
        self.assertIs(self.world.result(registry.unset(NODE)), True)
        self.assertEqual(self.says(), {"a": 1})

    def test_ephemeral(self) -> None:
        """A persistent node is not written over a registered one, nor is that deleted."""
        self.make(NODE, b"theirs", ephemeral=True)
        registry = self.started()
        self.assertIn(repr(NODE), self.refused(registry.set_data(NODE, "x"), NodeExistsException))
        self.assertIn(repr(NODE), self.refused(registry.unset(NODE), NodeExistsException))
        self.assertIn(repr(NODE), self.refused(registry.set_data(NODE, state=False), NodeExistsException))
        self.assertEqual(self.says(), {"string_value": "theirs"})

    def test_missing_chroot(self) -> None:
        """A chroot that does not exist is not ours to make."""
        registry = ServiceRegistry(self.world.connect_string + "/missing", timeout=4.0, reactor=self.reactor)
        self.registries.append(registry)
        self.assertIn("chroot", self.failure(registry.set_node(NODE), Exception))


class WrongCodecTests(RegistryTestCase):
    def test_says_raises(self) -> None:
        """An exception in a codec is logged, and the waiting call fails."""

        class Wrong(PlainCodec):
            def says(self, stored: bytes, data: object) -> bool:
                if stored == b"boom":
                    raise ZeroDivisionError
                return super().says(stored, data)  # type: ignore[arg-type]  # it is what set_node was given

        self.make(NODE, b"boom")
        registry = self.started(codec=Wrong(), adopt_persistent=True)
        self.failure(registry.set_node(NODE, "new"), ZeroDivisionError)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))


class WritingTests(RegistryTestCase):
    def test_order(self) -> None:
        """Of several writes to one path without waiting, the last one stays."""
        registry = self.started()
        calls = [registry.set_data(PATH, {"n": n}) for n in range(5)]
        for call in calls:
            self.assertIs(self.world.result(call), True)
        self.assertEqual(self.says(PATH), {"n": 4})
        calls = [registry.set_data(PATH, {"n": 5}), registry.unset(PATH)]
        for call in calls:
            self.assertIs(self.world.result(call), True)
        self.assertIsNone(self.stat(PATH))

    def test_lazy_last(self) -> None:
        """Of several writes to one path while ZooKeeper is out of reach, only the last one is written, once, on return."""
        registry = self.started(lazy=True)
        self.go_away()
        calls = [registry.set_data(PATH, {"n": n}) for n in range(3)]
        self.world.pass_time(4.1)
        self.assertEqual([self.successResultOf(call) for call in calls], [False, False, False])
        self.come_back()
        self.world.pass_time(6)
        self.assertEqual(self.says(PATH), {"n": 2})
        stat = self.stat(PATH)
        assert stat is not None
        self.assertEqual(stat.version, 0)

    def test_lazy_refused(self) -> None:
        """A refusal that nobody waits for any more is logged."""
        registry = self.started(lazy=True)
        self.go_away()
        writing = registry.set_data("/services/x")
        self.world.pass_time(4.1)
        self.assertIs(self.successResultOf(writing), False)
        self.world.result(self.other.create("/services", b"", READ_ACL))
        self.come_back()
        self.world.pass_time(6)
        self.assertIn("/services/x could not be written", self.warnings.texts[-1])

    def test_nothing_differs(self) -> None:
        """Nothing is written where nothing differs."""
        registry = self.started()
        self.world.result(registry.set_data(PATH, {"a": 1}))
        before = self.stat(PATH)
        self.world.pass_time(10)
        self.world.result(registry.set_data(PATH, {"a": 1}))
        self.assertEqual(self.stat(PATH), before)
        self.world.result(registry.set_node(NODE, {"a": 1}))
        before = self.stat()
        self.world.pass_time(10)
        self.world.result(registry.set_node(NODE, {"a": 1}))
        self.assertEqual(self.stat(), before)

    def test_any_fault(self) -> None:
        """A write whose request or answer is lost is done all the same, once."""
        registry = self.started()
        for number, operation in enumerate(("create", "set", "get")):
            for lose in (self.world.server.lose_request, self.world.server.lose_reply):
                fault = lose(operation)
                path = f"/a{number}/b"
                for version in range(3):
                    writing = registry.set_data(path, {"n": version})
                    self.world.pass_time(3)
                    self.assertIs(self.successResultOf(writing), True)
                    self.assertEqual(self.says(path), {"n": version})
                self.world.result(registry.unset(path))
                fault.cancel()

    def test_shown(self) -> None:
        """When the Deferred fires, the same registry finds the written data."""
        registry = self.started()
        self.assertEqual(self.answer(registry)["stat"], None)
        for number in range(3):
            seen: list[object] = []

            def found(_: object, seen: list[object] = seen) -> None:
                registry.get(PATH).addCallback(seen.append)

            path = f"{PATH}/host{number}"
            registry.set_node(path, {"n": number}).addCallback(found)
            self.world.settle()
            (answer,) = seen
            assert isinstance(answer, dict)
            self.assertEqual(answer["children"][f"host{number}"]["n"], number)
            registry.unset(path).addCallback(found)
            self.world.settle()
            answer = seen[-1]
            assert isinstance(answer, dict)
            self.assertEqual(answer["children"], {})

    def test_cancel(self) -> None:
        """Cancelling a call ends the wait, and not the write."""
        registry = self.started()
        for set_it, path in ((registry.set_node, NODE), (registry.set_data, PATH + "/d")):
            call = set_it(path, {"a": 1})
            call.cancel()
            self.failureResultOf(call, CancelledError)
            self.world.settle()
            self.assertEqual(self.says(path), {"a": 1})


class ThrottleTests(RegistryTestCase):
    def test_throttled(self) -> None:
        """Writes beyond the rate wait, and nothing blocks; withdrawals do not wait."""
        registry = self.started(rate_limit_calls=2, rate_limit_time=10.0)
        calls = [registry.set_node(f"{PATH}/host{number}") for number in range(4)]
        self.world.settle()
        self.assertEqual([call.called for call in calls], [True, True, False, False])
        self.world.pass_time(5.1)
        self.assertEqual([call.called for call in calls], [True, True, True, False])
        calls.append(registry.set_data(PATH + "/data", "x"))
        self.world.pass_time(5.1)
        self.assertEqual([call.called for call in calls], [True, True, True, True, False])
        self.world.pass_time(5.1)
        self.assertTrue(all(self.successResultOf(call) for call in calls))
        for number in range(4):
            self.assertIs(self.world.result(registry.unset(f"{PATH}/host{number}")), True)
        self.assertEqual(self.names(registry), ["data"])

    def test_taken_back(self) -> None:
        """A write that is taken back before its turn is never sent, and delays no other."""
        registry = self.started(rate_limit_calls=1, rate_limit_time=10.0)
        self.world.result(registry.set_node(NODE))
        second = registry.set_node(PATH + "/second")
        third = registry.set_node(PATH + "/third")
        self.assertIs(self.world.result(registry.unset(PATH + "/second")), True)
        self.assertIs(self.world.result(second), False)
        self.world.pass_time(10.1)
        self.assertIs(self.world.result(third), True)
        self.assertEqual(self.names(registry), ["server1:22", "third"])


class AccessTests(RegistryTestCase):
    def acl(self, path: str) -> list[ACL]:
        # Identities are shown to whom they belong.
        self.world.result(self.other.add_auth("digest", b"amy:pw"))
        return self.world.result(self.other.get_acl(path))[0]

    def test_open(self) -> None:
        """Without credentials all is open."""
        registry = self.started()
        self.world.result(registry.set_node(NODE))
        for path in (NODE, PATH, "/services"):
            self.assertEqual(self.acl(path), list(OPEN_ACL))

    def test_credentials(self) -> None:
        """With credentials the node and its parent are ours to change and everybody's to read; those above are open."""
        registry = self.started(username="amy", password="pw")
        self.world.result(registry.set_node(NODE))
        self.world.result(registry.set_data("/data/x", "1"))
        ours = [digest_acl("amy", "pw"), *READ_ACL]
        for path in (NODE, PATH, "/data", "/data/x"):
            self.assertEqual(self.acl(path), ours)
        self.assertEqual(self.acl("/services"), list(OPEN_ACL))
        self.failure(self.world.client().delete(NODE), NoAuthException)
        self.world.result(registry.set_node(NODE, {"a": 2}))
        self.assertEqual(self.says(), {"a": 2})

    def test_given(self) -> None:
        """An ACL that was given is used as it is."""
        acl = (ACL(Permission.ALL, "ip", "127.0.0.1"), *READ_ACL)
        registry = self.started(acl=acl)
        self.world.result(registry.set_node(NODE))
        self.assertEqual(self.acl(NODE), list(acl))

    def test_changed(self) -> None:
        """Changed credentials apply to nodes that are created later, and after each reconnection."""
        registry = self.started()
        self.assertIsNone(self.world.result(registry.username()))
        self.assertIs(self.world.result(registry.set_username("amy")), True)
        self.assertIs(self.world.result(registry.set_password("pw")), True)
        self.assertEqual(self.world.result(registry.username()), "amy")
        self.assertEqual(self.world.result(registry.password()), "pw")
        self.world.result(registry.set_node(NODE))
        self.assertEqual(self.acl(NODE)[0], digest_acl("amy", "pw"))
        self.world.server.expire_session(self.session_of(registry))
        self.world.pass_time(5)
        self.assertEqual(self.acl(NODE)[0], digest_acl("amy", "pw"))

    def test_wrong_password(self) -> None:
        """With a wrong password the change of the node fails, and reading continues."""
        first = self.started(username="amy", password="pw")
        self.world.result(first.set_node(NODE))
        second = self.started(username="amy", password="wrong")
        self.failure(second.set_node(PATH + "/other"), NoAuthException)
        self.assertEqual(self.names(second), ["server1:22"])


class StopTests(RegistryTestCase):
    def test_again(self) -> None:
        """Registrations and discoveries go on after a stop and a start; the session is another."""
        registry = self.started()
        told: list[list[str]] = []
        self.world.result(registry.set_node(NODE, {"a": 1}))
        self.world.result(registry.get(PATH, callback=lambda answer: told.append(list(answer["children"]))))
        session = self.session_of(registry)
        self.world.result(registry.stop())
        self.assertIsNone(self.stat())
        self.assertEqual(self.names(registry), ["server1:22"])
        self.assertIs(self.world.result(registry.start()), True)
        self.assertNotEqual(self.session_of(registry), session)
        self.assertEqual(self.says(), {"a": 1})
        self.assertEqual(told[0], ["server1:22"])
        self.assertEqual(self.names(registry), ["server1:22"])

    def test_calls_after(self) -> None:
        """Calls to a stopped registry fail, lazy or not; known answers can be read."""
        for lazy in (False, True):
            registry = self.started(lazy=lazy)
            self.answer(registry)
            self.world.result(registry.stop())
            self.answer(registry)
            for call in (
                registry.set_node(NODE),
                registry.set_data(NODE),
                registry.get("/other"),
                registry.acquire_lock("/lock"),
            ):
                self.assertIn("stopped", self.failure(call, NoConnection))
            self.assertIs(self.world.result(registry.set_node(NODE, state=False)), True)

    def test_while_waiting(self) -> None:
        """A call that waits when the registry is stopped fails, and is not kept."""
        self.go_away()
        registry = self.registry(lazy=True)
        calls: list[Deferred[Any]] = [registry.set_node(NODE), registry.set_data(PATH), registry.get(PATH)]
        self.world.settle()
        stopping = registry.stop()
        for call in calls:
            self.failure(call, NoConnection)
        self.come_back()
        self.world.pass_time(5)
        self.successResultOf(stopping)
        self.assertIs(self.world.result(registry.start()), True)
        self.world.pass_time(5)
        self.assertIsNone(self.stat(PATH))

    def test_at_any_moment(self) -> None:
        """stop() may be called at any turn of a registration, twice, and start() after it: in the end the nodes are the
        wanted ones.
        """
        for turns in range(12):
            registry = self.registry()
            calls: list[Deferred[Any]] = [
                registry.set_node(f"{PATH}/host{turns}"),
                registry.get(PATH),
                registry.set_data("/data/x", {"turns": turns}),
                registry.acquire_lock("/lock"),
            ]
            for call in calls:
                call.addErrback(lambda failure: failure.trap(NoConnection, ClosingException))
            for _ in range(turns):
                self.reactor.advance(0)
            first, second = registry.stop(), registry.stop()
            self.world.pass_time(3)
            self.successResultOf(first)
            self.successResultOf(second)
            for call in calls:
                self.successResultOf(call)
            self.assertEqual(len(self.world.server.connections), 1)
            self.assertIsNone(self.stat(f"{PATH}/host{turns}"))

    def test_out_of_reach(self) -> None:
        """A session that could not be ended is ended on the next start, so that its nodes do not stand in the way."""
        registry = self.started(timeout=30.0)
        self.world.result(registry.set_node(NODE, {"a": 1}))
        self.go_away()
        stopping = registry.stop()
        self.world.pass_time(6)
        self.successResultOf(stopping)
        former = self.stat()
        assert former is not None
        self.come_back()
        starting = registry.start()
        self.world.pass_time(1)
        self.assertIs(self.successResultOf(starting), True)
        stat = self.stat()
        assert stat is not None
        self.assertEqual(stat.ephemeralOwner, self.session_of(registry))
        self.assertNotIn(former.ephemeralOwner, self.world.server.sessions)

    def test_given_mirror(self) -> None:
        """A mirror of the program's own stays open; the registered nodes are withdrawn, and locks are released."""
        client = self.world.client()
        mirror = Mirror(client=client, reactor=self.reactor)
        self.addCleanup(mirror.close)
        registry = self.registry(mirror=mirror)
        self.world.result(registry.set_node(NODE))
        self.answer(registry)
        self.assertIs(self.world.result(registry.acquire_lock("/lock")), True)
        stat = self.stat()
        assert stat is not None
        self.assertEqual(stat.ephemeralOwner, client.session_id)
        self.world.result(registry.stop())
        self.assertIsNone(self.stat())
        self.assertEqual(self.world.result(self.other.get_children("/lock")), [])
        self.assertTrue(mirror.is_connected())
        self.assertIs(self.world.result(registry.start()), True)
        self.assertIsNotNone(self.stat())
        self.world.result(mirror.close())
        self.failure(registry.set_node(PATH + "/x"), NoConnection)


class RebuildTests(RegistryTestCase):
    def test_rebuild(self) -> None:
        """rebuild() opens another session, with the former registrations."""
        registry = self.started()
        told: list[bool] = []
        self.world.result(registry.set_node(NODE, {"a": 1}))
        self.answer(registry)
        self.world.result(registry.get_state(told.append))
        session = self.session_of(registry)
        self.assertIs(self.world.result(registry.rebuild()), True)
        self.assertNotEqual(self.session_of(registry), session)
        self.assertEqual((self.says(), self.names(registry)), ({"a": 1}, ["server1:22"]))
        self.assertEqual(told, [True, False, True])

    def test_given_mirror(self) -> None:
        """A mirror that was given stays on its reactor."""
        mirror = Mirror(client=self.world.client(), reactor=self.reactor)
        self.addCleanup(mirror.close)
        registry = self.registry(mirror=mirror)
        clock = Clock()
        error = self.assertRaises(ValueError, registry.rebuild, clock)
        self.assertIn(repr(clock), str(error))


class FormerSessionTests(RegistryTestCase):
    """A node that another session owns, and that the registration knows for its own."""

    def setUp(self) -> None:
        super().setUp()
        self.subject = self.started()
        self.world.result(self.subject.set_node(NODE, {"a": 1}))
        self.data, _ = self.world.result(self.other.get(NODE))
        desired = self.subject._registrar._desired.get(NODE)
        assert desired is not None
        assert desired.registration is not None
        # As if the other client's session were one that it had before.
        desired.registration._keeper._events.sessions.add(self.other.session_id)

    def linger(self, data: bytes) -> None:
        """Let the node be that session's, with some data."""
        transaction = self.other.transaction()
        transaction.delete(NODE)
        transaction.create(NODE, data, ephemeral=True)
        self.world.result(transaction.commit())

    def owner(self) -> int:
        stat = self.stat()
        assert stat is not None
        return stat.ephemeralOwner

    def test_replaced(self) -> None:
        """If it has our data it is replaced at once, and is never seen missing."""
        seen: list[bool] = []
        watcher = self.world.client()

        def look(_: object = None) -> None:
            existence, event = watcher.exists_and_watch(NODE)
            existence.addCallback(lambda stat: seen.append(stat is not None))
            event.addCallbacks(look, lambda _: None)

        look()
        self.linger(self.data)
        self.world.pass_time(1)
        self.assertEqual(self.owner(), self.session_of(self.subject))
        self.assertEqual(self.says(), {"a": 1})
        self.assertNotIn(False, seen)

    def test_other_data(self) -> None:
        """If it has other data it counts as another's, and the registry waits for its end."""
        self.linger(b'{"someone":"else"}')
        self.world.pass_time(100)
        self.assertEqual(self.owner(), self.other.session_id)
        self.assertEqual(len(self.warnings.texts), 1)

    def test_withdrawn(self) -> None:
        """A node of a former process is deleted with our withdrawal, too."""
        connection = self.world.server.connection_of(self.session_of(self.subject))
        connection.stall(incoming=False)
        self.linger(self.data)
        withdrawing = self.subject.unset(NODE)
        connection.resume()
        self.assertIs(self.world.result(withdrawing), True)
        self.world.settle()
        self.assertIsNone(self.stat())


class LockTests(RegistryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.subject = self.started()
        self.rival = self.started()
        self.assertIs(self.world.result(self.rival.acquire_lock("/lock")), True)

    def test_together(self) -> None:
        """Callers of one registry that wait for a lock at the same time get it together."""
        calls = [self.subject.acquire_lock("/lock") for _ in range(3)]
        self.world.settle()
        for call in calls:
            self.assertNoResult(call)
        self.assertEqual(len(self.world.result(self.other.get_children("/lock"))), 1)
        self.assertIs(self.world.result(self.rival.release_lock("/lock")), True)
        for call in calls:
            self.assertIs(self.world.result(call), True)
        self.assertIs(self.world.result(self.subject.acquire_lock("/lock")), True)

    def test_some_give_up(self) -> None:
        """A cancelled call does not cancel the others; when all are cancelled, nothing is left of the wait."""
        calls = [self.subject.acquire_lock("/lock") for _ in range(3)]
        calls[0].cancel()
        self.failureResultOf(calls[0], CancelledError)
        self.world.settle()
        self.assertNoResult(calls[1])
        for call in calls[1:]:
            call.cancel()
            self.failureResultOf(call, CancelledError)
        self.world.result(self.rival.release_lock("/lock"))
        self.assertEqual(self.world.result(self.other.get_children("/lock")), [])
        self.assertIs(self.world.result(self.subject.acquire_lock("/lock")), True)

    def test_in_time(self) -> None:
        """All calls fire when the time is over, and one of them may try again at once."""
        again: list[object] = []
        calls = [self.subject.acquire_lock("/lock", wait=2) for _ in range(2)]

        def try_again(_: bool) -> None:
            self.subject.acquire_lock("/lock", wait=2).addCallback(again.append)

        calls[0].addCallback(try_again)
        self.world.pass_time(2.1)
        self.assertIs(self.successResultOf(calls[1]), False)
        self.world.result(self.rival.release_lock("/lock"))
        self.world.settle()
        self.assertEqual(again, [True])

    def test_released_meanwhile(self) -> None:
        """If a lock is released while another call waits for it, that call fires with False."""
        call = self.subject.acquire_lock("/lock")
        self.world.settle()
        self.assertIs(self.world.result(self.subject.release_lock("/lock")), True)
        self.assertIs(self.world.result(call), False)


class CodecTests(RegistryTestCase):
    """Nodes with codecs of their own."""

    def test_restored(self) -> None:
        """A node keeps its codec in a later session, and after a stop and a start; others have the registry's."""
        with World() as world:
            registry, client = world.registry(), world.client()
            world.result(registry.set_node("/services/plain", "text", codec=PlainCodec()))
            world.result(registry.set_node("/services/json", {"a": 1}))
            self.assertEqual(world.result(client.get("/services/plain"))[0], b"text")
            self.assertIn(b'"created"', world.result(client.get("/services/json"))[0])
            world.server.expire_session(world.result(client.get("/services/plain"))[1].ephemeralOwner)
            world.pass_time(5)
            self.assertEqual(world.result(client.get("/services/plain"))[0], b"text")
            world.result(registry.stop())
            world.result(registry.start())
            world.settle()
            self.assertEqual(world.result(client.get("/services/plain"))[0], b"text")

    def test_changed(self) -> None:
        """Another call may have another codec. Data that this cannot store changes nothing."""
        with World() as world:
            registry, client = world.registry(), world.client()
            world.result(registry.set_node("/services/a", "text", codec=PlainCodec()))
            self.assertRaises(TypeError, registry.set_node, "/services/a", {"a": 1}, codec=PlainCodec())
            self.assertEqual(world.result(client.get("/services/a"))[0], b"text")
            world.result(registry.set_node("/services/a", {"a": 1}))
            self.assertIn(b'"a":1', world.result(client.get("/services/a"))[0])
            world.result(registry.set_node("/services/a", "text", codec=PlainCodec()))
            self.assertEqual(world.result(client.get("/services/a"))[0], b"text")

    def test_read_only(self) -> None:
        """In read-only mode the node's own codec checks the data."""
        with World() as world:
            registry = world.registry(readonly=True)
            self.assertRaises(TypeError, registry.set_node, "/services/a", {"a": 1}, codec=PlainCodec())
