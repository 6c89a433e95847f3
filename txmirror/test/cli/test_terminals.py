"""The commands about subtrees and servers in terminals of every width, in a plain locale, and in pipes."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.command import main
from txmirror.cli.command import txmirror as command
from txmirror.test.cli.test_transferring import TransferTestCase

_WIDTHS = (60, 200)
_COMMANDS = ("locks", "ensemble", "doctor", "export", "import", "diff")


class HelpTests(SynchronousTestCase):
    def help(self, name: str, width: int) -> list[str]:
        out = io.StringIO()
        self.patch(__import__("shutil"), "get_terminal_size", lambda *_: os.terminal_size((width, 25)))
        with contextlib.redirect_stdout(out):
            self.assertEqual(main([name, "--help"]), 0)
        return out.getvalue().splitlines()

    def test_width(self) -> None:
        """The help is not wider than the terminal, and is ASCII."""
        for name in _COMMANDS:
            for width in _WIDTHS:
                lines = self.help(name, width)
                self.assertTrue(all(len(line) <= width and line.isascii() for line in lines), name)

    def test_first_lines(self) -> None:
        """Each command has one sentence for the list of commands, which is not cut."""
        for name in _COMMANDS:
            self.assertNotIn("...", command.listed[name].shown(150), name)


class OutputTests(TransferTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_app()
        self.make("/lock")
        name = "a" * 32 + "__lock__0000000001"
        self.make(f"/lock/{name}", "größer: ".encode() + b"x" * 300, ephemeral=True)

    def shown(self, arguments: Sequence[str], width: int | None, encoding: str) -> list[str]:
        return self.start(*arguments, width=width, encoding=encoding).lines

    def test_tables(self) -> None:
        """Tables are not wider than a terminal, and whole in a pipe."""
        for arguments in (("ensemble",), ("locks", "/lock"), ("locks", "/", "-r", "--clients")):
            whole = self.shown(arguments, None, "utf-8")
            for width in _WIDTHS:
                lines = self.shown(arguments, width, "utf-8")
                table = [line for line in lines if not line.startswith(("Note", "Problem"))]
                self.assertTrue(all(len(line) <= width for line in table), table)
            self.assertTrue(any(len(line) > 60 for line in whole))
            self.assertFalse(any(line.endswith("...") for line in whole if "bytes)" not in line))

    def test_plain_locale(self) -> None:
        """What others have written does not break the output in a locale that has only ASCII: the stream escapes it."""
        self.make("/app/größe", "groß\n".encode())
        for arguments in (
            ("locks", "/lock", "-o", "jsonl"),
            ("export", "/app"),
            ("diff", "/app", "/lock", "-o", "jsonl"),
        ):
            self.assertTrue(all(line.isascii() for line in self.shown(arguments, None, "ascii")))

    def test_progress(self) -> None:
        """On a terminal there is a bar on stderr after a second, and nothing of it in the output."""
        self.make_many_below(40)
        command = self.start("export", "/app", "--rate", "10", error_terminal=True)
        self.world.pass_time(1.5)
        self.assertIn("Exporting", command.err)
        self.assertIn("/45  ", command.err)
        self.world.pass_time(10.0)
        self.assertEqual((command.status, len(command.lines)), (0, 47))
        quiet = self.start("export", "/app", "--rate", "10", "-q", error_terminal=True)
        self.world.pass_time(10.0)
        self.assertEqual((quiet.status, quiet.err), (0, ""))

    def make_many_below(self, count: int) -> None:
        for number in range(count):
            self.make(f"/app/db/{number}")
