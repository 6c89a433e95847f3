"""The command ``export``: write a subtree to the standard output, a file or a folder."""

from __future__ import annotations

from contextlib import closing
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred

from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import Status, status_of_all
from txmirror.cli.subtrees.folder import FolderWriter
from txmirror.cli.subtrees.json_lines import Header, LineFile, first_line, last_line
from txmirror.cli.subtrees.pacing import Pace
from txmirror.cli.subtrees.records import Item, Unreadable, path_of, write_line
from txmirror.cli.subtrees.walk import Walk, subtree_size
from txmirror.recipes.retry_policy import RetryPolicy

#: The most messages about single nodes.
MOST_MESSAGES = 20
#: The number of lines in one write to the standard output.
_AT_A_TIME = 500


@attrs.frozen
class ExportOptions:
    """The options of ``export``."""

    file: str | None = None
    """The file or folder to write to; None for the standard output."""
    folder: bool = False
    resume: bool = False
    acls: bool = False
    ephemerals: bool = False
    rate: float | None = None


class _Target(Protocol):
    """The place that an export is written to."""

    after: Item | None
    count: int
    complete: bool

    def add(self, item: Item) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


class _Output:
    """The standard output, as a place to export to."""

    def __init__(self, run: Run, header: Header) -> None:
        self.after: Item | None = None
        self.count = 0
        self.complete = False
        self._run = run
        self._lines = [first_line(header)]

    def add(self, item: Item) -> None:
        self._lines.append(write_line(item))
        self.count += 1
        if len(self._lines) >= _AT_A_TIME:
            self._write()

    def finish(self) -> None:
        self._lines.append(last_line(self.count))
        self._write()

    def close(self) -> None:
        pass

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        self._run.write(lines)


class Messages:
    """Messages about single nodes, of which only the first ones are shown."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self.count: int = 0

    def add(self, text: str) -> None:
        """Add a message."""
        self.count += 1
        if len(self._shown) < MOST_MESSAGES:
            self._shown.append(text)

    def lines(self) -> tuple[str, ...]:
        """Return the messages."""
        more = self.count - len(self._shown)
        return (*self._shown, *((f"and {more} more",) if more else ()))


def export(run: Run, path: str, options: ExportOptions) -> Deferred[Outcome]:
    """Write a subtree.

    :returns: fails as reading the node does, or with :exc:`~txmirror.cli.statuses.CommandError` if the file cannot be written. For
        each node below it that cannot be read there is an error message. Cancelling ends it; what was written stays.
    """
    return Deferred.fromCoroutine(_export(run, path, options))


async def _export(run: Run, path: str, options: ExportOptions) -> Outcome:
    # Before a file is made, we know that there is something to export.
    await run.client.get(path)
    header = Header(path, options.acls, options.ephemerals)
    with closing(_open(run, header, options)) as target:
        if target.complete:
            run.console.say(f"{options.file} is complete already: {target.count} nodes")
            return Outcome()
        return await _copy(run, path, options, target)


def _open(run: Run, header: Header, options: ExportOptions) -> _Target:
    if options.file is None:
        return _Output(run, header)
    kind = FolderWriter if options.folder else LineFile
    return kind(options.file, header, resume=options.resume)


async def _copy(run: Run, path: str, options: ExportOptions, target: _Target) -> Outcome:
    policy = RetryPolicy(run.client, run.reactor, through_sessions=True)
    pace = Pace(run.reactor, options.rate)
    messages, errors = Messages(), []
    total = await subtree_size(run.client, path) if run.console.shows_progress else None
    walk = Walk(run.client, path, policy, acls=options.acls, ephemerals=options.ephemerals, after=target.after)
    resumed = target.count
    with closing(walk), run.show_progress("Exporting", lambda: target.count, lambda: total):
        while (item := await walk.next()) is not None:
            await pace.turn()
            target.add(item)
            if isinstance(item, Unreadable):
                messages.add(item.reason)
                errors += [item.error] if item.error is not None else []
        target.finish()
    for hidden in walk.reader.hidden_acls:
        messages.add(
            f"the ACL of {hidden!r:.200} has a digest that its servers show only to users with the permission 'a'"
        )
    if options.file is not None:
        again = f", {resumed} of them before" if resumed else ""
        left_out = f"; {walk.reader.left_out} ephemeral nodes left out" if walk.reader.left_out else ""
        run.console.say(f"{options.file}: {target.count} nodes of {path_of(path, ())}{again}{left_out}")
    status = status_of_all(errors)
    if walk.reader.hidden_acls and status is Status.DONE:
        status = Status.NOT_PERMITTED
    return Outcome(status=status, errors=messages.lines())
