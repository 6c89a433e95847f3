"""A program and servers that do anything at any moment: no event of the session's machine is impossible, and all of it ends."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import ZooKeeperException
from txmirror.test.client.peer import PASSWORD, SESSION, STAT, ClientTestCase, Peer, S, event, reply
from txmirror.test.models import FailureLog
from txmirror.types import SessionState, SessionTicket, WatchKind
from txmirror.wire import AUTH_XID, ConnectResponse, GetDataResponse, Operation, encode_frame
from txmirror.wire.jute import encode_int

_T = TypeVar("_T")

#: The programs that run, each with its own chance.
COUNT = 150
STEPS = 60
#: Longer than the longest time that ``close()`` may take.
AFTERWARDS = 10.0

#: The password of every session of ClickHouse Keeper.
_KEEPERS = bytes(16)
#: The ways in which a server answers a handshake: a session id (None for the one offered, or else a new one), a timeout, a
#: password, and the protocol's version.
HANDSHAKES: list[tuple[int | None, float, bytes, int]] = [
    *[(None, S, PASSWORD, 0)] * 8,
    (None, S, _KEEPERS, 0),
    (SESSION + 1, S, PASSWORD, 0),
    (SESSION + 2, S, _KEEPERS, 0),
    *[(0, 0.0, bytes(16), 0)] * 2,
    (-1, S, _KEEPERS, 42),
]
#: The error codes of its replies: mostly none, and among the others those that end the connection or the session.
CODES = [*[0] * 30, -4, -6, -101, -102, -112, -115, -118, -122, -124, -127, -999]


class Program:
    """A program with one client, and its servers, with the same random choices.

    :ivar pending: the Deferreds that it waits for. Watches are not in it: one whose request has failed never fires.
    :ivar faults: results that no caller expects.
    """

    def __init__(self, client: ZooKeeperClient, chance: Random) -> None:
        self.client = client
        self.pending: list[Deferred[Any]] = []
        self.faults: list[str] = []
        self._clients = [client, client.waiting(), client.urgent(), client.chroot("/a")]
        self._chance = chance
        self._depth = 0
        self._greeted: set[Peer] = set()
        client.add_listener(self._interfere)

    # The program.

    def act(self) -> None:
        """Do anything."""
        client, chance = self._chance.choice(self._clients), self._chance
        acts: list[Callable[[], Deferred[Any] | None]] = [
            *[lambda: client.get("/a")] * 4,
            lambda: self._watch(client),
            lambda: client.create("/a", ephemeral=True),
            lambda: client.create_and_stat("/a"),
            lambda: client.create("/a", ephemeral=True, sequence=True, protect=True),
            lambda: client.set_watches(1, ["/a"], [], ["/b"]),
            lambda: client.remove_watches("/a", WatchKind.ANY),
            lambda: client.add_watch("/b", self._interfere),
            lambda: client.add_auth("digest", b"u:p"),
            client.when_connected,
            client.when_lease_expires,
            client.connect,
            self._cancel,
        ]
        if chance.random() < 0.02:
            acts = [lambda: client.close().addCallback(self._ended), lambda: client.leave().addCallback(self._ended)]
        done = chance.choice(acts)()
        if done is not None:
            self.pending.append(done)
            done.addBoth(self._fired, done)

    def _watch(self, client: ZooKeeperClient) -> Deferred[Any]:
        answer, watch = client.get_and_watch("/a")
        watch.addBoth(self._interfere)
        return answer

    def _cancel(self) -> None:
        if self.pending:
            self._chance.choice(self.pending).cancel()

    def _fired(self, result: object, done: Deferred[Any]) -> None:
        # A method may return a Deferred that has fired, and a callback may then run before it is in the list.
        self.pending = [each for each in self.pending if each is not done]
        if isinstance(result, Failure) and not isinstance(result.value, (ZooKeeperException, CancelledError)):
            self.faults.append(result.getTraceback())
        self._interfere(result)

    def _ended(self, result: _T) -> _T:
        if self.client.session.state is not SessionState.CLOSED:
            self.faults.append("it has ended too early")
        return result

    def _interfere(self, _: object) -> None:
        """Act from within a callback or a listener, now and then."""
        if self._depth < 3 and self._chance.random() < 0.2:
            self._depth += 1
            self.act()
            self._depth -= 1

    # The servers.

    def serve(self, peer: Peer) -> None:
        """Do anything on a connection on which a handshake has come."""
        if peer in self._greeted:
            self._serve(peer)
        else:
            self._greeted.add(peer)
            self._greet(peer)

    def _greet(self, peer: Peer) -> None:
        """Answer a handshake, or close the connection."""
        chance = self._chance
        offered = peer.hello.sessionId
        session, timeout, password, version = chance.choice(HANDSHAKES)
        answer = ConnectResponse(
            round(timeout * 1000), (offered or SESSION) if session is None else session, password, False, version
        )
        drop: Callable[[], None] = chance.choice([peer.close, peer.drop])
        chance.choice(
            [*[lambda: peer.send(encode_frame(answer.encode()))] * 6, drop, lambda: peer.send(encode_int(-1))]
        )()

    def _serve(self, peer: Peer) -> None:
        """Answer requests, or send an event, or close the connection."""
        chance = self._chance
        fate = chance.random()
        if fate < 0.05:
            chance.choice([peer.close, peer.drop])()
        elif fate < 0.15:
            peer.send(event(chance.randint(1, 5), chance.choice(["/a", "/b", "/b/c"])))
        else:
            for _ in range(chance.randint(1, 4)):
                if not peer.packets or peer.lost:
                    break
                self._answer(peer)

    def _answer(self, peer: Peer) -> None:
        packet, chance = peer.packets.pop(0), self._chance
        err = chance.choice(CODES)
        ends = packet.operation == Operation.CLOSE_SESSION
        record = GetDataResponse(b"", STAT).encode() if packet.operation == Operation.GET_DATA else b""
        xid = packet.xid if packet.xid == AUTH_XID or chance.random() < 0.98 else packet.xid + 7
        if not ends or chance.random() < 0.8:
            peer.send(reply(xid, b"" if err else record, zxid=chance.choice([0, 99, 100]), err=err))
        if ends and not peer.lost:
            peer.close()


class InterleavingTests(ClientTestCase):
    def test_anything(self) -> None:
        """Rules 12 and 13: in any sequence of faults and calls nothing raises, and ``close()`` ends everything (I2,
        I3).
        """
        self.add_server()
        for seed in range(COUNT):
            self.run_program(seed)

    def run_program(self, seed: int) -> None:
        """Run one program to its end."""
        chance = Random(seed)
        failures: list[str] = []
        log = FailureLog(failures)
        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)
        limits = Limits(
            in_flight_requests=chance.choice([1, 3, 1000]),
            queued_requests=chance.choice([2, 1000]),
            close_time=AFTERWARDS / 2,
        )
        ticket = SessionTicket(SESSION, PASSWORD, 50) if chance.random() < 0.2 else None
        client = self.make_client(limits=limits, session=ticket, read_only=chance.random() < 0.2)
        program = Program(client, chance)
        for server in self.servers:
            server.peers.clear()
        client.connect().addErrback(lambda _: None)
        for _ in range(STEPS):
            self.step(program, chance)
        closed = client.close()
        self.pass_time(AFTERWARDS)
        self.assertIs(self.successResultOf(closed), None, seed)
        self.assertIs(client.session.state, SessionState.CLOSED, seed)
        self.assertEqual((program.pending, program.faults, failures), ([], [], []), seed)
        self.assert_nothing_left()
        globalLogPublisher.removeObserver(log)

    def step(self, program: Program, chance: Random) -> None:
        """Let one thing happen."""
        peers = [peer for server in self.servers for peer in server.peers if not peer.lost]
        fate = chance.random()
        if fate < 0.4:
            program.act()
        elif fate < 0.6 or not peers:
            self.pass_time(chance.choice([0, 0, 0.1, 1, 3, S]))
        else:
            peer = chance.choice(peers)
            if peer.greeted:
                program.serve(peer)
