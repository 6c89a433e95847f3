"""The command lines of the commands that read nodes: ``get``, ``stat``, ``ls``, ``tree``, ``services``, ``watch``, ``wait`` and ``sync``."""

from __future__ import annotations

import click
from twisted.internet.defer import Deferred

from txmirror.cli import reading, waiting, watching
from txmirror.cli.child import Child, find_program
from txmirror.cli.invocation import Invocation
from txmirror.cli.nodes import FORMATS
from txmirror.cli.options import (
    common_options,
    common_options_without,
    data_flag,
    output_option,
    path_argument,
    paths_argument,
    read_content,
    read_program,
    recursive_option,
    seconds_option,
    session_timeout_option,
)
from txmirror.cli.run import Outcome, Run

_TEXT = "text"


@click.command("get")
@common_options
@paths_argument(required=False)
@click.option("--raw", is_flag=True, help="Write the bytes of the data as they are, and nothing else.")
@click.option(
    "-d", "--data", is_flag=True, help="Show the stat with the data; with -r the data and stats of all nodes."
)
@recursive_option
@click.option(
    *("-o", "--output", "--outputformat"),
    metavar="FORMAT",
    type=click.Choice((_TEXT, *FORMATS)),
    help=f"The output format: {', '.join((_TEXT, *FORMATS))}. [default: text; yaml with -d or -r]",
)
@click.pass_obj
def get(
    invocation: Invocation, paths: tuple[str, ...], raw: bool, data: bool, recursive: bool, output: str | None
) -> int:
    """Print the data of the nodes at PATH.

    Text is printed as it is; of other data the message names size and kind. With -r it is the nodes below PATH, too: without -d
    only their paths. The format dir is one path a line, and jsonl one JSON object a line.
    """
    if raw and (data or recursive or output is not None):
        raise click.UsageError("--raw excludes --data, --recursive and --output: it writes nothing but the data")
    if output is None:
        output = "yaml" if data or recursive else _TEXT
    if output == _TEXT:
        if recursive:
            raise click.UsageError("the output 'text' is the data alone: --recursive needs another one")
        return invocation.run(lambda run: reading.get_data(run, paths, raw=raw))
    form = output
    return invocation.run(lambda run: reading.get(run, paths, form, data=data or not recursive, recursive=recursive))


@click.command("stat")
@common_options
@paths_argument()
@output_option(_TEXT, (_TEXT, "yaml", "json", "jsonl"))
@click.pass_obj
def stat(invocation: Invocation, paths: tuple[str, ...], output: str) -> int:
    """Show the stats of the nodes at PATH: kind, size, versions, and times.

    The other formats have the names of ZooKeeper, times in seconds since 1970, and ids in hexadecimal.
    """
    return invocation.run(lambda run: reading.stat(run, paths, output))


@click.command("ls")
@common_options
@path_argument("/")
@recursive_option
@output_option("dir")
@click.pass_obj
def ls(invocation: Invocation, path: str, recursive: bool, output: str) -> int:
    """List the names of the children of PATH; with -r the paths of all nodes below it."""
    return invocation.run(lambda run: reading.ls(run, path, output, recursive=recursive))


@click.command("tree")
@common_options
@path_argument("/")
@data_flag
@click.option(
    "--depth", type=click.IntRange(min=0), metavar="LEVELS", help="Show no more than this number of levels below PATH."
)
@output_option(_TEXT, (_TEXT, "yaml", "json", "jsonl"))
@click.pass_obj
def tree(invocation: Invocation, path: str, data: bool, depth: int | None, output: str) -> int:
    """Draw the tree of PATH and the nodes below it."""
    return invocation.run(lambda run: reading.tree(run, path, output, depth, data=data))


@click.command("services")
@common_options
@path_argument("/services")
@output_option("table")
@click.pass_obj
def services(invocation: Invocation, path: str, output: str) -> int:
    """Show the services that are registered below PATH: the ephemeral nodes there, and their data."""
    return invocation.run(lambda run: reading.services(run, path, output))


@click.command("watch")
@common_options
@path_argument("/")
@data_flag
@recursive_option
@output_option(_TEXT, (_TEXT, "jsonl"))
@click.option(
    *("--exec", "program"),
    metavar="COMMAND",
    callback=read_program,
    help="Run this program and its arguments at each change, one at a time, in place of the output.",
)
@seconds_option(
    "--settle", "With --exec: wait until there was no change for so long, and run COMMAND once for all of them."
)
@click.option("--initial", is_flag=True, help="With --exec: run COMMAND at the beginning, too.")
@click.pass_obj
def watch(
    invocation: Invocation,
    path: str,
    data: bool,
    recursive: bool,
    output: str,
    program: list[str] | None,
    settle: float | None,
    initial: bool,
) -> int:
    """Show each change of PATH, which need not exist, until interrupted; with -r also of all nodes below it.

    Nodes that exist at the beginning are not shown. "settled" means that all nodes have been read, except those that "hidden"
    has named, at the beginning and after each reconnection; "stale" means that the connection is lost.

    COMMAND finds TXMIRROR_KIND (added, changed or removed) and TXMIRROR_PATH in its environment, and the new data in its standard
    input. With --settle it finds TXMIRROR_CHANGES, their number, and reads them as lines of JSON.
    """
    if program is None:
        if settle is not None or initial:
            raise click.UsageError("--settle and --initial go with --exec")
        return invocation.run(
            lambda run: watching.watch(run, path, data=data, recursive=recursive, as_json=output == "jsonl")
        )
    arguments = program
    found = find_program(arguments[0])

    def work(run: Run) -> Deferred[Outcome]:
        def make_child() -> Child:
            return Child(run.reactor, found, arguments, terminal=invocation.stdin.isatty())

        return watching.run_at_changes(
            run, path, make_child, data=data, recursive=recursive, settle=settle, initial=initial
        )

    return invocation.run(work)


def _count(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, int | None] | None:
    try:
        return None if value is None else waiting.parse_count(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("wait")
@common_options_without("--timeout")
@path_argument()
@click.option("--exists", is_flag=True, help="Wait until PATH exists. This is the default.")
@click.option("--absent", is_flag=True, help="Wait until PATH does not exist.")
@click.option("--value", metavar="DATA", help='Wait until the data of PATH are DATA; "-" reads it from standard input.')
@click.option(
    "--children",
    metavar="NUMBER",
    callback=_count,
    help="Wait until PATH has so many children: 3 is three, 3+ three or more, 3-5 three to five.",
)
@seconds_option("--timeout", "How long to wait; 0 looks once. [default: without limit]")
@session_timeout_option
@click.pass_obj
def wait(
    invocation: Invocation,
    path: str,
    exists: bool,
    absent: bool,
    value: str | None,
    children: tuple[int, int | None] | None,
    timeout: float | None,
) -> int:
    """Wait until PATH exists, is absent, or has some data or number of children.

    The exit status is 0 if that is so, and 75 if it was not so in time. ZooKeeper may be out of reach meanwhile.
    """
    if exists + absent + (value is not None) + (children is not None) > 1:
        raise click.UsageError("--exists, --absent, --value and --children exclude each other")
    data = None if value is None else read_content(invocation.stdin, value)
    condition = waiting.Condition(not absent, data, children)
    return invocation.run(lambda run: waiting.wait(run, path, condition, timeout))


@click.command("sync")
@common_options
@path_argument("/")
@click.pass_obj
def sync(invocation: Invocation, path: str) -> int:
    """Wait until the server that answers has all writes that were done before.

    Without it a server that lags may answer with older data.
    """
    return invocation.run(lambda run: reading.sync(run, path))


COMMANDS = (get, stat, ls, tree, services, watch, wait, sync)
