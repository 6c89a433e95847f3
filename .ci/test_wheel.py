"""Tests of the built wheel and of the editable install, in empty virtual environments.

They are not a part of the package's own tests, which run from an installed wheel and have no tree to build. The tests copy the tree
first, so that a build leaves no files in it, and does not include files of an earlier build.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TREE = Path(__file__).resolve().parent.parent
LEFT_OVERS = shutil.ignore_patterns(
    ".git", ".tox", ".venv", "venv", ".*_cache", "build", "dist", "*.egg-info", "*.cache", "_trial_temp*"
)


@functools.cache
def workshop() -> Path:
    """Return the temporary folder of these tests, which is removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix="txmirror-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def copied_tree() -> Path:
    copy = workshop() / "tree"
    shutil.copytree(TREE, copy, ignore=LEFT_OVERS)
    return copy


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command from an empty folder, with only the installed packages on Python's path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with tempfile.TemporaryDirectory(dir=workshop()) as empty:
        return subprocess.run(
            command,
            cwd=empty,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )


def pip(environment: Path, *arguments: str | Path) -> None:
    """Run our own pip for an environment, which needs none then: to install one takes longer than most tests."""
    done = run(sys.executable, "-m", "pip", "--python", environment / "bin" / "python", *arguments)
    if done.returncode != 0:
        raise AssertionError(f"pip {arguments} failed:\n{done.stdout}")


def new_environment(name: str) -> Path:
    environment = workshop() / name
    venv.create(environment)
    return environment


@functools.cache
def built_wheel() -> Path:
    pip(new_environment("building"), "wheel", "--no-deps", "--wheel-dir", workshop(), copied_tree())
    (wheel,) = workshop().glob("txmirror-*.whl")
    return wheel


@functools.cache
def wheel_environment() -> Path:
    environment = new_environment("from-wheel")
    pip(environment, "install", built_wheel())
    return environment


@functools.cache
def editable_environment() -> Path:
    environment = new_environment("editable")
    pip(environment, "install", "--editable", copied_tree())
    return environment


class WheelTests(SynchronousTestCase):
    def setUp(self) -> None:
        with zipfile.ZipFile(built_wheel()) as wheel:
            self.names = set(wheel.namelist())

    def test_has_the_plugin_and_the_type_marker(self) -> None:
        page = {f"txmirror/web/page/page.{kind}" for kind in ("xml", "css", "js")}
        self.assertLessEqual({"twisted/plugins/txmirror_plugins.py", "txmirror/py.typed", *page}, self.names)

    def test_has_the_files_for_the_daemon(self) -> None:
        files = {path.relative_to(TREE).as_posix() for path in (TREE / "txmirror" / "data").iterdir()}
        self.assertEqual({Path(name).name for name in files}, {"txmirror.service", "txmirror.toml.sample"})
        self.assertLessEqual(files, self.names)

    def test_has_every_module(self) -> None:
        modules = {path.relative_to(TREE).as_posix() for path in (TREE / "txmirror").rglob("*.py")}
        self.assertEqual(modules - self.names, set())

    def test_has_nothing_else(self) -> None:
        others = {
            name
            for name in self.names
            if not name.startswith("txmirror") and name != "twisted/plugins/txmirror_plugins.py"
        }
        self.assertEqual(others, set())


class TwistdTests(SynchronousTestCase):
    def assert_plugin_found(self, environment: Path) -> None:
        done = run(environment / "bin" / "twistd", "--help")
        self.assertEqual(done.returncode, 0, done.stdout)
        commands = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
        self.assertIn("txmirror", commands, done.stdout)

    def assert_usage_error(self, environment: Path) -> None:
        done = run(environment / "bin" / "twistd", "txmirror", "--bogus")
        self.assertEqual(done.returncode, os.EX_USAGE, done.stdout)

    def test_finds_the_plugin_of_a_wheel(self) -> None:
        self.assert_plugin_found(wheel_environment())

    def test_finds_the_plugin_of_an_editable_install(self) -> None:
        self.assert_plugin_found(editable_environment())

    def test_usage_error_of_a_wheel(self) -> None:
        self.assert_usage_error(wheel_environment())

    def test_usage_error_of_an_editable_install(self) -> None:
        self.assert_usage_error(editable_environment())


class CommandTests(SynchronousTestCase):
    def assert_runs(self, environment: Path) -> None:
        for command in ((environment / "bin" / "txmirror",), (environment / "bin" / "python", "-m", "txmirror")):
            done = run(*command, "--version")
            self.assertEqual((done.returncode, done.stdout.split()[0]), (0, "txmirror"), done.stdout)

    def test_of_a_wheel(self) -> None:
        self.assert_runs(wheel_environment())

    def test_of_an_editable_install(self) -> None:
        self.assert_runs(editable_environment())


class DaemonFilesTests(SynchronousTestCase):
    """The commands that print the unit and the sample configuration find them, and twistd accepts the sample."""

    def assert_prints(self, environment: Path) -> None:
        done = run(environment / "bin" / "txmirror", "unit")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(f"\nExecStart={environment}/bin/twistd ", done.stdout)
        done = run(environment / "bin" / "txmirror", "sample-config")
        self.assertEqual(done.returncode, 0, done.stdout)
        sample = workshop() / f"{environment.name}.toml"
        sample.write_text(done.stdout)
        done = run(environment / "bin" / "twistd", "txmirror", "--config", sample, "--check")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_of_a_wheel(self) -> None:
        self.assert_prints(wheel_environment())

    def test_of_an_editable_install(self) -> None:
        self.assert_prints(editable_environment())


class ExtraTests(SynchronousTestCase):
    """A feature that needs more packages names the extra that installs them. The other features do not need them."""

    def assert_asks_for(self, extra: str, program: str) -> None:
        done = run(wheel_environment() / "bin" / "python", "-c", f"from txmirror.client import *; {program}")
        self.assertEqual(done.returncode, 1, done.stdout)
        last = done.stdout.splitlines()[-1]
        self.assertTrue(last.startswith("ImportError: "), done.stdout)
        self.assertIn(f"pip install 'txmirror[{extra}]'", last)

    def test_tls(self) -> None:
        self.assert_asks_for("tls", "ZooKeeperClient('zoo', tls=TLS())")

    def test_sasl(self) -> None:
        self.assert_asks_for("sasl", "ZooKeeperClient('zoo', sasl=DigestMD5('name', 'password'))")
