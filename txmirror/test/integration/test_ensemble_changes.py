"""The native client at a real ensemble that is reconfigured, that can only be read, that lags behind, and that is wiped.

The rules are those of ``docs/explanation/rules.rst``.
"""

from __future__ import annotations

import atexit
import functools
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from txmirror.client import ZooKeeperClient
from txmirror.errors import (
    BadArgumentsException,
    BadVersionException,
    NoAuthException,
    NotReadOnlyException,
    SessionExpiredException,
)
from txmirror.test.client.contract import Recorder, run
from txmirror.test.embedded.test_quorum import REFUSED
from txmirror.test.ensemble import SUPERUSER, ZooKeeperEnsemble, ZooKeeperMember
from txmirror.test.integration.ensembles import EnsembleCase
from txmirror.test.integration.faults import Brisk
from txmirror.test.integration.sides import Line, RealSide, ask_word
from txmirror.types import EventType, SessionState
from txmirror.wire import (
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    Cursor,
    ReplyHeader,
    RequestHeader,
    encode_frame,
)

#: How long a server may take that has lost the others, until it can be read: it looks for them for 2 s at first.
ALONE = 12.0


class ChangingCase(EnsembleCase):
    """The set of servers changes; in the end the first client is connected again."""

    # The longest that the servers grant.
    session_timeout = 10.0
    random = Brisk

    async def _clean_up(self) -> None:
        await deferToThread(self.ensemble.heal)
        await self.within(self.client.when_connected(), 10)
        await super()._clean_up()

    def make_reader(self, *members: ZooKeeperMember) -> tuple[ZooKeeperClient, Recorder]:
        """Make a client that may do with a server that can only be read, and record its feed."""
        client = ZooKeeperClient(
            ",".join(member.address for member in members),
            session_timeout=self.session_timeout,
            read_only=True,
            random=Brisk(),
        )
        self._clients.append(client)
        feed = Recorder()
        client.add_listener(feed)
        return client, feed

    async def kill(self, *members: ZooKeeperMember) -> None:
        """End servers as a crash would."""
        for member in members:
            await deferToThread(member.kill)


class ReconfigurationTests(ChangingCase):
    async def restore(self) -> None:
        """Make all former servers members again, whatever the result of the test."""
        config, _ = await self.other.get_config()
        away = [member for member in self.ensemble.members if member.number not in config.servers]
        if away:
            await self.within(self.other.reconfig(joining=[f"server.{each.number}={each.server}" for each in away]), 15)

    async def _clean_up(self) -> None:
        await self.restore()
        await super()._clean_up()

    @run
    async def test_reconfiguration(self) -> None:
        """The superuser removes a server and adds it again; a watch on the configuration fires, and its new content is
        read.
        """
        await self.within(self.other.add_auth("digest", SUPERUSER))
        leaver = self.followers[1]
        before, stat = await self.client.get_config()
        self.assertEqual(before.servers, {member.number: member.server for member in self.ensemble.members})
        self.assertCountEqual(before.connect_string.split(","), self.ensemble.address.split(","))
        self.assertEqual(stat, await self.client.exists("/zookeeper/config"))
        await self.fails(NoAuthException, self.client.reconfig(leaving=[leaver.number]))
        answer, watch = self.client.get_config_and_watch()
        self.assertEqual((await answer)[0], before)

        config, _ = await self.within(self.other.reconfig(leaving=[leaver.number], version=before.version), 15)
        self.assertEqual((await self.within(watch))[:2], (EventType.CHANGED, "/zookeeper/config"))
        self.assertEqual(config.servers, {key: each for key, each in before.servers.items() if key != leaver.number})
        self.assertGreater(config.version, before.version)
        self.assertCountEqual(
            config.connect_string.split(","), [self.leader.address, self.followers[0].address], config.connect_string
        )
        answer, watch = self.client.get_config_and_watch()
        self.assertEqual((await answer)[0], config)

        joining = [f"server.{leaver.number}={leaver.server}"]
        stale = self.other.reconfig(joining=joining, version=before.version)
        self.assertIs((await self.fails(BadVersionException, stale)).applied, False)
        await self.fails(BadArgumentsException, self.other.reconfig(joining=["server.9=nonsense"]))
        # The watch may have fired by now: a server of an ensemble writes its configuration down twice, as a transaction and
        # when it acts upon it (``QuorumPeer.processReconfig``), and tells of both.
        after, _ = await self.within(self.other.reconfig(joining=joining, version=config.version), 15)
        self.assertEqual((await self.within(watch)).type, EventType.CHANGED)
        self.assertEqual(after.servers, before.servers)
        self.assertIs(self.other.server_can("reconfig"), True)
        client, _ = await self.connect_to(after.connect_string)
        self.assertEqual((await client.get_config())[0], after)
        self.assertEqual(self.feed.states, [SessionState.CONNECTED])

    async def connect_to(self, address: str) -> tuple[Any, Recorder]:
        """Connect to the address of a configuration."""
        client = self.client_of(address)
        await self.within(client.connect())
        return client, Recorder()


@functools.cache
def readable_ensemble() -> ZooKeeperEnsemble:
    """The ensemble that these tests share: it can be read without a quorum."""
    ensemble = ZooKeeperEnsemble(configuration=("localSessionsEnabled=true", "localSessionsUpgradingEnabled=true"))
    atexit.register(ensemble.cleanup)
    ensemble.start()
    return ensemble


class ReadOnlyTests(ChangingCase):
    def start_ensemble(self) -> ZooKeeperEnsemble:
        return readable_ensemble()

    @run
    async def test_quorum_lost(self) -> None:
        """Without a quorum, a client that accepts read-only servers is served, and gets a real session by itself when
        there is a quorum again. Other clients get none, and a client with a real session keeps it (A10).
        """
        path = f"{self.root}/a"
        await self.client.create(path, b"x")
        holder, held = self.make_reader(self.followers[0], self.leader)
        await self.within(holder.connect())
        session = holder.session_id
        # Sessions that own something outlast the server that they began with, which here not all do.
        await holder.create(f"{self.root}/e", ephemeral=True)
        await self.client.create(f"{self.root}/f", ephemeral=True)
        self.assertIs(holder.session.read_only, False)

        await self.kill(self.leader, self.followers[1])
        reader, feed = self.make_reader(*self.ensemble.members)
        plain = self.client_of(self.server.address)
        connected = plain.connect()
        await self.within(reader.connect(), ALONE)
        self.assertEqual((reader.session.read_only, reader.session.session_number), (True, 1))
        self.assertEqual((await self.within(reader.get(path)))[0], b"x")
        names, _ = await self.within(reader.get_children_and_stat(self.root))
        self.assertEqual(sorted(names), ["a", "e", "f"])
        for write in (reader.set(path, b"y"), reader.create(f"{self.root}/b"), reader.delete(path)):
            self.assertIs((await self.fails(NotReadOnlyException, write)).applied, False)
        # The server that serves the reader is there for the others too.
        await self.pause(0.5)
        self.assertEqual(self.followers[0].mode(), "read-only")
        self.assertFalse(connected.called)
        self.assertEqual(held.states, [SessionState.CONNECTED, SessionState.SUSPENDED])
        self.assertEqual(self.feed.states, [SessionState.CONNECTED, SessionState.SUSPENDED])
        self.assertIs(reader.session.read_only, True)

        former, writable = reader.session_id, feed.when_session_number(2)
        await deferToThread(self.ensemble.start)
        back = self.now
        await self.within(gatherResults([writable, connected, holder.when_connected()]), 10)
        # No pause between attempts is longer than 0.05 s here, and none between questions longer than those before it.
        self.assert_within(3.0, back)
        self.assertEqual(
            feed.states,
            [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.EXPIRED, SessionState.CONNECTED],
        )
        self.assertIs(reader.session.read_only, False)
        self.assertNotEqual(reader.session_id, former)
        await self.within(reader.set(path, b"y"))
        await holder.sync(path)
        self.assertEqual((await holder.get(path))[0], b"y")
        self.assertEqual(
            (holder.session_id, holder.session.session_number, holder.session.read_only), (session, 1, False)
        )
        self.assertEqual(await holder.get_ephemerals(self.root), [f"{self.root}/e"])
        self.assertIs(plain.session.read_only, False)

    @run
    async def test_as_embedded(self) -> None:
        """Its replies, record by record, are those of the embedded server without a quorum."""
        member = self.followers[0]
        holder = self.client_of(member.address)
        await self.within(holder.connect())
        # It is no session of one server alone.
        await holder.create(f"{self.root}/e", ephemeral=True)
        ticket = holder.session_ticket
        assert ticket is not None
        await self.kill(self.leader, self.followers[1])
        reader, _ = self.make_reader(member)
        await self.within(reader.connect(), ALONE)
        await deferToThread(self.look, RealSide(member), ticket.session_id, ticket.password)

    def look(self, side: RealSide, session: int, password: bytes) -> None:
        """Send the requests of ``txmirror.test.embedded.test_quorum``."""

        def shake(read_only: bool | None, session: int = 0, password: bytes = bytes(16)) -> tuple[Line, bytes]:
            line = side.connect()
            request = ConnectRequest(0, 4000, session, password, read_only)
            line.write(encode_frame(request.encode()))
            try:
                return line, line.read_frame()
            except (AssertionError, ConnectionError):
                return line, b""

        for turned_away in (shake(False), shake(None), shake(True, session, password), shake(True, session)):
            self.assertEqual(turned_away[1], b"")
            turned_away[0].close()
        line, answer = shake(True, 0x1234)
        ended = ConnectResponse.decode(Cursor(answer))
        self.assertEqual((ended.timeOut, ended.sessionId, ended.readOnly), (0, 0, True))
        line.close()
        line, answer = shake(True)
        welcome = ConnectResponse.decode(Cursor(answer))
        self.assertEqual((welcome.timeOut, welcome.readOnly), (4000, True))
        line.close()
        assert welcome.passwd is not None
        line, answer = shake(True, welcome.sessionId, welcome.passwd)
        self.assertEqual(ConnectResponse.decode(Cursor(answer)), welcome)
        for xid, request in enumerate((*REFUSED, CloseSessionRequest())):
            line.write(encode_frame(RequestHeader(xid, request.operation).encode() + request.encode()))
            header = ReplyHeader.decode(Cursor(line.read_frame()))
            self.assertEqual(header.err, 0 if isinstance(request, CloseSessionRequest) else -119, request)
        line.close()
        self.assertEqual(ask_word(side, b"isro"), "ro")
        self.assertIn("\nREAD-ONLY mode; serving only read-only clients\n", ask_word(side, b"srvr"))

    @run
    async def test_lagging(self) -> None:
        """A client never gets older data from a server that lags, even if it is the only one (A2, D6)."""
        path = f"{self.root}/a"
        ahead, behind = self.followers
        await self.client.create(path, b"old")
        await self.kill(behind)
        for number in range(10):
            await self.client.set(path, b"new %d" % number)
        await self.kill(self.leader)
        reader, feed = self.make_reader(ahead, behind)
        await self.within(reader.connect(), ALONE)
        self.assertEqual((await self.within(reader.get(path)))[0], b"new 9")
        ended = feed.when_state(SessionState.EXPIRED)
        await self.kill(ahead)
        await self.within(ended)
        asked: Deferred[Any] = reader.get(path)

        await deferToThread(behind.launch)
        newcomer, _ = self.make_reader(behind)
        await self.within(newcomer.connect(), ALONE)
        # It does serve, and what it serves is old.
        data = (await self.within(newcomer.get(path)))[0]
        self.assertEqual((data, newcomer.session.read_only), (b"old", True))
        await self.pause(0.5)
        self.assertFalse(asked.called)
        self.assertIs(reader.session.state, SessionState.EXPIRED)

        connected = feed.when_state(SessionState.CONNECTED)
        await deferToThread(self.ensemble.start)
        await self.within(connected, 10)
        self.assertEqual((await self.within(asked))[0], b"new 9")
        self.assertEqual((reader.session.session_number, reader.session.data_generation), (2, 0))


class WipedTests(ChangingCase):
    """An ensemble of the test's own forgets everything."""

    session_timeout = 2.0

    def start_ensemble(self) -> ZooKeeperEnsemble:
        ensemble = ZooKeeperEnsemble()
        self.addCleanup(ensemble.cleanup)
        ensemble.start()
        return ensemble

    @run
    async def test_wiped(self) -> None:
        """When all servers have forgotten everything, a new data generation begins, and not before each has refused us for S (A3)."""
        answer, watch = self.client.get_and_watch(self.root)
        await answer
        await gatherResults([self.client.set(self.root, b"what will be forgotten") for _ in range(200)])
        event = await self.within(watch)
        self.assertEqual(event.type, EventType.CHANGED)
        answer, watch = self.client.get_and_watch(self.root)
        await answer
        # The other client has to have seen as much, to see that it is gone.
        await self.other.sync(self.root)
        self.assertIsNotNone(await self.other.exists(self.root))
        suspended = self.feed.when_state(SessionState.SUSPENDED)
        await deferToThread(self.ensemble.kill)
        await self.within(suspended)
        await deferToThread(self.ensemble.wipe)
        connected = self.feed.when_session_number(2)
        await deferToThread(self.ensemble.start)
        began = self.now
        await self.within(connected, 10)
        self.assert_within(self.session_timeout + 1.0, began)
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (2, 1))
        await self.fails(SessionExpiredException, watch)
        self.assertEqual(await self.client.get_children("/"), ["zookeeper"])
        self.assertEqual(self.feed.states.count(SessionState.EXPIRED), 1)
        await self.within(self.client.create(self.root))
        await self.within(self.other.when_connected(), 10)
        self.assertEqual((self.other.session.session_number, self.other.session.data_generation), (2, 1))
