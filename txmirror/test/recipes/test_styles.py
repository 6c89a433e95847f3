"""Locks on one path with those of other implementations, whose nodes are created here as their sources name them."""

from __future__ import annotations

import uuid
from typing import Any

from twisted.internet.defer import Deferred, succeed

from txmirror.client import ZooKeeperClient
from txmirror.creating_paths import create_path
from txmirror.errors import LockMismatchError
from txmirror.recipes import Election, Lock, ReadLock, Semaphore, WriteLock
from txmirror.recipes.lock_order import LockOrder
from txmirror.recipes.lock_style import STYLES
from txmirror.test.recipes.case import RecipeCase

_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: The whole form of a node's name, without its number, by style and kind.
_FORMS = {
    ("kazoo", Lock): r"[0-9a-f]{32}__lock__",
    ("kazoo", WriteLock): r"[0-9a-f]{32}__lock__",
    ("kazoo", ReadLock): r"[0-9a-f]{32}__rlock__",
    ("curator-mutex", Lock): rf"_c_{_UUID}-lock-",
    ("curator-read-write", WriteLock): rf"_c_{_UUID}-__WRIT__",
    ("curator-read-write", ReadLock): rf"_c_{_UUID}-__READ__",
    ("curator-latch", Lock): rf"_c_{_UUID}-latch-",
    ("go", Lock): r"_c_[0-9a-f]{32}-lock-",
}


class StylesTests(RecipeCase):
    def foreign(self, form: str, client: ZooKeeperClient | None = None, data: bytes = b"host2") -> str:
        """Create the node of another implementation's contender, and return its path."""
        if self.done(self.observer.exists(self.path)) is None:
            self.done(Deferred.fromCoroutine(create_path(self.observer, self.path)))
        path = f"{self.path}/{form.format(uuid=uuid.uuid4(), hex=uuid.uuid4().hex)}"
        created: str = self.done((client or self.observer).create(path, data, ephemeral=True, sequence=True))
        return created

    def test_names(self) -> None:
        """Our node has the form of the style's names."""
        for (style, kind), form in _FORMS.items():
            lock = self.lock(kind=kind, style=style)
            self.assertTrue(self.done(lock.acquire()))
            self.assertRegex(self.nodes()[0], rf"\A{form}\d{{10}}\Z")
            self.assertEqual(self.done(lock.contenders()), [""])
            self.done(lock.release())
        self.assertEqual({style for style, _ in _FORMS}, set(STYLES))

    def test_wait_for_others(self) -> None:
        """A contender waits for another implementation's contender before it, and holds the lock when that is gone."""
        for style, form in (
            ("curator-mutex", "_c_{uuid}-lock-"),
            ("curator-mutex", "_c_{hex}-lock-"),
            ("go", "_c_{uuid}-lock-"),
            ("go", "lock-"),
            ("curator-latch", "_c_{uuid}-latch-"),
            ("curator-read-write", "_c_{uuid}-__WRIT__"),
            ("curator-read-write", "_c_{uuid}-__READ__"),
            ("kazoo", "{hex}__lock__"),
        ):
            path = self.foreign(form)
            lock = self.lock(style=style, name="host1")
            acquired = self.begin(lock)
            self.assertNoResult(acquired)
            self.assertEqual(self.done(lock.contenders()), ["host2", "host1"])
            self.assertFalse(self.done(self.lock(style=style).acquire(wait=0)))
            self.done(self.observer.delete(path))
            self.assertTrue(self.done(acquired))
            self.done(lock.release())

    def test_readers(self) -> None:
        """Readers of both implementations share the lock; writers exclude them."""
        self.foreign("_c_{uuid}-__READ__")
        reader = self.lock(kind=ReadLock, style="curator-read-write")
        self.assertTrue(self.done(reader.acquire(wait=0)))
        self.assertFalse(self.done(self.lock(kind=WriteLock, style="curator-read-write").acquire(wait=0)))
        writer = self.foreign("_c_{uuid}-__WRIT__")
        late = self.lock(kind=ReadLock, style="curator-read-write")
        acquired = self.begin(late)
        self.assertNoResult(acquired)
        self.done(self.observer.delete(writer))
        self.assertTrue(self.done(acquired))
        self.assertTrue(reader.held)

    def test_reentrant_reader(self) -> None:
        """A reader within Curator's own write lock has the number of the writer, and no node waits for it as for another."""
        writer = self.foreign("_c_{uuid}-__WRIT__")
        reader = f"{self.path}/_c_{uuid.uuid4()}-__READ__{writer[-10:]}"
        self.done(self.observer.create(reader, ephemeral=True))
        lock = self.lock(style="curator-read-write")
        acquired = self.begin(lock)
        self.done(self.observer.delete(writer))
        self.settle()
        self.assertNoResult(acquired)
        self.done(self.observer.delete(reader))
        self.assertTrue(self.done(acquired))

    def test_extra_patterns(self) -> None:
        """Contenders with other names count, if they are named: also characters that a regular expression would interpret."""
        path = self.foreign("{hex}.(lock)+")
        self.assertTrue(self.done(self.lock().acquire(wait=0)))
        lock = self.lock(extra_lock_patterns=[".(lock)+"])
        acquired = self.begin(lock)
        self.assertNoResult(acquired)
        reader = self.lock(kind=ReadLock, extra_lock_patterns=[".(lock)+"])
        self.assertFalse(self.done(reader.acquire(wait=0)))
        self.done(self.observer.delete(path))
        # Our first lock is before it.
        self.assertNoResult(acquired)

    def test_other_styles_refused(self) -> None:
        """A held lock of another style is refused with a sentence, in both orders; a node that is not ephemeral is none."""
        for ours, theirs, form, user in (
            ("kazoo", "curator-mutex", "_c_{uuid}-lock-", "Curator's InterProcessMutex or go-zookeeper's Lock"),
            ("kazoo", "curator-read-write", "_c_{uuid}-__READ__", "Curator's InterProcessReadWriteLock"),
            ("curator-mutex", "kazoo", "{hex}__rlock__", "kazoo's locks"),
            ("go", "curator-latch", "_c_{uuid}-latch-", "Curator's LeaderLatch"),
        ):
            path = self.foreign(form)
            failure = self.failureResultOf(self._settled(self.lock(style=ours).acquire()), LockMismatchError)
            self.assertEqual(
                str(failure.value),
                f"'/locks/one' is used as a lock of another kind, {user}, by 'host2' (session {self.observer.session_id:#x}):"
                f" use another path, or a lock with style={theirs!r}",
            )
            self.assertEqual(self.nodes(), [path.rpartition("/")[2]])
            self.done(self.observer.delete(path))
            self.done(self.observer.create(path, b""))
            lock = self.lock(style=ours)
            self.assertTrue(self.done(lock.acquire()))
            self.done(lock.release())
            self.done(self.observer.delete(path))

    def test_curators_semaphore(self) -> None:
        """The semaphore of Curator is recognised by its nodes; other children with these names are none."""
        kinds: list[tuple[type[Any], dict[str, Any]]] = [
            (Lock, {}),
            (Lock, {"style": "curator-mutex"}),
            (Semaphore, {}),
            (Semaphore, {"leases": 10}),
        ]
        for parent, form in (("leases", "_c_{uuid}-lease-"), ("locks", "_c_{uuid}-lock-")):
            self.done(Deferred.fromCoroutine(create_path(self.observer, f"{self.path}/{parent}")))
            for kind, options in kinds:
                if kind is Lock:
                    lock = self.lock(kind=kind, **options)
                    self.assertTrue(self.done(lock.acquire()))
                    self.done(lock.release())
            name = form.format(uuid=uuid.uuid4())
            path = self.done(self.observer.create(f"{self.path}/{parent}/{name}", b"", ephemeral=True, sequence=True))
            for kind, options in kinds:
                claim = self.lock(kind=kind, **options)
                failure = self.failureResultOf(self._settled(claim.acquire()), LockMismatchError)
                self.assertEqual(
                    str(failure.value),
                    "'/locks/one' is used as a semaphore by Curator's InterProcessSemaphoreV2: use another path",
                )
                self.assertEqual(self.nodes(), [parent])
            self.done(self.observer.delete(path))
            self.done(self.observer.delete(f"{self.path}/{parent}"))

    def test_semaphore_and_other_locks(self) -> None:
        """A semaphore is refused where a lock of another style is held."""
        self.foreign("_c_{uuid}-lock-")
        failure = self.failureResultOf(self._settled(self.lock(kind=Semaphore, leases=3).acquire()), LockMismatchError)
        self.assertIn("is used as a lock of another kind", str(failure.value))

    def test_election(self) -> None:
        """A candidate waits for Curator's latch and leader selector."""
        for style, form in (("curator-latch", "_c_{uuid}-latch-"), ("curator-mutex", "_c_{uuid}-lock-")):
            path = self.foreign(form)
            election = Election(self.client(), self.path, style=style, reactor=self.world.reactor)
            leading = election.run(lambda: succeed("led"))
            self.settle()
            self.assertNoResult(leading)
            self.done(self.observer.delete(path))
            self.assertEqual(self.done(leading), "led")

    def test_bad_arguments(self) -> None:
        for kind, options, text in (
            (Lock, {"style": "curator"}, "style is 'curator', and not one of kazoo, curator-mutex"),
            (Lock, {"style": ["go"]}, r"style is \['go'\]"),
            (ReadLock, {"style": "curator-mutex"}, "style 'curator-mutex' has no locks for readers"),
            (Lock, {"extra_lock_patterns": "-lock-"}, "extra_lock_patterns is '-lock-'"),
            (Lock, {"extra_lock_patterns": ["a/b"]}, "extra_lock_patterns has 'a/b'"),
            (Election, {"extra_lock_patterns": [""]}, "extra_lock_patterns has ''"),
            (WriteLock, {"extra_lock_patterns": [3]}, "extra_lock_patterns has 3"),
        ):
            made: Any = kind
            with self.assertRaisesRegex((TypeError, ValueError), text):
                made(self.observer, self.path, **options)

    def test_order(self) -> None:
        """The first of two styles with one text before the number is named; our own are not foreign."""
        foreign = LockOrder().foreign(["a-lock-0000000001", "b__lock__0000000002", "lease", "c-latch-0000000000"])
        self.assertEqual(
            [(name, style.name) for name, style in foreign],
            [("a-lock-0000000001", "curator-mutex"), ("c-latch-0000000000", "curator-latch")],
        )
        self.assertEqual(LockOrder(STYLES["go"]).foreign(["a-lock-0000000001"]), [])
        self.assertEqual(LockOrder(extra=["latch-"]).foreign(["c-latch-0000000000"]), [])

    def _settled(self, deferred: Deferred[Any]) -> Deferred[Any]:
        self.settle()
        return deferred
