"""The commands that read nodes once: ``get``, ``stat``, ``ls``, ``tree``, ``services`` and ``sync``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.cli.content import describe_content, is_text
from txmirror.cli.formats import excerpt, json_line, table_lines, value_lines
from txmirror.cli.nodes import Nodes, nodes_lines, owner, registered
from txmirror.cli.run import Outcome, Run
from txmirror.cli.sizes import show_bytes
from txmirror.cli.statuses import Status, message_of, status_of_all
from txmirror.cli.times import show_time
from txmirror.errors import NoNodeException, ZooKeeperException
from txmirror.printable import on_one_line, stat_fields
from txmirror.types import ZnodeStat

_T = TypeVar("_T")


def get_data(run: Run, wanted: Sequence[str], *, raw: bool) -> Deferred[Outcome]:
    """Print the data of nodes: text as it is, with a line end after each that has none.

    For each node that cannot be read, and each whose data are not text, there is an error message.

    :param wanted: the paths.
    :param raw: whether to print all data as they are, one after another.
    """
    return Deferred.fromCoroutine(_get_data(run, wanted, raw))


def get(run: Run, wanted: Sequence[str], output: str, *, data: bool, recursive: bool) -> Deferred[Outcome]:
    """Show nodes, and the nodes below them. For each node that cannot be read there is an error message.

    :param wanted: the paths.
    :param output: one of :data:`~txmirror.cli.nodes.FORMATS`.
    :param data: whether to show data and stats.
    :param recursive: whether to show the nodes below them.
    """
    return Deferred.fromCoroutine(_get(run, wanted, output, data, recursive))


def stat(run: Run, wanted: Sequence[str], output: str) -> Deferred[Outcome]:
    """Show the stats of nodes. For each node that does not exist there is an error message.

    :param output: ``text``, or as for :func:`get`.
    """
    return Deferred.fromCoroutine(_stat(run, wanted, output))


def ls(run: Run, path: str, output: str, *, recursive: bool) -> Deferred[Outcome]:
    """Show the names of a node's children, or, if ``recursive``, the paths of all nodes below it. Otherwise as :func:`get`."""
    return Deferred.fromCoroutine(_ls(run, path, output, recursive))


def tree(run: Run, path: str, output: str, depth: int | None, *, data: bool) -> Deferred[Outcome]:
    """Draw a node and the nodes below it, ``depth`` levels deep, or show them in another format. Otherwise as :func:`get`."""
    return Deferred.fromCoroutine(_tree(run, path, output, depth, data))


def services(run: Run, path: str, output: str) -> Deferred[Outcome]:
    """Show the services below a node: every ephemeral node there. Otherwise as :func:`get`."""
    return Deferred.fromCoroutine(_services(run, path, output))


def sync(run: Run, path: str) -> Deferred[Outcome]:
    """Wait until the server has all writes that were done before. Fails as the request does."""
    return run.client.sync(path).addCallback(lambda _: Outcome())


async def _get_data(run: Run, wanted: Sequence[str], raw: bool) -> Outcome:
    found, errors = await _ask_each(run, wanted, run.client.get)
    messages = list(dict.fromkeys(map(message_of, errors)))
    status = status_of_all(errors)
    parts: list[bytes] = []
    for path, (data, _) in found:
        if raw:
            parts.append(data)
        elif is_text(data):
            parts.append(data if data.endswith(b"\n") or not data else data + b"\n")
        else:
            messages.append(f"{path!r} is not text: {describe_content(data)}; --raw writes its bytes")
            status = status or Status.UNFIT_DATA
    return Outcome(data=b"".join(parts), errors=messages, status=status)


async def _get(run: Run, wanted: Sequence[str], output: str, data: bool, recursive: bool) -> Outcome:
    if recursive:
        found = [await _read_all(run, path) for path in wanted]
        lines = nodes_lines(found, output, data=data, recursive=True, width=run.console.width)
        return _outcome(found, lines)
    values, errors = await _ask_each(run, wanted, run.client.get)
    nodes = [Nodes(path, {path: value}, lambda _: []) for path, value in values]
    # Without nodes there is no table either: the errors are all there is to say.
    lines = nodes_lines(nodes, output, data=data, recursive=False, width=run.console.width) if nodes else ()
    return Outcome(lines, status_of_all(errors), list(dict.fromkeys(map(message_of, errors))))


async def _stat(run: Run, wanted: Sequence[str], output: str) -> Outcome:
    async def exists(path: str) -> ZnodeStat:
        found = await run.client.exists(path)
        if found is None:
            raise NoNodeException(path=path)
        return found

    found, errors = await _ask_each(run, wanted, lambda path: Deferred.fromCoroutine(exists(path)))
    records = [{"path": path, **stat_fields(each)} for path, each in found]
    lines: Iterable[str]
    if output == "text":
        lines = _describe_stats(found, run.reactor.seconds())
    elif output == "jsonl":
        lines = map(json_line, records)
    else:
        lines = value_lines(records[0] if len(wanted) == 1 else records, output) if records else ()
    return Outcome(lines, status_of_all(errors), list(dict.fromkeys(map(message_of, errors))))


async def _ls(run: Run, path: str, output: str, recursive: bool) -> Outcome:
    if output == "table":
        nodes = await _read_all(run, path, None if recursive else 1)
    elif recursive:
        nodes = await _read_all(run, path)
    else:
        return Outcome(_list(sorted(await run.client.get_children(path)), output))
    shown = [each for each in nodes.walk() if each != path]
    if output == "table":
        heads = ("VERSION", "BYTES", "CHILDREN", "OWNER", "PATH" if recursive else "NAME")
        return _outcome([nodes], table_lines(heads, [_row(nodes, each, recursive) for each in shown]))
    return _outcome([nodes], _list(shown, output))


async def _tree(run: Run, path: str, output: str, depth: int | None, data: bool) -> Outcome:
    nodes = await _read_all(run, path, depth)
    if output != "text":
        return _outcome([nodes], nodes_lines([nodes], output, data=data, recursive=True))
    ascii_only = not run.console.can_show("├└│")
    return _outcome([nodes], nodes.drawing(data=data, ascii_only=ascii_only, width=run.console.width))


async def _services(run: Run, path: str, output: str) -> Outcome:
    nodes = await _read_all(run, path)
    found = [each for each in nodes.walk() if nodes.values[each][1].ephemeralOwner]
    if output == "dir":
        return _outcome([nodes], map(on_one_line, found))
    if output == "table":
        rows = [(*map(on_one_line, paths.split(each)), excerpt(nodes.values[each][0])) for each in found]
        return _outcome([nodes], table_lines(("SERVICE", "INSTANCE", "DATA"), rows, width=run.console.width))
    if output == "jsonl":
        records = ({"path": each, **registered(nodes.values[each])} for each in found)
        return _outcome([nodes], map(json_line, records))
    whole: dict[str, dict[str, object]] = {}
    for each in found:
        service, instance = paths.split(each)
        whole.setdefault(service, {})[instance] = registered(nodes.values[each])
    return _outcome([nodes], value_lines(whole, output))


async def _ask_each(
    run: Run, wanted: Sequence[str], ask: Callable[[str], Deferred[_T]]
) -> tuple[list[tuple[str, _T]], list[ZooKeeperException]]:
    """Send a request for each path.

    :returns: the answers by path, in order, and the errors.
    :raises NoChrootException: nodes are missing because the chroot is.
    """
    asked = [ask(path).addErrback(_trap) for path in wanted]
    # One by one: if this is cancelled, the client's end fails those that are left.
    answers = [(path, await answer) for path, answer in zip(wanted, asked, strict=True)]
    errors = [answer for _, answer in answers if isinstance(answer, ZooKeeperException)]
    if any(isinstance(error, NoNodeException) for error in errors):
        await run.check_chroot()
    return [(path, answer) for path, answer in answers if not isinstance(answer, ZooKeeperException)], errors


def _trap(failure: Failure) -> ZooKeeperException:
    if not isinstance(failure.value, ZooKeeperException):
        failure.raiseException()
    return failure.value


async def _read_all(run: Run, path: str, depth: int | None = None) -> Nodes:
    live = run.mirror.tree(path, depth=depth)
    with run.show_progress("Reading", lambda: len(live)):
        await live.ready()
    if path not in live:
        raise live.unreadable.get(path) or NoNodeException(path=path)
    return Nodes(path, live, live.children, live.unreadable)


def _outcome(found: Sequence[Nodes], lines: Iterable[str]) -> Outcome:
    errors = [error for nodes in found for error in nodes.unreadable.values()]
    return Outcome(lines, status_of_all(errors), [line for nodes in found for line in nodes.error_lines()])


def _list(texts: Sequence[str], output: str) -> Iterable[str]:
    if output == "jsonl":
        return map(json_line, texts)
    return map(on_one_line, texts) if output == "dir" else value_lines(list(texts), output)


def _row(nodes: Nodes, path: str, recursive: bool) -> tuple[str, ...]:
    stat = nodes.values[path][1]
    shown = path if recursive else paths.name_of(path)
    return str(stat.version), str(stat.dataLength), str(stat.numChildren), owner(stat), on_one_line(shown)


def _describe_stats(found: Iterable[tuple[str, ZnodeStat]], now: float) -> Iterator[str]:
    for number, (path, stat) in enumerate(found):
        if number:
            yield ""
        kind = f"ephemeral, of session {owner(stat)}" if stat.ephemeralOwner else "not ephemeral"
        yield f"Path:      {on_one_line(path)}"
        yield f"Kind:      {kind}"
        yield f"Data:      {show_bytes(stat.dataLength)}, version {stat.version}"
        yield f"Children:  {stat.numChildren:,}, version {stat.cversion}, zxid {stat.pzxid:#x}"
        yield f"ACL:       version {stat.aversion}"
        yield f"Created:   {show_time(stat.ctime / 1000, now)}, zxid {stat.czxid:#x}"
        yield f"Changed:   {show_time(stat.mtime / 1000, now)}, zxid {stat.mzxid:#x}"
