"""The values that all packages share: stats, ACLs, watch events, session states, replies. It has more than 350 lines because
it is a list.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypedDict

import attrs

from txmirror.errors import ZooKeeperException


class ZnodeStat(NamedTuple):
    """A znode's stat, with the fields of ZooKeeper's wire format in their order."""

    czxid: int
    """The transaction that created the node. Another one means another node, even at the same version."""
    mzxid: int
    """The transaction that last changed its data."""
    ctime: int
    """The time of its creation, in milliseconds since the Unix epoch, by the server's clock."""
    mtime: int
    """The time of the last change of its data, likewise."""
    version: int
    """The number of changes of its data since it was created."""
    cversion: int
    """The number of changes of its list of children."""
    aversion: int
    """The number of changes of its ACL."""
    ephemeralOwner: int
    """The id of the session that owns an ephemeral node; 0 for a persistent node."""
    dataLength: int
    """The length of its data in bytes."""
    numChildren: int
    """The number of its children."""
    pzxid: int
    """The transaction that last added or removed a child."""


class Permission(enum.IntFlag):
    """The permissions of an ACL entry."""

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
    """The scheme of the identity: ``world``, ``auth``, ``digest``, ``ip``, ..."""
    identity: str
    """The identity, in the scheme's own form."""


#: Anybody may do anything: the default ACL of new nodes.
OPEN_ACL = (ACL(Permission.ALL, "world", "anyone"),)
#: Anybody may read, nobody may change anything.
READ_ACL = (ACL(Permission.READ, "world", "anyone"),)
#: The identities of the session that creates the node may do anything; nobody else may do anything.
CREATOR_ALL_ACL = (ACL(Permission.ALL, "auth", ""),)


def digest_identity(user: str, password: str) -> str:
    """Return a user's identity in ACLs of the scheme ``digest``.

    It is ``user:`` and the SHA-1 of ``user:password`` in base64 (``DigestAuthenticationProvider.generateDigest``). The
    credentials for ``add_auth`` are ``user:password`` itself.

    :raises ValueError: the user's name is empty or contains a colon, at which the server would split the credentials.
    """
    if not user or ":" in user:
        raise ValueError(f"a user's name has letters and no colon: {user!r}")
    # ZooKeeper prescribes the digest.
    hashed = hashlib.sha1(f"{user}:{password}".encode(), usedforsecurity=False).digest()
    return f"{user}:{base64.b64encode(hashed).decode()}"


def digest_acl(user: str, password: str, permissions: int = Permission.ALL) -> ACL:
    """Return the ACL entry of the scheme ``digest`` that grants permissions to a user.

    :param permissions: a sum of :class:`Permission`.
    :raises ValueError: see :func:`digest_identity`.
    """
    return ACL(permissions, "digest", digest_identity(user, password))


class EventType(enum.IntEnum):
    """The types of watch events, with the numbers of the wire format."""

    CREATED = 1
    DELETED = 2
    CHANGED = 3
    CHILD = 4
    DATA_WATCH_REMOVED = 5
    CHILD_WATCH_REMOVED = 6
    PERSISTENT_WATCH_REMOVED = 7
    """The server has removed a persistent watch."""


class WatchKind(enum.IntEnum):
    """The kinds of watches that can be removed, with the numbers of the wire format."""

    CHILDREN = 1
    DATA = 2
    ANY = 3


class WatchedEvent(NamedTuple):
    """A watch event. It says that something changed, and carries no new data."""

    type: EventType
    """The type of the event."""
    path: str
    """The znode's path."""
    zxid: int | None = None
    """The transaction that caused the event, if the server sends it (3.9 does); None otherwise."""


class SessionState(enum.Enum):
    """The states of a client's session."""

    CONNECTING = "connecting"
    """The client has had no session yet."""
    CONNECTED = "connected"
    """The session is established and connected to a server."""
    SUSPENDED = "suspended"
    """The connection was lost. The session lives on at the servers until its timeout is over."""
    LOST = "probably expired"
    """The client was disconnected for so long that the session has probably expired. Only a server can confirm it."""
    EXPIRED = "expired"
    """A server said that the session has expired. The client opens a new one."""
    AUTH_FAILED = "auth failed"
    """The servers refused the client's credentials. The client does not retry; it can only be closed."""
    CLOSED = "closed"
    """The client was closed. No other state follows."""


@attrs.frozen
class SessionEvent:
    """A step of a client's session: a change of its state. Observers receive it in one order with the watch events."""

    state: SessionState
    """The new state of the session."""
    session_number: int
    """The number of the client's session: 1 for the first, one more for each new one; 0 before the first."""
    data_generation: int
    """The number of the ensemble's data generation: one more each time that the client finds the data wiped or restored from
    a backup. Zxids and versions of different generations cannot be compared."""
    zxid: int
    """The last transaction of this data generation that the client has seen, for ``set_watches``."""
    read_only: bool = False
    """True if the server is in read-only mode, because it is cut off from the majority."""


#: An event of a client's feed.
News = SessionEvent | WatchedEvent
#: A callback for the events of a feed.
Listener = Callable[[News], object]


_TICKET = re.compile(r"([0-9a-f]{1,16})\.((?:[0-9a-f]{2})*)\.([0-9a-f]{1,16})")


@attrs.frozen
class SessionTicket:
    """The session id, password and zxid by which a client can take over another client's session. It is a secret.

    :raises ValueError: a number is out of range.
    :raises TypeError: the password is not bytes.
    """

    session_id: int
    """The session's id."""
    password: bytes = attrs.field(repr=False)
    """The password of 16 bytes that the server issued for the session."""
    zxid: int
    """The last transaction that was seen: the session resumes only at servers that have it."""

    def __attrs_post_init__(self) -> None:
        if not (-(2**63) <= self.session_id < 2**63 and self.session_id and 0 <= self.zxid < 2**63):
            raise ValueError("a session's id is a number of 64 bits and not 0, its zxid one of 63")
        if not isinstance(self.password, bytes):
            raise TypeError("a session's password is bytes")

    def to_text(self) -> str:
        """Return the ticket as one word, for another process. The word is a secret too."""
        return f"{self.session_id & 0xFFFFFFFFFFFFFFFF:x}.{self.password.hex()}.{self.zxid:x}"

    @classmethod
    def from_text(cls, text: str) -> SessionTicket:
        """Return the ticket of a text of :meth:`to_text`.

        :raises ValueError: the text is something else; the message does not quote it.
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
    """The transaction as of which the server replied."""
    data: bytes
    """The node's data."""
    stat: ZnodeStat
    """The node's stat."""


class ChildrenReply(NamedTuple):
    """The names of a node's children, in the server's order, as of ``zxid``."""

    zxid: int
    """The transaction as of which the server replied."""
    children: list[str]
    """The names of the children."""
    stat: ZnodeStat
    """The node's stat."""


class BatchReply(NamedTuple):
    """The data or children of many nodes, all as of ``zxid``, in the order of the request."""

    zxid: int
    """The transaction as of which the server replied."""
    data: list[tuple[bytes, ZnodeStat] | ZooKeeperException]
    """The data and stat of each node, or the reason why it cannot be read."""
    children: list[list[str] | ZooKeeperException]
    """The names of the children of each node, in the server's order, or the reason why it cannot be read."""


class StatReply(NamedTuple):
    """A node's stat, as of ``zxid``; None if the node does not exist, in the reply of an exists."""

    zxid: int
    """The transaction as of which the server replied."""
    stat: ZnodeStat | None
    """The node's stat; None if the node does not exist."""


class CreateReply(NamedTuple):
    """The path and stat of a node that was created, as of ``zxid``."""

    zxid: int
    """The transaction that created the node."""
    path: str
    """The node's path, with the digits of a sequential node."""
    stat: ZnodeStat
    """The node's stat."""


@attrs.frozen
class EnsembleConfig:
    """An ensemble's configuration: the contents of its node ``/zookeeper/config``."""

    version: int
    """The version, for :meth:`~txmirror.interfaces.IEnsemble.reconfig`."""
    servers: dict[int, str]
    """Each server's ``HOST:PORT:PORT:ROLE;[HOST:]PORT``, by its id."""

    @classmethod
    def parse(cls, data: bytes) -> EnsembleConfig:
        """Return the configuration of the node's data: lines ``server.ID=...``, and the version in hexadecimal digits.

        :raises ValueError: the data is something else; the message quotes the line.
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
        """The servers' client addresses, as ``host:port,host:port``; servers without one are left out."""
        return ",".join(filter(None, map(_client_address, self.servers.values())))


def _client_address(server: str) -> str:
    """Return a server's client address, the first of several; an empty text if it has none."""
    quorum = server.partition(";")[0].partition("|")[0]
    address, _, port = server.partition(";")[2].partition(";")[0].rpartition(":")
    if not port.isdigit():
        return ""
    if address in ("", "0.0.0.0", "[::]", "[0:0:0:0:0:0:0:0]"):  # noqa: S104 - the server listens there, not we
        # The server listens on all its addresses. Its address for the other servers is one of them.
        address = quorum[: quorum.index("]") + 1] if quorum.startswith("[") else quorum.partition(":")[0]
    return f"{address}:{port}"


class NodeType(enum.Enum):
    """The kinds of nodes of :meth:`IServiceRegistry.set <txmirror.interfaces.IServiceRegistry.set>`."""

    EPHEMERAL = "ephemeral"
    """A registration: an ephemeral node that the registry maintains."""
    DATA = "data"
    """A persistent node, written once."""


#: The decoded data of a registry's node: facts, a text, or nothing.
Payload = dict[str, object] | str | None


@attrs.frozen
class Undecodable:
    """A placeholder for a node's data that a codec cannot decode."""

    reason: str
    """One line that says why."""


class InstanceStatus(enum.Enum):
    """The state of an instance, as its node describes it."""

    UP = "up"
    """It can be used."""
    WARNING = "warning"
    """It can be used, and one of its checks warns."""
    DOWN = "down"
    """It is not to be used."""


class Endpoint(NamedTuple):
    """An address and port."""

    address: str
    """The host name or IP address."""
    port: int
    """The port."""


# More than 7 parameters: each format has some of them, and all but the name are optional.
@attrs.frozen(kw_only=True, hash=False)
class Instance:
    """An instance of a service, as its node describes it: all fields of all formats. Each format has a part of them."""

    name: str
    """The name of its node."""
    address: str | None = None
    """Its host name or address, an IPv6 address without brackets; None if neither the data nor the node's name has it."""
    port: int | None = None
    """Its port; None likewise."""
    tls_port: int | None = None
    """Its port for TLS, if that is another one."""
    weight: int | None = None
    """Its share of the traffic, relative to those of other instances; None if the data has none."""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    """Words for choosing instances."""
    status: InstanceStatus = InstanceStatus.UP
    """Its state."""
    endpoints: Mapping[str, Endpoint] = attrs.field(factory=dict)
    """Further endpoints, by their names."""
    service: str | None = None
    """The service's name, if the data has it."""
    id: str | None = None
    """Its id among the instances of the service, if the data has one."""
    pid: int | None = None
    """The process number of its program, or of the program that has registered it."""
    created: float | None = None
    """The time of its registration, in seconds since the Unix epoch; None if the data has none with a known time zone."""
    data: Mapping[str, object] | str = attrs.field(factory=dict)
    """The other facts."""
    codec: str = "ndsr"
    """The name of the codec that has read it, or is to write it."""


class Answer(TypedDict):
    """A service registry's answer for a path."""

    children: dict[str, Payload]
    """The decoded data of the node's children, by their names."""
    data: Payload
    """The decoded data of the node itself."""
    path: str
    """The path."""
    stat: ZnodeStat | None
    """The node's stat; None if there is no such node."""
