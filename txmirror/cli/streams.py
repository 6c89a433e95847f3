"""The standard streams of a process, closed or broken."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


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


def abandon_output() -> None:
    """Discard output that could not be written. Otherwise Python would retry at its exit, and print an error."""
    # A closed standard output is None, which typeshed does not know.
    stdout: TextIO | None = sys.stdout
    if stdout is not None:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
