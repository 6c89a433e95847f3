"""What methods make of a reply: of the record, and of the zxid in its header."""

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
    """Read data and stat."""
    data, stat = GetDataResponse.decode(cursor)
    return data or b"", stat


def decode_data_reply(cursor: Cursor, zxid: int) -> DataReply:
    """Read data and stat, as of the reply."""
    data, stat = GetDataResponse.decode(cursor)
    return DataReply(zxid, data or b"", stat)


def check_names(names: list[str]) -> list[str]:
    """Return the names of children as they are.

    :raises ProtocolError: one of them is no name of a znode.
    """
    if not paths.are_names(names):
        wrong = next(name for name in names if not paths.are_names([name]))
        raise ProtocolError(f"a child's name is {wrong!r:.200}, which no znode can have")
    return names


def decode_names_and_stat(cursor: Cursor, zxid: int) -> tuple[list[str], ZnodeStat]:
    """Read the names of children, and the stat."""
    names, stat = GetChildren2Response.decode(cursor)
    return check_names(names), stat


def decode_names(cursor: Cursor, zxid: int) -> list[str]:
    """Read the names of children."""
    return check_names(GetChildren2Response.decode(cursor).children)


def decode_children_reply(cursor: Cursor, zxid: int) -> ChildrenReply:
    """Read the names of children and the stat, as of the reply."""
    names, stat = GetChildren2Response.decode(cursor)
    return ChildrenReply(zxid, check_names(names), stat)


def decode_stat(cursor: Cursor, zxid: int) -> ZnodeStat:
    """Read a stat."""
    return StatResponse.decode(cursor).stat


def decode_stat_reply(cursor: Cursor, zxid: int) -> StatReply:
    """Read a stat, as of the reply."""
    return StatReply(zxid, StatResponse.decode(cursor).stat)


def decode_acl(cursor: Cursor, zxid: int) -> tuple[list[ACL], ZnodeStat]:
    """Read an access control list and stat."""
    acl, stat = GetACLResponse.decode(cursor)
    return acl, stat


def decode_number(cursor: Cursor, zxid: int) -> int:
    """Read a number."""
    return GetAllChildrenNumberResponse.decode(cursor).totalNumber


def decode_identities(cursor: Cursor, zxid: int) -> list[tuple[str, str]]:
    """Read identities: scheme and user of each."""
    return [(info.authScheme, info.user) for info in WhoAmIResponse.decode(cursor).clientInfo]


def decode_zxid(cursor: Cursor, zxid: int) -> int:
    """Read nothing; give as of when that is so."""
    return zxid


def missing(zxid: int) -> None:
    """Give the stat of a node that is not there."""
    return


def missing_reply(zxid: int) -> StatReply:
    """Give the stat of a node that is not there, as of the reply."""
    return StatReply(zxid, None)
