"""Send a request to a server, and read the answer until the server closes the connection."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet import error as errors
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from txmirror.cli.servers.answers import NoAnswer
from txmirror.client import Server
from txmirror.client.connection.endpoints import TLSWrapper, connect_to_server, explain_loss

#: The longest answer to keep, in bytes.
_LONGEST: Final = 16 * 2**20


class _Exchange(Protocol):
    """One request, and its answer.

    :ivar answered: fires with the answer when the server has closed the connection.
    """

    def __init__(self, request: bytes, name: str) -> None:
        self._request = request
        self._name = name
        self._received: list[bytes] = []
        self._size = 0
        self.answered: Deferred[bytes] = Deferred(lambda _: self._abort())

    def connectionMade(self) -> None:
        self._transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._received.append(data)
        self._size += len(data)
        if self._size > _LONGEST:
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.answered.called:
            return
        if self._size > _LONGEST:
            self.answered.errback(NoAnswer(f"the answer to {self._name!r} is longer than {_LONGEST // 2**20} MiB"))
        elif self._received:
            self.answered.callback(b"".join(self._received))
        else:
            self.answered.errback(NoAnswer(f"no answer to {self._name!r}: {explain_loss(reason.value)[1]}"))

    @property
    def _transport(self) -> Any:
        return self.transport

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abortConnection()


def exchange(
    reactor: IReactorTime, server: Server, request: bytes, *, name: str, limit: float, wrap: TLSWrapper | None
) -> Deferred[bytes]:
    """Send a request on a connection of its own.

    :param name: the name of the request in messages.
    :param limit: the timeout of connecting and answering together, in seconds.
    :param wrap: wraps the connection in TLS; None connects without it.
    :returns: fires with all that the server has sent, which is something. Fails with :exc:`NoAnswer`. Cancelling ends the wait.
    """
    return Deferred.fromCoroutine(_exchange(reactor, server, _Exchange(request, name), limit, wrap)).addTimeout(
        limit, reactor, _timed_out
    )


async def _exchange(
    reactor: IReactorTime, server: Server, protocol: _Exchange, limit: float, wrap: TLSWrapper | None
) -> bytes:
    try:
        await connect_to_server(reactor, server, _factory(protocol), limit, wrap)
    except (CancelledError, ConnectingCancelledError):
        raise CancelledError from None
    except Exception as error:
        raise NoAnswer(explain_failure(error)) from None
    return await protocol.answered


def _timed_out(_: object, limit: float) -> bytes:
    raise NoAnswer(f"no answer within {limit:g} s")


def _factory(protocol: Protocol) -> Factory:
    def build() -> Protocol:
        return protocol

    return Factory.forProtocol(build)


def explain_failure(error: BaseException) -> str:
    """Return the reason why a connection could not be made."""
    if isinstance(error, DNSLookupError):
        return f"its name has no address: {error}"
    if isinstance(error, errors.TimeoutError):
        return "no connection in time: no process listens there, or a firewall drops packets"
    if isinstance(error, errors.ConnectionRefusedError):
        return "connection refused: no process listens there"
    if isinstance(error, ConnectError):
        return str(error).rstrip(".") or type(error).__name__
    return explain_loss(error)[1]
