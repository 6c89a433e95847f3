"""Locks and semaphores on one path: the second contender is refused, and both are never held at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.errors import LockMismatchError, NoAuthException
from txmirror.recipes import Election, Lock, ReadLock, Semaphore, WriteLock
from txmirror.recipes.acquirable import Acquirable
from txmirror.test.recipes.case import RecipeCase
from txmirror.types import ACL, Permission

_LEASE = "0123456789abcdef0123456789abcdef"


class KindsTests(RecipeCase):
    path = "/jobs/one"

    def semaphore(self, leases: int = 1, **options: Any) -> Semaphore:
        made = self.lock(options.pop("client", None), Semaphore, leases=leases, **options)
        assert isinstance(made, Semaphore)
        return made

    def refused(self, claim: Acquirable, **options: Any) -> str:
        """Check that an attempt is refused for its kind, in time, and return the message."""
        before = self.all_nodes()
        error = self.assertRaises(LockMismatchError, self.done, claim.acquire(**options))
        self.assertEqual((claim.held, error.path, self.all_nodes()), (False, self.path, before))
        self.assertIsInstance(error, ValueError)
        return str(error)

    def all_nodes(self) -> list[str]:
        return [path for path, node in self.server._state.database.tree.nodes.items() if node.stat().ephemeralOwner]

    def test_semaphore_then_lock(self) -> None:
        """A lock of each kind is refused where a semaphore is held, even with free leases; the error names the holder."""
        client = self.client()
        holder = self.semaphore(2, client=client, name="host1:17")
        self.done(holder.acquire())
        for kind in (Lock, ReadLock, WriteLock):
            for wait in (None, 0, 5.0):
                self.assertEqual(
                    self.refused(self.lock(kind=kind), wait=wait),
                    f"'/jobs/one' is used as a semaphore, held by 'host1:17' (session {client.session_id:#x}), and cannot be"
                    " used as a lock: use another path, or a semaphore (as a service registry's locks are)",
                )
        self.assertTrue(holder.held)
        self.done(holder.release())
        self.assertTrue(self.done(self.lock().acquire(wait=0)))

    def test_lock_then_semaphore(self) -> None:
        """A semaphore is refused where a lock of any kind is held, with one lease or more; the error names the holder."""
        client = self.client()
        for kind in (Lock, ReadLock, WriteLock):
            holder = self.lock(client, kind, name="host1:17")
            self.done(holder.acquire())
            for leases in (1, 2):
                for wait in (None, 0, 5.0):
                    self.assertEqual(
                        self.refused(self.semaphore(leases), wait=wait),
                        f"'/jobs/one' is used as a lock, held by 'host1:17' (session {client.session_id:#x}), and cannot be"
                        " used as a semaphore (as a service registry's locks are): use another path, or a lock",
                    )
            self.assertTrue(holder.held)
            self.done(holder.release())
        self.done(self.observer.set(self.path, b"1"))
        self.assertTrue(self.done(self.semaphore().acquire(wait=0)))

    def test_election(self) -> None:
        """An election is a lock: it excludes locks, and is refused where a semaphore is held."""
        holder = self.semaphore()
        self.done(holder.acquire())
        election = Election(self.client(), self.path, reactor=self.world.reactor)
        self.failureResultOf(self._settled(election.run(Deferred)), LockMismatchError)
        self.done(holder.release())
        leading: Deferred[Any] = election.run(Deferred)
        self.settle()
        self.assertTrue(election.leading)
        self.refused(self.semaphore())
        self.assertFalse(self.done(self.lock().acquire(wait=0)))
        self.done(election.stop())
        self.failureResultOf(leading)

    def _settled(self, deferred: Deferred[Any]) -> Deferred[Any]:
        self.settle()
        return deferred

    def test_next_in_line(self) -> None:
        """A waiting contender stays when one of the other kind comes, is refused, and goes."""
        lock, semaphore = self.lock(), self.semaphore()
        self.done(lock.acquire())
        second = self.lock()
        acquired = self.begin(second)
        self.refused(semaphore)
        self.done(lock.release())
        self.assertTrue(self.done(acquired))
        self.done(second.release())
        self.done(semaphore.acquire())
        other = self.semaphore()
        acquired = self.begin(other)
        self.refused(self.lock())
        self.assertNoResult(acquired)
        self.done(semaphore.release())
        self.assertTrue(self.done(acquired))

    def test_made_by_others(self) -> None:
        """Nodes that are named as another kind's, but belong to no session, keep nobody out; but a persistent lock does."""
        self.done(self.observer.create("/jobs"))
        self.done(self.observer.create(self.path))
        self.done(self.observer.create(f"{self.path}/{_LEASE}"))
        lock = self.lock()
        self.assertTrue(self.done(lock.acquire(wait=0)))
        self.done(lock.release())
        self.done(self.observer.delete(f"{self.path}/{_LEASE}"))
        kept = f"{self.path}/{_LEASE}__lock__0000000000"
        self.done(self.observer.create(kept))
        self.assertIn(f"held by persistent node '{kept}',", self.refused(self.semaphore(2)))

    def test_unreadable(self) -> None:
        """A holder whose node cannot be read is named by its session, or as somebody."""
        self.done(self.observer.create("/jobs"))
        self.done(self.observer.create(self.path))
        node = f"{self.path}/{_LEASE}"
        nobody = [ACL(Permission.ALL, "digest", "nobody:x")]
        self.done(self.observer.create(node, b"name", nobody, ephemeral=True))
        self.assertIn(f"held by session {self.observer.session_id:#x},", self.refused(self.lock()))
        lock = self.lock()
        self.server.fail_next("exists", NoAuthException())
        error = self.assertRaises(LockMismatchError, self.done, lock.acquire())
        self.assertIn("held by somebody whose node cannot be read,", str(error))

    def test_holder_goes_meanwhile(self) -> None:
        """Where the other kind's holder goes before its node is looked at, it is in nobody's way."""
        client = self.client()
        for first, second in ((self.semaphore(), self.lock(client)), (self.lock(), self.semaphore(client=client))):
            for wait in (None, 0):
                self.done(first.acquire())
                (node,) = self.nodes()
                self.server.delay_next("get", 1.0, session_id=client.session_id, path=f"{self.path}/{node}")
                acquired = self.waiting(second.acquire(wait=wait))
                self.done(first.release())
                self.pass_time(1.0)
                self.assertTrue(self.done(acquired))
                self.done(second.release())

    def test_cut_off(self) -> None:
        """Lost connections do not change the refusal."""
        holder = self.semaphore()
        self.done(holder.acquire())
        for operation in ("get_children", "get", "delete"):
            for fault in ("lose_request", "lose_reply"):
                client = self.client()
                getattr(self.server, fault)(operation, session_id=client.session_id)
                acquired = self.begin(self.lock(client))
                self.pass_time(2.0)
                self.failureResultOf(acquired, LockMismatchError)
                self.assertEqual(len(self.nodes()), 1)

    def test_lock_comes_between(self) -> None:
        """Where a lock is taken after a free lease was seen, and before it is there, the lease is given up again."""
        client, lock, former = self.client(), self.lock(), self.semaphore()
        self.done(former.acquire())
        self.done(former.release())
        # The first is its place in line.
        for delay in (0.0, 1.0):
            self.server.delay_next("create", delay, session_id=client.session_id)
        acquired = self.waiting(self.semaphore(client=client).acquire())
        self.assertTrue(self.done(lock.acquire(wait=0)))
        self.pass_time(1.0)
        self.failureResultOf(acquired, LockMismatchError)
        self.assertTrue(lock.held)
        self.assertEqual(len(self.all_nodes()), 1)

    def test_lease_comes_between(self) -> None:
        """Where a lease is taken after a lock's node was made, and before others are looked for, the lock is given up."""
        client, semaphore = self.client(), self.semaphore()
        self.done(semaphore.acquire())
        self.done(semaphore.release())
        self.server.delay_next("get_children", 1.0, session_id=client.session_id)
        acquired = self.waiting(self.lock(client).acquire())
        node = f"{self.path}/{_LEASE}"
        self.done(self.observer.create(node, b"of kazoo", ephemeral=True))
        self.pass_time(1.0)
        self.failureResultOf(acquired, LockMismatchError)
        self.assertEqual(self.all_nodes(), [node])

    def at_the_same_time(self, make: Sequence[Callable[[], Acquirable]]) -> None:
        """Begin two things, one so many turns after the other; never are both held, and nothing is left."""
        outcomes = set()
        for late in range(40):
            claims = [each() for each in make]
            acquired = [claims[0].acquire()]
            self.world.reactor.take_turns(late)
            acquired.append(claims[1].acquire())
            self.settle()
            told = [isinstance(self.outcome(each), LockMismatchError) for each in acquired]
            held = self.held(*claims)
            self.assertNotEqual(held, [True, True], f"after {late} turns")
            # Whoever is not told holds it.
            self.assertEqual(told, [not each for each in held], f"after {late} turns")
            outcomes.add(tuple(held))
            for claim in claims:
                self.done(claim.release())
            self.assertEqual(self.all_nodes(), [])
        self.assertIn((True, False), outcomes)

    def outcome(self, acquired: Deferred[bool]) -> object:
        outcomes: list[Any] = []
        acquired.addErrback(lambda failure: failure.value).addCallback(outcomes.append)
        (outcome,) = outcomes
        return outcome

    def test_at_the_same_time(self) -> None:
        """The second contender is refused, however shortly it comes after the first; of two at the same time, one or
        both are.
        """
        clients = [self.client(), self.client()]

        def lock(client: int) -> Acquirable:
            made = self.lock(clients[client])
            assert isinstance(made, Lock)
            return made

        self.at_the_same_time([lambda: lock(0), lambda: self.semaphore(client=clients[1])])
        self.at_the_same_time([lambda: self.semaphore(client=clients[0]), lambda: lock(1)])
