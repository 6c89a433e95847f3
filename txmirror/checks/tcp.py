"""A check by a connection: connect, and perhaps send something and expect an answer."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.checks.interfaces import ICheck
from txmirror.checks.results import Result, Status
from txmirror.network import describe

#: The most bytes of an answer that are searched for the expected bytes.
_ANSWER_SIZE: Final = 65536


@implementer(ICheck)
class TCPCheck:
    """A check that connects to an endpoint of Twisted.

    :param endpoint: a client endpoint description, as in ``tcp:127.0.0.1:6379`` or ``unix:/run/app.sock``.
    :param send: the bytes to send.
    :param expect: the bytes that must occur in the first 64 KiB of the answer; None expects no answer.
    :param reactor: makes the connection.
    :param description: the description of the check, where ``endpoint`` has a secret.
    :raises ValueError: ``endpoint`` is invalid, or ``expect`` is empty; the message quotes it.
    """

    kind = "tcp"
    pushed = False

    def __init__(
        self,
        endpoint: str,
        *,
        send: bytes = b"",
        expect: bytes | None = None,
        reactor: Any,
        description: str | None = None,
    ) -> None:
        try:
            self._endpoint = clientFromString(reactor, endpoint)
        except (ValueError, TypeError, IndexError, KeyError) as error:
            # Each parser of descriptions has its own exceptions.
            raise ValueError(f"{endpoint!r} is no endpoint for a client: {error}") from None
        if expect == b"":
            raise ValueError("expect is empty: every answer has it")
        self.description: str = f"tcp {endpoint}" if description is None else description
        self._send = send
        self._expect = expect

    def run(self) -> Deferred[Result]:
        """Connect, exchange the bytes, and abort the connection. Cancelling aborts it too."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> Result:
        exchange = _Exchange(self._send, self._expect)
        try:
            await self._endpoint.connect(_ExchangeFactory(exchange))
        except Exception as error:
            return Result(Status.FAIL, f"cannot connect: {describe(error)}")
        try:
            return await exchange.result
        finally:
            exchange.abort()
            await exchange.closed


class _Exchange(Protocol):
    """One connection.

    :ivar result: fires with the result.
    :ivar closed: fires when the connection is closed.
    """

    def __init__(self, send: bytes, expect: bytes | None) -> None:
        self.result: Deferred[Result] = Deferred()
        self.closed: Deferred[None] = Deferred()
        self._send = send
        self._expect = expect
        self._answer = bytearray()

    def connectionMade(self) -> None:
        assert self.transport is not None
        if self._send:
            self.transport.write(self._send)
        if self._expect is None:
            self._finish(Status.OK, "connected")

    def dataReceived(self, data: bytes) -> None:
        if self._expect is None or self.result.called:
            return
        self._answer += data
        if self._expect in self._answer:
            self._finish(Status.OK, _text(self._answer))
        elif len(self._answer) > _ANSWER_SIZE:
            self._finish(Status.FAIL, f"the first {_ANSWER_SIZE} bytes of the answer are not as expected")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.result.called:
            text = f"; the answer was: {_text(self._answer)}" if self._answer else " without an answer"
            self._finish(Status.FAIL, f"the connection was closed{text}")
        if not self.closed.called:
            self.closed.callback(None)

    def abort(self) -> None:
        """Abort the connection."""
        transport: ITCPTransport | None = self.transport  # type: ignore[assignment]
        if transport is not None:
            transport.abortConnection()

    def _finish(self, status: Status, text: str) -> None:
        if not self.result.called:
            self.result.callback(Result(status, text))


class _ExchangeFactory(Factory):
    noisy = False

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def buildProtocol(self, addr: object) -> _Exchange:
        return self._exchange


def _text(answer: bytearray) -> str:
    return answer.decode("utf-8", "backslashreplace")
