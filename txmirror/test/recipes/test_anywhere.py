"""Any fault, at any turn of the reactor while something is acquired or released: the recipe recovers, and leaves
nothing behind.

Each test applies one fault in as many worlds as there are turns, each time a turn later.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import ZooKeeperClient
from txmirror.errors import ClosingException, LockMismatchError
from txmirror.recipes import Lock, MultiLock, ReadLock, Semaphore
from txmirror.recipes.acquirable import Acquirable
from txmirror.test.hypothesis_profiles import stride
from txmirror.testing import World

Claim = Acquirable | MultiLock

#: The session timeout of these tests, in seconds.
S = 6.0
PATH = "/locks/one"


class _World(World):
    """A world with a holder, and a contender that begins to acquire the same."""

    def __init__(self, make: Callable[[ZooKeeperClient, Any], Claim], contended: bool) -> None:
        super().__init__()
        self.first = self.client(session_timeout=S)
        self.second = self.client(session_timeout=S)
        self.before, self.claim = make(self.first, self.reactor), make(self.second, self.reactor)
        self.outcomes: list[bool | Failure | None] = []
        if contended:
            self.result(self.before.acquire())

    def acquire(self) -> None:
        self.acquired = self.claim.acquire()
        self.acquired.addBoth(self.outcomes.append)

    def step(self) -> bool:
        """Take one turn, and return whether there was one."""
        calls = self.reactor.calls
        due = bool(calls) and calls[0].getTime() <= self.reactor.seconds()
        self.reactor.take_turns(1)
        return due

    def drop(self) -> None:
        for connection in self.server.connections:
            if connection.session_id == self.second.session_id:
                connection.drop()

    def expire(self) -> None:
        if self.second.session_id in self.server.sessions:
            self.server.expire_session(self.second.session_id)

    def nodes(self) -> dict[str, int]:
        """Return the owner of each ephemeral node."""
        return {
            path: node.stat().ephemeralOwner
            for path, node in self.server._state.database.tree.nodes.items()
            if node.stat().ephemeralOwner
        }


def _lock(client: ZooKeeperClient, reactor: Any) -> Claim:
    return Lock(client, PATH, reactor=reactor)


def _semaphore(client: ZooKeeperClient, reactor: Any) -> Claim:
    return Semaphore(client, PATH, reactor=reactor)


def _multi_lock(client: ZooKeeperClient, reactor: Any) -> MultiLock:
    locks = [Lock(client, path, reactor=reactor) for path in (PATH, "/locks/two")]
    return MultiLock(locks, reactor=reactor)


def _in_turn(*makers: Callable[[ZooKeeperClient, Any], Claim]) -> Callable[[ZooKeeperClient, Any], Claim]:
    """Make one thing after another, over and over."""
    following = itertools.cycle(makers)

    def make(client: ZooKeeperClient, reactor: Any) -> Claim:
        return next(following)(client, reactor)

    return make


class AnywhereTests(SynchronousTestCase):
    def everywhere(
        self,
        make: Callable[[ZooKeeperClient, Any], Claim],
        contended: bool,
        deed: Callable[[_World], object],
        check: Callable[[_World], object],
        begin: Callable[[_World], object] = _World.acquire,
    ) -> None:
        """Begin something, take so many turns, do the deed, check; again with one turn more, until there are no more.

        In a contended world, the holder goes when the deed is done.
        """
        number, more = 0, True
        while more:
            with _World(make, contended) as world:
                begin(world)
                more = all(world.step() for _ in range(number))
                deed(world)
                world.settle()
                self.assertFalse(contended and world.claim.held)
                world.before.release().addErrback(lambda failure: failure.trap(ClosingException))
                world.pass_time(2.0)
                try:
                    check(world)
                except AssertionError as error:
                    raise AssertionError(f"after {number} turns: {error}") from error
                world.pass_time(1.0)
                self.assertEqual(world.nodes(), {}, f"after {number} turns")
            number += stride()
        self.assertGreater(number, 3)

    def each(
        self,
        deed: Callable[[_World], object],
        check: Callable[[_World], object],
        begin: Callable[[_World], object] = _World.acquire,
    ) -> None:
        """Do it where a lock has to be waited for; where a semaphore, which has a lock in it, is free; and for two locks."""
        self.everywhere(_lock, True, deed, check, begin)
        self.everywhere(_semaphore, False, deed, check, begin)
        self.everywhere(_multi_lock, True, deed, check, begin)

    def check_held(self, world: _World) -> None:
        """It is held in the session that stands, by one node a lock."""
        self.assertEqual(world.outcomes, [True])
        self.assertTrue(world.claim.held)
        count = len(world.claim.locks) if isinstance(world.claim, MultiLock) else 1
        self.assertEqual(list(world.nodes().values()), [world.second.session_id] * count)
        world.result(world.claim.release())

    def check_over(self, world: _World, *errors: type[Exception]) -> None:
        """It was given up, unless it was held before that."""
        (outcome,) = world.outcomes
        if outcome is not True:
            assert isinstance(outcome, Failure)
            outcome.trap(*errors)
            self.assertFalse(world.claim.held)
        elif world.claim.held:
            world.result(world.claim.release())

    def test_disconnected(self) -> None:
        """After a lost connection the recipe finds the node again that it created, and creates none twice (H1)."""
        self.each(_World.drop, self.check_held)
        self.everywhere(_semaphore, True, _World.drop, self.check_held)

    def test_session_ended(self) -> None:
        """A session that ends is got over: in the next one it is acquired anew, and held on its strength."""

        def check(world: _World) -> None:
            if world.claim.held:
                self.check_held(world)
            else:
                # It was held before.
                self.assertTrue(world.claim.lost.called)
                self.assertEqual(world.outcomes, [True])
                world.result(world.claim.release())

        self.each(_World.expire, check)
        self.everywhere(_semaphore, True, _World.expire, check)

    def test_cancelled(self) -> None:
        """A cancelled contender fails at once, and leaves nothing (H3)."""

        def cancel(world: _World) -> None:
            world.acquired.cancel()
            self.assertEqual(len(world.outcomes), 1)

        self.each(cancel, lambda world: self.check_over(world, CancelledError))

    def test_cancelled_and_disconnected(self) -> None:
        """A contender that is cancelled when the connection is lost, in either order, leaves nothing (H3)."""

        def cancel_and_drop(world: _World) -> None:
            world.acquired.cancel()
            world.drop()

        def drop_and_cancel(world: _World) -> None:
            world.drop()
            world.acquired.cancel()

        for deed in (cancel_and_drop, drop_and_cancel):
            self.each(deed, lambda world: self.check_over(world, CancelledError))

    def test_released(self) -> None:
        """The release of something that is being acquired leaves nothing, and fires when that is so."""

        def release(world: _World) -> None:
            released = world.claim.release()
            self.assertEqual(len(world.outcomes), 1)
            world.result(released)
            self.assertNotIn(world.second.session_id, world.nodes().values())

        self.each(release, lambda world: self.check_over(world, CancelledError))

    def test_closed(self) -> None:
        """The client may be closed at any moment."""
        self.each(lambda world: world.second.close(), lambda world: self.check_over(world, ClosingException))

    def test_released_and_disconnected(self) -> None:
        """A release is completed however often the connection is lost, and fires then."""

        def begin(world: _World) -> None:
            world.result(world.before.release())
            world.result(world.claim.acquire())
            world.claim.release().addCallback(world.outcomes.append)

        def drop(world: _World) -> None:
            self.assertTrue(not world.outcomes or world.second.session_id not in world.nodes().values())
            world.drop()

        for make in (_lock, _semaphore):
            for deed in (drop, _World.expire):
                self.everywhere(make, False, deed, lambda world: self.assertEqual(world.outcomes, [None]), begin)

    def test_lost_messages(self) -> None:
        """Any request, or the answer to any, may be lost, and the next one too; it is as with a lost connection (H1)."""
        kinds = {_lock: ("create", "get_children", "get"), _semaphore: ("create", "get_children", "get", "delete")}
        for make, operations in kinds.items():
            for operation in operations:
                for first in ("lose_request", "lose_reply"):
                    for which in range(3):
                        self.lose(make, operation, first, which)

    def lose(self, make: Callable[[ZooKeeperClient, Any], Claim], operation: str, fault: str, which: int) -> None:
        """Acquire and release something, where a request of a kind is lost, after so many of the kind that are not."""
        with _World(make, contended=True) as world:
            session = world.second.session_id
            for _ in range(which):
                world.server.delay_next(operation, 0.0, session_id=session)
            getattr(world.server, fault)(operation, session_id=session)
            # What is looked for then may be cut off too.
            world.server.lose_reply("sync", session_id=session)
            world.acquire()
            world.settle()
            world.result(world.before.release())
            world.pass_time(2.0)
            self.check_held(world)
            self.assertEqual(world.nodes(), {}, (operation, fault, which))

    def test_other_kind(self) -> None:
        """A contender that is refused because of the other kind leaves nothing, whichever fault happens meanwhile."""

        def check(world: _World) -> None:
            self.check_over(world, LockMismatchError, CancelledError)

        def cancel(world: _World) -> None:
            world.acquired.cancel()

        for kinds in ((_lock, _semaphore), (_semaphore, _lock)):
            for deed in (_World.drop, _World.expire, cancel):
                self.everywhere(_in_turn(*kinds), True, deed, check)

    def test_number_of_leases(self) -> None:
        """A new number of leases is written whichever fault happens meanwhile, and nothing is left."""

        def make(client: ZooKeeperClient, reactor: Any) -> Claim:
            return Semaphore(client, PATH, leases=3, reactor=reactor)

        def begin(world: _World) -> None:
            world.result(world.before.acquire())
            world.result(world.before.release())
            world.result(world.first.set(PATH, b"2"))
            world.acquire()

        def check(world: _World) -> None:
            self.assertEqual(world.outcomes, [True])
            self.assertEqual(world.result(world.first.get(PATH))[0], b"3")
            world.result(world.claim.release())

        for deed in (_World.drop, _World.expire):
            self.everywhere(make, False, deed, check, begin)

    def test_readers(self) -> None:
        """A reader is found again by its own name too."""

        def make(client: ZooKeeperClient, reactor: Any) -> Claim:
            return ReadLock(client, PATH, reactor=reactor)

        self.everywhere(make, False, _World.drop, self.check_held)
