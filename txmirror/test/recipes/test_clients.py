"""The clients that locks, semaphores and elections take: whether connected or not, and mirrors too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txmirror.client import ZooKeeperClient
from txmirror.errors import ClosingException
from txmirror.mirror import Mirror
from txmirror.recipes import Election, Lock, ReadLock, Semaphore, WriteLock
from txmirror.test.mirror.world import record_log
from txmirror.test.recipes.case import RecipeCase, S
from txmirror.test.recipes.plain import PlainClient

_KINDS: tuple[Callable[..., Any], ...] = (Lock, ReadLock, WriteLock, Semaphore)


class ClientsTests(RecipeCase):
    def unconnected(self, servers: str | None = None) -> ZooKeeperClient:
        return self.world.client(servers, connect=False, session_timeout=S)

    def mirror(self, **options: Any) -> Mirror:
        mirror = Mirror(reactor=self.world.reactor, **options)
        self.addCleanup(self._close, mirror)
        return mirror

    def _close(self, mirror: Mirror) -> None:
        mirror.close()
        self.settle()

    def test_not_connected(self) -> None:
        """A client that is not connected yet is connected, whichever interface it provides."""
        for kind in _KINDS:
            for wait in (None, 0, 4.0):
                for client in (self.unconnected(), PlainClient(self.unconnected())):
                    claim = kind(client, self.path, reactor=self.world.reactor)
                    self.assertIs(self.done(claim.acquire(wait=wait)), True, f"{claim}, {wait}")
                    self.done(claim.release())
            self.done(self.observer.set(self.path, b""))

    def test_questions(self) -> None:
        """The client is connected to list the contenders, too."""
        held = self.lock(name="me")
        self.done(held.acquire())
        for kind in (Lock, Election):
            made: Any = kind
            self.assertEqual(
                self.done(made(self.unconnected(), self.path, reactor=self.world.reactor).contenders()), ["me"]
            )
        self.done(held.release())
        self.done(self.lock(kind=Semaphore, name="me").acquire())
        for ask in (Semaphore.holders, Semaphore.contenders):
            semaphore = Semaphore(self.unconnected(), self.path, reactor=self.world.reactor)
            self.assertEqual(self.done(ask(semaphore)), ["me"] if ask is Semaphore.holders else [])

    def test_election(self) -> None:
        """An election connects it too."""
        election = Election(self.unconnected(), self.path, reactor=self.world.reactor)
        leading: Deferred[Any] = election.run(Deferred)
        self.settle()
        self.assertTrue(election.leading)
        self.done(election.stop())
        self.failureResultOf(leading, CancelledError)

    def test_mirror(self) -> None:
        """A mirror may be given in place of a client, connected or not; a chroot of one too."""
        self.done(self.observer.create("/locks"))
        connected = self.mirror(servers=self.world.connect_string, session_timeout=S)
        self.done(connected.connect())
        below = self.mirror(servers=self.world.connect_string, session_timeout=S).chroot("/locks")
        others = self.mirror(client=self.unconnected())
        fresh = self.mirror(servers=self.world.connect_string, session_timeout=S)
        for mirror, path in ((connected, self.path), (fresh, self.path), (others, self.path), (below, "/one")):
            for kind in _KINDS:
                claim = kind(mirror, path, name="mirror", reactor=self.world.reactor)
                self.assertTrue(self.done(claim.acquire(wait=0)))
                (node,) = self.nodes()
                _, stat = self.done(self.observer.get(f"{self.path}/{node}"))
                self.assertEqual(stat.ephemeralOwner, mirror.client.session_id)
                self.done(claim.release())
            self.assertTrue(mirror.is_connected())
            election = Election(mirror, path, reactor=self.world.reactor)
            leading: Deferred[Any] = election.run(Deferred)
            self.settle()
            self.assertTrue(election.leading)
            self.done(election.stop())
            self.failureResultOf(leading, CancelledError)
            self.done(self.observer.set(self.path, b""))

    def test_mirror_closed(self) -> None:
        """With a closed mirror's client, the acquisition fails at once."""
        mirror = self.mirror(servers=self.world.connect_string, session_timeout=S)
        mirror.close()
        self.settle()
        for kind in _KINDS:
            self.assertRaises(
                ClosingException, self.done, kind(mirror, self.path, reactor=self.world.reactor).acquire()
            )

    def test_something_else(self) -> None:
        """Anything else is a TypeError at once, which quotes it."""
        wrong: list[Any] = [None, "localhost:2181", object(), ZooKeeperClient, self.lock()]
        makers: list[Any] = [*_KINDS, Election]
        for make in makers:
            for client in wrong:
                self.assertRaises(TypeError, make, client, self.path, reactor=self.world.reactor)
        error = self.assertRaises(TypeError, Lock, "localhost:2181", self.path, reactor=self.world.reactor)
        self.assertEqual(str(error), "a client provides IZooKeeperClient, or is a Mirror: 'localhost:2181' is neither")

    def test_no_such_name(self) -> None:
        """Where no name can be resolved the log has it, and the wait goes on, to its end or until there is one."""
        log = record_log(self)
        client = self.unconnected("no.such.name:2181")
        acquired = self.waiting(self.lock(client).acquire())
        self.pass_time(10.0)
        self.assertNoResult(acquired)
        self.assertTrue([line for line in log() if "no.such.name" in line], log())
        self.assertIs(self.limited(self.lock(client).acquire(wait=4.0), 4.0), False)
        election = Election(client, self.path, reactor=self.world.reactor)
        leading = self.waiting(election.run(Deferred))
        self.done(client.close())
        self.failureResultOf(acquired, ClosingException)
        self.failureResultOf(leading, ClosingException)

    def limited(self, acquired: Deferred[bool], seconds: float) -> bool:
        """Check that an attempt ends exactly when its time is over, and return its result."""
        self.pass_time(seconds - 0.1)
        self.assertNoResult(acquired)
        self.pass_time(0.1)
        return self.successResultOf(acquired)

    def test_nothing_kept(self) -> None:
        """Attempts that are given up leave nothing with a client that has no connection."""
        self.world.reactor.black_hole(*self._address)
        client = self.unconnected()
        lock = self.lock(client)
        for _ in range(3):
            acquired = lock.acquire()
            acquired.cancel()
            self.failureResultOf(acquired, CancelledError)
        self.assertEqual((len(client._session._core.connecting), len(client._session._core.waiting)), (0, 0))
