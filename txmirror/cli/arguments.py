"""The arguments that several commands have: paths of nodes, names of files, data, and a program."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Final, TypeVar

import click

from txmirror import paths
from txmirror.cli.completing import complete_file, complete_path
from txmirror.printable import is_utf8

_F = TypeVar("_F", bound=Callable[..., Any])


def check_path(value: str, *, root: bool = True) -> str:
    """Return a znode's normalised path: with a slash at the beginning, and without doubled or trailing ones.

    :param root: whether it may be the root.
    :raises click.BadParameter: it is not a path; the message quotes it.
    """
    if not value:
        # A script may have forgotten to set a variable.
        raise click.BadParameter("'' is no path; the root is '/'")
    try:
        path = paths.normalise(_as_utf8(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if path == "/" and not root:
        raise click.BadParameter("'/' always exists: it is never created, deleted or registered")
    return path


def _as_utf8(value: str) -> str:
    """Return an argument that Python could not decode by the locale, decoded as UTF-8: the encoding of paths."""
    if is_utf8(value):
        return value
    try:
        return os.fsencode(value).decode()
    except UnicodeError:
        return value


def path_argument(default: str | None = None, *, root: bool = True) -> Callable[[_F], _F]:
    """Add the argument PATH to a command.

    :param default: the default; None makes the argument required.
    :param root: whether PATH may be the root.
    """
    # For some versions of click a default of None is one.
    settings: dict[str, Any] = {} if default is None else {"default": default}
    return click.argument(
        "path", callback=lambda _, __, value: check_path(value, root=root), shell_complete=complete_path, **settings
    )


def new_path_argument() -> Callable[[_F], _F]:
    """Add the argument PATH to a command that creates a node there. With :data:`sequential_option` it may end with a slash: then the
    whole name is digits.
    """

    def check(ctx: click.Context, _: click.Parameter, value: str) -> str:
        only_digits = ctx.params["sequential"] and value.endswith("/")
        path = check_path(value, root=only_digits)
        return path.rstrip("/") + "/" if only_digits else path

    return click.argument("path", callback=check, shell_complete=complete_path)


#: It is read before PATH, because it decides which paths are valid.
sequential_option: Final = click.option(
    "--sequential", is_flag=True, is_eager=True, help="Let the server append ten digits to the name."
)


def optional_path(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check a path that may be missing."""
    return None if value is None else check_path(value)


def file_name(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check the name of a file, which may be missing, but not empty."""
    if value == "":
        # As for paths; and the folder of this name would be the current one.
        raise click.BadParameter("'' is no name of a file")
    return value


def file_argument() -> Callable[[_F], _F]:
    """Add the argument FILE to a command. It is "-" by default: the standard input or output."""
    return click.argument("file", default="-", callback=file_name, shell_complete=complete_file)


def paths_argument(*, required: bool = True) -> Callable[[_F], _F]:
    """Add the argument PATH... to a command, for one path or several; none is the root if it is not required."""

    def check(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
        return tuple(map(check_path, values or ("/",)))

    return click.argument(
        "paths", metavar="PATH...", nargs=-1, required=required, callback=check, shell_complete=complete_path
    )


def program_argument(*, required: bool) -> Callable[[_F], _F]:
    """Add the argument COMMAND to a command: a program and its arguments."""
    return click.argument("command", nargs=-1, required=required, type=click.UNPROCESSED, shell_complete=complete_file)


def read_content(stdin: BinaryIO, data: str) -> bytes:
    """Return the bytes of an argument with data; "-" is the standard input."""
    return stdin.read() if data == "-" else os.fsencode(data)
