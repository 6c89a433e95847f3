"""Each option that the text of a page names exists: in the command that it names, in the daemon, in a script, or in another program.

Options in blocks are not looked at here: the blocks are run.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from unittest import SkipTest

import click
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.command import txmirror as command
from txmirror.service import Options
from txmirror.test.pages.found import PAGES, blocks_of, text_of
from txmirror.test.test_examples import find_examples
from txmirror.testing.storm.command import main as run_storm

_PAGE = "docs/operations/command.rst"
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
#: A piece of code, which may go on in the next line.
_CODE = re.compile(r"(?<!`)``([^`]+)``(?!`)")
#: A term of the list of commands.
_TERM = re.compile(r"``txmirror ([a-z][a-z-]*)")
#: Options of programs that are not ours, and whose help is not at hand.
_OTHERS = {"--init": "docker run"}


def options_of(group: click.Command, name: str = "txmirror") -> Iterator[tuple[str, set[str]]]:
    """Yield the commands, by their whole names, with their options."""
    yield name, {"--help"}.union(*([*each.opts, *each.secondary_opts] for each in group.params))
    if isinstance(group, click.Group):
        context = click.Context(group)
        for each in group.list_commands(context):
            found = group.get_command(context, each)
            assert found is not None
            yield from options_of(found, f"{name} {each}")


def prose_of(page: str) -> list[str]:
    """Return the lines of a page; those of its blocks are empty."""
    lines = text_of(page).splitlines()
    for block in blocks_of(page):
        lines[block.line - 1 : block.end - 1] = [""] * (block.end - block.line)
    return lines


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not PAGES:
            raise SkipTest("there are no pages beside the examples")
        self.commands = dict(options_of(command))
        self.shared = self.commands["txmirror"]

    def of_command(self, name: str) -> set[str]:
        """Return the options of a command, and of those below it."""
        every = [options for each, options in self.commands.items() if f"{each} ".startswith(f"txmirror {name} ")]
        self.assertNotEqual(every, [], f"there is no command {name}")
        return self.shared.union(*every)

    def test_commands(self) -> None:
        """Each command on the page of commands has the options that its entry names."""
        name, wrong, count = "", list[str](), 0
        for number, line in enumerate(prose_of(_PAGE), 1):
            if term := _TERM.match(line):
                name = term[1]
            elif line and not line.startswith(" "):
                name = ""
            if name:
                count += len(_OPTION.findall(line))
                known = self.of_command(name)
                wrong += [f"line {number}: {name} {each}" for each in _OPTION.findall(line) if each not in known]
        self.assertEqual(wrong, [])
        self.assertGreater(count, 50)

    def test_command_lines(self) -> None:
        """Each command line of the command in the text of a page has the options of that command."""
        wrong, count = list[str](), 0
        for page in PAGES:
            for code in _CODE.findall("\n".join(prose_of(page))):
                if (line := re.match(r"txmirror ([a-z][a-z-]*)", code)) and " -- " not in code:
                    options = _OPTION.findall(code)
                    count += len(options)
                    wrong += [f"{page}: {code}" for each in options if each not in self.of_command(line[1])]
        self.assertEqual(wrong, [])
        self.assertGreater(count, 5)

    def test_known(self) -> None:
        """Each other option is one of a program of ours, of twistd, or of a named program."""
        known = set(self.shared).union(*self.commands.values(), _OTHERS, *self.of_programs().values())
        found = {
            option: page
            for page in PAGES
            for code in _CODE.findall("\n".join(prose_of(page)))
            for option in _OPTION.findall(code)
        }
        self.assertGreater(len(found), 40)
        self.assertEqual({option: page for option, page in found.items() if option not in known}, {})

    def of_programs(self) -> Mapping[str, set[str]]:
        """Return the options of the other programs, by their names."""
        daemon = Options()
        found = {"twistd": set(_OPTION.findall(ServerOptions().getUsage()))}
        for name, options in [("txmirror", daemon), *((each[0], each[2]()) for each in daemon.subCommands)]:
            found[f"twistd {name}"] = set(_OPTION.findall(options.getUsage()))
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
            run_storm(["--help"])
        found["txmirror.testing.storm"] = set(_OPTION.findall(output.getvalue()))
        for path in (find_examples().parents[1] / "benchmarks").glob("*.py"):
            found[path.name] = set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', path.read_text(encoding="utf-8")))
        return found
