"""The command lines of ``export``, ``import`` and ``diff``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import click
from twisted.internet.defer import Deferred

from txmirror.cli import comparing, exporting, importing
from txmirror.cli.arguments import file_argument, file_name, optional_path, path_argument
from txmirror.cli.comparing import DiffOptions, Side
from txmirror.cli.completing import complete_file, complete_path, complete_profile
from txmirror.cli.exporting import ExportOptions
from txmirror.cli.importing import Export, ImportOptions
from txmirror.cli.invocation import Invocation, check_servers
from txmirror.cli.options import common_options
from txmirror.cli.run import Outcome, Run
from txmirror.cli.settings import Settings
from txmirror.cli.statuses import CommandError, Status
from txmirror.cli.subtrees.json_lines import cannot
from txmirror.cli.subtrees.plan import Existing
from txmirror.client import parse_servers
from txmirror.printable import on_one_line

_rate_option = click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="NUMBER",
    help="At most this number of nodes in a second.",
)


@click.command("export")
@common_options
@path_argument()
@file_argument()
@click.option("--folder", is_flag=True, help="Make FILE a folder, with a file for each node.")
@click.option("--resume", is_flag=True, help="Continue an export to FILE that was cut.")
@click.option("--acls", is_flag=True, help="Include the nodes' ACLs.")
@click.option("--ephemerals", is_flag=True, help="Include ephemeral nodes.")
@_rate_option
@click.pass_obj
def export(invocation: Invocation, /, path: str, file: str, **options: Any) -> int:
    """Write PATH and all nodes below it to FILE. They are lines of JSON. Without FILE they go to the standard output.

    Nodes that are created and deleted meanwhile may be missing. If the export is cut, for instance by Ctrl-C, --resume continues it.
    """
    if file == "-" and (options["resume"] or options["folder"]):
        raise click.UsageError("--resume and --folder need the name of a FILE, and not the standard output")
    settings = ExportOptions(None if file == "-" else file, **options)
    return invocation.run(lambda run: exporting.export(run, path, settings))


@click.command("import")
@common_options
@path_argument()
@file_argument()
@click.option(
    "--existing",
    type=click.Choice([each.value for each in Existing]),
    default=Existing.FAIL.value,
    show_default=True,
    help="If a node exists and differs: fail before the first write, skip the node, or overwrite it.",
)
@click.option("--prune", is_flag=True, help="Delete the nodes below PATH that are not in FILE, except ephemeral ones.")
@click.option("-n", "--dry-run", is_flag=True, help="Only list the writes.")
@click.option("--no-acls", is_flag=True, help="Ignore the ACLs in FILE.")
@click.option("--ephemerals", is_flag=True, help="Create the ephemeral nodes in FILE as persistent ones.")
@click.option("--partial", is_flag=True, help="Accept an export that was cut.")
@click.option("--parents", is_flag=True, help="Create missing nodes above PATH.")
@_rate_option
@click.option(
    *("-o", "--output"),
    type=click.Choice(("text", "jsonl")),
    default="text",
    help="The format of --dry-run.",
    show_default=True,
)
@click.pass_obj
def import_(
    invocation: Invocation, /, path: str, file: str, existing: str, no_acls: bool, output: str, **options: Any
) -> int:
    """Make PATH and the nodes below it equal to an export. The export is FILE, or the standard input.

    FILE is checked as a whole before the first write. If the import is cut, run it again: it does the rest.
    """
    settings = ImportOptions(Existing(existing), acls=not no_acls, as_json=output == "jsonl", **options)
    chroot = bool(parse_servers(invocation.settings().servers).chroot)
    importing.check_target(path, chroot)
    found = _open(file, invocation.stdin, partial=settings.partial)
    if settings.prune and not found.complete:
        found.close()
        raise click.UsageError("--prune and --partial exclude each other for an export that was cut")
    return invocation.run(lambda run: importing.import_(run, path, found, settings))


@click.command("diff")
@common_options
@path_argument()
@click.argument("other", metavar="[OTHER]", required=False, callback=optional_path, shell_complete=complete_path)
@click.option("--other-servers", metavar="HOSTS", help="The servers of OTHER. [default: those of PATH]")
@click.option(
    "--other-profile",
    metavar="NAME",
    shell_complete=complete_profile,
    help="The profile for OTHER, with its servers and credentials.",
)
@click.option(
    "--file",
    metavar="FILE",
    callback=file_name,
    shell_complete=complete_file,
    help='Compare PATH with a file or folder that "export" has written.',
)
@click.option("--acls", is_flag=True, help="Compare ACLs, too.")
@click.option("--ephemerals", is_flag=True, help="Compare ephemeral nodes, too.")
@click.option("-o", "--output", type=click.Choice(("text", "jsonl")), default="text", show_default=True)
@click.pass_obj
def diff(
    invocation: Invocation,
    path: str,
    other: str | None,
    other_servers: str | None,
    other_profile: str | None,
    file: str | None,
    acls: bool,
    ephemerals: bool,
    output: str,
) -> int:
    """Show the differences between PATH and OTHER. OTHER may be in another ensemble, or an export.

    OTHER is PATH by default. The exit status is 0 if they are equal, 1 if they differ, and 2 if one of them does not exist.
    """
    options = DiffOptions(acls, ephemerals, output == "jsonl")
    left = Side(path)
    if file is not None:
        if other is not None or other_servers is not None or other_profile is not None:
            raise click.UsageError("--file excludes OTHER, --other-servers and --other-profile")
        found = _open(file, invocation.stdin, partial=False)
        if acls and not found.header.acls:
            found.close()
            raise click.UsageError(f"--acls: {file!r} is an export without ACLs")
        if ephemerals and not found.header.ephemerals:
            found.close()
            raise click.UsageError(f"--ephemerals: {file!r} is an export without ephemeral nodes")
        exported = Side("/", export=found, file=file)
        return invocation.run(lambda run: comparing.diff(run, left, exported, options))
    settings = _other_settings(invocation, other_servers, other_profile)
    if settings is None and other is None:
        raise click.UsageError(
            "there is nothing to compare with: name OTHER, --other-servers, --other-profile or --file"
        )
    right = Side(path if other is None else other, settings)

    def compare(run: Run) -> Deferred[Outcome]:
        return comparing.diff(run, left, right, options)

    return invocation.run(compare)


def _other_settings(invocation: Invocation, servers: str | None, profile: str | None) -> Settings | None:
    """Return the settings of the other ensemble; None if it is the same."""
    if servers is not None:
        try:
            check_servers(servers)
        except ValueError as error:
            raise click.UsageError(f"--other-servers: {error}") from None
    if profile is not None:
        given = {} if servers is None else {"servers": servers}
        return attrs.evolve(invocation, given=given, access={}, profile=profile).settings()
    return None if servers is None else attrs.evolve(invocation.settings(), servers=servers)


def _open(path: str, stdin: BinaryIO, *, partial: bool) -> Export:
    """Open and check an export: a file or folder, or the standard input, which is copied to a temporary file first."""
    file: BinaryIO | None = None
    name = "the standard input" if path == "-" else path
    try:
        if path == "-":
            file = tempfile.TemporaryFile()  # noqa: SIM115 - the export closes it
            shutil.copyfileobj(stdin, file)
        elif not Path(path).is_dir():
            file = Path(path).open("rb")  # noqa: SIM115 - likewise
        if file is not None:
            _check_seekable(path, file)
        return Export(name, file, partial=partial)
    except BaseException as error:
        if file is not None:
            file.close()
        if isinstance(error, OSError):
            raise cannot(name, "read", error) from None
        raise


def _check_seekable(path: str, file: BinaryIO) -> None:
    if not file.seekable():
        raise CommandError(f"{on_one_line(path)}: it is a pipe: use the standard input", Status.USAGE)
