"""Where the command writes to: results to one stream, and all else to another, in single lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TextIO

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

from txmirror.cli.statuses import Status
from txmirror.printable import on_one_line

#: How many lines are written at a time.
_AT_A_TIME = 1000


class Console:
    """Two streams, and what is said there. Every line is flushed, so that it goes through pipes at once.

    To write may block for as long as nobody reads; then nothing else goes on either.

    :param out: takes results.
    :param err: takes everything else.
    :param quiet: whether to say nothing there but why the command has failed.
    :ivar broken: why no more results are written, as a status to exit with: nobody reads them, or they cannot be written.
    :ivar broke: called when that is noticed.
    :ivar writing: whether results are being written at this moment, which takes as long as whoever reads them likes.
    """

    def __init__(self, out: TextIO, err: TextIO, *, quiet: bool = False) -> None:
        self._out = out
        self._err = err
        self._quiet = quiet
        self.broken: Status | None = None
        self.broke: Callable[[], object] = lambda: None
        self.writing = False

    def lines(self, lines: Iterable[str]) -> None:
        """Write results, one a line."""
        self.writing = True
        try:
            self._write(iter(lines))
        finally:
            self.writing = False

    def _write(self, rest: Iterator[str]) -> None:
        while self.broken is None and (some := list(islice(rest, _AT_A_TIME))):
            try:
                self._out.write("".join(f"{line}\n" for line in some))
                self._out.flush()
            except BrokenPipeError:
                self.broken = Status.READER_GONE
                self.broke()
            except OSError as error:
                self.broken = Status.IO_ERROR
                self.fail(f"the output cannot be written: {error.strerror}")
                self.broke()

    def line(self, line: str) -> None:
        """Write one."""
        self.lines((line,))

    def can_show(self, text: str) -> bool:
        """Tell whether the results' encoding has all of these characters."""
        try:
            text.encode(getattr(self._out, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    def fail(self, text: str) -> None:
        """Say why the command has failed, or failed in part."""
        try:
            self._err.write(f"txmirror: {on_one_line(text)}\n")
            self._err.flush()
        except OSError:
            # There is nobody left to be told.
            pass

    def say(self, text: str) -> None:
        """Say something else that an operator wants to know."""
        if not self._quiet:
            self.fail(text)


@implementer(ILogObserver)
class Complaints:
    """Says what the package logs as a warning or as worse, each in one line.

    :param console: where.
    :ivar held: while this is a list, warnings are kept there in place of being said.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.held: list[str] | None = []

    def __call__(self, event: LogEvent) -> None:
        """Take an event."""
        level = event.get("log_level", LogLevel.info)
        failure = event.get("log_failure")
        text = formatEvent(event)
        if failure is not None:
            self._console.fail(f"{text} {failure.type.__name__}: {failure.getErrorMessage()}".strip())
        elif level >= LogLevel.warn:
            if self.held is not None:
                self.held.append(text)
            else:
                self._console.say(text)
