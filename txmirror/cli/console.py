"""The output of the command: results to one stream, messages to another, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import BinaryIO, TextIO

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

from txmirror.cli.statuses import Status
from txmirror.cli.streams import reader_is_gone
from txmirror.printable import on_one_line

#: The number of lines in one write.
_AT_A_TIME = 1000


class Console:
    """Writes lines to two streams. Every line is flushed, so that a pipe's reader gets it at once.

    A write blocks the process until the reader of a full pipe reads on.

    :param out: the stream for results.
    :param err: the stream for messages.
    :param quiet: whether to write error messages only.
    :param width: the width of the terminal of ``out``; None if it is no terminal.
    :param ascii_only: whether to draw with ASCII characters only.
    :ivar err: the stream for messages.
    :ivar broken: the exit status if results can no longer be written: the reader is gone, or the write fails.
    :ivar before_message: called before each message: it removes a progress bar from the line.
    :ivar broke: called when :attr:`broken` is set.
    :ivar writing: whether a write of results is in progress; it may block.
    """

    def __init__(
        self, out: TextIO, err: TextIO, *, quiet: bool = False, width: int | None = None, ascii_only: bool = False
    ) -> None:
        self.err = err
        self.width = width
        self.before_message: Callable[[], object] = lambda: None
        self._out = out
        self._ascii_only = ascii_only
        self._quiet = quiet
        self.broken: Status | None = None
        self.broke: Callable[[], object] = lambda: None
        self.writing: bool = False

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

    def reader_is_gone(self) -> bool:
        """Return whether the reader of the results is gone, also if it is another program that writes there. Then :attr:`broken` is set,
        and :attr:`broke` is not called.
        """
        if self.broken is None and reader_is_gone(self._out):
            self.broken = Status.READER_GONE
        return self.broken is not None

    def line(self, line: str) -> None:
        """Write one result."""
        self.lines((line,))

    def data(self, data: bytes) -> bool:
        """Write bytes as they are, and return whether that has succeeded. It does not call :attr:`broke`."""
        out: BinaryIO | None = getattr(self._out, "buffer", None)
        if out is None:
            self.broken = Status.IO_ERROR
            self.fail("the output cannot be written: it is closed")
            return False
        self.writing = True
        try:
            out.write(data)
            out.flush()
        except BrokenPipeError:
            self.broken = Status.READER_GONE
        except OSError as error:
            self.broken = Status.IO_ERROR
            self.fail(f"the output cannot be written: {error.strerror}")
        finally:
            self.writing = False
        return self.broken is None

    def can_show(self, text: str) -> bool:
        """Return whether the encoding of the results, and the locale, have all of these characters."""
        if self._ascii_only and not text.isascii():
            return False
        try:
            text.encode(getattr(self._out, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    @property
    def shows_progress(self) -> bool:
        """True if a progress bar can be shown: stderr is a terminal, and ``quiet`` is not set."""
        return not self._quiet and self.err.isatty()

    def fail(self, text: str) -> None:
        """Write an error message: why the command has failed, or failed in part."""
        try:
            self.before_message()
            self.err.write(f"txmirror: {on_one_line(text)}\n")
            self.err.flush()
        except OSError:
            # The stream's reader is gone.
            pass

    def say(self, text: str) -> None:
        """Write another message for an operator, unless ``quiet``."""
        if not self._quiet:
            self.fail(text)


@implementer(ILogObserver)
class LogForwarder:
    """Writes the package's log events to the console, each in one line.

    :param console: the console.
    :param verbose: whether to write all events; otherwise only warnings, and what is above.
    :ivar held: while this is a list, warnings are added to it and not written. ``verbose`` writes them all the same.
    """

    def __init__(self, console: Console, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self.held: list[LogEvent] | None = []

    def __call__(self, event: LogEvent) -> None:
        """Write one log event."""
        level = event.get("log_level", LogLevel.info)
        failure = event.get("log_failure")
        text = formatEvent(event)
        if failure is not None:
            self._console.fail(f"{text} {failure.type.__name__}: {failure.getErrorMessage()}".strip())
            return
        if level >= LogLevel.warn and self.held is not None:
            self.held.append(event)
            shown = self._verbose
        elif level >= LogLevel.warn:
            shown = True
        else:
            # Twisted has information of its own, about factories and ports.
            shown = self._verbose and str(event.get("log_namespace", "")).startswith("txmirror.")
        if shown:
            self._console.say(text)


def reason_of(warning: LogEvent, connect_string: str) -> str:
    """Return the text of a warning; of a client's failure to connect only the reason, and the server if there are several.

    The whole warning would say that the client retries.
    """
    if "server" not in warning or "reason" not in warning:
        return formatEvent(warning)
    server = "" if warning["server"] == connect_string else f"{warning['server']}: "
    return f"{server}{warning['reason']}."
