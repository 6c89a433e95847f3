"""The differences between ZooKeeper's versions that clients notice: operations, events, watches."""

from __future__ import annotations

import attrs

from txmirror.wire import Operation

_SINCE_3_5 = frozenset(
    {
        Operation.CREATE2,
        Operation.RECONFIG,
        Operation.CHECK_WATCHES,
        Operation.REMOVE_WATCHES,
        Operation.CREATE_CONTAINER,
        Operation.CREATE_TTL,
    }
)
_SINCE_3_6 = frozenset(
    {
        Operation.MULTI_READ,
        Operation.GET_EPHEMERALS,
        Operation.GET_ALL_CHILDREN_NUMBER,
        Operation.SET_WATCHES2,
        Operation.ADD_WATCH,
    }
)
_SINCE_3_7 = frozenset({Operation.WHO_AM_I})
_NOT_IN_KEEPER = frozenset(
    {Operation.SASL, Operation.GET_EPHEMERALS, Operation.GET_ALL_CHILDREN_NUMBER, Operation.WHO_AM_I}
)
_ALL = frozenset(Operation)


@attrs.frozen
class Version:
    """A version of ZooKeeper to imitate. In everything else it behaves like Debian's 3.8.0."""

    release: str
    """The version that the four-letter words report."""
    operations: frozenset[Operation] = attrs.field(repr=False)
    """The operations that the server knows (``Request.isValid``). On any other it replies with an error and closes the
    connection. Every version knows a check in a multi."""
    zxid_in_events: bool = False
    """True if events contain the zxid of their transaction (ZOOKEEPER-4655)."""
    exists_needs_read: bool = False
    """True if ``exists`` needs the permission to read (ZOOKEEPER-2590)."""
    create2_in_multi: bool = False
    """True if a create in a multi keeps its own operation code, so that the reply to ``create2`` has the stat
    (ZOOKEEPER-4026)."""
    watch_modes: bool = False
    """True if a connection may have watches of several modes on one path, and must name the mode to check or remove one
    (ZOOKEEPER-4466, ZOOKEEPER-4471)."""
    keeper: bool = False
    """True if it is ClickHouse Keeper (``KeeperTCPHandler``, ``KeeperStorage``). It never resumes a session, and its
    passwords are all zeros. It rejects handshakes by the protocol version 42. It closes the connection without a reply on
    an unknown operation and at the end of a session. It replies to ``setWatches`` before it sends the missed events, and
    sends changed children as changed data."""


_VERSIONS = {
    "3.4": Version("3.4.14", _ALL - _SINCE_3_5 - _SINCE_3_6 - _SINCE_3_7),
    "3.8": Version("3.8.0", _ALL),
    "3.9": Version(
        "3.9.3",
        _ALL - {Operation.CHECK},
        zxid_in_events=True,
        exists_needs_read=True,
        create2_in_multi=True,
        watch_modes=True,
    ),
    "keeper": Version("ClickHouse Keeper", _ALL - _NOT_IN_KEEPER, keeper=True),
}


def version_named(name: object) -> Version:
    """Return the version with this name.

    :raises ValueError: there is none.
    """
    version = _VERSIONS.get(name) if isinstance(name, str) else None
    if version is None:
        raise ValueError(f"version is {name!r}: not one of {', '.join(_VERSIONS)}")
    return version
