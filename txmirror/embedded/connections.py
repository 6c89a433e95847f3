"""All connections of one server."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory

from txmirror.deferreds import Waiters
from txmirror.embedded.connection import Connection
from txmirror.embedded.four_letter_words import FourLetterWords
from txmirror.embedded.server_state import ServerState


class Connections(ServerFactory):
    """All connections of a server. They share its state.

    :param reactor: runs the clients' turns, independent of the server's own clock.
    :param mode: the mode that the server reports: ``standalone``, ``leader`` or ``follower``.
    :ivar live: the connections, the oldest first.
    """

    noisy = False

    def __init__(self, reactor: IReactorTime, state: ServerState, mode: str) -> None:
        self._state = state
        self._next_turn = partial(reactor.callLater, 0)
        self.live: dict[Connection, None] = {}
        self._words = FourLetterWords(state, self.live.keys(), mode).answers
        self._when_all_closed: Waiters[None] = Waiters()

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        connection = Connection(self._state, self._words, self._next_turn, self._remove)
        self.live[connection] = None
        return connection

    def drop_all(self, reason: str) -> Deferred[None]:
        """Abort all connections. Unsent data is lost.

        :param reason: for the log.
        :returns: fires when all are closed. Cancelling it ends the wait.
        """
        for connection in list(self.live):
            connection.drop(reason)
        return self._when_all_closed.wait() if self.live else succeed(None)

    def _remove(self, connection: Connection) -> None:
        self.live.pop(connection, None)
        if not self.live:
            self._when_all_closed.fire(None)
