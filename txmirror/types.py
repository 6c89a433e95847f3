"""The values that every room shares: stats, ACLs, watch events, session states, and what replies carry."""

from __future__ import annotations

import base64
import enum
import hashlib
import re
from collections.abc import Callable
from typing import NamedTuple, TypedDict

import attrs

from txmirror.errors import ZooKeeperException


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


def digest_identity(user: str, password: str) -> str:
    """Give the identity that an ACL of the scheme ``digest`` names a user by, as ZooKeeper makes it.

    That is ``user:`` and the SHA-1 of ``user:password`` in base64 (``DigestAuthenticationProvider.generateDigest``). The
    credentials for ``add_auth`` are ``user:password`` itself.

    :raises ValueError: the user's name is empty or has a colon, where the server would divide the credentials.
    """
    if not user or ":" in user:
        raise ValueError(f"a user's name has letters and no colon: {user!r}")
    # What a digest is for here was decided by ZooKeeper.
    hashed = hashlib.sha1(f"{user}:{password}".encode(), usedforsecurity=False).digest()
    return f"{user}:{base64.b64encode(hashed).decode()}"


def digest_acl(user: str, password: str, permissions: int = Permission.ALL) -> ACL:
    """Give the ACL entry by which whoever knows a password may do something.

    :param permissions: a sum of :class:`Permission`.
    :raises ValueError: see :func:`digest_identity`.
    """
    return ACL(permissions, "digest", digest_identity(user, password))


class EventType(enum.IntEnum):
    """What a watch event says has happened, with the numbers of the wire."""

    CREATED = 1
    DELETED = 2
    CHANGED = 3
    CHILD = 4
    DATA_WATCH_REMOVED = 5
    CHILD_WATCH_REMOVED = 6
    PERSISTENT_WATCH_REMOVED = 7
    """A persistent watch is gone: the server does not have it any more."""


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
    LOST = "probably expired"
    """Out of contact for so long that the session has most likely ended. Only a server can tell."""
    EXPIRED = "expired"
    """A server said that the session has ended. A new one is being opened."""
    AUTH_FAILED = "auth failed"
    """The servers do not let us in as who we say we are. Nothing more is tried; the client can only be closed."""
    CLOSED = "closed"
    """The client was closed. Nothing follows."""


@attrs.frozen
class SessionEvent:
    """A step in the life of a client's sessions, told in one order with the watch events."""

    state: SessionState
    session_number: int
    """Which of the client's sessions this is about: 1 for the first, and one more for each new one; 0 before."""
    data_generation: int
    """Which data generation of the data this is about: one more each time that the ensemble's data was found to have been
    wiped or restored, so that nothing seen before can be compared with what is seen now."""
    zxid: int
    """The transaction up to which the client has seen this data generation: what ``set_watches`` may be relative to."""
    read_only: bool = False
    """Whether the server that serves the session can only be read, because it is cut off from most others."""


#: What a client's feed brings, in one order.
News = SessionEvent | WatchedEvent
#: Whoever is told of it.
Listener = Callable[[News], object]


_TICKET = re.compile(r"([0-9a-f]{1,16})\.((?:[0-9a-f]{2})*)\.([0-9a-f]{1,16})")


@attrs.frozen
class SessionTicket:
    """What a client needs to take a session over from another. Whoever has it has the session: it is a secret.

    :raises ValueError: a number is out of range.
    :raises TypeError: the password is not bytes.
    """

    session_id: int
    password: bytes = attrs.field(repr=False)
    zxid: int
    """The transaction up to which the data was seen: the session goes on only with servers that have come so far."""

    def __attrs_post_init__(self) -> None:
        if not (-(2**63) <= self.session_id < 2**63 and self.session_id and 0 <= self.zxid < 2**63):
            raise ValueError("a session's id is a number of 64 bits and not 0, its zxid one of 63")
        if not isinstance(self.password, bytes):
            raise TypeError("a session's password is bytes")

    def to_text(self) -> str:
        """Write it down in one word, for another process. The word is as secret."""
        return f"{self.session_id & 0xFFFFFFFFFFFFFFFF:x}.{self.password.hex()}.{self.zxid:x}"

    @classmethod
    def from_text(cls, text: str) -> SessionTicket:
        """Read what :meth:`to_text` has written.

        :raises ValueError: it is something else, which the message does not quote.
        """
        match = _TICKET.fullmatch(text.strip())
        # ZooKeeper's numbers are signed.
        session_id = int.from_bytes(bytes.fromhex(match[1].zfill(16)), "big", signed=True) if match else 0
        if match is None or not session_id:
            raise ValueError("not a session's ticket: three hexadecimal numbers with points between them")
        return cls(session_id, bytes.fromhex(match[2]), int(match[3], 16))


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


class BatchReply(NamedTuple):
    """What many nodes hold, all as of ``zxid``, in the order in which they were asked for."""

    zxid: int
    data: list[tuple[bytes, ZnodeStat] | ZooKeeperException]
    """The data and stat of each, or why it cannot be read."""
    children: list[list[str] | ZooKeeperException]
    """The names of the children of each, in the server's order, or why it cannot be read."""


class StatReply(NamedTuple):
    """A node's stat, as of ``zxid``; None where the question was whether it exists, and it does not."""

    zxid: int
    stat: ZnodeStat | None


class CreateReply(NamedTuple):
    """The path that a node was created at, and its stat, as of ``zxid``."""

    zxid: int
    path: str
    stat: ZnodeStat


@attrs.frozen
class EnsembleConfig:
    """Which servers an ensemble is made of, as its node ``/zookeeper/config`` has it."""

    version: int
    """What :meth:`~txmirror.interfaces.IEnsemble.reconfig` may be made to depend on."""
    servers: dict[int, str]
    """Each server's ``HOST:PORT:PORT:ROLE;[HOST:]PORT``, by its id."""

    @classmethod
    def parse(cls, data: bytes) -> EnsembleConfig:
        """Read what the node has: lines ``server.ID=...``, and the version in hexadecimal digits.

        :raises ValueError: it is something else; the message quotes the line.
        """
        version, servers = 0, {}
        for line in data.decode(errors="replace").splitlines():
            name, _, value = line.partition("=")
            try:
                if name == "version":
                    version = int(value, 16)
                elif name.startswith("server."):
                    servers[int(name.removeprefix("server."))] = value
            except ValueError:
                raise ValueError(f"not a line of an ensemble's configuration: {line!r}") from None
        return cls(version, servers)

    @property
    def connect_string(self) -> str:
        """Where the servers take clients, as ``host:port,host:port``; those that say nothing of it are left out."""
        return ",".join(filter(None, map(_client_address, self.servers.values())))


def _client_address(server: str) -> str:
    """Give where a server takes clients; empty if it does not say. Of several addresses, the first."""
    quorum = server.partition(";")[0].partition("|")[0]
    address, _, port = server.partition(";")[2].partition(";")[0].rpartition(":")
    if not port.isdigit():
        return ""
    if address in ("", "0.0.0.0", "[::]", "[0:0:0:0:0:0:0:0]"):  # noqa: S104 - the server listens there, not we
        # It listens on all its addresses: that by which the others know it is one of them.
        address = quorum[: quorum.index("]") + 1] if quorum.startswith("[") else quorum.partition(":")[0]
    return f"{address}:{port}"


class NodeType(enum.Enum):
    """What :meth:`IServiceRegistry.set <txmirror.interfaces.IServiceRegistry.set>` makes."""

    EPHEMERAL = "ephemeral"
    """A registration: it is kept in place, and goes away with the session."""
    DATA = "data"
    """A persistent node, written once."""


#: What a node of a registry says, decoded: facts, a text, or nothing.
Payload = dict[str, object] | str | None


@attrs.frozen
class Undecodable:
    """Stands for a node's data that a codec cannot make anything of."""

    reason: str
    """One line that says why."""


class Answer(TypedDict):
    """What is at a path of a service registry."""

    children: dict[str, Payload]
    """What each of its children says, by their names."""
    data: Payload
    """What the node itself says."""
    path: str
    """The path."""
    stat: ZnodeStat | None
    """The node's stat; None if there is no such node."""
