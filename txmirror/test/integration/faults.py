"""The base of the tests of faults on real servers: a client behind a proxy, and one that observes.

``self.client`` is hurt, ``self.other`` is not. S is the session's timeout.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.errors import ConnectionLossException
from txmirror.test.client.contract import ContractCase, ContractServer
from txmirror.test.integration.test_client_contract import Shared
from txmirror.test.zookeeper import shared_server
from txmirror.testing import FaultProxy
from txmirror.types import SessionState, WatchedEvent
from txmirror.wire import CloseSessionRequest, ConnectRequest, FrameDecoder, RequestHeader, encode_frame

#: What a bound is allowed to be over, in seconds: the machine is shared with others.
SLACK = 1.0


class InOrder(Random):
    """Leaves the order of the servers as it was given."""

    def shuffle(self, x: MutableSequence[Any], *_: Any) -> None:
        pass


class Restless(InOrder):
    """Draws no pauses: for tests that reconnect a hundred times."""

    def uniform(self, a: float, b: float) -> float:
        return a


class Brisk(InOrder):
    """Draws short pauses only: for tests that continue after the session may have expired."""

    def uniform(self, a: float, b: float) -> float:
        return min(b, 0.05)


class Closer(Protocol):
    """Resumes another client's session, and closes it.

    :ivar done: fires when the server has closed the connection, with the number of received frames: the handshake's
        answer, and the reply.
    """

    def __init__(self, session_id: int, password: bytes) -> None:
        self._hello = ConnectRequest(0, 2000, session_id, password)
        self._decoder = FrameDecoder(1000)
        self._frames = 0
        self.done: Deferred[int] = Deferred()

    def connectionMade(self) -> None:
        self.write(self._hello.encode())

    def dataReceived(self, data: bytes) -> None:
        for _ in self._decoder.feed(data):
            self._frames += 1
            if self._frames == 1:
                request = CloseSessionRequest()
                self.write(RequestHeader(1, request.operation).encode() + request.encode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.done.callback(self._frames)

    def write(self, body: bytes) -> None:
        transport: Any = self.transport
        transport.write(encode_frame(body))


class HurtCase(ContractCase, TestCase):
    """The common part of tests of faults: a client that suffers faults, and the checks of its recovery."""

    timeout = 30
    random: type[Random] = InOrder

    def make_client(self, servers: str, session_timeout: float) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout, random=self.random())

    @property
    def now(self) -> float:
        seconds: float = self.reactor.seconds()
        return seconds

    def assert_within(self, seconds: float, since: float) -> None:
        """Check that no more time has passed than a rule allows, and the slack."""
        self.assertLess(self.now - since, seconds + SLACK)

    async def connected(self, times: int) -> None:
        """Wait until the client has been connected so many times."""
        if self.feed.states.count(SessionState.CONNECTED) < times:
            await self.within(
                self.feed.when(lambda _: self.feed.states.count(SessionState.CONNECTED) >= times), self.timeout
            )

    async def unanswered(self, answer: Deferred[Any]) -> None:
        """Wait for a request to fail that was sent, and whose fate nobody knows."""
        error = await self.fails(ConnectionLossException, answer)
        self.assertIsNone(error.applied, error)

    async def end_at_the_server(self, client: Any) -> None:
        """End a client's session by another connection, as if it had asked for it."""
        host, port = self.server.direct_address.split(":")
        endpoint = clientFromString(self.reactor, f"tcp:{host}:{port}")
        ticket = client.session_ticket
        closer = Closer(ticket.session_id, ticket.password)
        await connectProtocol(endpoint, closer)
        self.assertEqual(await self.within(closer.done), 2)

    def assert_told(self, *events: WatchedEvent) -> None:
        """Check that the feed has had these watch events, in any order, and each once."""
        self.assertEqual(sorted(self.feed.events), sorted(events))

    def assert_same_session(self, session_id: int) -> None:
        """Check that the client has had only one session."""
        self.assertEqual((self.client.session_id, self.client.session.session_number), (session_id, 1))
        self.assertNotIn(SessionState.EXPIRED, self.feed.states)

    def when_at(self, client: Any, state: SessionState) -> Deferred[None]:
        """Return a Deferred that fires at a client's next session event with a state."""
        told: Deferred[None] = Deferred()

        def listen(step: Any) -> None:
            if getattr(step, "state", None) is state and not told.called:
                told.callback(None)

        client.add_listener(listen)
        return told


class FaultCase(HurtCase):
    """A client behind a proxy, at the server that all tests share."""

    async def start_server(self) -> ContractServer:
        server = Shared(self.reactor, await deferToThread(shared_server))
        self.addCleanup(server.stop)
        self.proxy = server.proxy
        self._proxies: list[FaultProxy] = []
        return server

    async def _set_up(self) -> None:
        await super()._set_up()
        self.other, _ = await self.connect(direct=True)

    async def _clean_up(self) -> None:
        self.proxy.open()
        self.proxy.resume()
        self.proxy.split(None)
        self.client = self.other
        try:
            await super()._clean_up()
        finally:
            await gatherResults([proxy.close() for proxy in self._proxies])

    def make_proxy(self) -> FaultProxy:
        """Make another way to the server."""
        proxy = FaultProxy(shared_server().port, reactor=self.reactor)
        self._proxies.append(proxy)
        return proxy
