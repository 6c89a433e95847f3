"""The standard streams of a process, closed or broken."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import TextIO

from txmirror.printable import on_one_line


def fill_standard_descriptors() -> None:
    """Open /dev/null for each standard stream that is closed. Otherwise the reactor's own descriptors would get its number, and
    output would be written to them.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest free number.
            os.open(os.devnull, os.O_RDWR)


def escape_output() -> None:
    """From now on, escape the characters that the encoding of the standard streams does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def report(message: str) -> None:
    """Write an error message to stderr, in one line."""
    # Not with click: it would write UTF-8 to a stream that is ASCII.
    stderr: TextIO | None = sys.stderr
    if stderr is not None:
        with suppress(OSError):
            stderr.write(f"txmirror: {on_one_line(message)}\n")
            stderr.flush()


def abandon_output() -> None:
    """Discard output that could not be written. Otherwise Python would retry at its exit, and print an error."""
    # A closed standard output is None, which typeshed does not know.
    stdout: TextIO | None = sys.stdout
    if stdout is not None:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


def reader_is_gone(stream: TextIO) -> bool:
    """Return whether the other end of a pipe is closed, so that a write would fail. Of no other kind of stream this is known."""
    try:
        number = stream.fileno()
    except (io.UnsupportedOperation, ValueError):
        return False
    poll = select.poll()
    poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
