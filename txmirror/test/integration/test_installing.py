"""The commands that install and upgrade the daemon in the documentation: those of this package run, in another folder.

Those of the system (``python3 -m venv``, ``pip``, ``useradd``, ``install``, ``systemctl`` and ``docker``) are only noted, and compared
with the unit and the metadata of the package.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.installed import read_installed
from txmirror.configuration.model import Daemon
from txmirror.test.pages.blocks import Block
from txmirror.test.pages.found import tested_blocks
from txmirror.test.pages.terminals import shared_programs

#: Before the commands of a page: those of the system write their arguments to a file, one command in a line.
_NOTED = """
set -e
note() { printf '%s\\n' "$*" >> noted; }
python3() { note python3 "$@"; }
useradd() { note useradd "$@"; }
systemctl() { note systemctl "$@"; }
install() { note install "$@"; mkdir -p "${@: -1}"; }
"""


class InstallingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="txmirror-")).resolve()
        self.addCleanup(shutil.rmtree, self.folder)
        programs = self.folder / "opt" / "txmirror" / "bin"
        programs.mkdir(parents=True)
        for name in ("txmirror", "twistd"):
            (programs / name).symlink_to(shared_programs().scripts / name)
        (programs / "pip").write_text('#!/bin/sh\nprintf "%s\\n" "pip $*" >> noted\n')
        (programs / "pip").chmod(0o755)
        (self.folder / "etc" / "systemd" / "system").mkdir(parents=True)
        parser = ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(read_installed("txmirror.service"))
        self.unit = parser["Service"]

    def blocks(self) -> list[Block]:
        """Return the blocks: how to install, the image of a container, how to run it, and how to upgrade."""
        install, image, container, upgrade = tested_blocks("docs/operations/running.rst", __name__)
        return [install, image, container, upgrade]

    def run_lines(self, block: Block) -> list[str]:
        """Run the commands in the folder, and return those of the system, with the paths of the page."""
        text = re.sub(r"(?<![\w.])/(opt|etc)/", rf"{self.folder}/\1/", block.text)
        done = subprocess.run(
            ["bash", "--norc", "-c", _NOTED + text],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return (self.folder / "noted").read_text().replace(str(self.folder), "").splitlines()

    def assert_requirement(self, requirement: str) -> None:
        """Check that a requirement is a copy of the source, with an extra that the package has."""
        extra = re.fullmatch(r"(?:\.|/src)\[(\w+)\]", requirement)
        assert extra is not None, requirement
        self.assertIn(extra[1], metadata.metadata("txmirror").get_all("Provides-Extra") or [])

    def test_install(self) -> None:
        """The sample is valid where the unit looks for it, and the unit has the user and the folder that the commands make."""
        install, _image, _container, _upgrade = self.blocks()
        venv, pip, useradd, folder, reload, enable = self.run_lines(install)
        self.assertEqual(venv, "python3 -m venv /opt/txmirror")
        self.assert_requirement(pip.removeprefix("pip install "))
        user = self.unit["User"]
        self.assertEqual(useradd, f"useradd --system --home-dir /var/lib/{self.unit['StateDirectory']} {user}")
        self.assertTrue(folder.startswith("install -d "), folder)
        self.assertEqual(reload, "systemctl daemon-reload")
        installed = (
            self.folder / "etc" / "systemd" / "system" / f"{enable.removeprefix('systemctl enable --now ')}.service"
        )
        self.assertEqual(installed.read_text().count("ExecStart="), 1)
        config = re.search(r"--config (\S+)", self.unit["ExecStart"])
        assert config is not None
        self.assertEqual([each.name for each in Path(f"{self.folder}{config[1]}").iterdir()], ["txmirror.toml"])

    def test_upgrade(self) -> None:
        """The new package checks the configuration, and a restart follows if it is valid."""
        _install, _image, _container, upgrade = self.blocks()
        config = self.folder / "etc" / "txmirror"
        config.mkdir()
        (config / "txmirror.toml").write_text(read_installed("txmirror.toml.sample"))
        pip, restart = self.run_lines(upgrade)
        self.assert_requirement(pip.removeprefix("pip install --upgrade "))
        self.assertEqual(restart, "systemctl restart txmirror")

    def test_container(self) -> None:
        """The image has a Python that the package supports, and its command is valid; the runtime waits longer than the daemon."""
        _install, image, container, _upgrade = self.blocks()
        steps = dict(line.split(" ", 1) for line in image.lines)
        python = steps["FROM"].removeprefix("python:").removesuffix("-slim")
        self.assertIn(
            f"Programming Language :: Python :: {python}", metadata.metadata("txmirror").get_all("Classifier") or []
        )
        self.assert_requirement(shlex.split(steps["RUN"])[-1])
        name, target = steps["COPY"].split()
        config = self.folder / target.strip("/")
        config.mkdir()
        (config / name).write_text(read_installed("txmirror.toml.sample"))
        program, *arguments = json.loads(steps["ENTRYPOINT"])
        self.assertEqual(arguments[-1], target.rstrip("/"))
        command = [str(shared_programs().scripts / program), *arguments[:-1], str(config), "--check"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        words = shlex.split(container.text)
        self.assertEqual((words[:3], words[-1]), (["docker", "run", "--init"], "..."))
        self.assertGreater(float(words[words.index("--stop-timeout") + 1]), Daemon().stop_timeout)
        self.assertEqual(words[words.index("-v") + 1].partition(":")[2], f"/var/lib/{self.unit['StateDirectory']}")
