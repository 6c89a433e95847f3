"""The records that a server sends."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import ProtocolError
from txmirror.test.wire.strategies import (
    INT32_MAX,
    INT32_MIN,
    RecordContract,
    buffers,
    int32s,
    int64s,
    lists_of_acls,
    lists_of_texts,
    stats,
    texts,
)
from txmirror.types import ZnodeStat
from txmirror.wire import (
    ConnectResponse,
    Create2Response,
    Cursor,
    GetACLResponse,
    GetChildren2Response,
    GetChildrenResponse,
    GetDataResponse,
    PathResponse,
    ReplyHeader,
    StatResponse,
    WatcherEvent,
)
from txmirror.wire.jute import NULL, encode_int, encode_stat

STAT = ZnodeStat(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)


class ReplyHeaderTests(RecordContract, SynchronousTestCase):
    record = ReplyHeader
    records = st.builds(ReplyHeader, int32s, int64s, int32s)

    def test_length(self) -> None:
        """A reply's header takes 16 bytes, as many as are kept of an oversized frame."""
        self.assertEqual(len(ReplyHeader(1, 2, 3).encode()), 16)


class ConnectResponseTests(RecordContract, SynchronousTestCase):
    record = ConnectResponse
    records = st.builds(ConnectResponse, int32s, int64s, buffers, st.booleans(), int32s)
    optional = 1

    def test_without_read_only(self) -> None:
        """The answer of a server before 3.4 lacks the last field, which is then None."""
        frame = ConnectResponse(10_000, 7, b"p" * 16, None).encode()
        self.assertEqual(len(frame), 36)
        self.assertEqual(self.decode(frame), ConnectResponse(10_000, 7, b"p" * 16, None))

    def test_with_read_only(self) -> None:
        """The answer of a server since 3.4 is one byte longer."""
        self.assertEqual(len(ConnectResponse(10_000, 7, b"p" * 16).encode()), 37)

    def test_faulty_read_only(self) -> None:
        """A last byte that is no boolean is a protocol error."""
        frame = ConnectResponse(10_000, 7, b"p" * 16, None).encode() + b"\x02"
        self.assertRaises(ProtocolError, self.decode, frame)

    def test_ended(self) -> None:
        """The answer that a session has ended is read like any other."""
        self.assertEqual(self.decode(b"\x00" * 16 + encode_int(16) + b"\x00" * 17).timeOut, 0)

    def test_password_is_hidden(self) -> None:
        """The session's password does not get into a log by way of the repr."""
        self.assertNotIn("secret", repr(ConnectResponse(10_000, 7, b"secret")))


class EqualNumbersTests(SynchronousTestCase):
    def test_kept_once(self) -> None:
        """The numbers of a node that was never changed are equal, and each is in memory once."""
        stat = ZnodeStat(10**10, 10**10, 10**12, 10**12, 0, 0, 0, 0, 0, 0, 10**10)
        decoded = GetDataResponse.decode(Cursor(GetDataResponse(b"", stat).encode())).stat
        self.assertEqual(decoded, stat)
        self.assertEqual(len({id(number) for number in decoded if number}), 2)


class PathResponseTests(RecordContract, SynchronousTestCase):
    record = PathResponse
    records = st.builds(PathResponse, texts)

    def test_null(self) -> None:
        """A null path is a protocol error."""
        self.assertRaises(ProtocolError, self.decode, NULL)


class Create2ResponseTests(RecordContract, SynchronousTestCase):
    record = Create2Response
    records = st.builds(Create2Response, texts, stats)


class StatResponseTests(RecordContract, SynchronousTestCase):
    record = StatResponse
    records = st.builds(StatResponse, stats)

    def test_stat_is_a_znode_stat(self) -> None:
        """A decoded stat is a ZnodeStat, whose fields have names."""
        self.assertIs(type(self.decode(encode_stat(STAT)).stat), ZnodeStat)


class GetDataResponseTests(RecordContract, SynchronousTestCase):
    record = GetDataResponse
    records = st.builds(GetDataResponse, buffers, stats)

    def test_null(self) -> None:
        """A node without data has None, which is not the same as empty data."""
        self.assertEqual(self.decode(NULL + encode_stat(STAT)), (None, STAT))

    def test_empty(self) -> None:
        """A node with empty data has no bytes."""
        self.assertEqual(self.decode(encode_int(0) + encode_stat(STAT)), (b"", STAT))

    def test_null_before_much(self) -> None:
        """Null data is recognised in a frame that is long enough for any, and the cursor is left just past the stat."""
        cursor = Cursor(NULL + encode_stat(STAT) + b"\xff" * 100)
        self.assertEqual(GetDataResponse.decode(cursor), (None, STAT))
        self.assertEqual(cursor.offset, 4 + 68)

    def test_negative_length(self) -> None:
        """A length below -1 is a protocol error that names it, in a short frame and in a long one."""
        for length in (-2, -72, INT32_MIN):
            for rest in (b"", encode_stat(STAT), b"\x00" * 200):
                cursor = Cursor(b"head" + encode_int(length) + rest, 4)
                error = self.assertRaises(ProtocolError, GetDataResponse.decode, cursor)
                self.assertIn(str(length), str(error))

    def test_huge_length(self) -> None:
        """A length that the frame does not have is a protocol error."""
        for length in (1, 200, INT32_MAX):
            self.assertRaises(ProtocolError, self.decode, encode_int(length) + encode_stat(STAT))

    def test_data_is_bytes(self) -> None:
        """The data is a bytes object of its own."""
        self.assertIs(type(self.decode(encode_int(2) + b"ab" + encode_stat(STAT)).data), bytes)


class GetChildrenResponseTests(RecordContract, SynchronousTestCase):
    record = GetChildrenResponse
    records = st.builds(GetChildrenResponse, lists_of_texts)


class GetChildren2ResponseTests(RecordContract, SynchronousTestCase):
    record = GetChildren2Response
    records = st.builds(GetChildren2Response, lists_of_texts, stats)

    def test_keeps_the_order(self) -> None:
        """The names stay in the server's order."""
        names = ["b", "a", "c", "a"]
        self.assertEqual(self.decode(GetChildren2Response(names, STAT).encode()).children, names)

    def test_huge_count(self) -> None:
        """A count of names that the frame cannot hold is a protocol error."""
        self.assertRaises(ProtocolError, self.decode, encode_int(INT32_MAX) + encode_stat(STAT))

    def test_null_name(self) -> None:
        """A null name is a protocol error."""
        self.assertRaises(ProtocolError, self.decode, encode_int(1) + NULL + encode_stat(STAT))


class GetACLResponseTests(RecordContract, SynchronousTestCase):
    record = GetACLResponse
    records = st.builds(GetACLResponse, lists_of_acls, stats)


class WatcherEventTests(RecordContract, SynchronousTestCase):
    record = WatcherEvent
    records = st.builds(WatcherEvent, int32s, int32s, texts)

    def test_unknown_numbers(self) -> None:
        """An unknown type or state is decoded: the client decides about it."""
        self.assertEqual(self.decode(WatcherEvent(99, 98, "/a").encode()), (99, 98, "/a"))
