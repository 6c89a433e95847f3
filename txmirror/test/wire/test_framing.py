"""A stream of bytes, cut into frames."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import ProtocolError
from txmirror.wire import HARD_FRAME_LIMIT, FrameDecoder, OversizedFrame, encode_frame
from txmirror.wire.jute import encode_int

Frames = list[bytes | OversizedFrame]

LIMIT = 20
#: Frames of all kinds: empty, tiny, as long as allowed, one byte longer, and much longer, two of these in a row.
BODIES = (b"first", b"", b"\x00\x00\x00\x00", bytes(range(LIMIT)), bytes(range(LIMIT + 1)), b"\xff" * 50, b"x", b"last")
#: Lengths that no frame has.
FAULTY = (-1, -2, -(2**31), HARD_FRAME_LIMIT + 1, 2**31 - 1)


def stream(bodies: Iterable[bytes]) -> bytes:
    """Return the stream of the frames of ``bodies``."""
    return b"".join(encode_frame(body) for body in bodies)


def expected(bodies: Iterable[bytes], limit: int = LIMIT) -> Frames:
    """Return the frames that a decoder must return for ``bodies``."""
    return [body if len(body) <= limit else OversizedFrame(body[:16], len(body)) for body in bodies]


def feed(decoder: FrameDecoder, pieces: Iterable[bytes]) -> Frames:
    """Return all frames of ``pieces``."""
    return [frame for piece in pieces for frame in decoder.feed(piece)]


def split(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut ``data`` at ``places``."""
    cuts = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(cuts)]


def two_pieces(data: bytes) -> Iterator[list[bytes]]:
    """Cut ``data`` in two in every way."""
    return (split(data, [place]) for place in range(len(data) + 1))


class EncodeFrameTests(SynchronousTestCase):
    def test_length_first(self) -> None:
        """A frame is its body behind the body's length as an int."""
        self.assertEqual(encode_frame(b"abc"), b"\x00\x00\x00\x03abc")

    def test_empty(self) -> None:
        """An empty frame is a length of 0."""
        self.assertEqual(encode_frame(b""), b"\x00\x00\x00\x00")


class SplitTests(SynchronousTestCase):
    """The frames are those of the stream, however it is cut into pieces."""

    def test_in_one_piece(self) -> None:
        """Many frames in one piece come in their order."""
        self.assertEqual(FrameDecoder(LIMIT).feed(stream(BODIES)), expected(BODIES))

    def test_in_two_pieces(self) -> None:
        """A stream that is cut in two, at any byte, contains the same frames."""
        for pieces in two_pieces(stream(BODIES)):
            decoder = FrameDecoder(LIMIT)
            self.assertEqual(feed(decoder, pieces), expected(BODIES))
            self.assertEqual(decoder.buffered, 0)
            self.assertIsNone(decoder.error)

    def test_in_three_pieces(self) -> None:
        """A stream that is cut in three, at any bytes, contains the same frames."""
        data = stream(BODIES)
        for first in range(len(data) + 1):
            for second in range(first, len(data) + 1):
                self.assertEqual(feed(FrameDecoder(LIMIT), split(data, [first, second])), expected(BODIES))

    def test_byte_by_byte(self) -> None:
        """A stream that arrives byte by byte contains the same frames."""
        decoder = FrameDecoder(LIMIT)
        self.assertEqual(feed(decoder, (bytes([byte]) for byte in stream(BODIES))), expected(BODIES))
        self.assertEqual(decoder.buffered, 0)

    @given(
        st.lists(st.binary(max_size=70), max_size=8), st.integers(16, 60), st.lists(st.integers(0, 400), max_size=20)
    )
    def test_any_stream_in_any_pieces(self, bodies: list[bytes], limit: int, places: list[int]) -> None:
        """Any frames, cut anywhere, under any limit, are the same frames again."""
        decoder = FrameDecoder(limit)
        self.assertEqual(feed(decoder, split(stream(bodies), places)), expected(bodies, limit))
        self.assertEqual(decoder.buffered, 0)

    @given(st.lists(st.binary(max_size=40), max_size=20), st.integers(16, 60))
    def test_garbage(self, pieces: list[bytes], limit: int) -> None:
        """Arbitrary bytes never raise, and never make the decoder keep more than one frame of its limit."""
        decoder = FrameDecoder(limit)
        for piece in pieces:
            decoder.feed(piece)
            self.assertLess(decoder.buffered, 4 + limit)

    def test_each_as_soon_as_complete(self) -> None:
        """The decoder returns a frame with its last byte, and does not wait for the next one."""
        decoder = FrameDecoder(LIMIT)
        self.assertEqual(decoder.feed(b"\x00\x00\x00\x02a"), [])
        self.assertEqual(decoder.buffered, 5)
        self.assertEqual(decoder.feed(b"b"), [b"ab"])
        self.assertEqual(decoder.buffered, 0)

    def test_nothing(self) -> None:
        """An empty piece changes nothing."""
        decoder = FrameDecoder(LIMIT)
        self.assertEqual(feed(decoder, [b"", b"\x00\x00", b"", b"\x00\x01", b"", b"a", b""]), [b"a"])

    def test_frames_are_bytes(self) -> None:
        """Frames are bytes objects, however the stream is cut: later data does not change them."""
        for pieces in two_pieces(stream(BODIES)):
            for frame in feed(FrameDecoder(LIMIT), pieces):
                body = frame.head if isinstance(frame, OversizedFrame) else frame
                self.assertIs(type(body), bytes)

    def test_decoders_are_apart(self) -> None:
        """Two decoders share nothing."""
        one, other = FrameDecoder(LIMIT), FrameDecoder(LIMIT)
        one.feed(b"\x00\x00\x00\x02a")
        self.assertEqual(other.feed(b"\x00\x00\x00\x01b"), [b"b"])


class OversizedTests(SynchronousTestCase):
    def test_limit(self) -> None:
        """The decoder returns a frame of just the limit, and not one that is a byte longer."""
        decoder = FrameDecoder(LIMIT)
        self.assertEqual(decoder.feed(encode_frame(b"a" * LIMIT)), [b"a" * LIMIT])
        self.assertEqual(decoder.feed(encode_frame(b"a" * (LIMIT + 1))), [OversizedFrame(b"a" * 16, LIMIT + 1)])

    def test_told_with_its_head(self) -> None:
        """The decoder returns an oversized frame with its sixteenth byte, long before its end, and only once."""
        decoder = FrameDecoder(LIMIT)
        head = bytes(range(16))
        self.assertEqual(decoder.feed(encode_int(1000) + head[:15]), [])
        self.assertEqual(decoder.feed(head[15:]), [OversizedFrame(head, 1000)])
        self.assertEqual(decoder.feed(b"x" * 983), [])
        self.assertEqual(decoder.feed(b"x" + encode_frame(b"next")), [b"next"])

    def test_swallowed_as_it_streams_in(self) -> None:
        """Nothing is kept of an oversized frame, however long it is."""
        decoder = FrameDecoder(LIMIT)
        piece = b"x" * 0x10000
        length = 64 * len(piece)
        frames = decoder.feed(encode_frame(b"before") + encode_int(length) + piece)
        self.assertEqual(frames, [b"before", OversizedFrame(b"x" * 16, length)])
        for _ in range(63):
            self.assertEqual(decoder.feed(piece), [])
            self.assertEqual(decoder.buffered, 0)
        self.assertEqual(decoder.feed(encode_frame(b"after")), [b"after"])

    def test_neighbours_are_intact(self) -> None:
        """The frames around oversized ones are whole, at whichever byte the stream is cut."""
        bodies = (b"before", b"o" * 30, b"between", b"o" * 17, b"o" * 21, b"", b"after")
        for limit in (16, LIMIT):
            for pieces in two_pieces(stream(bodies)):
                self.assertEqual(feed(FrameDecoder(limit), pieces), expected(bodies, limit))

    def test_hard_limit_is_no_fault(self) -> None:
        """A frame of just the hard limit is thrown away like any that is too long."""
        decoder = FrameDecoder(LIMIT)
        frames = decoder.feed(encode_int(HARD_FRAME_LIMIT) + b"x" * 100)
        self.assertEqual(frames, [OversizedFrame(b"x" * 16, HARD_FRAME_LIMIT)])
        self.assertIsNone(decoder.error)


class AnnouncedLengthTests(SynchronousTestCase):
    def test_nothing_is_allocated(self) -> None:
        """The longest frame that is allowed takes no memory before its bytes are there (A1)."""
        for limit in (LIMIT, HARD_FRAME_LIMIT):
            tracemalloc.start()
            try:
                decoder = FrameDecoder(limit)
                self.assertEqual(decoder.feed(encode_int(HARD_FRAME_LIMIT) + b"abc"), [])
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            self.assertEqual(decoder.buffered, 7)
            self.assertLess(peak, 200_000)

    def test_part_of_a_length(self) -> None:
        """The decoder keeps less than a length."""
        decoder = FrameDecoder(LIMIT)
        self.assertEqual(decoder.feed(b"\xff\xff\xff"), [])
        self.assertEqual(decoder.buffered, 3)
        self.assertIsNone(decoder.error)


class FaultTests(SynchronousTestCase):
    def test_no_frame_has_such_a_length(self) -> None:
        """A length below 0 or over the hard limit breaks the stream, and the fault names it."""
        for length in FAULTY:
            decoder = FrameDecoder(LIMIT)
            self.assertEqual(decoder.feed(encode_int(length)), [])
            self.assertIsInstance(decoder.error, ProtocolError)
            self.assertIn(str(length), str(decoder.error))

    def test_hard_limit_holds_under_any_limit(self) -> None:
        """No frame is over the hard limit, even if the decoder's limit is higher."""
        decoder = FrameDecoder(2 * HARD_FRAME_LIMIT)
        decoder.feed(encode_int(HARD_FRAME_LIMIT + 1))
        self.assertIsInstance(decoder.error, ProtocolError)

    def test_earlier_frames_are_given(self) -> None:
        """The decoder returns the frames before the invalid length, at whichever byte the stream is cut."""
        for length in FAULTY:
            for pieces in two_pieces(stream(BODIES) + encode_int(length) + b"rest"):
                decoder = FrameDecoder(LIMIT)
                self.assertEqual(feed(decoder, pieces), expected(BODIES))
                self.assertIsInstance(decoder.error, ProtocolError)

    def test_nothing_follows(self) -> None:
        """After a faulty length the decoder returns no frame, and keeps nothing."""
        decoder = FrameDecoder(LIMIT)
        decoder.feed(encode_int(-1) + encode_frame(b"in the same piece"))
        fault = decoder.error
        self.assertEqual(decoder.feed(encode_frame(b"in a later piece")), [])
        self.assertEqual(decoder.buffered, 0)
        self.assertIs(decoder.error, fault)

    def test_no_fault_at_first(self) -> None:
        """A stream that is in order has no fault."""
        decoder = FrameDecoder(LIMIT)
        decoder.feed(stream(BODIES))
        self.assertIsNone(decoder.error)

    def test_http_server(self) -> None:
        """The answer of an HTTP server is a fault, not a wait for a frame of a gigabyte."""
        decoder = FrameDecoder(4 * 1024 * 1024)
        self.assertEqual(decoder.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n"), [])
        self.assertIsInstance(decoder.error, ProtocolError)
