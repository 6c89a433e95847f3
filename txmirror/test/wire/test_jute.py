"""Jute's primitives, and the cursor that reads them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import ProtocolError
from txmirror.test.wire.strategies import (
    INT32_MAX,
    INT32_MIN,
    INT64_MAX,
    INT64_MIN,
    buffers,
    int32s,
    int64s,
    lists_of_acls,
    lists_of_texts,
    outcome,
    stats,
    texts,
)
from txmirror.types import ACL, ZnodeStat
from txmirror.wire import Cursor
from txmirror.wire.jute import (
    NULL,
    encode_acls,
    encode_bool,
    encode_buffer,
    encode_int,
    encode_long,
    encode_stat,
    encode_string,
    encode_strings,
)

#: What reads each primitive.
READERS: tuple[Callable[[Cursor], object], ...] = (
    Cursor.int32,
    Cursor.int64,
    Cursor.boolean,
    Cursor.buffer,
    Cursor.string,
    Cursor.strings,
    Cursor.acls,
    Cursor.stat,
)
#: Those that start with a length.
WITH_LENGTH: tuple[Callable[[Cursor], object], ...] = (Cursor.buffer, Cursor.string, Cursor.strings, Cursor.acls)


class EncodingTests(SynchronousTestCase):
    def test_int(self) -> None:
        """An int is four bytes, the highest first, in two's complement."""
        self.assertEqual(encode_int(0x01020304), b"\x01\x02\x03\x04")
        self.assertEqual(encode_int(-2), b"\xff\xff\xff\xfe")

    def test_long(self) -> None:
        """A long is eight bytes, the highest first, in two's complement."""
        self.assertEqual(encode_long(0x0102030405060708), b"\x01\x02\x03\x04\x05\x06\x07\x08")
        self.assertEqual(encode_long(-2), b"\xff" * 7 + b"\xfe")

    def test_bool(self) -> None:
        """A boolean is one byte, 1 for true."""
        self.assertEqual([encode_bool(True), encode_bool(False)], [b"\x01", b"\x00"])

    def test_buffer(self) -> None:
        """A buffer stands behind its length."""
        self.assertEqual(encode_buffer(b"\x00\xff"), b"\x00\x00\x00\x02\x00\xff")

    def test_empty_buffer(self) -> None:
        """An empty buffer has the length 0."""
        self.assertEqual(encode_buffer(b""), b"\x00\x00\x00\x00")

    def test_null_buffer(self) -> None:
        """A buffer that is null has the length -1."""
        self.assertEqual(encode_buffer(None), b"\xff\xff\xff\xff")

    def test_string(self) -> None:
        """A string is UTF-8 behind its length in bytes, which is not that in characters."""
        self.assertEqual(encode_string("/é"), b"\x00\x00\x00\x03/\xc3\xa9")

    def test_lone_surrogate(self) -> None:
        """A lone surrogate is refused, since no other program could read it."""
        self.assertRaises(ValueError, encode_string, "/\udfff")

    def test_strings(self) -> None:
        """A list stands behind the number of its items."""
        self.assertEqual(encode_strings(["a", ""]), b"\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x00")

    def test_no_strings(self) -> None:
        """An empty list is its number of items, 0."""
        self.assertEqual(encode_strings([]), b"\x00\x00\x00\x00")

    def test_strings_of_a_generator(self) -> None:
        """Any iterable will do for a list, one that can be read only once too."""
        self.assertEqual(encode_strings(name for name in ["a", "b"]), encode_strings(["a", "b"]))

    def test_acls(self) -> None:
        """An entry of an access control list is its permissions, its scheme and its identity."""
        self.assertEqual(
            encode_acls([ACL(31, "ip", "x")]),
            b"\x00\x00\x00\x01\x00\x00\x00\x1f\x00\x00\x00\x02ip\x00\x00\x00\x01x",
        )

    def test_acls_of_a_generator(self) -> None:
        """Any iterable will do for an access control list too."""
        acl = ACL(31, "ip", "x")
        self.assertEqual(encode_acls(entry for entry in [acl, acl]), encode_acls([acl, acl]))

    def test_stat(self) -> None:
        """A stat is its eleven numbers in the order of zookeeper.jute, longs and ints as there."""
        self.assertEqual(
            encode_stat(
                ZnodeStat(
                    czxid=1,
                    mzxid=2,
                    ctime=3,
                    mtime=4,
                    version=5,
                    cversion=6,
                    aversion=7,
                    ephemeralOwner=8,
                    dataLength=9,
                    numChildren=10,
                    pzxid=11,
                )
            ),
            b"\x00\x00\x00\x00\x00\x00\x00\x01"  # long czxid
            b"\x00\x00\x00\x00\x00\x00\x00\x02"  # long mzxid
            b"\x00\x00\x00\x00\x00\x00\x00\x03"  # long ctime
            b"\x00\x00\x00\x00\x00\x00\x00\x04"  # long mtime
            b"\x00\x00\x00\x05"  # int version
            b"\x00\x00\x00\x06"  # int cversion
            b"\x00\x00\x00\x07"  # int aversion
            b"\x00\x00\x00\x00\x00\x00\x00\x08"  # long ephemeralOwner
            b"\x00\x00\x00\x09"  # int dataLength
            b"\x00\x00\x00\x0a"  # int numChildren
            b"\x00\x00\x00\x00\x00\x00\x00\x0b",  # long pzxid
        )


class RoundTripTests(SynchronousTestCase):
    def check(self, encoded: bytes, read: Callable[[Cursor], Any], value: object) -> None:
        """Read ``encoded`` back, on its own and from the middle of a frame; and cut it short everywhere."""
        for before, after in ((b"", b""), (b"before", b"after")):
            cursor = Cursor(before + encoded + after, len(before))
            self.assertEqual(read(cursor), value)
            self.assertEqual(cursor.offset, len(before) + len(encoded))
        for length in range(len(encoded)):
            self.assertRaises(ProtocolError, read, Cursor(encoded[:length]))

    @given(int32s)
    def test_int(self, value: int) -> None:
        """An int is read back, and cut short is a protocol error."""
        self.check(encode_int(value), Cursor.int32, value)

    @given(int64s)
    def test_long(self, value: int) -> None:
        """A long is read back, and cut short is a protocol error."""
        self.check(encode_long(value), Cursor.int64, value)

    def test_extremes(self) -> None:
        """The highest and lowest numbers are read back."""
        for value in (INT32_MIN, -1, 0, INT32_MAX):
            self.check(encode_int(value), Cursor.int32, value)
        for value in (INT64_MIN, -1, 0, INT64_MAX):
            self.check(encode_long(value), Cursor.int64, value)

    def test_bool(self) -> None:
        """A boolean is read back as a bool, and a missing one is a protocol error."""
        for value in (False, True):
            self.check(encode_bool(value), Cursor.boolean, value)
            self.assertIs(Cursor(encode_bool(value)).boolean(), value)

    @given(buffers)
    def test_buffer(self, value: bytes | None) -> None:
        """A buffer or null is read back, and cut short is a protocol error."""
        self.check(encode_buffer(value), Cursor.buffer, value)

    @given(texts)
    def test_string(self, value: str) -> None:
        """A string is read back, and cut short is a protocol error."""
        self.check(encode_string(value), Cursor.string, value)

    @given(lists_of_texts)
    def test_strings(self, value: list[str]) -> None:
        """A list of strings is read back, and cut short is a protocol error."""
        self.check(encode_strings(value), Cursor.strings, value)

    @given(lists_of_acls)
    def test_acls(self, value: list[ACL]) -> None:
        """An access control list is read back, and cut short is a protocol error."""
        self.check(encode_acls(value), Cursor.acls, value)

    @given(stats)
    def test_stat(self, value: ZnodeStat) -> None:
        """A stat is read back, and cut short is a protocol error."""
        self.check(encode_stat(value), Cursor.stat, value)


class CursorTests(SynchronousTestCase):
    def test_past_the_end(self) -> None:
        """Nothing can be read from an empty frame, nor from past the end of one."""
        for read in READERS:
            self.assertRaises(ProtocolError, read, Cursor(b""))
            self.assertRaises(ProtocolError, read, Cursor(b"frame", 5))
            self.assertRaises(ProtocolError, read, Cursor(b"frame", 9))

    @given(st.sampled_from(READERS), st.binary(max_size=90), st.integers(0, 8))
    def test_garbage(self, read: Callable[[Cursor], object], frame: bytes, offset: int) -> None:
        """Arbitrary bytes are read or a protocol error, and are never read past their end."""
        cursor = Cursor(frame, offset)
        outcome(lambda: read(cursor))
        self.assertLessEqual(cursor.offset, max(offset, len(frame)))

    def test_faulty_boolean(self) -> None:
        """Every byte but 0 and 1 is a protocol error that names it."""
        for byte in range(2, 256):
            error = self.assertRaises(ProtocolError, Cursor(bytes([byte])).boolean)
            self.assertIn(str(byte), str(error))

    def test_negative_lengths(self) -> None:
        """A length below -1 is a protocol error that names it, however much follows."""
        for read in WITH_LENGTH:
            for length in (-2, -3, -1000, INT32_MIN):
                for rest in (b"", b"\x00" * 100):
                    error = self.assertRaises(ProtocolError, read, Cursor(encode_int(length) + rest))
                    self.assertIn(str(length), str(error))

    def test_null_string(self) -> None:
        """A null string is a protocol error, and its message names null."""
        error = self.assertRaises(ProtocolError, Cursor(NULL).string)
        self.assertIn("null", str(error))

    def test_null_lists(self) -> None:
        """A null list is an empty one."""
        self.assertEqual([Cursor(NULL).strings(), Cursor(NULL).acls()], [[], []])

    def test_not_utf8(self) -> None:
        """Bytes that are not UTF-8 are a protocol error, and its message names UTF-8."""
        for faulty in (b"\xff", b"\x80", b"a\xc3", b"\xc0\xaf", b"\xf5\x80\x80\x80", b"\xe2\x82"):
            error = self.assertRaises(ProtocolError, Cursor(encode_buffer(faulty)).string)
            self.assertIn("UTF-8", str(error))

    def test_says_where(self) -> None:
        """A truncated frame is reported with its length and the place where it ended too soon."""
        cursor = Cursor(encode_int(1) + b"abc")
        cursor.int32()
        error = self.assertRaises(ProtocolError, cursor.int32)
        self.assertIn("7 bytes", str(error))
        self.assertIn("byte 4", str(error))

    def test_huge_lengths_raise_at_once(self) -> None:
        """Nothing is allocated for an announced length or count."""
        for read in WITH_LENGTH:
            frame = encode_int(INT32_MAX) + b"\x00" * 64
            tracemalloc.start()
            try:
                self.assertRaises(ProtocolError, read, Cursor(frame))
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            self.assertLess(peak, 200_000)

    def test_huge_count_reads_no_item(self) -> None:
        """A count that cannot be true is found out before the first item is read."""
        read: list[int] = []
        cursor = Cursor(encode_int(3) + b"\x00" * 11)
        self.assertRaises(ProtocolError, cursor.vector, lambda: read.append(cursor.int32()), 4)
        self.assertEqual(read, [])

    def test_count_that_just_fits(self) -> None:
        """A count of the smallest items that fills the frame to its last byte is read."""
        self.assertEqual(Cursor(encode_int(3) + b"\x00" * 12).strings(), ["", "", ""])
        self.assertEqual(Cursor(encode_int(2) + b"\x00" * 24).acls(), [ACL(0, "", ""), ACL(0, "", "")])

    def test_buffer_that_just_fits(self) -> None:
        """A buffer may end where the frame ends, and not a byte later."""
        self.assertEqual(Cursor(encode_int(3) + b"abc").buffer(), b"abc")
        self.assertRaises(ProtocolError, Cursor(encode_int(4) + b"abc").buffer)

    def test_at_end(self) -> None:
        """The end is reached once all is read, and not before."""
        cursor = Cursor(encode_int(1))
        self.assertFalse(cursor.at_end())
        cursor.int32()
        self.assertTrue(cursor.at_end())

    def test_finish(self) -> None:
        """Finishing a frame that has been read to its end does nothing."""
        cursor = Cursor(encode_int(1))
        cursor.int32()
        self.assertIsNone(cursor.finish())  # type: ignore[func-returns-value]

    def test_finish_too_early(self) -> None:
        """finish() before the end of a frame is a protocol error, and its message has the number of bytes that are
        left.
        """
        cursor = Cursor(encode_int(1) + b"abc")
        cursor.int32()
        error = self.assertRaises(ProtocolError, cursor.finish)
        self.assertIn("3 bytes", str(error))
