"""A check by a connection."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IListeningPort, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from txmirror.checks import ICheck, Result, ServiceCheck, ServiceHealth, Status, TCPCheck
from txmirror.test.checks.case import SETTINGS, ChecksTestCase, step

_ENDPOINT = "tcp:127.0.0.1:6379"


class ScriptedServer(Protocol):
    """A server whose answers the test decides.

    :ivar received: the received data.
    :ivar lost: whether the connection is closed.
    """

    def __init__(self, answer: Callable[[ITransport, bytes], object]) -> None:
        self.received = b""
        self.lost = False
        self._answer = answer

    def connectionMade(self) -> None:
        assert self.transport is not None
        self._answer(self.transport, b"")

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.received += data
        self._answer(self.transport, self.received)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class ServerFactory(Factory):
    """Makes scripted servers, and keeps them."""

    noisy = False

    def __init__(self, answer: Callable[[ITransport, bytes], object]) -> None:
        self.servers: list[ScriptedServer] = []
        self._answer = answer

    def buildProtocol(self, addr: object) -> ScriptedServer:
        server = ScriptedServer(self._answer)
        self.servers.append(server)
        return server


class TCPTests(ChecksTestCase):
    def serve(self, answer: Callable[[ITransport, bytes], object]) -> ServerFactory:
        """Listen, and answer with a function of the transport and of all that was received, called at the connection too."""
        factory = ServerFactory(answer)
        port: IListeningPort = self.reactor.listenTCP(6379, factory)  # type: ignore[arg-type]
        self.addCleanup(port.stopListening)
        return factory

    def probe(self, send: bytes = b"", expect: bytes | None = None) -> Result:
        """Return the result of one probe, which leaves no connection."""
        running = TCPCheck(_ENDPOINT, send=send, expect=expect, reactor=self.reactor).run()
        self.reactor.settle()
        result = self.successResultOf(running)
        self.assertEqual((self.reactor.links, self.reactor.getDelayedCalls()), ([], []))
        return result

    def test_connects(self) -> None:
        """A connection is enough; it is aborted at once."""
        servers = self.serve(lambda transport, received: None)
        check = TCPCheck(_ENDPOINT, reactor=self.reactor)
        self.assertTrue(verifyObject(ICheck, check))
        self.assertEqual((check.kind, check.description), ("tcp", "tcp tcp:127.0.0.1:6379"))
        self.assertEqual(self.probe(), Result(Status.OK, "connected"))
        self.assertTrue(servers.servers[0].lost)

    def test_refused(self) -> None:
        result = self.probe()
        self.assertIs(result.status, Status.FAIL)
        self.assertRegex(result.output, "^cannot connect: Connection was refused by other side")

    def test_answer(self) -> None:
        """The bytes may arrive in any pieces."""

        def answer(transport: ITransport, received: bytes) -> None:
            if received == b"PING\r\n":
                transport.write(b"-ignored\r\n+PONG\r\n+more\r\n")

        servers = self.serve(answer)
        for self.reactor.piece in (None, 1):
            self.assertIs(self.probe(b"PING\r\n", b"+PONG").status, Status.OK)
            self.assertEqual(servers.servers[-1].received, b"PING\r\n")

    def test_banner(self) -> None:
        """It may expect an answer without sending anything."""
        self.serve(lambda transport, received: transport.write(b"SSH-2.0-x\r\n"))
        self.assertEqual(self.probe(expect=b"SSH-2.0"), Result(Status.OK, "SSH-2.0-x"))

    def test_wrong_answer(self) -> None:
        """If the server closes the connection without the expected answer, it fails and shows the answer."""

        def answer(transport: ITransport, received: bytes) -> None:
            transport.write(b"-ERR \xff busy\r\n")
            transport.loseConnection()

        self.serve(answer)
        self.assertEqual(
            self.probe(expect=b"+PONG"),
            Result(Status.FAIL, "the connection was closed; the answer was: -ERR \\xff busy"),
        )

    def test_no_answer(self) -> None:
        self.serve(lambda transport, received: transport.loseConnection())
        self.assertEqual(self.probe(expect=b"+"), Result(Status.FAIL, "the connection was closed without an answer"))

    def test_flood(self) -> None:
        """A server that sends anything else, and does not end, fails too."""

        def answer(transport: ITransport, received: bytes) -> None:
            for _ in range(100):
                transport.write(b"x" * 1000)

        self.serve(answer)
        self.assertEqual(
            self.probe(expect=b"+"), Result(Status.FAIL, "the first 65536 bytes of the answer are not as expected")
        )

    def test_cancelled(self) -> None:
        """Cancelled at any step, it leaves no connection."""
        servers = self.serve(lambda transport, received: transport.write(b"..."))
        for steps in range(12):
            running = TCPCheck(_ENDPOINT, send=b"PING", expect=b"+", reactor=self.reactor).run()
            step(self.reactor, steps)
            running.cancel()
            self.reactor.settle()
            running.addErrback(lambda failure: failure.trap(CancelledError))
            self.successResultOf(running)
            self.assertEqual((self.reactor.links, self.reactor.getDelayedCalls()), ([], []))
        self.assertTrue(all(server.lost for server in servers.servers))

    def test_silent(self) -> None:
        """A host that does not answer, and a server that sends nothing, run into the timeout."""
        self.serve(lambda transport, received: None)
        check = TCPCheck(_ENDPOINT, expect=b"+", reactor=self.reactor)
        health = ServiceHealth("web", [ServiceCheck("tcp", check, SETTINGS)])
        self.service.add(health)
        self.service.startService()
        self.reactor.pass_time(7)
        self.assertEqual(health.checks[0].last, Result(Status.FAIL, "no result within 2 s", 2.0))
        self.assertEqual(self.reactor.links, [])
        self.reactor.black_hole("127.0.0.1", 6379)
        self.reactor.pass_time(3)
        self.assertEqual(
            (health.checks[0].failed, health.checks[0].last), (2, Result(Status.FAIL, "no result within 2 s", 2.0))
        )

    def test_invalid(self) -> None:
        for endpoint in ("", "127.0.0.1:80", "tcp", "tcp:host:x", "nothing:else"):
            error = self.assertRaises(ValueError, TCPCheck, endpoint, reactor=self.reactor)
            self.assertIn(repr(endpoint), str(error))
        self.assertRaises(ValueError, TCPCheck, _ENDPOINT, expect=b"", reactor=self.reactor)


class UNIXTests(TestCase):
    def test_unix(self) -> Deferred[None]:
        """It connects to a UNIX socket, and no descriptor of its own is left."""
        return Deferred.fromCoroutine(self._test())

    async def _test(self) -> None:
        from twisted.internet import reactor

        # The path of a socket must be short.
        folder = tempfile.mkdtemp()
        self.addCleanup(os.rmdir, folder)
        name = f"{folder}/socket"

        def answer(transport: ITransport, received: bytes) -> None:
            if received:
                transport.write(b"+" + received)

        factory = ServerFactory(answer)
        port = reactor.listenUNIX(name, factory)  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        check = TCPCheck(f"unix:{name}", send=b"hello", expect=b"+hello", reactor=reactor)
        self.assertEqual(await check.run(), Result(Status.OK, "+hello"))
        missing = await TCPCheck(f"unix:{name}-missing", reactor=reactor).run()
        self.assertIs(missing.status, Status.FAIL)
