"""Whether the servers' data was wiped or restored: what only a handshake without any claims can tell.

Servers that are not serving yet close a handshake just like those whose data is behind what the client has seen.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from txmirror.client.calls import Call, decode_nothing
from txmirror.client.connection import Connection
from txmirror.client.credentials import SessionCredentials
from txmirror.client.server_list import ConnectFailure, ServerList
from txmirror.client.servers import Server
from txmirror.wire import CloseSessionRequest, ConnectRequest


class ServesAgain(Exception):
    """The server has shown that it was only not serving: what it is offered next is our session."""


class Probing:
    """Says when a server is to be probed, and what it has shown then.

    :param server_list: knows how the attempts have ended.
    :param credentials: what is claimed of a server that is not probed.
    :ivar under_way: whether the present attempt is a probe.
    """

    _log = Logger()

    def __init__(self, server_list: ServerList, credentials: SessionCredentials) -> None:
        self._server_list = server_list
        self._credentials = credentials
        self.under_way = False

    def connect_request(self) -> ConnectRequest:
        """Give the handshake of the present attempt."""
        return self._credentials.blank_connect_request() if self.under_way else self._credentials.connect_request()

    def is_due(self, failure: ConnectFailure, now: float, session_timeout: float) -> bool:
        """Decide whether the next attempt is a probe of the same server.

        Once all servers have refused for as long as a session lives, each gets handshakes of both kinds in turn.

        :param failure: how the latest attempt has ended.
        :param now: the time, in seconds, as the server_list was told it.
        :param session_timeout: in seconds.
        """
        since = self._server_list.refused_since()
        suspect = since is not None and now - since >= session_timeout and self._credentials.seen_zxid > 0
        self.under_way = suspect and failure is ConnectFailure.REFUSED and not self.under_way
        return self.under_way

    def judge(self, connection: Connection, server: Server, wiped: Callable[[], None]) -> None:
        """Find out why the servers have refused us, now that one has opened a session without claims.

        Where they have our data generation after all, and were only not serving, the connection ends with :exc:`ServesAgain`: the
        session that we claim may still live.

        :param wiped: called if their data is older than what was seen, which is claimed no more.
        """

        def reached(zxid: int) -> None:
            self.under_way = False
            if self._is_older(zxid):
                wiped()
                return
            self._server_list.accepted(server)
            self._server_list.same_again()
            closing = Call(CloseSessionRequest(), None, decode_nothing)
            closing.waited_for().addBoth(lambda _: connection.leave(ServesAgain()))
            connection.send(closing)

        connection.ask_zxid(reached)

    def compare(self, connection: Connection, as_before: Callable[[], None], wiped: Callable[[], None]) -> None:
        """Ask how far a server's data has come that opens sessions for everybody, whatever they have seen.

        :param as_before: called if it has all that was seen.
        :param wiped: called if it is older than that, which is claimed no more.
        """
        # A pong without a zxid shows nothing.
        connection.ask_zxid(lambda zxid: wiped() if zxid > 0 and self._is_older(zxid) else as_before())

    def _is_older(self, zxid: int) -> bool:
        """Return whether this is less than what was seen, and then claim no more to have seen it."""
        older = zxid < self._credentials.seen_zxid
        if older:
            self._log.warn(
                "The servers' data is older than what was seen: it was wiped or restored. A new data generation begins."
            )
            self._credentials.drop_seen_zxid()
        return older
