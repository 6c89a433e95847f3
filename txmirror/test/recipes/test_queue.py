"""Queues: order, priorities, waiting; every fault at every moment; no entry is lost or taken twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    NoAuthException,
    PathError,
    RequestTooLargeException,
)
from txmirror.recipes import Queue, marks
from txmirror.recipes.entries import in_order
from txmirror.test.recipes.case import Counts, RecipeCase
from txmirror.test.recipes.moments import Moments, MomentsCase, failed
from txmirror.test.recipes.plain import PlainClient
from txmirror.types import ACL, READ_ACL, Permission, digest_acl

PATH = "/app/jobs"
MARKS = "/app/jobs-__taken__"


class QueueTests(RecipeCase):
    path = PATH

    def queue(self, **options: Any) -> Queue:
        made: Queue = self.lock(kind=Queue, **options)
        return made

    def test_order(self) -> None:
        """Entries come in the order of their priorities, and then in that of their puts."""
        queue = self.queue()
        for value, priority in ((b"c", 100), (b"d", 100), (b"a", 0), (b"e", 999), (b"b", 7)):
            self.assertIsNone(self.done(queue.put(value, priority)))
        self.assertEqual(self.done(queue.length()), 5)
        self.assertEqual(self.nodes()[0], "entry-000-0000000002")
        self.assertEqual(self.done(queue.peek()), b"a")
        taken = [self.done(self.queue().get(wait=0)) for _ in range(6)]
        self.assertEqual(taken, [b"a", b"b", b"c", b"d", b"e", None])
        self.assertEqual((self.done(queue.length()), self.done(queue.peek())), (0, None))
        self.pass_time(0.2)
        self.assertEqual((self.nodes(), self.nodes(MARKS)), ([], []))

    def test_put_all(self) -> None:
        """Several entries are put in one transaction; an empty list is nothing."""
        queue = self.queue()
        self.done(queue.put_all([]))
        self.assertIsNone(self.done(self.observer.exists(self.path)))
        self.done(queue.put_all((b"b", b"c")))
        self.done(queue.put_all([b"a"], 5))
        stats = [self.done(self.observer.exists(f"{self.path}/{name}")) for name in self.nodes()]
        self.assertEqual(len({stat.czxid for stat in stats if stat is not None}), 2)
        self.assertEqual([self.done(queue.get()) for _ in range(3)], [b"a", b"b", b"c"])

    def test_waiting(self) -> None:
        """Takers wait until there are entries; each entry goes to one of them."""
        takers = [self.queue(), self.queue()]
        waiting = [self.waiting(taker.get()) for taker in takers]
        putter = self.queue()
        self.done(putter.put(b""))
        self.assertEqual([each.called for each in waiting].count(True), 1)
        self.done(putter.put(b"2"))
        self.assertEqual(sorted(self.done(each) for each in waiting), [b"", b"2"])

    def test_limit(self) -> None:
        """A limit ends the wait with None, exactly then, and leaves nothing behind."""
        queue = self.queue()
        waiting = self.waiting(queue.get(wait=5.0))
        self.pass_time(4.9)
        self.assertNoResult(waiting)
        self.pass_time(0.1)
        self.assertIsNone(self.successResultOf(waiting))
        self.done(queue.put(b"1"))
        self.assertEqual(self.done(queue.length()), 1)

    def test_no_contact(self) -> None:
        """Without contact, an attempt that does not wait ends after a session timeout."""
        client = self.client()
        self.keep_away(client)
        waiting = self.waiting(self.queue(client=client).get(wait=0))
        self.pass_time(5.9)
        self.assertNoResult(waiting)
        self.pass_time(0.2)
        self.assertIsNone(self.successResultOf(waiting))

    def test_cancelled(self) -> None:
        """A taker that is cancelled takes nothing."""
        queue = self.queue()
        waiting = self.waiting(queue.get())
        waiting.cancel()
        self.assert_cancelled(waiting)
        self.done(queue.put(b"1"))
        self.assertEqual(self.done(queue.length()), 1)

    def test_several_at_once(self) -> None:
        """One object may be asked by several callers at once."""
        queue = self.queue()
        waiting = [self.waiting(queue.get()) for _ in range(5)]
        for number in range(5):
            self.done(queue.put(b"%d" % number))
        self.assertEqual(sorted(self.done(each) for each in waiting), [b"0", b"1", b"2", b"3", b"4"])

    def test_many_at_once(self) -> None:
        """Calls of one object at once read the list once, and take different entries."""
        queue, (client, asked) = self.queue(), self.client_counts()
        self.done(queue.put_all([b"%d" % number for number in range(100)]))
        taker = self.queue(client=client)
        taking = [taker.get() for _ in range(60)]
        self.settle()
        self.assertEqual([self.done(each) for each in taking], [b"%d" % number for number in range(60)])
        self.assertEqual(len(asked), 1)
        # The names that were for others are not used later.
        self.done(queue.put(b"first", 0))
        self.assertEqual(self.done(taker.get()), b"first")

    def test_one_of_many_is_cancelled(self) -> None:
        """If the call that reads the list is cancelled, the others read it."""
        queue = self.queue()
        self.done(queue.put_all([b"1", b"2"]))
        taking = [queue.get() for _ in range(3)]
        taking[0].cancel()
        self.assert_cancelled(taking[0])
        self.settle()
        self.assertEqual([self.done(each) for each in taking[1:]], [b"1", b"2"])

    def test_long_queue(self) -> None:
        """A long queue is not listed for each entry, and its order is kept all the same."""
        queue, client = self.queue(), self.client()
        for first in range(0, 1000, 100):
            self.done(queue.put_all([b"%d" % number for number in range(first, first + 100)]))
        # Of two takers, each finds that the other has taken some of its list.
        takers = [self.queue(client=client), self.queue()]
        taken = [self.done(takers[number % 3 // 2].get()) for number in range(1000)]
        self.assertEqual(taken, [b"%d" % number for number in range(1000)])

    def test_list_of_a_long_queue(self) -> None:
        """In a queue of 500 entries one list serves for five of them, and less if others take them."""
        queue, counts = self.queue(), self.client_counts()
        self.done(queue.put_all([b"%d" % number for number in range(500)]))
        taker = self.queue(client=counts[0])
        counts[1].clear()
        for _ in range(10):
            self.done(taker.get())
        self.assertLessEqual(counts[1].count("get_children"), 3)

    def client_counts(self) -> tuple[Any, list[str]]:
        """Return a client, and the list of its requests' names, which grows."""
        asked: list[str] = []

        class Counting(type(self.client())):  # type: ignore[misc]
            def get_children(self, path: str) -> Any:
                asked.append("get_children")
                return super().get_children(path)

            def waiting(self) -> Any:
                return self

        client = Counting(self.world.connect_string, session_timeout=6.0, reactor=self.world.reactor)
        self.addCleanup(lambda: self.done(client.close()))
        self.done(client.connect())
        return client, asked

    def test_other_nodes(self) -> None:
        """Nodes with other names are no entries."""
        self.done(self.observer.create("/app"))
        self.done(self.observer.create(self.path))
        for name in ("entry-1", "entry-abc-0000000001", "entry-1000-0000000001", "x", "entry-100-4294967296"):
            self.done(self.observer.create(f"{self.path}/{name}"))
        queue = self.queue()
        self.assertIsNone(self.done(queue.get(wait=0)))
        self.assertIsNone(self.done(queue.peek()))

    def test_numbers_wrap_around(self) -> None:
        """The numbers of the server are Java's ints, and wrap around (H5)."""
        names = ["entry-100--2147483648", "entry-100-2147483647", "entry-100-2147483646", "entry-099-0000000001"]
        self.assertEqual(in_order(names), [names[3], names[2], names[1], names[0]])
        self.assertEqual(in_order(reversed(names)), in_order(names))

    def test_acl(self) -> None:
        """The entries and both parents have the ACL; others are refused."""
        acl = [digest_acl("app", "secret"), *READ_ACL]
        client = self.client()
        self.done(client.add_auth("digest", b"app:secret"))
        queue = self.queue(client=client, acl=acl)
        self.done(queue.put(b"1"))
        (name,) = self.nodes()
        for path in (self.path, MARKS, f"{self.path}/{name}"):
            self.assertEqual(self.done(client.get_acl(path))[0], acl)
        other = self.queue()
        self.assertEqual(self.done(other.peek()), b"1")
        for refused in (other.put(b"2"), other.get(), other.get(wait=0)):
            self.assertRaises(NoAuthException, self.done, refused)
        self.assertEqual(self.done(queue.get()), b"1")

    def test_wrong_arguments(self) -> None:
        """Wrong arguments raise at once, and are quoted."""
        queue: Any = self.queue()
        error = self.assertRaises(TypeError, queue.put, "text")
        self.assertEqual(str(error), "an entry is bytes, not 'text'")
        self.assertRaises(TypeError, queue.put, b"", 1.5)
        self.assertRaises(TypeError, queue.put, b"", True)
        error = self.assertRaises(ValueError, queue.put, b"", 1000)
        self.assertEqual(str(error), "a priority is a number from 0 to 999, not 1000")
        self.assertRaises(ValueError, queue.put, b"", -1)
        for values in (b"text", "text", 1, [b"", "text"], None):
            self.assertRaises(TypeError, queue.put_all, values)
        self.assertRaises(ValueError, queue.put_all, [], 1000)
        self.assertRaises(ValueError, queue.get, wait=-1)
        self.assertRaises(PathError, Queue, self.observer, "/")
        self.assertRaises(PathError, Queue, self.observer, "jobs")
        plain: Any = PlainClient(self.client())
        error = self.assertRaises(TypeError, Queue, plain, "/jobs", reactor=self.world.reactor)
        self.assertIn("a Queue needs a client with transactions (ITransactions), not <", str(error))

    def test_too_large(self) -> None:
        """An entry that does not fit into a request is refused, and nothing is put."""
        queue = self.queue()
        self.assertRaises(RequestTooLargeException, self.done, queue.put_all([b"x" * 600_000] * 2))
        self.assertEqual(self.done(queue.length()), 0)

    def test_not_connected(self) -> None:
        """A client that nobody has connected is connected."""
        client = self.world.client(connect=False, session_timeout=6.0)
        queue = self.queue(client=client)
        self.assertEqual(repr(queue), f"<Queue '{PATH}' of no session>")
        self.done(queue.put(b"1"))
        self.assertEqual(repr(queue), f"<Queue '{PATH}' of session {client.session_id & 0xFFFFFFFFFFFFFFFF:#x}>")

    def test_queue_deleted(self) -> None:
        """If the queue's nodes are deleted while somebody waits, the wait goes on in new ones."""
        queue = self.queue()
        waiting = self.waiting(queue.get())
        self.done(self.observer.delete(self.path))
        self.settle()
        self.done(self.queue().put(b"1"))
        self.assertEqual(self.done(waiting), b"1")

    def test_unknown_put(self) -> None:
        """If the reply is lost and the session expires before the mark is read, put says that nobody knows (H1)."""
        client = self.client()
        queue = self.queue(client=client)
        self.done(queue.put(b"0"))
        session = client.session_id
        for lose in (self.server.lose_reply, self.server.lose_request):
            lose("transaction", session_id=client.session_id)
            put = self.waiting_to_expire(queue.put(b"1"), client)
            error = self.assertRaises(ConnectionLossException, self.done, put)
            self.assertIsNone(error.applied)
            self.assertIn("the entry may have been put, or not", str(error))
        self.assertNotEqual(client.session_id, session)
        self.assertEqual(self.done(queue.length()), 2)

    def test_unknown_after_two_losses(self) -> None:
        """If the look for the mark fails too, and then the session expires, the mark is not looked for in the next session."""
        client = self.client()
        queue = self.queue(client=client)
        self.done(queue.put(b"0"))
        self.server.lose_reply("transaction", session_id=client.session_id)
        looked = self.server.lose_reply("sync", session_id=client.session_id)
        put = queue.put(b"1")
        self.turns_until(lambda: looked.happened)
        put = self.waiting_to_expire(put, client)
        self.assertRaises(ConnectionLossException, self.done, put)
        self.assertEqual(self.done(queue.length()), 2)

    def test_unknown_when_closed(self) -> None:
        """If the reply is lost and the client is closed before the mark is read, nobody knows, and so ``applied`` is None."""
        client = self.client()
        queue = self.queue(client=client)
        self.done(queue.put(b"0"))
        lost = self.server.lose_reply("transaction", session_id=client.session_id)
        put = queue.put(b"1")
        self.turns_until(lambda: lost.happened)
        for server in self.world.servers:
            server.stop_listening()
        self.settle()
        closed = client.close()
        error = self.assertRaises(ClosingException, self.done, put)
        self.assertIsNone(error.applied)
        self.world.pass_time(20)
        self.successResultOf(closed)

    def test_unknown_and_another(self) -> None:
        """If an entry is there after an unknown outcome, and another takes it then, get says that nobody knows."""
        client = self.client()
        queue, other = self.queue(client=client), self.queue()
        self.done(queue.put_all([b"0", b"1"]))
        session = client.session_id
        self.server.lose_request("transaction", session_id=session)
        taken = queue.get()
        self.turns_until(lambda: not self.connected(session))
        self.server.expire_session(session)
        delayed = self.server.delay_next("transaction", 1.0)
        self.turns_until(lambda: delayed.happened)
        self.assertEqual(self.done(other.get()), b"0")
        self.pass_time(2.0)
        self.assertRaises(ConnectionLossException, self.done, taken)
        self.assertEqual(self.done(other.get()), b"1")

    def test_mark_is_used_again(self) -> None:
        """One after another, transactions use one mark; a moment later it is deleted, and a closed client leaves no timer."""
        counts = Counts()
        queue = self.queue(client=self.client(metrics=counts))
        self.done(queue.put(b"0"))
        (mark,) = self.nodes(MARKS)
        counts.take()
        for number in range(1, 5):
            self.pass_time(0.07)
            self.done(queue.put(b"%d" % number))
        self.assertEqual((counts.take(), self.nodes(MARKS)), (["MULTI"] * 4, [mark]))
        self.pass_time(0.2)
        self.assertEqual((counts.take(), self.nodes(MARKS)), (["DELETE"], []))
        self.assertEqual([self.done(queue.get()) for _ in range(5)], [b"%d" % number for number in range(5)])
        self.assertEqual(len(self.nodes(MARKS)), 1)
        # With the client, the timer would be left over.
        client = queue._client
        self.done(client.close())
        self.assertEqual(self.nodes(MARKS), [])

    def test_marks_at_once(self) -> None:
        """Transactions at once have a mark each; those that are needed no more are deleted, also while others go on."""
        queue = self.queue()
        for putting in [[queue.put(b"") for _ in range(10)] for _ in range(2)]:
            self.settle()
            self.assertEqual([self.successResultOf(each) for each in putting], [None] * 10)
        self.assertEqual(len(self.nodes(MARKS)), 20)
        for _ in range(10):
            self.pass_time(0.05)
            self.done(queue.put(b""))
        self.assertEqual(len(self.nodes(MARKS)), 1)

    def test_mark_of_a_former_session(self) -> None:
        """A mark is used in its own session only."""
        client = self.client()
        queue = self.queue(client=client)
        self.done(queue.put(b"1"))
        self.drop(client)
        self.expire(client)
        self.done(queue.put(b"2"))
        (mark,) = self.nodes(MARKS)
        stat = self.done(self.observer.exists(f"{MARKS}/{mark}"))
        assert stat is not None
        self.assertEqual((stat.ephemeralOwner, stat.version), (client.session_id, 0))
        self.assertEqual(self.done(queue.length()), 2)

    def test_mark_is_gone(self) -> None:
        """If others delete a mark, the next transaction creates another one; with both parents, if they are gone too."""
        queue = self.queue()
        self.done(queue.put(b"1"))
        (mark,) = self.nodes(MARKS)
        self.done(self.observer.delete(f"{MARKS}/{mark}"))
        self.done(queue.put(b"2"))
        (mark,) = self.nodes(MARKS)
        for name in [f"{MARKS}/{mark}", MARKS, *(f"{PATH}/{name}" for name in self.nodes()), PATH]:
            self.done(self.observer.delete(name))
        self.done(queue.put(b"3"))
        self.assertEqual((self.done(queue.get()), self.done(queue.get(wait=0))), (b"3", None))

    def test_mark_is_gone_in_doubt(self) -> None:
        """If others delete a mark while it is looked for, nobody knows."""
        client = self.client()
        queue = self.queue(client=client)
        self.done(queue.put(b"0"))
        (mark,) = self.nodes(MARKS)
        lost = self.server.lose_reply("transaction", session_id=client.session_id)
        put = queue.put(b"1")
        self.turns_until(lambda: lost.happened)
        self.done(self.observer.delete(f"{MARKS}/{mark}"))
        self.pass_time(1.0)
        error = self.assertRaises(ConnectionLossException, self.done, put)
        self.assertIn("the entry may have been put, or not", str(error))
        self.assertEqual(self.done(queue.length()), 2)

    def test_mark_that_may_not_be_written(self) -> None:
        """An ACL without permission to write is enough: then each transaction has a mark of its own."""
        acl = [ACL(Permission.ALL & ~Permission.WRITE, "world", "anyone")]
        counts = Counts()
        queue = self.queue(client=self.client(metrics=counts), acl=acl)
        for number in range(3):
            self.done(queue.put(b"%d" % number))
        counts.take()
        self.done(queue.put(b"3"))
        self.assertEqual((counts.take(), self.nodes(MARKS)), (["MULTI", "DELETE"], []))
        self.assertEqual([self.done(queue.get()) for _ in range(4)], [b"0", b"1", b"2", b"3"])

    def test_mark_that_was_used_often(self) -> None:
        """A mark is given up long before its version is too large."""
        self.patch(marks, "_USES", 2)
        queue = self.queue()
        for number in range(3):
            self.assertEqual(len(self.nodes(MARKS)) if number else 0, min(number, 1))
            self.done(queue.put(b""))
        self.assertEqual(self.nodes(MARKS), [])

    def waiting_to_expire(self, work: Deferred[Any], client: Any) -> Deferred[Any]:
        """Expire the session while a client whose connection is lost tries to connect."""
        session = client.session_id
        self.turns_until(lambda: not self.connected(session))
        self.server.expire_session(session)
        self.pass_time(2.0)
        return work

    def turns_until(self, condition: Callable[[], bool]) -> None:
        """Take single turns, and let time pass where there are none."""
        for _ in range(1000):
            if condition():
                return
            if self.world.reactor.calls and self.world.reactor.calls[0].getTime() <= self.world.reactor.seconds():
                self.world.reactor.take_turns(1)
            else:
                self.world.reactor.advance(0.01)
        self.fail("it does not happen")

    def connected(self, session: int) -> bool:
        return any(connection.session_id == session for connection in self.server.connections)

    def test_unknown_take(self) -> None:
        """If the session expires before it is known whether the entry was taken, an entry that is there is taken again, and for
        another one get says that nobody knows.
        """
        client = self.client()
        queue = self.queue(client=client)
        self.done(queue.put_all([b"0", b"1", b"2"]))
        self.server.lose_request("transaction", session_id=client.session_id)
        self.assertEqual(self.done(self.waiting_to_expire(queue.get(), client)), b"0")
        self.server.lose_reply("transaction", session_id=client.session_id)
        taken = self.waiting_to_expire(queue.get(), client)
        error = self.assertRaises(ConnectionLossException, self.done, taken)
        self.assertIsNone(error.applied)
        self.assertIn("the entry may have been taken, or not", str(error))
        self.assertEqual(self.done(queue.get()), b"2")


class _Putting(Moments):
    """A world in which an entry is put."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(self.second, PATH, reactor=self.reactor)
        self.other = Queue(self.first, PATH, reactor=self.reactor)

    def put(self) -> None:
        self.begin(self.queue.put_all([b"1", b"2"]))

    def left(self) -> list[bytes]:
        """Return the values of all entries, and take them."""
        values: list[bytes] = []
        while (value := self.result(self.other.get(wait=0))) is not None:
            values.append(value)
        return values


class _PuttingMore(_Putting):
    """A world in which an entry is put, and there is a mark from the former one."""

    def __init__(self) -> None:
        super().__init__()
        self.result(self.queue.put(b"0"))
        self.result(self.other.get())


class _Taking(_Putting):
    """A world in which the first of two entries is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.result(self.other.put_all([b"1", b"2"]))

    def take(self) -> None:
        self.begin(self.queue.get())


class _Waiting(_Putting):
    """A world in which somebody waits for an entry, and one is put."""

    def take(self) -> None:
        self.begin(self.queue.get())
        self.settle()
        self.other.put_all([b"1", b"2"])


class QueueMomentsTests(MomentsCase):
    def test_put(self) -> None:
        """Entries are put once whenever the connection is lost (H1)."""

        def check(world: _Putting) -> None:
            self.assertEqual(world.outcomes, [None])
            self.assertEqual(world.left(), [b"1", b"2"])

        for make in (_Putting, _PuttingMore):
            self.everywhere(make, make.put, _Putting.drop, check)

    def test_put_unknown(self) -> None:
        """If the session expires, put fails where nobody knows; never are entries there twice."""

        def check(world: _Putting) -> None:
            (outcome,) = world.outcomes
            if outcome is None:
                self.assertEqual(world.left(), [b"1", b"2"])
            else:
                self.assertTrue(failed(outcome, ConnectionLossException), outcome)
                self.assertIsNone(outcome.value.applied)
                self.assertIn(world.left(), ([], [b"1", b"2"]))

        for make in (_Putting, _PuttingMore):
            for deed in (_Putting.expire, _Putting.drop_and_expire):
                self.everywhere(make, make.put, deed, check)

    def test_put_given_up(self) -> None:
        """A put that is cancelled, or whose client is closed, puts both entries or none, and leaves nothing else (H3)."""

        def check(world: _Putting) -> None:
            (outcome,) = world.outcomes
            if outcome is None:
                self.assertEqual(world.left(), [b"1", b"2"])
            else:
                self.assertTrue(failed(outcome, CancelledError, ClosingException), outcome)
                self.assertIn(world.left(), ([], [b"1", b"2"]))

        deeds = (_Putting.cancel, _Putting.cancel_and_drop, _Putting.drop_and_cancel, _Putting.close_second)
        for make in (_Putting, _PuttingMore):
            for deed in deeds:
                self.everywhere(make, make.put, deed, check)

    def check_taken(self, world: _Putting) -> None:
        self.assertEqual(world.outcomes, [b"1"])
        self.assertEqual(world.left(), [b"2"])

    def test_get(self) -> None:
        """The first entry is taken, and no other, whenever the connection is lost."""
        worlds: list[type[Any]] = [_Taking, _Waiting]
        for world in worlds:
            self.everywhere(world, world.take, _Putting.drop, self.check_taken)

    def test_waiting(self) -> None:
        """Waiting survives lost connections and expired sessions (C16)."""
        for deed in (_Putting.drop, _Putting.expire, _Putting.drop_and_expire):
            with _Putting() as world:
                world.begin(world.queue.get())
                world.settle()
                for _ in range(3):
                    deed(world)
                    world.pass_time(3.0)
                self.assertEqual(world.outcomes, [])
                world.result(world.other.put_all([b"1", b"2"]))
                self.check_taken(world)

    def test_get_unknown(self) -> None:
        """If the session expires, get fails where nobody knows, and takes no other entry."""

        def check(world: _Putting) -> None:
            (outcome,) = world.outcomes
            if outcome == b"1":
                self.assertEqual(world.left(), [b"2"])
            else:
                self.assertTrue(failed(outcome, ConnectionLossException), outcome)
                self.assertEqual(world.left(), [b"2"])

        worlds: list[type[Any]] = [_Taking, _Waiting]
        for world in worlds:
            for deed in (_Putting.expire, _Putting.drop_and_expire):
                self.everywhere(world, world.take, deed, check)

    def test_get_cancelled(self) -> None:
        """A taker that is cancelled at any moment leaves the entry at its place, or puts it back there (H3)."""

        def check(world: _Putting) -> None:
            (outcome,) = world.outcomes
            if outcome == b"1":
                self.assertEqual(world.left(), [b"2"])
            else:
                self.assertTrue(failed(outcome, CancelledError), outcome)
                self.assertEqual(world.left(), [b"1", b"2"])

        worlds: list[type[Any]] = [_Taking, _Waiting]
        for world in worlds:
            for deed in (_Putting.cancel, _Putting.cancel_and_drop, _Putting.drop_and_cancel):
                self.everywhere(world, world.take, deed, check)

    def test_get_closed(self) -> None:
        """The client may be closed at any moment: the entry was taken, or is there, or nobody knows."""

        def check(world: _Putting) -> None:
            (outcome,) = world.outcomes
            if outcome == b"1":
                self.assertEqual(world.left(), [b"2"])
            else:
                self.assertTrue(failed(outcome, ClosingException), outcome)
                self.assertIn(world.left(), ([b"1", b"2"], [b"2"]))

        worlds: list[type[Any]] = [_Taking, _Waiting]
        for world in worlds:
            self.everywhere(world, world.take, _Putting.close_second, check)

    def test_lost_messages(self) -> None:
        """Any request, or the reply to any, may be lost, and those of the look for the mark too (H1)."""
        for kind in ("transaction", "get_children", "get", "create", "sync", "exists", "delete"):
            for fault in ("lose_request", "lose_reply"):
                for also in ("sync", "exists"):
                    with _Putting() as world:
                        session = world.second.session_id
                        getattr(world.server, fault)(kind, session_id=session)
                        planned = world.server.lose_reply(also, session_id=session)
                        world.put()
                        world.pass_time(3.0)
                        world.begin(world.queue.get())
                        world.pass_time(3.0)
                        world.begin(world.queue.get(wait=0))
                        world.pass_time(3.0)
                        self.assertEqual(world.outcomes, [None, b"1", b"2"], (kind, fault, also))
                        planned.cancel()
                        self.assertEqual(world.left(), [])
