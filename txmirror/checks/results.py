"""The result of one probe, and the part of its output that is kept."""

from __future__ import annotations

import enum
from typing import Final

import attrs

from txmirror.printable import on_one_line

#: The most bytes of a probe's output that are kept.
OUTPUT_SIZE: Final = 4096

_HEAD_SIZE: Final = 1024
#: The longest text that says how many bytes are omitted.
_OMISSION_SIZE: Final = 48


class Status(enum.Enum):
    """The verdict of one probe."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    #: The probe found no evidence: the health of the service stays as it is.
    UNKNOWN = "unknown"


def _to_printable(text: str) -> str:
    """Escape characters that could move a cursor, except newlines. The result is at most :data:`OUTPUT_SIZE` bytes in UTF-8."""
    lines = (on_one_line(line.expandtabs()) for line in text.rstrip().splitlines())
    printable = "\n".join(lines).encode("utf-8", "backslashreplace")
    return printable[:OUTPUT_SIZE].decode("utf-8", "ignore")


@attrs.frozen
class Result:
    """The result of one probe.

    :ivar status: the verdict.
    :ivar output: the findings of the probe, for people: printable lines of at most 4 KiB in UTF-8. Other text is escaped and cut.
    :ivar seconds: the duration of the probe in seconds.
    """

    status: Status
    output: str = attrs.field(default="", converter=_to_printable)
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """The first line of the output, for a log."""
        return self.output.partition("\n")[0]


class Output:
    """The beginning and the end of a program's output: at most 4 KiB of any amount.

    :ivar total: the number of bytes that were added.
    """

    __slots__ = ("_head", "_tail", "total")

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self.total: int = 0

    def add(self, data: bytes) -> None:
        """Add the next bytes."""
        self.total += len(data)
        room = _HEAD_SIZE - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: -(OUTPUT_SIZE - _HEAD_SIZE)]

    def text(self) -> str:
        """Return the text that was kept. Bytes that are not UTF-8 are escaped, and a gap in the middle is named."""
        if self.total <= OUTPUT_SIZE:
            return (self._head + self._tail).decode("utf-8", "backslashreplace")
        tail = self._tail[_OMISSION_SIZE:]
        omitted = self.total - len(self._head) - len(tail)
        head, end = (part.decode("utf-8", "backslashreplace") for part in (self._head, tail))
        return f"{head}\n... {omitted} bytes omitted ...\n{end}"
