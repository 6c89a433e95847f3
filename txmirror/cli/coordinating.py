"""The command lines of ``queue``, ``counter`` and ``barrier``."""

from __future__ import annotations

import click

from txmirror.cli import meeting, queueing
from txmirror.cli.arguments import path_argument, program_argument, read_content
from txmirror.cli.child import find_program
from txmirror.cli.invocation import Invocation
from txmirror.cli.options import (
    common_options,
    grace_option,
    name_option,
    read_program,
    seconds_option,
    session_timeout_option,
)
from txmirror.recipes.entries import PRIORITY


@click.group("queue", no_args_is_help=False)
@common_options
def queue() -> None:
    """Put entries into queues, and take them. An entry stays in its queue until it is consumed."""


@queue.command("put")
@common_options
@path_argument(root=False)
@click.argument("data", default="-")
@click.option(
    "--priority",
    type=click.IntRange(0, 999),
    default=PRIORITY,
    show_default=True,
    help="Lower numbers are taken first.",
)
@click.option("--lines", is_flag=True, help="Put an entry for each line of the data, without its line end.")
@click.pass_obj
def put(invocation: Invocation, path: str, data: str, priority: int, lines: bool) -> int:
    """Put DATA into the queue at PATH as one entry. "-", which is the default, reads it from standard input."""
    content = read_content(invocation.stdin, data)
    values = content.removesuffix(b"\n").split(b"\n") if lines and content else [] if lines else [content]
    return invocation.run(lambda run: queueing.put(run, path, values, priority))


@queue.command("get")
@common_options
@path_argument(root=False)
@seconds_option("--wait", "How long to wait for each entry; 0 does not wait. [default: without limit]")
@click.option(
    "--count",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="The most entries to take, one after another; 0 sets no limit.",
)
@click.option(
    "--consume-with",
    metavar="COMMAND",
    callback=read_program,
    help="Run this program and its arguments for each entry, which is its standard input. The entry is consumed if it succeeds.",
)
@click.option("--lines", is_flag=True, help="Print a line end after each entry.")
@grace_option
@session_timeout_option
@click.pass_obj
def get(
    invocation: Invocation,
    path: str,
    wait: float | None,
    count: int,
    consume_with: list[str] | None,
    lines: bool,
    grace: float | None,
) -> int:
    """Take the first entry of the queue at PATH, print it as it is, and consume it.

    With --consume-with, an entry whose COMMAND fails is back at its place in the queue, and txmirror exits with the status of COMMAND.
    TXMIRROR_TOKEN in its environment is the fencing token, TXMIRROR_ENTRY the name of the entry.
    """
    if consume_with is None:
        return invocation.run(
            lambda run: queueing.get(run, path, None, wait=wait, count=count, grace=grace, lines=lines)
        )
    if lines:
        raise click.UsageError("--lines and --consume-with exclude each other: COMMAND prints, and not txmirror")
    program = find_program(consume_with, invocation.stdin)
    return invocation.run(
        lambda run: queueing.get(
            run, path, lambda: program.child(run.reactor), wait=wait, count=count, grace=grace, lines=False
        )
    )


@queue.command("peek")
@common_options
@path_argument(root=False)
@click.pass_obj
def peek(invocation: Invocation, path: str) -> int:
    """Print the first entry of the queue at PATH as it is, and leave it there. It may be taken, and not consumed yet."""
    return invocation.run(lambda run: queueing.peek(run, path))


@queue.command("length")
@common_options
@path_argument(root=False)
@click.pass_obj
def length(invocation: Invocation, path: str) -> int:
    """Print the number of entries of the queue at PATH. Those that are taken, and not consumed yet, count too."""
    return invocation.run(lambda run: queueing.length(run, path))


@click.command("counter")
@common_options
@path_argument(root=False)
@click.option(
    "--add", "amount", type=int, metavar="NUMBER", help="Add this whole number first, once; it may be negative."
)
@click.pass_obj
def counter(invocation: Invocation, path: str, amount: int | None) -> int:
    """Print the number of the counter at PATH. It is 0 if the counter does not exist."""
    return invocation.run(lambda run: meeting.count(run, path, amount))


@click.group("barrier", no_args_is_help=False)
@common_options
def barrier() -> None:
    """Let programs wait at a barrier, or for each other."""


@barrier.command("create")
@common_options
@path_argument(root=False)
@click.pass_obj
def create(invocation: Invocation, path: str) -> int:
    """Put a barrier in place at PATH, unless it is there."""
    return invocation.run(lambda run: meeting.create_barrier(run, path))


@barrier.command("remove")
@common_options
@path_argument(root=False)
@click.pass_obj
def remove(invocation: Invocation, path: str) -> int:
    """Remove the barrier at PATH. The programs that wait there go on."""
    return invocation.run(lambda run: meeting.remove_barrier(run, path))


@barrier.command("wait")
@common_options
@path_argument(root=False)
@seconds_option("--wait", "How long to wait. [default: without limit]")
@session_timeout_option
@click.pass_obj
def wait_(invocation: Invocation, path: str, wait: float | None) -> int:
    """Wait until there is no barrier at PATH."""
    return invocation.run(lambda run: meeting.wait_at_barrier(run, path, wait))


@barrier.command("run")
@common_options
@path_argument(root=False)
@click.option(
    "--count", type=click.IntRange(min=1), required=True, help="The number of participants, the same for all."
)
@name_option
@seconds_option("--wait", "How long to wait for the others. [default: without limit]")
@session_timeout_option
@program_argument(required=True)
@click.pass_obj
def run_(
    invocation: Invocation, path: str, count: int, name: str | None, wait: float | None, command: tuple[str, ...]
) -> int:
    """Run COMMAND together with other participants. Wait at PATH until there are enough, run COMMAND, wait until all have ended, and exit with its status."""
    program = find_program(command, invocation.stdin)
    return invocation.run(
        lambda run: meeting.run_together(run, path, program.child(run.reactor), count=count, name=name, wait=wait)
    )
