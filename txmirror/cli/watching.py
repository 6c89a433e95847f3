"""``watch``: what changes, a line for each change, for as long as anybody looks."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txmirror.cli.formats import excerpt, json_line
from txmirror.cli.nodes import details
from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import advice_on
from txmirror.mirror import Change, ChangeKind
from txmirror.printable import on_one_line


def watch(run: Run, path: str, *, data: bool, recursive: bool, as_json: bool) -> Deferred[Outcome]:
    """Show each change of a node, which need not exist, from now on.

    What is there at the beginning is no change. When all of it is known there is a line, ``settled``; so there is after each
    reconnection, and ``stale`` when the connection goes.

    :param data: whether to show the new data too.
    :param recursive: whether to show changes of all that is below it.
    :param as_json: whether to give each line as a JSON object.
    :returns: fires only when it is cancelled, which is how it ends. Fails if no session could be opened in time.
    """
    return Deferred.fromCoroutine(_watch(run, path, data, recursive, as_json))


async def _watch(run: Run, path: str, data: bool, recursive: bool, as_json: bool) -> Outcome:
    begun = False

    def changed(change: Change) -> None:
        nonlocal begun
        begun = begun or change.kind is ChangeKind.SETTLED
        # What cannot be read is said before the line that speaks of all that can be.
        if begun or change.kind is ChangeKind.HIDDEN:
            run.console.line(json_line(_as_value(change, data)) if as_json else _as_text(change, data))
        advice = advice_on(tree.unreadable.get(change.path)) if change.kind is ChangeKind.HIDDEN else None
        if advice is not None:
            # Why it cannot be read was logged.
            run.console.say(f"{change.path}: {advice}")

    # Cancelled while there is no session yet, it has failed.
    await run.client.when_connected()
    run.outlive_outages()
    await run.check_chroot()
    tree = run.mirror.tree(path, depth=None if recursive else 0)
    tree.watch(changed)
    with suppress(CancelledError):
        await Deferred[None]()
    # That our own session ends is no news.
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
