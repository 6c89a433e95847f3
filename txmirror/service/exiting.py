"""Ends of the program before it runs: the reasons, one line each, and the exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NoReturn

from txmirror.printable import on_one_line

#: The exit statuses for an invalid command line and for an invalid configuration, as in BSD's sysexits.
EX_USAGE, EX_CONFIG = 64, 78


class Refused(SystemExit, Exception):
    """The program does not start; the reasons were printed.

    It is an ``Exception`` because twistd, when it goes to the background, reports only those to its parent process, which would
    wait for ever otherwise; and it removes its pid file. As a ``SystemExit`` it ends the program without a traceback.

    :param status: the exit status.
    :param lines: the reasons.
    """

    def __init__(self, status: int, lines: Iterable[str]) -> None:
        super().__init__(status)
        self._lines = tuple(lines)

    def __str__(self) -> str:
        return "; ".join(self._lines)


def exit_with(status: int, lines: Iterable[str]) -> NoReturn:
    """Print errors, one line each, and end the program.

    Some versions of twistd would exit with 0 after a ``UsageError``.

    :raises Refused: always.
    """
    lines = [on_one_line(line) for line in lines]
    sys.stderr.write("".join(f"txmirror: {line}\n" for line in lines))
    raise Refused(status, lines) from None
