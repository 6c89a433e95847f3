"""The list of the commands is right, and is made without them: a command's module is imported only when it is used."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module

import click
from twisted.trial.unittest import SynchronousTestCase

import txmirror.cli
from txmirror.cli.command import txmirror as command

#: Run command lines without a reactor, complete others, and print which of some packages were imported.
_PROGRAM = """
import os, sys
from txmirror.cli.command import main
for line in {complete!r}:
    os.environ.update(_TXMIRROR_COMPLETE="bash_complete", COMP_WORDS=line)
    try:
        main([])
    except SystemExit:
        pass
os.environ.pop("_TXMIRROR_COMPLETE", "")
for arguments in {run!r}:
    assert main(arguments, launch=lambda settings, program: 0) == 0
print()
print(*(name for name in {names!r} if name in sys.modules))
"""


class ListTests(SynchronousTestCase):
    def test_summaries(self) -> None:
        """The list has the beginning of each command's help, in every width."""
        for name, listed in command.listed.items():
            loaded = listed.load()
            self.assertEqual(loaded.name, {"rm": "delete"}.get(name, name))
            paragraph = " ".join((loaded.help or "").split("\n\n")[0].split())
            self.assertIn(paragraph.removeprefix(listed.summary)[:1], ("", " "), name)
            for limit in (20, 45, 60, 80, 200):
                self.assertEqual(listed.shown(limit), loaded.get_short_help_str(limit), name)

    def test_complete(self) -> None:
        """Every command of the package is in the list, or in a group that is."""
        listed = [each.load() for each in command.listed.values()]
        below = [each for group in listed if isinstance(group, click.Group) for each in group.commands.values()]
        for module in pkgutil.iter_modules(txmirror.cli.__path__, "txmirror.cli."):
            for each in vars(import_module(module.name)).values():
                if isinstance(each, click.Command) and each is not command:
                    self.assertIn(each, [*listed, *below], each.name)


class ImportTests(SynchronousTestCase):
    def imported(self, names: Sequence[str], run: Sequence[Sequence[str]], complete: Sequence[str] = ()) -> list[str]:
        """Run and complete command lines in a new process, and return which of these modules it has imported."""
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(names=names, run=run, complete=complete)],
            env={name: value for name, value in os.environ.items() if "TXMIRROR" not in name},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        self.assertEqual(done.stderr, "")
        for expected in complete:
            self.assertIn(f"plain,{expected.split()[-1]}", done.stdout)
        return done.stdout.splitlines()[-1].split()

    def test_help(self) -> None:
        """Help, version, and completion of names and options import nothing of Twisted."""
        names = ("click", "twisted", "yaml")
        lines = ("txmirror ge", "txmirror --ser")
        self.assertEqual(self.imported(names, [["--help"], ["--version"]], lines), ["click"])

    def test_nodes(self) -> None:
        """Commands that read or write a node import the client, and nothing that stands on it."""
        names = ("txmirror.client", "txmirror.mirror", "txmirror.recipes", "txmirror.registry", "klein", "yaml")
        lines = (["get", "/a"], ["ls", "/"], ["set", "/a", "1"], ["delete", "/a"])
        self.assertEqual(self.imported(names, lines), ["txmirror.client"])
