"""The commands that read nodes once: ``get``, ``ls``, ``tree`` and ``services``."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred

from txmirror import paths
from txmirror.cli.formats import excerpt, table_lines, value_lines
from txmirror.cli.nodes import Nodes, details, owner
from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import status_of_all
from txmirror.errors import NoNodeException
from txmirror.printable import on_one_line


def get(run: Run, path: str, output: str, *, data: bool, recursive: bool) -> Deferred[Outcome]:
    """Show a node, and the nodes below it.

    :param output: one of :data:`~txmirror.cli.nodes.FORMATS`.
    :param data: whether to show data and stats.
    :param recursive: whether to show the nodes below it.
    :returns: fails as reading the node does; for each node below it that cannot be read there is an error message.
    """
    return Deferred.fromCoroutine(_get(run, path, output, data, recursive))


def ls(run: Run, path: str, output: str, *, recursive: bool) -> Deferred[Outcome]:
    """Show the names of a node's children, or, if ``recursive``, the paths of all nodes below it. Otherwise as :func:`get`."""
    return Deferred.fromCoroutine(_ls(run, path, output, recursive))


def tree(run: Run, path: str, depth: int | None, *, data: bool) -> Deferred[Outcome]:
    """Draw a node and the nodes below it, ``depth`` levels deep. Otherwise as :func:`get`."""
    return Deferred.fromCoroutine(_tree(run, path, depth, data))


def services(run: Run, path: str, output: str) -> Deferred[Outcome]:
    """Show the services below a node: every ephemeral node there. Otherwise as :func:`get`."""
    return Deferred.fromCoroutine(_services(run, path, output))


async def _get(run: Run, path: str, output: str, data: bool, recursive: bool) -> Outcome:
    nodes = await _read_all(run, path) if recursive else await _read_one(run, path)
    return _outcome(nodes, nodes.lines(output, data=data, recursive=recursive))


async def _ls(run: Run, path: str, output: str, recursive: bool) -> Outcome:
    if output == "table":
        nodes = await _read_all(run, path, None if recursive else 1)
    elif recursive:
        nodes = await _read_all(run, path)
    else:
        names = sorted(await run.client.get_children(path))
        return Outcome(map(on_one_line, names) if output == "dir" else value_lines(names, output))
    shown = [each for each in nodes.walk() if each != path]
    if output == "table":
        heads = ("VERSION", "BYTES", "CHILDREN", "OWNER", "PATH" if recursive else "NAME")
        return _outcome(nodes, table_lines(heads, [_row(nodes, each, recursive) for each in shown]))
    return _outcome(nodes, map(on_one_line, shown) if output == "dir" else value_lines(shown, output))


async def _tree(run: Run, path: str, depth: int | None, data: bool) -> Outcome:
    nodes = await _read_all(run, path, depth)
    return _outcome(nodes, nodes.drawing(data=data, ascii_only=not run.console.can_show("├└│")))


async def _services(run: Run, path: str, output: str) -> Outcome:
    nodes = await _read_all(run, path)
    found = [each for each in nodes.walk() if nodes.values[each][1].ephemeralOwner]
    if output == "dir":
        return _outcome(nodes, map(on_one_line, found))
    if output == "table":
        rows = [(*map(on_one_line, paths.split(each)), excerpt(nodes.values[each][0])) for each in found]
        return _outcome(nodes, table_lines(("SERVICE", "INSTANCE", "DATA"), rows))
    whole: dict[str, dict[str, object]] = {}
    for each in found:
        service, instance = paths.split(each)
        whole.setdefault(service, {})[instance] = details(nodes.values[each])
    return _outcome(nodes, value_lines(whole, output))


async def _read_one(run: Run, path: str) -> Nodes:
    value = await run.client.get(path)
    return Nodes(path, {path: value}, lambda _: [])


async def _read_all(run: Run, path: str, depth: int | None = None) -> Nodes:
    live = run.mirror.tree(path, depth=depth)
    await live.ready()
    if path not in live:
        raise live.unreadable.get(path) or NoNodeException(path=path)
    return Nodes(path, live, live.children, live.unreadable)


def _outcome(nodes: Nodes, lines: Iterable[str]) -> Outcome:
    return Outcome(lines, status_of_all(nodes.unreadable.values()), tuple(nodes.error_lines()))


def _row(nodes: Nodes, path: str, recursive: bool) -> tuple[str, ...]:
    stat = nodes.values[path][1]
    shown = path if recursive else paths.name_of(path)
    return str(stat.version), str(stat.dataLength), str(stat.numChildren), owner(stat), on_one_line(shown)
