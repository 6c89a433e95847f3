"""Check the list of tests in tox.ini for the Pythons that run only a part of them."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TREE = Path(__file__).resolve().parent.parent
TESTS = TREE / "txmirror" / "test"
#: These need other programs beside a real server.
WITH_OTHERS = {"integration", "neighbours"}
#: These compare files of the tree with each other; the result is the same with every Python.
ONCE = {"test_architecture", "test_examples", "test_monitoring", "test_rules", "test_source"}


def read_named() -> list[str]:
    """Return the names of the tests in tox.ini."""
    configuration = RawConfigParser()
    configuration.read(TREE / "tox.ini", encoding="utf-8")
    return configuration["other-pythons"]["tests"].replace("\\", "").split()


class OtherPythonsTests(SynchronousTestCase):
    def test_every_package(self) -> None:
        """The list has the tests of every package, and all single test modules; of integration it has some, of neighbours none."""
        packages = {path.parent.name for path in TESTS.glob("*/__init__.py")} - WITH_OTHERS
        single = {path.stem for path in TESTS.glob("test_*.py")} - ONCE
        named = {name for name in read_named() if ".integration." not in name}
        self.assertEqual(named, {f"txmirror.test.{name}" for name in packages | single})

    def test_once(self) -> None:
        """The omitted test modules exist."""
        self.assertEqual({name for name in ONCE if not (TESTS / f"{name}.py").exists()}, set())
