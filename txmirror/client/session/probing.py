"""Probe servers that refuse the client: detect data that was wiped or restored, by a handshake without credentials.

A server that is not serving yet closes a handshake in the same way as a server with data older than the client's last zxid.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from txmirror.client.connection.addresses import Server
from txmirror.client.connection.calls import Call, RequestKind, decode_nothing
from txmirror.client.connection.connection import Connection
from txmirror.client.session.credentials import SessionCredentials
from txmirror.client.session.server_list import ConnectFailure, ServerList
from txmirror.wire import CloseSessionRequest, ConnectRequest

CLOSE_SESSION = RequestKind(CloseSessionRequest, decode_nothing)


class ServesAgain(Exception):
    """The server was only not serving for a while. The next handshake offers it the client's session."""


class Probing:
    """Decides when to probe a server, and evaluates the probe.

    :param server_list: the failures of the latest attempts.
    :param credentials: the contents of a handshake that is not a probe.
    :ivar under_way: whether the current attempt is a probe.
    """

    _log = Logger()

    def __init__(self, server_list: ServerList, credentials: SessionCredentials) -> None:
        self._server_list = server_list
        self._credentials = credentials
        self.under_way = False

    def connect_request(self) -> ConnectRequest:
        """Return the handshake of the current attempt."""
        return self._credentials.blank_connect_request() if self.under_way else self._credentials.connect_request()

    def is_due(self, failure: ConnectFailure, now: float, session_timeout: float) -> bool:
        """Decide whether the next attempt is a probe of the same server, and return that.

        Once all servers have refused every handshake for the length of a session timeout, handshakes of both kinds alternate.

        :param failure: the failure of the latest attempt.
        :param now: the reactor's time, in seconds.
        :param session_timeout: in seconds.
        """
        since = self._server_list.refused_since()
        suspect = since is not None and now - since >= session_timeout and self._credentials.seen_zxid > 0
        self.under_way = suspect and failure is ConnectFailure.REFUSED and not self.under_way
        return self.under_way

    def evaluate(self, connection: Connection, server: Server, wiped: Callable[[], None]) -> None:
        """Evaluate a probe: find out why the servers refused the client, now that one has opened a session for the probe.

        If their data is not older than the last zxid seen, they were only not serving. The connection then ends with
        :exc:`ServesAgain`, since the client's session may not have expired yet.

        :param wiped: called if their data is older; the last zxid seen is then forgotten.
        """

        def reached(zxid: int) -> None:
            self.under_way = False
            if self._is_older(zxid):
                wiped()
                return
            self._server_list.accepted(server)
            self._server_list.same_again()
            closing = Call(CLOSE_SESSION, CloseSessionRequest())
            closing.waited_for().addBoth(lambda _: connection.leave(ServesAgain()))
            connection.send(closing)

        connection.ask_zxid(reached)

    def compare(self, connection: Connection, as_before: Callable[[], None], wiped: Callable[[], None]) -> None:
        """Compare the data of a server that does not check the client's last zxid when it opens a session.

        :param as_before: called if the data is not older than the last zxid seen.
        :param wiped: called if the data is older; the last zxid seen is then forgotten.
        """
        # A pong without a zxid shows nothing.
        connection.ask_zxid(lambda zxid: wiped() if zxid > 0 and self._is_older(zxid) else as_before())

    def _is_older(self, zxid: int) -> bool:
        """Return whether a server's zxid is lower than the last one seen; if so, forget the latter."""
        older = zxid < self._credentials.seen_zxid
        if older:
            self._log.warn(
                "The servers' data is older than the client has seen: it was wiped or restored. A new data generation begins."
            )
            self._credentials.drop_seen_zxid()
        return older
