"""The command line of ``txmirror``: its commands, and an error message of one line for bad input."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO

import click

from txmirror import __version__
from txmirror.cli.invocation import Invocation
from txmirror.cli.listing import Listed, ListedGroup
from txmirror.cli.options import common_options
from txmirror.cli.settings import Settings
from txmirror.cli.statuses import CommandError, Status, status_of_signal
from txmirror.cli.streams import abandon_output, report

if TYPE_CHECKING:
    from txmirror.cli.run import Program

_CLI = "txmirror.cli"
_DELETE = Listed(f"{_CLI}.changing:delete", 'Delete the node at PATH. "rm" is the same command.')
#: All commands. A module is imported only when one of its commands is used: Twisted alone takes a third of a second.
_LISTED = {
    "acl": Listed(f"{_CLI}.changing:acl", "Show and change the access control lists of nodes."),
    "barrier": Listed(f"{_CLI}.coordinating:barrier", "Let programs wait at a barrier, or for each other."),
    "completion": Listed(f"{_CLI}.completing:completion", "Print the script for completion in bash, zsh or fish."),
    "counter": Listed(f"{_CLI}.coordinating:counter", "Print the number of the counter at PATH."),
    "create": Listed(f"{_CLI}.changing:create", "Create a node at PATH with DATA, and print its path."),
    "delete": _DELETE,
    "diff": Listed(f"{_CLI}.transferring:diff", "Show the differences between PATH and OTHER."),
    "doctor": Listed(f"{_CLI}.examining:doctor", "Check each step on the way to ZooKeeper."),
    "drain": Listed(f"{_CLI}.operating:drain", "Withdraw all services of the daemon."),
    "edit": Listed(f"{_CLI}.changing:edit", "Edit the text of the node at PATH."),
    "elect": Listed(f"{_CLI}.running:elect", "Stand for election at PATH, and run COMMAND as the leader."),
    "ensemble": Listed(f"{_CLI}.examining:ensemble", "Show the state of each server of the ensemble."),
    "export": Listed(f"{_CLI}.transferring:export", "Write PATH and all nodes below it to FILE."),
    "get": Listed(f"{_CLI}.inspecting:get", "Print the data of the nodes at PATH."),
    "import": Listed(f"{_CLI}.transferring:import_", "Make PATH and the nodes below it equal to an export."),
    "lock": Listed(f"{_CLI}.running:lock", "Run COMMAND while holding the lock at PATH."),
    "locks": Listed(f"{_CLI}.examining:locks", "Show the holders and the waiters of the lock at PATH."),
    "ls": Listed(f"{_CLI}.inspecting:ls", "List the names of the children of PATH."),
    "maint": Listed(f"{_CLI}.operating:maint", "Keep SERVICE out of the registry for a while."),
    "metrics": Listed(f"{_CLI}.operating:metrics", "Print the metrics of the daemon, as Prometheus reads them."),
    "queue": Listed(f"{_CLI}.coordinating:queue", "Put entries into queues, and take them."),
    "register": Listed(f"{_CLI}.running:register", "Register a service at PATH, and keep it registered."),
    "reload": Listed(f"{_CLI}.operating:reload", "Make the daemon read its configuration again."),
    # Users of zkCli and kubectl look for "delete", and users of shells for "rm".
    "rm": _DELETE,
    "sample-config": Listed(f"{_CLI}.installed:sample_config", "Print a configuration for the daemon with all keys."),
    "services": Listed(f"{_CLI}.inspecting:services", "Show the services that are registered below PATH."),
    "set": Listed(f"{_CLI}.changing:set_", "Replace the data of PATH by DATA."),
    "stat": Listed(f"{_CLI}.inspecting:stat", "Show the stats of nodes: kind, size, versions, and times."),
    "status": Listed(f"{_CLI}.operating:status", "Show the services and output files of the daemon."),
    "sync": Listed(f"{_CLI}.inspecting:sync", "Wait until the server has all earlier writes."),
    "tree": Listed(f"{_CLI}.inspecting:tree", "Draw the tree of PATH and the nodes below it."),
    "unit": Listed(f"{_CLI}.installed:unit", "Print the systemd unit for the daemon of this installation."),
    "wait": Listed(f"{_CLI}.observing:wait", "Wait until PATH exists, or meets another condition."),
    "watch": Listed(f"{_CLI}.observing:watch", "Show each change of PATH until interrupted."),
    "why": Listed(f"{_CLI}.operating:why", "Explain why SERVICE is registered or not."),
}

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


class _Commands(ListedGroup):
    """The commands. For the name of a command of another program, the error names ours."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name."""
        name = args[0]
        ours = _ELSEWHERE.get(name.lower())
        if ours is not None and name not in self.listed and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {name!r}. Use {ours!r}.", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    listed=_LISTED,
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


def _launch(settings: Settings, program: Program) -> int:
    from txmirror.cli.launch import launch  # noqa: PLC0415 - it takes long

    return launch(settings, program)


def main(
    arguments: Sequence[str] | None = None,
    *,
    launch: Callable[[Settings, Program], int] = _launch,
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
        report(str(error))
        return error.status
    except click.ClickException as error:
        text = error.format_message()
        if isinstance(error, click.MissingParameter):
            # The choices are in lines of their own.
            text = text.replace("\n\t", " ")
        if isinstance(error, click.UsageError) and error.ctx is not None and error.ctx.parent is not None:
            # Without the program's name: "queue put".
            text = f"{error.ctx.command_path.partition(' ')[2]}: {text}"
        report(text)
        return Status.USAGE
    except OSError as error:
        # The help cannot be written, or the data not be read. (If the help's reader is gone, click ends the process.)
        abandon_output()
        report(str(error.strerror))
        return Status.IO_ERROR
    except click.Abort:
        return status_of_signal(2)
    return int(status or 0)
