"""The pages of the documentation, and those of their blocks that other tests read.

The pages are found beside the examples (see ``test_examples``); where they are not there, tests that need them are skipped.
"""

from __future__ import annotations

from pathlib import Path
from unittest import SkipTest

from txmirror.test.pages.blocks import Block, find_blocks
from txmirror.test.test_examples import find_examples


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


def text_of(name: str) -> str:
    """Return the text of a page.

    :raises SkipTest: it is not there.
    """
    if name not in PAGES:
        raise SkipTest(f"there is no page {name} beside the examples")
    return PAGES[name].read_text(encoding="utf-8")


def blocks_of(name: str) -> list[Block]:
    """Return the blocks of a page.

    :raises SkipTest: it is not there.
    """
    return list(find_blocks(text_of(name)))


def tested_blocks(name: str, module: str) -> list[Block]:
    """Return the blocks of a page that have the mark ``tested-by`` with the name of a module.

    That module's tests call this with ``__name__``, and unpack the list, so that no block is left out:
    ``test_covered`` looks for the calls.

    :raises SkipTest: the page is not there.
    :raises AssertionError: it has no such block.
    """
    found = [block for block in blocks_of(name) if block.marks.get("tested-by") == module]
    if not found:
        raise AssertionError(f"no block of {name} is marked with 'tested-by: {module}'")
    return found
