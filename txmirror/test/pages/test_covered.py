"""No block of a page is without a test: it is run, is a part of an example that is run, is read by another test, or says why not.

The pages are found beside the examples (see ``test_examples``); where they are not there these tests are skipped.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.pages.blocks import Block
from txmirror.test.pages.found import PAGES, blocks_of, text_of
from txmirror.test.pages.test_pages import is_run
from txmirror.test.test_examples import find_examples

#: The included files that are no programs in Python, and the tests that read them.
FILES = {
    "/examples/alerts.yml": "txmirror.test.neighbours.test_scraping",
    "/examples/daemon.toml": "txmirror.test.configuration.test_machine",
    "/examples/daemon.d/worker.toml": "txmirror.test.configuration.test_machine",
    "/examples/haproxy.cfg.j2": "txmirror.test.output_files.test_templates",
    "/examples/ensemble.sh": "txmirror.test.pages.test_pages",
    "/day.log": "txmirror.test.integration.test_day",
    "../../txmirror/data/txmirror.service": "txmirror.test.integration.test_systemd",
}
#: At most so many blocks are marked as not run.
NOT_RUN = 4
#: Directives that would show code without a test.
_OTHERS = re.compile(
    r"^ *(\.\. (?:code|sourcecode|parsed-literal|doctest|testcode|prompt|highlight)::|>>> )", re.MULTILINE
)


@cache
def read_by(module: str) -> frozenset[str]:
    """Return the pages whose blocks a module reads: the first arguments of its calls of ``tested_blocks``.

    :raises ValueError: there is no such module.
    """
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ValueError(f"there is no module {module}")
    names = set[str]()
    for node in ast.walk(ast.parse(Path(found.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tested_blocks":
            name, caller = node.args
            if isinstance(name, ast.Constant) and isinstance(caller, ast.Name) and caller.id == "__name__":
                names.add(str(name.value))
    return frozenset(names)


def with_later(blocks: Sequence[Block]) -> Iterator[tuple[Block, Sequence[Block]]]:
    """Yield each block, and the blocks after it."""
    for number, block in enumerate(blocks):
        yield block, blocks[number + 1 :]


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

    def reason(self, page: str, block: Block, later: Sequence[Block] = ()) -> str:
        """Return why a block is not covered, or nothing.

        :param later: the blocks of its page after it.
        """
        if "tested-by" in block.marks:
            module = block.marks["tested-by"]
            try:
                return "" if page in read_by(module) else f"{module} does not read the blocks of this page"
            except ValueError as error:
                return str(error)
        if "not-run" in block.marks or is_run(block):
            return ""
        if block.language == "include":
            if not (PAGES[page].parent / block.argument).exists() and not self.file(block).exists():
                return f"there is no file {block.argument}"
            # That no program is without a test, the tests of examples say.
            program = re.fullmatch(r"/examples/[^/]+\.py", block.argument)
            return "" if program or block.argument in FILES else f"no test reads {block.argument}"
        if block.language == "python" and any(contains(program, block.lines) for program in self.programs):
            return ""
        name = block.marks.get("file") or block.options.get("caption")
        if name and block.language != "python" and any(is_run(each) and name in each.text for each in later):
            return ""
        return "it is neither run, nor a part of an example, nor marked"

    def file(self, block: Block) -> Path:
        """Return the file of a block that includes one by its path from ``docs``."""
        return find_examples().parent / block.argument.lstrip("/")

    def test_every_block(self) -> None:
        """Each block is covered."""
        found = [
            f"{name}, line {block.line} ({block.language}): {reason}"
            for name in PAGES
            for block, later in with_later(blocks_of(name))
            if (reason := self.reason(name, block, later))
        ]
        self.assertEqual(found, [], "\n".join(["", *found]))

    def test_not_run(self) -> None:
        """Few blocks say that nothing runs them."""
        found = [
            f"{name}, line {block.line}" for name in PAGES for block in blocks_of(name) if "not-run" in block.marks
        ]
        self.assertLessEqual(len(found), NOT_RUN, "\n".join(found))

    def test_other_directives(self) -> None:
        """No code is in a directive that these tests do not know."""
        found = {name: directives for name in PAGES if (directives := _OTHERS.findall(text_of(name)))}
        self.assertEqual(found, {})

    def test_files(self) -> None:
        """The tests of the other files exist, and name them."""
        for name, test in FILES.items():
            found = importlib.util.find_spec(test)
            assert found is not None, test
            assert found.origin is not None, test
            if test != "txmirror.test.pages.test_pages":
                self.assertIn(name.rpartition("/")[2], Path(found.origin).read_text(encoding="utf-8"), test)

    def test_uncovered(self) -> None:
        """Blocks without a test are seen, in any language, and so is a mark with a module that does not read them."""
        page = "docs/operations/http.rst"

        def block(language: str = "literal", **marks: str) -> Block:
            marks = {name.replace("_", "-"): value for name, value in marks.items()}
            return Block(1, 3, language, "", {}, marks, ("$ txmirror ls",))

        self.assertIn("neither run", self.reason(page, block()))
        self.assertIn("neither run", self.reason(page, block("python")))
        self.assertIn("neither run", self.reason(page, block("toml", file="a.toml"), [block("console")]))
        self.assertEqual(self.reason(page, block("toml", file="txmirror"), [block("console")]), "")
        self.assertEqual(self.reason(page, block("console")), "")
        self.assertIn("there is no module", self.reason(page, block(tested_by="txmirror.test.test_nothing")))
        self.assertIn("does not read", self.reason(page, block(tested_by="txmirror.test.test_paths")))
        self.assertEqual(self.reason(page, block(tested_by="txmirror.test.web.api.test_documentation")), "")

    def test_contains(self) -> None:
        """A part has all its lines in order, and may be indented."""
        lines = ["def f():", "    a()", "    b()"]
        self.assertTrue(contains(lines, ["a()", "b()"]))
        self.assertTrue(contains(lines, lines))
        self.assertFalse(contains(lines, ["a()", "c()"]))
        self.assertFalse(contains(lines, ["b()", "a()"]))
