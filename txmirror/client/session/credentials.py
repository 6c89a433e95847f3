"""The session's id, password and last zxid seen, and the identities of ``add_auth``."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.deferreds import Waiters
from txmirror.errors import AuthFailedException, ZooKeeperException
from txmirror.types import SessionTicket
from txmirror.wire import AuthRequest, ConnectRequest, ConnectResponse

_NO_PASSWORD = bytes(16)


class SessionCredentials:
    """The session's id and password, and the last zxid seen.

    :param requested_timeout: the session timeout to request, in seconds.
    :param read_only: whether a new session may be with a read-only server.
    :param ticket: a session to take over.
    :ivar requested_timeout: the same.
    :ivar session_timeout: the timeout in seconds: as negotiated, or as requested before that.
    :ivar session_id: the id of the session; 0 while there is none.
    :ivar seen_zxid: the last zxid seen: a server with older data refuses the handshake.
    :ivar watch_zxid: the last zxid seen while all watches were established.
    """

    def __init__(self, requested_timeout: float, read_only: bool, ticket: SessionTicket | None) -> None:
        self.requested_timeout: float = requested_timeout
        self.session_timeout: float = requested_timeout
        self._read_only = read_only
        self.session_id: int = ticket.session_id if ticket else 0
        self._password = ticket.password if ticket else _NO_PASSWORD
        self.seen_zxid: int = ticket.zxid if ticket else 0
        self.watch_zxid: int = self.seen_zxid

    def ticket(self) -> SessionTicket | None:
        """Return a ticket with which another client can resume the session; None if there is no session."""
        return SessionTicket(self.session_id, self._password, self.seen_zxid) if self.session_id else None

    @property
    def from_keeper(self) -> bool:
        """True if the session is one of ClickHouse Keeper, where all have the same password: sixteen zero bytes."""
        return self.session_id != 0 and self._password == _NO_PASSWORD

    @staticmethod
    def is_keeper(response: ConnectResponse) -> bool:
        """Return whether the ConnectResponse is from ClickHouse Keeper."""
        return response.passwd == _NO_PASSWORD

    def connect_request(self) -> ConnectRequest:
        """Return the ConnectRequest with these credentials.

        A session that can write is not offered to a read-only server.
        """
        read_only = self._read_only and not self.session_id
        timeout = round(self.requested_timeout * 1000)
        return ConnectRequest(self.seen_zxid, timeout, self.session_id, self._password, read_only)

    def blank_connect_request(self) -> ConnectRequest:
        """Return a ConnectRequest for a new session, with zxid 0."""
        return ConnectRequest(0, round(self.requested_timeout * 1000), 0, _NO_PASSWORD)

    def side_connect_request(self, timeout: float) -> ConnectRequest:
        """Return a ConnectRequest for another session, at a server whose data is not older than the last zxid seen.

        :param timeout: the longest session timeout to request, in seconds.
        """
        return ConnectRequest(self.seen_zxid, round(min(timeout, self.requested_timeout) * 1000), 0, _NO_PASSWORD)

    def accept(self, response: ConnectResponse) -> None:
        """Store the credentials of the session that a server has opened or resumed."""
        self.session_id = response.sessionId
        self._password = response.passwd or b""
        self.session_timeout = response.timeOut / 1000

    def drop_session(self) -> None:
        """Forget the session, so that the next ConnectRequest is for a new one."""
        self.session_id = 0
        self._password = _NO_PASSWORD

    def expire(self) -> None:
        """Forget the session and its timeout."""
        self.drop_session()
        self.session_timeout = self.requested_timeout

    def drop_seen_zxid(self) -> None:
        """Forget the last zxid seen."""
        self.seen_zxid = self.watch_zxid = 0

    def note_zxid(self, zxid: int, watches_established: bool) -> None:
        """Note the zxid of a reply.

        :param watches_established: whether all watches are established. While they are being set again, ``watch_zxid`` must
            not move: a setWatches packet that is lost would otherwise be sent again with too new a zxid, and miss events.
        """
        self.seen_zxid = max(self.seen_zxid, zxid)
        if watches_established:
            self.watch_zxid = self.seen_zxid


#: Sends an identity; the Deferred fails if it is refused, or with the connection.
Send = Callable[[AuthRequest], "Deferred[None]"]


class Identities:
    """The identities in the order in which they were added, each with the Deferreds that wait for its acceptance."""

    _log = Logger()

    def __init__(self) -> None:
        self._waiters: dict[AuthRequest, Waiters[None]] = {}

    def add(self, request: AuthRequest) -> Deferred[None]:
        """Add an identity. Return a Deferred that fires when a server accepts it, and fails when a server refuses it."""
        return self._waiters.setdefault(request, Waiters()).wait()

    def send(self, request: AuthRequest, send: Send) -> None:
        """Send an identity. If the connection is lost before the answer, the identity is kept for the next one."""
        send(request).addCallbacks(self._accepted, self._refused, callbackArgs=(request,), errbackArgs=(request,))

    def send_all(self, send: Send) -> None:
        """Send every identity, in order."""
        for request in self.requests():
            self.send(request, send)

    def requests(self) -> list[AuthRequest]:
        """Return every identity, in order."""
        return list(self._waiters)

    def close(self, make_error: Callable[[], ZooKeeperException]) -> None:
        """Fail all Deferreds that wait, and forget the identities."""
        waiting, self._waiters = self._waiters, {}
        for waiters in waiting.values():
            waiters.fail(make_error)

    def _accepted(self, _: None, request: AuthRequest) -> None:
        waiters = self._waiters.get(request)
        if waiters is not None:
            waiters.fire(None)

    def _refused(self, failure: Failure, request: AuthRequest) -> None:
        if not isinstance(failure.value, AuthFailedException):
            return
        self._log.error(
            "The server refused the credentials for {scheme!r}. The session continues without them.",
            scheme=request.scheme,
        )
        waiters = self._waiters.pop(request, None)
        if waiters is not None:
            waiters.fail(lambda: AuthFailedException(f"the server refused the credentials for {request.scheme!r}"))
