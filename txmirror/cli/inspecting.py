"""The command lines of the commands that read nodes: ``get``, ``stat``, ``ls``, ``tree``, ``services`` and ``sync``."""

from __future__ import annotations

import click

from txmirror.cli import reading
from txmirror.cli.arguments import path_argument, paths_argument
from txmirror.cli.invocation import Invocation
from txmirror.cli.nodes import FORMATS
from txmirror.cli.options import common_options, data_flag, output_option, recursive_option

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
    """Show the stats of nodes: kind, size, versions, and times.

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
    """List the names of the children of PATH. With -r, list the paths of all nodes below it."""
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
    """Show the services that are registered below PATH. These are the ephemeral nodes there, with their data."""
    return invocation.run(lambda run: reading.services(run, path, output))


@click.command("sync")
@common_options
@path_argument("/")
@click.pass_obj
def sync(invocation: Invocation, path: str) -> int:
    """Wait until the server has all earlier writes.

    Without this, a server that lags may answer with older data.
    """
    return invocation.run(lambda run: reading.sync(run, path))
