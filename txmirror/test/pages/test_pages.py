"""Each page of the documentation does what it shows: its commands run in terminals, and print the outputs that it shows.

The pages are found beside the examples (see ``test_examples``); where they are not there these tests are skipped.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.pages.blocks import Block
from txmirror.test.pages.found import PAGES, blocks_of
from txmirror.test.pages.terminals import Page, shared_programs
from txmirror.test.test_examples import find_examples
from txmirror.test.zookeeper import check_available


def is_run(block: Block) -> bool:
    return block.language == "console" and not {"not-run", "tested-by"} & set(block.marks)


#: Programs in commands that not every machine has.
_OTHERS = ("curl", "jq")


def missing_programs(blocks: Sequence[Block]) -> list[str]:
    """Return the programs in the commands that are not installed."""
    lines = "\n".join(line for block in blocks if is_run(block) for line in block.lines)
    return [name for name in _OTHERS if re.search(rf"\b{name}\b", lines) and shutil.which(name) is None]


class PageTests(SynchronousTestCase):
    """A test for each page with commands."""

    timeout = 60

    def run_page(self, page_name: str) -> None:
        blocks = blocks_of(page_name)
        if missing := missing_programs(blocks):
            raise SkipTest(f"not installed: {', '.join(missing)}")
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
