"""The ``txmirror`` command."""

from txmirror.cli.start import main

__all__ = ["main"]
