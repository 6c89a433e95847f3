"""When the catalog follows the services, blocking queries, watchers that fail, and its end."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from txmirror.catalog import CatalogChange, TooManyWaiting
from txmirror.catalog import catalog as catalog_module
from txmirror.test.catalog.case import ROOT, CatalogTestCase


class UseTests(CatalogTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("web", "a:1")

    def test_lazy(self) -> None:
        """Nothing is watched before the first use, and 15 minutes after the last one."""
        self.world.settle()
        self.assertEqual((self.catalog.known, self.catalog.services), (False, {}))
        before = self.watches()
        self.use()
        self.assertGreater(self.watches(), before)
        during = self.watches()
        # One watch reports the changes of all services.
        self.make("db", "b:1")
        self.world.pass_time(600.0)
        self.successResultOf(self.catalog.use())
        self.world.pass_time(800.0)
        self.assertEqual((self.catalog.known, self.watches()), (True, during))
        index = self.catalog.index
        self.world.pass_time(200.0)
        self.assertEqual((self.catalog.known, self.catalog.services, self.watches()), (False, {}, before))
        self.changes.clear()
        self.use()
        self.assertEqual(self.show(), {"db": {"b:1": "passing"}, "web": {"a:1": "passing"}})
        self.assertGreater(self.catalog.index, index)
        self.assertEqual(self.applied(), self.show())

    def test_gone(self) -> None:
        """The indexes of some services that are gone are remembered: those of the latest."""
        self.patch(catalog_module, "_MOST_GONE", 2)
        self.use()
        base = self.catalog.index_of("missing")
        indexes = {}
        for name in ("a", "b", "c"):
            self.make(name, "x:1")
            self.delete(f"{name}/x:1", name)
            indexes[name] = self.catalog.index
        self.assertEqual({name: self.catalog.index_of(name) for name in indexes}, {**indexes, "a": base})

    def test_held(self) -> None:
        """Streams keep it followed, and 15 minutes longer."""
        self.catalog.hold()
        self.world.pass_time(3000.0)
        self.assertTrue(self.catalog.known)
        self.catalog.release()
        self.world.pass_time(899.0)
        self.assertTrue(self.catalog.known)
        self.world.pass_time(902.0)
        self.assertFalse(self.catalog.known)

    def test_use_cancelled(self) -> None:
        """Cancelling ends the wait only."""
        used = self.catalog.use()
        used.cancel()
        self.failureResultOf(used, CancelledError)
        self.flush()
        self.assertTrue(self.catalog.known)

    def test_watcher_raises(self) -> None:
        """A watcher that raises is logged, stays, and does not affect others."""
        seen: list[CatalogChange] = []

        def fail(change: CatalogChange) -> None:
            seen.append(change)
            raise RuntimeError("no")

        self.catalog.watch("first", fail)
        self.catalog.watch("last", seen.append)
        self.use()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.make("web", "b:1")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(len(seen), 4)
        self.catalog.unwatch("first")
        self.catalog.unwatch("last")
        self.make("web", "c:1")
        self.assertEqual(len(seen), 4)

    def test_watcher_closes(self) -> None:
        """A watcher may close the catalog."""
        self.make("db", "b:1")
        self.catalog.watch("closing", lambda change: self.catalog.close())
        self.use()
        self.assertTrue(self.catalog.stale)
        self.assertEqual(len(self.changes), 1)

    def test_many(self) -> None:
        """Many services, and many nodes of one, are shown over some turns of the reactor."""
        for number in range(30):
            self.make(f"service-{number:02}", "a:1")
        for number in range(900):
            self.other.create(f"{ROOT}/web/b{number:03}:1", b"{}")
        self.world.settle()
        counts: list[int] = []
        turn = [0]

        def note(change: CatalogChange) -> None:
            if not turn[0]:
                self.world.reactor.callLater(0, end_turn)
            turn[0] += len(change.entries)

        def end_turn() -> None:
            counts.append(turn[0])
            turn[0] = 0

        self.catalog.watch("noting", note)
        self.use()
        self.assertEqual((sum(counts), len(self.catalog.services)), (931, 31))
        self.assertLessEqual(max(counts), 600)
        self.assertGreater(len(counts), 1)
        self.assertEqual(self.applied(), self.show())
        self.assertEqual(list(self.catalog.services["web"].names), sorted(self.catalog.services["web"].entries))

    def test_closed(self) -> None:
        """A closed catalog shows the last known state, does not change, and makes nobody wait."""
        self.use()
        waiting = self.catalog.wait_for_change(None, self.catalog.index, 60.0)
        self.successResultOf(self.catalog.close())
        self.successResultOf(self.catalog.close())
        self.assertIsNone(self.successResultOf(waiting))
        self.make("web", "b:1")
        self.assertEqual((self.show(), self.catalog.stale), ({"web": {"a:1": "passing"}}, True))
        self.successResultOf(self.catalog.use())
        self.successResultOf(self.catalog.wait_for_change(None, self.catalog.index, 60.0))
        self.catalog.hold()
        self.catalog.release()

    def test_closed_while_reading(self) -> None:
        used = self.catalog.use()
        self.successResultOf(self.catalog.close())
        self.assertIsNone(self.successResultOf(used))
        self.world.pass_time(5.0)
        self.assertEqual(self.changes, [])

    def test_mirror_closed(self) -> None:
        """After the end of its mirror the catalog shows the last known state, and is stale."""
        self.use()
        closed = self.mirror.close()
        self.world.settle()
        self.successResultOf(closed)
        self.assertEqual((self.show(), self.catalog.stale), ({"web": {"a:1": "passing"}}, True))

    def test_mirror_closed_before(self) -> None:
        closed = self.mirror.close()
        self.world.settle()
        self.successResultOf(closed)
        used = self.catalog.use()
        self.world.pass_time(3.0)
        self.assertIsNone(self.successResultOf(used))
        self.assertEqual((self.catalog.known, self.catalog.stale), (False, True))

    def watches(self) -> int:
        """Return the number of watches that the server has."""
        count: int = self.world.server._replica.watches.count()
        return count


class WaitingTests(CatalogTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("web", "a:1")
        self.make("db", "b:1")
        self.use()

    def test_changed(self) -> None:
        """A wait for a service ends with its change, and a wait for any with each."""
        web = self.catalog.wait_for_change("web", self.catalog.index_of("web"), 60.0)
        any_of_them = self.catalog.wait_for_change(None, self.catalog.index, 60.0)
        self.make("db", "c:1")
        self.assertNoResult(web)
        self.assertIsNone(self.successResultOf(any_of_them))
        self.make("web", "c:1")
        self.assertIsNone(self.successResultOf(web))

    def test_other_index(self) -> None:
        """Another index than the present one is answered at once, also a later one."""
        for index in (0, self.catalog.index - 1, self.catalog.index + 1):
            self.successResultOf(self.catalog.wait_for_change(None, index, 60.0))

    def test_time_over(self) -> None:
        waiting = self.catalog.wait_for_change("web", self.catalog.index_of("web"), 5.0)
        self.world.pass_time(4.9)
        self.assertNoResult(waiting)
        self.world.pass_time(0.2)
        self.assertIsNone(self.successResultOf(waiting))

    def test_missing(self) -> None:
        """A service that does not exist can be waited for, and so can one that was deleted."""
        waiting = self.catalog.wait_for_change("new", self.catalog.index_of("new"), 60.0)
        self.make("new")
        self.assertIsNone(self.successResultOf(waiting))
        present = self.catalog.index_of("new")
        waiting = self.catalog.wait_for_change("new", present, 60.0)
        self.delete("new")
        self.assertIsNone(self.successResultOf(waiting))
        self.assertGreater(self.catalog.index_of("new"), present)
        waiting = self.catalog.wait_for_change("new", self.catalog.index_of("new"), 60.0)
        self.assertNoResult(waiting)
        self.make("new")
        self.assertIsNone(self.successResultOf(waiting))

    def test_recreated(self) -> None:
        """A service that is deleted and created again has another index, also if nobody has seen it gone."""
        before = self.catalog.index_of("web")
        self.changes.clear()
        self.delete("web/a:1", "web")
        self.make("web", "a:1")
        self.assertGreater(self.catalog.index_of("web"), before)
        self.assertEqual(self.show()["web"], {"a:1": "passing"})

    def test_cancelled(self) -> None:
        """A client that goes ends its wait, and leaves nothing."""
        self.successResultOf(self.catalog.close())
        self.make_catalog(most_waiting=1)
        self.use()
        for _ in range(3):
            waiting = self.catalog.wait_for_change("web", self.catalog.index_of("web"), 60.0)
            self.assertNoResult(waiting)
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)

    def test_too_many(self) -> None:
        self.successResultOf(self.catalog.close())
        self.make_catalog(most_waiting=2)
        self.use()
        waiting = [self.catalog.wait_for_change(name, self.catalog.index_of(name), 60.0) for name in ("web", None)]
        error = self.failureResultOf(
            self.catalog.wait_for_change("db", self.catalog.index_of("db"), 60.0), TooManyWaiting
        )
        self.assertEqual(str(error.value), "2 requests wait for changes already")
        self.make("web", "c:1")
        for each in waiting:
            self.successResultOf(each)
        self.assertNoResult(self.catalog.wait_for_change("db", self.catalog.index_of("db"), 60.0))

    def test_many_end(self) -> None:
        """Many waits end over some turns of the reactor; one that is cancelled by another's callback does not fire."""
        index = self.catalog.index
        waiting = [self.catalog.wait_for_change(None, index, 60.0) for _ in range(50)]
        waiting[0].addCallback(lambda _: waiting[1].cancel())
        self.make("web", "c:1")
        self.failureResultOf(waiting.pop(1), CancelledError)
        for each in waiting:
            self.successResultOf(each)

    def test_kept_followed(self) -> None:
        """While a request waits, the services are followed."""
        waiting = self.catalog.wait_for_change("web", self.catalog.index_of("web"), 3000.0)
        self.world.pass_time(2990.0)
        self.assertTrue(self.catalog.known)
        self.make("web", "c:1")
        self.assertIsNone(self.successResultOf(waiting))
