"""The bounds of the source code: the words of docstrings, and the sizes of modules and classes.

A module or class may be larger with a reason beside it, as in "It has more than 12 attributes because ...".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txmirror

_PACKAGE = Path(txmirror.__file__).parent
#: The most of each word in 1,000 words of docstrings.
_WORDS = {r"what(ever)?": 3.0, r"who(ever|m)?": 1.0, r"tells?|told": 0.5, r"gives?|gave": 1.0}
_NO_BEGINNING = re.compile(r"(What|Who|Whether|Those|Gives?|Tells?|See)\b")
_LINES, _METHODS, _ATTRIBUTES, _PARAMETERS = 350, 25, 12, 7


def _sources() -> Iterator[tuple[str, str, ast.Module]]:
    """Yield the name, the text and the syntax of each module."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        if "test" not in path.relative_to(_PACKAGE).parts:
            text = path.read_text("utf-8")
            yield str(path.relative_to(_PACKAGE)), text, ast.parse(text)


def _docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield the docstrings of a module, also those of attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def _is_of_attrs(node: ast.ClassDef) -> bool:
    return any(re.search(r"\battrs\.(define|frozen)\b", ast.unparse(each)) for each in node.decorator_list)


def _sizes(node: ast.ClassDef) -> Iterator[tuple[int, int, str]]:
    """Yield the sizes of a class, each with its bound and its name."""
    methods = {each.name: each for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))}
    yield len(methods), _METHODS, "methods"
    attributes = {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
    }
    fields = {
        each.target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        if not re.search(r"\bClassVar\b|\binit=False\b", ast.unparse(each))
    }
    if _is_of_attrs(node):
        # The fields of a value are no state.
        yield len(fields), _PARAMETERS, "parameters"
    elif "__init__" in methods:
        yield len(attributes), _ATTRIBUTES, "attributes"
        arguments = methods["__init__"].args
        yield len(arguments.args) - 1 + len(arguments.kwonlyargs), _PARAMETERS, "parameters"


class SourceTests(SynchronousTestCase):
    def test_first_words(self) -> None:
        """No docstring begins with one of these words."""
        found = [(name, text) for name, _, tree in _sources() for text in _docstrings(tree)]
        self.assertGreater(len(found), 1000)
        self.assertEqual([each for each in found if _NO_BEGINNING.match(each[1].strip())], [])

    def test_words(self) -> None:
        """These words are rare in docstrings."""
        text = "\n".join(each for _, _, tree in _sources() for each in _docstrings(tree))
        thousands = len(re.findall(r"[A-Za-z][\w'-]*", text)) / 1000
        for word, most in _WORDS.items():
            count = len(re.findall(rf"\b({word})\b", text, re.IGNORECASE))
            self.assertLess(count / thousands, most, word)

    def test_sizes(self) -> None:
        """Each module and class over the bounds has a reason beside it."""
        without: list[str] = []
        for name, text, tree in _sources():
            lines = text.splitlines()
            if len(lines) > _LINES and f"more than {_LINES} lines" not in text:
                without.append(f"{name} has {len(lines)} lines")
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                    source = " ".join(" ".join(lines[max(first - 4, 0) : node.end_lineno]).replace("#", "").split())
                    without += [
                        f"{name}: {node.name} has {size} {kind}"
                        for size, most, kind in _sizes(node)
                        if size > most and not re.search(rf"more than {most} (and \d+ )?{kind}", source, re.IGNORECASE)
                    ]
        self.assertEqual(without, [])
