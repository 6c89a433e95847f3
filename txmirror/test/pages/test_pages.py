"""Each page of the documentation does what it shows: its commands run in terminals, and print the outputs that it shows.

The pages are found beside the examples (see ``test_examples``); where they are not there these tests are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.pages.blocks import Block, find_blocks
from txmirror.test.pages.terminals import Page, shared_programs
from txmirror.test.test_examples import find_examples
from txmirror.test.zookeeper import check_available


def find_pages() -> dict[str, Path]:
    """Return the pages by their names, which are those of their files in the tree; none without the examples."""
    try:
        docs = find_examples().parent
    except (SkipTest, AssertionError):
        return {}
    pages = {str(path.relative_to(docs.parent)): path for path in docs.rglob("*.rst") if "_build" not in path.parts}
    readme = docs.parent / "README.rst"
    return {"README.rst": readme, **pages} if readme.exists() else pages


PAGES = find_pages()


def blocks_of(name: str) -> list[Block]:
    return list(find_blocks(PAGES[name].read_text(encoding="utf-8")))


def is_run(block: Block) -> bool:
    return block.language == "console" and not {"not-run", "tested-by"} & set(block.marks)


class PageTests(SynchronousTestCase):
    """A test for each page with commands."""

    timeout = 60

    def run_page(self, page_name: str) -> None:
        blocks = blocks_of(page_name)
        page = Page(shared_programs(), find_examples())
        self.addCleanup(page.close)
        if not any("txmirror.embedded" in line for block in blocks if is_run(block) for line in block.lines):
            page.start_server()
        for block in blocks:
            if block.marks.get("needs") == "zookeeper":
                check_available()
            if block.language == "include":
                page.include(block)
            elif name := block.marks.get("file") or block.options.get("caption"):
                page.write(name, block.text)
            elif is_run(block):
                page.run(block)


def _make_test(name: str) -> Callable[[PageTests], None]:
    def test(self: PageTests) -> None:
        self.run_page(name)

    test.__doc__ = f"The commands of {name} print what it shows."
    return test


for _name in PAGES:
    if any(map(is_run, blocks_of(_name))):
        setattr(PageTests, "test_" + _name.removesuffix(".rst").replace("/", "_"), _make_test(_name))
