"""What every recipe has: an ``acl`` for all nodes that it creates, and a ``repr`` that says who and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

import txmirror.recipes
from txmirror.printable import session_name
from txmirror.recipes import (
    Barrier,
    Counter,
    DoubleBarrier,
    Election,
    Lock,
    LockingQueue,
    Members,
    MultiLock,
    Partitioner,
    Party,
    Queue,
    ReadLock,
    Semaphore,
    SharedValue,
    WriteLock,
)
from txmirror.test.recipes.case import RecipeCase
from txmirror.types import OPEN_ACL, READ_ACL, digest_acl

_OURS = [digest_acl("app", "secret"), *READ_ACL]
#: The values and parts of recipes, which are not made by programs.
_NO_RECIPES = {"Leadership", "Share", "TakenEntry", "VersionedValue"}


class EveryRecipeTests(RecipeCase):
    path = "/app/parts/one"

    def setUp(self) -> None:
        super().setUp()
        self.ours = self.client()
        self.done(self.ours.add_auth("digest", b"app:secret"))

    def make(self, kind: Any, *arguments: Any, **options: Any) -> Any:
        return kind(self.ours, self.path, *arguments, reactor=self.world.reactor, **options)

    @property
    def recipes(self) -> dict[Any, tuple[Callable[..., Any], Callable[[Any], Any], int]]:
        """For each recipe: how to make it, what to do with it, and how many nodes it has then, besides the two above its path."""

        def run(election: Any) -> None:
            election.run(Deferred).addErrback(lambda _: None)
            self.settle()

        def take(queue: Any) -> None:
            self.done(queue.put(b"1"))
            self.done(queue.put(b"2"))
            self.done(queue.get())

        def share(partitioner: Any) -> None:
            self.done(partitioner.start())
            self.settle()

        def of(kind: Any, *arguments: Any, **more: Any) -> Callable[..., Any]:
            return lambda **options: self.make(kind, *arguments, **more, **options)

        def several(**options: Any) -> MultiLock:
            return MultiLock(
                [self.make(Lock, **options), Lock(self.ours, f"{self.path}-2", reactor=self.world.reactor, **options)],
                reactor=self.world.reactor,
            )

        return {
            Lock: (of(Lock), lambda lock: self.done(lock.acquire()), 2),
            ReadLock: (of(ReadLock), lambda lock: self.done(lock.acquire()), 2),
            WriteLock: (of(WriteLock), lambda lock: self.done(lock.acquire()), 2),
            # The node of its queue stays.
            Semaphore: (of(Semaphore), lambda lock: self.done(lock.acquire()), 3),
            Election: (of(Election), run, 2),
            MultiLock: (several, lambda lock: self.done(lock.acquire()), 4),
            # An entry, a mark, and both parents.
            Queue: (of(Queue), take, 4),
            # The queue, its two parents, two entries, our node for the first, and a mark.
            LockingQueue: (of(LockingQueue), take, 7),
            Counter: (of(Counter), lambda counter: self.done(counter.add(1)), 1),
            SharedValue: (of(SharedValue), lambda value: self.done(value.update(lambda _: b"1")), 1),
            Barrier: (of(Barrier), lambda barrier: self.done(barrier.create()), 1),
            DoubleBarrier: (of(DoubleBarrier, count=1), lambda barrier: self.done(barrier.enter()), 3),
            Party: (of(Party), lambda party: self.done(party.join()), 2),
            Members: (of(Members, "us"), lambda members: self.done(members.join()), 2),
            # The members with ours, the items with one and our lock. The group's own node is above them.
            Partitioner: (of(Partitioner, ["a"], lambda _: Deferred(), delay=0.0), share, 4),
        }

    def nodes_below(self, path: str) -> list[str]:
        """Return the paths of all nodes below a node."""
        found = []
        for name in self.nodes(path):
            below = f"{path}/{name}"
            found += [below, *self.nodes_below(below)]
        return found

    def end(self) -> None:
        """Close the client, and delete all nodes; begin again with another client."""
        self.done(self.ours.close())
        insider = self.client()
        self.done(insider.add_auth("digest", b"app:secret"))
        for path in reversed(self.nodes_below("/app")):
            self.done(insider.delete(path))
        self.ours = insider

    def test_all(self) -> None:
        """These are all recipes."""
        self.assertEqual({kind.__name__ for kind in self.recipes}, set(txmirror.recipes.__all__) - _NO_RECIPES)

    def test_acl(self) -> None:
        """All nodes that a recipe creates have the ACL, but for those above its path, which are open."""
        for kind in self.recipes:
            make, use, count = self.recipes[kind]
            use(make(acl=_OURS))
            # Whoever may not administer a node is not told the digests in its ACL.
            acls = {path: list(self.done(self.ours.get_acl(path))[0]) for path in self.nodes_below("/app")}
            above = [path for path in acls if self.path.startswith(path) and path != self.path]
            above += [f"{self.path}/items"] if kind is Partitioner else []
            above += [self.path] if kind is Partitioner else []
            self.assertEqual([acls.pop(path) for path in above], [list(OPEN_ACL)] * len(above), kind)
            self.assertEqual(list(acls.values()), [_OURS] * count, (kind, list(acls)))
            self.end()

    def test_wrong_acl(self) -> None:
        """An invalid ACL raises at once, and is quoted."""
        for kind, (make, _, _) in self.recipes.items():
            for acl in ("world", [("world", "anyone")], digest_acl("app", "secret"), 31):
                error = self.assertRaises(TypeError, make, acl=acl)
                self.assertEqual(str(error), f"an acl is a sequence of ACL, not {acl!r:.80}", kind)

    def test_repr(self) -> None:
        """A ``repr`` has the class, the path and the session, and changes with the state."""
        for kind in self.recipes:
            make, use, _ = self.recipes[kind]
            recipe = make()
            before = repr(recipe)
            use(recipe)
            for text in (before, repr(recipe)):
                self.assertTrue(text.startswith(f"<{kind.__name__} {self.path!r}"), text)
                self.assertIn(f"session {session_name(self.ours.session_id)}", text)
                self.assertNotIn("\n", text)
            # These have no state of their own.
            stateless = kind in (Queue, LockingQueue, Counter, SharedValue, Barrier)
            self.assertEqual(before == repr(recipe), stateless, before)
            self.end()
