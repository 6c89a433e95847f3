"""The state of one server that its connections share."""

from __future__ import annotations

import enum

from twisted.internet.interfaces import IReactorTime

from txmirror.embedded.faults import Faults
from txmirror.embedded.replica import Replica
from txmirror.embedded.sessionless import SessionlessConnections
from txmirror.embedded.sessions import Sessions
from txmirror.embedded.versions import Version


class Access(enum.Enum):
    """The clients that a server accepts. The values are the answers to the word ``isro``."""

    READ_WRITE = "rw"
    READ_ONLY = "ro"
    """Only clients that allow a read-only server, each with a local session."""
    NONE = "null"


class ServerState:
    """The state of one server.

    :param clock: the source of the time.
    :param replica: the data as this server sees it.
    :param sessions: the sessions, which all servers of the ensemble share.
    :param version: the version that the server reports, and whose protocol it speaks.
    :ivar access: the clients that the server accepts.
    :ivar local_sessions: the sessions of a read-only server, which no other server knows.
    :ivar faults: the planned faults.
    :ivar sessionless: the connections without a session.
    :ivar port: the TCP port at which the server listens, or listened last.
    :ivar received: the number of frames and four-letter words received.
    :ivar sent: the number of frames and answers to four-letter words sent.
    """

    def __init__(self, clock: IReactorTime, replica: Replica, sessions: Sessions, version: Version) -> None:
        self.clock = clock
        self.replica = replica
        self.sessions = sessions
        self.local_sessions: Sessions = Sessions(clock, None, sessions.tick)
        self.version = version
        self.access = Access.READ_WRITE
        self.faults: Faults = Faults()
        self.sessionless: SessionlessConnections = SessionlessConnections(clock)
        self.port = 0
        self.received = 0
        self.sent = 0

    @property
    def read_only(self) -> bool:
        """True if the server accepts only clients that allow a read-only server."""
        return self.access is Access.READ_ONLY

    def now(self) -> int:
        """Return the time in milliseconds since the epoch."""
        return int(self.clock.seconds() * 1000)
