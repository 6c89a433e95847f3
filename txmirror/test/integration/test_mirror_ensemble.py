"""Mirrors of a real ensemble, under all kinds of faults: in the end they are equal to it.

Three mirrors connect to three servers through a proxy each. Three other clients write directly to the servers, and one
of the mirrors writes too. Round after round, servers are killed, paused and stopped, the leader among them, the proxies
break connections in all their ways, and sessions are ended. After each round all faults are ended; then the nodes of
the mirrors are compared with the reads of a fresh client, and the reports of their watchers with the nodes of the
mirrors.

The faults are drawn from a seed. Their times, and the writes at those times, are random.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from twisted.internet.defer import Deferred, DeferredLock, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.errors import NoNodeException, ZooKeeperException
from txmirror.mirror import Mirror, MirrorState, Node, Tree, recovery
from txmirror.test.client.contract import run
from txmirror.test.ensemble import ZooKeeperMember, shared_ensemble
from txmirror.test.integration.servers import end_session
from txmirror.test.mirror.contract import watched_paths
from txmirror.test.mirror.witnesses import NodeWitness, TreeWitness, read_below, shown_below
from txmirror.test.mirror.world import Shown, read, shown
from txmirror.testing import FaultProxy

logging.getLogger("kazoo").addHandler(logging.NullHandler())

#: For how many seconds there are faults, in place of 20.
SECONDS = "TXMIRROR_MIRROR_SECONDS"
#: Which faults; the same number, the same faults.
SEED = "TXMIRROR_MIRROR_SEED"

#: From so many nodes on, recoveries use side sessions: those of the largest tree nearly always, and the others' sometimes.
_SIDE_SESSION_FROM = 6

_DURATION = float(os.environ.get(SECONDS) or 20)

#: The session timeout of the mirrors, in seconds.
S = 2.0
#: How long everything may take to be as it was when all faults are over, in seconds: servers start, clients come back.
_RECOVERY = 30.0
#: How long one writer waits between two writes, at most, in seconds.
_PAUSE = 0.02

ROOT = "/mirror-ensemble"
#: What is written below the root. The nodes above are deleted too, if nothing is below them.
_BELOW = [f"/{first}/{second}" for first in "abc" for second in range(4)]
_NAMES = ["/a", "/b", "/c", *_BELOW, *(f"{path}/{third}" for path in _BELOW[::3] for third in "xy")]


#: What goes wrong for a while; given chance.
Fault = Callable[[Random], Coroutine[Any, Any, None]]


class Follower:
    """A mirror with a client of its own, a tree or two and some nodes, all with witnesses.

    :param servers: the addresses of the proxies, with a chroot.
    :param trees: of each tree, the path, depth and filter.
    :param nodes: the paths of the nodes.
    :ivar faults: the violations.
    """

    def __init__(
        self,
        reactor: Any,
        servers: str,
        seed: int,
        trees: list[tuple[str, int | None, Callable[[str], bool] | None]],
        nodes: list[str],
    ) -> None:
        self.client = ZooKeeperClient(servers, session_timeout=S, random=Random(seed), reactor=reactor)
        self.mirror = Mirror(client=self.client, reactor=reactor)
        self.chroot = "/".join(["", *servers.split("/")[1:]]).rstrip("/")
        self.trees: list[tuple[Tree, int | None, Callable[[str], bool] | None]] = []
        self.nodes: list[Node] = []
        self.witnesses: list[TreeWitness | NodeWitness] = []
        self.faults: list[str] = []
        # Of a path with both, either may come first.
        for path, depth, keep in trees[:1]:
            self._follow(path, depth, keep)
        for path in nodes:
            node = self.mirror.get(path)
            self.nodes.append(node)
            self.witnesses.append(NodeWitness(node, lambda: self.client.session.data_generation))
        for path, depth, keep in trees[1:]:
            self._follow(path, depth, keep)

    def _follow(self, path: str, depth: int | None, keep: Callable[[str], bool] | None) -> None:
        tree = self.mirror.tree(path, depth=depth, keep=keep)
        self.trees.append((tree, depth, keep))
        self.witnesses.append(TreeWitness(tree))

    @property
    def settled(self) -> bool:
        """Return whether the mirror has read all that was wanted, as far as the test knows."""
        return self.mirror.state is MirrorState.SETTLED and all(tree.settled for tree, _, _ in self.trees)

    def shows(self) -> tuple[list[dict[str, Shown]], list[Shown | None]]:
        """Return everything that the mirror shows."""
        return [shown_below(tree) for tree, _, _ in self.trees], [shown(node) for node in self.nodes]

    def whole(self, path: str) -> str:
        """Return a path without the chroot."""
        return (self.chroot + path).rstrip("/")

    def complaints(self) -> list[str]:
        """Return the errors so far, among them those in the notifications of the witnesses."""
        return self.faults + [complaint for witness in self.witnesses for complaint in witness.complaints()]


class Writer:
    """Draws one write after the other. It knows no client.

    :ivar applied: how many writes have succeeded.
    """

    def __init__(self, seed: int, name: str) -> None:
        self.random = Random(seed)
        self.applied = 0
        self._name = name
        self._count = 0

    def draw(self) -> tuple[str, str, bytes, bool]:
        """Return the next step: operation, path, data, and whether the node is ephemeral."""
        self._count += 1
        path = ROOT + self.random.choice(_NAMES)
        deed = self.random.choice(("set", "set", "create", "create", "create", "delete", "recreate"))
        return deed, path, f"{self._name} {self._count}".encode(), self.random.random() < 0.2

    def pause(self) -> float:
        """Return the next pause, in seconds."""
        return self.random.uniform(0.0, _PAUSE)


class EnsembleMirrorTests(TestCase):
    timeout = _DURATION + 180

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.seed = int(os.environ.get(SEED) or random.randrange(2**32))
        print(f"\n{SEED}={self.seed}", end=" ")  # noqa: T201  # what a failure that is rare needs
        self.random = Random(self.seed)
        self.deck: list[Fault] = []
        self.story: list[str] = []
        self.sessions: set[int] = set()
        self.hurting = DeferredLock()
        self.patch(recovery, "SIDE_SESSION_FROM", _SIDE_SESSION_FROM)
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        self.ensemble = await deferToThread(shared_ensemble)
        self.addCleanup(deferToThread, self.ensemble.heal)
        await deferToThread(self.ensemble.heal)
        self.proxies = [FaultProxy(member.port, reactor=self.reactor) for member in self.ensemble.members]
        for proxy in self.proxies:
            self.addCleanup(proxy.close)
        self.clients = [self.make_client(Random(self.seed + number)) for number in range(2)]
        for client in self.clients:
            await client.connect()
        await self.remove_all(self.clients[0])
        await self.clients[0].create(ROOT)
        self.kazoo = KazooClient(self.ensemble.address, timeout=4.0)
        self.addCleanup(deferToThread, self.end_kazoo)
        await deferToThread(self.kazoo.start, 15)
        servers = ",".join(proxy.address for proxy in self.proxies)

        def keep(path: str) -> bool:
            return not path.endswith("/1")

        self.followers = [
            Follower(self.reactor, servers, 1, [(ROOT, None, None)], [ROOT, *(ROOT + path for path in _NAMES[:8])]),
            Follower(
                self.reactor,
                f"{servers}{ROOT}/a",
                2,
                [("/", None, None), ("/3", None, None)],
                ["/", "/0", "/0/x", "/1"],
            ),
            Follower(
                self.reactor, servers, 3, [(ROOT, 1, None), (f"{ROOT}/b", None, keep)], [f"{ROOT}/c", f"{ROOT}/c/0"]
            ),
        ]
        for follower in self.followers:
            self.addCleanup(follower.client.close)
            self.addCleanup(follower.mirror.close)
            self.note_sessions(follower.client)
        self.writers = [
            Writer(self.seed + number, name) for number, name in enumerate(("one", "two", "kazoo", "mirror"))
        ]

    def make_client(self, order: Random) -> ZooKeeperClient:
        """Make a client that goes straight to the servers, and is closed in the end."""
        client = ZooKeeperClient(self.ensemble.address, session_timeout=4.0, random=order, reactor=self.reactor)
        self.addCleanup(client.close)
        self.note_sessions(client)
        return client

    def note_sessions(self, client: ZooKeeperClient) -> None:
        """Remember each session of a client, by which the server knows it."""
        client.add_listener(lambda _: self.sessions.add(client.session_id & 0xFFFFFFFFFFFFFFFF))

    def end_kazoo(self) -> None:
        self.kazoo.stop()
        self.kazoo.close()

    async def remove_all(self, client: ZooKeeperClient) -> None:
        """Remove the root and all below it."""
        await client.sync(ROOT)
        for path in reversed(await read_below(client, ROOT)):
            await client.delete(path)

    # What goes on.

    @run
    async def test_equal(self) -> None:
        """M5: whatever happens to the servers, the connections and the sessions, a settled mirror equals them."""
        begun = self.reactor.seconds()
        rounds = 0
        try:
            await self.compare()
            while self.reactor.seconds() < begun + _DURATION:
                rounds += 1
                self.story.append(f"round {rounds}")
                await self.round()
        except Exception as error:
            raise self.failureException(f"{SEED}={self.seed}: {error!r}\n" + "\n".join(self.story[-40:])) from error
        self.assertGreater(rounds, 0)
        for writer in self.writers:
            self.assertGreater(writer.applied, rounds)
        await self.end()

    async def round(self) -> None:
        """Let there be writers, and a few faults; then none of either, and compare."""
        stop = threading.Event()
        # After some faults nothing is written: what the mirrors have missed is then told by nothing that comes later.
        stopping = self.reactor.callLater(self.random.choice((0.5, 1.0, 2.0, _RECOVERY)), stop.set)
        one, two, threaded, mirrored = self.writers
        writers = gatherResults(
            [
                Deferred.fromCoroutine(self.write(self.clients[0], one, stop)),
                Deferred.fromCoroutine(self.write(self.clients[1], two, stop)),
                deferToThread(self.write_with_kazoo, threaded, stop),
                Deferred.fromCoroutine(self.write_with_mirror(self.followers[0], mirrored, stop)),
            ],
            consumeErrors=True,
        )
        try:
            # Drawn before the first of them begins, so that the seed decides, and not who comes first.
            faults = [(self.draw(), Random(self.random.random())) for _ in range(self.random.randint(1, 4))]
            await gatherResults(
                [Deferred.fromCoroutine(self.strike(fault, chance)) for fault, chance in faults], consumeErrors=True
            )
            for proxy in self.proxies:
                proxy.open()
                proxy.resume()
                proxy.split(None)
            await deferToThread(self.ensemble.heal)
            # What was written to a server that was away before is read from those that are back.
            await self.pause(self.random, 0.0, 0.5)
        finally:
            if stopping.active():
                stopping.cancel()
                stop.set()
            await self.within(writers, _RECOVERY, "the writers stop")
        await self.compare()

    async def write(self, client: ZooKeeperClient, writer: Writer, stop: threading.Event) -> None:
        """Write until the stop flag is set, whether or not the writes succeed."""
        while not stop.is_set():
            deed, path, data, ephemeral = writer.draw()
            try:
                if deed in {"delete", "recreate"}:
                    deleted = client.delete(path)
                    if deed == "recreate":
                        deleted.addErrback(lambda failure: failure.trap(ZooKeeperException))
                        await client.create(path, data, ephemeral=ephemeral)
                    await deleted
                elif deed == "set":
                    await client.set(path, data)
                else:
                    await client.create(path, data, ephemeral=ephemeral)
                writer.applied += 1
            except ZooKeeperException:
                pass
            await deferLater(self.reactor, writer.pause())

    def write_with_kazoo(self, writer: Writer, stop: threading.Event) -> None:
        """Do as :meth:`write`, in a thread."""
        while not stop.is_set():
            deed, path, data, ephemeral = writer.draw()
            try:
                if deed in {"delete", "recreate"}:
                    self.kazoo.delete_async(path).get(timeout=S)
                if deed == "set":
                    self.kazoo.set_async(path, data).get(timeout=S)
                elif deed != "delete":
                    self.kazoo.create_async(path, data, ephemeral=ephemeral).get(timeout=S)
                writer.applied += 1
            except (KazooException, KazooTimeoutError):
                pass
            stop.wait(writer.pause())

    async def write_with_mirror(self, follower: Follower, writer: Writer, stop: threading.Event) -> None:
        """Do as :meth:`write`, with a mirror's own nodes, and check that they show the written data."""
        while not stop.is_set():
            deed, _, data, ephemeral = writer.draw()
            node = writer.random.choice(follower.nodes[1:])
            try:
                if deed == "set":
                    written = await node.set(data)
                    stat = node.state.stat
                    if stat is not None and stat.mzxid < written.mzxid:
                        follower.faults.append(f"{node} was set at {written}, and shows {stat}")
                elif deed == "delete":
                    await node.delete()
                else:
                    await node.create(data, ephemeral=ephemeral)
                writer.applied += 1
            except ZooKeeperException:
                pass
            await deferLater(self.reactor, writer.pause())

    # What goes wrong.

    def draw(self) -> Fault:
        """Choose a fault. Each kind is drawn once before any comes again."""
        if not self.deck:
            self.deck = [
                self.leader_killed,
                self.leader_paused,
                self.follower_killed,
                self.follower_paused,
                self.server_stopped,
                self.everything_cut,
                self.one_cut,
                self.dropped_again_and_again,
                self.to_client_stalled,
                self.to_server_stalled,
                self.all_stalled,
                self.black_holed,
                self.away_for_too_long,
                self.half_closed,
                self.cut_within_what_clients_get,
                self.cut_within_what_servers_get,
                self.in_pieces,
                self.mirrors_session_ended,
                self.mirrors_session_ended,
                self.writers_session_ended,
            ]
            self.random.shuffle(self.deck)
        return self.deck.pop()

    async def strike(self, fault: Fault, chance: Random) -> None:
        """Do some harm, and undo it."""
        await self.pause(chance, 0.0, 1.0)
        self.story.append(f"{self.reactor.seconds():.2f} {fault.__name__}")
        await fault(chance)
        self.story.append(f"{self.reactor.seconds():.2f} {fault.__name__} is over")

    async def pause(self, chance: Random, least: float, most: float) -> None:
        """Let some time go by, in seconds."""
        await deferLater(self.reactor, chance.uniform(least, most))

    async def leader_killed(self, chance: Random) -> None:
        await self.hurt(chance, True, self.killed)

    async def leader_paused(self, chance: Random) -> None:
        await self.hurt(chance, True, self.paused)

    async def follower_killed(self, chance: Random) -> None:
        await self.hurt(chance, False, self.killed)

    async def follower_paused(self, chance: Random) -> None:
        await self.hurt(chance, False, self.paused)

    async def server_stopped(self, chance: Random) -> None:
        await self.hurt(chance, chance.random() < 0.3, self.stopped)

    async def hurt(
        self, chance: Random, leader: bool, how: Callable[[Random, ZooKeeperMember], Awaitable[None]]
    ) -> None:
        """Hurt one server, and only one at a time, so that the others have a quorum; wait until it serves again."""
        await self.hurting.acquire()
        try:
            leading = await deferToThread(self.ensemble.leader)
            others = [member for member in self.ensemble.members if member is not leading]
            member = leading if leader else chance.choice(others)
            await how(chance, member)
            await deferToThread(self.ensemble.heal)
        finally:
            self.hurting.release()

    async def killed(self, chance: Random, member: ZooKeeperMember) -> None:
        await deferToThread(member.kill)
        await self.pause(chance, 0.0, 1.0)

    async def paused(self, chance: Random, member: ZooKeeperMember) -> None:
        await deferToThread(member.pause)
        await self.pause(chance, 0.1, S)
        await deferToThread(member.resume)

    async def stopped(self, chance: Random, member: ZooKeeperMember) -> None:
        await deferToThread(member.stop)
        await self.pause(chance, 0.0, 0.5)

    async def everything_cut(self, chance: Random) -> None:
        for proxy in self.proxies:
            proxy.cut()
        await self.pause(chance, 0.0, 2.0 * S)
        for proxy in self.proxies:
            proxy.open()

    async def one_cut(self, chance: Random) -> None:
        proxy = chance.choice(self.proxies)
        proxy.cut()
        await self.pause(chance, 0.0, 0.8 * S)
        proxy.open()

    async def dropped_again_and_again(self, chance: Random) -> None:
        for _ in range(chance.randint(2, 12)):
            for proxy in self.proxies:
                proxy.drop()
            await self.pause(chance, 0.0, 0.3)

    async def to_client_stalled(self, chance: Random) -> None:
        await self.stalled(chance, to_client=True, to_server=False)

    async def to_server_stalled(self, chance: Random) -> None:
        await self.stalled(chance, to_client=False, to_server=True)

    async def all_stalled(self, chance: Random) -> None:
        await self.stalled(chance, to_client=True, to_server=True)

    async def stalled(self, chance: Random, *, to_client: bool, to_server: bool) -> None:
        """Stall some proxies, or all."""
        proxies = chance.sample(self.proxies, chance.randint(1, 3))
        for proxy in proxies:
            proxy.stall(to_client=to_client, to_server=to_server)
        await self.pause(chance, 0.1, S)
        for proxy in proxies:
            proxy.resume(to_client=to_client, to_server=to_server)

    async def away_for_too_long(self, chance: Random) -> None:
        """Part the mirrors from all servers for longer than their sessions live, and than they think that these do."""
        for proxy in self.proxies:
            proxy.hold()
            proxy.stall()
        await self.pause(chance, 1.4 * S, 2.0 * S)
        for proxy in self.proxies:
            proxy.open()
            proxy.resume()

    async def black_holed(self, chance: Random) -> None:
        proxies = chance.sample(self.proxies, 2)
        for proxy in proxies:
            proxy.hold()
            proxy.drop()
        await self.pause(chance, 0.1, S)
        for proxy in proxies:
            proxy.open()

    async def half_closed(self, chance: Random) -> None:
        to_client = chance.random() < 0.5
        for proxy in self.proxies:
            proxy.half_close(to_client=to_client, to_server=not to_client)
        await self.pause(chance, 0.0, 0.5)

    async def cut_within_what_clients_get(self, chance: Random) -> None:
        await self.cut_within(chance, to_client=True)

    async def cut_within_what_servers_get(self, chance: Random) -> None:
        await self.cut_within(chance, to_client=False)

    async def cut_within(self, chance: Random, *, to_client: bool) -> None:
        """Break each connection after so many bytes, time and again: within handshakes, requests, replies, events."""
        for _ in range(chance.randint(2, 6)):
            counts = [int(2 ** chance.uniform(3, 13)) for _ in self.proxies]
            struck = [
                proxy.cut_after(to_client=count) if to_client else proxy.cut_after(to_server=count)
                for proxy, count in zip(self.proxies, counts, strict=True)
            ]
            for each in struck:
                each.addErrback(lambda _: None)
            await self.pause(chance, 0.1, 0.5)
            for each in struck:
                each.cancel()

    async def in_pieces(self, chance: Random) -> None:
        proxy = chance.choice(self.proxies)
        proxy.split(chance.choice((1, 7, 100)))
        await self.pause(chance, 0.1, 1.0)
        proxy.split(None)

    async def mirrors_session_ended(self, chance: Random) -> None:
        await self.session_ended(chance.choice([follower.client for follower in self.followers]))

    async def writers_session_ended(self, chance: Random) -> None:
        await self.session_ended(chance.choice(self.clients))

    async def session_ended(self, client: ZooKeeperClient) -> None:
        """Have the leader end a session, as if its client had asked for it."""
        await self.hurting.acquire()
        try:
            ticket = client.session_ticket
            leader = await deferToThread(self.ensemble.leader)
            if ticket is not None:
                await deferToThread(end_session, leader.address, (ticket.session_id, ticket.password))
        finally:
            self.hurting.release()

    # What must hold.

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        deadline = self.reactor.seconds() + _RECOVERY
        while not condition():
            self.assertLess(self.reactor.seconds(), deadline, f"not in {_RECOVERY:g} s: {what}")
            await deferLater(self.reactor, 0.01)

    async def within(self, waiting: Deferred[Any], seconds: float, what: str) -> Any:
        """Wait for something, but not for ever."""

        def late(result: object, timeout: float) -> None:
            raise self.failureException(f"not in {timeout:g} s: {what}")

        return await waiting.addTimeout(seconds, self.reactor, late)

    async def caught_up(self, follower: Follower) -> None:
        """Wait until a mirror shows all that was done before this is called, however often it has to come back."""
        what = f"{follower.mirror} settles: {follower.trees} {follower.nodes}"
        deadline = self.reactor.seconds() + _RECOVERY
        while True:
            self.assertLess(self.reactor.seconds(), deadline, what)
            await self.until(lambda: follower.settled, what)
            session = follower.client.session
            try:
                # By its answer, the server has told of all; what it told of is not settled before it was read.
                await self.within(follower.client.sync("/"), _RECOVERY, what)
            except ZooKeeperException:
                continue
            for node in follower.nodes:
                for answer in (node.value(_RECOVERY), node.children(_RECOVERY)):
                    await answer.addErrback(lambda failure: failure.trap(NoNodeException))
            await self.until(lambda: follower.settled, what)
            if follower.client.session == session:
                return

    async def compare(self) -> None:
        """Wait until no client writes any more, and check that each mirror equals the reads of a fresh client."""
        reader = self.make_client(Random(self.random.random()))
        await self.within(reader.connect(), _RECOVERY, "the fresh client connects")
        deadline = self.reactor.seconds() + _RECOVERY
        before = None
        while True:
            # What sessions have left that are not ended yet may go at any time: then it is all read again.
            self.assertLess(self.reactor.seconds(), deadline, "there is no peace")
            await reader.sync(ROOT)
            there = await self.read(reader)
            if there == before:
                break
            before = there
            for follower in self.followers:
                await self.caught_up(follower)
            shows = [follower.shows() for follower in self.followers]
        for follower, expected, (trees, nodes) in zip(self.followers, there, shows, strict=True):
            for (tree, depth, _), below, fresh in zip(follower.trees, trees, expected[0], strict=True):
                self.assertEqual(below, fresh, f"{tree} of depth {depth} in {follower.mirror}")
            for node, value, fresh_value in zip(follower.nodes, nodes, expected[1], strict=True):
                self.assertEqual(value, fresh_value, f"{node} of {follower.mirror}")
            self.assertEqual(follower.complaints(), [])
            # Servers that hang up, or do not serve, have lost nothing.
            self.assertEqual(follower.client.session.data_generation, 0, follower.mirror)
        await self.within(reader.close(), _RECOVERY, "the fresh client is closed")

    async def read(self, client: ZooKeeperClient) -> list[tuple[list[dict[str, Shown]], list[Shown | None]]]:
        """Read the expected nodes of each mirror."""
        return [await self.read_for(client, follower) for follower in self.followers]

    async def read_for(
        self, client: ZooKeeperClient, follower: Follower
    ) -> tuple[list[dict[str, Shown]], list[Shown | None]]:
        trees = []
        for tree, depth, keep in follower.trees:
            below = await read_below(client, follower.whole(tree.path), depth, keep)
            trees.append({path.removeprefix(follower.chroot) or "/": value for path, value in below.items()})
        return trees, await gatherResults([read(client, follower.whole(node.path)) for node in follower.nodes])

    async def end(self) -> None:
        """Close all, and see that nothing is left."""
        for follower in self.followers:
            for tree, _, _ in follower.trees:
                tree.close()
            await self.no_watch_left(follower)
            await self.within(follower.mirror.close(), _RECOVERY, "a mirror is closed")
        await deferToThread(self.end_kazoo)
        await self.remove_all(self.clients[0])
        for client in [*(follower.client for follower in self.followers), *self.clients]:
            await self.within(client.close(), _RECOVERY, "a client is closed")
        for proxy in self.proxies:
            await self.within(proxy.close(), _RECOVERY, "a proxy is closed")
            self.assertEqual(proxy.connections, 0)
        leader = await deferToThread(self.ensemble.leader)
        left = await deferToThread(leader.sessions) & self.sessions
        self.assertEqual({f"{session:#x}" for session in left}, set(), "sessions are left at the servers")

    async def no_watch_left(self, follower: Follower) -> None:
        """Wait until no server has watches of a mirror's but those of its nodes."""
        nodes = {follower.whole(node.path) for node in follower.nodes}
        deadline = self.reactor.seconds() + _RECOVERY
        while True:
            watched: set[str] = set()
            for member in self.ensemble.members:
                watched |= await watched_paths(self.reactor, member.address, follower.client.session_id)
            if watched == nodes:
                return
            self.assertLess(self.reactor.seconds(), deadline, f"watches on {sorted(watched ^ nodes)}")
            await deferLater(self.reactor, 0.02)
