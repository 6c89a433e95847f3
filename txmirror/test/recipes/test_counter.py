"""Counters: each addition counts once, with every fault at every moment."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txmirror.errors import (
    BadVersionException,
    ClosingException,
    ConnectionLossException,
    NoAuthException,
    PathError,
)
from txmirror.recipes import Counter
from txmirror.test.recipes.case import RecipeCase
from txmirror.test.recipes.moments import Moments, MomentsCase, failed
from txmirror.test.recipes.plain import PlainClient
from txmirror.types import READ_ACL, digest_acl

PATH = "/app/hits"


class CounterTests(RecipeCase):
    path = PATH

    def counter(self, **options: Any) -> Any:
        return self.lock(kind=Counter, **options)

    def stored(self) -> bytes:
        data, _ = self.done(self.observer.get(self.path))
        return data

    def test_int(self) -> None:
        """Additions of several programs add up; the number is stored as text."""
        counters = [self.counter(), self.counter()]
        self.assertEqual(self.done(counters[0].value()), 0)
        self.assertIsNone(self.done(self.observer.exists(self.path)))
        sums = [self.done(counters[number % 2].add(amount)) for number, amount in enumerate((1, 41, -50, 0))]
        self.assertEqual((sums, self.stored()), ([1, 42, -8, -8], b"-8"))
        self.assertEqual((self.done(counters[1].value()), self.nodes()), (-8, []))
        self.assertEqual(self.done(counters[0].add(10**30)), 10**30 - 8)

    def test_float(self) -> None:
        """A counter of floats adds ints too, and reads ints."""
        counter = self.counter(default=1.5)
        self.assertEqual(self.done(counter.value()), 1.5)
        self.assertEqual(self.done(counter.add(0.25)), 1.75)
        self.assertEqual((self.done(counter.add(2)), self.stored()), (3.75, b"3.75"))
        self.done(self.observer.set(self.path, b"3"))
        self.assertEqual(self.done(counter.add(0.5)), 3.5)

    def test_default(self) -> None:
        """The default is the number where nothing is stored."""
        self.done(self.observer.create("/app"))
        self.done(self.observer.create(self.path))
        counter = self.counter(default=7)
        self.assertEqual((self.done(counter.value()), self.done(counter.add(1))), (7, 8))

    def test_curator(self) -> None:
        """Curator's SharedCount stores four bytes."""
        counter = self.counter(curator=True)
        self.assertEqual((self.done(counter.add(-2)), self.stored()), (-2, b"\xff\xff\xff\xfe"))
        self.done(self.observer.set(self.path, b"\x7f\xff\xff\xff"))
        self.assertEqual(self.done(counter.value()), 2**31 - 1)
        error = self.assertRaises(ValueError, self.done, counter.add(1))
        self.assertIn("2147483648, needs more than the four bytes", str(error))
        self.assertEqual(self.done(counter.value()), 2**31 - 1)
        self.done(self.observer.set(self.path, b"12345"))
        error = self.assertRaises(ValueError, self.done, counter.value())
        self.assertIn("holds b'12345': not four bytes", str(error))

    def test_no_number(self) -> None:
        """Other data is quoted, and left as it is."""
        counter = self.counter()
        self.done(counter.add(1))
        for data in (b"many", b"1.5", b"\xd9\xa1", b"\xff", b"1" * 5000):
            self.done(self.observer.set(self.path, data))
            for failing in (counter.value(), counter.add(1)):
                error = self.assertRaises(ValueError, self.done, failing)
                self.assertIn(f"the counter '/app/hits' holds {data!r:.60}: not the text of a number (int)", str(error))
            self.assertEqual(self.stored(), data)

    def test_spaces(self) -> None:
        """Text that kazoo can read can be read."""
        counter = self.counter()
        self.done(counter.add(1))
        self.done(self.observer.set(self.path, b" 12\n"))
        self.assertEqual(self.done(counter.add(1)), 13)

    def test_at_once(self) -> None:
        """Additions at once, of one object and of others, all count."""
        counters = [self.counter(), self.counter()]
        adding = [counters[number % 2].add(1) for number in range(20)]
        self.settle()
        self.assertEqual(sorted(self.done(each) for each in adding), list(range(1, 21)))
        self.assertEqual((self.stored(), self.nodes()), (b"20", []))

    def test_wrong_arguments(self) -> None:
        """Wrong arguments raise at once, and are quoted."""
        counter = self.counter()
        for amount in (1.5, "1", None, True, b"1"):
            error = self.assertRaises(TypeError, counter.add, amount)
            self.assertEqual(str(error), f"the amount is {amount!r}: not of the type int")
        for infinite in (float("inf"), float("nan")):
            self.assertRaises(ValueError, self.counter(default=0.0).add, infinite)
        for default in ("0", None, True):
            self.assertRaises(TypeError, self.counter, default=default)
        self.assertRaises(TypeError, self.counter, default=1.0, curator=True)
        self.assertRaises(PathError, Counter, self.observer, "/")
        self.assertRaises(TypeError, self.counter, client=PlainClient(self.client()))
        self.assertIn(f"<Counter '{PATH}' of session 0x", repr(counter))

    def test_acl(self) -> None:
        """The counter has the ACL; others are refused."""
        acl = [digest_acl("app", "secret"), *READ_ACL]
        client = self.client()
        self.done(client.add_auth("digest", b"app:secret"))
        self.done(self.counter(client=client, acl=acl).add(1))
        self.assertEqual(self.done(client.get_acl(self.path))[0], acl)
        self.assertEqual(self.done(self.counter().value()), 1)
        self.assertRaises(NoAuthException, self.done, self.counter().add(1))

    def test_deleted(self) -> None:
        """If the counter is deleted, the next addition begins with the default."""
        counter = self.counter()
        self.done(counter.add(5))
        self.done(self.observer.delete(self.path))
        self.assertEqual((self.done(counter.value()), self.done(counter.add(1))), (0, 1))

    def test_version_that_matches_any(self) -> None:
        """At version -1 nothing is added, because the write would not depend on the version (H5)."""
        counter = self.counter()
        self.done(counter.add(5))
        node = self.server._state.database.tree.nodes[self.path]
        node.version = -1
        error = self.assertRaises(BadVersionException, self.done, counter.add(1))
        self.assertIn("set the node once", str(error))
        self.done(self.observer.set(self.path, b"5"))
        self.assertEqual(self.done(counter.add(1)), 6)

    def unknown(self, fault: str, meanwhile: Any = None) -> Deferred[Any]:
        """Add 1, where a message is lost, and the session expires before the mark is read."""
        client = self.client()
        counter = self.counter(client=client)
        session = client.session_id
        getattr(self.server, fault)("transaction", session_id=session)
        added: Deferred[Any] = counter.add(1)
        while any(connection.session_id == session for connection in self.server.connections):
            self.world.reactor.take_turns(1)
        self.server.expire_session(session)
        if meanwhile is not None:
            self.done(meanwhile())
        self.pass_time(2.0)
        return added

    def test_evidence(self) -> None:
        """When the session has expired, the version shows that the addition was not done; or the data of another's write."""
        other = self.counter()
        self.done(other.add(10))
        self.assertEqual(self.done(self.unknown("lose_request")), 11)
        self.assertEqual(self.done(self.unknown("lose_request", lambda: other.add(5))), 17)
        self.assertEqual(self.done(other.value()), 17)

    def test_no_evidence(self) -> None:
        """Without evidence, add says that nobody knows, and does not add again (H1)."""
        other = self.counter()
        self.done(other.add(10))
        deeds: list[Any] = [None, lambda: other.add(1), lambda: self.observer.delete(self.path)]
        sums = [11, 13, 0]
        for deed, total in zip(deeds, sums, strict=True):
            added = self.unknown("lose_reply", deed)
            error = self.assertRaises(ConnectionLossException, self.done, added)
            self.assertIsNone(error.applied)
            self.assertIn("the amount may have been added, or not", str(error))
            self.assertEqual(self.done(other.value()), total)
        self.done(other.add(10))
        error = self.assertRaises(
            ConnectionLossException, self.done, self.unknown("lose_request", lambda: other.add(1))
        )
        self.assertEqual(self.done(other.value()), 11)


class _Adding(Moments):
    """A world in which two programs add."""

    def __init__(self) -> None:
        super().__init__()
        self.other = Counter(self.first, PATH, reactor=self.reactor)
        self.counter = Counter(self.second, PATH, reactor=self.reactor)

    def add(self) -> None:
        self.begin(self.counter.add(1))
        # Other sums than ours, so that they are told apart.
        self.other.add(100)

    def total(self) -> int:
        return self.result(self.other.value())


class CounterMomentsTests(MomentsCase):
    def test_disconnected(self) -> None:
        """An addition counts once whenever the connection is lost (H1)."""

        def check(world: _Adding) -> None:
            self.assertIn(world.outcomes, ([1], [101]))
            self.assertEqual((world.total(), world.persistent(PATH)), (101, []))

        self.everywhere(_Adding, _Adding.add, _Adding.drop, check)

    def test_expired(self) -> None:
        """If the session expires, add fails where nobody knows; never does it count twice."""

        def check(world: _Adding) -> None:
            (outcome,) = world.outcomes
            if failed(outcome, ConnectionLossException):
                self.assertIsNone(outcome.value.applied)
                self.assertIn(world.total(), (100, 101))
            else:
                self.assertIn(outcome, (1, 101))
                self.assertEqual(world.total(), 101)

        for deed in (_Adding.expire, _Adding.drop_and_expire):
            self.everywhere(_Adding, _Adding.add, deed, check)

    def test_given_up(self) -> None:
        """An addition that is cancelled, or whose client is closed, counts once or not, and leaves nothing (H3)."""

        def check(world: _Adding) -> None:
            (outcome,) = world.outcomes
            if failed(outcome, CancelledError, ClosingException):
                self.assertIn(world.total(), (100, 101))
            else:
                self.assertEqual(world.total(), 101)
            self.assertEqual(world.persistent(PATH), [])

        deeds = (_Adding.cancel, _Adding.cancel_and_drop, _Adding.drop_and_cancel, _Adding.close_second)
        for deed in deeds:
            self.everywhere(_Adding, _Adding.add, deed, check)

    def test_lost_messages(self) -> None:
        """Any request, or the reply to any, may be lost, and those of the look for the mark too (H1)."""
        for kind in ("transaction", "get", "create", "sync", "exists", "delete"):
            for fault in ("lose_request", "lose_reply"):
                for also in ("sync", "exists", "transaction"):
                    with _Adding() as world:
                        session = world.second.session_id
                        getattr(world.server, fault)(kind, session_id=session)
                        planned = world.server.lose_reply(also, session_id=session)
                        for _ in range(3):
                            world.begin(world.counter.add(1))
                        world.pass_time(5.0)
                        self.assertEqual(sorted(world.outcomes), [1, 2, 3], (kind, fault, also))
                        planned.cancel()
                        self.assertEqual((world.total(), world.ephemerals()), (3, {}))
