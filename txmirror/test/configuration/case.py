"""A test case that writes configuration files and loads them on a machine that is always the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.configuration import Configuration, ConfigurationError, Service, load
from txmirror.machine import Machine

#: The secret of every test: no message, and no description, may contain it.
SECRET = "hunter2"

#: A service that is complete.
WEB = '[[service]]\nname = "web"\npath = "/services/web"\nnode = "a"\n'


def no_interface(name: str) -> str:
    """Raise the error for an interface that does not exist."""
    raise ValueError(f"the interface {name!r} has no IPv4 address")


def make_machine(
    environment: Mapping[str, str] | None = None, *, route: str = "10.0.0.1", interface: str | None = None
) -> Machine:
    """Return a machine with these environment variables and addresses."""
    return Machine(
        "host1",
        "0123456789abcdef",
        4711,
        {} if environment is None else environment,
        lambda servers: route,
        no_interface if interface is None else lambda name: interface,
    )


class ConfigurationCase(SynchronousTestCase):
    """Has a folder for configuration files."""

    def setUp(self) -> None:
        # The names of UNIX sockets are short.
        self.folder = Path(tempfile.mkdtemp(prefix="txmirror-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.machine = make_machine({"SECRET": SECRET})

    def write(self, text: str | bytes, name: str = "main.toml", mode: int = 0o644) -> Path:
        """Write a file in the folder, and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)
        return path

    def load(self, text: str) -> Configuration:
        """Load a file with this text."""
        return load(self.write(text), self.machine)

    def load_service(self, text: str, head: str = "") -> Service:
        """Load a file with one service that has these keys, after the tables ``head``."""
        (service,) = self.load(f"{head}\n{WEB}{text}").services
        return service

    def errors(self, text: str) -> list[str]:
        """Return the errors of a file with this text, without the file's name, and check that they are lines without a secret."""
        return self.errors_of(self.write(text))

    def errors_of(self, path: Path) -> list[str]:
        """Return the errors of a file or folder, with names relative to the folder of this test."""
        error = self.assertRaises(ConfigurationError, load, path, self.machine)
        for line in error.lines:
            self.assertTrue(line.isprintable(), line)
            self.assertNotIn(SECRET, line)
        self.assertEqual(str(error), "\n".join(error.lines))
        prefix = f"{self.folder}/"
        return [line.removeprefix(f"{prefix}main.toml: ").replace(prefix, "") for line in error.lines]
