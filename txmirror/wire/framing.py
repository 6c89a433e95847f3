"""Frames: a stream of bytes cut into the pieces that stand behind a length each.

Here alone may anything wait for more bytes. Nothing is allocated for bytes that are announced and not there yet.
"""

from __future__ import annotations

from typing import NamedTuple

from txmirror.errors import ProtocolError
from txmirror.wire.jute import INT
from txmirror.wire.operations import HARD_FRAME_LIMIT

#: How much of an oversized frame is kept: the length of a reply's header.
_HEAD = 16


class OversizedFrame(NamedTuple):
    """A frame over the limit, which is thrown away as it comes in. It is told of as soon as its head is there."""

    head: bytes
    """Its first 16 bytes: a reply's header."""
    length: int


def encode_frame(body: bytes) -> bytes:
    """Put a length before ``body``."""
    return INT.pack(len(body)) + body


class FrameDecoder:
    """Takes a stream in pieces of any size, and gives the frames that are complete.

    :param limit: the longest frame in bytes that is kept; a longer one becomes an :class:`OversizedFrame`. It is 16 at the
        least, and :data:`HARD_FRAME_LIMIT` at the most.
    :ivar fault: what broke the stream, once a length was read that no frame has. What came before it was still
        given; nothing after it can be.
    """

    def __init__(self, limit: int) -> None:
        self._limit = min(max(limit, _HEAD), HARD_FRAME_LIMIT)
        self._buffer = bytearray()
        self._discarding = 0
        self.fault: ProtocolError | None = None

    @property
    def buffered(self) -> int:
        """How many bytes are waiting for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes | OversizedFrame]:
        """Take the next piece of the stream.

        :returns: the frames that are complete with it, without their lengths, in order.
        """
        frames: list[bytes | OversizedFrame] = []
        if self.fault is not None:
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
                self.fault = ProtocolError(f"a frame announces a length of {length} bytes")
                offset = end
        if source is buffer:
            del buffer[:offset]
        elif offset < end:
            buffer += source[offset:]
        return frames
