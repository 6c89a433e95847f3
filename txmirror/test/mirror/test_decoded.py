"""Decoded trees and their indexes: one decoding for each change, and events that agree with what is shown."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import CancelledError

from txmirror import paths
from txmirror.errors import ClosingException
from txmirror.mirror import Change, ChangeKind, Decoded, DecodedChange, Index, Tree, decode_json
from txmirror.test.mirror.test_scale import ManyTestCase
from txmirror.test.mirror.world import MirrorTestCase

Seen = tuple[str, "int | None", "int | None"]


def seen_by(view: Decoded[int]) -> list[Seen]:
    """Return a list to which a watcher adds the changes from now on, and checks that the view shows each of them."""
    seen: list[Seen] = []

    def changed(change: DecodedChange[int]) -> None:
        assert view.get(change.path) == change.new, (view.get(change.path), change)
        assert view.errors.get(change.path) is change.error, change
        seen.append((change.path, change.old, change.new))

    view.watch(changed)
    return seen


class DecodedTestCase(MirrorTestCase):
    """Tests of trees of decimal numbers."""

    def setUp(self) -> None:
        super().setUp()
        for path, data in (("/n", b"0"), ("/n/a", b"1"), ("/n/b", b"2")):
            self.world.make(path, data)
        self.decodings: list[str] = []
        if self.version == "3.4":
            # That a server knows no persistent watches is learned from the connections that it closes.
            tree = self.mirror.tree("/n")
            self.pass_time(3.0)
            tree.close()
            self.settle()

    def decode(self, path: str, data: bytes) -> int:
        """Decode a number, and note that."""
        self.decodings.append(path)
        return int(data)

    def follow(self) -> tuple[Tree, Decoded[int]]:
        """Make a tree and its decoded view, both settled."""
        tree = self.mirror.tree("/n")
        view = tree.decoded(self.decode)
        self.settle()
        return tree, view

    def warnings(self) -> list[str]:
        """Return the logged lines about what cannot be decoded or indexed."""
        return [line for line in self.log_lines() if " cannot be decoded" in line or " is not in the index" in line]


class ShowingTests(DecodedTestCase):
    def test_mapping(self) -> None:
        """It shows the decoded nodes as a mapping that is equal only to itself."""
        tree, view = self.follow()
        self.assertEqual(dict(view), {"/n": 0, "/n/a": 1, "/n/b": 2})
        self.assertEqual((len(view), view["/n/a"], view.get("/x"), "/n/b" in view), (3, 1, None, True))
        self.assertEqual((sorted(view.keys()), sorted(view.values())), (["/n", "/n/a", "/n/b"], [0, 1, 2]))
        self.assertEqual((view.path, view.settled, view.stale_since, view.closed), ("/n", True, None, False))
        self.assertEqual(repr(view), "<Decoded '/n' 3 nodes settled>")
        self.assertNotEqual(view, tree.decoded(self.decode))
        self.assertIn(view, {view})

    def test_made_late(self) -> None:
        """A view of a settled tree has everything at once, and is ready."""
        tree = self.mirror.tree("/n")
        self.settle()
        view = tree.decoded(self.decode)
        self.assertEqual(dict(view), {"/n": 0, "/n/a": 1, "/n/b": 2})
        self.successResultOf(view.ready())

    def test_changes(self) -> None:
        """Watchers get the old and the new value; None where there is none."""
        _, view = self.follow()
        seen = seen_by(view)
        self.assertEqual(seen, [])
        self.world.make("/n/c", b"3")
        self.settle()
        self.world.change("/n/c", b"4")
        self.settle()
        self.world.remove("/n/c")
        self.settle()
        self.assertEqual(seen, [("/n/c", None, 3), ("/n/c", 3, 4), ("/n/c", 4, None)])

    def test_first_values(self) -> None:
        """Values that become known are changes."""
        view = self.mirror.tree("/n").decoded(self.decode)
        seen = seen_by(view)
        self.settle()
        self.assertEqual(sorted(seen), [("/n", None, 0), ("/n/a", None, 1), ("/n/b", None, 2)])

    def test_same_data(self) -> None:
        """A node that was written or created again with the same data has changed. Other stats are no change."""
        _, view = self.follow()
        seen = seen_by(view)
        self.world.change("/n/a", b"1")
        self.settle()
        self.assertEqual(seen, [("/n/a", 1, 1)])
        seen.clear()
        self.other.delete("/n/b")
        self.other.create("/n/b", b"2")
        self.settle()
        self.assertIn(seen, ([("/n/b", 2, 2)], [("/n/b", 2, None), ("/n/b", None, 2)]))
        seen.clear()
        self.decodings.clear()
        # The number of children of /n/a is another.
        self.world.make("/n/a/x", b"5")
        self.settle()
        self.assertEqual((seen, self.decodings), ([("/n/a/x", None, 5)], ["/n/a/x"]))

    def test_none(self) -> None:
        """A value may be None."""
        view = self.mirror.tree("/n").decoded(lambda path, data: None)
        self.settle()
        self.assertEqual((len(view), "/n/a" in view, view.errors), (3, True, {}))

    def test_expired(self) -> None:
        """In a new session only the nodes that have changed are decoded."""
        _, view = self.follow()
        seen = seen_by(view)
        self.decodings.clear()
        self.world.expire_away()
        self.assertIsNotNone(view.stale_since)
        self.assertFalse(view.settled)
        self.assertEqual(view["/n/a"], 1)
        self.world.change("/n/a", b"10")
        self.world.remove("/n/b")
        self.world.make("/n/c", b"3")
        self.world.come_back()
        self.pass_time(5.0)
        self.assertTrue(view.settled)
        self.assertEqual(sorted(self.decodings), ["/n/a", "/n/c"])
        self.assertEqual(sorted(seen, key=repr), [("/n/a", 1, 10), ("/n/b", 2, None), ("/n/c", None, 3)])

    def test_unwatch(self) -> None:
        """A removed watcher is called no longer; it may be unknown."""
        _, view = self.follow()
        seen: list[object] = []
        view.watch(seen.append)
        view.unwatch(seen.append)
        view.unwatch(print)
        self.world.change("/n/a", b"7")
        self.settle()
        self.assertEqual((seen, view["/n/a"]), ([], 7))


class OldShowingTests(ShowingTests):
    """The same at a server without persistent watches."""

    version = "3.4"


class KeeperShowingTests(ShowingTests):
    """The same at ClickHouse Keeper."""

    version = "keeper"


class ErrorTests(DecodedTestCase):
    def test_undecodable(self) -> None:
        """A node that cannot be decoded is left out, kept with the exception, notified and logged once."""
        self.world.make("/n/c", b"three\n")
        _, view = self.follow()
        self.assertEqual((sorted(view), list(view.errors)), (["/n", "/n/a", "/n/b"], ["/n/c"]))
        self.assertIsInstance(view.errors["/n/c"], ValueError)
        reason = "invalid literal for int() with base 10: b'three\\n'"
        self.assertEqual(self.warnings(), [f"/n/c cannot be decoded, and is left out: {reason}."])
        seen = seen_by(view)
        self.world.change("/n/a", b"one")
        self.settle()
        self.world.change("/n/a", b"1")
        self.settle()
        self.world.remove("/n/c")
        self.settle()
        self.assertEqual(seen, [("/n/a", 1, None), ("/n/a", None, 1), ("/n/c", None, None)])
        self.assertEqual(view.errors, {})
        self.assertEqual(len(self.warnings()), 2)
        self.assertTrue(view.settled)

    def test_error_is_notified(self) -> None:
        """A change to data that cannot be decoded has the exception."""
        _, view = self.follow()
        changes: list[DecodedChange[int]] = []
        view.watch(changes.append)
        self.world.change("/n/a", b"one")
        self.settle()
        (change,) = changes
        self.assertEqual((change.path, change.old, change.new), ("/n/a", 1, None))
        self.assertIs(change.error, view.errors["/n/a"])

    def test_any_exception(self) -> None:
        """Any exception of the function is one for that node, and is logged with its class."""

        def decode(path: str, data: bytes) -> int:
            return {b"1": 1}[data]

        view = self.mirror.tree("/n").decoded(decode)
        self.settle()
        self.assertEqual((dict(view), sorted(view.errors)), ({"/n/a": 1}, ["/n", "/n/b"]))
        self.assertEqual(
            self.warnings(),
            [
                f"{path} cannot be decoded, and is left out: KeyError: {data!r}."
                for path, data in (("/n", b"0"), ("/n/b", b"2"))
            ],
        )

    def test_json(self) -> None:
        """Data is decoded as a JSON node decodes it."""
        self.world.change("/n/a", b'{"a": NaN}')
        self.world.change("/n", b"")
        view = self.mirror.tree("/n").decoded(decode_json)
        self.settle()
        self.assertEqual(dict(view), {"/n": None, "/n/b": 2})
        error = self.assert_fails(self.mirror.get_json("/n/a").value(), ValueError)
        self.assertEqual(str(view.errors["/n/a"]), str(error))
        self.assertEqual(self.warnings(), [f"/n/a cannot be decoded, and is left out: {error}."])

    def test_watcher_raises(self) -> None:
        """A watcher that raises is logged, and the others are called all the same."""
        _, view = self.follow()
        view.watch(lambda change: 1 / 0)
        seen = seen_by(view)
        self.world.change("/n/a", b"7")
        self.world.change("/n/b", b"8")
        self.settle()
        self.assertEqual(seen, [("/n/a", 1, 7), ("/n/b", 2, 8)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class IndexTests(DecodedTestCase):
    def test_keys(self) -> None:
        """A node has none, one or several keys, and is found by each."""
        _, view = self.follow()
        index = view.index(
            "divisors", lambda path, number: [each for each in (1, 2, 3) if number and number % each == 0]
        )
        self.assertEqual(
            {key: dict(nodes) for key, nodes in index.items()}, {1: {"/n/a": 1, "/n/b": 2}, 2: {"/n/b": 2}}
        )
        self.assertEqual((len(index), 3 in index, index.get(3), list(index[2])), (2, False, None, ["/n/b"]))
        self.world.change("/n/b", b"3")
        self.world.make("/n/c", b"6")
        self.settle()
        self.assertEqual(
            {key: dict(nodes) for key, nodes in index.items()},
            {1: {"/n/a": 1, "/n/b": 3, "/n/c": 6}, 2: {"/n/c": 6}, 3: {"/n/b": 3, "/n/c": 6}},
        )
        self.world.remove("/n/c")
        self.settle()
        self.assertEqual(sorted(index), [1, 3])
        self.assertEqual(repr(index), "<Index 'divisors' 2 keys>")
        self.assertIs(view.indexes["divisors"], index)
        self.assertEqual((index, len({index})), (index, 1))

    def test_same_name(self) -> None:
        """Two indexes of one view cannot have the same name."""
        _, view = self.follow()
        view.index("all", lambda path, number: [number])
        error = self.assertRaises(ValueError, view.index, "all", lambda path, number: [number])
        self.assertEqual(str(error), "there is an index 'all' already")

    def test_read_only(self) -> None:
        """What a look-up returns cannot be changed."""
        _, view = self.follow()
        nodes = view.index("all", lambda path, number: ["all"])["all"]
        self.assertEqual(len(nodes), 3)
        with self.assertRaises(TypeError):
            nodes["/n/a"] = 5  # type: ignore[index]

    def test_consistent(self) -> None:
        """A watcher finds each change in the index, and no later one."""
        _, view = self.follow()
        index = view.index("parity", lambda path, number: [number % 2])
        found: list[tuple[str, list[str], list[str]]] = []

        def changed(change: DecodedChange[int]) -> None:
            found.append((change.path, sorted(index.get(0, ())), sorted(index.get(1, ()))))

        view.watch(changed)
        self.other.set("/n/a", b"4")
        self.other.set("/n/b", b"5")
        self.settle()
        self.assertEqual(found, [("/n/a", ["/n", "/n/a", "/n/b"], []), ("/n/b", ["/n", "/n/a"], ["/n/b"])])

    def test_key_raises(self) -> None:
        """A node whose keys cannot be computed is in no list of the index, and has an error there; both end with a change."""
        _, view = self.follow()

        def key(path: str, number: int) -> Iterable[object]:
            if number == 1:
                raise ArithmeticError("one has no keys")
            return [1 // (number - 1)]

        index = view.index("wrong", key)
        self.assertEqual((list(index.errors), dict(index)), (["/n/a"], {-1: {"/n": 0}, 1: {"/n/b": 2}}))
        reason = "ArithmeticError: one has no keys"
        self.assertEqual(self.warnings(), [f"/n/a is not in the index wrong: {reason}."])
        self.assertEqual(view["/n/a"], 1)
        self.world.change("/n/a", b"5")
        self.settle()
        self.assertEqual((index.errors, dict(index[0])), ({}, {"/n/a": 5}))
        self.world.change("/n/a", b"1")
        self.settle()
        self.assertEqual((list(index.errors), 0 in index), (["/n/a"], False))
        self.world.remove("/n/a")
        self.settle()
        self.assertEqual(index.errors, {})

    def test_wrong_keys(self) -> None:
        """A text in place of a list, and keys that no dict can have, are errors."""
        with self.assertRaises(TypeError) as unhashable:
            {}[[]]  # type: ignore[index]
        for wrong, reason in (
            ("abc", "TypeError: the key function returned 'abc' in place of a list of keys"),
            ([[]], f"TypeError: {unhashable.exception}"),
            (5, "TypeError: 'int' object is not iterable"),
        ):
            tree, view = self.follow()
            before = len(self.warnings())

            def key(path: str, number: int, wrong: object = wrong) -> Iterable[object]:
                return wrong if number == 1 else [number]  # type: ignore[return-value]

            index = view.index("wrong", key)
            self.assertEqual(self.warnings()[before:], [f"/n/a is not in the index wrong: {reason}."])
            self.assertEqual((list(index.errors), sorted(map(str, index))), (["/n/a"], ["0", "2"]))
            tree.close()

    def test_changed_value(self) -> None:
        """A node is removed from the keys that it had when it was indexed, although its value is another now."""
        self.world.change("/n", b"")
        tree = self.mirror.tree("/n")
        view = tree.decoded(lambda path, data: [data])
        index = view.index("data", lambda path, value: value)
        self.settle()
        view["/n/a"].append(b"more")
        self.world.remove("/n/a")
        self.settle()
        self.assertEqual(sorted(index), [b"", b"2"])


class OrderTests(DecodedTestCase):
    def test_late_watcher(self) -> None:
        """A view, or a watcher of a tree, that is added during a notification does not see changes that it shows already."""
        tree = self.mirror.tree("/n")
        self.settle()
        late: list[Decoded[int]] = []
        changes: list[Change] = []
        seen: list[Seen] = []

        def add(change: Change) -> None:
            if not late:
                # Two more changes wait until this function returns.
                notifier = tree._notifier
                for path in ("/n/a", "/n/b"):
                    notifier.changed(ChangeKind.CHANGED, path, tree[path], tree[path])
                late.append(tree.decoded(self.decode))
                seen.extend(seen_by(late[0]))
                tree.watch(changes.append)

        tree.watch(add)
        self.world.change("/n", b"9")
        self.settle()
        self.assertEqual((sorted(self.decodings), changes), (["/n", "/n/a", "/n/b"], []))
        self.world.change("/n/a", b"5")
        self.settle()
        self.assertEqual(([change.path for change in changes], late[0]["/n/a"]), (["/n/a"], 5))

    def test_indexed_in_watcher(self) -> None:
        """A watcher may add an index and another watcher."""
        _, view = self.follow()
        indexes: list[Index[int, int]] = []
        later: list[DecodedChange[int]] = []

        def changed(change: DecodedChange[int]) -> None:
            if not indexes:
                indexes.append(view.index("all", lambda path, number: [number]))
                view.watch(later.append)

        view.watch(changed)
        self.world.change("/n/a", b"5")
        self.settle()
        self.assertEqual((sorted(indexes[0]), later), ([0, 2, 5], []))
        self.world.change("/n/a", b"6")
        self.settle()
        self.assertEqual((sorted(indexes[0]), len(later)), ([0, 2, 6], 1))

    def test_two_views(self) -> None:
        """Each view of a tree decodes by itself, and one may be closed in a watcher of the other."""
        tree, first = self.follow()
        second = tree.decoded(lambda path, data: paths.name_of(path) + data.decode())
        first.watch(lambda change: second.close())
        self.world.change("/n/a", b"5")
        self.settle()
        self.assertEqual((first["/n/a"], second["/n/a"], second.closed), (5, "a1", True))


class ClosingTests(DecodedTestCase):
    def test_close(self) -> None:
        """A closed view stays as it is; the tree goes on. Closing it again does nothing."""
        tree, view = self.follow()
        seen = seen_by(view)
        view.close()
        view.close()
        self.world.change("/n/a", b"7")
        self.settle()
        self.assertEqual((seen, view["/n/a"], tree["/n/a"][0]), ([], 1, b"7"))
        self.assertEqual((view.closed, view.settled, tree.closed), (True, False, False))
        self.assertEqual(repr(view), "<Decoded '/n' 3 nodes closed>")
        self.assertFalse(tree._notifier.observed)
        self.successResultOf(view.ready())

    def test_tree_closed(self) -> None:
        """With its tree, or the mirror, a view is closed too, and keeps its values."""
        tree, view = self.follow()
        other = self.mirror.tree("/n/a").decoded(self.decode)
        self.settle()
        tree.close()
        self.assertEqual((view.closed, view.settled, view["/n/a"], other.closed), (True, False, 1, False))
        self.done(self.mirror.close())
        self.assertEqual((other.closed, other["/n/a"]), (True, 1))

    def test_of_closed_tree(self) -> None:
        """A view of a closed tree shows its last state. It is ready if the tree was."""
        tree, _ = self.follow()
        never = self.mirror.tree("/n")
        tree.close()
        never.close()
        view = tree.decoded(self.decode)
        self.assertEqual((view["/n/b"], view.closed), (2, True))
        self.successResultOf(view.ready())
        self.assert_fails(never.decoded(self.decode).ready(), ClosingException)

    def test_waiting(self) -> None:
        """A wait ends with the first settling, with a cancellation, or with the end of the view or the tree."""
        trees = [self.mirror.tree("/n") for _ in range(3)]
        views = [tree.decoded(self.decode) for tree in trees]
        waits = [view.ready() for view in views]
        cancelled = views[2].ready()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        trees[0].close()
        views[1].close()
        self.assert_fails(waits[0], ClosingException)
        self.assert_fails(waits[1], ClosingException)
        self.assert_fails(views[1].ready(), ClosingException)
        self.settle()
        self.successResultOf(waits[2])
        self.assertEqual(len(views[2]), 3)

    def test_ready_while_notified(self) -> None:
        """It is ready when it has everything: a callback of the wait finds all nodes."""
        view = self.mirror.tree("/n").decoded(self.decode)
        found: list[int] = []
        view.ready().addCallback(lambda _: found.append(len(view)))
        self.settle()
        self.assertEqual(found, [3])

    def test_closed_by_watcher(self) -> None:
        """A watcher may close the view, the tree or the mirror; then no other watcher is called."""
        for name in ("view", "tree", "mirror"):
            tree, view = self.follow()
            close = {"view": view.close, "tree": tree.close, "mirror": self.mirror.close}[name]
            view.watch(lambda change, close=close: close())  # type: ignore[misc]
            seen = seen_by(view)
            index = view.index("all", lambda path, number: [number])
            before = view["/n/a"]
            self.other.set("/n/a", b"%d" % (before + 10))
            self.other.set("/n/b", b"%d" % (before + 20))
            self.settle()
            # It shows the change of which it was closed, and not the next one.
            self.assertEqual(
                (view["/n/a"], view["/n/b"] == before + 20, seen, view.closed), (before + 10, False, [], True)
            )
            self.assertEqual(set(index), set(view.values()))

    def test_closed_by_function(self) -> None:
        """A decoding function may close the view: the value that it returns is not shown."""
        tree = self.mirror.tree("/n")
        views: list[Decoded[int]] = []

        def decode(path: str, data: bytes) -> int:
            if data == b"5":
                views[0].close()
            return int(data)

        views.append(tree.decoded(decode))
        self.settle()
        self.world.change("/n/a", b"5")
        self.settle()
        self.assertEqual((views[0]["/n/a"], views[0].closed), (1, True))


class CostTests(ManyTestCase):
    def test_one_decoding(self) -> None:
        """If one of 10,101 nodes changes, one is decoded, and one is indexed again; also in a new session."""
        self.plant(10_000)
        decoded: list[str] = []
        indexed: list[str] = []

        def decode(path: str, data: bytes) -> bytes:
            decoded.append(path)
            return data

        def key(path: str, data: bytes) -> list[bytes]:
            indexed.append(path)
            return [data]

        view = self.mirror.tree("/s").decoded(decode)
        index = view.index("data", key)
        self.done(view.ready())
        self.assertEqual((len(view), len(decoded), len(indexed)), (10_101, 10_101, 10_101))
        changed = "/s/7/5"
        decoded.clear()
        indexed.clear()
        self.world.change(changed, b"new")
        self.settle()
        self.assertEqual((decoded, indexed, dict(index[b"new"])), ([changed], [changed], {changed: b"new"}))
        self.world.expire_away()
        self.world.change(changed, b"newer")
        self.world.come_back()
        self.pass_time(5.0)
        self.assertTrue(view.settled)
        self.assertEqual((decoded, indexed), ([changed, changed], [changed, changed]))
