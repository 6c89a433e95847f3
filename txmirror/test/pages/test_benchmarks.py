"""The commands of pages that are too long for a test, such as measurements, have scripts, arguments and extras that exist.

The scripts are beside the documentation; where they are not there, the tests are skipped.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.pages.found import PAGES, tested_blocks, text_of
from txmirror.test.test_examples import find_examples

_SCRIPT = re.compile(r"\bbenchmarks/(\w+)\.py\b")
_INSTALL = re.compile(r"\bpip install [^`\n]*?(?:txmirror|\.|/src)\[(\w+)\]")


class _Parsed(Exception):
    """A script has read its command line."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options


def scripts() -> Path:
    """Return the folder of the scripts.

    :raises SkipTest: there is none.
    """
    folder = find_examples().parents[1] / "benchmarks"
    if not folder.is_dir():
        raise SkipTest("there are no benchmarks beside the documentation")
    return folder


class ScriptsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = scripts()

    def lines(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the scripts of the command lines, with their arguments."""
        speed = tested_blocks("docs/explanation/speed.rst", __name__)
        for block in (*speed, *tested_blocks("docs/explanation/histories.rst", __name__)):
            for line in block.lines:
                program, *words = shlex.split(line)
                if program.endswith("/pip"):
                    self.assertIsNotNone(_INSTALL.search(line), line)
                else:
                    self.assertEqual(program, ".venv/bin/python")
                    yield words[0], words[1:]

    def test_commands(self) -> None:
        """Each script accepts its arguments, and has the workloads and clients that they name."""
        lines = list(self.lines())
        self.assertGreater(len(lines), 8)
        for script, arguments in lines:
            with self.subTest([script, *arguments]):
                self.check(script, arguments)

    def check(self, script: str, arguments: list[str]) -> None:
        """Check one command line, without its measurement."""
        module = self.load(script)
        if not hasattr(module, "argparse"):
            self.assertEqual((arguments, callable(module.main)), ([], True))
            return
        parse = argparse.ArgumentParser.parse_args

        def note(parser: argparse.ArgumentParser, *given: Any) -> argparse.Namespace:
            raise _Parsed(parse(parser, *given))

        self.patch(argparse.ArgumentParser, "parse_args", note)
        self.patch(sys, "argv", [script, *arguments])
        options = self.assertRaises(_Parsed, getattr(module, "parse", module.main)).options
        self.patch(argparse.ArgumentParser, "parse_args", parse)
        workloads = getattr(options, "workloads", [])
        names = workloads.split(",") if isinstance(workloads, str) else workloads
        self.assertLessEqual(set(names), set(getattr(module, "WORKLOADS", ())))
        self.assertLessEqual(set(getattr(options, "clients", [])), set(getattr(module, "PEERS", ())))

    def load(self, script: str) -> Any:
        """Import a script."""
        self.assertTrue((self.folder.parent / script).is_file(), script)
        self.patch(sys, "path", [str(self.folder), *sys.path])
        before = set(sys.modules)
        self.addCleanup(lambda: [sys.modules.pop(name) for name in set(sys.modules) - before if self.is_ours(name)])
        return importlib.import_module(Path(script).stem)

    def is_ours(self, name: str) -> bool:
        """Return whether a module is one of the scripts."""
        return str(getattr(sys.modules[name], "__file__", "")).startswith(str(self.folder))

    def test_named(self) -> None:
        """Each script that a page names exists."""
        named = {name for page in PAGES for name in _SCRIPT.findall(text_of(page))}
        self.assertGreater(len(named), 8)
        self.assertEqual({name for name in named if not (self.folder / f"{name}.py").is_file()}, set())


class ExtrasTests(SynchronousTestCase):
    def test_extras(self) -> None:
        """Each extra that a page installs is one of the package."""
        (block,) = tested_blocks("docs/guides/txzookeeper.rst", __name__)
        self.assertEqual(_INSTALL.findall(block.text), ["txzookeeper"])
        found = {extra for page in PAGES for extra in _INSTALL.findall(text_of(page))}
        known = metadata.metadata("txmirror").get_all("Provides-Extra") or []
        self.assertLessEqual(found, set(known))
        self.assertGreater(len(found), 6)
