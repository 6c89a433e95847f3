"""Shared values: each change depends on the value, and is done once, with every fault at every moment."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from txmirror.errors import (
    BadVersionException,
    ClosingException,
    ConnectionLossException,
    NoAuthException,
    PathError,
)
from txmirror.recipes import SharedValue, VersionedValue
from txmirror.test.recipes.case import RecipeCase
from txmirror.test.recipes.moments import Moments, MomentsCase, failed
from txmirror.test.recipes.plain import PlainClient
from txmirror.types import READ_ACL, digest_acl

PATH = "/app/limits"


class SharedValueTests(RecipeCase):
    path = PATH

    def value(self, **options: Any) -> Any:
        return self.lock(kind=SharedValue, **options)

    def stored(self) -> bytes:
        data, _ = self.done(self.observer.get(self.path))
        return data

    def test_update(self) -> None:
        """Changes of several programs at once all count; the value is the plain data of the node."""
        values = [self.value(default=b"-"), self.value(default=b"-")]
        self.assertEqual(self.done(values[0].get()), b"-")
        self.assertIsNone(self.done(self.observer.exists(self.path)))
        for value in values:
            for _ in range(5):
                value.update(lambda data: data + b"1")
        self.settle()
        self.assertEqual((self.stored(), self.nodes()), (b"-" + b"1" * 10, []))
        self.assertEqual(self.done(values[1].update(lambda data: data[:2])), b"-1")

    def test_update_left(self) -> None:
        """A function that returns None leaves the value as it is, and has seen the current one."""
        value = self.value()
        self.done(self.observer.create("/app"))
        self.done(self.observer.create(self.path, b"one"))
        self.assertEqual(self.done(value.update(lambda data: None)), b"one")
        self.assertEqual(self.done(value.get_versioned()), VersionedValue(b"one", 0))

    def test_try_set(self) -> None:
        """The value is replaced only if it is the expected one."""
        ours, theirs = self.value(default=b"0"), self.value(default=b"0")
        self.assertIs(self.done(ours.try_set(b"1", b"2")), False)
        self.assertIs(self.done(ours.try_set(b"1", b"0")), True)
        self.assertIs(self.done(theirs.try_set(b"2", b"0")), False)
        self.assertIs(self.done(theirs.try_set(b"2", b"1")), True)
        trying = [value.try_set(b"%d" % number, b"2") for number, value in enumerate((ours, theirs), 3)]
        self.assertEqual(sorted(map(self.done, trying)), [False, True])

    def test_try_set_versioned(self) -> None:
        """A value that was changed and changed back is another one, if the version is given."""
        ours, theirs = self.value(default=b"0"), self.value(default=b"0")
        missing = self.done(ours.get_versioned())
        self.assertEqual(missing, VersionedValue(b"0", -1))
        self.assertIs(self.done(ours.try_set(b"1", missing)), True)
        self.assertIs(self.done(ours.try_set(b"1", missing)), False)
        read = self.done(ours.get_versioned())
        for data in (b"2", b"1"):
            self.done(theirs.update(lambda _: data))  # noqa: B023
        self.assertIs(self.done(ours.try_set(b"3", read)), False)
        self.assertIs(self.done(ours.try_set(b"3", b"1")), True)

    def test_failing_function(self) -> None:
        """A function that raises, or returns anything else than bytes, changes nothing."""
        value = self.value(default=b"0")
        self.assertRaises(ZeroDivisionError, self.done, value.update(lambda data: b"%d" % (1 // 0)))
        error = self.assertRaises(TypeError, self.done, value.update(lambda data: "text"))
        self.assertEqual(str(error), "the new value is 'text': not bytes")
        self.assertEqual((self.done(value.get_versioned()), self.nodes()), (VersionedValue(b"0", 0), []))

    def test_wrong_arguments(self) -> None:
        """Wrong arguments raise at once, and are quoted."""
        value = self.value()
        error = self.assertRaises(TypeError, value.try_set, "new", b"old")
        self.assertEqual(str(error), "the value is 'new': not bytes")
        error = self.assertRaises(TypeError, value.try_set, b"new", "old")
        self.assertEqual(str(error), "the expected value is bytes or a VersionedValue, not 'old'")
        error = self.assertRaises(TypeError, self.value, default=None)
        self.assertEqual(str(error), "the default is None: not bytes")
        self.assertRaises(PathError, SharedValue, self.observer, "/")
        self.assertRaises(TypeError, self.value, client=PlainClient(self.client()))
        self.assertIn(f"<SharedValue '{PATH}' of session 0x", repr(value))

    def test_acl(self) -> None:
        """The node has the ACL; others are refused."""
        acl = [digest_acl("app", "secret"), *READ_ACL]
        client = self.client()
        self.done(client.add_auth("digest", b"app:secret"))
        self.done(self.value(client=client, acl=acl).try_set(b"1", b""))
        self.assertEqual(self.done(client.get_acl(self.path))[0], acl)
        self.assertEqual(self.done(self.value().get()), b"1")
        self.assertRaises(NoAuthException, self.done, self.value().try_set(b"2", b"1"))

    def test_version_that_matches_any(self) -> None:
        """At version -1 nothing is changed, because the write would not depend on the version (H5)."""
        value = self.value()
        self.done(value.try_set(b"5", b""))
        self.server._state.database.tree.nodes[self.path].version = -1
        error = self.assertRaises(BadVersionException, self.done, value.try_set(b"6", b"5"))
        self.assertIn("set the node once", str(error))


class _Changing(Moments):
    """A world in which two programs append to a value."""

    def __init__(self) -> None:
        super().__init__()
        self.other = SharedValue(self.first, PATH, reactor=self.reactor)
        self.value = SharedValue(self.second, PATH, reactor=self.reactor)

    def change(self) -> None:
        self.begin(self.value.update(lambda data: data + b"a"))
        self.other.update(lambda data: data + b"b")

    def data(self) -> bytes:
        return self.result(self.other.get())


class SharedValueMomentsTests(MomentsCase):
    def test_disconnected(self) -> None:
        """A change is done once whenever the connection is lost (H1)."""

        def check(world: _Changing) -> None:
            self.assertIn(world.outcomes, ([b"a"], [b"ba"]))
            self.assertEqual((sorted(world.data()), world.persistent(PATH)), (sorted(b"ab"), []))

        self.everywhere(_Changing, _Changing.change, _Changing.drop, check)

    def test_expired(self) -> None:
        """If the session expires, a change fails where nobody knows; never is it done twice."""

        def check(world: _Changing) -> None:
            (outcome,) = world.outcomes
            if failed(outcome, ConnectionLossException):
                self.assertIsNone(outcome.value.applied)
                self.assertIn("the value may have been changed, or not", str(outcome.value))
                self.assertIn(sorted(world.data()), (sorted(b"b"), sorted(b"ab")))
            else:
                self.assertIn(outcome, (b"a", b"ba"))
                self.assertEqual(sorted(world.data()), sorted(b"ab"))

        for deed in (_Changing.expire, _Changing.drop_and_expire):
            self.everywhere(_Changing, _Changing.change, deed, check)

    def test_given_up(self) -> None:
        """A change that is cancelled, or whose client is closed, is done once or not, and leaves nothing (H3)."""

        def check(world: _Changing) -> None:
            (outcome,) = world.outcomes
            if failed(outcome, CancelledError, ClosingException):
                self.assertIn(sorted(world.data()), (sorted(b"b"), sorted(b"ab")))
            else:
                self.assertEqual(sorted(world.data()), sorted(b"ab"))
            self.assertEqual(world.persistent(PATH), [])

        deeds = (_Changing.cancel, _Changing.cancel_and_drop, _Changing.drop_and_cancel, _Changing.close_second)
        for deed in deeds:
            self.everywhere(_Changing, _Changing.change, deed, check)

    def test_try_set(self) -> None:
        """A compare-and-set says the truth about its outcome, whenever the connection is lost."""

        def begin(world: _Changing) -> None:
            world.begin(world.value.try_set(b"a", b""))
            world.other.try_set(b"b", b"")

        def check(world: _Changing) -> None:
            self.assertEqual(world.data(), b"a" if world.outcomes[0] else b"b")

        self.everywhere(_Changing, begin, _Changing.drop, check)
