"""The ``txmirror`` command."""

from txmirror.cli.command import main

__all__ = ["main"]
