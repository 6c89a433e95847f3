"""The command lines of the commands that wait for changes of nodes: ``watch`` and ``wait``."""

from __future__ import annotations

import attrs
import click

from txmirror.cli import waiting, watching
from txmirror.cli.arguments import path_argument, read_content
from txmirror.cli.child import find_program
from txmirror.cli.invocation import Invocation
from txmirror.cli.options import (
    common_options,
    common_options_without,
    data_flag,
    output_option,
    read_program,
    recursive_option,
    seconds_option,
    session_timeout_option,
)

_TEXT = "text"


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
    """Show each change of PATH until interrupted. PATH need not exist. With -r, show also the changes of all nodes below it.

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
    found = find_program(program, invocation.stdin)
    return invocation.run(
        lambda run: watching.run_at_changes(
            *(run, path, lambda: found.child(run.reactor)),
            data=data,
            recursive=recursive,
            settle=settle,
            initial=initial,
        )
    )


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
@seconds_option(
    "--timeout", "How long the command may take; 0 looks once. [default: 5 for the first session, then without limit]"
)
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
    """Wait until PATH exists, or meets another condition. The others are: it is absent, has some data, or a number of children.

    The exit status is 0 if the condition is met, and 75 if it was not met in time. ZooKeeper may be out of reach meanwhile.
    """
    if exists + absent + (value is not None) + (children is not None) > 1:
        raise click.UsageError("--exists, --absent, --value and --children exclude each other")
    data = None if value is None else read_content(invocation.stdin, value)
    condition = waiting.Condition(not absent, data, children)
    settings = invocation.settings()
    if timeout:
        # It is the limit for the first session, too.
        settings = attrs.evolve(settings, timeout=timeout)
    return invocation.launch(settings, lambda run: waiting.wait(run, path, condition, timeout))
