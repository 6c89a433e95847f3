"""No block of a page is without a test: it is run, is a part of an example that is run, or says why not.

The pages are found beside the examples (see ``test_examples``); where they are not there these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Sequence
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.pages.blocks import Block
from txmirror.test.pages.test_pages import PAGES, blocks_of, is_run
from txmirror.test.test_examples import find_examples

#: The examples that are no programs in Python, and the tests that read them.
FILES = {
    "alerts.yml": "txmirror.test.neighbours.test_scraping",
    "daemon.toml": "txmirror.test.configuration.test_machine",
    "daemon.d/worker.toml": "txmirror.test.configuration.test_machine",
    "haproxy.cfg.j2": "txmirror.test.output_files.test_templates",
    "ensemble.sh": "txmirror.test.pages.test_pages",
}


#: Where every block is covered. Other pages may have texts, such as parts of files and of logs, that are not.
WHOLE = ("README.rst", "docs/tutorial/", "docs/guides/")


def starts_session(block: Block) -> bool:
    """Return whether a block begins with a command."""
    return bool(block.lines) and block.lines[0].startswith("$ ")


def contains(lines: Sequence[str], part: Sequence[str]) -> bool:
    """Return whether the lines contain the others, one after another, with any indentation of all."""
    for begin in range(len(lines) - len(part) + 1):
        text = "\n".join(lines[begin : begin + len(part)])
        if textwrap.dedent(text).splitlines() == list(part):
            return True
    return False


class CoveredTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not PAGES:
            raise SkipTest("there are no pages beside the examples")
        self.programs = [path.read_text(encoding="utf-8").splitlines() for path in find_examples().glob("*.py")]

    def reason(self, page: str, block: Block) -> str:
        """Return why a block is not covered, or nothing."""
        if "tested-by" in block.marks:
            found = importlib.util.find_spec(block.marks["tested-by"])
            return "" if found else f"there is no test {block.marks['tested-by']}"
        if "not-run" in block.marks or is_run(block):
            return ""
        if not page.startswith(WHOLE) and block.language not in {"python", "console"} and not starts_session(block):
            return ""
        if block.language == "include":
            name = block.argument.removeprefix("/examples/")
            if not (find_examples() / name).is_file():
                return f"there is no example {name}"
            # That no program is without a test, the tests of examples say.
            return "" if name in FILES or ("/" not in name and name.endswith(".py")) else f"no test reads {name}"
        if block.language == "python" and any(contains(program, block.lines) for program in self.programs):
            return ""
        return "it is neither run, nor a part of an example, nor marked"

    def test_every_block(self) -> None:
        """Each block is covered."""
        found = [
            f"{name}, line {block.line} ({block.language}): {reason}"
            for name in PAGES
            for block in blocks_of(name)
            if (reason := self.reason(name, block))
        ]
        self.assertEqual(found, [], "\n".join(["", *found]))

    def test_files(self) -> None:
        """The tests of the other files exist."""
        self.assertEqual([name for name, test in FILES.items() if importlib.util.find_spec(test) is None], [])

    def test_contains(self) -> None:
        """A part has all its lines in order, and may be indented."""
        lines = ["def f():", "    a()", "    b()"]
        self.assertTrue(contains(lines, ["a()", "b()"]))
        self.assertTrue(contains(lines, lines))
        self.assertFalse(contains(lines, ["a()", "c()"]))
        self.assertFalse(contains(lines, ["b()", "a()"]))
