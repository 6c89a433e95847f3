"""Split a stream of bytes into frames, each preceded by its length.

Only this module waits for more bytes. It allocates nothing for bytes that a length announces and that have not arrived.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from txmirror.errors import ProtocolError
from txmirror.wire.jute import INT
from txmirror.wire.operations import HARD_FRAME_LIMIT

#: The number of bytes kept of an oversized frame: the size of a reply's header.
_HEAD = 16


class OversizedFrame(NamedTuple):
    """A frame over the limit. The decoder returns it as soon as its head has arrived, and discards the rest."""

    head: bytes
    """The first 16 bytes: a reply's header."""
    length: int


def encode_frame(body: bytes) -> bytes:
    """Return ``body`` preceded by its length."""
    return INT.pack(len(body)) + body


class FrameDecoder:
    """Splits a stream that arrives in pieces of any size into frames.

    :param limit: the longest frame in bytes that is kept, from 16 to :data:`HARD_FRAME_LIMIT`. A longer frame becomes an
        :class:`OversizedFrame`.
    :ivar error: the error that broke the stream, once an invalid length was read. The decoder still returned the frames
        before it; it returns none after it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = min(max(limit, _HEAD), HARD_FRAME_LIMIT)
        self._buffer = bytearray()
        self._discarding = 0
        self.error: ProtocolError | None = None

    @property
    def buffered(self) -> int:
        """The number of bytes that wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes | OversizedFrame]:
        """Decode the next piece of the stream.

        :returns: the frames that this piece completes, without their lengths, in order.
        """
        frames: list[bytes | OversizedFrame] = []
        if self.error is not None:
            return frames
        if self._discarding:
            gone = min(self._discarding, len(data))
            self._discarding -= gone
            data = data[gone:]
        buffer = self._buffer
        source: bytes | bytearray = data
        if buffer:
            buffer += data
            source = buffer
        end = len(source)
        offset = 0
        while end - offset >= 4:
            length: int = INT.unpack_from(source, offset)[0]
            start = offset + 4
            stop = start + length
            if 0 <= length <= self._limit:
                if stop > end:
                    break
                frames.append(bytes(source[start:stop]))
                offset = stop
            elif 0 <= length <= HARD_FRAME_LIMIT:
                if end - start < _HEAD:
                    break
                frames.append(OversizedFrame(bytes(source[start : start + _HEAD]), length))
                self._discarding = max(0, stop - end)
                offset = min(stop, end)
            else:
                self.error = ProtocolError(f"a frame announces a length of {length} bytes")
                offset = end
        if source is buffer:
            del buffer[:offset]
        elif offset < end:
            buffer += source[offset:]
        return frames


class FrameQueue:
    """The frames of a stream, one at a time.

    :param limit: as for :class:`FrameDecoder`.
    :ivar size: the number of bytes of the frames that wait for :meth:`take`; almost none for an oversized frame.
    """

    def __init__(self, limit: int) -> None:
        self._decoder = FrameDecoder(limit)
        self._frames: deque[bytes | OversizedFrame] = deque()
        self.size: int = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def buffered(self) -> int:
        """The number of bytes that wait for the rest of their frame."""
        return self._decoder.buffered

    @property
    def error(self) -> ProtocolError | None:
        """The error that broke the stream, once every frame before it was taken; else None."""
        return None if self._frames else self._decoder.error

    def feed(self, data: bytes) -> None:
        """Add the next piece of the stream."""
        for frame in self._decoder.feed(data):
            self._frames.append(frame)
            self.size += 4 + len(frame)

    def take(self) -> bytes | OversizedFrame | None:
        """Remove and return the next frame, or None if there is no complete one.

        :raises ProtocolError: the stream is broken here.
        """
        if not self._frames:
            if self._decoder.error is not None:
                raise self._decoder.error
            return None
        frame = self._frames.popleft()
        self.size -= 4 + len(frame)
        return frame

    def clear(self) -> None:
        """Drop the frames that wait."""
        self._frames.clear()
        self.size = 0
