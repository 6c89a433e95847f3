"""Ask a server with four-letter words."""

from __future__ import annotations

from typing import Any, Final

import attrs
from twisted.internet import error as errors
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from txmirror.client import Server
from txmirror.client.connection.endpoints import TLSWrapper, connect_to_server, explain_loss

#: The longest answer to keep, in bytes.
_LONGEST: Final = 16 * 2**20
_REFUSED: Final = "is not executed because it is not in the whitelist"
_NOT_SERVING: Final = "not currently serving requests"


class NoAnswer(Exception):
    """A server does not answer. The message is the reason."""


class NotAllowed(NoAnswer):
    """The server does not allow a word."""

    def __init__(self, word: str) -> None:
        super().__init__(f"the server does not allow {word!r}: add it to 4lw.commands.whitelist in its zoo.cfg")


class NotServing(NoAnswer):
    """The server has no quorum, or is only just starting."""

    def __init__(self) -> None:
        super().__init__("the server serves no requests: it has no leader, or is starting")


class _Question(Protocol):
    """One word, and its answer.

    :ivar answered: fires with the answer when the server has closed the connection.
    """

    def __init__(self, word: str) -> None:
        self._word = word
        self._received: list[bytes] = []
        self._size = 0
        self.answered: Deferred[bytes] = Deferred(lambda _: self._abort())

    def connectionMade(self) -> None:
        self._transport.write(self._word.encode())

    def dataReceived(self, data: bytes) -> None:
        self._received.append(data)
        self._size += len(data)
        if self._size > _LONGEST:
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.answered.called:
            return
        if self._received:
            self.answered.callback(b"".join(self._received))
        else:
            self.answered.errback(NoAnswer(f"no answer to {self._word!r}: {explain_loss(reason.value)[1]}"))

    @property
    def _transport(self) -> Any:
        return self.transport

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abortConnection()


@attrs.frozen
class Asker:
    """Asks servers, each word on a connection of its own."""

    reactor: IReactorTime
    limit: float
    """The timeout of each answer, in seconds."""
    wrap: TLSWrapper | None = None
    """Wraps connections in TLS; None connects without it."""

    def ask(self, server: Server, word: str) -> Deferred[str]:
        """Send a word.

        :returns: fires with the answer. Fails with :exc:`NotAllowed`, :exc:`NotServing`, or :exc:`NoAnswer` with another reason.
            Cancelling ends the wait.
        """
        asking = Deferred.fromCoroutine(self._ask(server, word))
        return asking.addTimeout(self.limit, self.reactor, _timed_out)

    async def _ask(self, server: Server, word: str) -> str:
        question = _Question(word)
        try:
            await connect_to_server(self.reactor, server, _factory(question), self.limit, self.wrap)
        except (CancelledError, ConnectingCancelledError):
            raise CancelledError from None
        except Exception as error:
            raise NoAnswer(explain_failure(error)) from None
        text = (await question.answered).decode(errors="replace")
        if _REFUSED in text:
            raise NotAllowed(word)
        if _NOT_SERVING in text:
            raise NotServing
        return text


def _timed_out(_: object, limit: float) -> str:
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
