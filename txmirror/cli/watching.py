"""The command ``watch``: print a line for each change, until interrupted."""

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

    Nodes that exist at the beginning are not shown. The line ``settled`` means that all nodes have been read, at the beginning
    and after each reconnection; ``stale`` means that the connection is lost.

    :param data: whether to show the new data too.
    :param recursive: whether to show changes of all nodes below it.
    :param as_json: whether to write each line as a JSON object.
    :returns: fires only when it is cancelled. Fails if no session could be opened in time.
    """
    return Deferred.fromCoroutine(_watch(run, path, data, recursive, as_json))


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
    with suppress(CancelledError):
        await Deferred[None]()
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
