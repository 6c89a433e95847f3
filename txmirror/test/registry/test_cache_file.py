"""Answers are kept in a file that survives crashes, other processes and whatever somebody did to it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txmirror.errors import NoConnection
from txmirror.registry.cache_file import CacheFile
from txmirror.test.registry.case import NODE, PATH, RegistryTestCase
from txmirror.types import Answer, Payload, ZnodeStat

STAT = ZnodeStat(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)


def answer(path: str = PATH, **children: Payload) -> Answer:
    return {"children": children, "data": {"a": [1]}, "path": path, "stat": STAT}


class CacheFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "cache.json"

    def cache(self) -> CacheFile:
        cache = CacheFile(str(self.path), self.clock)
        cache.load()
        return cache

    def written(self) -> dict[str, dict[str, object]]:
        paths: dict[str, dict[str, object]] = json.loads(self.path.read_text("utf-8"))["paths"]
        return paths

    def aside(self) -> Path:
        return self.path.with_name("cache.json.damaged")

    def test_round_trip(self) -> None:
        """What is kept is there after a restart, with all its kinds of data."""
        cache = self.cache()
        cache.put(answer(one={"foo": "bar"}, two="text", three=None))
        cache.put({"children": {}, "data": None, "path": "/missing", "stat": None})
        self.clock.advance(2)
        self.assertEqual(self.cache().get(PATH), answer(one={"foo": "bar"}, two="text", three=None))
        missing = self.cache().get("/missing")
        assert missing is not None
        self.assertIsNone(missing["stat"])
        self.assertIsNone(self.cache().get("/other"))

    def test_written_together(self) -> None:
        """Changes that follow one another are written once; where nothing changes nothing is written."""
        cache = self.cache()
        for number in range(5):
            cache.put(answer(one={"n": number}))
            self.clock.advance(0.15)
        self.assertFalse(self.path.exists())
        self.clock.advance(1)
        self.assertEqual(self.written()[PATH]["children"], {"one": {"n": 4}})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_private(self) -> None:
        """Only its owner reads it, whatever the umask says; nothing else is left in the folder but what it is locked by."""
        mask = os.umask(0)
        self.addCleanup(os.umask, mask)
        cache = self.cache()
        for number in range(2):
            cache.put(answer(n=number))  # type: ignore[arg-type]  # any JSON will do
            self.clock.advance(2)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        names = sorted(path.name for path in self.path.parent.iterdir())
        self.assertEqual(names, ["cache.json", "cache.json.lock"])
        self.assertEqual(stat.S_IMODE(self.path.with_name("cache.json.lock").stat().st_mode), 0o600)

    def test_merged(self) -> None:
        """Several processes keep their answers in one file; of one path the latest counts."""
        first, second = self.cache(), self.cache()
        first.put(answer("/a", n="first"))
        first.put(answer("/both", n="first"))
        self.clock.advance(2)
        second.put(answer("/b", n="second"))
        second.put(answer("/both", n="second"))
        self.clock.advance(2)
        self.assertEqual(sorted(self.written()), ["/a", "/b", "/both"])
        self.assertEqual(self.written()["/both"]["children"], {"n": "second"})
        first.put(answer("/c", n="first"))
        self.clock.advance(2)
        self.assertEqual(self.written()["/both"]["children"], {"n": "second"})

    def test_damaged(self) -> None:
        """A file that is no cache is set aside, said once, and never fatal; it is there to be looked at."""
        deep = "[" * 100_000
        entry = {"time": 1, "children": {}, "data": None, "stat": None}
        for damaged in (
            b"",
            b"\xff\xfe",
            b"{",
            b"[]",
            b"{}",
            deep.encode(),
            b'{"kind":"another program\'s","version":1,"paths":{}}',
            b'{"kind":"txmirror answers","version":2,"paths":{}}',
            b'{"kind":"txmirror answers","version":1}',
            b'{"kind":"txmirror answers","version":1,"paths":[]}',
            b'{"kind":"txmirror answers","version":1,"paths":{"/a":3}}',
            b'{"kind":"txmirror answers","version":1,"paths":{"/a":{}}}',
            json.dumps({"kind": "txmirror answers", "version": 1, "paths": {"/a": {**entry, "stat": [1, 2]}}}).encode(),
            json.dumps(
                {"kind": "txmirror answers", "version": 1, "paths": {"/a": {**entry, "children": [1]}}}
            ).encode(),
        ):
            self.path.write_bytes(damaged)
            cache = self.cache()
            self.assertIsNone(cache.get("/a"), damaged[:40])
            self.assertEqual(self.aside().read_bytes(), damaged)
            self.assertFalse(self.path.exists())
            cache.put(answer("/a"))
            self.clock.advance(2)
            self.assertEqual(list(self.written()), ["/a"])

    def test_damaged_meanwhile(self) -> None:
        """So is one that somebody has damaged since it was read."""
        cache = self.cache()
        self.path.write_text("nonsense", "utf-8")
        cache.put(answer())
        self.clock.advance(2)
        self.assertEqual(list(self.written()), [PATH])
        self.assertEqual(self.aside().read_text("utf-8"), "nonsense")

    def test_unwritable(self) -> None:
        """A file that cannot be written is no reason to fail; what was to be written is, as soon as it can be."""
        folder, away = self.path.parent, self.path.parent.with_name("away")
        cache = self.cache()
        folder.rename(away)
        cache.put(answer("/a"))
        self.clock.advance(2)
        away.rename(folder)
        cache.put(answer("/b"))
        self.clock.advance(2)
        self.assertEqual(sorted(self.written()), ["/a", "/b"])

    def test_not_json(self) -> None:
        """What a codec of somebody's own has read may not fit; the rest is written all the same, and goes on being."""
        cache = self.cache()
        cache.put(answer("/odd", one={"set": {1, 2}}))
        cache.put(answer("/a"))
        self.clock.advance(2)
        self.assertEqual(list(self.written()), ["/a"])
        cache.put(answer("/b"))
        self.clock.advance(2)
        self.assertEqual(sorted(self.written()), ["/a", "/b"])
        cache.put(answer("/odd", one={"set": {1, 2}}))
        self.successResultOf(cache.stop())
        self.assertEqual(len(list(self.path.parent.iterdir())), 2)

    def test_left_half_written(self) -> None:
        """A process that dies while it writes leaves the file as it was."""

        def die(*_: object) -> None:
            raise OSError("no space left")

        cache = self.cache()
        cache.put(answer("/a"))
        self.clock.advance(2)
        before = self.path.read_bytes()
        self.patch(os, "fsync", die)
        cache.put(answer("/b"))
        self.clock.advance(2)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(len(list(self.path.parent.iterdir())), 2)

    def test_empty_list(self) -> None:
        """Right after a reconnection an empty list does not replace a full one; a minute later it does."""
        cache = self.cache()
        cache.put(answer(one="1"))
        self.clock.advance(100)
        cache.connected()
        self.clock.advance(30)
        cache.put(answer())
        self.clock.advance(29)
        self.assertEqual(self.written()[PATH]["children"], {"one": "1"})
        self.clock.pump([1.0] * 4)
        self.assertEqual(self.written()[PATH]["children"], {})
        cache.put(answer(one="1"))
        cache.put(answer())
        self.clock.advance(2)
        self.assertEqual(self.written()[PATH]["children"], {})

    def test_full_again(self) -> None:
        """An empty list that was in doubt is forgotten when the list is full again."""
        cache = self.cache()
        cache.put(answer(one="1"))
        cache.connected()
        cache.put(answer())
        cache.put(answer(two="2"))
        self.clock.advance(100)
        self.assertEqual(self.written()[PATH]["children"], {"two": "2"})

    def test_from_last_time(self) -> None:
        """A full list that was read from the file is not replaced right after the first connection either."""
        before = self.cache()
        before.put(answer(one="1"))
        self.clock.advance(2)
        cache = self.cache()
        cache.connected()
        cache.put(answer())
        self.clock.advance(50)
        self.successResultOf(cache.stop())
        self.assertEqual(self.written()[PATH]["children"], {"one": "1"})

    def test_stop(self) -> None:
        """At the end what is not written yet is, and no timer is left."""
        cache = self.cache()
        cache.put(answer())
        self.successResultOf(cache.stop())
        self.assertEqual(list(self.written()), [PATH])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ThreadTests(TestCase):
    """With a real reactor the file is written in a thread."""

    def test_written(self) -> Deferred[None]:
        """It does not hold up the reactor, and the end waits for it."""
        return Deferred.fromCoroutine(self.write())

    async def write(self) -> None:
        from twisted.internet import reactor

        path = Path(self.mktemp())
        cache = CacheFile(str(path), reactor)
        cache.put(answer("/a"))
        cache._timer.stop()
        cache._write()
        cache.put(answer("/b"))
        self.assertFalse(path.exists() and "/b" in path.read_text("utf-8"))
        await cache.stop()
        self.assertEqual(sorted(json.loads(path.read_text("utf-8"))["paths"]), ["/a", "/b"])


class LazyTests(RegistryTestCase):
    """A registry that starts while ZooKeeper is away has what it had last."""

    def setUp(self) -> None:
        super().setUp()
        self.cachefile = self.mktemp()
        self.make(NODE, b'{"a":1}')
        before = self.started(cachefile=self.cachefile)
        self.known = self.answer(before)
        self.world.result(before.stop())
        self.go_away()

    def test_restart(self) -> None:
        """The first answer comes from the file, and says that it may be old; it turns true by itself, and callbacks are told
        of what has really changed."""
        registry = self.registry(lazy=True, cachefile=self.cachefile)
        told: list[Answer] = []
        asking = registry.get(PATH, callback=told.append)
        self.world.pass_time(4.1)
        self.assertEqual(self.successResultOf(asking), self.known)
        self.assertEqual(told, [self.known])
        self.assertTrue(registry.stale(PATH))
        self.assertEqual(len(self.warnings.texts), 1)
        self.assertEqual(self.successResultOf(registry.get(PATH)), self.known)
        self.come_back()
        self.world.pass_time(6)
        self.assertFalse(registry.stale(PATH))
        self.assertEqual(told, [self.known])
        self.make(PATH + "/new", b"x")
        self.world.settle()
        self.assertEqual([len(each["children"]) for each in told], [1, 2])
        self.assertEqual(len(self.warnings.texts), 1)

    def test_unknown(self) -> None:
        """What is not in the file is False; the callback is called when it is known."""
        registry = self.registry(lazy=True, cachefile=self.cachefile)
        told: list[Answer] = []
        asking = registry.get("/services", callback=told.append)
        self.world.pass_time(4.1)
        self.assertIs(self.successResultOf(asking), False)
        self.assertEqual(told, [])
        self.come_back()
        self.world.pass_time(6)
        self.assertEqual([list(each["children"]) for each in told], [["ssh"]])

    def test_not_lazy(self) -> None:
        """A registry that is not lazy does not make do with it."""
        registry = self.registry(cachefile=self.cachefile)
        asking = registry.get(PATH)
        self.world.pass_time(4.1)
        self.failure(asking, NoConnection)

    def test_stop_while_away(self) -> None:
        """To stop while it is away keeps the file as it is."""
        before = Path(self.cachefile).read_bytes()
        registry = self.registry(lazy=True, cachefile=self.cachefile)
        registry.get(PATH)
        self.world.pass_time(10)
        registry.stop()
        self.world.pass_time(10)
        self.assertEqual(Path(self.cachefile).read_bytes(), before)
