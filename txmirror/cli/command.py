"""The command line of ``txmirror``: its commands, and an error message of one line for bad input."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO

import click
from twisted.internet.defer import Deferred

from txmirror import __version__
from txmirror.cli import (
    changing,
    completing,
    coordinating,
    examining,
    inspecting,
    installed,
    locking,
    operating,
    registering,
    transferring,
)
from txmirror.cli.child import Child, find_program
from txmirror.cli.invocation import Invocation
from txmirror.cli.launch import abandon_output, launch
from txmirror.cli.options import (
    common_options,
    facts_option,
    grace_option,
    name_option,
    path_argument,
    program_argument,
    seconds_option,
    session_timeout_option,
    style_option,
)
from txmirror.cli.run import Outcome, Program, Run
from txmirror.cli.settings import Settings
from txmirror.cli.statuses import CommandError, Status, status_of_signal
from txmirror.printable import on_one_line

#: The commands that users of zkCli, etcdctl and kubectl look for, and ours.
_ELSEWHERE = {
    "addauth": "--username and --password-file",
    "apply": "import",
    "cat": "get",
    "config": "ensemble",
    "deleteall": "delete --recursive",
    "del": "delete",
    "describe": "stat",
    "getacl": "acl get",
    "getallchildrennumber": "stat",
    "getephemerals": "services",
    "list": "ls",
    "ls2": "ls --output table",
    "member": "ensemble",
    "put": "set, or create for a new node",
    "rmr": "delete --recursive",
    "setacl": "acl set",
    "snapshot": "export",
}


class _Commands(click.Group):
    """The commands. For the name of a command of another program, the error names ours."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name."""
        name = args[0]
        ours = _ELSEWHERE.get(name.lower())
        if ours is not None and self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {name!r}. Use {ours!r}.", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@common_options
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def txmirror(ctx: click.Context) -> None:
    """Read and change ZooKeeper's nodes, hold locks and registrations there, and operate the daemon of this machine.

    \b
    Examples:
      txmirror tree /services --data    Draw nodes and data.
      txmirror get /app/settings        Print a node's data.
      txmirror watch /services -r       Print each change.
    """  # noqa: D301 - click wants the character
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@txmirror.command("lock")
@common_options
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


@txmirror.command("elect")
@common_options
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


@txmirror.command("register")
@common_options
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
    *inspecting.COMMANDS,
    *changing.COMMANDS,
    *coordinating.COMMANDS,
    *transferring.COMMANDS,
    *examining.COMMANDS,
    *operating.COMMANDS,
    *installed.COMMANDS,
    completing.completion,
):
    txmirror.add_command(_each)
# Users of zkCli and kubectl look for "delete", and users of shells for "rm".
txmirror.add_command(changing.delete, "rm")


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
