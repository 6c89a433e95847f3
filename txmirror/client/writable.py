"""While the session is with a server that can only be read: the search for one that can be written to.

Each server is asked ``isro`` over a connection of its own, as the Java client does it: ``rw`` is the answer looked for.
(A server that may be read-only answers that word whatever else it is told to answer.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from txmirror.client.endpoints import TLSWrapper, connect_to
from txmirror.client.server_list import ServerList
from txmirror.client.servers import Server
from txmirror.timers import Timer

#: The first pause between two questions, in seconds; it doubles up to the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 60.0
#: How much is listened to: the answer is two letters.
_LONGEST_ANSWER = 64


class _Question(Protocol):
    """Asks one server, and collects its answer.

    :ivar answered: fires with it when the server has closed the connection.
    """

    def __init__(self) -> None:
        self.answered: Deferred[bytes] = Deferred(self._abandon)
        self._answer = b""
        self._over = False

    def connectionMade(self) -> None:
        cast(ITCPTransport, self.transport).write(b"isro")

    def dataReceived(self, data: bytes) -> None:
        self._answer += data
        if len(self._answer) > _LONGEST_ANSWER:
            cast(ITCPTransport, self.transport).abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._over:
            self._over = True
            self.answered.callback(self._answer)

    def _abandon(self, _: Deferred[bytes]) -> None:
        self._over = True
        cast(ITCPTransport, self.transport).abortConnection()


class WritableSearch:
    """Asks one server after another whether it can be written to.

    :param reactor: connects, resolves names, and runs the timers.
    :param server_list: whose servers are asked.
    :param wrap: puts TLS around a connection, if there is to be any.
    :param limit: tells how long one question may take, in seconds.
    :param found: told of the first server that can be written to; the search is over then.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        server_list: ServerList,
        wrap: TLSWrapper | None,
        limit: Callable[[], float],
        found: Callable[[Server], None],
    ) -> None:
        self._reactor = reactor
        self._server_list = server_list
        self._wrap = wrap
        self._limit = limit
        self._found = found
        self._next = 0
        self._pause = _FIRST_PAUSE
        self._asking: Deferred[None] | None = None
        self._question: object = None
        self._pause_timer = Timer(reactor, self._ask)
        self._limit_timer = Timer(reactor, self._give_up)

    def start(self) -> None:
        """Begin."""
        self.stop()
        self._pause = _FIRST_PAUSE
        self._pause_timer.start(self._pause)

    def stop(self) -> None:
        """Ask no more."""
        self._pause_timer.stop()
        self._limit_timer.stop()
        self._abandon()

    def _ask(self) -> None:
        server = self._server_list.servers[self._next % len(self._server_list.servers)]
        self._next += 1
        self._limit_timer.start(self._limit())
        self._question = question = object()
        self._asking = Deferred.fromCoroutine(self._ask_one(server, question))
        self._asking.addErrback(_cancelled)

    async def _ask_one(self, server: Server, question: object) -> None:
        factory = Factory.forProtocol(_Question)
        factory.noisy = False
        try:
            asked = cast(_Question, await connect_to(self._reactor, server, factory, self._limit(), self._wrap))
            answer = await asked.answered
        except CancelledError:
            raise
        except Exception:  # unreachable servers are nothing new
            answer = b""
        if question is not self._question:
            # Nobody wants to know any more.
            return
        self._asking = None
        self._limit_timer.stop()
        if answer.strip() == b"rw":
            self._found(server)
        else:
            self._go_on()

    def _give_up(self) -> None:
        self._abandon()
        self._go_on()

    def _abandon(self) -> None:
        self._question = None
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    def _go_on(self) -> None:
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._pause_timer.start(self._pause)


def _cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
