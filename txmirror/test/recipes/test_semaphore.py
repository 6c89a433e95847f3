"""Semaphores where nothing goes wrong, and where somebody else uses their nodes."""

from __future__ import annotations

from typing import Any

from txmirror.errors import NoAuthException, ThrottledOpException
from txmirror.recipes import Lock, Semaphore
from txmirror.test.recipes.case import Counts, RecipeCase


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
        """Who means another number of leases is told so, each time, and is not in anybody's way."""
        self.done(self.semaphore().acquire())
        other = self.semaphore(3)
        for _ in range(2):
            error = self.assertRaises(ValueError, self.done, other.acquire())
            self.assertEqual(str(error), "the semaphore '/pools/one' has 2 leases, not 3")
        self.assertTrue(self.done(self.semaphore().acquire(wait=0)))

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
        """An attempt that does not wait takes what is free, and leaves nothing where nothing is, or somebody waits."""
        first, second, third = (self.semaphore(1) for _ in range(3))
        self.assertTrue(self.done(first.acquire(wait=0)))
        self.assertIs(self.done(second.acquire(wait=0)), False)
        acquired = self.begin(second)
        self.assertIs(self.done(third.acquire(wait=0)), False)
        self.assertEqual(len(self.nodes("/pools/one-__lock__")), 1)
        self.done(first.release())
        self.assertTrue(self.done(acquired))

    def test_wait(self) -> None:
        """When the time is over nothing is left, of who is the first in line nor of who is behind."""
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
        """Who gives up is told that nothing is left when the place in line is given up too."""
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
        self.assertEqual(taken[2], ["GET_CHILDREN2", "CREATE", "GET_DATA", "DELETE"])
        # The next is the first in line now.
        self.assertEqual(taken[3], ["GET_CHILDREN2", "GET_DATA", "GET_CHILDREN2"])
        self.assertEqual([taken[1], taken[4]], [[], []])

    def test_one_lease_less_than_wanted(self) -> None:
        """Any child of the semaphore's node takes a lease, whoever made it."""
        semaphore = self.semaphore(1)
        self.done(self.observer.create("/pools"))
        self.done(self.observer.create(self.path, b"1"))
        self.done(self.observer.create(f"{self.path}/stranger"))
        acquired = self.waiting(semaphore.acquire())
        self.done(self.observer.delete(f"{self.path}/stranger"))
        self.assertTrue(self.done(acquired))

    def test_line_deleted(self) -> None:
        """Whose place in line is deleted by somebody, though it is the first, does not take a lease on it."""
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
        """Where the semaphore's node is deleted under who waits, it is made anew."""
        first, second = self.semaphore(1), self.semaphore(1)
        self.done(first.acquire())
        acquired = self.begin(second)
        (node,) = self.nodes()
        session = second._client.session_id
        self.server.delay_next("get_children", 1.0, path=self.path, session_id=session)
        self.done(self.observer.delete(f"{self.path}/{node}"))
        self.done(self.observer.delete(self.path))
        self.pass_time(1.0)
        self.assertTrue(self.done(acquired))
        self.assertEqual(self.done(self.observer.get(self.path))[0], b"1")

    def test_holders(self) -> None:
        """Where there is no semaphore, nobody holds it; and what may not be read fails."""
        semaphore = self.semaphore()
        self.assertEqual(self.done(semaphore.holders()), [])
        self.assertEqual(self.done(semaphore.contenders()), [])
        self.done(semaphore.acquire())
        self.server.fail_next("get", NoAuthException())
        self.assertRaises(NoAuthException, self.done, semaphore.holders())

    def test_again(self) -> None:
        """It can be held again and again; not twice at a time."""
        semaphore = self.semaphore()
        for wait in (None, 0, 0):
            self.assertTrue(self.done(semaphore.acquire(wait=wait)))
            error = self.assertRaises(RuntimeError, semaphore.acquire)
            self.assertIn("<Semaphore '/pools/one' held>", str(error))
            semaphore.release()

    def test_bad_arguments(self) -> None:
        wrong: list[Any] = [0, -1, True, 1.0, "2"]
        for leases in wrong:
            self.assertIn(repr(leases), str(self.assertRaises(ValueError, self.semaphore, leases)))

    def test_beside_a_lock(self) -> None:
        """The line beside it is a lock like others: who holds it keeps everybody from the leases."""
        lock = Lock(self.client(), f"{self.path}-__lock__", clock=self.world.reactor)
        self.done(lock.acquire())
        acquired = self.waiting(self.semaphore().acquire())
        self.done(lock.release())
        self.assertTrue(self.done(acquired))
