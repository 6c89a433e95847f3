"""Decode requests as a Java server does: it accepts nulls, and any byte as a boolean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from txmirror.errors import ProtocolError
from txmirror.wire import Cursor

_T = TypeVar("_T")


class _Null(str):
    __slots__ = ()


#: A null scheme or identity of an ACL: an empty string, recognised by identity.
NULL: Final = _Null()


class RequestCursor(Cursor):
    """Decodes requests."""

    __slots__ = ()

    def boolean(self) -> bool:
        """Read a boolean: any byte but 0 is true.

        :raises ProtocolError: the frame ends first.
        """
        if self.at_end():
            raise ProtocolError(f"a frame of {len(self.frame)} bytes ends before a boolean")
        self.offset += 1
        return self.frame[self.offset - 1] != 0

    def vector(self, item: Callable[[], _T], smallest: int) -> list[_T]:
        """Read a list as a client does, but treat a length below -1 as an empty list."""
        start = self.offset
        if self.int32() < -1:
            return []
        self.offset: int = start
        return super().vector(item, smallest)

    def strings(self) -> list[str]:
        """Read a list of strings as a client does, but reject a null list.

        :raises ProtocolError: the list is null, or the frame ends first, or a string is null or not UTF-8.
        """
        start = self.offset
        if self.int32() == -1:
            raise ProtocolError(f"a list at byte {start} is null")
        self.offset = start
        return super().strings()

    def acl_text(self) -> str:
        """Read an ACL's scheme or identity; null is :data:`NULL`."""
        start = self.offset
        if self.int32() == -1:
            return NULL
        self.offset = start
        return super().acl_text()


class TolerantCursor(RequestCursor):
    """Decodes requests whose path may be null, and reads it as an empty one."""

    __slots__ = ()

    def string(self) -> str:
        """Read a string; null reads as an empty one."""
        start = self.offset
        if self.int32() == -1:
            return ""
        self.offset: int = start
        return super().string()
