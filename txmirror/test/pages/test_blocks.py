"""The blocks of a document are found with their marks; a session is split into commands, and an output that differs is seen."""

from __future__ import annotations

from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.pages import found
from txmirror.test.pages.blocks import find_blocks
from txmirror.test.pages.rows import rows_of
from txmirror.test.pages.terminals import Page, PageFailed, matches, shared_programs, split

DOCUMENT = """\
Title
=====

.. not-run: it needs a printer
.. terminal: one

.. code-block:: console
   :caption: shell

   $ lpr
     done

Text::

    literal

- A list

  .. literalinclude:: /examples/client.py
     :pyobject: main
"""


class BlockTests(SynchronousTestCase):
    def test_blocks(self) -> None:
        """Each block has its language, options, marks and lines. Marks are those of the next block only."""
        console, literal, include = find_blocks(DOCUMENT)
        self.assertEqual((console.language, console.options), ("console", {"caption": "shell"}))
        self.assertEqual((console.line, console.end), (7, 13))
        self.assertEqual(console.marks, {"not-run": "it needs a printer", "terminal": "one"})
        self.assertEqual(console.lines, ("$ lpr", "  done"))
        self.assertEqual((literal.language, literal.lines, literal.marks), ("literal", ("literal",), {}))
        self.assertEqual((include.language, include.argument), ("include", "/examples/client.py"))
        self.assertEqual(include.options, {"pyobject": "main"})

    def test_commands(self) -> None:
        """A command may have several lines, and a key may be pressed before its output."""
        lines = ["before", "$ for n in 1 2; do", "> echo $n", "> done", "1", "2", "^C", "ended"]
        expected = [("", ["before"]), ("for n in 1 2; do\necho $n\ndone", ["1", "2"]), ("^C", ["ended"])]
        self.assertEqual(list(split(lines)), expected)

    def test_output(self) -> None:
        """Outputs may differ in times, ids and ports, and where the page has three dots; not in anything else."""
        equal = [
            (["at 2026-11-30 07:12:10"], ["at 2027-01-01 00:00:00"]),
            (["session 0x14834fd42f70000"], ["session 0x100002fe4de0001"]),
            (["port 34407"], ["port 51234"]),
            (["at :34407."], ["at :51234."]),
            (["f02df6b809aa41eb83491d9f8b3fb971__lock__"], ["9f34b8e976df45529b3f6747ee4b4c11__lock__"]),
            (["Quit (core dumped)"], ["bash: line 3: 30011 Quit                    python greeter.py Ada"]),
            (["a ... c"], ["a b c"]),
            (["a", "...", "z"], ["a", "b", "c", "z"]),
            (["a", "..."], ["a"]),
            ([], []),
        ]
        different = [
            (["a"], ["b"]),
            (["a"], ["a", "b"]),
            (["a", "b"], ["a"]),
            (["a.c"], ["abc"]),
            (["port 80"], ["port 81"]),
        ]
        self.assertEqual([matches(*pair) for pair in equal], [True] * len(equal))
        self.assertEqual([matches(*pair) for pair in different], [False] * len(different))


class RowTests(SynchronousTestCase):
    def test_rows(self) -> None:
        """The cells of a table are found, also if they have several lines; a cell of code has nothing else."""
        text = "A\n\n.. list-table::\n\n   * - ``a()``\n     - :class:`B`: ``b()``,\n       ``c()``\n   * - d\n     -\n\n- no cell\n"
        page = Path(self.mktemp())
        page.write_text(text)
        self.patch(found, "PAGES", {"page.rst": page})
        first, second = rows_of("page.rst")
        self.assertEqual([cell.codes for cell in first], [["a()"], ["b()", "c()"]])
        self.assertEqual([cell.text for cell in second], ["d", ""])
        self.assertEqual(first[0].code, "a()")
        self.assertRaises(ValueError, lambda: first[1].code)
        self.assertRaises(SkipTest, list, rows_of("other.rst"))


class PageTests(SynchronousTestCase):
    timeout = 30

    def setUp(self) -> None:
        self.page = Page(shared_programs(), Path("docs/examples"))
        self.addCleanup(self.page.close)

    def run_text(self, text: str) -> None:
        for block in find_blocks(text):
            self.page.run(block)

    def test_right(self) -> None:
        """Variables and folders stay from one command to the next; programs in Python have streams, arguments and a status."""
        self.run_text(
            """\
.. code-block:: console

    $ mkdir a; cd a; export NAME=Ada
    $ echo "$NAME, $(basename $PWD)" | python -c "import sys; print(sys.stdin.read().strip(), sys.argv[1:]); sys.exit(3)" 7
    Ada, a ['7']
    $ echo $?
    3
    $ python -c "raise ValueError('no')"
    Traceback (most recent call last):
    ...
    ValueError: no
    $ echo $?
    1
"""
        )

    def test_wrong(self) -> None:
        """Another output, a status that the page does not show, and a program that does not end fail, with the line."""
        for text, message in (
            ("    $ echo a\n    b", "line 2: $ echo a\nthe page shows:\n  b\nit printed:\n  a"),
            ("    $ (exit 3)", "line 2: $ (exit 3)\nits status is 3"),
        ):
            error = self.assertRaises(PageFailed, self.run_text, f"\n.. code-block:: console\n\n{text}\n")
            self.assertEqual(str(error), message)

    def test_keys(self) -> None:
        """Ctrl-C ends a program that keeps running, and what it prints then is compared."""
        self.run_text(
            """\
.. terminal: one (keeps running)

.. code-block:: console

    $ python -c "import time; print('begun'); time.sleep(60)"
    begun

.. terminal: one

.. code-block:: console

    ^C
    Traceback (most recent call last):
    ...
    KeyboardInterrupt
"""
        )
