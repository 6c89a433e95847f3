"""Many nodes with watches of their own, whose data is read in batches."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Limits
from txmirror.errors import ClosingException, NoAuthException
from txmirror.mirror import Existence, MirrorState, Node, watched_reads
from txmirror.mirror.read_queue import PendingRead
from txmirror.mirror.store import DATA, PartState, Store, TreeIndex
from txmirror.mirror.watched_reads import WatchedReads
from txmirror.test.client.peer import STAT
from txmirror.test.mirror.test_scale import ManyTestCase
from txmirror.test.mirror.world import MirrorTestCase, ScriptedTestCase, watch_value
from txmirror.testing import MemoryReactor
from txmirror.types import EventType, News, WatchedEvent
from txmirror.wire import (
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    MultiReadRequest,
    MultiResponse,
    Operation,
    SetWatchesRequest,
)

_COUNT = 300
_LATEST = 2**63 - 1


class FloodTestCase(ManyTestCase):
    """Nodes that are wanted all at once."""

    def setUp(self) -> None:
        super().setUp()
        self.plant(_COUNT)
        nodes = self.world.server._state.database.tree.nodes
        self.paths = [path for path in nodes if path.count("/") == 3]
        self.done(self.mirror.connect())
        self.settle()
        self.watches = self.world.server._replica.watches
        self.before = self.watches.count()

    def get_all(self) -> list[Node]:
        nodes = [self.mirror.get(path) for path in self.paths]
        self.settle()
        return nodes

    def change_all(self, data: bytes) -> None:
        for path in self.paths:
            self.other.set(path, data)
        self.settle()

    def assert_shown(self, nodes: list[Node]) -> None:
        """All nodes show the server's state, and have one watch each."""
        self.assertIs(self.mirror.state, MirrorState.SETTLED)
        stored = self.world.server._state.database.tree.nodes
        for node in nodes:
            there = stored[node.path]
            assert node.state.stat is not None
            self.assertEqual((node.state.value, node.state.stat.mzxid), (there.data, there.mzxid))
        self.assertEqual(self.watches.count() - self.before, len(nodes))


class FloodTests(FloodTestCase):
    def test_new(self) -> None:
        """M7c: they cost one watch each, and few requests."""
        requests = self.world.requests()
        nodes = self.get_all()
        self.assertLess(self.world.requests() - requests, 100)
        self.assert_shown(nodes)

    def test_changes(self) -> None:
        """M6: a change of all of them costs few requests, every watcher is called with it once, and the watches stay."""
        nodes = self.get_all()
        told = [watch_value(node) for node in nodes]
        for number in range(3):
            requests = self.world.requests()
            self.change_all(b"%d" % number)
            self.assertLess(self.world.requests() - requests - _COUNT, 150)
            self.assert_shown(nodes)
        self.assertEqual(told, [[b"0", b"1", b"2"]] * _COUNT)

    def test_deleted(self) -> None:
        """They are deleted, and created again, and each is noticed."""
        nodes = self.get_all()
        told = [watch_value(node) for node in nodes]
        for path in self.paths:
            self.other.delete(path)
        self.settle()
        self.assertEqual({node.state.existence for node in nodes}, {Existence.ABSENT})
        self.assertIs(self.mirror.state, MirrorState.SETTLED)
        for path in self.paths:
            self.other.create(path, b"again")
        self.settle()
        self.assertEqual(told, [[None, b"again"]] * _COUNT)
        self.assert_shown(nodes)

    def test_missing(self) -> None:
        """Missing nodes among them are noticed as soon as they are created."""
        present = self.paths
        self.paths = [path for each in present for path in (each, f"{each}-missing")]
        nodes = self.get_all()
        missing = nodes[1::2]
        self.assertEqual({node.state.existence for node in missing}, {Existence.ABSENT})
        self.assertIs(self.mirror.state, MirrorState.SETTLED)
        for node in missing:
            self.other.create(node.path, b"new")
        self.settle()
        self.assert_shown(nodes)

    def test_recovery(self) -> None:
        """M7: changes while there was no connection are seen, in the same session and in a new one, and no watch is left."""
        nodes = self.get_all()
        for number, leave in enumerate((self.world.leave, self.world.expire_away)):
            leave()
            self.before = self.watches.count()
            for path in self.paths[::3]:
                self.other.set(path, b"%d" % number)
            self.settle()
            self.reads = 0
            self.world.come_back()
            self.assertLessEqual(self.reads, len(self.paths[::3]))
            self.assert_shown(nodes)
            self.change_all(b"later %d" % number)
            self.assert_shown(nodes)

    def test_lost_while_read(self) -> None:
        """M7: the connection is lost at any moment while they are read, and all is shown in the end."""
        nodes = self.get_all()
        for steps in range(1, 30, 3):
            for path in self.paths:
                self.other.set(path, b"%d" % steps)
            self.world.step(steps)
            self.world.leave()
            self.before = self.watches.count()
            self.world.come_back()
            self.settle()
            self.assert_shown(nodes)


class ReleasedTests(FloodTestCase):
    def test_few(self) -> None:
        """Some nodes cost one request each."""
        self.paths = self.paths[:20]
        requests = self.world.requests()
        nodes = self.get_all()
        self.assertEqual(self.world.requests() - requests, 20)
        self.assert_shown(nodes)

    def test_evicted(self) -> None:
        """M8: no watch is left for nodes that nobody holds any more, also if they were being read."""
        self.get_all()
        for path in self.paths:
            self.other.set(path, b"new")
        self.world.step(2)
        self.pass_time(400.0)
        self.assertEqual(self.watches.count(), self.before)

    def test_persistent_watch(self) -> None:
        """A persistent watch that the program has on one of them stays."""
        told: list[News] = []
        path = self.paths[-1]
        self.done(self.world.mirror_client.add_watch(path, told.append))
        # It counts as two, and its node has no other.
        self.before += 1
        nodes = self.get_all()
        for number in range(2):
            self.change_all(b"%d" % number)
            self.assert_shown(nodes)
        self.assertEqual([each.type for each in told if isinstance(each, WatchedEvent)], [EventType.CHANGED] * 2)


class NodeByNodeTests(ManyTestCase):
    """A tree without a persistent watch, at a server that has batched reads, by which all data is read."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(watched_reads, "_SINGLES", 0)
        self.patch(watched_reads, "_FEWEST", 1)
        self.patch(MemoryReactor, "patience", 20_000)
        self.plant(_COUNT)
        self.world.server.fail_next("add_watch", NoAuthException())
        self.tree = self.mirror.tree("/s")
        self.settle()
        self.assertEqual(self.world.server._replica.watches.count(), 2 * (_COUNT + 101))

    def remove_many(self) -> None:
        """Delete 90 nodes in transactions."""
        for first in range(0, 90, 30):
            transaction = self.other.transaction()
            for group in range(first, first + 30):
                transaction.delete(f"/s/{group}/0")
            transaction.commit()

    def test_deleted_together(self) -> None:
        """Many nodes are deleted at once, and each is read once more, although the server answers a watch on a missing node with an
        event.
        """
        requests = self.world.requests()
        self.remove_many()
        self.settle()
        self.compare(self.tree)
        self.assertLess(self.world.requests() - requests, 400)

    def test_created_again(self) -> None:
        """Their creation is noticed, also if it comes before the replies to the reads."""
        for turns in range(0, 60, 3):
            self.remove_many()
            self.world.reactor.take_turns(turns)
            for group in range(90):
                self.other.create(f"/s/{group}/0", b"again")
            self.settle()
            self.compare(self.tree)


class OldFloodTests(FloodTests):
    """A flood at a server without batched reads."""

    version = "3.4"

    def setUp(self) -> None:
        super().setUp()
        link = self.world.link
        nodes = self.get_all()
        self.pass_time(2.0)
        self.assert_shown(nodes)
        # Finding out has cost one connection.
        self.assertIsNot(self.world.link, link)
        del nodes
        # Nothing is known any more. A server of this version cannot remove watches.
        self.pass_time(400.0)
        self.link = self.world.link

    def test_new(self) -> None:
        """Each node is read by itself."""
        requests = self.world.requests()
        nodes = self.get_all()
        self.assertEqual(self.world.requests() - requests, _COUNT)
        self.assert_shown(nodes)
        self.assertIs(self.world.link, self.link)

    def test_changes(self) -> None:
        """M6: every watcher is called once with each change."""
        nodes = self.get_all()
        told = [watch_value(node) for node in nodes]
        for number in range(2):
            self.change_all(b"%d" % number)
            self.assert_shown(nodes)
        self.assertEqual(told, [[b"0", b"1"]] * _COUNT)
        self.assertIs(self.world.link, self.link)


class KeeperFloodTests(FloodTests):
    """A flood at ClickHouse Keeper, which may lack batched reads."""

    version = "keeper"

    def setUp(self) -> None:
        super().setUp()
        state = self.world.server._own_state
        state.version = attrs.evolve(state.version, operations=state.version.operations - {Operation.MULTI_READ})
        self.session_id = self.world.mirror_client.session_id

    def test_new(self) -> None:
        """Each node is read by itself: the session must not end with an unknown request."""
        requests = self.world.requests()
        nodes = self.get_all()
        self.assertEqual(self.world.requests() - requests, _COUNT)
        self.assert_shown(nodes)
        self.assertEqual(self.world.mirror_client.session_id, self.session_id)

    def test_changes(self) -> None:
        """M6: every watcher is called once with each change, in the same session."""
        nodes = self.get_all()
        told = [watch_value(node) for node in nodes]
        self.change_all(b"new")
        self.assert_shown(nodes)
        self.assertEqual(told, [[b"new"]] * _COUNT)
        self.assertEqual(self.world.mirror_client.session_id, self.session_id)


class NewFloodTests(FloodTests):
    """A flood at a server of version 3.9."""

    version = "3.9"


class LargeFloodTests(MirrorTestCase):
    limits = Limits(max_reply=3000)

    def test_large(self) -> None:
        """A batch with a reply that is too large is read again in smaller ones, with its watches."""
        paths = [f"/{number}" for number in range(60)]
        for path in paths:
            self.world.make(path, b"x" * 1000)
        self.done(self.mirror.connect())
        nodes = [self.mirror.get(path) for path in paths]
        self.settle()
        self.assertEqual({len(node.state.value or b"") for node in nodes}, {1000})
        for path in paths:
            self.other.set(path, b"y" * 1000)
        self.settle()
        self.assertEqual({node.state.value for node in nodes}, {b"y" * 1000})
        self.assertIs(self.mirror.state, MirrorState.SETTLED)


class OrderTests(ScriptedTestCase):
    """The requests of a batch, at a server that the test controls."""

    def setUp(self) -> None:
        super().setUp()
        self.mirror, self.peer = self.make_mirror()
        self.peer.answer(SetWatchesRequest)
        self.nodes = [self.mirror.get(f"/{number}") for number in range(50)]
        self.told = [watch_value(node) for node in self.nodes]
        self.answer_singles(self.nodes[:32], b"one")
        self.batch = self.nodes[32:]

    def answer_singles(self, nodes: list[Node], data: bytes) -> None:
        for node in nodes:
            request = self.peer.answer(GetDataRequest, GetDataResponse(data, STAT))
            self.assertEqual((request.path, request.watch), (node.path, True))

    def take_batch(self) -> tuple[int, int]:
        """Take the requests of the first batch, of four nodes, and return their xids."""
        watching, watches = self.peer.take(SetWatchesRequest)
        paths = tuple(node.path for node in self.batch[:4])
        self.assertEqual((watches.relativeZxid, watches.dataWatches), (_LATEST, paths))
        reading, reads = self.peer.take(MultiReadRequest)
        self.assertEqual(reads.requests, tuple(GetDataRequest(path, False) for path in paths))
        return watching, reading

    def test_changed_meanwhile(self) -> None:
        """M2: a node that changes after its watch was set, and is read before or after that, is read again."""
        watching, reading = self.take_batch()
        self.peer.reply(watching)
        changed = self.batch[1]
        self.peer.event(EventType.CHANGED, changed.path)
        value = changed.value()
        self.peer.reply(reading, MultiResponse([GetDataResponse(b"one", STAT)] * 4))
        self.successResultOf(self.batch[0].value())
        self.assertNoResult(value)

    def test_changed_before_the_reply(self) -> None:
        """M2: a node whose event arrives with the watches is read again."""
        watching, reading = self.take_batch()
        changed = self.batch[1]
        self.peer.event(EventType.CHANGED, changed.path)
        value = changed.value()
        self.peer.reply(watching)
        self.peer.reply(reading, MultiResponse([GetDataResponse(b"one", STAT)] * 4))
        self.successResultOf(self.batch[0].value())
        self.assertNoResult(value)

    def test_refused(self) -> None:
        """If the server refuses to set the watches, nothing is believed, and each node is read by itself with a watch; also those
        that were read before, because the refusal may concern their watches.
        """
        watching, reading = self.take_batch()
        self.peer.reply(watching, err=-6)
        self.peer.reply(reading, MultiResponse([GetDataResponse(b"unwatched", STAT)] * 4))
        self.assertEqual([told for told in self.told if told], [[b"one"]] * 32)
        read = set()
        while self.peer.packets:
            # Other batches were sent already.
            if self.peer.operations[0] == Operation.SET_WATCHES:
                self.peer.answer(SetWatchesRequest, err=-6)
            elif self.peer.operations[0] == Operation.MULTI_READ:
                xid, batch = self.peer.take(MultiReadRequest)
                self.peer.reply(xid, MultiResponse([GetDataResponse(b"unwatched", STAT)] * len(batch.requests)))
            else:
                request = self.peer.answer(GetDataRequest, GetDataResponse(b"two", STAT._replace(mzxid=200)), zxid=200)
                self.assertTrue(request.watch)
                read.add(request.path)
        self.assertEqual(read, {node.path for node in self.nodes})
        self.assertEqual({node.state.value for node in self.nodes}, {b"two"})


class NamesTests(ScriptedTestCase):
    def test_names(self) -> None:
        """M4: the names of a node's children are not read before its data, which then does not wait for a batch."""
        mirror, peer = self.make_mirror()
        peer.answer(SetWatchesRequest)
        nodes = [mirror.get(f"/{number}") for number in range(45)]
        asked = nodes[40].children()
        for path in (*(node.path for node in nodes[:32]), "/40"):
            self.assertEqual(peer.answer(GetDataRequest, GetDataResponse(b"one", STAT)).path, path)
        self.assertEqual(peer.answer(GetChildren2Request, GetChildren2Response(["x"], STAT)).path, "/40")
        self.assertEqual(self.successResultOf(asked), ["x"])
        batched = []
        while Operation.SET_WATCHES in peer.operations:
            peer.answer(SetWatchesRequest)
            xid, batch = peer.take(MultiReadRequest)
            batched += [read.path for read in batch.requests]
            peer.reply(xid, MultiResponse([GetDataResponse(b"one", STAT)] * len(batch.requests)))
        self.assertEqual(batched, [node.path for node in nodes[32:40]])


class TakeTests(SynchronousTestCase):
    """The nodes of a batch."""

    def make(self, unwanted: str) -> tuple[Store, WatchedReads]:
        store = Store(TreeIndex())
        reads = WatchedReads(lambda zxid, paths: Deferred(), store, lambda path: path != unwanted, lambda: True)
        reads.start()
        for number in range(10):
            store.invalidate(DATA, f"/{number}")
            reads.queue.parts[DATA].append(f"/{number}")
        return store, reads

    def test_take(self) -> None:
        """Nodes that nobody wants are left out, and missing ones are read by themselves."""
        store, reads = self.make("/1")
        store.maybe_absent.add("/2")
        batch, alone = reads.take(5)
        assert batch is not None
        self.assertEqual((batch.paths[DATA], alone), (("/0", "/3", "/4", "/5", "/6"), ["/2"]))
        self.assertIs(store.state(DATA, "/0"), PartState.READING)
        self.assertIs(store.state(DATA, "/1"), PartState.CURRENT)

    def test_few(self) -> None:
        """A few nodes are read by themselves."""
        _, reads = self.make("")
        reads.take(5)
        self.assertEqual(reads.take(5), (None, ["/5", "/6", "/7", "/8", "/9"]))

    def test_refused_at_once(self) -> None:
        """A batch whose watches are refused at once is not read."""
        refused: list[tuple[PendingRead, Failure]] = []
        _, reads = self.make("")
        batch, _ = reads.take(5)
        assert batch is not None
        self.assertTrue(reads.set_watches(batch, lambda *refusal: refused.append(refusal)))
        reads._set_watches = lambda zxid, paths: fail(ClosingException())
        self.assertFalse(reads.set_watches(batch, lambda *refusal: refused.append(refusal)))
        self.assertEqual([read for read, _ in refused], [batch])
        self.assertFalse(reads.possible)
