"""Barriers and double barriers: they survive disconnections and expired sessions, at every moment."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txmirror.errors import ClosingException, NoAuthException, NotEmptyException, PathError
from txmirror.recipes import Barrier, DoubleBarrier
from txmirror.test.recipes.case import RecipeCase
from txmirror.test.recipes.moments import Moments, MomentsCase, failed
from txmirror.test.recipes.plain import PlainClient
from txmirror.types import READ_ACL, digest_acl

PATH = "/app/barrier"


class BarrierTests(RecipeCase):
    path = PATH

    def barrier(self, **options: Any) -> Barrier:
        made: Barrier = self.lock(kind=Barrier, **options)
        return made

    def test_wait(self) -> None:
        """All wait until the barrier is removed; where there is none, nobody waits."""
        barrier = self.barrier()
        self.assertIs(self.done(barrier.wait()), True)
        self.assertIsNone(self.done(barrier.create()))
        self.assertIsNone(self.done(barrier.create()))
        waiting = [self.waiting(self.barrier().wait()) for _ in range(2)]
        self.assertIs(self.done(self.barrier().remove()), True)
        self.assertEqual([self.done(each) for each in waiting], [True, True])
        self.assertIs(self.done(barrier.remove()), False)

    def test_changed(self) -> None:
        """A change of the barrier's node does not end the wait."""
        barrier = self.barrier()
        self.done(barrier.create())
        waiting = self.waiting(barrier.wait())
        self.done(self.observer.set(self.path, b"x"))
        self.settle()
        self.assertNoResult(waiting)
        self.done(barrier.remove())
        self.assertIs(self.done(waiting), True)

    def test_limit(self) -> None:
        """A limit ends the wait, exactly then (C17)."""
        barrier = self.barrier()
        self.done(barrier.create())
        waiting = self.waiting(barrier.wait(timeout=5.0))
        self.pass_time(3.0)
        self.done(self.observer.set(self.path, b"x"))
        self.pass_time(1.9)
        self.assertNoResult(waiting)
        self.pass_time(0.1)
        self.assertIs(self.successResultOf(waiting), False)

    def test_plain_client(self) -> None:
        """Any client will do."""
        barrier = Barrier(PlainClient(self.client()), self.path, reactor=self.world.reactor)
        self.done(barrier.create())
        waiting = self.waiting(barrier.wait())
        self.done(barrier.remove())
        self.assertIs(self.done(waiting), True)

    def test_lost_reply(self) -> None:
        """A removal whose reply was lost is told as one."""
        client = self.client()
        barrier = self.barrier(client=client)
        self.done(barrier.create())
        self.server.lose_reply("delete", session_id=client.session_id)
        removed = barrier.remove()
        self.pass_time(2.0)
        self.assertIs(self.done(removed), True)

    def test_refused(self) -> None:
        """Refusals are raised."""
        barrier = self.barrier(acl=READ_ACL)
        self.done(barrier.create())
        self.done(self.observer.create(f"{PATH}-2"))
        self.done(self.observer.create(f"{PATH}-2/x"))
        self.assertRaises(
            NotEmptyException, self.done, Barrier(self.client(), f"{PATH}-2", reactor=self.world.reactor).remove()
        )
        self.assertRaises(PathError, Barrier, self.observer, "/")
        self.assertRaises(ValueError, barrier.wait, timeout=-1)
        self.assertIn(f"<Barrier '{PATH}' of session 0x", repr(barrier))


class DoubleBarrierTests(RecipeCase):
    path = PATH

    def barrier(self, **options: Any) -> DoubleBarrier:
        made: DoubleBarrier = self.lock(kind=DoubleBarrier, **{"count": 2, **options})
        return made

    def test_round(self) -> None:
        """All enter together, and have left together; and then again."""
        barriers = [self.barrier(name=name) for name in ("host1", "host2")]
        for _ in range(3):
            entering = self.waiting(barriers[0].enter())
            self.assertIn("entering", repr(barriers[0]))
            (node,) = self.nodes()
            self.assertEqual(self.done(self.observer.get(f"{PATH}/{node}"))[0], b"host1")
            self.assertIs(self.done(barriers[1].enter()), True)
            self.assertIs(self.done(entering), True)
            self.assertTrue(all(barrier.entered for barrier in barriers))
            self.assertEqual(len(self.nodes()), 3)
            leaving = self.waiting(barriers[1].leave())
            self.assertFalse(barriers[1].entered)
            self.assertIs(self.done(barriers[0].leave()), True)
            self.assertIs(self.done(leaving), True)
            self.assertEqual(self.nodes(), [])

    def test_one(self) -> None:
        """A barrier of one is entered at once; the context manager enters and leaves."""
        barrier = self.barrier(count=1)

        async def work() -> bool:
            async with barrier as same:
                return same.entered

        self.assertIs(self.done(work()), True)
        self.assertEqual(self.nodes(), [])

    def test_limits(self) -> None:
        """Limits end the waits: a participant that gives up is none."""
        barriers = [self.barrier(), self.barrier()]
        entering = self.waiting(barriers[0].enter(timeout=5.0))
        self.pass_time(5.0)
        self.assertIs(self.successResultOf(entering), False)
        self.settle()
        self.assertEqual(self.nodes(), [])
        entering = self.waiting(barriers[0].enter())
        self.done(barriers[1].enter())
        self.done(entering)
        leaving = self.waiting(barriers[0].leave(timeout=5.0))
        self.pass_time(5.0)
        self.assertIs(self.successResultOf(leaving), False)
        self.assertEqual(len(self.nodes()), 2)
        self.assertIs(self.done(barriers[1].leave()), True)

    def test_late(self) -> None:
        """A program that comes while others are inside enters at once, and they wait for it when they leave."""
        barriers = [self.barrier() for _ in range(3)]
        entering = self.waiting(barriers[0].enter())
        self.done(barriers[1].enter())
        self.done(entering)
        self.assertIs(self.done(barriers[2].enter()), True)
        leaving = [self.waiting(barrier.leave()) for barrier in barriers[:2]]
        self.done(barriers[2].leave())
        self.assertEqual([self.done(each) for each in leaving], [True, True])

    def test_slow(self) -> None:
        """A participant that is cut off while all enter and the others leave enters when it is back."""
        slow = self.client()
        barriers = [self.barrier(client=slow), self.barrier()]
        entering = self.waiting(barriers[0].enter())
        self.keep_away(slow)
        self.assertIs(self.done(barriers[1].enter()), True)
        leaving = self.waiting(barriers[1].leave())
        self.let_in()
        self.assertIs(self.done(entering), True)
        self.assertNoResult(leaving)
        self.done(barriers[0].leave())
        self.assertIs(self.done(leaving), True)

    def test_left_behind(self) -> None:
        """The node ``ready`` of participants whose programs have ended opens the barrier to nobody."""
        clients = [self.client(), self.client()]
        barriers = [self.barrier(client=client) for client in clients]
        entering = self.waiting(barriers[0].enter())
        self.done(barriers[1].enter())
        self.done(entering)
        for client in clients:
            self.done(client.close())
        self.assertEqual(self.nodes(), ["ready"])
        barriers = [self.barrier(), self.barrier()]
        entering = self.waiting(barriers[0].enter())
        self.assertIs(self.done(barriers[1].enter()), True)
        self.assertIs(self.done(entering), True)
        for barrier in barriers:
            self.begin_to_leave(barrier)
        self.settle()
        self.assertEqual(self.nodes(), [])

    def begin_to_leave(self, barrier: DoubleBarrier) -> None:
        barrier.leave().addErrback(lambda failure: failure.trap(ClosingException))

    def test_not_opened_later(self) -> None:
        """A participant whose session ends while it opens the barrier looks again: the others may be gone."""
        ready = f"{PATH}/ready"
        client = self.client()
        barrier = self.barrier(client=client)
        for path in ("/app", PATH):
            self.done(self.observer.create(path))
        self.done(self.observer.create(f"{PATH}/other", ephemeral=True))
        fault = self.server.delay_next("create", 1.0, path=ready)
        entering = self.waiting(barrier.enter())
        self.assertTrue(fault.happened)
        self.server.expire_session(client.session_id)
        self.done(self.observer.delete(f"{PATH}/other"))
        self.pass_time(20.0)
        self.assertIsNone(self.done(self.observer.exists(ready)))
        self.assertNoResult(entering)
        self.done(self.observer.create(f"{PATH}/other", ephemeral=True))
        self.assertIs(self.done(entering), True)

    def test_others_leave_at_once(self) -> None:
        """A participant enters when ``ready`` was created, although kazoo's have deleted it again, and have left."""
        barrier = self.barrier(count=3)
        entering = self.waiting(barrier.enter())
        ready = f"{PATH}/ready"
        for change in (self.observer.create(ready), self.observer.delete(ready)):
            change.addErrback(self.fail)
        self.assertIs(self.done(entering), True)
        self.done(barrier.leave())

    def test_participant_through_sessions(self) -> None:
        """A participant whose session expires inside is one in the next session too: others wait for it."""
        client = self.client()
        barriers = [self.barrier(client=client), self.barrier()]
        entering = self.waiting(barriers[0].enter())
        self.done(barriers[1].enter())
        self.done(entering)
        self.expire(client)
        self.assertEqual(len(self.nodes()), 3)
        leaving = self.waiting(barriers[1].leave())
        self.assertIs(self.done(barriers[0].leave()), True)
        self.assertIs(self.done(leaving), True)

    def test_acl(self) -> None:
        """All nodes have the ACL; others are refused, and are no participants."""
        acl = [digest_acl("app", "secret"), *READ_ACL]
        client = self.client()
        self.done(client.add_auth("digest", b"app:secret"))
        barrier = self.barrier(client=client, acl=acl, count=1)
        self.done(barrier.enter())
        for name in self.nodes():
            self.assertEqual(self.done(client.get_acl(f"{PATH}/{name}"))[0], acl)
        other = self.barrier()
        self.assertRaises(NoAuthException, self.done, other.enter())
        self.assertIn("outside", repr(other))
        self.done(barrier.leave())

    def test_closed(self) -> None:
        """With a closed client, it fails at once."""
        client = self.client()
        self.done(client.close())
        self.assertRaises(ClosingException, self.done, self.barrier(client=client).enter())

    def test_wrong_use(self) -> None:
        """Wrong use and wrong arguments raise at once."""
        barrier = self.barrier()
        self.assertRaises(RuntimeError, barrier.leave)
        entering = self.waiting(barrier.enter())
        self.assertRaises(RuntimeError, barrier.enter)
        self.assertRaises(RuntimeError, barrier.leave)
        entering.cancel()
        self.failureResultOf(entering, CancelledError)
        for count in (0, 1.0, None, True):
            self.assertRaises(ValueError, self.barrier, count=count)
        self.assertRaises(TypeError, self.barrier, name=b"")
        self.assertRaises(ValueError, barrier.enter, timeout=-1)
        self.assertRaises(PathError, DoubleBarrier, self.observer, "/", count=1)


class _Waiting(Moments):
    """A world in which somebody waits at a barrier."""

    def __init__(self) -> None:
        super().__init__()
        self.other = Barrier(self.first, PATH, reactor=self.reactor)
        self.result(self.other.create())

    def wait(self) -> None:
        self.begin(Barrier(self.second, PATH, reactor=self.reactor).wait())


class _Double(Moments):
    """A world with two participants."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier = DoubleBarrier(self.second, PATH, count=2, reactor=self.reactor)
        self.other = DoubleBarrier(self.first, PATH, count=2, reactor=self.reactor)
        self.others: list[Any] = []

    def enter(self) -> None:
        self.other.enter().addBoth(self.others.append)
        self.settle()
        self.begin(self.barrier.enter())

    def leave_both(self) -> list[Any]:
        """Let both leave, and return the outcomes."""
        left: list[Any] = []
        for barrier in (self.other, self.barrier):
            barrier.leave().addBoth(left.append)
        self.pass_time(2.0)
        return left


class _Inside(_Double):
    """A world in which both are inside, and begin to leave."""

    def __init__(self) -> None:
        super().__init__()
        self.enter()
        self.settle()
        self.outcomes.clear()
        self.begun.clear()

    def leave(self) -> None:
        self.others.clear()
        self.begin(self.barrier.leave())
        self.other.leave().addBoth(self.others.append)


class BarrierMomentsTests(MomentsCase):
    def test_wait(self) -> None:
        """The wait survives lost connections and expired sessions at any moment, and ends when the barrier is removed (C16)."""

        def check(world: _Waiting) -> None:
            self.assertEqual(world.outcomes, [])
            world.result(world.other.remove())
            world.pass_time(1.0)
            self.assertEqual(world.outcomes, [True])

        for deed in (_Waiting.drop, _Waiting.expire, _Waiting.drop_and_expire):
            self.everywhere(_Waiting, _Waiting.wait, deed, check)

    def test_given_up(self) -> None:
        """It may be cancelled, or the client closed, at any moment."""

        def check(world: _Waiting) -> None:
            (outcome,) = world.outcomes
            self.assertTrue(failed(outcome, CancelledError, ClosingException), outcome)

        for deed in (_Waiting.cancel, _Waiting.drop_and_cancel, _Waiting.close_second):
            self.everywhere(_Waiting, _Waiting.wait, deed, check)

    def test_enter(self) -> None:
        """Both enter and leave, whenever the connection is lost or the session expires (C16, H2)."""

        def check(world: _Double) -> None:
            self.assertEqual((world.outcomes, world.others), ([True], [True]))
            self.assertEqual(world.leave_both(), [True, True])
            self.assertEqual(world.persistent(PATH), [])

        for deed in (_Double.drop, _Double.expire, _Double.drop_and_expire):
            self.everywhere(_Double, _Double.enter, deed, check)

    def test_enter_given_up(self) -> None:
        """A participant that is cancelled or closed at any moment leaves nothing, and others can enter (H3)."""

        def check(world: _Double) -> None:
            (outcome,) = world.outcomes
            if outcome is True:
                self.assertEqual(world.others, [True])
                if world.second.session_id:
                    self.assertEqual(world.leave_both(), [True, True])
                    return
            else:
                self.assertTrue(failed(outcome, CancelledError, ClosingException), outcome)
            third = DoubleBarrier(world.client(), PATH, count=2, reactor=world.reactor)
            entered: Deferred[bool] = third.enter()
            world.pass_time(2.0)
            self.assertIs(world.result(entered), True)
            self.assertEqual(world.others, [True])
            for barrier in (third, world.other):
                barrier.leave()
            world.pass_time(2.0)
            self.assertEqual(world.persistent(PATH), [])

        for deed in (_Double.cancel, _Double.cancel_and_drop, _Double.drop_and_cancel, _Double.close_second):
            self.everywhere(_Double, _Double.enter, deed, check)

    def test_leave(self) -> None:
        """Both have left in the end, whatever happens (C16)."""

        def check(world: _Inside) -> None:
            (outcome,) = world.outcomes
            self.assertTrue(outcome is True or failed(outcome, CancelledError, ClosingException), outcome)
            self.assertEqual((world.others, world.persistent(PATH)), ([True], []))

        deeds = (
            _Inside.drop,
            _Inside.expire,
            _Inside.drop_and_expire,
            _Inside.cancel,
            _Inside.drop_and_cancel,
            _Inside.close_second,
        )
        for deed in deeds:
            self.everywhere(_Inside, _Inside.leave, deed, check)

    def test_lost_messages(self) -> None:
        """Any request, or the reply to any, may be lost, and the next one too (H1)."""
        for kind in ("create", "get_children", "get", "exists", "delete", "sync"):
            for fault in ("lose_request", "lose_reply"):
                for also in ("create", "get", "exists", "delete"):
                    with _Double() as world:
                        session = world.second.session_id
                        getattr(world.server, fault)(kind, session_id=session)
                        world.server.lose_reply(also, session_id=session)
                        world.enter()
                        world.pass_time(5.0)
                        self.assertEqual((world.outcomes, world.others), ([True], [True]), (kind, fault, also))
                        self.assertEqual(world.leave_both(), [True, True])
                        self.assertEqual((world.ephemerals(), world.persistent(PATH)), ({}, []))
