"""Encode and decode jute's primitives: numbers, strings, buffers and lists.

All numbers are big-endian. A string or buffer is preceded by its length as an int; a length of -1 is null
(``org.apache.jute.BinaryOutputArchive``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final, TypeVar

from txmirror.errors import ProtocolError
from txmirror.types import ACL, ZnodeStat

_T = TypeVar("_T")

INT = struct.Struct(">i")
LONG = struct.Struct(">q")
STAT = struct.Struct(">qqqqiiiqiiq")

encode_int: Final = INT.pack
encode_long: Final = LONG.pack

#: A null buffer, which differs from an empty one.
NULL = encode_int(-1)


def encode_bool(value: bool) -> bytes:
    """Return a boolean as one byte."""
    return b"\x01" if value else b"\x00"


def encode_buffer(value: bytes | None) -> bytes:
    """Return a buffer, or null, preceded by its length."""
    return NULL if value is None else INT.pack(len(value)) + value


def encode_string(value: str) -> bytes:
    """Return a string in UTF-8, preceded by its length.

    :raises ValueError: the string holds a lone surrogate, which UTF-8 cannot encode.
    """
    encoded = value.encode()
    return INT.pack(len(encoded)) + encoded


def encode_string_or_null(value: str | None) -> bytes:
    """Return a string as :func:`encode_string` does, or null."""
    return NULL if value is None else encode_string(value)


def encode_strings(values: Iterable[str]) -> bytes:
    """Return a list of strings, preceded by its length."""
    encoded = [value.encode() for value in values]
    lengths = map(INT.pack, map(len, encoded))
    return INT.pack(len(encoded)) + b"".join(chain.from_iterable(zip(lengths, encoded, strict=True)))


def encode_acls(acls: Iterable[ACL]) -> bytes:
    """Return an access control list, preceded by its length."""
    encoded = [encode_int(acl[0]) + encode_string(acl[1]) + encode_string(acl[2]) for acl in acls]
    return INT.pack(len(encoded)) + b"".join(encoded)


def encode_stat(stat: ZnodeStat) -> bytes:
    """Return the eleven numbers of a stat."""
    return STAT.pack(*stat)


def unpack_stat(frame: bytes, offset: int) -> ZnodeStat:
    """Read the eleven numbers of a stat. Called for each reply, so it must be fast.

    In an unchanged node several of them are equal. They share one object, which saves memory when there are many nodes.

    :raises struct.error: the frame ends first.
    """
    czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, length, children, pzxid = STAT.unpack_from(
        frame, offset
    )
    if mzxid == czxid:
        mzxid = czxid
    if pzxid == czxid:
        pzxid = czxid
    if mtime == ctime:
        mtime = ctime
    numbers = (czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, length, children, pzxid)
    return tuple.__new__(ZnodeStat, numbers)


class Cursor:
    """A position in a frame that advances as records are read.

    The frame is complete, so a record that does not fit into it is the sender's fault: every method that reads raises
    :exc:`ProtocolError` if the frame ends first, or if the value is invalid: a length below -1, a null string, a string that
    is not UTF-8, or a boolean other than 0 and 1.

    :ivar frame: the frame's bytes.
    :ivar offset: the position of the next record.
    """

    __slots__ = ("frame", "offset")

    def __init__(self, frame: bytes, offset: int = 0) -> None:
        self.frame: bytes = frame
        self.offset: int = offset

    def int32(self) -> int:
        """Read an int."""
        try:
            value: int = INT.unpack_from(self.frame, self.offset)[0]
        except struct.error:
            raise self._truncated("an int") from None
        self.offset += 4
        return value

    def int64(self) -> int:
        """Read a long."""
        try:
            value: int = LONG.unpack_from(self.frame, self.offset)[0]
        except struct.error:
            raise self._truncated("a long") from None
        self.offset += 8
        return value

    def boolean(self) -> bool:
        """Read a boolean."""
        if self.offset >= len(self.frame):
            raise self._truncated("a boolean")
        value = self.frame[self.offset]
        if value > 1:
            raise ProtocolError(f"a boolean at byte {self.offset} is {value}, neither 0 nor 1")
        self.offset += 1
        return value == 1

    def buffer(self) -> bytes | None:
        """Read a buffer; null is None."""
        length = self.int32()
        if length < 0:
            if length == -1:
                return None
            raise ProtocolError(f"a buffer at byte {self.offset - 4} has the length {length}")
        start = self.offset
        stop = start + length
        if stop > len(self.frame):
            raise self._truncated(f"a buffer of {length} bytes")
        self.offset = stop
        return self.frame[start:stop]

    def string(self) -> str:
        """Read a string."""
        start = self.offset
        value = self.buffer()
        if value is None:
            raise ProtocolError(f"a string at byte {start} is null")
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError(f"a string at byte {start} is not UTF-8: {error}") from None

    def string_or_null(self) -> str | None:
        """Read a string; null is None."""
        if self.frame[self.offset : self.offset + 4] == NULL:
            self.offset += 4
            return None
        return self.string()

    def vector(self, item: Callable[[], _T], smallest: int) -> list[_T]:
        """Read a list, calling ``item`` for each item. A null list reads as an empty one.

        :param smallest: the size in bytes of the shortest item. A length that does not fit into the frame is rejected before any
            item is read.
        :raises ProtocolError: the frame ends first, or the length is below -1, or an item is faulty.
        """
        count = self.int32()
        if count < 0:
            if count == -1:
                return []
            raise ProtocolError(f"a list at byte {self.offset - 4} has the length {count}")
        if count * smallest > len(self.frame) - self.offset:
            raise self._truncated(f"a list of {count} items")
        return [item() for _ in range(count)]

    def strings(self) -> list[str]:
        """Read a list of strings."""
        return self.vector(self.string, 4)

    def acls(self) -> list[ACL]:
        """Read an access control list."""
        return self.vector(self._acl, 12)

    def acl_text(self) -> str:
        """Read an ACL's scheme or identity, which a server does not check.

        Null reads as an empty string. The string may hold surrogates as Java writes them.
        """
        start = self.offset
        encoded = self.buffer() or b""
        try:
            return encoded.decode()
        except UnicodeDecodeError:
            pass
        try:
            text = encoded.decode(errors="surrogatepass")
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeError as error:
            raise ProtocolError(f"a string at byte {start} is not UTF-8: {error}") from None

    def stat(self) -> ZnodeStat:
        """Read a stat."""
        try:
            stat = unpack_stat(self.frame, self.offset)
        except struct.error:
            raise self._truncated("a stat") from None
        self.offset += STAT.size
        return stat

    def at_end(self) -> bool:
        """Return whether all of the frame has been read."""
        return self.offset == len(self.frame)

    def finish(self) -> None:
        """Check that all of the frame has been read.

        :raises ProtocolError: bytes are left.
        """
        if self.offset != len(self.frame):
            raise ProtocolError(
                f"the record has ended, but {len(self.frame) - self.offset} bytes of its frame are left"
            )

    def _acl(self) -> ACL:
        return ACL(self.int32(), self.acl_text(), self.acl_text())

    def _truncated(self, item: str) -> ProtocolError:
        return ProtocolError(f"a frame of {len(self.frame)} bytes ends within {item} at byte {self.offset}")
