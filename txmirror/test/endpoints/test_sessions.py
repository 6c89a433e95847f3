"""Shared sessions: one for equal settings, closed by the last release, and at a stop after the withdrawals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.endpoints import SharedSession, close_sessions
from txmirror.endpoints.sessions import Lease, keep_registry, lease_registry
from txmirror.errors import ClosingException
from txmirror.registry import ServiceRegistry
from txmirror.test.endpoints.reactor import EventReactor
from txmirror.testing import World
from txmirror.types import OPEN_ACL


class SessionCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = EventReactor()
        self.world = World(reactor=self.reactor)
        self.addCleanup(self.world.close)

    def settings(self, chroot: str = "", **changed: Any) -> SharedSession:
        return SharedSession(self.world.connect_string + chroot, reactor=self.reactor, **changed)

    def registry(self, lease: Lease) -> ServiceRegistry[bool]:
        return self.world.result(lease.registry())

    def sessions(self) -> int:
        self.world.settle()
        return len(self.world.server.sessions)


class SharingTests(SessionCase):
    def test_equal_settings(self) -> None:
        """Equal settings share a registry; the last release closes its session."""
        one, other = (lease_registry(self.settings()) for _ in range(2))
        registry = self.registry(one)
        self.assertIs(self.registry(other), registry)
        self.assertTrue(self.world.result(registry.start()))
        self.assertEqual(self.sessions(), 1)
        self.world.result(one.release())
        self.world.result(one.release())
        self.assertEqual(self.sessions(), 1)
        self.assertTrue(self.world.result(registry.set_node("/a/b")))
        self.world.result(other.release())
        self.assertEqual(self.sessions(), 0)

    def test_other_settings(self) -> None:
        """Other servers or another timeout are another session."""
        leases = [
            lease_registry(settings)
            for settings in (
                self.settings(),
                self.settings("/app"),
                self.settings(session_timeout=4.0),
            )
        ]
        self.assertEqual(len({self.registry(lease) for lease in leases}), 3)
        for lease in leases:
            self.world.result(lease.release())

    def test_after_release(self) -> None:
        """A released lease has no registry any more; a new one has a new registry."""
        lease = lease_registry(self.settings())
        former = self.registry(lease)
        self.world.result(lease.release())
        self.failureResultOf(lease.registry(), ClosingException)
        lease = lease_registry(self.settings())
        self.assertIsNot(self.registry(lease), former)
        self.world.result(lease.release())

    def test_kept(self) -> None:
        """A session that is kept outlives the last lease. All sessions can be closed; the next use opens a new one."""
        registry = self.world.result(keep_registry(self.settings()))
        lease = lease_registry(self.settings())
        self.assertIs(self.registry(lease), registry)
        self.assertTrue(self.world.result(registry.start()))
        self.world.result(lease.release())
        self.assertEqual(self.sessions(), 1)
        self.assertIs(self.world.result(keep_registry(self.settings())), registry)
        self.world.result(close_sessions(self.reactor))
        self.assertEqual(self.sessions(), 0)
        self.assertIsNot(self.world.result(keep_registry(self.settings())), registry)

    def test_close_nothing(self) -> None:
        """Without a shared session there is nothing to close."""
        self.assertIsNone(self.successResultOf(close_sessions(self.reactor)))

    def test_used_while_closing(self) -> None:
        """What begins while the sessions wait for withdrawals gets a session of its own, which stays open."""
        withdrawn: Deferred[None] = Deferred()
        former = lease_registry(self.settings(), lambda: withdrawn)
        registry = self.registry(former)
        closing = close_sessions(self.reactor)
        lease = lease_registry(self.settings())
        self.assertIsNot(self.registry(lease), registry)
        self.assertTrue(self.world.result(self.registry(lease).set_node("/a/b")))
        withdrawn.callback(None)
        self.world.result(closing)
        self.assertEqual(self.sessions(), 1)
        self.assertTrue(self.world.result(self.registry(lease).set_node("/a/c")))
        self.world.result(former.release())
        self.world.result(lease.release())
        self.assertEqual(self.sessions(), 0)

    def test_closed_by_world(self) -> None:
        """A world closes the shared sessions of its reactor."""
        registry = self.world.result(keep_registry(self.settings()))
        self.assertTrue(self.world.result(registry.start()))
        self.world.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_own_registry(self) -> None:
        """A program's own registry is left open."""
        registry = self.world.registry()
        lease = lease_registry(registry)
        self.assertIs(self.registry(lease), registry)
        self.world.result(lease.release())
        self.assertIs(self.world.result(keep_registry(registry)), registry)
        self.assertTrue(self.world.result(registry.get_state()))

    def test_invalid(self) -> None:
        invalid: tuple[dict[str, Any], ...] = ({"servers": "a:b:c"}, {"session_timeout": 0.0})
        for settings in invalid:
            with self.subTest(settings), self.assertRaises(ValueError) as raised:
                SharedSession(reactor=self.reactor, **settings)
            self.assertIn(repr(next(iter(settings.values()))), str(raised.exception))

    def test_without_zookeeper(self) -> None:
        """A session that could not be established is closed all the same."""
        lease = lease_registry(SharedSession("127.0.0.1:1", reactor=self.reactor))
        registered = self.registry(lease).set_node("/a/b")
        self.world.pass_time(15)
        self.assertIs(self.world.result(registered), False)
        closed = lease.release()
        self.world.pass_time(10)
        self.assertIsNone(self.successResultOf(closed))


class CredentialsTests(SessionCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = Path(self.mktemp())

    def write(self, text: str) -> None:
        self.file.write_text(text)
        self.file.chmod(0o600)

    def test_digest(self) -> None:
        """The credentials of the file are those of the session, and decide the ACL."""
        self.write("# for the web servers\n\nTXMIRROR_USERNAME=web\nTXMIRROR_PASSWORD=se=cret\n")
        lease = lease_registry(self.settings(credentials=str(self.file)))
        registry = self.registry(lease)
        self.world.result(registry.set_node("/services/web/one"))
        acl, _ = self.world.result(self.world.client().get_acl("/services/web/one"))
        self.assertNotEqual(tuple(acl), OPEN_ACL)
        self.assertEqual(acl[0].scheme, "digest")
        self.assertEqual(self.world.result(registry.password()), "se=cret")
        self.world.result(lease.release())

    def test_read_again(self) -> None:
        """A file that cannot be used fails all who wait for the registry, and is read again for the next."""
        lease = lease_registry(self.settings(credentials=str(self.file)))
        failure = self.failureResultOf(lease.registry(), ValueError)
        self.assertIn(repr(str(self.file)), str(failure.value))
        self.write("TXMIRROR_USERNAME=web\nTXMIRROR_PASSWORD=secret\n")
        self.assertEqual(self.world.result(self.registry(lease).username()), "web")
        self.world.result(lease.release())

    def test_environment(self) -> None:
        """Without a file, the environment's variables count."""
        self.patch(os, "environ", {"TXMIRROR_USERNAME": "app", "TXMIRROR_PASSWORD": "secret"})
        lease = lease_registry(self.settings())
        self.assertEqual(self.world.result(self.registry(lease).username()), "app")
        self.world.result(lease.release())


class ShutdownTests(SessionCase):
    def test_order(self) -> None:
        """At a stop, all is withdrawn first; then the sessions are closed, and then the reactor goes on."""
        withdrawing: list[Deferred[None]] = []

        def withdraw() -> Deferred[None]:
            withdrawing.append(Deferred())
            return withdrawing[-1]

        leases = [lease_registry(self.settings(), withdraw) for _ in range(2)] + [lease_registry(self.settings())]
        self.world.result(self.registry(leases[0]).start())
        stopped = self.reactor.shut_down()
        self.assertEqual(len(withdrawing), 2)
        withdrawing[0].callback(None)
        self.assertEqual(self.sessions(), 1)
        self.assertNoResult(stopped)
        withdrawing[1].callback(None)
        self.assertEqual(self.sessions(), 0)
        self.successResultOf(stopped)

    def test_released_while_stopping(self) -> None:
        """Users that release their leases in the middle do not close the session twice."""
        withdrawing: Deferred[None] = Deferred()
        lease = lease_registry(self.settings(), lambda: withdrawing)
        self.world.result(self.registry(lease).start())
        stopped = self.reactor.shut_down()
        released = lease.release()
        self.world.result(released)
        self.assertEqual(self.sessions(), 0)
        withdrawing.callback(None)
        self.world.settle()
        self.successResultOf(stopped)

    def test_after_stop(self) -> None:
        """No session is opened once the reactor stops. One that runs again afterwards opens and closes them as before."""
        for _ in range(2):
            self.stop_once()

    def stop_once(self) -> None:
        withdrawing: Deferred[None] = Deferred()
        first, second = (
            lease_registry(self.settings(), lambda: withdrawing),
            lease_registry(self.settings(session_timeout=5)),
        )
        self.world.result(self.registry(first).start())
        stopped = self.reactor.shut_down()
        self.assertNoResult(stopped)
        lease = lease_registry(self.settings(session_timeout=6))
        self.failureResultOf(lease.registry(), ClosingException)
        withdrawing.callback(None)
        self.world.settle()
        self.successResultOf(stopped)
        for each in (first, second, lease):
            self.failureResultOf(each.registry(), ClosingException)
            self.world.result(each.release())
        self.assertEqual(self.sessions(), 0)

    def test_without_session(self) -> None:
        """The stop waits for the end of an attempt to close without ZooKeeper, which takes a bounded time."""
        lease = lease_registry(self.settings())
        self.world.result(self.registry(lease).start())
        self.world.disconnect()
        stopped = self.reactor.shut_down()
        self.world.pass_time(10)
        self.successResultOf(stopped)
        self.world.reconnect()
