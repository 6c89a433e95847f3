"""The contract of trees on every server over a real connection: a short form of the tests in memory in ``test_tree``.

As in the client's own contract, each test works below a node of its own. The mirror's connection can be broken; the
other client's cannot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from txmirror.client import ZooKeeperClient
from txmirror.errors import ConnectionLossException, NoAuthException, NoNodeException, SessionExpiredException
from txmirror.mirror import ChangeKind, Mirror, MirrorState, Node, Tree
from txmirror.test.client.contract import PATIENCE, ContractCase, run
from txmirror.test.mirror.witnesses import NodeWitness, TreeWitness, read_below, shown_below
from txmirror.test.mirror.world import read, shown
from txmirror.types import CREATOR_ALL_ACL, OPEN_ACL

ADDED, CHANGED, REMOVED = ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED
HIDDEN, SETTLED, STALE = ChangeKind.HIDDEN, ChangeKind.SETTLED, ChangeKind.STALE


class _Asker(Protocol):
    """Sends a four-letter word.

    :ivar answer: fires with the received text, when the server has closed the connection.
    """

    def __init__(self, word: bytes) -> None:
        self._word = word
        self._came = b""
        self.answer: Deferred[str] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self._word)

    def dataReceived(self, data: bytes) -> None:
        self._came += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.answer.callback(self._came.decode())


async def watched_paths(reactor: Any, address: str, session_id: int) -> set[str]:
    """Ask a server on which paths a session has watches there.

    :param address: where it listens, as ``host:port``.
    """
    asker = _Asker(b"wchc")
    host, port = address.split(":")
    await connectProtocol(clientFromString(reactor, f"tcp:{host}:{port}"), asker)
    watched: dict[int, set[str]] = {}
    session = 0
    for line in (await asker.answer).splitlines():
        if line.startswith("\t"):
            watched[session].add(line[1:])
        elif line:
            session = int(line, 16)
            watched[session] = set()
    return watched.get(session_id & 0xFFFFFFFFFFFFFFFF, set())


class TreeCase(ContractCase):
    """A mirror on a client that can be cut off, and another client that cannot."""

    timeout = 30

    async def _set_up(self) -> None:
        await super()._set_up()
        self.other, _ = await self.connect(direct=True)
        self.mirror = Mirror(client=self.client, reactor=self.reactor)
        self.witnesses: list[TreeWitness | NodeWitness] = []
        for name in ("a", "a/x", "b"):
            await self.other.create(f"{self.root}/{name}", name.encode())

    async def _clean_up(self) -> None:
        await self.within(self.mirror.close())
        await super()._clean_up()

    def make_client(self, servers: str, session_timeout: float) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout)

    async def follow(self, path: str = "", **options: Any) -> tuple[Tree, TreeWitness]:
        """Make a tree below the test's node, watch it, and wait until it has all."""
        tree = self.mirror.tree(self.root + path, **options)
        witness = TreeWitness(tree)
        self.witnesses.append(witness)
        await self.within(tree.ready())
        return tree, witness

    async def live(self, path: str = "") -> Node:
        """Return a node below the test's, watched, known and up to date."""
        node = self.mirror.get(self.root + path)
        self.witnesses.append(NodeWitness(node, lambda: self.client.session.data_generation))
        await self.caught_up()
        return node

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        deadline = self.reactor.seconds() + PATIENCE
        while not condition():
            self.assertLess(self.reactor.seconds(), deadline, f"not in {PATIENCE:g} s: {what}")
            await deferLater(self.reactor, 0.005)

    async def caught_up(self) -> None:
        """Wait until the mirror shows all changes from before the call.

        After the reply to a sync, all changed parts are marked stale: nothing is settled until they were read. On a busy machine
        a connection may break at any time, as it may elsewhere: then the mirror recovers, and the sync is sent again.
        """
        synced = False
        while not synced:
            await self.until(lambda: self.mirror.state is MirrorState.SETTLED, "the mirror settles")
            try:
                await self.within(self.client.sync(self.root))
                synced = True
            except (ConnectionLossException, SessionExpiredException):
                continue
        trees = [witness.tree for witness in self.witnesses if isinstance(witness, TreeWitness)]
        nodes = [witness.node for witness in self.witnesses if isinstance(witness, NodeWitness)]
        await self.until(lambda: all(tree.settled for tree in trees), "the trees settle")
        for node in nodes:
            for answer in (node.value(), node.children()):
                await self.within(answer.addErrback(lambda failure: failure.trap(NoNodeException)))

    async def assert_equal(self) -> None:
        """All that is followed is the server's, in all that it promises, and each step was a legal one."""
        await self.caught_up()
        for witness in self.witnesses:
            self.assertEqual(witness.complaints(), [])
            if isinstance(witness, NodeWitness):
                self.assertEqual(shown(witness.node), await read(self.other, witness.node.path), witness.node.path)

    async def assert_complete(self, tree: Tree) -> None:
        """A tree that is neither limited nor filtered is the server's; so is all else, as :meth:`assert_equal`."""
        await self.assert_equal()
        self.assertEqual(shown_below(tree), await read_below(self.other, tree.path))

    async def told(self, witness: TreeWitness) -> list[tuple[ChangeKind, str]]:
        """Wait until all changes were reported, and return those since the last call, with paths below the test's node."""
        await self.caught_up()
        return [(kind, path.removeprefix(self.root)) for kind, path in witness.take()]

    async def cut_off(self, meanwhile: Callable[[], Awaitable[Any]]) -> None:
        """Part the mirror from the server, do something, and let it come back: to its session, where the server resumes any."""
        session = self.client.session_id
        await self.interrupt(meanwhile)
        (self.assertEqual if self.resumes_sessions else self.assertNotEqual)(self.client.session_id, session)

    async def session_ended(self, meanwhile: Callable[[], Awaitable[Any]]) -> None:
        """Part the mirror from the server, do something, and let its session end."""
        session = self.client.session_id

        async def ended() -> None:
            await meanwhile()
            await self.end_session()

        connected = self.feed.when_session_number(self.client.session.session_number + 1)
        await self.interrupt(ended)
        await self.within(connected, 10)
        self.assertNotEqual(self.client.session_id, session)

    async def end_session(self) -> None:
        """Let the session of the mirror end, which is cut off."""
        await self.server.expire(self.client.session_id)

    async def no_watch_left(self, *but: str) -> None:
        """Wait until the server has no watch of the mirror's any more.

        :param but: below the test's node, the paths of those that stay.
        """
        expected = {self.root + path for path in but}
        deadline = self.reactor.seconds() + PATIENCE
        while left := await self.watched() ^ expected:
            self.assertLess(self.reactor.seconds(), deadline, f"watches on {sorted(left)}")
            await deferLater(self.reactor, 0.005)

    async def watched(self) -> set[str]:
        """Ask on which paths the mirror has watches at the server."""
        return await watched_paths(self.reactor, self.server.direct_address, self.client.session_id)


class TreeContract(TreeCase):
    """A tree's content, its notifications, and its recovery."""

    @run
    async def test_warm(self) -> None:
        """A tree reports all its nodes, parents first, and then settles."""
        tree, witness = await self.follow()
        told = await self.told(witness)
        self.assertEqual((told[0], told[-1]), ((ADDED, ""), (SETTLED, "")))
        self.assertCountEqual(told[:-1], [(ADDED, path) for path in ("", "/a", "/a/x", "/b")])
        await self.assert_complete(tree)

    @run
    async def test_changes(self) -> None:
        """Each change is reported once, in order, and a recreated node has changed."""
        tree, witness = await self.follow()
        await self.told(witness)
        await self.other.set(f"{self.root}/b", b"new")
        self.assertEqual(await self.told(witness), [(CHANGED, "/b")])
        await self.other.create(f"{self.root}/c")
        await self.other.create(f"{self.root}/c/y", ephemeral=True)
        self.assertEqual(await self.told(witness), [(ADDED, "/c"), (ADDED, "/c/y")])
        await self.other.delete(f"{self.root}/a/x")
        self.assertEqual(await self.told(witness), [(REMOVED, "/a/x")])
        self.other.delete(f"{self.root}/b")
        await self.other.create(f"{self.root}/b", b"new")
        self.assertIn(await self.told(witness), ([(CHANGED, "/b")], [(REMOVED, "/b"), (ADDED, "/b")]))
        await self.assert_complete(tree)

    @run
    async def test_storm(self) -> None:
        """After many changes at once, the last state is shown, whatever was reported in between."""
        tree, _ = await self.follow()
        for number in range(20):
            for path in ("a/x", "b", "c"):
                self.other.delete(f"{self.root}/{path}").addErrback(lambda failure: failure.trap(NoNodeException))
                self.other.create(f"{self.root}/{path}", b"%d" % number)
                self.other.create(f"{self.root}/{path}/{number}")
                self.other.set(f"{self.root}/{path}", b"%d and more" % number)
                self.other.delete(f"{self.root}/{path}/{number}")
            self.other.create(f"{self.root}/a/{number}")
        await self.other.sync(self.root)
        await self.assert_complete(tree)
        self.assertEqual(len(tree), 25)

    @run
    async def test_depth(self) -> None:
        """A tree leaves out nodes below its depth."""
        tree, witness = await self.follow(depth=1)
        none, _ = await self.follow("/a", depth=0)
        self.assertCountEqual(tree, [self.root, f"{self.root}/a", f"{self.root}/b"])
        await self.told(witness)
        await self.other.set(f"{self.root}/a/x", b"new")
        await self.other.create(f"{self.root}/b/y")
        await self.other.create(f"{self.root}/c")
        self.assertEqual(await self.told(witness), [(ADDED, "/c")])
        await self.assert_equal()
        self.assertEqual(shown_below(tree), await read_below(self.other, self.root, 1))
        self.assertEqual(list(none), [f"{self.root}/a"])

    @run
    async def test_filter(self) -> None:
        """A tree leaves out nodes that its filter refuses, and all nodes below them."""

        def keep(path: str) -> bool:
            return not path.endswith("/a")

        tree, witness = await self.follow(keep=keep)
        self.assertCountEqual(tree, [self.root, f"{self.root}/b"])
        await self.told(witness)
        await self.other.set(f"{self.root}/a/x", b"new")
        await self.other.create(f"{self.root}/b/a")
        await self.other.create(f"{self.root}/b/c")
        self.assertEqual(await self.told(witness), [(ADDED, "/b/c")])
        await self.assert_equal()
        self.assertEqual(shown_below(tree), await read_below(self.other, self.root, keep=keep))

    @run
    async def test_holes(self) -> None:
        """A node hidden by an ACL is unreadable and reported; with the right identity, or a new ACL, it is read."""
        await self.other.add_auth("digest", b"bob:secret")
        await self.other.create(f"{self.root}/h", b"hidden", CREATOR_ALL_ACL)
        await self.other.create(f"{self.root}/h/below", b"", CREATOR_ALL_ACL)
        await self.other.create(f"{self.root}/i", b"opened", CREATOR_ALL_ACL)
        tree, witness = await self.follow()
        self.assertEqual({path: type(why) for path, why in tree.unreadable.items()}, self.unreadable("/h", "/i"))
        self.assertCountEqual([path for kind, path in await self.told(witness) if kind is HIDDEN], ["/h", "/i"])
        await self.other.set_acl(f"{self.root}/i", OPEN_ACL)
        await self.until(lambda: f"{self.root}/i" in tree, "what was opened is tried again")
        self.assertEqual({path: type(why) for path, why in tree.unreadable.items()}, self.unreadable("/h"))
        await self.within(self.mirror.add_auth("digest", b"bob:secret"))
        await self.until(lambda: f"{self.root}/h/below" in tree, "what may be read is read")
        self.assertEqual(tree.unreadable, {})
        await self.assert_complete(tree)
        await self.other.set(f"{self.root}/h/below", b"seen")
        await self.assert_complete(tree)
        # It was added to the session, and so to those who tidy up.
        await self.other.add_auth("digest", b"bob:secret")

    @run
    async def test_ensure_exists(self) -> None:
        """An existing node passes, also below one that may be neither written nor read; a missing node there is refused."""
        await self.other.add_auth("digest", b"bob:secret")
        await self.other.create(f"{self.root}/p", b"", CREATOR_ALL_ACL)
        await self.other.create(f"{self.root}/p/a")
        await self.other.create(f"{self.root}/p/b", b"", CREATOR_ALL_ACL)
        for path in ("/p", "/p/a", "/p/b", "/p/a/c"):
            node = await self.within(self.mirror.ensure_exists(self.root + path))
            self.assertEqual(node.path, self.root + path)
        for path in ("/p/x", "/p/b/x"):
            with self.assertRaises(NoAuthException):
                await self.within(self.mirror.ensure_exists(self.root + path))
        # For those who tidy up.
        for path in ("/p", "/p/b"):
            await self.other.set_acl(self.root + path, OPEN_ACL)

    def unreadable(self, *below: str) -> dict[str, type[Exception]]:
        return {self.root + path: NoAuthException for path in below}

    @run
    async def test_missing_root(self) -> None:
        """A root that is missing may come, go, and come again."""
        tree, witness = await self.follow("/m")
        self.assertEqual(await self.told(witness), [(SETTLED, "/m")])
        for number in range(3):
            await self.other.create(f"{self.root}/m", b"%d" % number)
            await self.other.create(f"{self.root}/m/a")
            self.assertEqual(await self.told(witness), [(ADDED, "/m"), (ADDED, "/m/a")])
            await self.assert_complete(tree)
            await self.other.delete(f"{self.root}/m/a")
            await self.other.delete(f"{self.root}/m")
            self.assertEqual(await self.told(witness), [(REMOVED, "/m/a"), (REMOVED, "/m")])

    @run
    async def test_recovery(self) -> None:
        """M7: on return to the session, the changes are reported, and nothing else; and so each time."""
        await self.recover(self.cut_off, 3)

    @run
    async def test_new_session(self) -> None:
        """M7: in a new session, the changes are reported, and nothing else."""
        await self.recover(self.session_ended, 1)

    async def recover(self, part: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]], times: int) -> None:
        for number in range(30):
            await self.other.create(f"{self.root}/b/{number}")
        tree, witness = await self.follow()
        missing, _ = await self.follow("/m")
        limited, _ = await self.follow(depth=1)
        await self.live("/b")
        await self.live("/n")
        for number in range(times):
            await self.told(witness)

            async def change(data: bytes = b"%d" % number) -> None:
                await self.until(lambda: tree.stale_since is not None, "the mirror notices")
                self.assertFalse(tree.settled)
                await self.other.set(f"{self.root}/a", data)
                await self.other.delete(f"{self.root}/b/7")
                await self.other.create(f"{self.root}/a/y")
                await self.other.delete(f"{self.root}/b/9")
                await self.other.create(f"{self.root}/b/9")
                await self.other.create(f"{self.root}/m", data)
                await self.other.create(f"{self.root}/m/x", data)
                await self.other.create(f"{self.root}/n", data)

            await part(change)
            told = await self.told(witness)
            self.assertEqual((told[0], told[-1]), ((STALE, ""), (SETTLED, "")))
            changed = [(CHANGED, "/a"), (REMOVED, "/b/7"), (ADDED, "/a/y"), (CHANGED, "/b/9")]
            came = [(ADDED, "/m"), (ADDED, "/m/x"), (ADDED, "/n")]
            self.assertCountEqual(told[1:-1], changed + came)
            await self.assert_complete(tree)
            await self.assert_complete(missing)
            # What comes after that.
            await self.other.create(f"{self.root}/b/7")
            for name in ("a/y", "m/x", "m", "n"):
                await self.other.delete(f"{self.root}/{name}")
            await self.other.set(f"{self.root}/b/8", b"%d" % number)
            changed = [(ADDED, "/b/7"), (CHANGED, "/b/8")]
            gone = [(REMOVED, path) for path in ("/a/y", "/m/x", "/m", "/n")]
            self.assertCountEqual(await self.told(witness), changed + gone)
            await self.assert_complete(tree)
            await self.assert_complete(missing)
        self.assertEqual(shown_below(limited), await read_below(self.other, self.root, 1))

    @run
    async def test_node_and_tree(self) -> None:
        """Nodes and trees on one path do not disturb one another, in any order of their beginnings and ends.

        Servers up to 3.8 keep one kind of watch for a path and connection.
        """
        for node_first in (True, False):
            if node_first:
                node = await self.live()
                tree, _ = await self.follow()
            else:
                tree, _ = await self.follow()
                node = await self.live()
            for number in range(2):
                await self.other.set(self.root, b"%d" % number)
                await self.other.create(f"{self.root}/{number}")
                await self.other.set(f"{self.root}/a/x", b"%d" % number)
                await self.assert_complete(tree)
                self.assertEqual(node.state.value, b"%d" % number)
            tree.close()
            self.witnesses = [witness for witness in self.witnesses if isinstance(witness, NodeWitness)]
            for number in range(2):
                await self.other.set(self.root, b"%d again" % number)
                await self.other.delete(f"{self.root}/{number}")
                await self.assert_equal()

    @run
    async def test_node_and_tree_recover(self) -> None:
        """M7: nodes and trees on one path recover, in the same session and in a new one."""
        node = await self.live()
        below = await self.live("/a")
        tree, _ = await self.follow()
        for number, part in enumerate((self.cut_off, self.session_ended, self.cut_off)):

            async def change(data: bytes = b"%d" % number) -> None:
                for path in ("", "/a", "/a/x"):
                    await self.other.set(self.root + path, data)

            await part(change)
            await self.assert_complete(tree)
            self.assertEqual((node.state.value, below.state.value), (b"%d" % number,) * 2)
            await self.other.set(self.root, b"new")
            await self.other.set(f"{self.root}/a", b"new")
            await self.other.create(f"{self.root}/{number}")
            await self.assert_complete(tree)


class WatchesLeftContract(TreeCase):
    """Which watches there are at the server when nobody needs them any more."""

    @run
    async def test_closed_tree(self) -> None:
        """M8: a closed tree has left none."""
        tree, _ = await self.follow()
        self.assertIn(self.root, await self.watched())
        await self.other.set(f"{self.root}/b", b"new")
        await self.other.create(f"{self.root}/c")
        await self.assert_complete(tree)
        await self.close_all()

    @run
    async def test_closed_without_root(self) -> None:
        """M8: a closed tree whose root does not exist, or did not, has left no watches."""
        await self.follow("/m")
        await self.follow("/n")
        await self.other.create(f"{self.root}/n")
        await self.close_all()

    @run
    async def test_after_recovery(self) -> None:
        """M7b, M8: nor has one that came back to its session; and a recovery leaves as many as there were."""
        await self.follow()
        before = [path.removeprefix(self.root) for path in await self.watched()]
        for data in (b"1", b"2", b"3"):
            await self.cut_off(lambda data=data: self.other.set(f"{self.root}/a", data))  # type: ignore[misc]
            await self.caught_up()
            await self.no_watch_left(*before)
        await self.close_all()

    @run
    async def test_in_a_new_session(self) -> None:
        """M8: a closed tree that was restored in a new session has left no watches."""
        await self.follow()
        await self.session_ended(lambda: self.other.set(f"{self.root}/a", b"new"))
        await self.caught_up()
        self.assertIn(self.root, await self.watched())
        await self.close_all()

    @run
    async def test_while_away(self) -> None:
        """M8: a tree that was closed without a connection leaves no watches, in the session to which its mirror
        returns.
        """
        tree, _ = await self.follow()
        self.witnesses.clear()

        async def close() -> None:
            tree.close()

        await self.cut_off(close)
        await self.no_watch_left()

    @run
    async def test_one_of_two(self) -> None:
        """M8: watches that others need stay: those of another tree are closed with it, and those of a node stay."""
        tree, _ = await self.follow()
        inner, _ = await self.follow("/a")
        await self.live("/b")
        await self.cut_off(lambda: self.other.set(f"{self.root}/a", b"new"))
        await self.caught_up()
        tree.close()
        self.witnesses = [witness for witness in self.witnesses if getattr(witness, "tree", None) is not tree]
        await self.no_watch_left("/a", "/a/x", "/b")
        await self.other.set(f"{self.root}/a/x", b"new")
        await self.other.set(f"{self.root}/b", b"new")
        await self.assert_complete(inner)
        inner.close()
        await self.no_watch_left("/b")

    @run
    async def test_node_let_go(self) -> None:
        """M8: a node that nobody holds has left none after a while, nor has one that does not exist."""
        mirror = Mirror(client=self.client, linger=0.2, reactor=self.reactor)
        for path in ("/a", "/m"):
            await mirror.get(self.root + path).exists()
        held = mirror.get(f"{self.root}/b")
        self.assertEqual((await held.value())[0], b"b")
        await self.no_watch_left("/b")
        await self.other.set(f"{self.root}/b", b"new")
        await self.client.sync(self.root)
        self.assertEqual((await held.value())[0], b"new")
        await self.within(mirror.close())
        await self.no_watch_left()

    async def close_all(self) -> None:
        """Close all trees, and see that no watch is left."""
        for witness in self.witnesses:
            if isinstance(witness, TreeWitness):
                witness.tree.close()
        self.witnesses.clear()
        await self.no_watch_left()
