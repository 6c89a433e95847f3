"""The values that every room shares: stats, ACLs, watch events, session states, and what replies carry."""

from __future__ import annotations

import enum
from typing import NamedTuple

import attrs


class ZnodeStat(NamedTuple):
    """What ZooKeeper keeps about a znode, field by field as its wire format has it."""

    czxid: int
    """The transaction that created it: another one means another node, whatever the version says."""
    mzxid: int
    """The transaction that last changed its data."""
    ctime: int
    """When it was created, in milliseconds since the epoch, by the server's clock."""
    mtime: int
    """When its data last changed, likewise."""
    version: int
    """How often its data was changed since it was created."""
    cversion: int
    """How often its list of children was changed."""
    aversion: int
    """How often its ACL was changed."""
    ephemeralOwner: int
    """The id of the session that it goes away with; 0 for a persistent node."""
    dataLength: int
    """The length of its data in bytes."""
    numChildren: int
    """How many children it has."""
    pzxid: int
    """The transaction that last added or removed a child."""


class Permission(enum.IntFlag):
    """What an ACL entry allows."""

    READ = 1
    WRITE = 2
    CREATE = 4
    DELETE = 8
    ADMIN = 16
    ALL = 31


class ACL(NamedTuple):
    """One entry of a znode's access control list."""

    permissions: int
    """A sum of :class:`Permission`."""
    scheme: str
    """How the identity was proved: ``world``, ``auth``, ``digest``, ``ip``, ..."""
    identity: str
    """Who it is, in the scheme's own terms."""


#: Anybody may do anything: the ACL that a node gets when none is given.
OPEN_ACL = (ACL(Permission.ALL, "world", "anyone"),)
#: Anybody may read, nobody may change anything.
READ_ACL = (ACL(Permission.READ, "world", "anyone"),)
#: Whoever created the node, by the credentials of their session, may do anything; nobody else may.
CREATOR_ALL_ACL = (ACL(Permission.ALL, "auth", ""),)


class EventType(enum.IntEnum):
    """What a watch event says has happened, with the numbers of the wire."""

    CREATED = 1
    DELETED = 2
    CHANGED = 3
    CHILD = 4
    DATA_WATCH_REMOVED = 5
    CHILD_WATCH_REMOVED = 6


class WatchKind(enum.IntEnum):
    """Which watches to remove, with the numbers of the wire."""

    CHILDREN = 1
    DATA = 2
    ANY = 3


class WatchedEvent(NamedTuple):
    """A watch has fired. It tells that something changed, not what is there now."""

    type: EventType
    path: str
    zxid: int | None = None
    """The transaction that did it, where the server says so (3.9 does); None elsewhere."""


class SessionState(enum.Enum):
    """Where a client stands with the ensemble."""

    CONNECTING = "connecting"
    """No session was ever had."""
    CONNECTED = "connected"
    """A session stands, and a server serves it."""
    SUSPENDED = "suspended"
    """The connection is gone; the session lives on at the servers, for a while."""
    LOST = "presumed lost"
    """Out of contact for so long that the session has most likely ended. Only a server can tell."""
    ENDED = "ended"
    """A server said that the session has ended. A new one is being opened."""
    CLOSED = "closed"
    """The client was closed. Nothing follows."""


@attrs.frozen
class SessionEvent:
    """A step in the life of a client's sessions, told in one order with the watch events."""

    state: SessionState
    epoch: int
    """Which of the client's sessions this is about: 1 for the first, and one more for each new one; 0 before."""
    history: int
    """Which history of the data this is about: one more each time that the ensemble's data was found to have been
    wiped or restored, so that nothing seen before can be compared with what is seen now."""
    zxid: int
    """The transaction up to which the client has seen this history: what ``set_watches`` may be relative to."""


class DataReply(NamedTuple):
    """A node's data, as of ``zxid``."""

    zxid: int
    data: bytes
    stat: ZnodeStat


class ChildrenReply(NamedTuple):
    """The names of a node's children, in the server's order, as of ``zxid``."""

    zxid: int
    children: list[str]
    stat: ZnodeStat


class StatReply(NamedTuple):
    """A node's stat, as of ``zxid``; None where the question was whether it exists, and it does not."""

    zxid: int
    stat: ZnodeStat | None


class CreateReply(NamedTuple):
    """The path that a node was created at, and its stat, as of ``zxid``."""

    zxid: int
    path: str
    stat: ZnodeStat
