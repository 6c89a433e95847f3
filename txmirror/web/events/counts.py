"""Counts of the streams of events, for metrics."""

from __future__ import annotations


class EventCounts:
    """Counts the work of all streams.

    :ivar streams: the number of streams that were opened.
    :ivar snapshots: the number of snapshots, at the beginning of a stream and when its client was too slow or too long away.
    :ivar sent_bytes: the number of bytes that were written.
    """

    def __init__(self) -> None:
        self.streams = 0
        self.snapshots = 0
        self.sent_bytes = 0
