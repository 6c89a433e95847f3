"""Check the lists of tests in tox.ini for the Pythons that run only a part of them."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TREE = Path(__file__).resolve().parent.parent
TESTS = TREE / "txmirror" / "test"
#: These need other programs beside a real server.
WITH_OTHERS = {"integration", "neighbours"}
#: These stand on our client alone, or take long: one Python has all their tests, the others those of their contracts: that of the mirror
#: is in the package integration.
BY_CONTRACT = {"client", "compat", "mirror", "recipes"}
#: These use little of Python's library and of other projects, and all other tests run on them.
BELOW = {"discovery", "embedded", "history", "testing", "wire"}
#: These compare files of the tree with each other, so that the result is the same with every Python; or they take long.
ONCE = {
    "test_architecture",
    "test_closing",
    "pages",
    "test_examples",
    "test_monitoring",
    "test_recorded_histories",
    "test_rules",
    "test_source",
}


def read_named(section: str) -> list[str]:
    """Return the names of the tests in a section of tox.ini."""
    configuration = RawConfigParser()
    configuration.read(TREE / "tox.ini", encoding="utf-8")
    return configuration[section]["tests"].replace("\\", "").split()


class OtherPythonsTests(SynchronousTestCase):
    def test_every_package(self) -> None:
        """The two lists have the tests of each package or of its contract, and all single test modules; of integration they have some."""
        packages = {path.parent.name for path in TESTS.glob("*/__init__.py")} - WITH_OTHERS - BY_CONTRACT - BELOW - ONCE
        contracts = {f"{name}.test_contract_embedded" for name in BY_CONTRACT}
        contracts = {name for name in contracts if (TESTS / f"{name.replace('.', '/')}.py").exists()}
        single = {path.stem for path in TESTS.glob("test_*.py")} - ONCE
        lists = [set(read_named(name)) for name in ("other-pythons", "lowest-versions")]
        whole = {name for name in lists[0] | lists[1] if name.count(".") == 2}
        self.assertEqual(whole, {f"txmirror.test.{name}" for name in packages | single})
        self.assertIn("txmirror.test.compat.test_contract", lists[0])
        for each in lists:
            self.assertEqual({f"txmirror.test.{name}" for name in contracts} - each, set())
            self.assertIn("txmirror.test.integration.test_mirror_contract", each)

    def test_once(self) -> None:
        """The omitted test modules and packages exist."""
        self.assertEqual(
            {name for name in ONCE if not ((TESTS / f"{name}.py").exists() or (TESTS / name).is_dir())}, set()
        )


class KeeperTests(SynchronousTestCase):
    def test_every_contract(self) -> None:
        """The list has all modules with contract tests for ClickHouse Keeper; other Pythons skip those."""
        marked = {
            ".".join(path.relative_to(TREE).with_suffix("").parts)
            for path in TESTS.rglob("test_*.py")
            if '@if_asked_for("keeper")' in path.read_text(encoding="utf-8")
        }
        self.assertGreater(len(marked), 2)
        self.assertEqual(marked - set(read_named("keeper")), set())
