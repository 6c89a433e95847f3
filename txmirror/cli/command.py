"""The command line of ``txmirror``: its commands, and an error message of one line for bad input."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, TypeVar

import click
from twisted.internet.defer import Deferred

from txmirror import __version__
from txmirror.cli import (
    coordinating,
    examining,
    installed,
    locking,
    operating,
    reading,
    registering,
    transferring,
    watching,
    writing,
)
from txmirror.cli.child import Child, find_program
from txmirror.cli.invocation import Invocation
from txmirror.cli.launch import abandon_output, launch
from txmirror.cli.options import (
    check_path,
    common_options,
    data_flag,
    facts_option,
    grace_option,
    name_option,
    output_option,
    path_argument,
    program_argument,
    recursive_option,
    seconds_option,
    session_timeout_option,
    style_option,
    version_option,
)
from txmirror.cli.run import Outcome, Program, Run
from txmirror.cli.settings import Settings
from txmirror.cli.statuses import CommandError, Status, status_of_signal
from txmirror.printable import on_one_line

_F = TypeVar("_F", bound=Callable[..., Any])


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@common_options
@click.version_option(__version__, message="%(prog)s %(version)s")
def txmirror() -> None:
    """Read and change ZooKeeper's nodes, hold locks and registrations there, and operate the daemon of this machine."""


def _command(name: str) -> Callable[[_F], click.Command]:
    def add(function: _F) -> click.Command:
        return txmirror.command(name)(common_options(function))

    return add


@_command("get")
@path_argument("/")
@data_flag
@recursive_option
@output_option("yaml")
@click.pass_obj
def _get(invocation: Invocation, path: str, data: bool, recursive: bool, output: str) -> int:
    """Show the node at PATH: its path; with -d its data and stat; with -r its children, nested.

    The format dir is one path a line, without data.
    """
    return invocation.run(lambda run: reading.get(run, path, output, data=data, recursive=recursive))


@_command("ls")
@path_argument("/")
@recursive_option
@output_option("dir")
@click.pass_obj
def _ls(invocation: Invocation, path: str, recursive: bool, output: str) -> int:
    """List the names of the children of PATH; with -r the paths of all nodes below it."""
    return invocation.run(lambda run: reading.ls(run, path, output, recursive=recursive))


@_command("tree")
@path_argument("/")
@data_flag
@click.option(
    "--depth", type=click.IntRange(min=0), metavar="LEVELS", help="Show no more than this number of levels below PATH."
)
@click.pass_obj
def _tree(invocation: Invocation, path: str, data: bool, depth: int | None) -> int:
    """Draw the tree of PATH and the nodes below it."""
    return invocation.run(lambda run: reading.tree(run, path, depth, data=data))


@_command("services")
@path_argument("/services")
@output_option("table")
@click.pass_obj
def _services(invocation: Invocation, path: str, output: str) -> int:
    """Show the services that are registered below PATH: the ephemeral nodes there, and their data."""
    return invocation.run(lambda run: reading.services(run, path, output))


@_command("watch")
@path_argument("/")
@data_flag
@recursive_option
@output_option("text", ("text", "json"))
@click.pass_obj
def _watch(invocation: Invocation, path: str, data: bool, recursive: bool, output: str) -> int:
    """Show each change of PATH, which need not exist, until interrupted; with -r also of all nodes below it.

    Nodes that exist at the beginning are not shown. "settled" means that all nodes have been read, except those that "hidden"
    has named, at the beginning and after each reconnection; "stale" means that the connection is lost.
    """
    return invocation.run(
        lambda run: watching.watch(run, path, data=data, recursive=recursive, as_json=output == "json")
    )


@_command("set")
@path_argument()
@click.argument("data")
@version_option
@click.pass_obj
def _set(invocation: Invocation, path: str, data: str, version: int | None) -> int:
    """Replace the data of PATH by DATA; "-" reads it from standard input."""
    content = _content(invocation.stdin, data)
    return invocation.run(lambda run: writing.set_data(run, path, content, -1 if version is None else version))


@_command("create")
@click.argument("path")
@click.argument("data", default="")
@click.option("--sequence", is_flag=True, help="Let the server append ten digits to the name.")
@click.option("--makepath", is_flag=True, help="Create missing nodes above PATH.")
@click.pass_obj
def _create(invocation: Invocation, path: str, data: str, sequence: bool, makepath: bool) -> int:
    """Create a persistent node at PATH with DATA ("-" reads it from standard input), and print its path.

    The node is open to everybody; with --username, that user may do everything and everybody may read; --acl sets another ACL.
    """
    path = _new_path(path, sequence)
    content = _content(invocation.stdin, data)
    return invocation.run(lambda run: writing.create(run, path, content, sequence=sequence, makepath=makepath))


@_command("delete")
@path_argument(root=False)
@click.option("-r", "--recursive", is_flag=True, help="Delete all nodes below PATH first.")
@click.option(
    "-y", "--yes", is_flag=True, help="Do not ask for confirmation; -r asks on a terminal, and requires this elsewhere."
)
@version_option
@click.pass_obj
def _delete(invocation: Invocation, path: str, recursive: bool, yes: bool, version: int | None) -> int:
    """Delete the node at PATH."""
    if recursive and version is not None:
        raise click.UsageError(
            "--recursive and --version exclude each other: the nodes below have versions of their own"
        )
    if recursive and not yes:
        if not invocation.stdin.isatty():
            raise click.UsageError("--recursive deletes all nodes below, too: without a terminal it requires --yes")
        if not click.confirm(f"Delete {on_one_line(path)} and all nodes below it?", err=True):
            return Status.REFUSED
    return invocation.run(
        lambda run: writing.delete(run, path, -1 if version is None else version, recursive=recursive)
    )


@_command("lock")
@path_argument(root=False)
@click.option(
    "--simultaneous",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Use a semaphore with this number of holders, as the service registry's locks are, in place of a lock.",
)
@style_option
@seconds_option("--wait", "How long to wait for the lock; 0 does not wait. [default: without limit]")
@grace_option
@session_timeout_option
@program_argument(required=True)
@click.pass_obj
def _lock(
    invocation: Invocation,
    path: str,
    simultaneous: int | None,
    style: str | None,
    wait: float | None,
    grace: float | None,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND while holding the lock at PATH, and exit with its status.

    TXMIRROR_TOKEN in its environment is the fencing token. When the lock is lost, COMMAND gets SIGTERM, and SIGKILL later.
    """
    if simultaneous is not None and style is not None:
        raise click.UsageError("--simultaneous and --style exclude each other: a semaphore has no other styles")
    program = find_program(command[0])

    def lock(run: Run) -> Deferred[Outcome]:
        child = Child(run.reactor, program, command, terminal=invocation.stdin.isatty())
        return locking.lock(run, path, child, style=style, simultaneous=simultaneous, wait=wait, grace=grace)

    return invocation.run(lock)


@_command("elect")
@path_argument(root=False)
@name_option
@style_option
@click.option(
    "--once", is_flag=True, help="Exit when leadership is lost, with status 69: do not stand for election again."
)
@grace_option
@session_timeout_option
@program_argument(required=True)
@click.pass_obj
def _elect(
    invocation: Invocation,
    path: str,
    name: str | None,
    style: str | None,
    once: bool,
    grace: float | None,
    command: tuple[str, ...],
) -> int:
    """Stand for election at PATH, run COMMAND while this process leads, and exit with its status.

    TXMIRROR_TOKEN in its environment is the fencing token. When leadership is lost, COMMAND gets SIGTERM, and SIGKILL later;
    then the process stands for election again.
    """
    program = find_program(command[0])

    def elect(run: Run) -> Deferred[Outcome]:
        def make_child() -> Child:
            return Child(run.reactor, program, command, terminal=invocation.stdin.isatty())

        return locking.elect(run, path, make_child, name=name, style=style, once=once, grace=grace)

    return invocation.run(elect)


@_command("register")
@path_argument(root=False)
@facts_option
@session_timeout_option
@program_argument(required=False)
@click.pass_obj
def _register(invocation: Invocation, path: str, data: dict[str, str], command: tuple[str, ...]) -> int:
    """Register a service at PATH until interrupted, or while COMMAND runs, and keep it registered.

    COMMAND is started even if ZooKeeper is out of reach. txmirror exits with its status.
    """
    program = find_program(command[0]) if command else ""

    def register(run: Run) -> Deferred[Outcome]:
        child = Child(run.reactor, program, command, terminal=invocation.stdin.isatty()) if command else None
        return registering.register(run, path, data, child)

    return invocation.run(register)


for _each in (
    *coordinating.COMMANDS,
    *transferring.COMMANDS,
    *examining.COMMANDS,
    *operating.COMMANDS,
    *installed.COMMANDS,
):
    txmirror.add_command(_each)


def _content(stdin: BinaryIO, data: str) -> bytes:
    return stdin.read() if data == "-" else os.fsencode(data)


def _new_path(path: str, sequence: bool) -> str:
    """Check the path of a node to create. With --sequence it may end with a slash: then the whole name is digits."""
    only_digits = sequence and path.endswith("/")
    checked = check_path(path, root=only_digits)
    return checked.rstrip("/") + "/" if only_digits else checked


def main(
    arguments: Sequence[str] | None = None,
    *,
    launch: Callable[[Settings, Program], int] = launch,
    stdin: BinaryIO | None = None,
) -> int:
    """Run a command line, and return the exit status.

    :param arguments: the command line, without the program's name; None for the process's.
    :param launch: runs a program. The default runs the reactor, which can be done once in a process.
    :param stdin: the standard input; None for the process's.
    """
    if stdin is None:
        stdin = io.BytesIO() if sys.stdin is None else sys.stdin.buffer
    invocation = Invocation(launch, stdin)
    try:
        status = txmirror.main(arguments, prog_name="txmirror", standalone_mode=False, obj=invocation)
    except CommandError as error:
        click.echo(f"txmirror: {on_one_line(str(error))}", err=True)
        return error.status
    except click.ClickException as error:
        text = error.format_message()
        if isinstance(error, click.UsageError) and error.ctx is not None and error.ctx.parent is not None:
            # Without the program's name: "queue put".
            text = f"{error.ctx.command_path.partition(' ')[2]}: {text}"
        click.echo(f"txmirror: {on_one_line(text)}", err=True)
        return Status.USAGE
    except OSError as error:
        # The help cannot be written, or the data not be read. (If the help's reader is gone, click ends the process.)
        abandon_output()
        click.echo(f"txmirror: {error.strerror}", err=True)
        return Status.IO_ERROR
    except click.Abort:
        return status_of_signal(2)
    return int(status or 0)
