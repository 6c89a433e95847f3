"""The part of the registries' contract that is about ZooKeeper going away, sessions that end, and registries that stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.errors import NoConnection, NodeExistsException, ReadOnly
from txmirror.interfaces import IServiceRegistry
from txmirror.test.client.contract import run
from txmirror.test.registry.contract import NODE, SERVER, SERVICE, TIMEOUT, Listener, RegistryCase, fired
from txmirror.types import digest_acl

OTHER = f"{SERVICE}/b"


class OutageContract(RegistryCase):
    """ZooKeeper out of reach, for longer than ``timeout``: which has to go by, and so this is for where that costs nothing."""

    async def away(self, **options: Any) -> IServiceRegistry:
        """Make a registry that has never reached ZooKeeper."""
        registry = self.place.make(**options)
        await self.place.leave(registry)
        return registry

    # From the start.

    @run
    async def test_start(self) -> None:
        """A start fails in an outage; a later one succeeds."""
        registry = await self.away()
        await self.out_of_reach(registry.start())
        await self.place.come_back(registry, connects=False)
        self.assertIs(await self.place.in_time(registry.start(), TIMEOUT), True)

    @run
    async def test_start_lazily(self) -> None:
        """The start of a lazy registry fires with False, and it connects when it can."""
        registry = await self.away(lazy=True)
        await self.put_off(registry.start())
        await self.place.come_back(registry)
        self.assertIs(await self.done(registry.get_state()), True)

    @run
    async def test_calls(self) -> None:
        """Writes fail, and a first ``get``. Nothing is kept of them, not even the callback."""
        registry = await self.away()
        listener = Listener()
        await self.out_of_reach(registry.set_node(NODE, {"foo": "bar"}))
        await self.out_of_reach(registry.set_data("/app"))
        await self.out_of_reach(registry.unset("/app"))
        await self.out_of_reach(registry.get(SERVICE, listener))
        await self.out_of_reach(registry.add_callback(SERVICE, listener))
        self.assertTrue(registry.stale(SERVICE))
        await self.place.come_back(registry, connects=False)
        await self.place.quiet()
        self.assertEqual((await self.stat(NODE), await self.stat("/app")), (None, None))
        await self.stranger.create(f"{SERVICE}/theirs")
        await self.place.quiet()
        self.assertEqual(listener.told, [])
        self.assertEqual(list((await self.answer(registry, SERVICE))["children"]), ["theirs"])

    @run
    async def test_calls_lazily(self) -> None:
        """A lazy registry postpones calls, logs each of them once, and completes them when it can."""
        await self.stranger.create("/old", b"old")
        registry = await self.away(lazy=True)
        got, added = Listener(), Listener()
        await self.put_off(registry.set_node(NODE, {"foo": "bar"}))
        await self.put_off(registry.set_data("/app", "ours"))
        await self.put_off(registry.unset("/old"))
        await self.put_off(registry.get(SERVICE, got))
        await self.put_off(registry.add_callback(SERVICE, added))
        self.assertEqual((got.told, added.told), ([], []))
        self.assertTrue(registry.stale(SERVICE))
        await self.place.come_back(registry)
        await self.until_facts(NODE, {"foo": "bar"})
        await self.until_facts("/app", {"string_value": "ours"})
        await self.until_gone("/old")
        for listener in (got, added):
            await self.until(lambda it=listener: it.children[-1:] == [{SERVER: {"foo": "bar"}}], "what is told")  # type: ignore[misc]
            self.assertFalse(listener.repeated)
        await self.until(lambda: not registry.stale(SERVICE), "it is up to date")

    @run
    async def test_last_wish_counts(self) -> None:
        """Of postponed calls for one path, only the last is carried out."""
        registry = await self.away(lazy=True)
        await self.stranger.create(f"{SERVICE}/theirs")
        before = await self.stat(SERVICE)
        for path in (NODE, OTHER):
            await self.put_off(registry.set_node(path, {"foo": "old"}))
            # Whether that has to wait is no matter: nothing is there.
            await self.place.in_time(registry.set_node(path, state=False), TIMEOUT + 1)
            self.warnings()
        await self.put_off(registry.set_node(OTHER, {"foo": "new"}))
        await self.place.come_back(registry)
        stat = await self.until_facts(OTHER, {"foo": "new"})
        await self.place.quiet()
        self.assertIsNone(await self.stat(NODE))
        self.assertEqual(stat.version, 0)
        after = await self.stat(SERVICE)
        assert before is not None
        assert after is not None
        self.assertEqual(after.cversion, before.cversion + 1)

    @run
    async def test_known(self) -> None:
        """Known answers are returned at once, and are stale until ZooKeeper is back; then changes are notified."""
        await self.known(lazy=False)

    @run
    async def test_known_lazily(self) -> None:
        """A lazy registry returns known answers at once; they are stale until ZooKeeper is back, and then changes are
        notified.
        """
        await self.known(lazy=True)

    async def known(self, lazy: bool) -> None:
        registry = await self.registered(lazy=lazy)
        listener = Listener()
        answer = await self.done(registry.get(SERVICE, listener))
        self.assertFalse(registry.stale(SERVICE))
        self.assertTrue(registry.stale("/never/asked/for"))
        await self.place.leave(registry)
        self.assertEqual(await self.done(registry.get(SERVICE)), answer)
        await self.place.pass_time(TIMEOUT + 1)
        self.assertEqual(await self.done(registry.get(SERVICE)), answer)
        late = Listener()
        self.assertIs(await self.done(registry.add_callback(SERVICE, late)), True)
        self.assertEqual((late.told, listener.told), ([answer], [answer]))
        self.assertTrue(registry.stale(SERVICE))
        await self.stranger.create(OTHER, b"{}")
        await self.place.quiet()
        self.assertEqual(listener.told, [answer])
        self.assertEqual(self.warnings(), [])
        await self.place.come_back(registry)
        # In a new session our own node is another one, and may be seen to go and to come.
        expected = {SERVER: {"foo": "bar"}, "b": {}}
        for each in (listener, late):
            await self.until(lambda it=each: it.children[-1] == expected, "what is new")  # type: ignore[misc]
            self.assertFalse(each.repeated)
        await self.until(lambda: not registry.stale(SERVICE), "it is up to date")

    @run
    async def test_write_fails(self) -> None:
        """Of a write that fails because ZooKeeper is out of reach, nothing is kept: it is as it was wanted before."""
        registry = await self.registered()
        await self.place.leave(registry)
        await self.out_of_reach(registry.set_node(NODE, {"foo": "new"}))
        await self.out_of_reach(registry.set_node(OTHER))
        await self.out_of_reach(registry.set_data("/app"))
        await self.place.come_back(registry)
        await self.until_facts(NODE, {"foo": "bar"})
        await self.place.quiet()
        self.assertEqual(await self.facts(NODE), {"foo": "bar"})
        self.assertEqual((await self.stat(OTHER), await self.stat("/app")), (None, None))

    @run
    async def test_changed_lazily(self) -> None:
        """Of changes during an outage, a lazy registry registers only the latest, at once."""
        registry = await self.registered(lazy=True)
        await self.place.leave(registry, session_ends=True)
        await self.put_off(registry.set_node(NODE, {"foo": "new"}))
        await self.place.come_back(registry)
        self.assertEqual((await self.until_facts(NODE, {"foo": "new"})).version, 0)

    async def unregister(
        self, registry: IServiceRegistry, call: Callable[[], Deferred[bool]], session_ends: bool
    ) -> None:
        """Unregister meanwhile, and see that it never comes back, not for a moment."""
        await self.stranger.create(f"{SERVICE}/theirs")
        before = await self.stat(SERVICE)
        await self.place.leave(registry, session_ends=session_ends)
        await (self.put_off if registry.lazy else self.out_of_reach)(call())
        await self.place.come_back(registry, connects=registry.lazy)
        await self.until_gone(NODE)
        await self.place.quiet()
        self.assertIsNone(await self.stat(NODE))
        after = await self.stat(SERVICE)
        assert before is not None
        assert after is not None
        self.assertEqual(after.cversion, before.cversion + 1, "it went, and nothing came")

    @run
    async def test_unset_meanwhile(self) -> None:
        """A withdrawal in an outage is done when ZooKeeper is back, though the call has failed."""
        registry = await self.registered()
        await self.unregister(registry, lambda: registry.unset(NODE), session_ends=False)

    @run
    async def test_unset_meanwhile_lazily(self) -> None:
        """A lazy registry withdraws a node in an outage when ZooKeeper is back."""
        registry = await self.registered(lazy=True)
        await self.unregister(registry, lambda: registry.unset(NODE), session_ends=False)

    @run
    async def test_unset_and_session_ends(self) -> None:
        """A node that is withdrawn in an outage does not come back in the next session."""
        registry = await self.registered()
        await self.unregister(registry, lambda: registry.set_node(NODE, state=False), session_ends=True)

    @run
    async def test_unset_lazily_and_session_ends(self) -> None:
        """A node that a lazy registry withdraws in an outage does not come back in the next session."""
        registry = await self.registered(lazy=True)
        await self.unregister(registry, lambda: registry.set_node(NODE, state=False), session_ends=True)

    @run
    async def test_credentials(self) -> None:
        """Credentials may be added in an outage, and count later."""
        for lazy in (False, True):
            registry = await self.started(lazy=lazy, username="bob", password="secret")
            await self.place.leave(registry)
            self.warnings()
            await (self.put_off if lazy else self.out_of_reach)(registry.set_username("ann"))
            self.assertEqual(await self.done(registry.username()), "ann")
            await self.place.come_back(registry, connects=lazy)
            await self.stranger.create(f"/hers-{lazy}", acl=[digest_acl("ann", "secret")])
            answer = await self.place.in_time(registry.get(f"/hers-{lazy}"), 2 * TIMEOUT)
            assert answer is not False
            self.assertIsNotNone(answer["stat"])

    @run
    async def test_stop_at_any_time(self) -> None:
        """stop() may be called before the start, and with ZooKeeper out of reach, and takes a bounded time."""
        never = self.place.make()
        await self.place.in_time(never.stop(), TIMEOUT)
        registry = await self.registered()
        await self.place.leave(registry)
        await self.place.in_time(registry.stop(), 4 * TIMEOUT)
        await self.place.come_back(registry, connects=False)
        await self.until_gone(NODE)
        await self.place.quiet()
        self.assertIsNone(await self.stat(NODE))

    @run
    async def test_rebuild_out_of_reach(self) -> None:
        """With ZooKeeper out of reach it is as with a start; to stop before takes its own time."""
        registry = await self.registered()
        lazy = await self.started(lazy=True)
        for each in (registry, lazy):
            await self.place.leave(each)
        await self.out_of_reach(registry.rebuild(), 5 * TIMEOUT)
        await self.put_off(lazy.rebuild(), 5 * TIMEOUT)
        await self.place.come_back(lazy)
        self.assertIs(await self.done(lazy.get_state()), True)

    @run
    async def test_stopped_meanwhile(self) -> None:
        """A stop ends all that waits."""
        registry = await self.started()
        calls: list[Deferred[Any]] = []
        await self.place.leave(registry)
        calls += [registry.set_node(NODE), registry.get(SERVICE), registry.start()]
        await self.place.in_time(registry.stop(), 4 * TIMEOUT)
        for call in calls:
            await self.out_of_reach(call)

    @run
    async def test_readonly(self) -> None:
        """Where nothing may be written, that is why, and not that ZooKeeper is away."""
        for lazy in (True, False):
            registry = await self.away(readonly=True, lazy=lazy)
            await self.fails(ReadOnly, registry.set_node(NODE))
            await self.fails(ReadOnly, registry.set_data(NODE))
            await self.fails(ReadOnly, registry.unset(NODE))
            await self.fails(ReadOnly, registry.get_lock("/lock"))

    # After it was there.


class SessionContract(RegistryCase):
    """Interruptions: the connection blinks, the session ends, the registry is stopped, started, or built anew."""

    @run
    async def test_blink(self) -> None:
        """Without changes in between nothing is written, and no callback is called: healthy nodes do not blink."""
        registry = await self.registered()
        listener = Listener()
        answer = await self.done(registry.get(SERVICE, listener))
        before = await self.stat(NODE), await self.stat(SERVICE)

        async def nothing() -> None: ...

        await self.place.blink(registry, nothing)
        await self.until(lambda: not registry.stale(SERVICE), "it is up to date")
        await self.place.quiet()
        after = await self.stat(NODE), await self.stat(SERVICE)
        if self.resumes_sessions:
            self.assertEqual(after, before)
            self.assertEqual(listener.told, [answer])
        else:
            # The node is the next session's by then, and was never away.
            owners = {None if stat is None else stat.ephemeralOwner for stat in (before[0], after[0])}
            self.assertEqual((len(owners), None in owners), (2, False))
            self.assertEqual(listener.children, [listener.children[0]] * len(listener.told))
            self.assertEqual(set(listener.children[0]), {SERVER})

    @run
    async def test_changed_in_a_blink(self) -> None:
        """Changes during a short disconnection are corrected, and notified."""
        registry = await self.registered()
        await self.done(registry.set_node(OTHER, {"foo": "b"}))
        listener = Listener()
        await self.done(registry.get(SERVICE, listener))

        async def change() -> None:
            await self.stranger.delete(NODE)
            await self.stranger.set(OTHER, b'{"foo":"theirs"}')
            await self.stranger.create(f"{SERVICE}/theirs", b"{}")

        await self.place.blink(registry, change)
        await self.until_facts(NODE, {"foo": "bar"})
        await self.until_facts(OTHER, {"foo": "b"})
        expected = {SERVER: {"foo": "bar"}, "b": {"foo": "b"}, "theirs": {}}
        await self.until(lambda: listener.children[-1] == expected, "what has changed")
        self.assertFalse(listener.repeated)

    @run
    async def test_session_ends(self) -> None:
        """In a new session all is registered anew, as it was last wanted, and followed as before."""
        registry = await self.registered()
        await self.done(registry.set_node(NODE, {"foo": "new"}))
        await self.done(registry.set_node(OTHER))
        await self.done(registry.unset(OTHER))
        listener = Listener()
        await self.done(registry.get(SERVICE, listener))
        before = await self.stat(NODE)
        await self.place.end_session(registry)
        after = await self.until_facts(NODE, {"foo": "new"})
        assert before is not None
        self.assertNotEqual(after.ephemeralOwner, before.ephemeralOwner)
        await self.stranger.create(f"{SERVICE}/theirs", b"{}")
        await self.until(
            lambda: listener.children[-1] == {SERVER: {"foo": "new"}, "theirs": {}}, "what is new in the new session"
        )
        self.assertIsNone(await self.stat(OTHER))
        self.assertFalse(listener.repeated)

    @run
    async def test_stop(self) -> None:
        """After a stop, nothing is registered; known answers can be read, and are stale."""
        registry = await self.registered()
        answer = await self.answer(registry, SERVICE)
        await self.place.in_time(registry.stop(), TIMEOUT)
        self.assertIsNone(await self.stat(NODE))
        self.assertEqual(await self.done(registry.get(SERVICE)), answer)
        self.assertTrue(registry.stale(SERVICE))
        await self.place.in_time(registry.stop(), TIMEOUT)

    @run
    async def test_stopped(self) -> None:
        """Stopped, nothing connects but a start, and all else fails; nothing is kept of it."""
        await self.stopped(await self.registered())

    @run
    async def test_stopped_lazily(self) -> None:
        """A stopped lazy registry connects only at a start, and all other calls fail; nothing is kept of them."""
        await self.stopped(await self.registered(lazy=True))

    async def stopped(self, registry: IServiceRegistry) -> None:
        await self.done(registry.stop())
        await self.out_of_reach(registry.set_node(OTHER))
        await self.out_of_reach(registry.set_data("/app"))
        await self.out_of_reach(registry.get("/app"))
        await self.place.quiet()
        self.assertIs(await self.done(registry.get_state()), False)
        self.assertIs(await self.done(registry.start()), True)
        await self.until_facts(NODE, {"foo": "bar"})
        await self.place.quiet()
        self.assertEqual((await self.stat(OTHER), await self.stat("/app")), (None, None))

    @run
    async def test_unset_while_stopped(self) -> None:
        """A service that is unregistered while the registry is stopped is not registered at its start."""
        registry = await self.registered()
        await self.done(registry.set_node(OTHER, {"foo": "b"}))
        await self.done(registry.stop())
        # Nothing of it is there: that may be so at once.
        await self.place.in_time(registry.unset(NODE).addErrback(lambda failure: failure.trap(NoConnection)), TIMEOUT)
        self.assertIs(await self.done(registry.start()), True)
        await self.until_facts(OTHER, {"foo": "b"})
        await self.place.quiet()
        self.assertIsNone(await self.stat(NODE))

    @run
    async def test_started_again(self) -> None:
        """After another start, everything is registered and followed as before; changes in between are reported."""
        registry = await self.registered()
        listener = Listener()
        await self.done(registry.get(SERVICE, listener))
        await self.done(registry.stop())
        await self.stranger.create(f"{SERVICE}/theirs", b"{}")
        await self.place.quiet()
        count = len(listener.told)
        self.assertIs(await self.done(registry.start()), True)
        await self.until_facts(NODE, {"foo": "bar"})
        await self.until(
            lambda: listener.children[-1] == {SERVER: {"foo": "bar"}, "theirs": {}}, "what is new after the start"
        )
        self.assertGreater(len(listener.told), count)
        self.assertFalse(listener.repeated)
        await self.until(lambda: not registry.stale(SERVICE), "it is up to date")

    @run
    async def test_start_again_and_again(self) -> None:
        """The start of a started registry changes nothing."""
        registry = await self.registered()
        before = await self.stat(NODE)
        self.assertIs(await self.done(registry.start()), True)
        await self.place.quiet()
        self.assertEqual(await self.stat(NODE), before)

    @run
    async def test_rebuild(self) -> None:
        """Built anew it has another session, in which all is registered and followed."""
        registry = await self.registered()
        listener = Listener()
        await self.done(registry.get(SERVICE, listener))
        before = await self.stat(NODE)
        self.assertIs(await self.place.in_time(registry.rebuild(), TIMEOUT), True)
        after = await self.until_facts(NODE, {"foo": "bar"})
        assert before is not None
        self.assertNotEqual(after.ephemeralOwner, before.ephemeralOwner)
        await self.stranger.create(f"{SERVICE}/theirs", b"{}")
        await self.until(
            lambda: listener.children[-1] == {SERVER: {"foo": "bar"}, "theirs": {}}, "what is new in the new session"
        )
        self.assertFalse(listener.repeated)

    @run
    async def test_rebuild_what_was_stopped(self) -> None:
        """rebuild() starts a stopped registry."""
        registry = await self.registered()
        await self.done(registry.stop())
        self.assertIs(await self.place.in_time(registry.rebuild(), TIMEOUT), True)
        await self.until_facts(NODE, {"foo": "bar"})

    @run
    async def test_registered(self) -> None:
        """A registered service is kept, lazy or not, without another call: it is there afterwards, in a living session."""
        for lazy in (False, True):
            registry = await self.registered(lazy=lazy)
            await self.place.leave(registry, session_ends=True)
            self.assertIsNone(await self.stat(NODE))
            await self.place.come_back(registry)
            await self.until_facts(NODE, {"foo": "bar"})
            self.assertEqual(self.warnings(), [])
            await self.done(registry.stop())
            self.assertIsNone(await self.stat(NODE))

    @run
    async def test_taken_meanwhile(self) -> None:
        """A path that another client has taken in between stays that client's, until it is deleted."""
        registry = await self.registered()
        await self.place.leave(registry, session_ends=True)
        await self.stranger.create(NODE, b"theirs", ephemeral=True)
        await self.place.come_back(registry)
        await self.place.quiet()
        self.assertEqual((await self.stranger.get(NODE))[0], b"theirs")
        self.assertEqual(len(warnings := self.warnings()), 1, warnings)
        await self.stranger.delete(NODE)
        await self.until_facts(NODE, {"foo": "bar"})

    @run
    async def test_persistent_in_its_place(self) -> None:
        """While a persistent node is in the place of a registered one, each call to register it fails with the reason.
        The node is not touched; when it is deleted, the former data is registered again.
        """
        registry = await self.registered()

        async def replace() -> None:
            await self.stranger.delete(NODE)
            await self.stranger.create(NODE, b"theirs")

        await self.place.blink(registry, replace)
        await self.place.quiet()
        for data in ({"foo": "bar"}, {"foo": "bar"}, {"foo": "other"}):
            error = await self.fails(NodeExistsException, registry.set_node(NODE, data))
            self.assertEqual(error.path, NODE)
        self.assertEqual((await self.stranger.get(NODE))[0], b"theirs")
        await self.stranger.delete(NODE)
        await self.until_facts(NODE, {"foo": "bar"})


class BriefOutageContract(RegistryCase):
    """ZooKeeper out of reach for less than ``timeout``: calls wait, and are completed when it is back. For registries
    that wait.
    """

    async def brief_outage(self, registry: IServiceRegistry, meanwhile: Any) -> None:
        """Be away for an instant, in which something is called that waits."""

        async def call() -> None:
            meanwhile()

        await self.place.blink(registry, call)

    @run
    async def test_calls_wait(self) -> None:
        """A write, a first ``get``, a start: each is completed when ZooKeeper is back, and nothing is logged."""
        for lazy in (False, True):
            registry = await self.started(lazy=lazy)
            calls: list[Deferred[Any]] = []

            def call(registry: IServiceRegistry = registry, calls: list[Deferred[Any]] = calls) -> None:
                calls.append(registry.set_node(NODE, {"foo": "bar"}))
                calls.append(registry.set_data("/app", "ours"))
                calls.append(registry.start())
                calls.append(registry.get("/"))
                self.assertEqual([fired(each) for each in calls], [False] * 4)

            await self.brief_outage(registry, call)
            results = [await self.place.in_time(each, TIMEOUT) for each in calls]
            self.assertEqual(results[:3], [True] * 3)
            self.assertEqual(results[3]["path"], "/")
            self.assertEqual(await self.facts(NODE), {"foo": "bar"})
            self.assertEqual(self.warnings(), [])
            await self.done(registry.stop())

    @run
    async def test_cancelled(self) -> None:
        """Cancelling ends the wait; the registration is made all the same."""
        registry = await self.started()
        calls: list[Deferred[Any]] = []

        def call() -> None:
            calls.append(registry.set_node(NODE, {"foo": "bar"}))
            calls[0].addErrback(lambda _: None)
            calls[0].cancel()
            self.assertTrue(fired(calls[0]))

        await self.brief_outage(registry, call)
        await self.until_facts(NODE, {"foo": "bar"})

    @run
    async def test_taken_back(self) -> None:
        """A service that is unregistered in an outage does not come back in the next session, not even for a moment."""
        registry = await self.registered()
        await self.stranger.create(f"{SERVICE}/theirs")
        before = await self.stat(SERVICE)
        calls: list[Deferred[bool]] = []
        await self.brief_outage(registry, lambda: calls.append(registry.unset(NODE)))
        self.assertIs(await self.place.in_time(calls[0], TIMEOUT), True)
        await self.place.quiet()
        after = await self.stat(SERVICE)
        assert before is not None
        assert after is not None
        self.assertEqual(after.cversion, before.cversion + 1)
        self.assertIsNone(await self.stat(NODE))
