"""The command lines of the commands that run a program while they hold something: ``lock``, ``elect`` and ``register``."""

from __future__ import annotations

import click

from txmirror.cli import locking, registering
from txmirror.cli.arguments import path_argument, program_argument
from txmirror.cli.child import find_program
from txmirror.cli.invocation import Invocation
from txmirror.cli.options import (
    common_options,
    facts_option,
    grace_option,
    name_option,
    seconds_option,
    session_timeout_option,
)
from txmirror.recipes.lock_style import STYLES

_style_option = click.option(
    "--style",
    metavar="NAME",
    type=click.Choice(tuple(STYLES)),
    help=f"The implementation that takes part on this path, besides txmirror: {', '.join(STYLES)}. [default: kazoo]",
)


@click.command("lock")
@common_options
@path_argument(root=False)
@click.option(
    "--simultaneous",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Use a semaphore with this number of holders, as the service registry's locks are, in place of a lock.",
)
@_style_option
@seconds_option("--wait", "How long to wait for the lock; 0 does not wait. [default: without limit]")
@grace_option
@session_timeout_option
@program_argument(required=True)
@click.pass_obj
def lock(
    invocation: Invocation,
    path: str,
    simultaneous: int | None,
    style: str | None,
    wait: float | None,
    grace: float | None,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND while holding the lock at PATH. Exit with the status of COMMAND.

    TXMIRROR_TOKEN in its environment is the fencing token. When the lock is lost, COMMAND gets SIGTERM, and SIGKILL later.
    """
    if simultaneous is not None and style is not None:
        raise click.UsageError("--simultaneous and --style exclude each other: a semaphore has no other styles")
    program = find_program(command, invocation.stdin)
    return invocation.run(
        lambda run: locking.lock(
            *(run, path, program.child(run.reactor)), style=style, simultaneous=simultaneous, wait=wait, grace=grace
        )
    )


@click.command("elect")
@common_options
@path_argument(root=False)
@name_option
@_style_option
@click.option(
    "--once", is_flag=True, help="Exit when leadership is lost, with status 69: do not stand for election again."
)
@grace_option
@session_timeout_option
@program_argument(required=True)
@click.pass_obj
def elect(
    invocation: Invocation,
    path: str,
    name: str | None,
    style: str | None,
    once: bool,
    grace: float | None,
    command: tuple[str, ...],
) -> int:
    """Stand for election at PATH, and run COMMAND as the leader. Exit with the status of COMMAND when it ends by itself.

    TXMIRROR_TOKEN in its environment is the fencing token. When leadership is lost, COMMAND gets SIGTERM, and SIGKILL later;
    then the process stands for election again.
    """
    program = find_program(command, invocation.stdin)
    return invocation.run(
        lambda run: locking.elect(
            run, path, lambda: program.child(run.reactor), name=name, style=style, once=once, grace=grace
        )
    )


@click.command("register")
@common_options
@path_argument(root=False)
@facts_option
@session_timeout_option
@program_argument(required=False)
@click.pass_obj
def register(invocation: Invocation, path: str, data: dict[str, str], command: tuple[str, ...]) -> int:
    """Register a service at PATH, and keep it registered. This lasts until an interrupt, or while COMMAND runs.

    COMMAND is started even if ZooKeeper is out of reach. txmirror exits with its status.
    """
    program = find_program(command, invocation.stdin) if command else None
    return invocation.run(
        lambda run: registering.register(run, path, data, None if program is None else program.child(run.reactor))
    )
