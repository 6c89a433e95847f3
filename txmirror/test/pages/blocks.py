"""The code blocks of a document in reStructuredText, in order.

A comment just before a block says how it is tested::

    .. terminal: server (keeps running)
    .. file: greeters.py
    .. not-run: it installs a package of the system
    .. tested-by: txmirror.test.web.api.test_documentation
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import attrs

_DIRECTIVE = re.compile(r"( *)\.\. (code-block|literalinclude):: ?(.*)")
_OPTION = re.compile(r" +:([a-z-]+): ?(.*)")
#: The text of an item of a list begins after its bullet.
_MARGIN = re.compile(r" *(?:[-*] +|#\. +|\d+\. +)?")
_MARK = re.compile(r" *\.\. (terminal|file|not-run|tested-by|needs): (.+)")


@attrs.frozen
class Block:
    """One block.

    :ivar line: the number of its first line in the document, counted from 1.
    :ivar end: the number of the line after it.
    :ivar language: of a ``code-block``; ``literal`` for a block after ``::``, and ``include`` for a ``literalinclude``.
    :ivar argument: the file of a ``literalinclude``.
    :ivar options: the options of the directive.
    :ivar marks: the comments before it.
    :ivar lines: the content without its indentation.
    """

    line: int
    end: int
    language: str
    argument: str
    options: Mapping[str, str]
    marks: Mapping[str, str]
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The content as the text of a file."""
        return "".join(f"{line}\n" for line in self.lines)


def find_blocks(document: str) -> Iterator[Block]:
    """Yield the blocks of a document."""
    lines = document.expandtabs().splitlines()
    marks: dict[str, str] = {}
    in_text = False
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if mark := _MARK.fullmatch(line):
            marks[mark[1]] = mark[2]
            continue
        # They hold for the block, or for the paragraph that introduces it.
        if in_text and not line:
            marks = {}
        in_text = bool(line)
        if directive := _DIRECTIVE.fullmatch(line):
            begin, indentation = number, len(directive[1])
            options = {}
            while number < len(lines) and (option := _OPTION.fullmatch(lines[number])):
                options[option[1]] = option[2]
                number += 1
            content, number = _content(lines, number, indentation)
            included = directive[2] == "literalinclude"
            language = "include" if included else directive[3]
            yield Block(begin, number + 1, language, directive[3] if included else "", options, marks, content)
        elif line.endswith("::") and not line.lstrip().startswith(".. "):
            begin = number
            content, number = _content(lines, number, len(_MARGIN.match(line)[0]))  # type: ignore[index]
            yield Block(begin, number + 1, "literal", "", {}, marks, content)
        else:
            continue
        marks, in_text = {}, False


def _content(lines: list[str], number: int, indentation: int) -> tuple[tuple[str, ...], int]:
    """Return the lines that are indented more deeply, without their common indentation, and the number of the line after them."""
    begin = number
    while number < len(lines) and (not lines[number] or len(lines[number]) - len(lines[number].lstrip()) > indentation):
        number += 1
    block = lines[begin:number]
    while block and not block[-1]:
        block.pop()
    while block and not block[0]:
        block.pop(0)
    common = min((len(line) - len(line.lstrip()) for line in block if line), default=0)
    return tuple(line[common:] for line in block), number
