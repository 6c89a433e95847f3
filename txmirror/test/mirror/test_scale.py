"""Many nodes: the cost of a recovery, and the turns of others meanwhile."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txmirror.embedded.reads import Reads
from txmirror.embedded.requests import Caller
from txmirror.embedded.tree import Node as ServersNode
from txmirror.mirror import Change, MirrorState, Tree
from txmirror.test.mirror.world import MirrorTestCase, follow_children, watch_value

#: As many bytes as a socket gives at once, at most.
_CHUNK = 65536


class ManyTestCase(MirrorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.reads = 0
        readable = Reads._readable

        def counting(reads: Reads, path: str, caller: Caller) -> ServersNode:
            self.reads += caller.session_id == self.world.mirror_client.session_id
            return readable(reads, path, caller)

        # Data and children, by themselves or in one request with others.
        self.patch(Reads, "_readable", counting)

    def plant(self, count: int) -> None:
        """Let there be a root, a hundred nodes below it, and so many below these, without anybody asking for it."""
        tree = self.world.server._state.database.tree
        acl = tree.nodes["/"].acl
        tree.begin()
        tree.create("/s", b"", acl, 0, 0)
        for group in range(100):
            tree.create(f"/s/{group}", b"", acl, 0, 0)
            for number in range(count // 100):
                tree.begin()
                tree.create(f"/s/{group}/{number}", b"old", acl, 0, 0)

    def compare(self, tree: Tree) -> None:
        """All of a tree is the server's."""
        self.assertTrue(tree.settled)
        nodes = self.world.server._state.database.tree.nodes
        has = {path: (node.data, node.czxid, node.mzxid) for path, node in nodes.items() if path.startswith("/s")}
        self.assertEqual({path: (data, stat[0], stat[1]) for path, (data, stat) in tree.items()}, has)
        for path in has:
            self.assertEqual(tree.children(path), sorted(nodes[path].children))

    def lose_a_read(self, path: str) -> None:
        """Change a node in such a way that the mirror gets its event, and later replies, but cannot read it."""
        self.world.link.stall(to_client=True, to_server=False)
        self.world.change(path, b"unread")
        later = self.world.mirror_client.exists("/s")
        self.settle()
        self.world.hear_only()
        self.successResultOf(later)

    def change_some(self, number: int) -> None:
        """Let the other client change 99 nodes: set 96, delete one, recreate one, and create one."""
        for group in range(96):
            self.other.set(f"/s/{group}/{number}", b"new")
        self.other.delete(f"/s/96/{number}")
        self.other.delete(f"/s/97/{number}")
        self.other.create(f"/s/97/{number}", b"old")
        self.other.create(f"/s/98/new {number}", b"")
        self.settle()


class ReturnTests(ManyTestCase):
    def test_tree(self) -> None:
        """M7: of 10,000 nodes, of which 100 have changed, a tree reads no more than twice 100, in the same session and in a
        new one, and all are the server's afterwards."""
        self.plant(10_000)
        tree = self.mirror.tree("/s")
        self.settle()
        for number, leave in enumerate((self.world.leave, self.world.expire_away)):
            self.lose_a_read(f"/s/99/{number}")
            leave()
            self.change_some(number)
            self.reads = 0
            self.world.come_back()
            self.assertLessEqual(self.reads, 2 * 100 + 10)
            self.compare(tree)

    def test_nodes(self) -> None:
        """M7: with 1,000 single nodes a recovery reads about as many as have changed."""
        self.plant(1_000)
        paths = [path for path in self.world.server._state.database.tree.nodes if path.startswith("/s/")]
        for path in paths:
            follow_children(self.mirror.get(path))
        self.settle()
        for number, leave in enumerate((self.world.leave, self.world.expire_away)):
            self.lose_a_read(f"/s/99/{number}")
            leave()
            told = [watch_value(self.mirror.get(path), "counting") for path in paths]
            self.change_some(number)
            self.reads = 0
            requests = self.world.requests()
            self.world.come_back()
            self.assertLessEqual(self.reads, 2 * 100 + 10)
            # Those that ask for existence are no reads there.
            self.assertLessEqual(self.world.requests() - requests, 2 * 100 + 10)
            self.assertEqual(sum(map(len, told)), 99)
            self.assertIs(self.mirror.state, MirrorState.SETTLED)
            self.compare_nodes(paths)

    def compare_nodes(self, paths: list[str]) -> None:
        """Nodes are the server's."""
        nodes = self.world.server._state.database.tree.nodes
        for path in paths:
            state, node = self.mirror.get(path).state, nodes.get(path)
            if node is None:
                self.assertIsNone(state.stat, path)
            else:
                assert state.stat is not None
                self.assertEqual(
                    (state.value, state.stat.czxid, state.stat.mzxid, state.children),
                    (node.data, node.czxid, node.mzxid, tuple(sorted(node.children))),
                )


class ClosedTests(ManyTestCase):
    def test_closed(self) -> None:
        """Nothing more is read for a tree that is closed while it is being read."""
        self.plant(10_000)
        tree = self.mirror.tree("/s")
        while not len(tree):
            self.world.step(1)
        self.world.step(12)
        tree.close()
        self.reads = 0
        self.settle()
        self.assertLess(self.reads, 10 * 128)
        self.assertLess(len(tree), 10_000)
        self.assertIs(self.mirror.state, MirrorState.SETTLED)


class FairnessTests(ManyTestCase):
    """However much there is to do, it is done a little at a time."""

    count = 20_000
    #: How many changes may be told between two turns: those that are read out of one chunk.
    most = 6_000

    def test_warm_up_and_storm(self) -> None:
        """While 20,000 nodes are read for the first time, and while 20,000 events arrive, others get their turns, and a
        request of another program on the same connection is answered among the first.
        """
        self.plant(self.count)
        # An old server ends the connection of who asks for a persistent watch; then it is known, and time has passed.
        first = self.mirror.tree("/zookeeper")
        self.pass_time(3.0)
        first.close()
        self.settle()
        self.world.reactor.piece = _CHUNK
        tree = self.mirror.tree("/s")
        self.told = 0
        tree.watch(self.tell)
        self.go_on(tree, self.count)
        gone = [path for path in tree if path.count("/") == 3]
        self.told = 0
        self.world.server._state.database.remove(gone)
        self.go_on(tree, self.count)
        self.compare(tree)

    def tell(self, change: Change) -> None:
        self.told += 1

    def go_on(self, tree: Tree, count: int) -> None:
        """Run turn by turn, with another program that wants each, until so many changes were reported."""
        most = asked_at = answered_at = 0
        answer: Deferred[object] | None = None
        self.turns = 0
        self.want_turn()
        while self.told < count or not tree.settled:
            turns, told = self.turns, self.told
            while self.turns == turns:
                self.world.step(1)
            most = max(most, self.told - told)
            if self.told and answer is None:
                asked_at = self.told
                answer = self.world.mirror_client.exists("/s")  # type: ignore[assignment]
            if answer is not None and answer.called and not answered_at:
                answered_at = self.told
        self.turn.cancel()
        self.assertLess(most, self.most)
        self.assertLess(answered_at - asked_at, self.most)
        self.assertGreater(self.turns, 8)
        assert answer is not None
        self.done(answer)

    def want_turn(self) -> None:
        self.turns += 1
        self.turn = self.world.reactor.callLater(0, self.want_turn)


class OldFairnessTests(FairnessTests):
    """Fairness at a server without persistent watches and batched reads."""

    version = "3.4"
    count = 5_000
    most = 1_500
