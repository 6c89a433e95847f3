"""The command ``locks``: the holders of locks and semaphores, and their waiters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime, timezone
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from txmirror import paths
from txmirror.cli.formats import data_fields, excerpt, record_lines
from txmirror.cli.run import Outcome, Run
from txmirror.cli.servers.asking import make_asker
from txmirror.cli.servers.clients import clients_of
from txmirror.cli.settings import Settings
from txmirror.cli.subtrees.records import Record, path_of
from txmirror.cli.subtrees.walk import Walk
from txmirror.cli.together import together
from txmirror.client import parse_servers
from txmirror.errors import NoNodeException
from txmirror.printable import on_one_line, session_name
from txmirror.recipes.lock_order import LockOrder, leases_in
from txmirror.recipes.lock_style import STYLES, LockStyle
from txmirror.recipes.retry_policy import RetryPolicy

#: The end of the path of a semaphore's queue, as kazoo names it.
_QUEUE: Final = "-__lock__"
_HEADS = ("STATE", "SINCE", "SESSION", "STYLE", "NODE", "WHO")


@attrs.frozen
class Contender:
    """One contender for a lock."""

    path: str
    style: str
    state: str
    """``holder``, ``reader`` for a holder that shares, or ``waiter``."""
    data: bytes
    since: float
    """The time when its node was created, in seconds since the epoch, by the server's clock."""
    session: int

    def value(self, clients: Mapping[int, str] | None) -> dict[str, Any]:
        """Return it for JSON.

        :param clients: the addresses of connected sessions; None if they are unknown.
        """
        value: dict[str, Any] = {
            "path": self.path,
            "state": self.state,
            "style": self.style,
            "since": self.since,
            # A node that is not ephemeral stays until somebody deletes it.
            "session": session_name(self.session) if self.session else None,
            **data_fields(self.data),
        }
        if clients is not None:
            value["client"] = clients.get(self.session)
        return value


def locks(run: Run, settings: Settings, path: str, output: str, *, recursive: bool, clients: bool) -> Deferred[Outcome]:
    """Show the contenders at a path, in their order.

    :param recursive: whether to look at all nodes below it, too.
    :param clients: whether to ask the servers for the addresses of the contenders.
    :returns: fails as reading the node does.
    """
    return Deferred.fromCoroutine(_locks(run, settings, path, output, recursive, clients))


async def _locks(run: Run, settings: Settings, path: str, output: str, recursive: bool, clients: bool) -> Outcome:
    found = await (_below(run, path) if recursive else _at(run, path))
    if not found:
        run.console.say(f"no holders and no waiters at {path!r:.200}")
        return Outcome()
    connected: dict[int, str] | None = None
    errors: list[str] = []
    if clients:
        connected, errors = await clients_of(make_asker(run.reactor, settings), parse_servers(settings.servers).servers)
    known = connected if not errors else None
    heads = (*_HEADS[:3], "CLIENT", *_HEADS[3:]) if clients else _HEADS
    records = [each.value(connected) for each in found]

    def row(value: Mapping[str, Any]) -> Sequence[str]:
        contender = found[next(rows)]
        since = f"{datetime.fromtimestamp(contender.since, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
        session = session_name(contender.session) if contender.session else "none: not ephemeral"
        client = (connected or {}).get(contender.session) or ("not connected" if known is not None else "unknown")
        who = excerpt(contender.data)
        parts = (value["state"], since, session, value["style"], on_one_line(contender.path), who)
        return (*parts[:3], client, *parts[3:]) if clients else parts

    rows = iter(range(len(found)))
    return Outcome(list(record_lines(records, output, heads, row, width=run.console.width)), errors=errors)


async def _at(run: Run, path: str) -> list[Contender]:
    names = await run.client.get_children(path)
    found = await _contenders(run, path, names)
    queue = path + _QUEUE
    if path != "/" and (found or leases_in(names) or not names):
        with suppress(NoNodeException):
            found += await _contenders(run, queue, await run.client.get_children(queue), queues=True)
    return found


async def _below(run: Run, path: str) -> list[Contender]:
    found: list[Contender] = []
    walk = Walk(run.client, path, RetryPolicy(run.client, run.reactor, through_sessions=True))
    seen = 0
    with closing(walk), run.show_progress("Looking for locks", lambda: seen):
        while (item := await walk.next()) is not None:
            seen += 1
            if isinstance(item, Record) and item.children:
                place = path_of(path, item.place)
                found += await _contenders(run, place, item.children, queues=place.endswith(_QUEUE))
    return found


async def _contenders(run: Run, path: str, names: Sequence[str], *, queues: bool = False) -> list[Contender]:
    """Return the contenders among the children of a node.

    :param queues: whether the node is the queue of a semaphore, whose first contender does not hold it.
    """
    # The requests of many contenders wait in the client, and are not refused.
    kinds = list(_kinds(names, queues))
    answers = await together(_read(run, paths.join(path, name), style, state) for name, style, state in kinds)
    return [each for each in answers if each is not None]


def _kinds(names: Sequence[str], queues: bool) -> Iterator[tuple[str, str, str]]:
    """Return name, style and state of each contender, in their order."""
    for lease in leases_in(names):
        yield lease, "semaphore", "holder"
    seen: set[tuple[str, str | None]] = set()
    for style in STYLES.values():
        if (style.exclusive, style.shared) in seen:
            # Two implementations have the same names.
            continue
        seen.add((style.exclusive, style.shared))
        order = LockOrder(style)
        in_order = order.in_order(names)
        holders = () if queues else order.holders(names)
        for name in in_order:
            shares = style.shared is not None and style.shared in name
            state = ("reader" if shares else "holder") if name in holders else "waiter"
            yield name, _name(style) if not queues else "semaphore", state


def _name(style: LockStyle) -> str:
    same = [each.name for each in STYLES.values() if (each.exclusive, each.shared) == (style.exclusive, style.shared)]
    return " or ".join(same)


async def _read(run: Run, path: str, style: str, state: str) -> Contender | None:
    try:
        data, stat = await run.client.waiting().get(path)
    except NoNodeException:
        # It has just released the lock, or given up.
        return None
    return Contender(path, style, state, data, stat.ctime / 1000, stat.ephemeralOwner)
