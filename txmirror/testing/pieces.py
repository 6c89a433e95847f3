"""Data in transit through a relay: received data is split into frames, and forwarded data is written in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer
from txmirror.wire import HARD_FRAME_LIMIT, FrameDecoder, encode_frame


class FrameSplitter:
    """Splits received data into frames. From the first data on that is no frame, it leaves data as it comes."""

    def __init__(self) -> None:
        self._decoder: FrameDecoder | None = FrameDecoder(HARD_FRAME_LIMIT)
        self._tail = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Return the data that is complete now, in order, each with whether it is a frame."""
        if self._decoder is None:
            yield data, False
            return
        self._tail += data
        for frame in self._decoder.feed(data):
            assert isinstance(frame, bytes)  # no frame is over the highest limit
            whole = encode_frame(frame)
            del self._tail[: len(whole)]
            yield whole, True
        if self._decoder.error is not None:
            self._decoder = None
            yield from self.finish()

    def finish(self) -> Iterator[tuple[bytes, bool]]:
        """Return the data that is left: the beginning of a frame."""
        if self._tail:
            yield bytes(self._tail), False
            self._tail.clear()


class PieceWriter:
    """Writes data in pieces, each with time to arrive before the next.

    :param reactor: runs the turns between pieces.
    :param size: returns the most bytes of a piece; None does not split.
    :param write: writes one piece.
    :param idle: called when all is written.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        size: Callable[[], int | None],
        write: Callable[[bytes], object],
        idle: Callable[[], object],
    ) -> None:
        self._size = size
        self._write_piece = write
        self._idle = idle
        self._waiting = bytearray()
        self._timer = Timer(reactor, self._write_next)
        self._resting = False

    @property
    def busy(self) -> bool:
        """True while data waits to be written, or the last piece has its time to arrive."""
        return self._timer.running

    def write(self, data: bytes) -> None:
        """Write data after all earlier data."""
        if self._size() is None and not self.busy:
            self._write_piece(data)
        else:
            self._waiting += data
            if not self.busy:
                self._timer.start(0)

    def stop(self) -> None:
        """Drop the data that waits."""
        self._waiting.clear()
        self._timer.stop()

    def _write_next(self) -> None:
        # The reactor sends data that a timer has written later in the same turn. If the same reactor serves the reader, that
        # one reads it in the next turn. So every second turn writes nothing.
        self._resting = not self._resting
        if self._resting and self._waiting:
            size = self._size() or len(self._waiting)
            self._write_piece(bytes(self._waiting[:size]))
            del self._waiting[:size]
        if self._resting or self._waiting:
            self._timer.start(0)
        else:
            self._idle()
