"""A provider through outages of ZooKeeper, and restarts of the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from txmirror.errors import NoConnection, NoInstanceException
from txmirror.test.discovery.case import PATH, ProviderTestCase, names
from txmirror.types import Answer


class RegistryTests(ProviderTestCase):
    def test_away(self) -> None:
        """While ZooKeeper is away the last known list stays, and afterwards it is as the servers have it."""
        self.make("ab")
        provider = self.provider()
        self.world.disconnect(self.registry)
        self.remove("a")
        self.world.pass_time(20)
        self.assertEqual(names(provider.instances()), "ab")
        self.world.reconnect(self.registry)
        self.world.pass_time(6)
        self.assertEqual(names(provider.instances()), "b")
        self.make("c")
        self.assertEqual(names(provider.instances()), "bc")

    def test_expired(self) -> None:
        self.make("a")
        provider = self.provider()
        self.world.disconnect(self.registry)
        self.make("b")
        self.world.pass_time(30)
        self.world.reconnect(self.registry)
        self.world.pass_time(6)
        self.make("c")
        self.assertEqual(names(provider.instances()), "abc")

    def test_rebuilt(self) -> None:
        """A new session follows on, and nobody sees an empty list in between."""
        self.make("ab")
        provider = self.provider()
        seen: list[str] = []
        provider.watch(lambda instances: seen.append(names(instances)))
        rebuilt = self.registry.rebuild()
        self.assertEqual(names(provider.instances()), "ab")
        self.world.settle()
        self.assertTrue(self.successResultOf(rebuilt))
        self.make("c")
        self.assertEqual(seen, ["abc"])

    def test_stopped(self) -> None:
        """Without a registry the last known list stays; after its start the provider follows on."""
        self.make("a")
        provider = self.provider()
        self.world.result(self.registry.stop())
        self.make("b")
        self.assertEqual(self.picks(provider, 1), "a")
        self.world.result(self.registry.start())
        self.assertEqual(names(provider.instances()), "ab")

    def test_made_after_another(self) -> None:
        """A registry that was stopped knows the last list of another provider, though nobody has asked it."""
        self.make("a", b"first:80")
        earlier = self.provider()
        self.make("b", b"second:80")
        self.world.result(self.registry.stop())
        provider = self.provider()
        self.assertEqual([each.address for each in provider.instances()], ["first", "second"])
        self.assertEqual(names(earlier.instances()), "ab")

    def test_made_while_stopped(self) -> None:
        """A provider of a stopped registry waits for its start."""
        self.make("a")
        self.world.result(self.registry.stop())
        provider = self.provider(wait=2.0)
        late = provider.instance()
        self.world.pass_time(3)
        self.assertIn("the registry is not connected to ZooKeeper; its list was not read yet", self.reason(late))
        waiting = provider.instance()
        self.world.result(self.registry.start())
        self.assertEqual(self.successResultOf(waiting).name, "a:1")

    def test_start_fails(self) -> None:
        """If the registry's start fails because ZooKeeper is away, the provider still gets the list when it is back."""
        self.make("a")
        self.world.disconnect()
        registry = self.world.registry(start=False)
        provider = self.provider(registry=registry)
        started = registry.start()
        self.world.pass_time(10)
        self.failureResultOf(started, NoConnection)
        waiting = provider.instance(wait=20)
        self.world.reconnect()
        self.world.pass_time(6)
        self.assertEqual(self.successResultOf(waiting).name, "a:1")

    def test_closed_while_connecting(self) -> None:
        """A provider that is closed before the registry has connected leaves nothing."""
        self.world.disconnect()
        registry = self.world.registry(start=False)
        provider = self.provider(registry=registry)
        waiting = provider.instance()
        provider.close()
        self.assertIn("closed", self.reason(waiting))
        self.world.reconnect()

    def test_following_ends(self) -> None:
        """The path is followed no longer than a provider or another reader needs it."""
        self.make("a")
        one, two = self.provider(), self.provider()
        one.close()
        self.make("b")
        self.assertEqual(names(two.instances()), "ab")
        two.close()
        self.make("c")
        self.assertEqual(names(two.instances()), "ab")
        self.assertTrue(self.registry.stale(PATH))

    def test_beside_answers(self) -> None:
        """A reader of answers goes on when the provider is closed."""
        self.make("a")
        self.world.result(self.registry.get(PATH))
        provider = self.provider()
        provider.close()
        self.make("b")
        answer = self.world.result(self.registry.get(PATH))
        assert answer is not False
        self.assertEqual(list(answer["children"]), ["a:1", "b:1"])

    def test_known_answer(self) -> None:
        """A registry that was stopped knows an answer."""
        self.make("a", b"host:80")
        self.world.result(self.registry.get(PATH))
        self.world.result(self.registry.stop())
        provider = self.provider()
        (instance,) = provider.instances()
        self.assertEqual((instance.address, instance.port), ("host", 80))


class AnswerTests(ProviderTestCase):
    """The registry's answers beside a provider, which reads the nodes itself."""

    def answer(self) -> Answer | None:
        """Return the answer that the registry has."""
        discovery = self.registry._finder.get(PATH)
        assert discovery is not None
        return discovery.answer

    def test_not_wanted(self) -> None:
        """No answer is made, until a program asks for it; then it is up to date, and stays so."""
        self.make("ab")
        self.provider()
        self.make("c")
        self.world.pass_time(5)
        self.assertIsNone(self.answer())
        found: Any = self.successResultOf(self.registry.get(PATH))
        self.assertEqual((list(found["children"]), found["stat"].numChildren), (["a:1", "b:1", "c:1"], 3))
        self.remove("a")
        self.world.pass_time(5)
        answer = self.answer()
        assert answer is not None
        self.assertEqual(list(answer["children"]), ["b:1", "c:1"])

    def test_callback(self) -> None:
        """A callback beside a provider gets the present answer, and each later one."""
        self.make("a")
        self.provider()
        seen: list[list[str]] = []
        self.successResultOf(self.registry.get(PATH, lambda answer: seen.append(list(answer["children"]))))
        self.make("b")
        self.world.settle()
        self.assertEqual(seen, [["a:1"], ["a:1", "b:1"]])

    def test_after_an_outage(self) -> None:
        """What has changed in an outage is in the first answer."""
        self.make("a")
        self.provider()
        self.world.disconnect(self.registry)
        self.make("b")
        self.world.reconnect(self.registry)
        self.world.pass_time(6)
        self.assertIsNone(self.answer())
        found: Any = self.successResultOf(self.registry.get(PATH))
        self.assertEqual(list(found["children"]), ["a:1", "b:1"])

    def test_cache_file(self) -> None:
        """With a cache file the answers are made, for that file."""
        self.make("a")
        file = self.mktemp()
        self.registry = self.world.registry(cachefile=file)
        self.provider()
        self.assertIsNotNone(self.answer())


class HoldTests(ProviderTestCase):
    def outage(self, gone: str, new: str = "") -> None:
        """Let instances go, and new ones come, while ZooKeeper is away."""
        self.world.disconnect(self.registry)
        self.remove(gone)
        self.make(new)
        self.world.reconnect(self.registry)
        self.world.pass_time(6)

    def test_empty(self) -> None:
        """A list that is empty after an outage is held back, but not for ever."""
        self.make("abcd")
        provider = self.provider(hold_for=60.0)
        self.outage("abcd")
        self.assertEqual(names(provider.instances()), "abcd")
        self.world.pass_time(60)
        self.assertEqual(names(provider.instances()), "")

    def test_new_ones(self) -> None:
        """New instances are picked beside those that are held."""
        self.make("abcd")
        provider = self.provider(hold_for=60.0)
        self.outage("abcd", "e")
        self.assertEqual(names(provider.instances()), "abcde")
        self.make("fgh")
        self.assertEqual(names(provider.instances()), "efgh")

    def test_a_few(self) -> None:
        """A list that has not collapsed is believed at once, and so is the end of an instance."""
        self.make("abcd")
        provider = self.provider(hold_for=60.0)
        self.outage("a")
        self.assertEqual(names(provider.instances()), "bcd")
        self.remove("b")
        self.assertEqual(names(provider.instances()), "cd")
        self.remove("c")
        self.assertEqual(names(provider.instances()), "cd")

    def test_all_sessions(self) -> None:
        """ZooKeeper is away until all sessions have ended: there is an instance at every moment, and only real ones in the end."""
        owners = [self.world.registry() for _ in range(3)]
        for letter, owner in zip("abc", owners, strict=True):
            self.world.result(owner.set_node(f"{PATH}/{letter}:1"))
        provider = self.provider(hold_for=20.0)
        self.world.disconnect()
        self.world.pass_time(40)
        self.world.reconnect()
        # A list of two is not held back.
        for _ in range(200):
            self.world.pass_time(0.05)
            self.picks(provider, 1)
            self.assertIn(names(provider.instances()), ("abc", "ab", "ac", "bc"))
        self.assertEqual(names(provider.instances()), "abc")
        self.world.result(owners[0].stop())
        self.assertEqual(names(provider.instances()), "bc")

    def test_of_registry(self) -> None:
        """The registry's time counts if the provider has none of its own, and 0 holds nothing back."""
        self.make("ab")
        self.registry = self.world.registry(hold_for=60.0)
        held, not_held = self.provider(), self.provider(hold_for=0.0)
        self.outage("ab")
        self.assertEqual(names(held.instances()), "ab")
        self.assertEqual(names(not_held.instances()), "")

    def test_restart(self) -> None:
        """The list is held back after a new session of the registry, too."""
        self.make("ab")
        provider = self.provider(hold_for=60.0)
        self.world.result(self.registry.stop())
        self.remove("ab")
        self.world.result(self.registry.start())
        self.assertEqual(names(provider.instances()), "ab")
        self.world.pass_time(60)
        self.assertEqual(names(provider.instances()), "")

    def test_without_outage(self) -> None:
        """Without an outage all may go at once."""
        self.make("abcd")
        provider = self.provider(hold_for=60.0)
        self.remove("abcd")
        self.assertEqual(names(provider.instances()), "")


class CacheFileTests(ProviderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cachefile = str(Path(self.mktemp()).absolute())
        self.world.result(self.registry.stop())

    def write(self, letters: str, data: bytes = b"") -> None:
        """Let another process write the cache file."""
        self.make(letters, data)
        registry = self.world.registry(lazy=True, cachefile=self.cachefile)
        provider = self.provider(registry=registry)
        self.assertEqual(names(provider.instances()), letters)
        provider.close()
        self.world.result(registry.stop())

    def test_start_without_zookeeper(self) -> None:
        """The file's instances are used after a second, whether the registry is lazy or not."""
        self.write("a", b'{"host": "h", "port": 8080, "weight": 3}')
        self.world.disconnect()
        for lazy in (False, True):
            registry = self.world.registry(start=False, lazy=lazy, cachefile=self.cachefile)
            provider = self.provider(registry=registry)
            waiting = provider.instance()
            self.world.pass_time(0.9)
            self.assertNoResult(waiting)
            self.world.pass_time(0.2)
            instance = self.successResultOf(waiting)
            self.assertEqual((instance.address, instance.port, instance.weight), ("h", 8080, 3))
            self.assertEqual(instance.codec, "nerve")

    def test_return(self) -> None:
        """When ZooKeeper is back, its list counts."""
        self.write("ab")
        self.world.disconnect()
        provider = self.provider(registry=self.world.registry(start=False, cachefile=self.cachefile))
        self.world.pass_time(2)
        self.assertEqual(names(provider.instances()), "ab")
        self.world.reconnect()
        self.world.pass_time(8)
        self.remove("a")
        self.assertEqual(names(provider.instances()), "b")

    def test_no_file(self) -> None:
        """Without a file there is no instance, and the message says since when ZooKeeper is away."""
        self.world.disconnect()
        provider = self.provider(registry=self.world.registry(start=False, cachefile=self.cachefile))
        waiting = provider.instance()
        self.world.pass_time(5.1)
        self.assertIn("ZooKeeper has been away for 5.0 s; its list was not read yet", self.reason(waiting))
        self.failureResultOf(provider.instance(wait=0), NoInstanceException)
