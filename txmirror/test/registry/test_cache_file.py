"""Answers are kept in a file that survives crashes, other processes and any damage."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txmirror.errors import NoConnection
from txmirror.registry import CODECS, cache_file, stored_answers
from txmirror.registry.cache_file import CacheFile
from txmirror.test.ownership import give_away
from txmirror.test.registry.case import NODE, PATH, RegistryTestCase, Warnings
from txmirror.test.threaded import ThreadedClock
from txmirror.types import Answer, Payload, ZnodeStat

STAT = ZnodeStat(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)


def answer(path: str = PATH, **children: Payload) -> Answer:
    return {"children": children, "data": {"a": [1]}, "path": path, "stat": STAT}


def warnings_of(case: SynchronousTestCase) -> Warnings:
    """Keep the warnings of a test."""
    warnings = Warnings()
    globalLogPublisher.addObserver(warnings)
    case.addCleanup(globalLogPublisher.removeObserver, warnings)
    return warnings


class CacheFileCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.path = folder / "cache.json"

    def cache(self) -> CacheFile:
        cache = CacheFile(str(self.path), self.clock)
        cache.load()
        return cache

    def known(self, path: str = PATH) -> Answer | None:
        """Return the answer that a process has which starts now."""
        return self.successResultOf(self.cache().get(path))

    def written(self) -> dict[str, dict[str, object]]:
        paths: dict[str, dict[str, object]] = json.loads(self.path.read_text("utf-8"))["paths"]
        return paths

    def aside(self) -> Path:
        return self.path.with_name("cache.json.damaged")


class CacheFileTests(CacheFileCase):
    def test_round_trip(self) -> None:
        """The stored answers are there after a restart, with all kinds of data."""
        cache = self.cache()
        cache.put(answer(one={"foo": "bar"}, two="text", three=None))
        cache.put({"children": {}, "data": None, "path": "/missing", "stat": None})
        self.clock.advance(2)
        self.assertEqual(self.known(PATH), answer(one={"foo": "bar"}, two="text", three=None))
        missing = self.known("/missing")
        assert missing is not None
        self.assertIsNone(missing["stat"])
        self.assertIsNone(self.known("/other"))

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
        """Only its owner can read it, whatever the umask is; the folder has no other file but its lock."""
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
        """An invalid file is set aside and logged once, and never fatal; it stays for inspection."""
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
            self.assertIsNone(self.successResultOf(cache.get("/a")), damaged[:40])
            self.assertEqual(self.aside().read_bytes(), damaged)
            self.assertFalse(self.path.exists())
            cache.put(answer("/a"))
            self.clock.advance(2)
            self.assertEqual(list(self.written()), ["/a"])

    def test_damaged_meanwhile(self) -> None:
        """A file that was damaged after it was read is set aside, too."""
        cache = self.cache()
        self.path.write_text("nonsense", "utf-8")
        cache.put(answer())
        self.clock.advance(2)
        self.assertEqual(list(self.written()), [PATH])
        self.assertEqual(self.aside().read_text("utf-8"), "nonsense")

    def test_unwritable(self) -> None:
        """A file that cannot be written is no failure; it is written as soon as it can be."""
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
        """A user's codec may return data that cannot be stored; the rest is written all the same, then and later."""
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

    def test_odd_payloads(self) -> None:
        """A payload that is too deep, has no JSON number or contains itself is left out, and a warning names its path."""
        deep: Any = {}
        for _ in range(50_000):
            deep = {"a": deep}
        circular: dict[str, object] = {}
        circular["self"] = circular
        warnings = warnings_of(self)
        cache = self.cache()
        for number, odd in enumerate((deep, {"n": float("nan")}, circular, {"n": 10**5000})):
            cache.put(answer(f"/odd{number}", one=odd))
            cache.put(answer(f"/a{number}"))
            self.clock.advance(2)
            self.assertIn(f"/odd{number}", warnings.texts[-1])
            self.assertEqual(len(warnings.texts), number + 1)
        self.assertEqual(list(self.written()), ["/a0", "/a1", "/a2", "/a3"])
        self.successResultOf(cache.stop())

    def test_deepest_payload(self) -> None:
        """The file can hold the deepest payload that a codec of ours reads."""
        payload = CODECS["ndsr"].decode(b'{"a":' * 100 + b"1" + b"}" * 100)
        assert isinstance(payload, dict)
        cache = self.cache()
        cache.put(answer(one=payload))
        self.clock.advance(2)
        self.assertEqual(self.known(), answer(one=payload))

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
        """stop() writes the rest, and leaves no timer."""
        cache = self.cache()
        cache.put(answer())
        self.successResultOf(cache.stop())
        self.assertEqual(list(self.written()), [PATH])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class UnsafeTests(CacheFileCase):
    """A file that others may have prepared is not used: it is set aside and reported, and nothing waits for it."""

    def setUp(self) -> None:
        super().setUp()
        self.warnings = warnings_of(self)

    def content(self) -> bytes:
        """Return the content of a good file."""
        cache = self.cache()
        cache.put(answer("/theirs", one="1"))
        self.clock.advance(2)
        content = self.path.read_bytes()
        self.path.unlink()
        return content

    def assert_set_aside(self, reason: str) -> None:
        """Check that the file is set aside and not used, that one warning has the reason, and that a new one can take
        its place.
        """
        before = len(self.warnings.texts)
        cache = self.cache()
        self.assertIsNone(self.successResultOf(cache.get("/theirs")))
        (text,) = self.warnings.texts[before:]
        for part in (reason, repr(str(self.path)), repr(str(self.aside()))):
            self.assertIn(part, text)
        self.assertFalse(os.path.lexists(self.path))
        self.assertTrue(os.path.lexists(self.aside()))
        cache.put(answer("/a"))
        self.clock.advance(2)
        self.assertEqual(list(self.written()), ["/a"])
        self.assertEqual(len(self.warnings.texts), before + 1)
        for path in (self.path, self.aside()):
            path.unlink()

    def test_fifo(self) -> None:
        """A FIFO does not block, with or without a writer."""
        os.mkfifo(self.path)
        self.assert_set_aside("a FIFO")
        os.mkfifo(self.path)
        writer = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, writer)
        os.write(writer, b"{}")
        self.assert_set_aside("a FIFO")

    def test_socket(self) -> None:
        """A socket does not block."""
        with socket.socket(socket.AF_UNIX) as listening:
            # The name of a socket has to be short.
            folder = tempfile.mkdtemp()
            self.addCleanup(os.rmdir, folder)
            listening.bind(f"{folder}/s")
            Path(f"{folder}/s").rename(self.path)
        self.assert_set_aside("a socket")

    def test_writable_by_others(self) -> None:
        """A file that others may write to, a group or everybody, may say anything."""
        content = self.content()
        for mode in (0o620, 0o602, 0o666):
            self.path.write_bytes(content)
            self.path.chmod(mode)
            self.assert_set_aside(f"others may write to it (mode {mode:04o})")

    def test_readable_by_others(self) -> None:
        """A file that others may read is used."""
        self.path.write_bytes(self.content())
        self.path.chmod(0o644)
        self.assertEqual(self.known("/theirs"), answer("/theirs", one="1"))

    def test_of_another_user(self) -> None:
        """Another user's file is set aside. Root's is trusted, since root may do anything anyhow."""
        content = self.content()
        self.path.write_bytes(content)
        give_away(self.path)
        self.assert_set_aside("it belongs to user 65534, not to user 0")
        self.path.write_bytes(content)
        self.patch(os, "geteuid", lambda: 65534)
        self.assertEqual(self.known("/theirs"), answer("/theirs", one="1"))

    def test_link_of_another_user(self) -> None:
        """A link that another user has laid is not followed, not to a file of ours either, which stays where it is."""
        other = self.path.with_name("other")
        other.write_text("ours")
        self.path.symlink_to(other)
        give_away(self.path)
        self.assert_set_aside("a symbolic link of user 65534")
        self.assertEqual(other.read_text(), "ours")

    def test_circle_of_links(self) -> None:
        """Links that lead in a circle lead nowhere."""
        self.path.symlink_to(self.path)
        self.assert_set_aside("a circle of symbolic links")

    def test_too_large(self) -> None:
        """A file of more than 64 MiB is not read."""
        self.path.touch()
        os.truncate(self.path, 64 * 2**20 + 1)
        self.assert_set_aside("it has 67108865 bytes, which is more than 67108864")

    def test_exchanged(self) -> None:
        """A file that is exchanged between the check and its opening is not read."""
        self.path.write_bytes(self.content())
        real = os.open

        def exchanging(path: str | Path, *arguments: Any, **named: Any) -> int:
            if path == self.path and stat.S_ISREG(self.path.lstat().st_mode):
                self.path.unlink()
                os.mkfifo(self.path)
            return real(path, *arguments, **named)

        self.patch(os, "open", exchanging)
        self.assertIsNone(self.known("/theirs"))
        self.assertIn("a FIFO", self.warnings.texts[-1])

    def test_stays(self) -> None:
        """A directory or a device stays as it is; nothing is read or written, and one line is logged for each."""
        for target, kind in ((self.path.with_name("folder"), "a directory"), (Path(os.devnull), "a device")):
            if kind == "a directory":
                target.mkdir()
            self.path.symlink_to(target)
            before = len(self.warnings.texts)
            cache = self.cache()
            self.assertIsNone(self.successResultOf(cache.get("/theirs")))
            cache.put(answer("/a"))
            for _ in range(5):
                self.clock.advance(61)
            texts = self.warnings.texts[before:]
            self.assertEqual(len(texts), 2)
            for text in texts:
                self.assertIn(kind, text)
            self.successResultOf(cache.stop())
            self.assertTrue(self.path.is_symlink())
            self.assertTrue(target.exists())
            self.assertFalse(target.with_name(target.name + ".lock").exists())
            self.path.unlink()

    def test_became_too_large(self) -> None:
        """A file that would be too large to be read again is not written: the old one stays."""
        cache = self.cache()
        cache.put(answer("/a"))
        self.clock.advance(2)
        before = self.path.read_bytes()
        self.patch(stored_answers, "LARGEST", 2 * len(before))
        cache.put(answer("/b", one="x" * 1000))
        for _ in range(3):
            self.clock.advance(61)
        self.assertEqual(self.path.read_bytes(), before)
        (text,) = self.warnings.texts
        self.assertIn("cannot be written", text)

    def test_other_owner_by_itself(self) -> None:
        """If a file system shows an owner or a mode of its own, nothing is written, and that is logged once."""
        cache = self.cache()
        real = tempfile.mkstemp

        def shared(*arguments: Any, **named: Any) -> tuple[int, str]:
            handle, name = real(*arguments, **named)
            os.fchmod(handle, 0o777)
            return handle, name

        self.patch(tempfile, "mkstemp", shared)
        cache.put(answer("/a"))
        for _ in range(3):
            self.clock.advance(61)
        (text,) = self.warnings.texts
        self.assertIn("others may write to it", text)
        self.assertEqual([path.name for path in self.path.parent.iterdir()], ["cache.json.lock"])


class LinkTests(CacheFileCase):
    """A symbolic link as cache file is followed to where it points, and stays one."""

    def test_followed(self) -> None:
        """The file that it points to is read and written, and locked beside that; so are links to links."""
        target = Path(self.mktemp()).absolute()
        target.mkdir()
        between = self.path.with_name("between")
        between.symlink_to(target / "real")
        self.path.symlink_to("between")
        # There is nothing yet: the file is made.
        cache = self.cache()
        cache.put(answer("/a"))
        self.clock.advance(2)
        other = CacheFile(str(target / "real"), self.clock)
        other.put(answer("/b"))
        self.clock.advance(2)
        self.assertEqual(sorted(self.written()), ["/a", "/b"])
        self.assertTrue(self.path.is_symlink() and between.is_symlink())
        self.assertEqual(sorted(path.name for path in target.iterdir()), ["real", "real.lock"])
        self.assertEqual(sorted(path.name for path in self.path.parent.iterdir()), ["between", "cache.json"])

    def test_damaged(self) -> None:
        """The damaged target is set aside, and the link stays."""
        target = self.path.with_name("real")
        target.write_text("nonsense")
        self.path.symlink_to(target)
        self.assertIsNone(self.known())
        self.assertTrue(self.path.is_symlink())
        self.assertEqual(target.with_name("real.damaged").read_text(), "nonsense")


class LockTests(CacheFileCase):
    """A process that keeps the lock keeps others from writing, and from nothing else."""

    def setUp(self) -> None:
        super().setUp()
        self.warnings = warnings_of(self)
        self.lock = self.path.with_name("cache.json.lock")

    def hold(self) -> int:
        """Hold the lock, as a process does that was stopped while it writes."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def make_shared(self) -> None:
        self.lock.touch()
        self.lock.chmod(0o666)

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))

    def test_held(self) -> None:
        """While it is locked nothing is written, with one warning; then everything is, with the answers from in
        between.
        """
        cache = self.cache()
        cache.put(answer("/a"))
        held = self.hold()
        self.pass_time(10)
        cache.put(answer("/b"))
        self.pass_time(180)
        self.assertFalse(self.path.exists())
        (text,) = self.warnings.texts
        self.assertIn("another process holds its lock, 'cache.json.lock'", text)
        os.close(held)
        self.pass_time(65)
        self.assertEqual(sorted(self.written()), ["/a", "/b"])
        self.assertEqual(len(self.warnings.texts), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_held_shortly(self) -> None:
        """A write that finds the lock taken is retried within two seconds, without a warning."""
        cache = self.cache()
        cache.put(answer("/a"))
        held = self.hold()
        self.pass_time(2)
        self.assertFalse(self.path.exists())
        os.close(held)
        self.pass_time(0.2)
        self.assertEqual((list(self.written()), self.warnings.texts), (["/a"], []))

    def test_stop_while_held(self) -> None:
        """stop() waits for it less than five seconds, at any step of the writing, and leaves no timer."""
        for passed in (0, 0.95, 1.5, 4, 70):
            cache = self.cache()
            cache.put(answer("/a"))
            held = self.hold()
            self.pass_time(passed)
            stopped = cache.stop()
            self.pass_time(4.9)
            self.successResultOf(stopped)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            os.close(held)
            self.assertFalse(self.path.exists())
            # What was not written is when it is begun anew.
            cache.load()
            self.pass_time(65)
            self.assertEqual(list(self.written()), ["/a"])
            self.path.unlink()

    def test_not_a_file(self) -> None:
        """A lock file that others may have put there is set aside, and holds nobody up."""
        makers: list[tuple[Callable[[], object], str]] = [
            (lambda: os.mkfifo(self.lock), "a FIFO"),
            (lambda: self.lock.symlink_to("elsewhere"), "a symbolic link"),
            (self.make_shared, "others may write to it"),
        ]
        for number, (make, reason) in enumerate(makers):
            if self.lock.exists():
                self.lock.unlink()
            make()
            cache = self.cache()
            cache.put(answer(f"/{number}"))
            self.pass_time(2)
            self.assertIn(f"/{number}", self.written())
            self.assertIn(reason, self.warnings.texts[-1])
            self.assertIn("cache.json.lock.damaged", self.warnings.texts[-1])
            self.assertEqual(len(self.warnings.texts), number + 1)
            self.assertTrue(stat.S_ISREG(self.lock.lstat().st_mode))

    def test_folder(self) -> None:
        """A folder in its place stays, and nothing is written."""
        self.lock.mkdir()
        cache = self.cache()
        cache.put(answer("/a"))
        self.pass_time(130)
        self.assertFalse(self.path.exists())
        self.assertEqual(len(self.warnings.texts), 1)
        self.successResultOf(cache.stop())
        self.assertTrue(self.lock.is_dir())

    def test_forked_meanwhile(self) -> None:
        """The lock is released even if a child that was forked meanwhile has the open file, too."""
        inherited: list[int] = []
        real = fcntl.flock

        def forking(descriptor: int, operation: int) -> None:
            real(descriptor, operation)
            if operation & fcntl.LOCK_EX:
                inherited.append(os.dup(descriptor))

        self.patch(fcntl, "flock", forking)
        cache = self.cache()
        for number in range(2):
            cache.put(answer(f"/{number}"))
            self.pass_time(2)
        self.assertEqual((list(self.written()), self.warnings.texts), (["/0", "/1"], []))
        for descriptor in inherited:
            os.close(descriptor)


class ReadingTests(CacheFileCase):
    """The file is read in a thread, and no change in between is lost."""

    def setUp(self) -> None:
        super().setUp()
        before = self.cache()
        before.put(answer(one="1"))
        self.clock.advance(2)
        self.warnings = warnings_of(self)
        self.clock = self.threads = ThreadedClock()
        self.threads.advance(1_800_000_000)
        self.subject = CacheFile(str(self.path), self.threads)

    def test_made(self) -> None:
        """A new CacheFile reads nothing."""
        self.assertEqual(self.threads.waiting, [])
        self.subject.load()
        self.subject.load()
        self.assertEqual(len(self.threads.waiting), 1)

    def test_get(self) -> None:
        """An answer is waited for."""
        asking = [self.subject.get(PATH), self.subject.get(PATH), self.subject.get("/other")]
        for each in asking:
            self.assertNoResult(each)
        asking[0].cancel()
        self.failureResultOf(asking[0], CancelledError)
        self.threads.run_threads()
        self.assertEqual(self.successResultOf(asking[1]), answer(one="1"))
        self.assertIsNone(self.successResultOf(asking[2]))
        self.assertEqual(self.threads.getDelayedCalls(), [])

    def test_get_for_too_long(self) -> None:
        """get() waits no longer than five seconds."""
        asking = self.subject.get(PATH)
        self.threads.advance(4.9)
        self.assertNoResult(asking)
        self.threads.advance(0.2)
        self.assertIsNone(self.successResultOf(asking))

    def test_put_meanwhile(self) -> None:
        """An answer that is put meanwhile counts, and is written."""
        self.subject.load()
        self.subject.put(answer(two="2"))
        self.subject.put(answer("/b"))
        self.threads.run_threads()
        self.assertEqual(self.successResultOf(self.subject.get(PATH)), answer(two="2"))
        self.threads.advance(2)
        self.threads.run_threads()
        self.assertEqual(self.written()[PATH]["children"], {"two": "2"})
        self.assertIn("/b", self.written())

    def test_unreadable_meanwhile(self) -> None:
        """The file's entries of children that cannot be read now stay; other missing ones are removed."""
        before = CacheFile(str(self.path), Clock())
        before.put(answer(one="1", two="2", three="3"))
        self.successResultOf(before.stop())
        self.subject.put(answer(three="new"), [f"{PATH}/two", f"{PATH}/three", "/elsewhere/one"])
        self.threads.run_threads()
        self.assertEqual(self.successResultOf(self.subject.get(PATH)), answer(three="new", two="2"))

    def test_doubted_meanwhile(self) -> None:
        """An empty list that is put meanwhile does not replace a full one that is then read, right after a connection."""
        self.subject.load()
        self.subject.connected()
        self.subject.put(answer())
        self.threads.run_threads()
        self.threads.advance(30)
        self.threads.run_threads()
        self.assertEqual(self.written()[PATH]["children"], {"one": "1"})
        for _ in range(2):
            self.threads.advance(31)
            self.threads.run_threads()
        self.assertEqual(self.written()[PATH]["children"], {})

    def test_stop_meanwhile(self) -> None:
        """stop() waits for it, and writes the answers, except for those in doubt."""
        self.subject.connected()
        self.subject.put(answer())
        self.subject.put(answer("/b"))
        stopped = self.subject.stop()
        self.assertNoResult(stopped)
        self.threads.run_threads()
        self.successResultOf(stopped)
        self.assertEqual(self.written()[PATH]["children"], {"one": "1"})
        self.assertIn("/b", self.written())
        self.assertEqual(self.threads.getDelayedCalls(), [])

    def test_stop_for_too_long(self) -> None:
        """stop() waits no longer than five seconds; whichever event comes after, no timer is left."""
        self.subject.put(answer("/b"))
        stopped = self.subject.stop()
        self.threads.advance(5.1)
        self.successResultOf(stopped)
        self.assertEqual(len(self.warnings.texts), 1)
        self.threads.run_threads()
        self.assertEqual(self.threads.getDelayedCalls(), [])
        # It is not forgotten.
        self.subject.load()
        self.threads.advance(2)
        self.threads.run_threads()
        self.assertIn("/b", self.written())

    def test_stop_while_written(self) -> None:
        """Answers that a thread still writes when the end has waited long enough are kept, and written again after a start."""
        self.subject.put(answer("/b"))
        self.threads.run_threads()
        self.threads.advance(2)
        stopped = self.subject.stop()
        self.threads.advance(5.1)
        self.successResultOf(stopped)
        self.assertFalse("/b" in self.written())
        self.threads.run_threads()
        self.assertIn("/b", self.written())
        self.assertEqual(self.threads.getDelayedCalls(), [])


class ExitTests(TestCase):
    """A process can exit whatever is in the place of its cache file and lock."""

    def test_exit(self) -> Deferred[None]:
        """At the exit the answers are written if possible, and errors are logged, within a few seconds."""
        return Deferred.fromCoroutine(self.exit())

    async def exit(self) -> None:
        from twisted.internet import reactor

        held, fifo, lock = (Path(self.mktemp()).absolute() for _ in range(3))
        with open(f"{held}.lock", "w", opener=_private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.mkfifo(fifo)
            os.mkfifo(f"{lock}.lock")
            started = reactor.seconds()
            _, errors, status = await getProcessOutputAndValue(
                sys.executable, ["-c", _PROGRAM, str(held), str(fifo), str(lock)], env=dict(os.environ)
            )
            self.assertLess(reactor.seconds() - started, 60)
        self.assertEqual((errors, status), (b"", 0))
        self.assertEqual([path.exists() for path in (held, fifo, lock)], [False, True, True])


_PROGRAM = """\
import signal, sys
from twisted.internet import defer, task
# A thread that waits for ever does not outlive the test.
signal.alarm(60)
from txmirror.registry.cache_file import CacheFile

def main(reactor):
    caches = [CacheFile(path, reactor) for path in sys.argv[1:]]
    for cache in caches:
        cache.put({"children": {}, "data": None, "path": "/a", "stat": None})
    return defer.gatherResults([cache.stop() for cache in caches])

task.react(main)
"""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class ThreadTests(TestCase):
    """With a real reactor the file is written in a thread."""

    def test_written(self) -> Deferred[None]:
        """The write does not block the reactor, and stop() waits for it."""
        return Deferred.fromCoroutine(self.write())

    async def write(self) -> None:
        from twisted.internet import reactor

        path = Path(self.mktemp())
        cache = CacheFile(str(path), reactor)
        cache.put(answer("/a"))
        cache._writer._timer.stop()
        cache._writer._write()
        cache.put(answer("/b"))
        self.assertFalse(path.exists() and "/b" in path.read_text("utf-8"))
        await cache.stop()
        self.assertEqual(sorted(json.loads(path.read_text("utf-8"))["paths"]), ["/a", "/b"])


class LazyTests(RegistryTestCase):
    """A registry that starts while ZooKeeper is out of reach has the last answers."""

    def setUp(self) -> None:
        super().setUp()
        self.cachefile = self.mktemp()
        self.make(NODE, b'{"a":1}')
        before = self.started(cachefile=self.cachefile)
        self.known = self.answer(before)
        self.world.result(before.stop())
        self.go_away()

    def test_restart(self) -> None:
        """The first answer comes from the file, and is stale; it becomes current by itself, and callbacks get the real
        changes.
        """
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
        """A path that is not in the file is False; the callback is called when it is known."""
        registry = self.registry(lazy=True, cachefile=self.cachefile)
        told: list[Answer] = []
        asking = registry.get("/services", callback=told.append)
        self.world.pass_time(4.1)
        self.assertIs(self.successResultOf(asking), False)
        self.assertEqual(told, [])
        self.come_back()
        self.world.pass_time(6)
        self.assertEqual([list(each["children"]) for each in told], [["ssh"]])

    def test_read_in_a_thread(self) -> None:
        """A new registry reads nothing; the first answer waits for the file, and comes from there."""
        reading: list[tuple[Deferred[Any], Callable[[], object]]] = []

        def in_thread(reactor: object, function: Callable[..., object], *arguments: Any) -> Deferred[Any]:
            reading.append((Deferred(), lambda: function(*arguments)))
            return reading[-1][0]

        self.patch(cache_file, "run_in_thread", in_thread)
        registry = self.registry(lazy=True, cachefile=self.cachefile)
        self.assertEqual(reading, [])
        asking = registry.get(PATH)
        cancelled = registry.get(PATH)
        self.world.pass_time(4.1)
        self.assertNoResult(asking)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        ((done, read),) = reading
        done.callback(read())
        self.assertEqual(self.successResultOf(asking), self.known)

    def test_fifo(self) -> None:
        """A FIFO in its place holds nobody up: the answer is False, and all goes on without."""
        Path(self.cachefile).unlink()
        os.mkfifo(self.cachefile)
        registry = self.registry(lazy=True, cachefile=self.cachefile)
        asking = registry.get(PATH)
        self.world.pass_time(4.1)
        self.assertIs(self.successResultOf(asking), False)
        self.come_back()
        self.world.pass_time(6)
        self.assertEqual(self.answer(registry), self.known)

    def test_not_lazy(self) -> None:
        """A registry that is not lazy does not make do with it."""
        registry = self.registry(cachefile=self.cachefile)
        asking = registry.get(PATH)
        self.world.pass_time(4.1)
        self.failure(asking, NoConnection)

    def test_stop_while_away(self) -> None:
        """A stop while ZooKeeper is out of reach keeps the file as it is."""
        before = Path(self.cachefile).read_bytes()
        registry = self.registry(lazy=True, cachefile=self.cachefile)
        registry.get(PATH)
        self.world.pass_time(10)
        registry.stop()
        self.world.pass_time(10)
        self.assertEqual(Path(self.cachefile).read_bytes(), before)
