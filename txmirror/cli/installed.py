"""The commands that print files for the daemon: a unit for systemd, and a sample configuration."""

from __future__ import annotations

import shutil
import sys
from importlib import resources
from pathlib import Path

import click

#: The program in the unit, where the package is installed as in the manual.
_TWISTD = "/opt/txmirror/bin/twistd"


def read_installed(name: str) -> str:
    """Return a file of the folder ``data`` of the package."""
    return resources.files("txmirror").joinpath("data").joinpath(name).read_text(encoding="utf-8")


def make_unit(python: str) -> str:
    """Return the unit for systemd, with the ``twistd`` that is installed beside a Python.

    :param python: the path of the interpreter. If there is no ``twistd`` beside it, the unit has the path of the manual.
    """
    twistd = shutil.which("twistd", path=str(Path(python).parent))
    unit = read_installed("txmirror.service")
    return unit if twistd is None else unit.replace(_TWISTD, _quote(twistd))


def _quote(path: str) -> str:
    """Return a path for the beginning of a command in a unit."""
    for character, escaped in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        path = path.replace(character, escaped)
    return f'"{path}"' if any(character in path for character in " \t;'") or '\\"' in path else path


@click.command("unit")
def unit() -> int:
    """Print the systemd unit for the daemon of this installation."""
    click.echo(make_unit(sys.executable), nl=False)
    return 0


@click.command("sample-config")
def sample_config() -> int:
    """Print a configuration for the daemon with all keys. Each is commented out, with its default."""
    click.echo(read_installed("txmirror.toml.sample"), nl=False)
    return 0
