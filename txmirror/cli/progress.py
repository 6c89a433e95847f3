"""A progress bar on stderr, for work that takes longer than a second, on a terminal only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click
from twisted.internet.interfaces import IReactorTime

from txmirror.cli.console import Console
from txmirror.timers import Timer

#: The time before the bar appears, and between its updates, in seconds.
_BEFORE, _BETWEEN = 1.0, 0.2
#: Clears the line of the bar, and shows the cursor, which click hides.
_CLEAR = "\r\x1b[K\x1b[?25h"


class Progress:
    """A progress bar that follows two numbers, from the moment when the work has taken a second.

    :param console: it writes to its stderr, if that is a terminal and the console is not quiet.
    :param reactor: runs the timer.
    :param label: the text before the bar.
    :param done: returns the number of items that are done.
    :param total: returns the number of all items; None while it is unknown. Then only the number is shown.
    """

    def __init__(
        self,
        console: Console,
        reactor: IReactorTime,
        label: str,
        done: Callable[[], int],
        total: Callable[[], int | None],
    ) -> None:
        self._console = console
        self._label = label
        self._done = done
        self._total = total
        self._bar: Any = None
        self._shown: tuple[int | None, int] = (None, 0)
        self._timer = Timer(reactor, self._update)

    def start(self) -> None:
        """Show the bar in a second."""
        if self._console.shows_progress:
            self._timer.start(_BEFORE)

    def stop(self) -> None:
        """Remove the bar."""
        self._timer.stop()
        self._clear()
        self._console.before_message = lambda: None

    def _update(self) -> None:
        total, done = self._total(), self._done()
        with suppress(OSError):
            if self._bar is None or self._shown[0] != total:
                self._bar, self._shown = self._make_bar(total), (total, 0)
                self._console.before_message = self._clear
            self._bar.update(done - self._shown[1])
            self._bar.render_progress()
        self._shown = (total, done)
        self._timer.start(_BETWEEN)

    def _make_bar(self, total: int | None) -> Any:
        nothing: tuple[None, ...] = ()
        # Without a length, click needs an iterable of unknown length.
        items = (each for each in nothing) if total is None else None
        return click.progressbar(
            items,
            length=total,
            label=self._label,
            file=self._console.err,
            show_pos=True,
            show_percent=total is not None,
        )

    def _clear(self) -> None:
        if self._bar is not None:
            self._bar = None
            with suppress(OSError):
                self._console.err.write(_CLEAR)
                self._console.err.flush()
