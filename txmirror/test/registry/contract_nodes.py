"""The part of the registries' contract that is about nodes, with ZooKeeper in reach: registering, storing, finding."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import Any

from zope.interface.verify import verifyObject

from txmirror.errors import (
    NoAuthException,
    NoChildrenForEphemeralsException,
    NodeExistsException,
    NotEmptyException,
    ReadOnly,
    RequestTooLargeException,
)
from txmirror.interfaces import IServiceRegistry
from txmirror.test.client.contract import run
from txmirror.test.registry.contract import NODE, SERVER, SERVICE, TIMEOUT, Listener, RegistryCase
from txmirror.types import OPEN_ACL, READ_ACL, NodeType, Permission, ZnodeStat, digest_acl

#: How often registries look at what servers send no event of, where tests wait for it, in seconds.
_AUDIT = 0.2
#: What only somebody else may do.
_BOBS = [digest_acl("bob", "secret")]
#: Paths that are none.
BAD_PATHS = ("/a/../b", "/a/./b", "/a\0b", "/a\ud800")
#: Data that cannot be stored, and the error.
BAD_DATA: tuple[tuple[Any, type[Exception]], ...] = (
    (b"bytes", TypeError),
    (["a list"], TypeError),
    (42, TypeError),
    ({"a": object()}, TypeError),
    ({"a": b"bytes"}, TypeError),
    ({"a": float("nan")}, ValueError),
    ({"a": float("inf")}, ValueError),
    ("\ud800", ValueError),
)


class RegisteringContract(RegistryCase):
    """Nodes that are kept in place."""

    #: What a request fails with that is over the limit.
    too_large: type[Exception] = RequestTooLargeException

    @run
    async def test_interface(self) -> None:
        """A registry provides its interface, and so do its locks."""
        registry = self.place.make()
        self.assertTrue(verifyObject(IServiceRegistry, registry))
        self.assertEqual((registry.lazy, registry.readonly, registry.timeout), (False, False, TIMEOUT))
        other = self.place.make(lazy=True, readonly=True)
        self.assertEqual((other.lazy, other.readonly), (True, True))

    @run
    async def test_as_documented(self) -> None:
        """The documents' example: a server is registered, and found. The first call connects."""
        registry = self.place.make()
        self.assertIs(await self.done(registry.set_node(NODE, data={"foo": "bar"})), True)
        answer = await self.answer(registry, SERVICE)
        self.assertEqual(list(answer), ["children", "data", "path", "stat"])
        facts: Any = answer["children"][SERVER]
        self.assertEqual(list(answer["children"]), [SERVER])
        self.assertEqual(
            (sorted(facts), facts["foo"], facts["pid"]), (["created", "created_zone", "foo", "pid"], "bar", os.getpid())
        )
        datetime.strptime(facts["created"], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - it has none
        self.assertEqual((answer["data"], answer["path"]), (None, SERVICE))
        self.assertIsInstance(answer["stat"], ZnodeStat)
        node = await self.answer(registry, NODE)
        self.assertEqual((node["data"], node["children"]), (facts, {}))

    @run
    async def test_node(self) -> None:
        """The node is ephemeral, its parents are not, and its data begins with pid and time."""
        await self.registered()
        data, stat = await self.stranger.get(NODE)
        self.assertNotEqual(stat.ephemeralOwner, 0)
        self.assertEqual(list(json.loads(data)), ["pid", "created", "created_zone", "foo"])
        for above in (SERVICE, "/services"):
            data, stat = await self.stranger.get(above)
            self.assertEqual((data, stat.ephemeralOwner), (b"", 0))

    @run
    async def test_string(self) -> None:
        """A lone string stands under ``string_value``; no data is none but where it comes from."""
        registry = await self.started()
        await self.done(registry.set_node(NODE, "my data"))
        await self.done(registry.set_node(f"{SERVICE}/b"))
        children = (await self.answer(registry, SERVICE))["children"]
        self.assertEqual(children[SERVER]["string_value"], "my data")
        self.assertEqual(sorted(children["b"] or ()), ["created", "created_zone", "pid"])

    @run
    async def test_own_origin(self) -> None:
        """``pid`` and ``created`` may be set by the caller."""
        registry = await self.started()
        await self.done(registry.set_node(NODE, {"pid": 7, "created": "long ago"}))
        answer = await self.answer(registry, NODE)
        self.assertEqual(answer["data"], {"pid": 7, "created": "long ago"})

    @run
    async def test_path_is_normalised(self) -> None:
        """Slashes are put right, as a mirror does it."""
        registry = await self.started()
        await self.done(registry.set_node("services//ssh/server1:22/", {"foo": "bar"}))
        self.assertEqual(await self.facts(NODE), {"foo": "bar"})
        self.assertEqual((await self.answer(registry, "services/ssh/"))["path"], SERVICE)

    @run
    async def test_data_is_copied(self) -> None:
        """Later changes of the caller's data have no effect."""
        registry = await self.started()
        data = {"foo": ["bar"]}
        await self.done(registry.set_node(NODE, data))
        data["foo"].append("more")
        await self.stranger.delete(NODE)
        await self.until_facts(NODE, {"foo": ["bar"]})

    @run
    async def test_again(self) -> None:
        """Registered again, a node has other data, and is the same node; with the same data nothing is written."""
        registry = await self.registered()
        before = await self.stat(NODE)
        self.assertIs(await self.done(registry.set_node(NODE, {"foo": "bar"})), True)
        self.assertEqual(await self.stat(NODE), before)
        self.assertIs(await self.done(registry.set_node(NODE, {"foo": "new"})), True)
        after = await self.stat(NODE)
        assert before is not None
        assert after is not None
        self.assertEqual((after.czxid, after.version), (before.czxid, before.version + 1))
        self.assertEqual(await self.facts(NODE), {"foo": "new"})

    @run
    async def test_taken_away(self) -> None:
        """With ``state`` False it is gone, and stays away."""
        registry = await self.registered()
        self.assertIs(await self.done(registry.set_node(NODE, state=False)), True)
        self.assertIsNone(await self.stat(NODE))
        await self.place.quiet()
        self.assertIsNone(await self.stat(NODE))
        self.assertIs(await self.done(registry.set_node(NODE, {"foo": "again"})), True)
        self.assertEqual(await self.facts(NODE), {"foo": "again"})

    @run
    async def test_never_there(self) -> None:
        """The withdrawal of a missing node succeeds, and creates nothing."""
        registry = await self.started()
        self.assertIs(await self.done(registry.set_node(NODE, state=False)), True)
        self.assertIs(await self.done(registry.set_data(NODE, state=False)), True)
        self.assertIs(await self.done(registry.unset(NODE)), True)
        self.assertIsNone(await self.stat("/services"))

    @run
    async def test_deleted(self) -> None:
        """A node that another client deletes is created again, in the same session."""
        await self.registered()
        before = await self.stat(NODE)
        await self.stranger.delete(NODE)
        after = await self.until_facts(NODE, {"foo": "bar"})
        assert before is not None
        self.assertEqual(after.ephemeralOwner, before.ephemeralOwner)
        self.assertGreater(after.czxid, before.czxid)

    @run
    async def test_overwritten(self) -> None:
        """A node that another client overwrites is corrected in place; the latest data counts."""
        registry = await self.registered()
        await self.done(registry.set_node(NODE, {"foo": "new"}))
        before = await self.stat(NODE)
        await self.stranger.set(NODE, b"\xff graffiti")

        async def put_right() -> bool:
            return (await self.stranger.get(NODE))[0] != b"\xff graffiti"

        await self.until(put_right, "it is put right")
        after = await self.until_facts(NODE, {"foo": "new"})
        assert before is not None
        self.assertEqual(after.czxid, before.czxid)

    @run
    async def test_persistent(self) -> None:
        """A persistent node is not touched: that is an error, of which nothing is kept."""
        registry = await self.started()
        await self.stranger.create(NODE, b"theirs")
        error = await self.fails(NodeExistsException, registry.set_node(NODE, {"foo": "bar"}))
        self.assertEqual(error.path, NODE)
        self.assertEqual((await self.stranger.get(NODE))[0], b"theirs")
        await self.stranger.delete(NODE)
        await self.place.quiet()
        self.assertIsNone(await self.stat(NODE))

    @run
    async def test_withdrawal_refused(self) -> None:
        """Where an ACL has come to forbid the withdrawal, the call fails with the refusal, at once, and so does another. The node
        is gone when that is allowed again, if it was not registered once more before that."""
        registry = await self.registered()
        await self.stranger.set_acl(SERVICE, [*_BOBS, *READ_ACL])
        for call in (registry.set_node(NODE, state=False), registry.unset(NODE)):
            await self.fails(NoAuthException, call)
        self.assertEqual(await self.facts(NODE), {"foo": "bar"})
        self.assertIs(await self.done(registry.set_node(NODE, {"foo": "bar"})), True)
        await self.fails(NoAuthException, registry.set_node(NODE, state=False))
        await self.stranger.set_acl(SERVICE, OPEN_ACL)
        await self.until_gone(NODE)
        self.assertIs(await self.done(registry.set_node(NODE, {"foo": "bar"})), True)

    @run
    async def test_strangers(self) -> None:
        """The registry waits while another session owns the node, and logs that once; the node is not touched."""
        registry = await self.started()
        await self.stranger.create(NODE, b"theirs", ephemeral=True)
        self.assertIs(await self.done(registry.set_node(NODE, {"foo": "bar"})), False)
        await self.place.quiet()
        self.assertEqual(len(warnings := self.warnings()), 1, warnings)
        self.assertIn(NODE, warnings[0])
        self.assertEqual((await self.stranger.get(NODE))[0], b"theirs")
        await self.stranger.delete(NODE)
        await self.until_facts(NODE, {"foo": "bar"})

    @run
    async def test_strangers_given_up(self) -> None:
        """A node withdrawn while another session's is in its place is not created later; the other stays."""
        registry = await self.started()
        await self.stranger.create(NODE, b"theirs", ephemeral=True)
        await self.done(registry.set_node(NODE, {"foo": "bar"}))
        self.assertIs(await self.done(registry.set_node(NODE, state=False)), True)
        self.assertEqual((await self.stranger.get(NODE))[0], b"theirs")
        await self.stranger.delete(NODE)
        await self.place.quiet()
        self.assertIsNone(await self.stat(NODE))

    @run
    async def test_two_registries(self) -> None:
        """If two registries want a path, the second gets it when the first has stopped."""
        first = await self.registered()
        second = await self.started()
        self.assertIs(await self.done(second.set_node(NODE, {"foo": "second"})), False)
        self.assertEqual(await self.facts(NODE), {"foo": "bar"})
        await self.done(first.stop())
        await self.until_facts(NODE, {"foo": "second"})

    @run
    async def test_refused(self) -> None:
        """A refusal of ZooKeeper fails with its exception, and nothing is kept of it."""
        registry = await self.registered()
        await self.fails(NoChildrenForEphemeralsException, registry.set_node(f"{NODE}/below"))
        await self.fails(self.too_large, registry.set_node(f"{SERVICE}/b", "x" * 0x100000))
        await self.fails(self.too_large, registry.set_node(NODE, "x" * 0x100000))
        await self.fails(self.too_large, registry.set_data("/settings", "x" * 0x100000))
        await self.stranger.delete(NODE)
        await self.until_facts(NODE, {"foo": "bar"})
        await self.place.quiet()
        self.assertEqual(await self.facts(NODE), {"foo": "bar"})
        self.assertIsNone(await self.stat(f"{SERVICE}/b"))

    @run
    async def test_wrong_arguments(self) -> None:
        """A wrong path, or data that cannot be stored, is an error at the call, read-only or not, which quotes it."""
        for registry in (await self.started(), self.place.make(readonly=True)):
            takers: tuple[Any, ...] = (registry.set_node, registry.set_data, registry.unset, registry.get)
            takers += (registry.get_lock, registry.acquire_lock, registry.release_lock, registry.stale)
            for take in (*takers, lambda path, of=registry: of.add_callback(path, len)):
                for path in BAD_PATHS:
                    error = self.assertRaises(ValueError, take, path)
                    self.assertIn(repr(path), str(error))
                self.assertRaises(TypeError, take, b"/bytes")
            self.assertRaises(ValueError, registry.set_node, "/")
            for data, kind in BAD_DATA:
                self.assertRaises(kind, registry.set_node, NODE, data)
                self.assertRaises(kind, registry.set_data, NODE, data)
        self.assertIsNone(await self.stat("/services"))

    @run
    async def test_endless_data(self) -> None:
        """Data that holds itself, or is too deep, cannot be stored either."""
        registry = await self.started()
        endless: dict[str, Any] = {}
        endless["a"] = endless
        deep: list[Any] = []
        for _ in range(5_000):
            deep = [deep]
        for data in (endless, {"a": deep}):
            self.assertRaises(ValueError, registry.set_node, NODE, data)
        # It is taken apart here, where there is time, as the interpreter might do it one call inside another.
        while deep:
            deep = deep.pop()

    @run
    async def test_readonly(self) -> None:
        """A read-only registry writes nothing, and finds all."""
        await self.registered()
        registry = await self.started(readonly=True)
        for write in (registry.set_node, registry.set_data, registry.unset, registry.get_lock, registry.acquire_lock):
            await self.fails(ReadOnly, write(NODE))
            await self.fails(ReadOnly, write("/other"))
        for kind in NodeType:
            await self.fails(ReadOnly, registry.set("/other", None, True, kind))
        for write in (registry.set_node, registry.set_data):
            await self.fails(ReadOnly, write(NODE, state=False))
        self.assertEqual((await self.answer(registry, NODE))["data"]["foo"], "bar")
        self.assertIsNone(await self.stat("/other"))

    @run
    async def test_acl(self) -> None:
        """The node and its parent have the ACL, and the nodes above are open."""
        acl = [digest_acl("bob", "secret"), digest_acl("ann", "other", Permission.READ)]
        registry = await self.started(username="bob", password="secret", acl=acl)
        self.assertIs(await self.done(registry.set_node(NODE, {"foo": "bar"})), True)
        await self.stranger.create("/services/theirs")
        plain = await self.started()
        for path in (NODE, SERVICE):
            await self.fails(NoAuthException, plain.get(path))
        await self.fails(NoAuthException, plain.set_node(f"{SERVICE}/b"))
        await self.fails(NoAuthException, plain.set_data(f"{SERVICE}/b"))
        # Once it says who it is, it may.
        self.assertIs(await self.done(plain.set_username("ann")), True)
        self.assertIs(await self.done(plain.set_password("other")), True)
        self.assertEqual((await self.answer(plain, NODE))["data"]["foo"], "bar")
        self.assertEqual(await self.done(plain.username()), "ann")
        self.assertEqual(await self.done(plain.password()), "other")

    @run
    async def test_names(self) -> None:
        """Names and passwords are returned as they were set, and a name has no colon."""
        registry = await self.started()
        self.assertIsNone(await self.done(registry.username()))
        self.assertIsNone(await self.done(registry.password()))
        for name in ("", "a:b"):
            self.assertRaises(ValueError, registry.set_username, name)
            self.assertRaises(ValueError, self.place.make, username=name)


class StoringContract(RegistryCase):
    """Nodes that are written once."""

    @run
    async def test_stored(self) -> None:
        """A persistent node is written, with the missing ones above it, and is read as any other."""
        registry = await self.started()
        self.assertIs(await self.done(registry.set_data("/app/settings", {"debug": True})), True)
        data, stat = await self.stranger.get("/app/settings")
        self.assertEqual(
            (stat.ephemeralOwner, list(json.loads(data))), (0, ["pid", "created", "created_zone", "debug"])
        )
        answer = await self.answer(registry, "/app")
        self.assertEqual(answer["children"]["settings"]["debug"], True)
        self.assertIs(await self.done(registry.set_data("/app/settings", "text")), True)
        self.assertEqual(await self.facts("/app/settings"), {"string_value": "text"})

    @run
    async def test_not_kept(self) -> None:
        """Other clients' changes to a persistent node stand, and a stop leaves it."""
        registry = await self.started()
        for name in ("a", "b"):
            await self.done(registry.set_data(f"/app/{name}", "ours"))
        await self.stranger.set("/app/a", b"theirs")
        await self.stranger.delete("/app/b")
        await self.until_children(registry, "/app", {"a": {"string_value": "theirs"}})
        await self.place.quiet()
        self.assertEqual((await self.stranger.get("/app/a"))[0], b"theirs")
        self.assertIsNone(await self.stat("/app/b"))
        await self.done(registry.stop())
        self.assertEqual((await self.stranger.get("/app/a"))[0], b"theirs")

    @run
    async def test_deleted(self) -> None:
        """With ``state`` False it is deleted, unless it has children."""
        registry = await self.started()
        await self.done(registry.set_data("/app/settings"))
        await self.fails(NotEmptyException, registry.set_data("/app", state=False))
        await self.fails(NotEmptyException, registry.unset("/app"))
        self.assertIs(await self.done(registry.set_data("/app/settings", state=False)), True)
        self.assertIsNone(await self.stat("/app/settings"))

    @run
    async def test_ephemeral(self) -> None:
        """An ephemeral node is none of those, whose ever it is."""
        registry = await self.registered()
        await self.stranger.create("/theirs", b"theirs", ephemeral=True)
        for path in (NODE, "/theirs"):
            for state in (True, False):
                error = await self.fails(NodeExistsException, registry.set_data(path, "ours", state=state))
                self.assertEqual(error.path, path)
        self.assertEqual(await self.facts(NODE), {"foo": "bar"})
        self.assertEqual((await self.stranger.get("/theirs"))[0], b"theirs")

    @run
    async def test_set(self) -> None:
        """``set`` makes the one or the other."""
        registry = await self.started()
        self.assertIs(await self.done(registry.set(NODE, "a", True, NodeType.EPHEMERAL)), True)
        self.assertIs(await self.done(registry.set("/app", "b", True, NodeType.DATA)), True)
        owners = [stat.ephemeralOwner != 0 for stat in (await self.stat(NODE), await self.stat("/app")) if stat]
        self.assertEqual(owners, [True, False])
        self.assertIs(await self.done(registry.set(NODE, None, False, NodeType.EPHEMERAL)), True)
        self.assertIs(await self.done(registry.set("/app", None, False, NodeType.DATA)), True)
        self.assertEqual((await self.stat(NODE), await self.stat("/app")), (None, None))

    @run
    async def test_unset(self) -> None:
        """``unset`` deletes a node that is registered here, or a persistent node; another session's stays."""
        registry = await self.registered()
        await self.done(registry.set_data("/app"))
        await self.stranger.create("/theirs", b"theirs", ephemeral=True)
        self.assertIs(await self.done(registry.unset(NODE)), True)
        self.assertIs(await self.done(registry.unset("/app")), True)
        await self.fails(NodeExistsException, registry.unset("/theirs"))
        await self.place.quiet()
        self.assertEqual((await self.stat(NODE), await self.stat("/app")), (None, None))
        self.assertIsNotNone(await self.stat("/theirs"))


class FindingContract(RegistryCase):
    """Answers, and the callbacks for their changes."""

    async def listening(self, path: str = SERVICE, **options: Any) -> tuple[IServiceRegistry, Listener]:
        """Make a registry that follows a path, and a callback that was called once."""
        registry = await self.started(**options)
        listener = Listener()
        self.addCleanup(lambda: self.assertFalse(listener.repeated, listener.told))
        answer = await self.done(registry.get(path, listener))
        self.assertEqual(listener.told, [answer])
        return registry, listener

    async def until_told(self, listener: Listener, last: dict[str, Any]) -> None:
        """Wait until a listener got these children last."""
        await self.until(lambda: listener.children[-1:] == [last], f"{last!r} is told of")

    @run
    async def test_missing(self) -> None:
        """A missing node has an answer too, and callbacks get its creation and its deletion."""
        registry, listener = await self.listening()
        self.assertEqual(listener.told, [{"children": {}, "data": None, "path": SERVICE, "stat": None}])
        await self.stranger.create(f"{SERVICE}/a", b"1")
        await self.until_told(listener, {"a": {"string_value": "1"}})
        self.assertIsNotNone(listener.told[-1]["stat"])
        await self.stranger.delete(f"{SERVICE}/a")
        await self.stranger.delete(SERVICE)
        await self.until(lambda: listener.told[-1]["stat"] is None, "that it has gone")
        self.assertEqual(await self.answer(registry, SERVICE), listener.told[-1])

    @run
    async def test_told(self) -> None:
        """Each change is reported: a child that is created, changed or deleted, and the node's own data."""
        for name in ("a", "b"):
            await self.stranger.create(f"{SERVICE}/{name}", b"{}")
        registry, listener = await self.listening()
        await self.stranger.create(f"{SERVICE}/c", b'{"n":1}')
        await self.until_told(listener, {"a": {}, "b": {}, "c": {"n": 1}})
        await self.stranger.set(f"{SERVICE}/b", b'{"n":2}')
        await self.until_told(listener, {"a": {}, "b": {"n": 2}, "c": {"n": 1}})
        await self.stranger.delete(f"{SERVICE}/a")
        await self.until_told(listener, {"b": {"n": 2}, "c": {"n": 1}})
        await self.stranger.set(SERVICE, b"own data")
        await self.until(lambda: listener.told[-1]["data"] == {"string_value": "own data"}, "its own data")
        self.assertEqual(len(listener.children), 4)
        self.assertEqual(await self.answer(registry, SERVICE), listener.told[-1])

    @run
    async def test_not_told(self) -> None:
        """A change that does not change the answer is not notified: the same data again, or nodes below the children."""
        await self.stranger.create(f"{SERVICE}/a", b"{}")
        registry, listener = await self.listening()
        await self.stranger.set(f"{SERVICE}/a", b"{}")
        await self.stranger.create(f"{SERVICE}/a/below", b"1")
        await self.stranger.create("/elsewhere", b"1")
        self.assertIsNotNone(await self.answer(registry, "/elsewhere"))
        await self.place.quiet()
        self.assertEqual(len(listener.told), 1)

    @run
    async def test_callbacks(self) -> None:
        """A callback counts once for a path, and is called at once; removed, it is called no more."""
        registry, listener = await self.listening()
        other = Listener()
        self.assertIs(await self.done(registry.add_callback(SERVICE, listener)), True)
        await self.answer(registry, SERVICE)
        await self.done(registry.get(SERVICE, listener))
        self.assertIs(await self.done(registry.add_callback(SERVICE, other)), True)
        self.assertEqual((len(listener.told), len(other.told)), (1, 1))
        registry.remove_callback(SERVICE, listener)
        registry.remove_callback(SERVICE, listener)
        registry.remove_callback("/never/heard/of", listener)
        await self.stranger.create(f"{SERVICE}/a")
        await self.until_told(other, {"a": None})
        self.assertEqual(len(listener.told), 1)

    @run
    async def test_callback_raises(self) -> None:
        """A callback that raises is logged, disturbs nobody, and goes on being called."""
        registry, listener = await self.listening()
        told = []

        def bad(answer: Any) -> None:
            told.append(answer)
            raise RuntimeError("a bad callback")

        self.assertIs(await self.done(registry.add_callback(SERVICE, bad)), True)
        late = Listener()
        await self.done(registry.add_callback(SERVICE, late))
        await self.stranger.create(f"{SERVICE}/a")
        await self.until_told(late, {"a": None})
        await self.until_told(listener, {"a": None})
        self.assertEqual(told, late.told)
        errors = self.flushLoggedErrors(RuntimeError)
        self.assertEqual(len(errors), len(told))

    @run
    async def test_callback_calls(self) -> None:
        """A callback may call anything: here it registers, and removes itself."""
        registry = await self.started()

        def register(answer: Any) -> None:
            registry.remove_callback(SERVICE, register)
            registry.set_node(NODE, {"foo": "bar"})

        await self.done(registry.add_callback(SERVICE, register))
        await self.until_facts(NODE, {"foo": "bar"})
        await self.until_children(registry, SERVICE, {SERVER: {"foo": "bar"}})

    @run
    async def test_own_copy(self) -> None:
        """An answer is the caller's own copy, and so is the argument of a callback."""
        await self.stranger.create(f"{SERVICE}/a", b'{"list":[1]}')
        registry, listener = await self.listening()
        for mine in (await self.answer(registry, SERVICE), listener.told[0]):
            mine["children"]["a"]["list"].append(2)
            mine["children"]["b"] = None
            mine["path"] = "/elsewhere"
        listener.told.clear()
        second = Listener()
        await self.done(registry.get(SERVICE, second))
        answer = await self.answer(registry, SERVICE)
        self.assertEqual((answer["children"], answer["path"]), ({"a": {"list": [1]}}, SERVICE))
        self.assertEqual(second.told, [answer])

    @run
    async def test_foreign(self) -> None:
        """Other programs' data is read as far as possible: text, nothing, JSON that is no object, or invalid JSON."""
        texts = {
            "a": b"text",
            "b": b"",
            "c": b"  ",
            "d": b"[1,2]",
            "e": b"{not json}",
            "f": b'{"foo":1}',
            "g": b" 42\n",
        }
        for name, data in texts.items():
            await self.stranger.create(f"{SERVICE}/{name}", data)
        registry = await self.started()
        expected: dict[str, Any] = {"b": None, "c": {}, "f": {"foo": 1}}
        for name, text in {"a": "text", "d": "[1,2]", "e": "{not json}", "g": "42"}.items():
            expected[name] = {"string_value": text}
        self.assertEqual((await self.answer(registry, SERVICE))["children"], expected)
        self.assertEqual(self.warnings(), [])

    @run
    async def test_hostile(self) -> None:
        """A child that cannot be decoded is left out, and reported once, in one line; nothing else is disturbed."""
        await self.stranger.create(f"{SERVICE}/good", b"{}")
        registry, listener = await self.listening()
        hostile = {"binary": b"\xff\n\xfe", "deep": b'{"a":%b%b}' % (b"[" * 100_000, b"]" * 100_000)}
        for name, data in hostile.items():
            await self.stranger.create(f"{SERVICE}/{name}", data)
            await self.stranger.create(f"{SERVICE}/after-{name}", b"{}")
        good: dict[str, Any] = {"good": {}, "after-binary": {}, "after-deep": {}}
        await self.until_told(listener, good)
        await self.place.quiet()
        self.assertEqual((await self.answer(registry, SERVICE))["children"], good)
        warnings = self.warnings()
        for name in hostile:
            self.assertEqual(len([line for line in warnings if f"{SERVICE}/{name}" in line]), 1, warnings)
        self.assertEqual(len(warnings), 2)
        self.assertFalse([line for line in warnings if "\n" in line or len(line) > 500])
        # It is there as soon as it says something, and left out again when it does not.
        await self.stranger.set(f"{SERVICE}/deep", b'{"n":1}')
        await self.until_told(listener, {**good, "deep": {"n": 1}})
        await self.stranger.set(f"{SERVICE}/deep", b"\xff")
        await self.until_told(listener, good)
        self.assertEqual(len(self.warnings()), 1)

    @run
    async def test_hostile_itself(self) -> None:
        """A node whose own data cannot be decoded has none, and is reported once; it is there."""
        await self.stranger.create(f"{SERVICE}/a", b"{}")
        await self.stranger.set(SERVICE, b"\xff")
        registry = await self.started()
        answer = await self.answer(registry, SERVICE)
        self.assertEqual((answer["data"], answer["children"]), (None, {"a": {}}))
        self.assertIsNotNone(answer["stat"])
        self.assertEqual(len(warnings := self.warnings()), 1, warnings)

    @run
    async def test_unreadable_child(self) -> None:
        """A child that may not be read is left out and named, and the answer is stale until it is gone."""
        await self.stranger.create(f"{SERVICE}/good", b"{}")
        await self.stranger.create(f"{SERVICE}/secret", b"{}", acl=[digest_acl("bob", "secret")])
        registry, listener = await self.listening()
        self.assertEqual(listener.children, [{"good": {}}])
        unreadable = registry.unreadable(SERVICE)
        self.assertEqual(list(unreadable), [f"{SERVICE}/secret"])
        self.assertIsInstance(unreadable[f"{SERVICE}/secret"], NoAuthException)
        unreadable.clear()
        self.assertEqual(list(registry.unreadable(SERVICE)), [f"{SERVICE}/secret"])
        self.assertTrue(registry.stale(SERVICE))
        await self.stranger.delete(f"{SERVICE}/secret")
        await self.until(lambda: not registry.unreadable(SERVICE), "it is known to be gone")
        self.assertFalse(registry.stale(SERVICE))
        self.assertEqual(listener.children, [{"good": {}}])

    @run
    async def test_hidden_and_deleted(self) -> None:
        """An instance that is protected, of which servers send no event, and then deleted, of which they send none either, is
        known to be gone after a while."""
        for name in ("a", "b"):
            await self.stranger.create(f"{SERVICE}/{name}", b"{}")
        registry, listener = await self.listening(audit=_AUDIT)
        await self.stranger.set_acl(f"{SERVICE}/a", _BOBS)
        await self.stranger.delete(f"{SERVICE}/a")
        await self.until(lambda: listener.children[-1] == {"b": {}}, "it is known to be gone")
        await self.until(lambda: not registry.stale(SERVICE), "nothing is unreadable any more")
        self.assertEqual(registry.unreadable(SERVICE), {})
        self.assertEqual((await self.answer(registry, SERVICE))["stat"].numChildren, 1)

    @run
    async def test_hidden(self) -> None:
        """An instance that is protected is named after a while, and so is one that is created so; the answer is stale until
        all can be read again. The stat counts them all the same: it is the server's."""
        await self.stranger.create(f"{SERVICE}/a", b"{}")
        await self.stranger.create(f"{SERVICE}/b", b"{}")
        registry, listener = await self.listening(audit=_AUDIT)
        await self.stranger.set_acl(f"{SERVICE}/a", _BOBS)
        await self.until(lambda: list(registry.unreadable(SERVICE)) == [f"{SERVICE}/a"], "it is named")
        self.assertTrue(registry.stale(SERVICE))
        await self.stranger.create(f"{SERVICE}/c", b"{}", acl=_BOBS)
        hidden = [f"{SERVICE}/a", f"{SERVICE}/c"]
        await self.until(lambda: sorted(registry.unreadable(SERVICE)) == hidden, "both are named")
        await self.until(lambda: listener.told[-1]["stat"].numChildren == 3, "the stat counts it")
        self.assertNotIn("c", listener.told[-1]["children"])
        self.assertEqual(listener.told[-1]["stat"], await self.stat(SERVICE))
        for path in hidden:
            await self.stranger.set_acl(path, OPEN_ACL)
        await self.until(lambda: list(listener.children[-1]) == ["a", "b", "c"], "c is shown")
        # What is known of a is shown all the time; it is read again by itself.
        await self.until(lambda: not registry.stale(SERVICE), "a is read too")
        self.assertEqual(registry.unreadable(SERVICE), {})

    @run
    async def test_path_hidden(self) -> None:
        """A path that becomes protected is listed as unreadable after a while; the known answer stays."""
        await self.stranger.create(f"{SERVICE}/a", b"{}")
        registry, listener = await self.listening(audit=_AUDIT)
        await self.stranger.set_acl(SERVICE, _BOBS)
        await self.until(lambda: SERVICE in registry.unreadable(SERVICE), "it is named")
        self.assertTrue(registry.stale(SERVICE))
        self.assertEqual(listener.children, [{"a": {}}])
        self.assertEqual(list((await self.answer(registry, SERVICE))["children"]), ["a"])
        await self.stranger.set_acl(SERVICE, OPEN_ACL)
        await self.until(lambda: not registry.stale(SERVICE), "it is read again")

    @run
    async def test_stat(self) -> None:
        """The stat is the server's own, whichever children come and go."""
        await self.stranger.create(f"{SERVICE}/a", b"{}")
        registry, listener = await self.listening()
        for number in range(3):
            await self.stranger.create(f"{SERVICE}/b{number}", b"{}")
        await self.stranger.delete(f"{SERVICE}/a")
        stat = await self.stat(SERVICE)
        await self.until(lambda: listener.told[-1]["stat"] == stat, f"the stat is {stat}")
        self.assertEqual((await self.answer(registry, SERVICE))["stat"], stat)
        self.assertEqual(listener.told[-1]["stat"].numChildren, 3)

    @run
    async def test_readable(self) -> None:
        """Where everything is read, nothing is named; nor for a path that was never asked for."""
        registry, _ = await self.listening()
        self.assertEqual(registry.unreadable(SERVICE), {})
        self.assertFalse(registry.stale(SERVICE))
        self.assertEqual(registry.unreadable("/never/asked/for"), {})
        self.assertRaises(ValueError, registry.unreadable, "a//../b")

    @run
    async def test_huge(self) -> None:
        """Data as large as ZooKeeper takes it is read, or reported; nothing else is disturbed."""
        await self.stranger.create(f"{SERVICE}/good", b"{}")
        await self.stranger.create(f"{SERVICE}/huge", b'{"a":"%b"}' % (b"x" * 1_000_000))
        await self.stranger.create(f"{SERVICE}/number", b'{"a":%b}' % (b"9" * 100_000))
        registry = await self.started()
        children = (await self.answer(registry, SERVICE))["children"]
        self.assertEqual(children["good"], {})
        left_out = {"huge", "number"} - children.keys()
        self.assertEqual(len(self.warnings()), len(left_out))

    @run
    async def test_state(self) -> None:
        """The callback gets the state at once, and each change once; adding it twice counts once."""
        registry = self.place.make()
        listener = Listener()
        self.assertIs(await self.done(registry.get_state(listener)), False)
        self.assertEqual(listener.told, [False])
        await self.done(registry.start())
        self.assertIs(await self.done(registry.get_state(listener)), True)
        self.assertIs(await self.done(registry.get_state()), True)
        self.assertEqual(listener.told, [False, True])
        await self.place.leave(registry)
        self.assertIs(await self.done(registry.get_state()), False)
        await self.place.come_back(registry)
        self.assertEqual(listener.told, [False, True, False, True])
        await self.done(registry.stop())
        self.assertIs(await self.done(registry.get_state()), False)
        self.assertEqual(listener.told, [False, True, False, True, False])

    @run
    async def test_state_callback_raises(self) -> None:
        """A state callback that raises is logged, and disturbs nobody."""
        registry = self.place.make()

        def bad(state: bool) -> None:
            raise RuntimeError("a bad callback")

        listener = Listener()
        await self.done(registry.get_state(bad))
        await self.done(registry.get_state(listener))
        await self.done(registry.start())
        await self.done(registry.stop())
        self.assertEqual(listener.told, [False, True, False])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 3)
