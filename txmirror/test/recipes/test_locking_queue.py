"""Locking queues: an entry stays until it is consumed, with every fault at every moment."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txmirror.errors import ClosingException, ConnectionLossException, NoAuthException, PathError
from txmirror.recipes import LockingQueue, TakenEntry
from txmirror.test.recipes.case import RecipeCase
from txmirror.test.recipes.moments import Moments, MomentsCase, failed
from txmirror.test.recipes.plain import PlainClient
from txmirror.types import READ_ACL, digest_acl

PATH = "/app/jobs"


class LockingQueueTests(RecipeCase):
    path = PATH

    def queue(self, **options: Any) -> LockingQueue:
        made: LockingQueue = self.lock(kind=LockingQueue, **options)
        return made

    def take(self, queue: LockingQueue) -> TakenEntry:
        entry = self.done(queue.get(wait=0))
        assert entry is not None
        return entry

    def entries(self) -> tuple[list[str], list[str]]:
        return self.nodes(f"{PATH}/entries"), self.nodes(f"{PATH}/taken")

    def test_consume(self) -> None:
        """A taken entry stays, is kept from others, and is gone when it is consumed."""
        queue, other = self.queue(name="host1"), self.queue()
        self.done(queue.put_all([b"1", b"2"]))
        self.done(other.put(b"0", 5))
        entry, second = self.take(queue), self.take(other)
        self.assertEqual((entry.data, second.data, self.done(queue.length())), (b"0", b"1", 3))
        self.assertEqual((entry.held, entry.consumed, entry.name), (True, False, "entry-005-0000000002"))
        self.assertGreater(second.token, entry.token)
        data, _ = self.done(self.observer.get(f"{PATH}/taken/{entry.name}"))
        self.assertEqual(data.split()[0], b"host1")
        self.assertEqual(repr(entry), f"<TakenEntry '{PATH}/entries/{entry.name}' held>")
        lost = entry.lost
        self.assertIs(self.done(entry.consume()), True)
        self.assertEqual((entry.held, entry.consumed), (False, True))
        self.assertNoResult(lost)
        self.assertIs(self.done(entry.consume()), True)
        self.assertIsNone(self.done(entry.release()))
        self.assertEqual(self.done(queue.length()), 2)
        self.assertEqual(self.take(queue).data, b"2")
        self.assertIsNone(self.done(queue.get(wait=0)))
        self.assertIs(self.done(second.consume()), True)

    def test_release(self) -> None:
        """A released entry is at its place again, for those who wait too."""
        queue, other = self.queue(), self.queue()
        self.done(queue.put_all([b"1", b"2"]))
        first, second = self.take(queue), self.take(queue)
        waiting = self.waiting(other.get())
        self.assertIsNone(self.done(second.release()))
        entry = self.done(waiting)
        self.assertEqual(entry.data, b"2")
        self.done(first.release())
        self.assertIs(self.done(first.consume()), False)
        self.assertIn("given back", repr(first))
        self.assertEqual(self.take(other).data, b"1")

    def test_session_ends(self) -> None:
        """When its consumer's session ends, an entry goes to another, and the first cannot consume it."""
        client = self.client()
        entry_lost: list[None] = []
        first, second = self.queue(client=client), self.queue()
        self.done(first.put(b"1"))
        entry = self.take(first)
        entry.lost.addCallback(entry_lost.append)
        waiting = self.waiting(second.get())
        self.expire(client)
        self.assertEqual((entry_lost, entry.held), ([None], False))
        taken = self.done(waiting)
        self.assertGreater(taken.token, entry.token)
        self.assertIs(self.done(entry.consume()), False)
        self.assertEqual((taken.held, self.done(second.length())), (True, 1))
        self.assertIs(self.done(taken.consume()), True)

    def test_release_after_the_session(self) -> None:
        """The release of an entry that another has taken does not affect it."""
        client = self.client()
        first, second = self.queue(client=client), self.queue()
        self.done(first.put(b"1"))
        entry = self.take(first)
        self.expire(client)
        taken = self.take(second)
        self.done(entry.release())
        self.assertTrue(taken.held)
        self.assertEqual(len(self.entries()[1]), 1)

    def test_lost_by_lease(self) -> None:
        """An entry that may soon be another's is lost; if the session lives on, it can be consumed all the same."""
        client = self.client()
        queue = self.queue(client=client)
        self.done(queue.put(b"1"))
        entry = self.take(queue)
        self.keep_away(client)
        self.pass_time(4.1)
        self.assertEqual((entry.held, entry.lost.called), (False, True))
        self.assertIn("lost", repr(entry))
        consumed = entry.consume()
        self.world.reactor.undo_black_hole(*self._address)
        self.pass_time(1.5)
        self.assertIn(self.done(consumed), (True, False))

    def test_deleted_by_others(self) -> None:
        """An entry that an operator has deleted, or freed, is not consumed."""
        queue = self.queue()
        self.done(queue.put_all([b"1", b"2"]))
        first, second = self.take(queue), self.take(queue)
        self.done(self.observer.delete(f"{PATH}/entries/{first.name}"))
        self.done(self.observer.delete(f"{PATH}/taken/{second.name}"))
        self.settle()
        self.assertEqual((first.held, second.held), (True, False))
        self.assertEqual([self.done(each.consume()) for each in (first, second)], [False, False])
        self.assertEqual(self.entries(), ([second.name], []))

    def test_context(self) -> None:
        """The context manager consumes, and after an exception releases."""
        queue = self.queue()
        self.done(queue.put_all([b"1"]))

        async def process(error: Exception | None) -> bytes:
            entry = await queue.get()
            async with entry as same:
                if error is not None:
                    raise error
                return same.data

        self.assertRaises(ZeroDivisionError, self.done, process(ZeroDivisionError()))
        self.assertEqual(len(self.entries()[0]), 1)
        self.assertEqual(self.done(process(None)), b"1")
        self.assertEqual(self.entries(), ([], []))

    def test_limit(self) -> None:
        """A limit ends the wait with None."""
        queue = self.queue()
        waiting = self.waiting(queue.get(wait=5.0))
        self.pass_time(4.9)
        self.assertNoResult(waiting)
        self.pass_time(0.2)
        self.assertIsNone(self.successResultOf(waiting))
        self.done(queue.put(b"1"))
        self.assertEqual(self.take(queue).data, b"1")

    def test_waiters_of_a_deletion(self) -> None:
        """Calls that are cancelled do not stop the entry from being consumed, and later calls wait for that."""
        client = self.client()
        queue = self.queue(client=client)
        self.done(queue.put(b"1"))
        entry = self.take(queue)
        self.server.delay_next("transaction", 1.0)
        consumed = entry.consume()
        consumed.cancel()
        self.failureResultOf(consumed, CancelledError)
        self.assertIn("being consumed", repr(entry))
        released = self.waiting(entry.release())
        self.pass_time(1.0)
        self.assertIsNone(self.successResultOf(released))
        self.assertTrue(entry.consumed)

    def test_acl(self) -> None:
        """All nodes have the ACL; a refused consumer can try again."""
        acl = [digest_acl("app", "secret"), *READ_ACL]
        client, other = self.client(), self.client()
        self.done(client.add_auth("digest", b"app:secret"))
        queue = self.queue(client=client, acl=acl)
        self.done(queue.put(b"1"))
        self.assertRaises(NoAuthException, self.done, self.queue(client=other).get())
        entry = self.take(queue)
        for path in (PATH, f"{PATH}/entries", f"{PATH}/taken", f"{PATH}/taken/{entry.name}"):
            self.assertEqual(self.done(client.get_acl(path))[0], acl)
        self.done(client.set_acl(f"{PATH}/entries", READ_ACL))
        self.assertRaises(NoAuthException, self.done, entry.consume())
        self.assertFalse(entry.consumed)
        self.assertIsNone(self.done(entry.release()))

    def test_wrong_arguments(self) -> None:
        """Wrong arguments raise at once."""
        queue: Any = self.queue()
        self.assertRaises(TypeError, queue.put, "text")
        self.assertRaises(ValueError, queue.put_all, [b""], -1)
        self.assertRaises(ValueError, queue.get, wait=-1)
        self.assertRaises(PathError, LockingQueue, self.observer, "/")
        plain: Any = PlainClient(self.client())
        self.assertRaises(TypeError, LockingQueue, plain, PATH, reactor=self.world.reactor)
        self.assertEqual((queue.path, queue.name), (PATH, ""))
        self.assertIn(f"<LockingQueue '{PATH}' of session 0x", repr(queue))


class _World(Moments):
    """A world with two entries."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = LockingQueue(self.second, PATH, reactor=self.reactor)
        self.other = LockingQueue(self.first, PATH, reactor=self.reactor)
        self.result(self.other.put_all([b"1", b"2"]))

    def take(self) -> None:
        self.begin(self.queue.get())

    def left(self) -> list[bytes]:
        """Return the values of the entries that can be taken, and consume them."""
        values: list[bytes] = []
        while (entry := self.result(self.other.get(wait=0))) is not None:
            values.append(entry.data)
            assert self.result(entry.consume())
        return values


class _Ending(_World):
    """A world in which the first entry is taken already."""

    def __init__(self) -> None:
        super().__init__()
        entry = self.result(self.queue.get())
        self.entry = entry

    def consume(self) -> None:
        self.begin(self.entry.consume())

    def release(self) -> None:
        self.begin(self.entry.release())


class LockingQueueMomentsTests(MomentsCase):
    def check_taken(self, world: _World) -> None:
        (entry,) = world.outcomes
        if entry.held:
            self.assertEqual((entry.data, world.left()), (b"1", [b"2"]))
            self.assertEqual(list(world.ephemerals().values()), [world.second.session_id])
            self.assertIs(world.result(entry.consume()), True)
        else:
            # It was taken before the session expired.
            self.assertEqual(world.left(), [b"1", b"2"])

    def test_get(self) -> None:
        """An entry is taken once whenever the connection is lost or the session expires (H1, H2, C16)."""
        for deed in (_World.drop, _World.expire, _World.drop_and_expire):
            self.everywhere(_World, _World.take, deed, self.check_taken)

    def test_get_given_up(self) -> None:
        """A taker that is cancelled or closed at any moment leaves the entry to others, and nothing else (H3)."""

        def check(world: _World) -> None:
            (outcome,) = world.outcomes
            if isinstance(outcome, TakenEntry):
                if outcome.held:
                    self.assertEqual(world.left(), [b"2"])
                    world.result(outcome.release())
                self.assertEqual(world.left()[:1], [b"1"])
            else:
                self.assertTrue(failed(outcome, CancelledError, ClosingException), outcome)
                self.assertEqual(world.left(), [b"1", b"2"])

        for deed in (_World.cancel, _World.cancel_and_drop, _World.drop_and_cancel, _World.close_second):
            self.everywhere(_World, _World.take, deed, check)

    def test_waiting(self) -> None:
        """Waiting survives lost connections and expired sessions (C16)."""
        for deed in (_World.drop, _World.expire, _World.drop_and_expire):
            with _World() as world:
                self.assertEqual(world.left(), [b"1", b"2"])
                world.take()
                world.settle()
                for _ in range(3):
                    deed(world)
                    world.pass_time(3.0)
                self.assertEqual(world.outcomes, [])
                world.result(world.other.put_all([b"1", b"2"]))
                world.pass_time(0.2)
                self.check_taken(world)

    def test_consume_disconnected(self) -> None:
        """An entry is consumed whenever the connection is lost."""

        def check(world: _Ending) -> None:
            self.assertEqual((world.outcomes, world.left()), ([True], [b"2"]))

        self.everywhere(_Ending, _Ending.consume, _Ending.drop, check, least=1)

    def test_consume_expired(self) -> None:
        """If the session expires, the entry was consumed, or is there again, or nobody knows; a later one is never consumed."""

        def check(world: _Ending) -> None:
            (outcome,) = world.outcomes
            if failed(outcome, ConnectionLossException):
                self.assertIsNone(outcome.value.applied)
                self.assertEqual(world.left(), [b"2"])
            else:
                self.assertEqual(world.left(), [b"2"] if outcome else [b"1", b"2"])

        for deed in (_Ending.expire, _Ending.drop_and_expire):
            self.everywhere(_Ending, _Ending.consume, deed, check, least=1)

    def test_consume_given_up(self) -> None:
        """A cancelled call is done all the same; with a closed client the entry was consumed or not."""

        def check(world: _Ending) -> None:
            (outcome,) = world.outcomes
            if outcome is True:
                self.assertEqual(world.left(), [b"2"])
            else:
                self.assertTrue(failed(outcome, CancelledError, ClosingException), outcome)
                left = world.left()
                self.assertIn(left, ([b"2"], [b"1", b"2"]))
                if failed(outcome, CancelledError):
                    self.assertEqual((left, world.entry.consumed), ([b"2"], True))

        for deed in (_Ending.cancel, _Ending.cancel_and_drop, _Ending.drop_and_cancel, _Ending.close_second):
            self.everywhere(_Ending, _Ending.consume, deed, check, least=1)

    def test_release(self) -> None:
        """A released entry is there again, whatever happens meanwhile."""

        def check(world: _Ending) -> None:
            (outcome,) = world.outcomes
            self.assertTrue(outcome is None or failed(outcome, CancelledError, ClosingException), outcome)
            self.assertEqual(world.left(), [b"1", b"2"])

        deeds = (_Ending.drop, _Ending.expire, _Ending.cancel, _Ending.cancel_and_drop, _Ending.close_second)
        for deed in deeds:
            self.everywhere(_Ending, _Ending.release, deed, check, least=1)

    def test_lost_messages(self) -> None:
        """Any request, or the reply to any, may be lost, and the next one too (H1)."""
        for kind in ("transaction", "get_children", "get", "create", "sync", "exists", "delete"):
            for fault in ("lose_request", "lose_reply"):
                for also in ("sync", "exists", "get", "transaction"):
                    with _World() as world:
                        session = world.second.session_id
                        getattr(world.server, fault)(kind, session_id=session)
                        world.server.lose_reply(also, session_id=session)
                        world.take()
                        world.pass_time(3.0)
                        (entry,) = world.outcomes
                        consumed: Deferred[bool] = entry.consume()
                        world.pass_time(3.0)
                        self.assertIs(world.result(consumed), True, (kind, fault, also))
                        self.assertEqual((world.left(), world.ephemerals()), ([b"2"], {}))
