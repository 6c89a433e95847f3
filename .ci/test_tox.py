"""What tox.ini lets the Pythons run that do not run everything."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TREE = Path(__file__).resolve().parent.parent
TESTS = TREE / "txmirror" / "test"
#: These see whether files of the tree fit one another, which is the same with every Python.
ONCE = {"test_examples", "test_rules"}


def read_named() -> list[str]:
    """Give the names of the tests, as they stand there."""
    configuration = RawConfigParser()
    configuration.read(TREE / "tox.ini", encoding="utf-8")
    return configuration["other-pythons"]["tests"].replace("\\", "").split()


class OtherPythonsTests(SynchronousTestCase):
    def test_every_room(self) -> None:
        """The tests of every room are among them, and those which stand beside the rooms; of integration there are some."""
        rooms = {door.parent.name for door in TESTS.glob("*/__init__.py")} - {"integration"}
        single = {path.stem for path in TESTS.glob("test_*.py")} - ONCE
        named = {name for name in read_named() if ".integration." not in name}
        self.assertEqual(named, {f"txmirror.test.{name}" for name in rooms | single})

    def test_once(self) -> None:
        """What is left out by name is there."""
        self.assertEqual({name for name in ONCE if not (TESTS / f"{name}.py").exists()}, set())
