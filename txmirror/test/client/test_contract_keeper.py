"""The native client's contract, on the embedded server that imitates ClickHouse Keeper, over loopback."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.errors import SessionExpiredException
from txmirror.test.client.contract import (
    AbsenceContract,
    ClientContract,
    ContractServer,
    ReconnectionContract,
    if_asked_for,
    run,
)
from txmirror.test.client.contract_abilities import (
    AbilityCase,
    AbilityContract,
    PersistentWatchAbsenceContract,
    PersistentWatchContract,
)
from txmirror.test.client.test_contract_embedded import Embedded
from txmirror.types import EventType, SessionState


class KeeperSide:
    """The differences of ClickHouse Keeper from ZooKeeper, for the contract."""

    resumes_sessions = False
    children_changed = EventType.CHANGED
    lacking = frozenset({"get_ephemerals", "count_below", "who_am_i"})
    uncertain = frozenset({"set_watches"})


class KeeperTests(KeeperSide, ClientContract, ReconnectionContract, AbsenceContract, TestCase):
    """The whole contract."""

    def start_server(self) -> Deferred[ContractServer]:
        server = Embedded(self.reactor, version="keeper")
        self.addCleanup(server.stop)
        return succeed(server)

    def make_client(self, servers: str, session_timeout: float) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout)


@if_asked_for("keeper")
class KeeperAbilityTests(
    KeeperSide, PersistentWatchContract, PersistentWatchAbsenceContract, AbilityContract, TestCase
):
    """Operations that the oldest servers lack."""

    def start_server(self) -> Deferred[ContractServer]:
        server = Embedded(self.reactor, version="keeper", ttl_nodes=True, container_check_interval=0.2)
        self.addCleanup(server.stop)
        return succeed(server)

    def make_client(self, servers: str, session_timeout: float, **options: Any) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout, **options)


@if_asked_for("keeper")
class KeeperDeviationTests(KeeperSide, AbilityCase, TestCase):
    """The tests that replace those of the contract about resumed sessions, and about operations that the server lacks."""

    def start_server(self) -> Deferred[ContractServer]:
        self.embedded = Embedded(self.reactor, version="keeper")
        self.addCleanup(self.embedded.stop)
        return succeed(self.embedded)

    def make_client(self, servers: str, session_timeout: float, **options: Any) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout, **options)

    @run
    async def test_disconnected(self) -> None:
        """A connection that goes costs the session: all of it fails, nothing of it runs in the next, and its ephemerals go when
        its time is over."""
        await self.client.create(f"{self.root}/e", ephemeral=True)
        watches = await self.read_all(self.root)
        session = self.client.session_id
        queued: list[Deferred[Any]] = []

        async def ask() -> None:
            queued.append(self.client.create(f"{self.root}/never"))

        await self.interrupt(ask)
        for deferred in (*watches, *queued):
            error = await self.fails(SessionExpiredException, deferred)
        self.assertIs(error.applied, False)
        self.assertEqual(
            self.feed.states,
            [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.EXPIRED, SessionState.CONNECTED],
        )
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (2, 0))
        self.assertNotEqual(self.client.session_id, session)
        self.assertEqual(await self.client.get_children(self.root), ["e"])
        self.assertEqual((await self.client.exists(f"{self.root}/e")).ephemeralOwner, session)
        self.embedded.server.expire_session(session)
        self.assertEqual(await self.client.get_children(self.root), [])

    @run
    async def test_changed_while_away(self) -> None:
        """Changes without a connection cause events before ``set_watches`` fires, although the server replies before it sends
        the events."""
        for name in ("changed", "parent"):
            await self.client.create(f"{self.root}/{name}")
        zxid = (await self.client.read_existence("/")).zxid
        other, _ = await self.connect(direct=True)

        async def change() -> None:
            await other.set(f"{self.root}/changed", b"x")
            await other.create(f"{self.root}/parent/child")

        await self.interrupt(change)
        paths = [f"{self.root}/changed", f"{self.root}/parent"]
        await self.client.set_watches(zxid, data=paths, children=paths)
        self.assertEqual([event.path for event in self.feed.events], paths)
        self.assertEqual({event.type for event in self.feed.events}, {EventType.CHANGED})

    @run
    async def test_close(self) -> None:
        """The session ends, although the server only closes the connection: the client opens no other."""
        before = await self.server.sessions()
        other, feed = await self.connect()
        await other.create(f"{self.root}/e", ephemeral=True)
        last = other.create(f"{self.root}/f", ephemeral=True)
        await self.within(other.close(), 1.0)
        await self.within(last)
        self.assertEqual(feed.states, [SessionState.CONNECTED, SessionState.CLOSED])
        self.assertEqual(await self.server.sessions(), before)
        self.assertEqual(await self.client.get_children(self.root), [])

    @run
    async def test_close_without_a_connection(self) -> None:
        """A client that has lost its connection, and so its session, leaves no other behind when it is closed."""
        other, feed = await self.connect()
        left = await self.server.sessions()
        closing: list[Deferred[None]] = []

        async def close() -> None:
            closing.append(other.close())

        ended = feed.when_state(SessionState.EXPIRED)
        await self.interrupt(close)
        await self.within(gatherResults([ended, *closing]))
        # Those that went with their connections, and my own next one.
        now = self.client.session_id & 0xFFFFFFFFFFFFFFFF
        self.assertEqual(await self.server.sessions(), {*left, now})
        self.assertNotIn(now, left)
        self._sessions -= left
