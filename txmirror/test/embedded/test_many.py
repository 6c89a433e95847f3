"""A thousand clients at once: all are served, and nothing is left of them after they have disconnected in any way."""

from __future__ import annotations

import gc
import resource
import tracemalloc
from collections.abc import Callable
from typing import Any, cast
from unittest import SkipTest

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from txmirror.embedded import EmbeddedServer
from txmirror.embedded.connection import Connection
from txmirror.test.embedded.peer import Factory, Peer, ServerTestCase
from txmirror.test.embedded.sizes import sizes
from txmirror.types import OPEN_ACL
from txmirror.wire import (
    AddWatchRequest,
    CloseSessionRequest,
    ConnectRequest,
    CreateRequest,
    GetChildrenRequest,
    GetDataRequest,
    MultiRequest,
    Request,
    RequestHeader,
    SetDataRequest,
    encode_frame,
)

MANY = 1000
#: The handshake's answer, three replies with no more than a path, the children (none) and the data (nothing).
ANSWERED = 7


def framed(*requests: Request) -> bytes:
    return b"".join(encode_frame(RequestHeader(7, each.operation).encode() + each.encode()) for each in requests)


def handshake(timeout: int) -> bytes:
    return encode_frame(ConnectRequest(0, timeout, 0, bytes(16), False).encode())


def introduction(number: int, timeout: int = 4000) -> bytes:
    """Return all requests of a client: a session, two ephemerals, and watches of each kind."""
    return handshake(timeout) + framed(
        CreateRequest(f"/group/e{number}", b"", OPEN_ACL, 1),
        MultiRequest((CreateRequest(f"/group/s{number}-", b"", OPEN_ACL, 3),)),
        GetDataRequest("/shared", True),
        GetChildrenRequest(f"/group/e{number}", True),
        AddWatchRequest(f"/group/e{number}", 1),
        GetDataRequest("/shared", False),
    )


class Counting:
    """Counts the frames of a stream that comes in pieces."""

    def __init__(self) -> None:
        self.frames = 0
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4 and len(self._buffer) >= (stop := 4 + int.from_bytes(self._buffer[:4], "big")):
            self._buffer = self._buffer[stop:]
            self.frames += 1


class Guest(Peer):
    """One of many, which counts the frames that it receives."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.told = Counting()

    def dataReceived(self, data: bytes) -> None:
        self.told.feed(data)


class MemoryTests(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.witness = self.peer(10_000)
        self.witness.create("/shared")
        self.witness.create("/group")

    def invite(self, count: int) -> list[Guest]:
        """Connect a number of clients, which send their requests."""
        guests = []
        for number in range(count):
            guest = Guest(self.reactor)
            self.reactor.connectTCP("127.0.0.1", 2181, Factory(guest))
            self.reactor.settle()
            guest.raw(introduction(number))
            guests.append(guest)
        return guests

    def send_away(self, guests: list[Guest]) -> None:
        """Let all go: some end their sessions, some their connections, some are silent, and some are made to go."""
        for number, guest in enumerate(guests):
            transport = cast(Any, guest.transport)
            if number % 4 == 0:
                transport.write(framed(CloseSessionRequest()))
            elif number % 4 == 1:
                transport.abortConnection()
            elif number % 4 == 2:
                transport.loseConnection()
            self.reactor.settle()
        made = [session for session in self.server.sessions if session != self.witness.session][:10]
        for session in made:
            self.server.expire_session(session)
        self.reactor.pass_time(4.9)
        self.witness.ping()

    def sizes(self) -> dict[str, int]:
        return sizes(self.server, self.reactor)

    def test_tables(self) -> None:
        """Each gets its replies and events; then every table is as large as before."""
        before = self.sizes()
        guests = self.invite(MANY)
        self.assertEqual({guest.told.frames for guest in guests}, {ANSWERED})
        with_all = self.sizes()
        grown = {name: size - before[name] for name, size in with_all.items()}
        self.assertEqual((grown["sessions"], grown["connections"], grown["links"]), (MANY, MANY, MANY))
        self.assertEqual((grown["owners"], grown["ephemerals"], grown["nodes"]), (MANY, 2 * MANY, 2 * MANY))
        self.assertEqual((grown["data watches"], grown["children watches"]), (2 * MANY, MANY))
        self.assertEqual((grown["data paths"], grown["data watchers"]), (MANY + 1, MANY))
        # However many there are, sessions have one timer.
        self.assertEqual(grown["timers"], 0)
        self.witness.set("/shared")
        self.assertEqual({guest.told.frames for guest in guests}, {ANSWERED + 1})
        self.send_away(guests)
        self.assertEqual({guest.lost is None for guest in guests}, {False})
        self.assertEqual(self.sizes(), before)

    def test_memory(self) -> None:
        """Nothing is left of them elsewhere: later clients take no more memory than the first ones."""
        # Whoever is told of what is logged may keep it, as trial's workers do until there is time to tell it on.
        self.patch(globalLogPublisher, "_observers", [])
        tracemalloc.start()
        try:
            # Tables stay as large as they once were, so those who come last must not be more.
            self.send_away(self.invite(40))
            self.send_away(self.invite(40))
            gc.collect()
            first = tracemalloc.get_traced_memory()[0]
            self.send_away(self.invite(40))
            gc.collect()
            second = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        # A hundred bytes of each would be more.
        self.assertLess(second - first, 10_000)
        alive = [each for each in gc.get_objects() if isinstance(each, Connection)]
        mine = [each for each in alive if each._server is self.server._own_state]
        self.assertEqual([each.session_id for each in mine], [self.witness.session])


class Caller(Protocol):
    """One of many on a real reactor.

    :ivar answered: fires when it has received the expected number of frames.
    :ivar gone: fires when the connection is lost.
    """

    def __init__(self, said: bytes, expected: int) -> None:
        self.answered: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self.told = Counting()
        self._said = said
        self._expected = expected

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._said)

    def dataReceived(self, data: bytes) -> None:
        before = self.told.frames
        self.told.feed(data)
        if before < self._expected <= self.told.frames:
            self.answered.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


class LoopbackTests(TestCase):
    timeout = 60

    def allow_files(self, count: int) -> None:
        """Make sure that this process may have so many more files open."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = count + 200
        if soft != resource.RLIM_INFINITY and soft < wanted:
            if hard != resource.RLIM_INFINITY and hard < wanted:
                raise SkipTest(f"only {hard} files may be open, and this takes {wanted}")
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def test_all_served(self) -> None:
        """On real sockets too all get their replies and events, and leave nothing."""
        self.allow_files(2 * MANY)
        return Deferred.fromCoroutine(self.serve_all())  # type: ignore[return-value]

    async def serve_all(self) -> None:
        from twisted.internet import reactor as installed

        reactor = cast(Any, installed)
        # Sessions that last, however busy the machine is.
        server = EmbeddedServer(reactor, tick_time=3.0)
        port = server.listen()
        self.addCleanup(server.stop)
        paths = framed(*(CreateRequest(path, b"", OPEN_ACL, 0) for path in ("/shared", "/group")))
        witness = await self.call(reactor, port, Caller(handshake(60_000) + paths, 3))
        await witness.answered
        before = sizes(server)
        callers = [Caller(introduction(number, 60_000), ANSWERED + 1) for number in range(MANY)]
        await gatherResults([Deferred.fromCoroutine(self.call(reactor, port, caller)) for caller in callers])
        await self.until(reactor, lambda: all(caller.told.frames == ANSWERED for caller in callers))
        self.assertEqual(len(server.sessions), MANY + 1)
        cast(Any, witness.transport).write(framed(SetDataRequest("/shared", b"", -1)))
        await gatherResults([caller.answered for caller in callers])
        for number, caller in enumerate(callers):
            transport = cast(Any, caller.transport)
            if number % 2:
                transport.write(framed(CloseSessionRequest()))
            else:
                transport.abortConnection()
        await gatherResults([caller.gone for caller in callers])
        await self.until(reactor, lambda: len(server._connections.live) == 1)
        self.assertEqual(len(server.sessions), 1 + MANY // 2)
        for session in sorted(server.sessions)[1:]:
            server.expire_session(session)
        self.assertEqual(sizes(server), before)
        cast(Any, witness.transport).abortConnection()
        await witness.gone

    async def call(self, reactor: IReactorTCP, port: Any, caller: Caller) -> Caller:
        """Connect a client, and return it."""
        from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

        endpoint = TCP4ClientEndpoint(cast(Any, reactor), "127.0.0.1", port.getHost().port)
        await connectProtocol(endpoint, caller)
        return caller

    async def until(self, reactor: Any, holds: Callable[[], bool]) -> None:
        """Wait until something holds; the test's timeout is how long."""
        while not holds():
            await deferLater(reactor, 0.005)
