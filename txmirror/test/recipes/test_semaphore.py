"""Semaphores without faults, and with other users of their nodes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from txmirror.errors import LockMismatchError, NoAuthException, ThrottledOpException
from txmirror.recipes import Lock, Semaphore
from txmirror.test.mirror.world import record_log
from txmirror.test.recipes.case import Counts, RecipeCase
from txmirror.types import ACL, Permission


class SemaphoreTests(RecipeCase):
    path = "/pools/one"

    def semaphore(self, leases: int = 2, **options: Any) -> Semaphore:
        made = self.lock(options.pop("client", None), Semaphore, leases=leases, **options)
        assert isinstance(made, Semaphore)
        return made

    def test_leases(self) -> None:
        """As many hold it as there are leases; the others get one in the order in which they came."""
        semaphores = [self.semaphore(name=str(number)) for number in range(5)]
        acquired = [self.begin(semaphore) for semaphore in semaphores]
        self.assertEqual(self.held(*semaphores), [True, True, False, False, False])
        self.assertEqual(self.done(semaphores[0].contenders()), ["2", "3", "4"])
        holders = self.done(semaphores[0].holders())
        self.assertEqual(sorted(holders), ["0", "1"])
        self.done(semaphores[1].release())
        self.assertEqual(self.held(*semaphores), [True, False, True, False, False])
        self.done(semaphores[0].release())
        self.done(semaphores[2].release())
        self.assertEqual([each.called for each in acquired], [True] * 5)
        self.assertEqual(self.held(*semaphores), [False, False, False, True, True])
        for semaphore in semaphores[3:]:
            self.done(semaphore.release())
        self.assert_clear()
        self.assertEqual(self.watches(), 0)

    def test_nodes(self) -> None:
        """All is named as kazoo's: the number of leases, the leases, and the line beside them; tokens are their czxids."""
        client = self.client()
        semaphore = self.semaphore(client=client, name="me")
        self.done(semaphore.acquire())
        self.assertEqual(self.done(self.observer.get(self.path))[0], b"2")
        (node,) = self.nodes()
        self.assertRegex(node, r"\A[0-9a-f]{32}\Z")
        data, stat = self.done(self.observer.get(f"{self.path}/{node}"))
        self.assertEqual((data, stat.ephemeralOwner, stat.czxid), (b"me", client.session_id, semaphore.token))
        self.assertEqual(self.nodes("/pools/one-__lock__"), [])

    def test_other_number(self) -> None:
        """A contender with another number of leases than the users is refused each time, and blocks nobody."""
        client = self.client()
        holder, second = self.semaphore(1, name="holder", client=client), self.semaphore(1, name="second")
        self.done(holder.acquire())
        acquired = self.begin(second)
        other = self.semaphore(3)
        for wait in (None, 0):
            error = self.assertRaises(LockMismatchError, self.done, other.acquire(wait=wait))
            self.assertEqual(
                str(error),
                f"the semaphore '/pools/one' has 1 leases, not 3, and 'holder' (session {client.session_id:#x}) holds one:"
                " ask for 1, or ask again when nobody uses it, which writes the new number",
            )
            self.assertIsInstance(error, ValueError)
            self.assertEqual((error.path, len(self.nodes("/pools/one-__lock__"))), (self.path, 1))
        self.done(holder.release())
        self.assertTrue(self.done(acquired))
        self.done(second.release())
        self.assertTrue(self.done(other.acquire(wait=0)))

    def test_others_in_line(self) -> None:
        """A contender in the line counts as a user, though nobody holds a lease."""
        lock = Lock(self.client(), f"{self.path}-__lock__", name="first", reactor=self.world.reactor)
        self.done(self.semaphore().acquire())
        self.done(self.observer.delete(f"{self.path}/{self.nodes()[0]}"))
        self.done(lock.acquire())
        error = self.assertRaises(LockMismatchError, self.done, self.semaphore(3).acquire())
        self.assertIn("'first' (session ", str(error))
        self.assertIn(") waits for one: ask for 2, or", str(error))
        self.assertEqual(self.done(self.observer.get(self.path))[0], b"2")

    def test_new_number(self) -> None:
        """Another number of leases is written where nobody uses the semaphore, with a warning; and counts then."""
        log = record_log(self)
        self.done(self.observer.create("/pools"))
        self.done(self.observer.create(self.path, b"2"))
        # What does not belong to a session is nobody.
        self.done(self.observer.create(f"{self.path}/stranger"))
        self.assertTrue(self.done(self.semaphore(3).acquire(wait=0)))
        self.assertEqual(self.done(self.observer.get(self.path))[0], b"3")
        (warning,) = (line for line in log() if "Changed the semaphore" in line)
        self.assertEqual(warning, "Changed the semaphore /pools/one from 2 to 3 leases, because nobody used it.")
        self.assertTrue(self.done(self.semaphore(3).acquire(wait=0)))
        self.assertIs(self.done(self.semaphore(3).acquire(wait=0)), False)
        self.assertRaises(LockMismatchError, self.done, self.semaphore(2).acquire())

    def test_new_number_at_any_turn(self) -> None:
        """Of two contenders with different numbers at the same time, at most one holds it, and its number is written."""
        self.done(self.observer.create("/pools"))
        for late in range(40):
            path = f"/pools/{late}"
            claims = [
                Semaphore(self.client(), path, leases=leases, name=str(leases), reactor=self.world.reactor)
                for leases in (2, 3)
            ]
            self.done(self.observer.create(path, b"1"))
            first = claims[0].acquire()
            self.world.reactor.take_turns(late)
            second = claims[1].acquire()
            self.settle()
            self.over(first, second)
            held = [claim for claim in claims if claim.held]
            self.assertLessEqual(len(held), 1, f"after {late} turns")
            for claim in held:
                self.assertEqual(self.done(self.observer.get(path))[0], str(claim.leases).encode())
            for claim in claims:
                self.done(claim.release())
            self.assertEqual(self.nodes(path) + self.nodes(f"{path}-__lock__"), [], f"after {late} turns")
            self.assertTrue(self.done(claims[1].acquire(wait=0)))
            self.done(claims[1].release())

    def over(self, *acquired: Deferred[bool]) -> None:
        """Check that attempts are over, and were refused only for the number."""
        for each in acquired:
            each.addErrback(lambda failure: failure.trap(LockMismatchError))
            self.assertTrue(each.called)

    def test_new_number_cut_off(self) -> None:
        """The number is written once, even if the request or its reply is lost."""
        for number, fault in enumerate(("lose_request", "lose_reply"), 3):
            for leases in (number, 2):
                semaphore = self.semaphore(leases)
                getattr(self.server, fault)("set")
                acquired = self.begin(semaphore)
                self.pass_time(2.0)
                self.assertTrue(self.done(acquired))
                self.assertEqual(self.done(self.observer.get(self.path))[0], str(leases).encode())
                self.done(semaphore.release())

    def test_new_number_that_may_not_be_written(self) -> None:
        """If the node may not be written, the error names the reason, and nothing is left."""
        self.done(self.observer.create("/pools"))
        self.done(self.observer.create(self.path, b"2"))
        self.done(self.observer.set_acl(self.path, [ACL(Permission.ALL & ~Permission.WRITE, "world", "anyone")]))
        error = self.assertRaises(LockMismatchError, self.done, self.semaphore(3).acquire())
        self.assertEqual(
            str(error),
            "the semaphore '/pools/one' has 2 leases, not 3, and its ACL does not let us change that: ask for 2, or have the"
            " node changed",
        )
        self.assert_clear()

    def test_place_given_up_first(self) -> None:
        """A lease counts as held when its node in the queue is deleted: a contender that comes then gets a free lease."""
        client = self.client()
        first, second = self.semaphore(client=client), self.semaphore()
        self.server.delay_next("delete", 1.0, session_id=client.session_id)
        acquired = self.waiting(first.acquire())
        self.assertFalse(first.held)
        self.pass_time(1.0)
        acquired.addCallback(lambda _: second.acquire(wait=0))
        self.assertIs(self.done(acquired), True)
        self.assertEqual(self.held(first, second), [True, True])

    def test_refused_is_gone(self) -> None:
        """An attempt that does not wait has left the line when it fires, also where no lease was available."""
        clients = [self.client() for _ in range(3)]
        first, second, third = (self.semaphore(1, client=client) for client in clients)
        self.done(first.acquire())
        self.server.delay_next("delete", 1.0, session_id=clients[1].session_id)
        refused = self.waiting(second.acquire(wait=0))
        self.pass_time(1.0)
        self.assertIs(self.done(refused), False)
        self.done(first.release())
        self.server.delay_next("get_children", 1.0, session_id=clients[2].session_id)
        acquired = self.waiting(third.acquire(wait=0))
        self.server.delay_next("delete", 2.0, session_id=clients[1].session_id)
        refused = self.waiting(second.acquire(wait=0))
        self.pass_time(2.0)
        self.assertEqual((self.done(acquired), self.done(refused)), (True, False))
        self.assertEqual(self.nodes("/pools/one-__lock__"), [])

    def test_lease_that_may_not_be_deleted(self) -> None:
        """If the lease of a cancelled contender may not be deleted, its node in the queue is deleted all the same."""
        client = self.client()
        self.done(self.semaphore().acquire())
        semaphore = self.semaphore(client=client)
        for delay in (0.0, 1.0):
            self.server.delay_next("create", delay, session_id=client.session_id)
        acquired = self.waiting(semaphore.acquire())
        # The first is its place in line.
        self.server.delay_next("delete", 0.5, session_id=client.session_id)
        self.server.fail_next("delete", NoAuthException(), session_id=client.session_id)
        self.pass_time(0.5)
        released = semaphore.release()
        self.assert_cancelled(acquired)
        self.pass_time(2.0)
        self.failureResultOf(released, NoAuthException)
        self.assertEqual((len(self.nodes()), self.nodes("/pools/one-__lock__")), (2, []))

    def test_place_that_may_not_be_given_up(self) -> None:
        """Where a server refuses to delete the place in line, the lease is held all the same."""
        client = self.client()
        semaphore = self.semaphore(client=client)
        self.server.fail_next("delete", NoAuthException(), session_id=client.session_id)
        self.assertTrue(self.done(semaphore.acquire()))
        self.assertTrue(semaphore.held)
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_other_data(self) -> None:
        """A node that holds no number is used as it is."""
        self.done(self.observer.create("/pools"))
        self.done(self.observer.create(self.path, b"\xff"))
        for data in (b"\xff", b"", b"leases"):
            self.done(self.observer.set(self.path, data))
            semaphore = self.semaphore()
            self.assertTrue(self.done(semaphore.acquire()))
            self.done(semaphore.release())
            self.assertEqual(self.done(self.observer.get(self.path))[0], data)

    def test_no_wait(self) -> None:
        """An attempt that does not wait takes a free lease, and leaves nothing if there is none, or if others wait."""
        first, second, third = (self.semaphore(1) for _ in range(3))
        self.assertTrue(self.done(first.acquire(wait=0)))
        self.assertIs(self.done(second.acquire(wait=0)), False)
        acquired = self.begin(second)
        self.assertIs(self.done(third.acquire(wait=0)), False)
        self.assertEqual(len(self.nodes("/pools/one-__lock__")), 1)
        self.done(first.release())
        self.assertTrue(self.done(acquired))

    def test_wait(self) -> None:
        """After the time limit nothing is left, neither of the first in the queue nor of a later one."""
        first, second, third = (self.semaphore(1) for _ in range(3))
        self.done(first.acquire())
        acquired = [self.waiting(each.acquire(wait=5.0)) for each in (second, third)]
        self.pass_time(5.0)
        self.assertEqual([self.successResultOf(each) for each in acquired], [False, False])
        self.assertEqual(len(self.nodes()), 1)
        self.assertEqual(self.nodes("/pools/one-__lock__"), [])
        self.done(first.release())
        self.assertTrue(self.done(second.acquire(wait=0)))

    def test_release_waits_for_the_place_in_line(self) -> None:
        """``release`` fires only when the place in the line is given up, too."""
        first, client = self.semaphore(1), self.client()
        second = self.semaphore(1, client=client)
        self.done(first.acquire())
        self.begin(second)
        for _ in range(2):
            self.server.fail_next("delete", ThrottledOpException(), session_id=client.session_id)
        released = second.release()
        self.settle()
        self.assertNoResult(released)
        self.pass_time(1.0)
        self.successResultOf(released)
        self.assertEqual(self.nodes("/pools/one-__lock__"), [])

    def test_no_herd(self) -> None:
        """When a lease is given back, only the first in line looks."""
        counts = [Counts() for _ in range(5)]
        semaphores = [self.semaphore(client=self.client(metrics=count)) for count in counts]
        for semaphore in semaphores:
            self.begin(semaphore)
        for count in counts:
            count.take()
        self.done(semaphores[0].release())
        self.assertEqual(self.held(*semaphores), [False, True, True, False, False])
        taken = [count.take() for count in counts]
        self.assertEqual(taken[0], ["DELETE"])
        self.assertEqual(taken[2], ["GET_CHILDREN2", "CREATE", "DELETE", "GET_CHILDREN2", "GET_DATA"])
        # The next is the first in line now.
        self.assertEqual(taken[3], ["GET_CHILDREN2", "GET_DATA", "GET_DATA", "GET_CHILDREN2"])
        self.assertEqual([taken[1], taken[4]], [[], []])

    def test_one_lease_less_than_wanted(self) -> None:
        """Any child of the semaphore's node counts as a lease, whichever program created it."""
        semaphore = self.semaphore(1)
        self.done(self.observer.create("/pools"))
        self.done(self.observer.create(self.path, b"1"))
        self.done(self.observer.create(f"{self.path}/stranger"))
        acquired = self.waiting(semaphore.acquire())
        self.done(self.observer.delete(f"{self.path}/stranger"))
        self.assertTrue(self.done(acquired))

    def test_line_deleted(self) -> None:
        """A contender whose node in the queue is deleted, even as the first, does not take a lease on its strength."""
        first, second, third = (self.semaphore(1, name=str(number)) for number in range(3))
        self.done(first.acquire())
        acquired = self.begin(second)
        last = self.begin(third)
        line = "/pools/one-__lock__"
        (node, _) = sorted(self.nodes(line), key=lambda node: node[-10:])
        self.done(self.observer.delete(f"{line}/{node}"))
        self.settle()
        self.done(first.release())
        self.assertEqual(self.held(second, third), [False, True])
        self.assertTrue(last.called)
        self.done(third.release())
        self.assertTrue(self.done(acquired))

    def test_deleted_while_waiting(self) -> None:
        """If the semaphore's node is deleted while a contender waits, the recipe creates it again."""
        first, second = self.semaphore(1), self.semaphore(1)
        self.done(first.acquire())
        acquired = self.begin(second)
        (node,) = self.nodes()
        session = second._contender.client.session_id
        self.server.delay_next("get_children", 1.0, path=self.path, session_id=session)
        self.done(self.observer.delete(f"{self.path}/{node}"))
        self.done(self.observer.delete(self.path))
        self.pass_time(1.0)
        self.assertTrue(self.done(acquired))
        self.assertEqual(self.done(self.observer.get(self.path))[0], b"1")

    def test_holders(self) -> None:
        """Without a semaphore there are no holders; a node that may not be read is an error."""
        semaphore = self.semaphore()
        self.assertEqual(self.done(semaphore.holders()), [])
        self.assertEqual(self.done(semaphore.contenders()), [])
        self.done(semaphore.acquire())
        self.server.fail_next("get", NoAuthException())
        self.assertRaises(NoAuthException, self.done, semaphore.holders())

    def test_again(self) -> None:
        """A semaphore can be acquired again and again; not twice at a time."""
        semaphore = self.semaphore()
        for wait in (None, 0, 0):
            self.assertTrue(self.done(semaphore.acquire(wait=wait)))
            error = self.assertRaises(RuntimeError, semaphore.acquire)
            self.assertIn(f"{semaphore!r} is not re-entrant", str(error))
            semaphore.release()

    def test_bad_arguments(self) -> None:
        wrong: list[Any] = [0, -1, True, 1.0, "2"]
        for leases in wrong:
            self.assertIn(repr(leases), str(self.assertRaises(ValueError, self.semaphore, leases)))

    def test_beside_a_lock(self) -> None:
        """The queue is a lock at a path of its own: a holder of that lock keeps all contenders from the leases."""
        lock = Lock(self.client(), f"{self.path}-__lock__", reactor=self.world.reactor)
        self.done(lock.acquire())
        acquired = self.waiting(self.semaphore().acquire())
        self.done(lock.release())
        self.assertTrue(self.done(acquired))
