"""Partitions: each item is one member's at a time, and few items move."""

from __future__ import annotations

import contextlib
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txmirror.errors import ClosingException, NoAuthException, PathError
from txmirror.recipes import Partitioner, Share
from txmirror.test.recipes.case import RecipeCase
from txmirror.test.recipes.moments import Moments, MomentsCase
from txmirror.testing import World
from txmirror.types import READ_ACL, digest_acl

PATH = "/feeds"
ITEMS = [f"feed/{number}" for number in range(12)]


class Ledger:
    """Notes who works on each item, and fails if two do at once.

    :ivar moved: how often an item has got a holder.
    """

    def __init__(self) -> None:
        self.working: dict[str, list[str]] = {}
        self.tokens: dict[str, int] = {}
        self.moved = 0
        self.overlaps: list[str] = []
        self.cancelled = 0
        #: The jobs end when these fire.
        self.slow: Deferred[None] | None = None

    def job(self, name: str) -> Any:
        async def work(share: Share) -> None:
            working = self.working.setdefault(share.item, [])
            if working:
                self.overlaps.append(f"{share.item}: {name} and {working}")
            if share.token <= self.tokens.get(share.item, 0):
                self.overlaps.append(f"{share.item}: an old token")
            self.tokens[share.item] = share.token
            working.append(name)
            self.moved += 1
            try:
                await Deferred()
            finally:
                self.cancelled += 1
                if self.slow is not None:
                    waiting: Deferred[None] = Deferred()
                    self.slow.addCallback(lambda _: waiting.callback(None))
                    await waiting
                working.remove(name)

        return work

    def holders(self) -> dict[str, str]:
        return {item: name for item, names in self.working.items() for name in names}


class PartitionerTests(RecipeCase):
    path = PATH

    def setUp(self) -> None:
        super().setUp()
        self.ledger = Ledger()

    def member(self, name: str, items: Any = ITEMS, **options: Any) -> Any:
        made = options.pop("client", None) or self.client()
        job = options.pop("job", self.ledger.job(name))
        member = Partitioner(made, self.path, items, job, name=name, reactor=self.world.reactor, **options)
        self.addCleanup(self.settle)
        self.addCleanup(member.stop)
        return member

    def started(self, *names: str, **options: Any) -> list[Any]:
        members = [self.member(name, **options) for name in names]
        for member in members:
            self.done(member.start())
        self.pass_time(3.0)
        return members

    def assert_shared(self, *members: Any) -> None:
        """The members hold all items, each one of them."""
        self.assertEqual(sorted(item for member in members for item in member.shares), sorted(ITEMS))
        for member in members:
            mine = {item for item, name in self.ledger.holders().items() if name == member.name}
            self.assertEqual(mine, member.shares)
        self.assertEqual(self.ledger.overlaps, [])

    def test_one(self) -> None:
        """One member has all, and leaves nothing behind."""
        (member,) = self.started("a")
        self.assert_shared(member)
        self.assertEqual(repr(member)[-24:], "'a' with 12 of 12 items>")
        self.done(member.stop())
        self.assertEqual((member.shares, self.ledger.holders()), (frozenset(), {}))
        self.assertEqual(self.nodes(f"{PATH}/members"), [])
        self.assertEqual(self.nodes(f"{PATH}/items"), [f"feed%2F{number}" for number in sorted(range(12), key=str)])
        for item in self.nodes(f"{PATH}/items"):
            self.assertEqual(self.nodes(f"{PATH}/items/{item}"), [])
        self.done(member.start())
        self.pass_time(3.0)
        self.assert_shared(member)

    def test_few_move(self) -> None:
        """A member that comes gets items of the others, and one that goes leaves its own to them; no other item moves."""
        members = self.started("a", "b", "c")
        self.assert_shared(*members)
        self.assertGreaterEqual(self.ledger.moved, len(ITEMS))
        before = {member.name: member.shares for member in members}
        moved = self.ledger.moved
        (newcomer,) = self.started("d")
        self.assert_shared(*members, newcomer)
        self.assertEqual(self.ledger.moved - moved, len(newcomer.shares))
        self.assertTrue(0 < len(newcomer.shares) < len(ITEMS) // 2)
        for member in members:
            self.assertEqual(member.shares, before[member.name] - newcomer.shares)
        moved, left = self.ledger.moved, len(newcomer.shares)
        self.done(newcomer.stop())
        self.pass_time(3.0)
        self.assert_shared(*members)
        self.assertEqual(self.ledger.moved - moved, left)
        self.assertEqual({member.name: member.shares for member in members}, before)

    def test_many_at_once(self) -> None:
        """Members that come at once are taken notice of together: each item gets its holder at once, and does not move."""
        members = [self.member(name) for name in "abcdef"]
        for member in members:
            member.start()
        self.pass_time(4.0)
        self.assert_shared(*members)
        self.assertEqual(self.ledger.moved, len(ITEMS))

    def test_released_first(self) -> None:
        """An item is acquired only when the job of its holder has ended, which is cancelled once."""
        (first,) = self.started("a")
        self.ledger.slow = slow = Deferred[None]()
        (second,) = self.started("b")
        self.assertGreater(self.ledger.cancelled, 0)
        self.assertEqual(second.shares, frozenset())
        self.assert_shared(first)
        count = self.ledger.cancelled
        slow.callback(None)
        self.ledger.slow = None
        self.pass_time(1.0)
        self.assert_shared(first, second)
        self.assertEqual((len(second.shares), self.ledger.cancelled), (count, count))

    def test_stop_waits_for_jobs(self) -> None:
        """A stop ends when the jobs have; then others hold the items."""
        first, second = self.started("a", "b")
        self.ledger.slow = slow = Deferred[None]()
        share = len(first.shares)
        stopping = [first.stop(), first.stop()]
        stopping[1].cancel()
        self.failureResultOf(stopping[1], CancelledError)
        self.pass_time(3.0)
        self.assertNoResult(stopping[0])
        self.assertEqual(len(second.shares), len(ITEMS) - share)
        self.assertRaises(RuntimeError, first.start)
        slow.callback(None)
        self.done(stopping[0])
        self.pass_time(1.0)
        self.assert_shared(second)

    def test_connection_lost(self) -> None:
        """A job whose connection is lost is cancelled before another member can hold the item."""
        first, second = self.started("a", "b")
        self.cut_off(first._place.client)
        for _ in range(60):
            self.pass_time(0.25)
            self.assertEqual(self.ledger.overlaps, [])
        self.pass_time(5.0)
        self.assert_shared(first, second)
        self.assertNotEqual(self.ledger.cancelled, 0)

    def test_session_expired(self) -> None:
        """A member whose session expires has its share again in the next one."""
        first, second = self.started("a", "b")
        self.drop(first._place.client)
        self.expire(first._place.client)
        self.pass_time(5.0)
        self.ledger.overlaps.clear()
        self.assert_shared(first, second)

    def test_slow_job_of_lost_session(self) -> None:
        """A job that ends late after a lost session is not begun twice by us, and is cancelled once."""
        (only,) = self.started("a")
        self.ledger.slow = slow = Deferred[None]()
        self.expire(only._place.client)
        self.pass_time(5.0)
        self.assertEqual((self.ledger.moved, self.ledger.cancelled), (12, 12))
        self.assertEqual(only.shares, frozenset())
        slow.callback(None)
        self.ledger.slow = None
        self.pass_time(3.0)
        self.assert_shared(only)

    def test_job_that_ends(self) -> None:
        """A job that ends by itself, or fails, which is logged, keeps its share."""
        begun: list[str] = []

        def job(share: Share) -> None:
            begun.append(share.item)
            if share.item == ITEMS[0]:
                raise ZeroDivisionError

        (member,) = self.started("a", job=job)
        self.assertEqual((sorted(begun), member.shares), (sorted(ITEMS), frozenset(ITEMS)))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.done(member.stop())

    def test_job_that_does_not_fail(self) -> None:
        """A job that returns after it was cancelled has ended."""

        async def job(share: Share) -> None:
            with contextlib.suppress(CancelledError):
                await Deferred()

        (member,) = self.started("a", job=job)
        self.done(member.stop())
        self.assertEqual(member.shares, frozenset())

    def test_changes(self) -> None:
        """An iteration has the present shares first, and then each new set, until the stop."""
        member = self.member("a", ITEMS[:1])
        self.done(member.start())
        changes = member.changes()
        self.assertEqual(self.done(changes.__anext__()), frozenset())
        waiting = changes.__anext__()
        self.pass_time(3.0)
        self.assertEqual(self.done(waiting), frozenset(ITEMS[:1]))
        cancelled = changes.__anext__()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        waiting, late = changes.__anext__(), member.changes()
        self.done(member.stop())
        self.assertEqual(self.done(waiting), frozenset())
        self.failureResultOf(changes.__anext__(), StopAsyncIteration)
        self.failureResultOf(late.__anext__(), StopAsyncIteration)

    def test_node_deleted(self) -> None:
        """If others delete a member's node, it is created again, and the member has its share again."""
        first, second = self.started("a", "b")
        self.done(self.observer.delete(f"{PATH}/members/a"))
        self.pass_time(8.0)
        self.assert_shared(first, second)

    def test_refused(self) -> None:
        """If a server refuses us, the start fails, and it can be started again."""
        acl = [digest_acl("app", "secret"), *READ_ACL]
        self.done(self.observer.create(PATH))
        self.done(self.observer.create(f"{PATH}/members", acl=acl))
        member = self.member("a")
        self.assertRaises(NoAuthException, self.done, member.start())
        self.settle()
        self.done(member._place.client.add_auth("digest", b"app:secret"))
        self.done(member.start())
        self.pass_time(3.0)
        self.assert_shared(member)

    def test_closed(self) -> None:
        """When the client is closed, the jobs end, and so does the iteration."""
        (member,) = self.started("a")
        self.done(member._place.client.close())
        self.pass_time(1.0)
        self.assertEqual((member.shares, self.ledger.holders()), (frozenset(), {}))
        self.done(member.stop())
        self.assertRaises(ClosingException, self.done, member.start())

    def test_closed_in_a_pause(self) -> None:
        """When the client is closed while changes are awaited, or after a refusal, no timer is left."""
        for time in (0.5, 2.0):
            with World() as world:
                client = world.client()
                world.result(client.create(PATH))
                world.result(client.create(f"{PATH}/items", acl=READ_ACL))
                member = Partitioner(client, PATH, ITEMS, self.ledger.job("a"), name="a", reactor=world.reactor)
                world.result(member.start())
                world.pass_time(time)
                # The end closes the client, and nothing may be left.

    def test_never_ended(self) -> None:
        """An item that the garbage collector ends, with the whole program, does not wait for its job."""
        (member,) = self.started("a", items=ITEMS[:1])
        claim = member._claims[ITEMS[0]]
        holding = claim._hold()
        holding.send(None)
        holding.close()
        self.assertTrue(claim.held)

    def test_many_items(self) -> None:
        """Many items are shared about evenly, without a long turn of the reactor."""
        items = [str(number) for number in range(300)]
        members = self.started("a", "b", "c", items=items)
        self.pass_time(5.0)
        sizes = [len(member.shares) for member in members]
        self.assertEqual(sum(sizes), 300)
        self.assertGreater(min(sizes), 70)
        self.assertEqual(self.ledger.overlaps, [])

    def test_wrong_arguments(self) -> None:
        """Wrong arguments raise at once, and are quoted."""
        wrong: list[Any] = ["feeds", b"feeds", [1], 5]
        for items in wrong:
            self.assertRaises(TypeError, self.member, "a", items)
        for item in ("", ".", ".."):
            error = self.assertRaises(PathError, self.member, "a", [item])
            self.assertIn(repr(item), str(error))
        self.assertRaises(PathError, self.member, "a/b")
        self.assertRaises(TypeError, self.member, "a", job=None)
        self.assertRaises(ValueError, self.member, "a", delay=-1)
        self.assertEqual(len(self.member("").name), 32)
        member = self.member("a")
        self.assertIsNone(self.done(member.stop()))
        member.start().addErrback(lambda failure: failure.trap(CancelledError))
        error = self.assertRaises(RuntimeError, member.start)
        self.assertIn("is started already", str(error))


class _Sharing(Moments):
    """A world in which a second member begins to share with a first."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.members = [
            Partitioner(client, PATH, ITEMS[:4], self.ledger.job(name), name=name, delay=0.0, reactor=self.reactor)
            for client, name in ((self.first, "a"), (self.second, "b"))
        ]
        self.result(self.members[0].start())
        self.pass_time(1.0)

    def start(self) -> None:
        self.begin(self.members[1].start())

    def stop_both(self) -> None:
        for member in self.members:
            self.result(member.stop())


class PartitionerMomentsTests(MomentsCase):
    def check(self, world: _Sharing, sharing: bool, strict: bool = True) -> None:
        world.pass_time(8.0)
        shares = [member.shares for member in world.members]
        self.assertEqual(sorted([*shares[0], *shares[1]]), sorted(ITEMS[:4]))
        self.assertEqual(bool(shares[1]), sharing)
        self.assertEqual(set(world.ledger.holders()), set(ITEMS[:4]))
        if strict:
            self.assertEqual(world.ledger.overlaps, [])
        world.stop_both()

    def test_disconnected(self) -> None:
        """Whenever the connection is lost, each item is one member's at a time, and all are shared in the end."""
        self.everywhere(_Sharing, _Sharing.start, _Sharing.drop, lambda world: self.check(world, True))

    def test_expired(self) -> None:
        """Whenever the session expires, all are shared in the end."""
        for deed in (_Sharing.expire, _Sharing.drop_and_expire):
            self.everywhere(_Sharing, _Sharing.start, deed, lambda world: self.check(world, True, strict=False))

    def test_stopped(self) -> None:
        """It may be stopped at any moment, and the first has all again."""

        def stop(world: _Sharing) -> None:
            world.members[1].stop()

        def stop_and_drop(world: _Sharing) -> None:
            world.members[1].stop()
            world.drop()

        for deed in (stop, stop_and_drop):
            self.everywhere(_Sharing, _Sharing.start, deed, lambda world: self.check(world, False))

    def test_cancelled(self) -> None:
        """A start that is cancelled stops it; later it shares."""

        def check(world: _Sharing) -> None:
            joined = world.outcomes == [None]
            self.check(world, joined)

        for deed in (_Sharing.cancel, _Sharing.cancel_and_drop, _Sharing.drop_and_cancel):
            self.everywhere(_Sharing, _Sharing.start, deed, check)

    def test_closed(self) -> None:
        """The client may be closed at any moment."""
        self.everywhere(_Sharing, _Sharing.start, _Sharing.close_second, lambda world: self.check(world, False))
