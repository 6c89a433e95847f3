"""The command ``import``: make a subtree equal to an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, BinaryIO

import attrs
from twisted.internet.defer import Deferred

from txmirror import paths
from txmirror.access import show_acl
from txmirror.cli.exporting import Messages
from txmirror.cli.formats import data_fields, json_line
from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import CommandError, Status, message_of, status_of_all
from txmirror.cli.subtrees.folder import FolderReader
from txmirror.cli.subtrees.json_lines import Header, InvalidExport, LineReader
from txmirror.cli.subtrees.merging import Nothing, Stored
from txmirror.cli.subtrees.pacing import Pace
from txmirror.cli.subtrees.plan import Existing, Plan
from txmirror.cli.subtrees.records import Item, Record, Source
from txmirror.cli.subtrees.walk import SYSTEM, Walk
from txmirror.cli.subtrees.writes import Write, Writer
from txmirror.creating_paths import create_path
from txmirror.errors import NoNodeException, ZooKeeperException
from txmirror.printable import on_one_line
from txmirror.recipes.retry_policy import RetryPolicy
from txmirror.types import OPEN_ACL


# More than 7 parameters: one for each option.
@attrs.frozen
class ImportOptions:
    """The options of ``import``."""

    existing: Existing = Existing.FAIL
    prune: bool = False
    dry_run: bool = False
    acls: bool = True
    ephemerals: bool = False
    partial: bool = False
    parents: bool = False
    rate: float | None = None
    as_json: bool = False


class Export:
    """An export in a file or folder, checked as a whole before the first node is used.

    :param path: the folder, or the name of the file for messages.
    :param file: the file; None for a folder.
    :param partial: whether the end may be missing.
    :ivar header: its description.
    :ivar count: the number of its nodes.
    :ivar complete: whether it has its end.
    :raises CommandError: it cannot be read, or is invalid.
    """

    def __init__(self, path: str, file: BinaryIO | None, *, partial: bool) -> None:
        self._path = path
        self._file = file
        reader = self._reader()
        for _ in reader.items():
            pass
        self.header: Header = reader.header
        self.count: int = reader.count
        self.complete: bool = reader.complete
        if not self.complete and not partial:
            raise InvalidExport(path, "its end is missing: the export was cut. --partial imports its complete lines")

    def items(self, *, acls: bool) -> Iterator[Item]:
        """Return its nodes.

        :param acls: whether to include access control lists.
        """
        items = self._reader().items()
        return items if acls else (attrs.evolve(item, acl=None) if isinstance(item, Record) else item for item in items)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _reader(self) -> LineReader | FolderReader:
        if self._file is None:
            return FolderReader(self._path)
        self._file.seek(0)
        return LineReader(self._file, self._path)


def import_(run: Run, path: str, export: Export, options: ImportOptions) -> Deferred[Outcome]:
    """Make a subtree equal to an export.

    :returns: fails as writing does, for reasons that are not about a single node. Cancelling ends it; what was written stays.
    """
    return Deferred.fromCoroutine(_Import(run, path, export, options).run())


class _Import:
    def __init__(self, run: Run, path: str, export: Export, options: ImportOptions) -> None:
        self._run = run
        self._path = path
        self._export = export
        self._options = options
        self._messages = Messages()
        self._errors: list[ZooKeeperException] = []
        self._done = 0
        self._policy = RetryPolicy(run.client, run.reactor, through_sessions=True)

    async def run(self) -> Outcome:
        with closing(self._export):
            return await self._run_steps()

    async def _run_steps(self) -> Outcome:
        options = self._options
        await self._check_root()
        if options.dry_run or options.existing is Existing.FAIL:
            lines: list[str] = []
            plan = await self._compare("Comparing", self._show(lines) if options.dry_run else _ignore)
            if options.dry_run:
                self._write_lines(lines)
                self._run.console.say(f"this would be: {plan.counts.describe()}")
            if options.dry_run or self._messages.count:
                return self._outcome("nothing was written" if self._messages.count else None)
        if options.parents:
            await create_path(self._run.client, paths.parent_of(self._path) or "/", send=self._policy.send)
        return await self._write()

    async def _check_root(self) -> None:
        """Check that the nodes above the root exist."""
        if self._path == "/" or self._options.parents:
            return
        parent = paths.split(self._path)[0]
        if await self._policy.send(lambda: self._run.client.exists(parent)) is None:
            await self._run.check_chroot()
            text = f"the parent of {self._path!r} does not exist: --parents creates missing nodes above it"
            raise NoNodeException(text, path=self._path, applied=False)

    async def _write(self) -> Outcome:
        acl = self._run.acl
        writer = Writer(
            self._run.client,
            self._policy,
            acl=OPEN_ACL if acl is None else acl,
            overwrite=self._options.existing is Existing.OVERWRITE,
            failed=self._failed,
        )
        pace = Pace(self._run.reactor, self._options.rate)

        async def write(each: Write) -> None:
            await pace.turn()
            await writer.add(each)

        self._run.note_doubt("run the same import again: it does the rest")
        with closing(writer):
            plan = await self._compare("Importing", write)
            await writer.finish()
        plan.counts.failed = len(self._errors)
        self._run.console.say(f"{self._path}: {plan.counts.describe()}")
        return self._outcome(None)

    async def _compare(self, label: str, use: Callable[[Write], Any]) -> Plan:
        there: Source = Walk(self._run.client, self._path, self._policy, acls=self._reads_acls, ephemerals=True)
        if await self._policy.send(lambda: self._run.client.exists(self._path)) is None:
            there = Nothing()
        self._done = 0
        plan = Plan(
            Stored(self._count(self._export.items(acls=self._reads_acls))),
            there,
            self._path,
            existing=self._options.existing,
            prune=self._options.prune,
            ephemerals=self._options.ephemerals,
            conflict=self._conflict,
        )
        with closing(there), self._run.show_progress(label, lambda: self._done, lambda: self._export.count):
            async for write in plan.writes():
                await use(write)
        return plan

    @property
    def _reads_acls(self) -> bool:
        return self._options.acls and self._export.header.acls

    def _count(self, items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            self._done += 1
            yield item

    def _conflict(self, path: str, reason: str) -> None:
        self._messages.add(f"{path!r:.200}: {reason}")

    def _failed(self, write: Write, error: ZooKeeperException) -> None:
        self._errors.append(error)
        self._messages.add(f"{write.action} {write.path!r:.200}: {message_of(error)}")

    def _show(self, lines: list[str]) -> Callable[[Write], Any]:
        async def show(write: Write) -> None:
            if self._options.as_json:
                value: dict[str, Any] = {"action": write.action, "path": write.path}
                value |= data_fields(write.data) if write.action in ("create", "set") else {}
                value |= {} if write.acl is None else {"acl": show_acl(write.acl)}
                lines.append(json_line(value))
            else:
                lines.append(f"{write.action:<7}  {on_one_line(write.path)}")
            if len(lines) >= 500:
                self._write_lines(lines)

        return show

    def _write_lines(self, lines: list[str]) -> None:
        self._run.write(list(lines))
        lines.clear()

    def _outcome(self, last: str | None) -> Outcome:
        status = status_of_all(self._errors)
        if self._messages.count and status is Status.DONE:
            status = Status.REFUSED
        return Outcome(status=status, errors=(*self._messages.lines(), *((last,) if last else ())))


async def _ignore(write: Write) -> None:
    pass


def check_target(path: str, chroot: bool) -> None:
    """Check that a subtree can be imported.

    :param chroot: whether the root of all paths is not the ensemble's.
    :raises CommandError: it has the servers' own nodes.
    """
    if not chroot and path.split("/")[1] == SYSTEM:
        raise CommandError(f"{path!r}: nodes of the servers themselves cannot be imported", Status.USAGE)
