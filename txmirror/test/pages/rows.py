"""The tables of calls on pages: their cells, and the code in them, which tests run."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any

import attrs

from txmirror.test.pages.found import text_of

#: The beginning of a row, of a further cell, and a further line of a cell.
_ROW, _CELL, _MORE = re.compile(r" {3}\* - ?(.*)"), re.compile(r" {5}- ?(.*)"), re.compile(r" {7}(\S.*)")
_CODE = re.compile(r"(?<![`:\w])``(.+?)``(?!`)")


@attrs.frozen
class Cell:
    """One cell.

    :ivar text: its text in one line.
    """

    text: str

    @property
    def codes(self) -> list[str]:
        """The pieces of code in it."""
        return _CODE.findall(self.text)

    @property
    def code(self) -> str:
        """Its code, which is all that it has.

        :raises ValueError: it has something else.
        """
        found = _CODE.fullmatch(self.text)
        if found is None or "``" in found[1]:
            raise ValueError(f"not only code: {self.text}")
        return found[1]


def rows_of(page: str) -> Iterator[list[Cell]]:
    """Yield the rows of a page's list tables, with their heads.

    :raises SkipTest: the page is not there.
    """
    cells: list[str] = []
    for line in text_of(page).splitlines():
        if found := _ROW.fullmatch(line):
            if cells:
                yield list(map(Cell, cells))
            cells = [found[1]]
        elif cells and (found := _CELL.fullmatch(line)):
            cells.append(found[1])
        elif cells and (found := _MORE.fullmatch(line)):
            cells[-1] = f"{cells[-1]} {found[1]}"
        elif cells:
            yield list(map(Cell, cells))
            cells = []
    if cells:
        yield list(map(Cell, cells))


def parts(code: str) -> tuple[Any, Any]:
    """Compile statements: all but the last, and the last one, whose value is the result."""
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr), code
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(tree, code, "exec", flags), compile(ast.Expression(last.value), code, "eval", flags)


async def run_code(code: str, names: dict[str, Any]) -> Any:
    """Run statements, which may await, and return the value of the last one.

    :param names: the names that the code uses; those that it defines are added.
    """
    result: Any = None
    for each in parts(code):
        result = eval(each, names)  # noqa: S307 - it is code of the page
        if inspect.isawaitable(result):
            result = await result
    return result
