"""The command ``diff``: the differences between two subtrees."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from txmirror.access import show_acl
from txmirror.cli.exporting import Messages
from txmirror.cli.formats import data_fields, json_line
from txmirror.cli.importing import Export
from txmirror.cli.outages import OutageLimit
from txmirror.cli.run import Outcome, Run, make_client
from txmirror.cli.settings import Settings
from txmirror.cli.sizes import show_bytes
from txmirror.cli.statuses import CommandError, Status, message_of, status_of_all
from txmirror.cli.subtrees.merging import Stored, side_by_side
from txmirror.cli.subtrees.records import (
    Item,
    Place,
    Record,
    Source,
    Unreadable,
    attributes_of,
    path_of,
)
from txmirror.cli.subtrees.walk import Walk
from txmirror.client import ZooKeeperClient
from txmirror.errors import ClosingException, NoNodeException
from txmirror.printable import on_one_line
from txmirror.recipes.retry_policy import RetryPolicy

#: The exit status if the subtrees differ, and if one of them does not exist, as diff has them.
DIFFERENT = 1
MISSING = 2
#: The longest text that is shown line by line, in bytes: comparing takes long.
_LONGEST_TEXT = 100_000


@attrs.frozen
class Side:
    """One of the two subtrees."""

    path: str
    """Its root."""
    settings: Settings | None = None
    """The other ensemble; None for that of the command."""
    export: Export | None = None
    """The export to compare with; None for a subtree of ZooKeeper."""
    file: str = ""
    """The name of the export's file."""

    @property
    def title(self) -> str:
        """The name of the subtree for people."""
        if self.export is not None:
            return self.file
        return self.path if self.settings is None else f"{self.settings.servers}:{self.path}"

    def name(self, item: Record) -> str:
        """Return the name of a node for people."""
        if self.export is not None:
            return f"{self.file}:{path_of('/', item.place)}"
        path = path_of(self.path, item.place)
        return path if self.settings is None else f"{self.settings.servers}:{path}"


@attrs.frozen
class DiffOptions:
    """The options of ``diff``."""

    acls: bool = False
    ephemerals: bool = False
    as_json: bool = False


@attrs.frozen
class Difference:
    """One node that differs, or that one side lacks."""

    left: Record | None
    right: Record | None
    parts: tuple[str, ...] = ()
    """The parts of a node of both sides that differ."""

    @property
    def place(self) -> Place:
        """The place of the node."""
        record = self.left or self.right
        assert record is not None
        return record.place

    @property
    def change(self) -> str:
        """The kind of difference, from the left to the right side."""
        if self.right is None:
            return "removed"
        return "added" if self.left is None else "changed"


def diff(run: Run, left: Side, right: Side, options: DiffOptions) -> Deferred[Outcome]:
    """Show the differences between two subtrees. The status is :data:`DIFFERENT` if there are any.

    :returns: fails as reading does; for each node that cannot be read there is an error message.
    """
    return Deferred.fromCoroutine(_diff(run, left, right, options))


async def _diff(run: Run, left: Side, right: Side, options: DiffOptions) -> Outcome:
    if right.settings is None:
        return await _compare(run, left, right, run.client, options)
    client = make_client(right.settings, run.reactor)
    reached = f"{client.connect_string} was out of reach for {right.settings.timeout:g} s"

    def give_up(_: bool) -> None:
        client.close()

    limit = OutageLimit(client, right.settings.timeout, run.reactor, give_up, lambda: None)
    limit.start()
    try:
        await client.connect()
        if right.settings.access.credentials is not None:
            await client.add_auth("digest", right.settings.access.credentials)
        return await _compare(run, left, right, client, options)
    except ClosingException:
        raise CommandError(reached, Status.UNAVAILABLE) from None
    finally:
        limit.stop()
        await client.close()


async def _compare(run: Run, left: Side, right: Side, other: ZooKeeperClient, options: DiffOptions) -> Outcome:
    messages, errors = Messages(), []
    seen, different, hidden = 0, False, False
    one, two = _source(run, left, run.client, options), _source(run, right, other, options)
    try:
        with closing(one), closing(two), run.show_progress("Comparing", lambda: seen):
            async for pair in side_by_side(one, two):
                seen += 1
                unreadable = [item for item in pair if isinstance(item, Unreadable)]
                for item in unreadable:
                    messages.add(item.reason)
                    errors += [] if item.error is None else [item.error]
                if unreadable:
                    continue
                if options.acls and _hides_acl(pair):
                    hidden = True
                    place = path_of("/", next(item.place for item in pair if item is not None))
                    messages.add(
                        f"the ACLs of {place!r:.200} are not compared: one has a digest that servers do not show"
                    )
                difference = _difference(pair, options)
                if difference is not None:
                    different = True
                    run.write(_json(difference) if options.as_json else _text(left, right, difference))
    except NoNodeException as error:
        await run.check_chroot()
        return Outcome(status=MISSING, errors=(message_of(error),))
    status = status_of_all(errors)
    if messages.count and not status:
        status = Status.NOT_PERMITTED if hidden else Status.REFUSED
    return Outcome(status=status or (DIFFERENT if different else 0), errors=messages.lines())


def _source(run: Run, side: Side, client: ZooKeeperClient, options: DiffOptions) -> Source:
    if side.export is not None:
        items = side.export.items(acls=options.acls)
        if not options.ephemerals:
            items = (item for item in items if isinstance(item, Unreadable) or item.ephemeral is None)
        return Stored(items, side.export.close)
    policy = RetryPolicy(client, run.reactor, through_sessions=True)
    return Walk(client, side.path, policy, acls=options.acls, ephemerals=options.ephemerals)


def _difference(pair: tuple[Item | None, Item | None], options: DiffOptions) -> Difference | None:
    left, right = (item if isinstance(item, Record) else None for item in pair)
    if left is None or right is None:
        return Difference(left, right)
    parts = []
    if left.data != right.data:
        parts.append("data")
    if options.acls and None not in (left.acl, right.acl) and sorted(left.acl or ()) != sorted(right.acl or ()):
        parts.append("acl")
    if (left.ephemeral is None) != (right.ephemeral is None):
        parts.append("ephemeral")
    return Difference(left, right, tuple(parts)) if parts else None


def _hides_acl(pair: tuple[Item | None, Item | None]) -> bool:
    """Return whether a node of both sides has an unknown ACL on one of them."""
    return all(isinstance(item, Record) for item in pair) and any(
        isinstance(item, Record) and item.acl is None for item in pair
    )


def _json(difference: Difference) -> Iterator[str]:
    value: dict[str, Any] = {"path": path_of("/", difference.place), "change": difference.change}
    if difference.parts:
        value["parts"] = list(difference.parts)
    for name, record in (("left", difference.left), ("right", difference.right)):
        if record is not None:
            value[name] = data_fields(record.data) | attributes_of(record)
    yield json_line(value)


def _text(left: Side, right: Side, difference: Difference) -> Iterator[str]:
    one, other = difference.left, difference.right
    if one is None or other is None:
        side = right if one is None else left
        yield on_one_line(f"Only in {side.title}: {path_of('/', difference.place)}")
        return
    names = on_one_line(left.name(one)), on_one_line(right.name(other))
    if "ephemeral" in difference.parts:
        yield f"Only {names[one.ephemeral is None]} is ephemeral, and not {names[one.ephemeral is not None]}"
    if "acl" in difference.parts:
        yield f"The ACLs of {names[0]} and {names[1]} differ"
        yield from _unified(show_acl(one.acl or ()), show_acl(other.acl or ()), names)
    if "data" in difference.parts:
        yield from _data(one.data, other.data, names)


def _data(one: bytes, other: bytes, names: tuple[str, str]) -> Iterator[str]:
    try:
        texts = one.decode(), other.decode()
    except UnicodeDecodeError:
        yield f"The binary data of {names[0]} and {names[1]} differ: {show_bytes(len(one))}, {show_bytes(len(other))}"
        return
    if max(len(one), len(other)) > _LONGEST_TEXT:
        yield f"The texts of {names[0]} and {names[1]} differ: {show_bytes(len(one))}, {show_bytes(len(other))}"
        return
    yield from _unified(_lines(texts[0]), _lines(texts[1]), names)


def _lines(text: str) -> list[str]:
    lines = [on_one_line(line) for line in text.split("\n")]
    # As diff does it: a text without a line end at its end has a mark there.
    if lines[-1]:
        return [*lines[:-1], f"{lines[-1]}\n\\ No newline at end of data"]
    return lines[:-1]


def _unified(one: list[str], other: list[str], names: tuple[str, str]) -> Iterator[str]:
    return difflib.unified_diff(one, other, *names, lineterm="")
