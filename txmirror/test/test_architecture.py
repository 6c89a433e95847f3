"""The pages that explain how txmirror is built name the packages and modules that there are.

The pages are found beside the examples (see ``test_examples``); where they are not there these tests are skipped.
"""

from __future__ import annotations

import re
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import txmirror
from txmirror.test.test_examples import find_examples

_PACKAGE = Path(txmirror.__file__).parent
#: The pages below "How it is built".
_PAGES = ("architecture", "client", "mirror", "recipes", "registry", "daemon", "command", "tests")
_MODULE = re.compile(r"``([\w/]+\.py)``")
_ROW = re.compile(r"^(``[\w/]+``(?:, ``[\w/]+``)*)  ", re.MULTILINE)


class ArchitectureTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = find_examples().parent / "explanation"
        if not folder.exists():
            raise SkipTest(f"there is no {folder}")
        self.table = (folder / "architecture.rst").read_text("utf-8")
        self.text = "\n".join((folder / f"{name}.rst").read_text("utf-8") for name in _PAGES)

    def test_modules(self) -> None:
        """Every module that the pages name exists."""
        named = _MODULE.findall(self.text)
        self.assertGreater(len(named), 100)
        self.assertEqual([name for name in named if not (_PACKAGE / name).is_file()], [])

    def test_table(self) -> None:
        """The table has every package and single module once."""
        named = re.findall(r"\w+", " ".join(_ROW.findall(self.table)))
        packages = {path.parent.name for path in _PACKAGE.glob("*/__init__.py")} - {"test"}
        modules = {path.stem for path in _PACKAGE.glob("*.py")} - {"__init__", "__main__"}
        self.assertEqual(sorted(named), sorted(packages | modules))

    def test_drawings(self) -> None:
        """The pages draw the layers of packages, and the states of a session."""
        for directive in ("layers", "session-states"):
            self.assertIn(f"\n.. {directive}::\n", self.text)
