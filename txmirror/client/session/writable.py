"""Search for a server that can write, while the session is with a read-only server.

Like the Java client, this sends the four-letter word ``isro`` to each server over a connection of its own; the answer of a
server that can write is ``rw``. (A server with read-only mode enabled answers this word even if it is not whitelisted.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from txmirror.client.connection.endpoints import TLSWrapper, connect_to_server
from txmirror.client.connection.settings import Server
from txmirror.client.session.reconnector import ServerList
from txmirror.retrying import RetryTimer
from txmirror.timers import Timer

#: The first and the longest backoff between two queries, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 60.0
#: The longest answer that is accepted, in bytes: the right one has two.
_LONGEST_ANSWER = 64


class _IsroQuery(Protocol):
    """Sends ``isro`` to one server, and collects its answer.

    :ivar answered: fires with the answer when the server has closed the connection.
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
    """Queries one server after another, until one can write.

    :param reactor: connects, resolves names, and runs the timers.
    :param server_list: the servers.
    :param wrap: wraps a connection in TLS; None connects without TLS.
    :param limit: returns the timeout of one query, in seconds.
    :param found: called with the first server that can write; the search is over then.
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
        self._querying: Deferred[None] | None = None
        self._query: object = None
        self._retry_timer = RetryTimer(reactor, self._query_next, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        self._limit_timer = Timer(reactor, self._give_up)

    def start(self) -> None:
        """Start the search."""
        self.stop()
        self._retry_timer.reset()
        self._retry_timer.start()

    def stop(self) -> None:
        """Stop the search."""
        self._retry_timer.stop()
        self._limit_timer.stop()
        self._abandon()

    def _query_next(self) -> None:
        server = self._server_list.servers[self._next % len(self._server_list.servers)]
        self._next += 1
        self._limit_timer.start(self._limit())
        self._query = query = object()
        self._querying = Deferred.fromCoroutine(self._query_server(server, query))
        self._querying.addErrback(_cancelled)

    async def _query_server(self, server: Server, query: object) -> None:
        factory = Factory.forProtocol(_IsroQuery)
        factory.noisy = False
        try:
            protocol = cast(
                _IsroQuery, await connect_to_server(self._reactor, server, factory, self._limit(), self._wrap)
            )
            answer = await protocol.answered
        except CancelledError:
            raise
        except Exception:  # an unreachable server counts as one that cannot write
            answer = b""
        if query is not self._query:
            # The search was stopped, or the query has timed out.
            return
        self._querying = None
        self._limit_timer.stop()
        if answer.strip() == b"rw":
            self._found(server)
        else:
            self._retry_timer.start()

    def _give_up(self) -> None:
        self._abandon()
        self._retry_timer.start()

    def _abandon(self) -> None:
        self._query = None
        querying, self._querying = self._querying, None
        if querying is not None:
            querying.cancel()


def _cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
