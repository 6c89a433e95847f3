"""Mirrors with a chroot, and the shorter ways to make nodes."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.client import ZooKeeperClient
from txmirror.creating_paths import create_path
from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    NoAuthException,
    NodeExistsException,
    NoNodeException,
    OperationTimeoutException,
)
from txmirror.mirror import ChangeKind, Existence, Mirror, MirrorState, Node
from txmirror.test.mirror.world import MirrorTestCase, S, follow_children, record_log, watch_children, watch_value
from txmirror.types import ACL, CREATOR_ALL_ACL, Permission, digest_acl


class ViewTests(MirrorTestCase):
    def setUp(self) -> None:
        super().setUp()
        for path in ("/v", "/v/a", "/v/a/x", "/o"):
            self.world.make(path, path.encode())
        self.view = self.mirror.chroot("/v")

    def test_same(self) -> None:
        """It is one object for each path, until it is closed."""
        self.assertIs(self.mirror.chroot("v/"), self.view)
        self.assertIsNot(self.mirror.chroot("/o"), self.view)
        self.done(self.view.close())
        again = self.mirror.chroot("/v")
        self.assertIsNot(again, self.view)
        node = again.get("/a")
        self.settle()
        self.assertEqual(node.state.value, b"/v/a")

    def test_nodes(self) -> None:
        """Its nodes are those below the chroot, by relative paths."""
        node, root = follow_children(self.view.get("/a")), follow_children(self.view.get("/"))
        self.settle()
        self.assertEqual((node.path, node.state.value, node.state.children), ("/a", b"/v/a", ("x",)))
        self.assertEqual((root.path, root.state.value), ("/", b"/v"))
        values, children = watch_value(node), watch_children(node)
        self.world.change("/v/a", b"new")
        self.world.make("/v/a/y")
        self.assertEqual((values, children), ([b"new"], [["x", "y"]]))
        self.assertIs(self.view.get("/o").state.existence, Existence.UNKNOWN)
        self.settle()
        self.assertIs(self.view.get("/o").state.existence, Existence.ABSENT)

    def test_errors(self) -> None:
        """Its errors name its own paths."""
        error = self.assert_fails(self.view.get("/missing").value(), NoNodeException)
        assert isinstance(error, NoNodeException)
        self.assertEqual(error.path, "/missing")
        self.assertNotIn("/v/", str(error))

    def test_writes(self) -> None:
        """A write through a chroot goes below it, and the reply has the view's own paths."""
        made = self.done(self.view.create_r("/b/c", b"1"))
        self.assertEqual(made.path, "/b/c")
        self.assertEqual(self.done(self.other.get("/v/b/c"))[0], b"1")
        self.done(made.set(b"2"))
        sequence = self.done(self.view.get("/b/n-").create(sequence=True))
        self.assertEqual(sequence.path, "/b/n-0000000001")
        self.done(self.view.get("/b").delete(recursive=True))
        self.assertIsNone(self.done(self.other.exists("/v/b")))

    def test_both(self) -> None:
        """A node of the mirror and one of the view are of one znode, and both show it."""
        above, below = self.mirror.get("/v/a"), self.view.get("/a")
        self.settle()
        self.done(below.set(b"new"))
        self.settle()
        self.assertEqual((above.state.value, below.state.value), (b"new", b"new"))

    def test_trees(self) -> None:
        """Its trees have its own paths."""
        tree = self.view.tree("/")
        told: list[tuple[ChangeKind, str]] = []
        tree.watch(lambda change: told.append(change[:2]))
        self.settle()
        self.assertCountEqual(tree, ["/", "/a", "/a/x"])
        self.assertEqual(tree["/a"][0], b"/v/a")
        self.world.make("/v/b")
        self.assertEqual(told[-1], (ChangeKind.ADDED, "/b"))
        self.world.leave()
        self.world.change("/v/a/x", b"new")
        self.world.come_back()
        self.assertEqual(tree["/a/x"][0], b"new")

    def test_missing(self) -> None:
        """The node need not exist; it can be made through the view."""
        view = self.mirror.chroot("/m/n")
        node = view.get("/a")
        self.assert_fails(node.create(makepath=True), NoNodeException)
        self.done(self.mirror.ensure_exists("/m/n"))
        self.done(node.create(b"x", makepath=True))
        self.assertEqual(self.done(self.other.get("/m/n/a"))[0], b"x")

    def test_nested(self) -> None:
        """A view has views."""
        inner = self.view.chroot("/a")
        self.assertEqual(self.done(inner.get("/x").value())[0], b"/v/a/x")
        self.assertTrue(inner.connstr().endswith("/v/a"))
        self.assertIs(self.view.chroot("/a"), inner)

    def test_names(self) -> None:
        """Its connection string and repr have the chroot."""
        self.assertEqual(self.view.connstr(), self.mirror.connstr() + "/v")
        self.assertEqual(self.mirror.chroot("/").connstr(), self.mirror.connstr())
        self.assertIn("/v", repr(self.view))

    def test_state(self) -> None:
        """It has the state of the mirror, and reports it."""
        states: list[MirrorState] = []
        self.done(self.view.connect())
        self.view.addStateWatcher("me", states.append)
        self.world.leave()
        self.pass_time(1.0)
        self.assertFalse(self.view.is_connected())
        self.assertEqual(self.view.time_disconnected(), 1.0)
        self.world.come_back()
        self.assertTrue(self.view.is_connected())
        self.assertEqual(states, [MirrorState.DISCONNECTED, MirrorState.CONNECTED, MirrorState.SETTLED])

    def test_closed(self) -> None:
        """Closed alone it leaves the mirror as it is."""
        node, above = self.view.get("/a"), self.mirror.get("/v/a")
        self.settle()
        self.done(self.view.close())
        self.world.change("/v/a", b"new")
        self.assertEqual((node.state.value, above.state.value), (b"/v/a", b"new"))
        self.assert_fails(self.view.connect(), ClosingException)

    def test_closed_with_the_mirror(self) -> None:
        """It is closed with the mirror, and so are its own views."""
        inner = self.view.chroot("/a")
        states: list[MirrorState] = []
        inner.addStateWatcher("me", states.append)
        self.done(self.mirror.close())
        self.settle()
        self.assertEqual(states[-1], MirrorState.CLOSED)
        self.assertIs(self.view.state, MirrorState.CLOSED)
        self.assertIs(self.mirror.chroot("/late").state, MirrorState.CLOSED)

    def test_let_go(self) -> None:
        """M8: a node that the chrooted mirror evicts keeps its watches if the mirror needs them, and the other way
        round.
        """
        above = self.mirror.get("/v/a")
        self.view.get("/a")
        below = self.view.get("/a/x")
        self.mirror.get("/v/a/x")
        self.settle()
        self.pass_time(80.0)
        self.world.change("/v/a", b"1")
        self.world.change("/v/a/x", b"2")
        self.assertEqual((above.state.value, below.state.value), (b"1", b"2"))
        del above, below
        self.pass_time(80.0)
        self.assertEqual(self.world.server._replica.watches.count(), 0)

    def test_identity(self) -> None:
        """An identity that is added anywhere is tried everywhere."""
        self.done(self.other.add_auth("digest", b"bob:secret"))
        self.done(self.other.create("/v/h", b"hidden", CREATOR_ALL_ACL))
        node = self.view.get("/h")
        tree = self.view.tree("/")
        self.settle()
        self.assertNotIn("/h", tree)
        self.done(self.mirror.add_auth("digest", b"bob:secret"))
        self.settle()
        self.assertEqual(node.state.value, b"hidden")
        self.assertIn("/h", tree)

    def test_no_path(self) -> None:
        """An invalid path is refused."""
        self.assertRaises(ValueError, self.mirror.chroot, "/a\0")

    def test_given_client(self) -> None:
        """A mirror on a client with a chroot has views below that."""
        client = self.world.client("10.0.0.2:2181/v")
        mirror = Mirror(client=client, reactor=self.world.reactor)
        self.assertEqual(self.done(mirror.chroot("/a").get("/x").value())[0], b"/v/a/x")
        self.done(mirror.close())
        self.done(client.close())


class ChrootedClientTests(MirrorTestCase):
    def test_shared(self) -> None:
        """Clients further down are in the same session, and provide the same."""
        self.world.make("/v")
        client = self.other
        below = client.chroot("/v")
        self.assertIsInstance(below, ZooKeeperClient)
        self.assertEqual(below.session_id, client.session_id)
        self.done(below.create("/a", b"x"))
        self.assertEqual(self.done(client.get("/v/a"))[0], b"x")
        self.assertEqual(self.done(below.chroot("/a").get("/"))[0], b"x")
        self.assertEqual(below.connect_string, client.connect_string + "/v")
        self.assertEqual(below.chroot("/a").connect_string, client.connect_string + "/v/a")
        self.assertEqual(client.chroot("/").connect_string, client.connect_string)
        self.assertRaises(ValueError, client.chroot, "v")


class CreationTests(MirrorTestCase):
    def test_create(self) -> None:
        """``create`` makes one node, with flags by number."""
        node = self.done(self.mirror.create("/a", b"x"))
        self.assertEqual((node.path, node.state.value), ("/a", b"x"))
        self.assertIs(node, self.mirror.get("/a"))
        self.assert_fails(self.mirror.create("/a"), NodeExistsException)
        self.assert_fails(self.mirror.create("/b/c"), NoNodeException)
        ephemeral = self.done(self.mirror.create("/e", b"", 1))
        assert ephemeral.state.stat is not None
        self.assertEqual(ephemeral.state.stat.ephemeralOwner, self.world.mirror_client.session_id)
        self.assertEqual(self.done(self.mirror.create("/n-", b"", 2)).path, "/n-0000000002")

    def test_recursively(self) -> None:
        """``create_r`` makes those above it too."""
        node = self.done(self.mirror.create_r("/b/c/d", b"x"))
        self.assertEqual(node.state.value, b"x")
        self.assertEqual(self.done(self.other.get("/b/c"))[0], b"")

    def test_flags(self) -> None:
        """Other flags are refused at the call."""
        for flags in (-1, 4, 7):
            self.assertIn(str(flags), str(self.assertRaises(ValueError, self.mirror.create, "/a", b"", flags)))

    def test_ensure_exists(self) -> None:
        """``ensure_exists`` creates missing nodes, and leaves existing ones."""
        node = self.done(self.mirror.ensure_exists("/b/c"))
        self.assertIs(node.state.existence, Existence.PRESENT)
        self.world.change("/b/c", b"x")
        self.assertIs(self.done(self.mirror.ensure_exists("/b/c")), node)
        self.assertEqual(node.state.value, b"x")


class ProtectedTests(MirrorTestCase):
    """``ensure_exists`` below nodes that not everybody may write."""

    def protect(self, path: str, *permissions: Permission) -> None:
        """Let everybody have no more than these permissions."""
        self.done(self.other.add_auth("digest", b"bob:secret"))
        everybody = [ACL(permission, "world", "anyone") for permission in permissions]
        self.done(self.other.set_acl(path, [digest_acl("bob", "secret"), *everybody]))

    def assert_ensured(self, path: str) -> None:
        self.assertEqual(self.done(self.mirror.ensure_exists(path)).path, path)

    def test_exists(self) -> None:
        """An existing node need not be created: its parent may be one that we may not write, nor even read, and it may
        be unreadable itself. A missing node there is refused, and nothing is created.
        """
        for number, allowed in enumerate(((Permission.READ,), ())):
            parent = f"/{number}"
            for path in (parent, f"{parent}/a", f"{parent}/a/b", f"{parent}/secret"):
                self.world.make(path)
            self.protect(f"{parent}/secret")
            self.protect(parent, *allowed)
            self.assert_ensured(f"{parent}/a")
            self.assert_ensured(f"{parent}/secret")
            self.assert_ensured(f"{parent}/a/b/c/d")
            for path in (f"{parent}/x", f"{parent}/x/y/z", f"{parent}/secret/x"):
                self.assert_fails(self.mirror.ensure_exists(path), NoAuthException)
            self.assertCountEqual(self.names_below(parent), ["a", "secret"])

    def test_root(self) -> None:
        """Below a root that we may not write existing nodes need not be created, nor the root itself."""
        self.world.make("/a")
        self.protect("/", Permission.READ)
        self.assert_ensured("/")
        self.assert_ensured("/a")
        self.assert_ensured("/a/b")

    def test_made_meanwhile(self) -> None:
        """A parent that another client has created just before we were refused is enough."""
        self.world.make("/r")
        self.protect("/r", Permission.READ)
        self.done(self.mirror.connect())
        for turns in range(1, 20):
            path = f"/r/{turns}"
            making = self.mirror.create_r(f"{path}/a/b")
            self.world.step(turns)
            made = self.other.create(path)
            self.settle()
            self.done(made)
            if isinstance(self.outcome(making), NoAuthException):
                making = self.mirror.create_r(f"{path}/a/b")
            self.assertEqual(self.done(making).path, f"{path}/a/b")
        self.done(Deferred.fromCoroutine(create_path(self.mirror.client, "/r/1")))

    def test_cut_off(self) -> None:
        """With the connection gone half-way it fails with that, if it does not succeed."""
        self.world.make("/r")
        self.world.make("/r/a")
        self.protect("/r")
        self.done(self.mirror.connect())
        outcomes = set()
        for turns in range(16):
            ensured = self.mirror.ensure_exists("/r/a")
            self.world.step(turns)
            self.world.link.cut()
            self.pass_time(S / 2)
            outcomes.add(type(self.outcome(ensured)))
        self.assertEqual(outcomes, {Node, ConnectionLossException})

    def names_below(self, path: str) -> list[str]:
        names: list[str] = self.done(self.other.get_children(path))
        return names

    def outcome(self, deferred: Deferred[Any]) -> object:
        """Return the result of a Deferred, or its exception."""
        return self.done(deferred.addErrback(lambda failure: failure.value))


class NewProtectedTests(ProtectedTests):
    """The same with a server that asks for the right to read where it is asked whether a node exists."""

    version = "3.9"


class JsonTests(MirrorTestCase):
    def value(self, path: str) -> Any:
        return json.loads(self.done(self.other.get(path))[0])

    def test_read(self) -> None:
        """The data of a node is decoded, each time into a new object."""
        self.world.make("/a", b'{"x": [1]}')
        node = self.mirror.get_json("/a")
        value, stat = self.done(node.value())
        self.assertEqual((value, stat.version), ({"x": [1]}, 0))
        value["x"].append(2)
        self.assertEqual(self.done(node.value())[0], {"x": [1]})
        self.assertEqual((node.path, node.node), ("/a", self.mirror.get("/a")))

    def test_not_json(self) -> None:
        """Data that is not JSON fails that reader alone, and the error has the path."""
        self.world.make("/a", b"{nonsense")
        node = self.mirror.get_json("/a")
        self.assertIn("'/a' is not JSON", str(self.assert_fails(node.value(), ValueError)))
        self.assertEqual(self.done(node.node.value())[0], b"{nonsense")
        self.world.change("/a", b"\xff\xfe")
        self.assert_fails(node.value(), ValueError)
        self.world.change("/a", b"1")
        self.assertEqual(self.done(node.value())[0], 1)

    def test_watched(self) -> None:
        """Watchers get the value, and None if the node is absent; invalid JSON is left out."""
        self.world.make("/a", b"1")
        node = self.mirror.get_json("/a")
        told: list[Any] = []
        node.addValueWatcher("me", lambda value: told.append(None if value is None else value[0]))
        self.settle()
        self.world.change("/a", b"nonsense")
        self.world.change("/a", b'"x"')
        self.world.remove("/a")
        self.assertEqual(told, [1, "x", None])
        node.delValueWatcher("me")
        self.world.make("/a", b"2")
        self.assertEqual(told, [1, "x", None])

    def test_watched_malformed(self) -> None:
        """A value of invalid JSON is one warning of one line, for any number of watchers."""
        log = record_log(self)
        self.world.make("/a", b"1")
        node = self.mirror.get_json("/a")
        told: list[Any] = []
        for key in (1, 2):
            node.addValueWatcher(key, told.append)
        self.settle()
        del told[:]
        for malformed in (b"{nonsense", b"{nonsense", b"NaN", b"[" * 50_000, b"\xff"):
            self.world.change("/a", malformed)
        texts = [text for text in log() if "JSON" in text]
        self.assertEqual((len(texts), told), (5, []))
        for text in texts:
            self.assertIn("the data of '/a' is not JSON: ", text)
            self.assertNotIn("\n", text)

    def test_watched_on_error(self) -> None:
        """``on_error`` is called with the error, and nothing is logged; if it raises, this is logged as for a watcher."""
        log = record_log(self)
        self.world.make("/a", b"nonsense")
        node = self.mirror.get_json("/a")
        told: list[Any] = []
        node.addValueWatcher("me", told.append, on_error=told.append)
        self.settle()
        self.world.change("/a", b"2")
        error, (value, _) = told
        self.assertIsInstance(error, ValueError)
        self.assertIn("'/a' is not JSON", str(error))
        self.assertEqual(value, 2)
        self.assertEqual([text for text in log() if "JSON" in text], [])
        node.addValueWatcher("me", told.append, on_error=lambda error: 1 / 0)
        self.world.change("/a", b"other nonsense")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_empty(self) -> None:
        """A node without data is read as None, by every way: it may be updated as one that is missing."""
        for number, empty in enumerate((b"", b" \n", b"\xef\xbb\xbf")):
            path = f"/{number}"
            self.world.make(path, empty)
            node = self.mirror.get_json(path)
            told: list[Any] = []
            node.addValueWatcher("me", told.append)
            value, stat = self.done(node.value())
            self.assertEqual((value, stat.dataLength), (None, len(empty)))
            self.assertEqual(told, [(None, stat)])
            # None for None is no change.
            self.assertEqual(self.done(node.update(lambda old: old))[1].version, 0)
            value, stat = self.done(node.update(lambda old: {**(old or {}), "debug": True}))
            self.assertEqual((value, stat.version, self.value(path)), ({"debug": True}, 1, {"debug": True}))

    def test_strict(self) -> None:
        """Data that could not be written again is refused, such as NaN; a byte order mark is accepted."""
        self.world.make("/a")
        node = self.mirror.get_json("/a")
        deep, deepest = [b"[" * depth + b"]" * depth for depth in (101, 100)]
        for data in (
            b"NaN",
            b"[-Infinity]",
            b"1e999",
            b"9" * 5000,
            b"[" * 50_000 + b"]" * 50_000,
            deep,
            "1".encode("utf-16"),
        ):
            self.world.change("/a", data)
            error = self.assert_fails(node.value(), ValueError)
            self.assertIn("'/a' is not JSON", str(error))
            self.assert_fails(node.update(lambda old: 1), ValueError)
        self.world.change("/a", b'\xef\xbb\xbf{"a":1}')
        self.assertEqual(self.done(node.value())[0], {"a": 1})
        self.world.change("/a", deepest)
        self.done(node.set(self.done(node.value())[0]))
        self.assertEqual(self.done(self.other.get("/a"))[0], deepest)

    def test_write(self) -> None:
        """It is created and set as JSON."""
        node = self.done(self.mirror.create_json("/a", {"b": 1, "a": None}))
        self.assertEqual(self.done(self.other.get("/a"))[0], b'{"a":null,"b":1}')
        self.done(node.set(["é"], 0))
        self.assertEqual(self.value("/a"), ["é"])
        self.done(self.mirror.create_r_json("/c/d", 1, 1))
        self.assertEqual(self.value("/c/d"), 1)
        self.done(self.mirror.get_json("/e").create({}, ephemeral=True))
        self.assertEqual(self.value("/e"), {})

    def test_what_json_cannot_say(self) -> None:
        """Data that JSON cannot represent is refused at the call, with the path, and nothing is written."""
        deep: list[Any] = []
        for _ in range(50_000):
            deep = [deep]
        values: list[tuple[object, type[Exception]]] = [
            (object(), TypeError),
            (float("nan"), ValueError),
            ({1: {2}}, TypeError),
            (deep, ValueError),
            (json.loads("[" * 101 + "]" * 101), ValueError),
            (10**5000, ValueError),
        ]
        for value, error in values:
            self.assertIn("'/a'", str(self.assertRaises(error, self.mirror.create_json, "/a", value)))
            self.assertRaises(error, self.mirror.get_json("/a").set, value, -1)
        self.assertIsNone(self.done(self.other.exists("/a")))

    def test_update(self) -> None:
        """An update makes the new out of the old, and creates where there is nothing."""
        node = self.mirror.get_json("/c/n")
        count = lambda old: (old or 0) + 1  # noqa: E731
        self.assert_fails(node.update(count), NoNodeException)
        self.assertEqual(self.done(node.update(count, makepath=True))[0], 1)
        value, stat = self.done(node.update(count))
        self.assertEqual((value, stat.version), (2, 1))
        self.assertEqual(self.value("/c/n"), 2)

    def test_update_times_out(self) -> None:
        """If the value cannot be read in time, nothing is written, and the update fails with a timeout."""
        self.done(self.mirror.connect())
        self.world.leave()
        updated = self.mirror.get_json("/never/read").update(lambda _: 1, makepath=True)
        self.pass_time(5.0)
        error = self.assert_fails(updated, OperationTimeoutException)
        assert isinstance(error, OperationTimeoutException)
        self.assertIs(error.applied, False)

    def test_update_of_nothing(self) -> None:
        """If the new value is the old one, nothing is written; a value that was changed in place is new."""
        self.world.make("/a", b'{"x": 1}')
        node = self.mirror.get_json("/a")
        _, stat = self.done(node.update(lambda old: old))
        self.assertEqual(stat.version, 0)

        def change(old: Any) -> Any:
            old["x"] = 2
            return old

        _, stat = self.done(node.update(change))
        self.assertEqual((stat.version, self.value("/a")), (1, {"x": 2}))

    def test_race(self) -> None:
        """With other writers at the same time, each update is made from the latest value."""
        self.world.make("/a", b"0")
        nodes = [self.mirror.get_json("/a"), Mirror(client=self.other, reactor=self.world.reactor).get_json("/a")]
        self.settle()
        updates = [node.update(lambda old: old + 1) for node in nodes * 5]
        self.settle()
        self.assertEqual(sorted(self.successResultOf(update)[0] for update in updates), list(range(1, 11)))
        self.assertEqual(self.value("/a"), 10)

    def test_race_to_create(self) -> None:
        """With several that want to create it, each update is made from the latest value."""
        node = self.mirror.get_json("/a")
        self.settle()
        updates = [node.update(lambda old: [*(old or []), 1]) for _ in range(4)]
        self.settle()
        for update in updates:
            self.successResultOf(update)
        self.assertEqual(self.value("/a"), [1, 1, 1, 1])

    def test_raises(self) -> None:
        """An exception of the function is the result, and nothing is written."""
        self.world.make("/a", b"0")
        self.assert_fails(self.mirror.get_json("/a").update(lambda old: old / 0), ZeroDivisionError)
        self.assertEqual(self.value("/a"), 0)

    def test_nothing_to_read(self) -> None:
        """Where there is something that is not JSON, an update fails and leaves it."""
        self.world.make("/a", b"nonsense")
        self.assert_fails(self.mirror.get_json("/a").update(lambda old: 1), ValueError)
        self.assertEqual(self.done(self.other.get("/a"))[0], b"nonsense")

    def test_lost(self) -> None:
        """A write whose answer is lost is not tried again: nobody knows whether it was done."""
        self.world.make("/a", b"0")
        node = self.mirror.get_json("/a")
        self.settle()
        self.world.server.lose_reply("set")
        update = node.update(lambda old: old + 1)
        error = self.assert_fails(update, ConnectionLossException)
        assert isinstance(error, ConnectionLossException)
        self.assertIsNone(error.applied)
        self.pass_time(3.0)
        self.assertEqual(self.value("/a"), 1)
