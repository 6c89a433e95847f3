"""Tests of ``check_examples.py``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

SCRIPT = Path(__file__).resolve().parent / "check_examples.py"
DOCUMENT = """\
Title
=====

Some prose, and some more.

.. code-block:: python

    first = await ask()

    if first:
        print(first)

More prose::

    this is no Python

.. code-block:: python

    second = first
"""


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_examples", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["check_examples"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ProgramTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.script = load()

    def test_lines(self) -> None:
        """The program has every line of a block, on its own line, and nothing else."""
        lines = self.script.program("a.rst", DOCUMENT).splitlines()
        document = DOCUMENT.splitlines()
        kept = [(number, line) for number, line in enumerate(lines) if line and number > 1]
        self.assertEqual(
            [line.strip() for _, line in kept], ["first = await ask()", "if first:", "print(first)", "second = first"]
        )
        for number, line in kept:
            self.assertEqual(line, document[number])
        compile("\n".join(lines), "a.rst", "exec")

    def test_documents(self) -> None:
        """The script finds the documents that have blocks, and the blocks are Python."""
        names = set()
        for path in self.script.documents():
            name = str(path.relative_to(self.script.TREE))
            names.add(name)
            compile(self.script.program(name, path.read_text(encoding="utf-8")), name, "exec")
        self.assertLessEqual({"README.rst", "docs/guides/txzookeeper.rst"}, names)
        self.assertLessEqual(set(self.script.NAMES), names)

    def test_too_early(self) -> None:
        """A block that leaves no lines for the head of the module is refused."""
        self.assertRaises(ValueError, self.script.program, "a.rst", ".. code-block:: python\n    x = 1\n")
