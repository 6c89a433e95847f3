"""What tells one ZooKeeper from another, as far as clients must care: what it can be asked, and what its events say."""

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
    """A ZooKeeper to be imitated. In all that is not here each is the 3.8.0 that Debian ships."""

    release: str
    """What the four-letter words say that it is."""
    operations: frozenset[Operation] = attrs.field(repr=False)
    """What it knows (``Request.isValid``). Whoever asks for anything else is told so, and loses the connection. A check among
    several operations every version knows."""
    zxid_in_events: bool = False
    """Whether an event says which transaction it is about (ZOOKEEPER-4655)."""
    exists_needs_read: bool = False
    """Whether the stat of a znode is only for those who may read it (ZOOKEEPER-2590)."""
    create2_in_multi: bool = False
    """Whether a create among several operations is the operation that it says, so that ``create2`` is answered with the stat
    (ZOOKEEPER-4026)."""
    watch_modes: bool = False
    """Whether a connection has watches of several modes on one path, and whoever asks for a watch or removes one must name its
    mode (ZOOKEEPER-4466, ZOOKEEPER-4471)."""
    keeper: bool = False
    """Whether it is ClickHouse Keeper (``KeeperTCPHandler``, ``KeeperStorage``): it never resumes a session, its passwords are
    all zeros, it refuses handshakes by the protocol version 42, closes without an answer on an operation that it does not know and at
    the end of a session, and answers ``setWatches`` before it tells what has changed, changed children as changed data."""


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
    """Give the version that an application names.

    :raises ValueError: it cannot be imitated.
    """
    version = _VERSIONS.get(name) if isinstance(name, str) else None
    if version is None:
        raise ValueError(f"version is {name!r}: not one of {', '.join(_VERSIONS)}")
    return version
