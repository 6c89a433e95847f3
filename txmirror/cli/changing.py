"""The command lines of the commands that change nodes: ``set``, ``edit``, ``create``, ``delete`` and ``acl``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping

import click

from txmirror.access import parse_acl
from txmirror.cli import access_lists, editing, writing
from txmirror.cli.arguments import new_path_argument, path_argument, paths_argument, read_content, sequential_option
from txmirror.cli.child import find_program
from txmirror.cli.invocation import Invocation
from txmirror.cli.options import common_options, output_option, session_timeout_option, version_option
from txmirror.cli.statuses import Status
from txmirror.durations import read_duration
from txmirror.printable import on_one_line
from txmirror.types import ACL

#: The longest time to live, in seconds: the server has 40 bits for milliseconds.
_LONGEST_TTL = (2**40 - 1) / 1000


@click.command("set")
@common_options
@path_argument()
@click.argument("data")
@version_option
@click.pass_obj
def set_(invocation: Invocation, path: str, data: str, version: int | None) -> int:
    """Replace the data of PATH by DATA. "-" reads it from standard input."""
    content = read_content(invocation.stdin, data)
    return invocation.run(lambda run: writing.set_data(run, path, content, -1 if version is None else version))


@click.command("edit")
@common_options
@path_argument()
@session_timeout_option
@click.pass_obj
def edit(invocation: Invocation, path: str) -> int:
    """Edit the text of the node at PATH. The editor is the program in VISUAL or EDITOR; vi without these.

    Nothing is written if the text stays the same, if the editor fails, or if somebody else has changed the node meanwhile. Then the
    edited text is kept, and the message names the file.
    """
    editor = find_program(_editor(os.environ, terminal=invocation.stdin.isatty()), invocation.stdin)
    return invocation.run(lambda run: editing.edit(run, path, lambda file: editor.child(run.reactor, file)))


def _editor(environment: Mapping[str, str], *, terminal: bool) -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        text = environment.get(variable, "").strip()
        if text:
            try:
                return shlex.split(text)
            except ValueError as error:
                raise click.UsageError(
                    f"{variable}: {text!r} cannot be split into arguments: {str(error).lower()}"
                ) from None
    if not terminal:
        raise click.UsageError("without a terminal, vi cannot run: set EDITOR, or use 'get --raw' and 'set'")
    return ["vi"]


def _ttl(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = read_duration(value)
        seconds = float(value) if seconds is None else seconds
    except ValueError:
        raise click.BadParameter(f"{value!r} is no duration, such as 90s, 30m or 2h") from None
    if not 0.001 <= seconds <= _LONGEST_TTL:
        raise click.BadParameter(f"{value!r} is not between 1 ms and {_LONGEST_TTL / 86400:,.0f} days")
    return seconds


@click.command("create")
@common_options
@new_path_argument()
@click.argument("data", default="")
@click.option("--ephemeral", is_flag=True, help="Hold the node until interrupted: then it is deleted.")
@sequential_option
@click.option("--container", is_flag=True, help="Let the server delete the node some time after its last child.")
@click.option(
    "--ttl",
    metavar="TIME",
    callback=_ttl,
    help="Let the server delete the node if it was not changed for so long, as in 90s or 2h, and has no children.",
)
@click.option("--parents", is_flag=True, help="Create missing nodes above PATH.")
@session_timeout_option
@click.pass_obj
def create(
    invocation: Invocation,
    path: str,
    data: str,
    ephemeral: bool,
    sequential: bool,
    container: bool,
    ttl: float | None,
    parents: bool,
) -> int:
    """Create a node at PATH with DATA, and print its path. It is persistent by default. "-" reads DATA from standard input.

    The node is open to everybody; with --username, that user may do everything and everybody may read; --acl sets another ACL.
    """
    kind = writing.Mode(ephemeral, sequential, container, ttl, parents)
    if kind.ephemeral + kind.container + (kind.ttl is not None) > 1:
        raise click.UsageError("--ephemeral, --container and --ttl exclude each other")
    if kind.container and kind.sequential:
        raise click.UsageError("--container and --sequential exclude each other")
    content = read_content(invocation.stdin, data)
    return invocation.run(lambda run: writing.create(run, path, content, kind))


@click.command("delete")
@common_options
@path_argument(root=False)
@click.option("-r", "--recursive", is_flag=True, help="Delete all nodes below PATH first.")
@click.option(
    "-y", "--yes", is_flag=True, help="Do not ask for confirmation; -r asks on a terminal, and requires this elsewhere."
)
@version_option
@click.pass_obj
def delete(invocation: Invocation, path: str, recursive: bool, yes: bool, version: int | None) -> int:
    """Delete the node at PATH. "rm" is the same command."""
    if recursive and version is not None:
        raise click.UsageError(
            "--recursive and --version exclude each other: the nodes below have versions of their own"
        )
    if recursive and not yes and not _confirm(invocation, f"Delete {on_one_line(path)} and all nodes below it?"):
        return Status.REFUSED
    return invocation.run(
        lambda run: writing.delete(run, path, -1 if version is None else version, recursive=recursive)
    )


def _confirm(invocation: Invocation, question: str) -> bool:
    """Ask the user on a terminal.

    :raises click.UsageError: there is no terminal.
    """
    if not invocation.stdin.isatty():
        raise click.UsageError("--recursive changes all nodes below, too: without a terminal it requires --yes")
    return click.confirm(question, err=True)


@click.group("acl", no_args_is_help=False)
@common_options
def acl() -> None:
    """Show and change the access control lists of nodes."""


@acl.command("get")
@common_options
@paths_argument()
@click.option("-r", "--recursive", is_flag=True, help="Include all nodes below PATH.")
@output_option("text", ("text", "yaml", "json", "jsonl"))
@click.pass_obj
def get_acl(invocation: Invocation, paths: tuple[str, ...], recursive: bool, output: str) -> int:
    """Print the ACLs of nodes. Each entry has a line, as in world:anyone:cdrwa; of several nodes, each node has a line."""
    return invocation.run(lambda run: access_lists.get_acl(run, paths, output, recursive=recursive))


def _acl(_: click.Context, __: click.Parameter, value: str) -> tuple[ACL, ...]:
    try:
        return parse_acl(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@acl.command("set")
@common_options
@path_argument()
@click.argument("entries", metavar="ACL", callback=_acl)
@click.option(
    "--version",
    type=click.IntRange(min=0, max=2**31 - 1),
    help="Fail unless the node's ACL is at this version: aversion in its stat.",
)
@click.option(
    "-r", "--recursive", is_flag=True, help="Set the ACLs of all nodes below PATH too, and print the changed paths."
)
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing, and print the changes.")
@click.option(
    "-y", "--yes", is_flag=True, help="Do not ask for confirmation; -r asks on a terminal, and requires this elsewhere."
)
@click.pass_obj
def set_acl(
    invocation: Invocation,
    path: str,
    entries: tuple[ACL, ...],
    version: int | None,
    recursive: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Replace the ACL of a node. ACL is scheme:id:permissions, or open, creator or read-only; several with commas.

    The permissions are letters: c creates children, d deletes them, r reads, w writes the data, a changes the ACL.
    """
    if recursive and version is not None:
        raise click.UsageError(
            "--recursive and --version exclude each other: the nodes below have versions of their own"
        )
    question = f"Set the ACLs of {on_one_line(path)} and all nodes below it?"
    if recursive and not (yes or dry_run) and not _confirm(invocation, question):
        return Status.REFUSED
    return invocation.run(
        lambda run: access_lists.set_acl(
            run, path, entries, -1 if version is None else version, recursive=recursive, dry_run=dry_run
        )
    )
