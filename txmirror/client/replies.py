"""Decode replies: make a result from the record and from the zxid in its header."""

from __future__ import annotations

from txmirror import paths
from txmirror.errors import ProtocolError
from txmirror.types import ACL, ChildrenReply, DataReply, StatReply, ZnodeStat
from txmirror.wire import (
    Cursor,
    GetACLResponse,
    GetAllChildrenNumberResponse,
    GetChildren2Response,
    GetDataResponse,
    StatResponse,
    WhoAmIResponse,
)


def decode_data(cursor: Cursor, zxid: int) -> tuple[bytes, ZnodeStat]:
    """Decode data and stat."""
    data, stat = GetDataResponse.decode(cursor)
    return data or b"", stat


def decode_data_reply(cursor: Cursor, zxid: int) -> DataReply:
    """Decode data and stat, with the reply's zxid."""
    data, stat = GetDataResponse.decode(cursor)
    return DataReply(zxid, data or b"", stat)


def check_names(names: list[str]) -> list[str]:
    """Check the names of children, and return them.

    :raises ProtocolError: one of them is invalid.
    """
    if not paths.are_names(names):
        wrong = next(name for name in names if not paths.are_names([name]))
        raise ProtocolError(f"a child's name is {wrong!r:.200}, which no znode can have")
    return names


def decode_names_and_stat(cursor: Cursor, zxid: int) -> tuple[list[str], ZnodeStat]:
    """Decode the names of children, and the stat."""
    names, stat = GetChildren2Response.decode(cursor)
    return check_names(names), stat


def decode_names(cursor: Cursor, zxid: int) -> list[str]:
    """Decode the names of children."""
    return check_names(GetChildren2Response.decode(cursor).children)


def decode_children_reply(cursor: Cursor, zxid: int) -> ChildrenReply:
    """Decode the names of children and the stat, with the reply's zxid."""
    names, stat = GetChildren2Response.decode(cursor)
    return ChildrenReply(zxid, check_names(names), stat)


def decode_stat(cursor: Cursor, zxid: int) -> ZnodeStat:
    """Decode a stat."""
    return StatResponse.decode(cursor).stat


def decode_stat_reply(cursor: Cursor, zxid: int) -> StatReply:
    """Decode a stat, with the reply's zxid."""
    return StatReply(zxid, StatResponse.decode(cursor).stat)


def decode_acl(cursor: Cursor, zxid: int) -> tuple[list[ACL], ZnodeStat]:
    """Decode an access control list and stat."""
    acl, stat = GetACLResponse.decode(cursor)
    return acl, stat


def decode_number(cursor: Cursor, zxid: int) -> int:
    """Decode a number."""
    return GetAllChildrenNumberResponse.decode(cursor).totalNumber


def decode_identities(cursor: Cursor, zxid: int) -> list[tuple[str, str]]:
    """Decode identities: scheme and user of each."""
    return [(info.authScheme, info.user) for info in WhoAmIResponse.decode(cursor).clientInfo]


def decode_zxid(cursor: Cursor, zxid: int) -> int:
    """Decode an empty reply, and return its zxid."""
    return zxid


def missing(zxid: int) -> None:
    """Return None, the stat of a node that does not exist."""
    return


def missing_reply(zxid: int) -> StatReply:
    """Return the reply for a node that does not exist, with its zxid."""
    return StatReply(zxid, None)
