"""The command lines of ``locks``, ``ensemble`` and ``doctor``."""

from __future__ import annotations

import attrs
import click

from txmirror.cli import contenders, diagnosing, surveying
from txmirror.cli.arguments import optional_path, path_argument
from txmirror.cli.completing import complete_path
from txmirror.cli.invocation import Invocation
from txmirror.cli.options import common_options, keep, recursive_option, session_timeout_option

_lines_option = click.option(
    *("-o", "--output"),
    type=click.Choice(("text", "jsonl")),
    default="text",
    show_default=True,
    help="The output format.",
)


_admin_option = click.option(
    "--admin-port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    expose_value=False,
    callback=keep,
    help="Ask the AdminServer of each server at this port, by HTTP, in place of the words. The servers' default is 8080.",
)


@click.command("locks")
@common_options
@path_argument()
@recursive_option
@click.option("--clients", is_flag=True, help='Ask the servers for the clients\' addresses, by the word "cons".')
@click.option(
    *("-o", "--output"),
    type=click.Choice(("table", "jsonl", "json", "yaml")),
    default="table",
    show_default=True,
    help="The output format.",
)
@_admin_option
@click.pass_obj
def locks(invocation: Invocation, path: str, recursive: bool, clients: bool, output: str) -> int:
    """Show the holders and the waiters of the lock at PATH. It may be a lock or semaphore of txmirror, kazoo, Curator or go-zookeeper.

    A node is there until its session ends. WHO is the data of the node.
    """
    settings = invocation.settings()
    return invocation.run(
        lambda run: contenders.locks(run, settings, path, output, recursive=recursive, clients=clients)
    )


@click.command("ensemble")
@common_options
@_admin_option
@_lines_option
@click.pass_obj
def ensemble(invocation: Invocation, output: str) -> int:
    """Show the state of each server of the ensemble. Each is asked by itself, by the words "srvr", "mntr" and "conf".

    BEHIND is the number of transactions that others have applied already, ANSWER the time of the answer. The exit status is 1 if a
    server does not answer, or if there is no leader.
    """
    settings = attrs.evolve(invocation.settings(), connects=False)
    return invocation.launch(settings, lambda run: surveying.ensemble(run, settings, as_json=output == "jsonl"))


@click.command("doctor")
@common_options
@click.option(
    "--write",
    metavar="PATH",
    callback=optional_path,
    shell_complete=complete_path,
    help="Also create an ephemeral node below PATH, and delete it: for writing, and to compare clocks.",
)
@session_timeout_option
@_admin_option
@_lines_option
@click.pass_obj
def doctor(invocation: Invocation, write: str | None, output: str) -> int:
    """Check each step on the way to ZooKeeper. The checks are of names, ports, TLS, login, chroot, limits and clocks.

    The exit status is 1 if a check has failed. Without --write nothing is written.
    """
    settings = attrs.evolve(invocation.settings(), connects=False)
    return invocation.launch(
        settings, lambda run: diagnosing.doctor(run, settings, write=write, as_json=output == "jsonl")
    )
