"""Tests of the built wheel and of the editable install, in empty virtual environments.

They are not a part of the package's own tests, which run from an installed wheel and have no tree to build. The tests copy the tree
first, so that a build leaves no files in it, and does not include files of an earlier build.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


def run(*command: str | Path, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command from an empty folder, with only the installed packages on Python's path, and with ``more`` variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | dict(
        more or {}
    )
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


def pip(environment: Path, *arguments: str | Path, more: Mapping[str, str] | None = None) -> None:
    """Run our own pip for an environment, which needs none then: to install one takes longer than most tests."""
    done = run(sys.executable, "-m", "pip", "--python", environment / "bin" / "python", *arguments, more=more)
    if done.returncode != 0:
        raise AssertionError(f"pip {arguments} failed:\n{done.stdout}")


def new_environment(name: str) -> Path:
    environment = workshop() / name
    venv.create(environment)
    return environment


@functools.cache
def building_environment() -> Path:
    """Return an environment with all that a build requires."""
    environment = new_environment("building")
    settings = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))
    pip(environment, "install", *settings["build-system"]["requires"])
    return environment


def build_wheel(source: Path, folder: str) -> Path:
    """Build a wheel from a tree or a source distribution, in a folder of its own, as of a fixed date."""
    into = workshop() / folder
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", into)
    pip(building_environment(), "wheel", *options, source, more={"SOURCE_DATE_EPOCH": "1700000000"})
    (wheel,) = into.glob("txmirror-*.whl")
    return wheel


@functools.cache
def built_wheel() -> Path:
    return build_wheel(copied_tree(), "wheel")


@functools.cache
def built_source() -> Path:
    """Return the source distribution."""
    into = workshop() / "source"
    program = f"import os; os.chdir({str(copied_tree())!r}); from setuptools import build_meta; build_meta.build_sdist({str(into)!r})"
    done = run(building_environment() / "bin" / "python", "-c", program)
    if done.returncode != 0:
        raise AssertionError(done.stdout)
    (source,) = into.glob("txmirror-*.tar.gz")
    return source


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

    def test_has_the_license(self) -> None:
        """The expression and the file, as PEP 639 has them."""
        (name,) = (name for name in self.names if name.endswith(".dist-info/METADATA"))
        with zipfile.ZipFile(built_wheel()) as wheel:
            lines = wheel.read(name).decode().partition("\n\n")[0].splitlines()
        self.assertIn("License-Expression: MIT", lines)
        self.assertIn("License-File: LICENSE", lines)
        self.assertIn(name.replace("METADATA", "licenses/LICENSE"), self.names)

    def test_has_the_shared_files(self) -> None:
        """The manual pages and the completion scripts are those that the code makes now."""
        again = workshop() / "share"
        done = run(building_environment() / "bin" / "python", copied_tree() / "tools" / "share.py", again)
        self.assertEqual(done.returncode, 0, done.stdout)
        expected = {
            path.relative_to(again).as_posix(): path.read_bytes() for path in again.rglob("*") if path.is_file()
        }
        self.assertEqual(
            set(expected),
            {
                "bash-completion/completions/txmirror",
                "fish/vendor_completions.d/txmirror.fish",
                "man/man1/twistd-txmirror.1",
                "man/man1/txmirror.1",
                "zsh/site-functions/_txmirror",
            },
        )
        with zipfile.ZipFile(built_wheel()) as wheel:
            found = {
                name.partition(".data/data/share/")[2]: wheel.read(name) for name in self.names if ".data/" in name
            }
        self.assertEqual(found, expected)


#: A link of reStructuredText, or the explicit target of one.
_LINK = re.compile(r"`[^`<]+<([^`>]+)>`__?|^\.\. _[^:]+: *(\S+)$", re.MULTILINE)


class DescriptionTests(SynchronousTestCase):
    """The description of the package, which an index shows: README.rst, whose links lead to files of this tree."""

    def links(self, metadata: str) -> set[str]:
        description = metadata.partition("\n\n")[2]
        self.assertIn("State that is up to date\n", description)
        return {inline or explicit for inline, explicit in _LINK.findall(description)}

    def test_of_the_wheel(self) -> None:
        """No link is relative: it would lead nowhere."""
        with zipfile.ZipFile(built_wheel()) as wheel:
            (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = wheel.read(name).decode()
        self.assertEqual({link for link in self.links(metadata) if "://" not in link}, set())
        for words in ("The tutorial: from nothing", "Coming from kazoo, Curator, nd_service_registry, zkmirror"):
            self.assertIn(words, " ".join(metadata.split()))

    def test_with_an_address(self) -> None:
        """With a public address of the source, each link leads to a file below it."""
        folder = workshop() / "with-address"
        for package in ("txmirror", "twisted/plugins"):
            (folder / package).mkdir(parents=True)
        for name in ("README.rst", "LICENSE", "pyproject.toml", "txmirror/__init__.py"):
            shutil.copy(copied_tree() / name, folder / name)
        program = (copied_tree() / "setup.py").read_text(encoding="utf-8")
        address = "https://source.example/txmirror/"
        changed = program.replace("\nFILES_URL: str | None = None\n", f"\nFILES_URL = {address!r}\n")
        self.assertNotEqual(changed, program)
        (folder / "setup.py").write_text(changed, encoding="utf-8")
        made = f"build_meta.prepare_metadata_for_build_wheel({str(folder)!r})"
        program = f"import os; os.chdir({str(folder)!r}); from setuptools import build_meta; {made}"
        done = run(building_environment() / "bin" / "python", "-c", program)
        self.assertEqual(done.returncode, 0, done.stdout)
        (file,) = folder.glob("*.dist-info/METADATA")
        metadata = file.read_text(encoding="utf-8")
        self.assertIn(f"\nProject-URL: Source, {address}\n", metadata)
        links = self.links(metadata)
        self.assertGreater(len(links), 15)
        for link in links:
            self.assertTrue((TREE / link.removeprefix(address)).is_file(), link)

    def test_is_valid(self) -> None:
        """An index accepts the metadata, and can show the description."""
        done = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", built_wheel(), built_source())
        self.assertEqual((done.returncode, done.stdout.count("PASSED")), (0, 2), done.stdout)


class SourceTests(SynchronousTestCase):
    def test_has_every_file(self) -> None:
        """The source distribution has all files of the repository, and no others but those that setuptools makes."""
        listed = run("git", "-C", TREE, "ls-files")
        if listed.returncode != 0:
            raise SkipTest("this tree is no clone of the repository")
        with tarfile.open(built_source()) as source:
            names = {each.name.partition("/")[2] for each in source.getmembers() if each.isfile()}
        made = {name for name in names if name.startswith("txmirror.egg-info/")} | {"PKG-INFO", "setup.cfg"}
        present = {name for name in listed.stdout.splitlines() if (TREE / name).exists()}
        self.assertEqual(names - made, present - {".gitignore"})

    def test_reproducible(self) -> None:
        """The wheel of the source distribution has the same bytes as that of the tree, whose files have other dates."""
        again = build_wheel(built_source(), "wheel-again")
        self.assertEqual(again.read_bytes(), built_wheel().read_bytes())

    def test_build_requirements(self) -> None:
        """A build requires setuptools, and what the package requires itself."""
        with zipfile.ZipFile(built_wheel()) as wheel:
            (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            lines = wheel.read(name).decode().partition("\n\n")[0].splitlines()
        needed = {
            line.partition(": ")[2].replace('"', "'").replace(" ", "")
            for line in lines
            if line.startswith("Requires-Dist: ") and "extra ==" not in line
        }
        settings = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))
        required = {each.replace(" ", "") for each in settings["build-system"]["requires"]}
        self.assertEqual(required - needed, {"setuptools>=77.0.3"})
        self.assertEqual(needed - required, set())


class ShareTests(SynchronousTestCase):
    """The manual pages and the completion scripts work where they are installed."""

    def read_page(self, name: str) -> str:
        page = wheel_environment() / "share" / "man" / "man1" / name
        if shutil.which("man") is None:
            raise SkipTest("man is not installed")
        done = run("man", "--warnings", "--local-file", page, more={"LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("warning", done.stdout)
        return done.stdout

    def test_page_of_the_command(self) -> None:
        text = self.read_page("txmirror.1")
        self.assertIn("\n   txmirror queue put\n", text)
        self.assertIn("\n       -s, --servers HOSTS\n", text)
        self.assertEqual(text.count("--servers HOSTS"), 1)

    def test_page_of_the_daemon(self) -> None:
        text = self.read_page("twistd-txmirror.1")
        self.assertIn("\n   twistd txmirror serve\n", text)
        self.assertIn("\n       -r, --register=VALUE\n", text)
        self.assertIn("127.0.0.1:2181]", text)

    def test_bash_completes(self) -> None:
        """Bash loads the script by the command's name, and completes a command with it."""
        script = wheel_environment() / "share" / "bash-completion" / "completions" / "txmirror"
        program = f'. {script}; COMP_LINE="txmirror reg"; COMP_POINT=12; _txmirror_completion txmirror; echo "${{COMPREPLY[@]}}"'
        path = f"{wheel_environment()}/bin:{os.environ['PATH']}"
        done = run("bash", "-c", program, more={"PATH": path})
        self.assertEqual((done.returncode, done.stdout), (0, "register\n"))


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
