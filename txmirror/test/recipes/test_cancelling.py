"""Locks, semaphores, elections and revocation that are cancelled or closed at every step: nothing is left, and others can go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txmirror.client import ZooKeeperClient
from txmirror.errors import ClosingException
from txmirror.recipes import Election, Lock, MultiLock, ReadLock, Semaphore
from txmirror.test.recipes.moments import Moments, MomentsCase, failed

_PATH, _OTHER = "/app/lock", "/app/other"
Make = Callable[["_Acquiring", ZooKeeperClient], Any]


def _lock(world: _Acquiring, client: ZooKeeperClient) -> Any:
    return Lock(client, _PATH, reactor=world.reactor)


def _read_lock(world: _Acquiring, client: ZooKeeperClient) -> Any:
    return ReadLock(client, _PATH, reactor=world.reactor)


def _semaphore(world: _Acquiring, client: ZooKeeperClient) -> Any:
    return Semaphore(client, _PATH, leases=1, reactor=world.reactor)


def _several(world: _Acquiring, client: ZooKeeperClient) -> Any:
    # They are acquired in the order of their paths: the first is held while the second is waited for.
    return MultiLock(
        [Lock(client, path, reactor=world.reactor) for path in (f"{_PATH}-0", _OTHER)], reactor=world.reactor
    )


def _curator_lock(world: _Acquiring, client: ZooKeeperClient) -> Any:
    return Lock(client, _PATH, style="curator-mutex", reactor=world.reactor)


class _Acquiring(Moments):
    """A world in which the second client acquires something, which the first client may hold.

    :param make: makes the thing.
    :param blocker: makes what the first client holds; None holds nothing.
    """

    def __init__(self, make: Make, blocker: Make | None = None) -> None:
        super().__init__()
        self.make = make
        self.holder = None if blocker is None else blocker(self, self.first)
        if self.holder is not None:
            self.result(self.holder.acquire())
        self.wanted = make(self, self.second)

    def acquire(self) -> None:
        """Begin to acquire it."""
        self.begin(self.wanted.acquire())

    def release(self) -> None:
        """Acquire it, and begin to release it."""
        self.result(self.wanted.acquire())
        self.begin(self.wanted.release())


class _Standing(Moments):
    """A world in which the second client stands for election, which the first may lead."""

    def __init__(self, led: bool) -> None:
        super().__init__()
        self.leader = Election(self.first, _PATH, reactor=self.reactor)
        self.working = 0
        if led:
            self.leader.run(self.job).addErrback(lambda failure: failure.trap(CancelledError))
            self.settle()
        self.before = self.working
        self.election = Election(self.second, _PATH, reactor=self.reactor)

    def job(self) -> Deferred[None]:
        """Work until it is cancelled."""
        self.working += 1

        def cancelled(_: object) -> None:
            self.working -= 1

        return Deferred(cancelled)

    def stand(self) -> None:
        """Stand for election."""
        self.begin(self.election.run(self.job))


class CancellingTests(MomentsCase):
    def given_up(self, make: Make, blocker: Make | None = None) -> None:
        """Give it up at each step. The holder keeps what it has, and then others can have it at once."""

        def check(world: _Acquiring) -> None:
            (outcome,) = world.outcomes
            if not failed(outcome, CancelledError, ClosingException):
                self.assertIs(outcome, True)
                world.result(world.wanted.release())
            self.assertFalse(world.wanted.held)
            if world.holder is not None:
                self.assertTrue(world.holder.held)
                world.result(world.holder.release())
            later = world.make(world, world.first)
            self.assertIs(world.result(later.acquire(wait=0)), True)
            world.result(later.release())
            self.assertEqual(world.server._replica.watches.count(), 0)

        for deed in (
            _Acquiring.cancel,
            _Acquiring.cancel_and_drop,
            _Acquiring.drop_and_cancel,
            _Acquiring.close_second,
        ):
            self.everywhere(lambda: _Acquiring(make, blocker), _Acquiring.acquire, deed, check)

    def test_lock(self) -> None:
        """A lock that is free."""
        self.given_up(_lock)

    def test_lock_waiting(self) -> None:
        """A lock that another holds."""
        self.given_up(_lock, _lock)

    def test_read_lock_waiting(self) -> None:
        """A read lock, behind a lock."""
        self.given_up(_read_lock, _lock)

    def test_semaphore(self) -> None:
        """A lease of a semaphore that is free."""
        self.given_up(_semaphore)

    def test_semaphore_waiting(self) -> None:
        """A lease of a semaphore that another holds."""
        self.given_up(_semaphore, _semaphore)

    def test_several(self) -> None:
        """Several locks, all of which are free."""
        self.given_up(_several)

    def test_several_waiting(self) -> None:
        """Several locks, the last of which another holds."""
        self.given_up(_several, lambda world, client: Lock(client, _OTHER, reactor=world.reactor))

    def test_curator_lock_waiting(self) -> None:
        """A lock in the style of Curator's."""
        self.given_up(_curator_lock, _curator_lock)

    def test_release(self) -> None:
        """A release that is cancelled goes on."""

        def check(world: _Acquiring) -> None:
            self.assertEqual(len(world.outcomes), 1)
            later = world.make(world, world.first)
            self.assertIs(world.result(later.acquire(wait=0)), True)
            world.result(later.release())
            self.assertEqual(world.server._replica.watches.count(), 0)

        for make in (_lock, _semaphore, _several):
            for deed in (_Acquiring.cancel, _Acquiring.cancel_and_drop, _Acquiring.drop_and_cancel):
                self.everywhere(lambda: _Acquiring(make), _Acquiring.release, deed, check, least=1)  # noqa: B023

    def test_election(self) -> None:
        """A candidate that is cancelled or closed does not lead any more, and its job has ended."""

        def check(world: _Standing) -> None:
            (outcome,) = world.outcomes
            self.assertTrue(failed(outcome, CancelledError, ClosingException), outcome)
            self.assertFalse(world.election.leading)
            self.assertEqual(world.working, world.before)
            world.result(world.leader.stop())
            self.assertEqual(world.server._replica.watches.count(), 0)

        for led in (False, True):
            for deed in (
                _Standing.cancel,
                _Standing.cancel_and_drop,
                _Standing.drop_and_cancel,
                _Standing.close_second,
            ):
                self.everywhere(lambda: _Standing(led), _Standing.stand, deed, check)  # noqa: B023

    def test_revoke(self) -> None:
        """A request to give a lock up that is cancelled was made or not, and leaves nothing. The holder still holds it."""

        def begin(world: _Acquiring) -> None:
            world.begin(world.wanted.revoke())

        def check(world: _Acquiring) -> None:
            (outcome,) = world.outcomes
            self.assertTrue(failed(outcome, CancelledError, ClosingException) or isinstance(outcome, list), outcome)
            holder: Any = world.holder
            self.assertTrue(holder.held)
            if isinstance(outcome, list):
                self.successResultOf(holder.revocation)
            self.assertEqual(len(world.ephemerals()), 1)
            world.result(holder.release())
            self.assertEqual(world.server._replica.watches.count(), 0)

        for deed in (
            _Acquiring.cancel,
            _Acquiring.cancel_and_drop,
            _Acquiring.drop_and_cancel,
            _Acquiring.close_second,
        ):
            self.everywhere(lambda: _Acquiring(_lock, _lock), begin, deed, check)
