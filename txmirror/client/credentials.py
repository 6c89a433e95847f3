"""What a client can say for itself at a handshake: which session is its own, and how far it has seen the data."""

from __future__ import annotations

from txmirror.types import SessionTicket
from txmirror.wire import ConnectRequest, ConnectResponse

_NO_PASSWORD = bytes(16)


class SessionCredentials:
    """The session's id and password, and the transactions that were seen.

    :param asked_timeout: the session timeout to ask for, in seconds.
    :param read_only: whether a server that can only be read will do, where there is no session yet.
    :param ticket: a session to take over.
    :ivar session_id: the id of the session; 0 while there is none.
    :ivar seen_zxid: the last transaction that was seen: a server that has not come so far is not believed.
    :ivar watch_zxid: the last transaction as of which all watches stood.
    """

    def __init__(self, asked_timeout: float, read_only: bool, ticket: SessionTicket | None) -> None:
        self._asked_timeout = asked_timeout
        self._read_only = read_only
        self.session_id = ticket.session_id if ticket else 0
        self._password = ticket.password if ticket else _NO_PASSWORD
        self.seen_zxid = self.watch_zxid = ticket.zxid if ticket else 0

    def ticket(self) -> SessionTicket | None:
        """Give what another client can go on with, if there is a session."""
        return SessionTicket(self.session_id, self._password, self.seen_zxid) if self.session_id else None

    @property
    def from_keeper(self) -> bool:
        """Whether the session is one of ClickHouse Keeper, which gives each the same password: sixteen zero bytes."""
        return self.session_id != 0 and self._password == _NO_PASSWORD

    @staticmethod
    def is_keeper(response: ConnectResponse) -> bool:
        """Return whether the answer to a handshake is one of ClickHouse Keeper."""
        return response.passwd == _NO_PASSWORD

    def connect_request(self) -> ConnectRequest:
        """Give the handshake that makes these claims.

        A session that can write is not offered to a server that cannot.
        """
        read_only = self._read_only and not self.session_id
        timeout = round(self._asked_timeout * 1000)
        return ConnectRequest(self.seen_zxid, timeout, self.session_id, self._password, read_only)

    def blank_connect_request(self) -> ConnectRequest:
        """Give a handshake that claims nothing."""
        return ConnectRequest(0, round(self._asked_timeout * 1000), 0, _NO_PASSWORD)

    def accept(self, response: ConnectResponse) -> None:
        """Take the session that a server has given, or goes on with."""
        self.session_id = response.sessionId
        self._password = response.passwd or b""

    def drop_session(self) -> None:
        """Claim no session any more."""
        self.session_id = 0
        self._password = _NO_PASSWORD

    def drop_seen_zxid(self) -> None:
        """Claim to have seen nothing."""
        self.seen_zxid = self.watch_zxid = 0

    def note_zxid(self, zxid: int, watches_established: bool) -> None:
        """Note a transaction that a reply speaks of.

        :param watches_established: whether all watches stand. While they are being set again, what they are relative to must
            stay: a packet that is cut off would otherwise be sent again as if it had been there.
        """
        self.seen_zxid = max(self.seen_zxid, zxid)
        if watches_established:
            self.watch_zxid = self.seen_zxid
