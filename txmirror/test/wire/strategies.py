"""The strategies of the wire's property tests, and the contract of every record."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from txmirror.errors import ProtocolError
from txmirror.test.hypothesis_profiles import at_most
from txmirror.types import ACL, ZnodeStat
from txmirror.wire import Cursor
from txmirror.wire.jute import INT

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _TestCase
else:
    _TestCase = object

T = TypeVar("T")

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

int32s = st.integers(INT32_MIN, INT32_MAX)
int64s = st.integers(INT64_MIN, INT64_MAX)
#: Whatever UTF-8 can say: all but surrogates. Asked for "what UTF-8 can say", as ``st.text()`` asks, hypothesis would try
#: every character, for seconds.
characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters, max_size=8)
lists_of_texts = st.lists(texts, max_size=4)
tuples_of_texts = lists_of_texts.map(tuple)
buffers = st.none() | st.binary(max_size=24)
acls = st.builds(ACL, int32s, texts, texts)
lists_of_acls = st.lists(acls, max_size=3)
tuples_of_acls = lists_of_acls.map(tuple)
stats: SearchStrategy[ZnodeStat] = st.tuples(
    int64s, int64s, int64s, int64s, int32s, int32s, int32s, int64s, int32s, int32s, int64s
).map(ZnodeStat._make)


#: Numbers that a length may claim, and no length should be believed for.
CLAIMS = (-1, -2, INT32_MIN, INT32_MAX, 2**24)


class Damage(NamedTuple):
    """One thing that may happen to bytes on their way, at a place that is taken from their beginning."""

    kind: str
    place: int
    size: int
    inserted: bytes

    def do(self, data: bytes) -> bytes:
        """Return the damaged ``data``."""
        place = self.place % (len(data) + 1)
        before, after = data[:place], data[place:]
        if self.kind == "flip" and after:
            return before + bytes([after[0] ^ 1 << self.size % 8]) + after[1:]
        if self.kind == "truncate":
            return before
        if self.kind == "remove":
            return before + after[self.size :]
        if self.kind == "insert":
            return before + self.inserted + after
        if self.kind == "repeat":
            return before + after[: self.size] + after
        if self.kind == "claim":
            return before + INT.pack(CLAIMS[self.size % len(CLAIMS)]) + after[4:]
        return data


damages = st.builds(
    Damage,
    st.sampled_from(["flip", "flip", "truncate", "remove", "insert", "repeat", "claim", "claim"]),
    st.integers(0, 4000),
    st.integers(0, 40),
    st.binary(min_size=1, max_size=12),
)


def outcome(read: Callable[[], T]) -> T | ProtocolError:
    """Return the result of ``read``, or the one exception that it may raise. Any other exception fails the test."""
    try:
        return read()
    except ProtocolError as error:
        return error


class RecordContract(_TestCase):
    """The contract of every record, mixed into a test case for one.

    :cvar record: the record's class.
    :cvar records: any such record, complete: with the last field, if it may be missing.
    :cvar optional: how many bytes the field takes that may be missing at the end.
    """

    record: ClassVar[Any]
    records: ClassVar[SearchStrategy[Any]]
    optional: ClassVar[int] = 0

    def decode(self, frame: bytes) -> Any:
        """Read a record that must take all of ``frame``."""
        cursor = Cursor(frame)
        value = self.record.decode(cursor)
        cursor.finish()
        return value

    def test_round_trip(self) -> None:
        """A record is read back as it was written, with nothing left over."""

        @at_most(60)
        @given(self.records)
        def check(value: Any) -> None:
            encoded = value.encode()
            self.assertIs(type(encoded), bytes)
            decoded = self.decode(encoded)
            self.assertIs(type(decoded), self.record)
            self.assertEqual(decoded, value)

        check()

    def test_inside_a_frame(self) -> None:
        """A record is read from where the cursor stands, and the cursor is left just past it."""

        @at_most(15)
        @given(self.records, st.binary(max_size=20), st.binary(max_size=80))
        def check(value: Any, before: bytes, after: bytes) -> None:
            encoded = value.encode()
            cursor = Cursor(before + encoded + after, len(before))
            self.assertEqual(self.record.decode(cursor), value)
            self.assertEqual(cursor.offset, len(before) + len(encoded))

        check()

    def test_over_long(self) -> None:
        """Bytes that are left after a record are found."""

        @at_most(20)
        @given(self.records, st.binary(min_size=1, max_size=80))
        def check(value: Any, after: bytes) -> None:
            cursor = Cursor(value.encode() + after)
            self.record.decode(cursor)
            self.assertRaises(ProtocolError, cursor.finish)

        check()

    def test_truncated(self) -> None:
        """A record that is cut short anywhere is a protocol error, and nothing else."""

        @at_most(20)
        @given(self.records)
        def check(value: Any) -> None:
            encoded = value.encode()
            for length in range(len(encoded) - self.optional):
                self.assertRaises(ProtocolError, self.record.decode, Cursor(encoded[:length]))

        check()

    def test_garbage(self) -> None:
        """Arbitrary bytes are a record or a protocol error, and are never read past their end."""

        @at_most(30)
        @given(st.binary(max_size=100))
        def check(frame: bytes) -> None:
            self.read_any(frame)

        check()

    def test_damaged(self) -> None:
        """A record with some of its bytes changed is a record or a protocol error."""

        @at_most(40)
        @given(self.records, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=3))
        def check(value: Any, changes: list[tuple[int, int]]) -> None:
            frame = bytearray(value.encode())
            for place, byte in changes:
                if frame:
                    frame[place % len(frame)] = byte
            self.read_any(bytes(frame))

        check()

    def test_mutated(self) -> None:
        """A record that was changed on its way, by bits, bytes, lengths or pieces of it, is a record or a protocol error."""

        @at_most(40)
        @given(self.records, st.lists(damages, min_size=1, max_size=3))
        def check(value: Any, changes: list[Damage]) -> None:
            frame: bytes = value.encode()
            for damage in changes:
                frame = damage.do(frame)
            self.read_any(frame)

        check()

    def test_claimed_lengths(self) -> None:
        """No length anywhere in a record is believed without its bytes (A1)."""

        @at_most(3)
        @given(self.records)
        def check(value: Any) -> None:
            frame: bytes = value.encode()
            tracemalloc.start()
            try:
                for place in range(len(frame) - 3):
                    for claim in CLAIMS:
                        self.read_any(frame[:place] + INT.pack(claim) + frame[place + 4 :])
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            self.assertLess(peak, 500_000)

        check()

    def read_any(self, frame: bytes) -> None:
        """Read any ``frame``."""
        cursor = Cursor(frame)
        value = outcome(lambda: self.record.decode(cursor))
        self.assertIsInstance(value, (self.record, ProtocolError))
        self.assertLessEqual(cursor.offset, len(frame))
