"""How a server reads what clients send: as Java does, which knows nulls, and takes more for a boolean than its clients do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from txmirror.errors import ProtocolError
from txmirror.wire import Cursor

_T = TypeVar("_T")


class _Null(str):
    __slots__ = ()


#: A null in the place of an ACL's scheme or identity: an empty text, and this one.
NULL: Final = _Null()


class RequestCursor(Cursor):
    """Reads requests."""

    __slots__ = ()

    def boolean(self) -> bool:
        """Read a boolean: all but 0 is true.

        :raises ProtocolError: the frame ends first.
        """
        if self.at_end():
            raise ProtocolError(f"a frame of {len(self.frame)} bytes ends before a boolean")
        self.offset += 1
        return self.frame[self.offset - 1] != 0

    def vector(self, item: Callable[[], _T], smallest: int) -> list[_T]:
        """Read a list as a client does; but one with a length below -1 is empty too."""
        start = self.offset
        if self.int32() < -1:
            return []
        self.offset = start
        return super().vector(item, smallest)

    def strings(self) -> list[str]:
        """Read a list of strings as a client does; but it must not be null.

        :raises ProtocolError: it is, or the frame ends first, or a string is null or not UTF-8.
        """
        start = self.offset
        if self.int32() == -1:
            raise ProtocolError(f"a list at byte {start} is null")
        self.offset = start
        return super().strings()

    def acl_text(self) -> str:
        """Read an ACL's scheme or identity: :data:`NULL`, if it is null."""
        start = self.offset
        if self.int32() == -1:
            return NULL
        self.offset = start
        return super().acl_text()


class TolerantCursor(RequestCursor):
    """Reads requests whose path may be null: it is then as good as an empty one."""

    __slots__ = ()

    def string(self) -> str:
        """Read a string, which is empty where it is null."""
        start = self.offset
        if self.int32() == -1:
            return ""
        self.offset = start
        return super().string()
