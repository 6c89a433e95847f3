"""Every rule in docs/explanation/rules.rst has a test that names it, and tests cite only rules that exist.

The document is found beside the examples (see ``test_examples``); where it is not there these tests are skipped.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import txmirror.test
from txmirror.test.test_examples import find_examples

_LISTED = re.compile(r"^(Rule \d+|[A-IM]\d+)$", re.MULTILINE)
#: How docstrings cite: the rules of a session and of a mirrored node at their beginning, the others in brackets.
_CITED = re.compile(r"^(Rule \d+|M\d+)\b|\(([A-I]\d+(?:,\s+[A-I]\d+)*)\)")


def cited_in(docstring: str) -> set[str]:
    """Return the rules that a docstring cites."""
    rules = set()
    for match in _CITED.finditer(docstring):
        rules |= {match[1]} if match[1] else set(re.split(r",\s+", match[2]))
    return rules


@functools.cache
def docstrings() -> list[tuple[str, str]]:
    """Return the place and the docstring of every test of this package."""
    return [
        (f"{path.name}:{node.lineno}", ast.get_docstring(node) or "")
        for path in sorted(Path(txmirror.test.__file__).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    ]


class RuleTests(SynchronousTestCase):
    def setUp(self) -> None:
        document = find_examples().parent / "explanation/rules.rst"
        if not document.exists():
            raise SkipTest(f"there is no {document}")
        rules = _LISTED.findall(document.read_text("utf-8"))
        self.rules = set(rules)
        self.assertEqual(len(rules), len(self.rules), "a rule is listed twice")
        self.cited = {place: cited_in(docstring) for place, docstring in docstrings()}

    def test_each_has_a_test(self) -> None:
        """Every rule is cited by a test."""
        cited = set[str]().union(*self.cited.values())
        self.assertEqual(sorted(self.rules - cited), [])

    def test_each_citation(self) -> None:
        """Every rule that a test cites is in the document."""
        unknown = {place: rules - self.rules for place, rules in self.cited.items() if rules - self.rules}
        self.assertEqual(unknown, {})


class CitationTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Rules are cited at the beginning of a docstring, or in brackets, also one behind another."""
        self.assertEqual(cited_in("Rule 12: what is cancelled (E7)."), {"Rule 12", "E7"})
        self.assertEqual(cited_in("M3: older is not newer (D6, D7)."), {"M3", "D6", "D7"})
        self.assertEqual(cited_in("What is cut (B3,\n        C1)."), {"B3", "C1"})
        self.assertEqual(cited_in("A read of (A) at M2 by Rule 3 in A1."), set())
