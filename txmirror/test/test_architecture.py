"""``docs/explanation/architecture.rst`` names the packages and modules that there are.

The document is found beside the examples (see ``test_examples``); where it is not there these tests are skipped.
"""

from __future__ import annotations

import re
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import txmirror
from txmirror.test.test_examples import find_examples

_PACKAGE = Path(txmirror.__file__).parent
_MODULE = re.compile(r"``([\w/]+\.py)``")
_ROW = re.compile(r"^(``[\w/]+``(?:, ``[\w/]+``)*)  ", re.MULTILINE)


class ArchitectureTests(SynchronousTestCase):
    def setUp(self) -> None:
        document = find_examples().parent / "explanation/architecture.rst"
        if not document.exists():
            raise SkipTest(f"there is no {document}")
        self.text = document.read_text("utf-8")

    def test_modules(self) -> None:
        """Every module that the document names exists."""
        named = _MODULE.findall(self.text)
        self.assertNotEqual(named, [])
        self.assertEqual([name for name in named if not (_PACKAGE / name).is_file()], [])

    def test_table(self) -> None:
        """The table has every package and single module once."""
        named = re.findall(r"\w+", " ".join(_ROW.findall(self.text)))
        packages = {path.parent.name for path in _PACKAGE.glob("*/__init__.py")} - {"test"}
        modules = {path.stem for path in _PACKAGE.glob("*.py")} - {"__init__", "__main__"}
        self.assertEqual(sorted(named), sorted(packages | modules))

    def test_drawings(self) -> None:
        """The document draws the layers of packages, and the states of a session."""
        for directive in ("layers", "session-states"):
            self.assertIn(f"\n.. {directive}::\n", self.text)
