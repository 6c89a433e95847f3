"""The command ``watch``: print a line for each change, or run a program, until interrupted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.cli.child import Child
from txmirror.cli.formats import excerpt, json_line
from txmirror.cli.nodes import details
from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import advice_on
from txmirror.mirror import Change, ChangeKind
from txmirror.printable import on_one_line
from txmirror.timers import Timer

#: The kinds of changes at which a program is run.
_EXECUTED = (ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED)
#: The time between two looks at the output, in seconds.
_LOOK = 1.0
#: The program's environment variables.
_KIND, _PATH, _VERSION, _CHANGES = "TXMIRROR_KIND", "TXMIRROR_PATH", "TXMIRROR_VERSION", "TXMIRROR_CHANGES"


def watch(run: Run, path: str, *, data: bool, recursive: bool, as_json: bool) -> Deferred[Outcome]:
    """Show each change of a node, which need not exist, from now on.

    Nodes that exist at the beginning are not shown. The line ``settled`` means that all nodes have been read, at the beginning
    and after each reconnection; ``stale`` means that the connection is lost.

    :param data: whether to show the new data too.
    :param recursive: whether to show changes of all nodes below it.
    :param as_json: whether to write each line as a JSON object.
    :returns: fires only when it is cancelled. Fails if no session could be opened in time.
    """
    return Deferred.fromCoroutine(_watch(run, path, data, recursive, as_json))


def run_at_changes(
    run: Run,
    path: str,
    make_child: Callable[[], Child],
    *,
    data: bool,
    recursive: bool,
    settle: float | None,
    initial: bool,
) -> Deferred[Outcome]:
    """Run a program at each change of a node, one run at a time. Changes of one node during a run are joined into the last of them.

    :param make_child: returns a new run of the program.
    :param data: whether the lines for ``settle`` have the new data.
    :param recursive: whether to run it at changes of all nodes below it, too.
    :param settle: run it once for all changes, when there was none for so many seconds; None runs it for each of them.
    :param initial: whether to run it when all nodes have been read for the first time, too.
    :returns: fires when it is cancelled, or when the reader of the output is gone: then the program that runs is ended. Fails if no
        session could be opened in time, or the program cannot be started.
    """
    return Deferred.fromCoroutine(_run_at_changes(run, path, make_child, data, recursive, settle, initial))


async def _run_at_changes(
    run: Run,
    path: str,
    make_child: Callable[[], Child],
    data: bool,
    recursive: bool,
    settle: float | None,
    initial: bool,
) -> Outcome:
    await run.client.when_connected()
    run.outlive_outages()
    await run.check_chroot()
    pending = PendingChanges(run.reactor, settle)
    begun = False
    running: Child | None = None

    def changed(change: Change) -> None:
        nonlocal begun
        if change.kind is ChangeKind.SETTLED:
            if initial and not begun:
                pending.add(change)
            begun = True
        elif begun and change.kind in _EXECUTED:
            pending.add(change)

    def reader_gone() -> None:
        if running is not None:
            running.end(run.client.session_timeout / 3)
        else:
            waiting.cancel()

    looking = _ReaderCheck(run, reader_gone)
    tree = run.mirror.tree(path, depth=None if recursive else 0)
    tree.watch(changed)
    try:
        with suppress(CancelledError):
            while True:
                waiting = pending.next()
                changes = await waiting
                child = running = make_child()
                if settle is None:
                    child.start(_variables(changes[0]), stdin=_new_data(changes[0]))
                else:
                    lines = "".join(f"{json_line(_as_value(each, data))}\n" for each in changes)
                    child.start({_CHANGES: str(len(changes))}, stdin=lines.encode())
                run.forward_signals(child.interrupt)
                status = await child.ended
                running = None
                run.forward_signals(None)
                if child.asked_to_end is not None or run.console.reader_is_gone():
                    break
                if status != 0:
                    run.console.say(f"{child.name} has failed, with status {status}")
    finally:
        tree.unwatch(changed)
        pending.stop()
        looking.stop()
    return Outcome()


class _ReaderCheck:
    """Looks every second whether the reader of the output is gone. Without a write, the command learns it in no other way.

    :param gone: called once, when the reader is gone.
    """

    def __init__(self, run: Run, gone: Callable[[], object]) -> None:
        self._run = run
        self._gone = gone
        self._timer = Timer(run.reactor, self._look)
        self._timer.start(_LOOK)

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.stop()

    def _look(self) -> None:
        if self._run.console.reader_is_gone():
            self._gone()
        else:
            self._timer.start(_LOOK)


class PendingChanges:
    """Changes for which a program is to be run: one of each node, the latest.

    :param reactor: runs a timer.
    :param settle: return all changes at once, when there was none for so many seconds, but at the latest ten times as long after the
        first; None returns one at a time, at once.
    """

    def __init__(self, reactor: IReactorTime, settle: float | None) -> None:
        self._reactor = reactor
        self._settle = settle
        self._changes: dict[str, Change] = {}
        self._since = 0.0
        self._settled = Timer(reactor, self._deliver)
        self._waiting: Deferred[list[Change]] | None = None

    def add(self, change: Change) -> None:
        """Add a change."""
        if not self._changes:
            self._since = self._reactor.seconds()
        # It is the last now: its order among the others is that of the latest change.
        self._changes.pop(change.path, None)
        self._changes[change.path] = change
        if self._settle is not None:
            left = self._since + 10 * self._settle - self._reactor.seconds()
            self._settled.start(min(self._settle, left))
        else:
            self._deliver()

    def next(self) -> Deferred[list[Change]]:
        """Wait for the next changes. Cancelling ends the wait."""
        waiting: Deferred[list[Change]] = Deferred(lambda _: setattr(self, "_waiting", None))
        self._waiting = waiting
        if not self._settled.running:
            self._deliver()
        return waiting

    def stop(self) -> None:
        """Stop the timer."""
        self._settled.stop()

    def _deliver(self) -> None:
        if self._waiting is None or not self._changes:
            return
        waiting, self._waiting = self._waiting, None
        if self._settle is None:
            changes = [self._changes.pop(next(iter(self._changes)))]
        else:
            changes, self._changes = list(self._changes.values()), {}
        waiting.callback(changes)


def _variables(change: Change) -> dict[str, str]:
    variables = {_KIND: change.kind.value, _PATH: change.path}
    if change.new is not None:
        variables[_VERSION] = str(change.new[1].version)
    return variables


def _new_data(change: Change) -> bytes:
    return b"" if change.new is None else change.new[0]


async def _watch(run: Run, path: str, data: bool, recursive: bool, as_json: bool) -> Outcome:
    begun = False

    def changed(change: Change) -> None:
        nonlocal begun
        begun = begun or change.kind is ChangeKind.SETTLED
        # Unreadable nodes are named before "settled".
        if begun or change.kind is ChangeKind.HIDDEN:
            run.console.line(json_line(_as_value(change, data)) if as_json else _as_text(change, data))
        advice = advice_on(tree.unreadable.get(change.path)) if change.kind is ChangeKind.HIDDEN else None
        if advice is not None:
            # The reason was logged.
            run.console.say(f"{change.path}: {advice}")

    # Cancelled before there is a session, the command has failed.
    await run.client.when_connected()
    run.outlive_outages()
    await run.check_chroot()
    tree = run.mirror.tree(path, depth=None if recursive else 0)
    tree.watch(changed)
    waiting = Deferred[None]()
    looking = _ReaderCheck(run, waiting.cancel)
    with suppress(CancelledError):
        await waiting
    looking.stop()
    # The end of our own session is not shown.
    tree.unwatch(changed)
    return Outcome()


def _as_text(change: Change, data: bool) -> str:
    line = f"{change.kind.value:<7}  {on_one_line(change.path)}"
    if data and change.new is not None:
        line += f"  {excerpt(change.new[0])}"
    return line


def _as_value(change: Change, data: bool) -> dict[str, Any]:
    value: dict[str, Any] = {"kind": change.kind.value, "path": change.path}
    if data and change.new is not None:
        value |= details(change.new)
    return value
