"""The commands that print the files for the daemon."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.command import main
from txmirror.cli.installed import make_unit, read_installed
from txmirror.service import Options


class InstalledTests(SynchronousTestCase):
    def run_command(self, *arguments: str) -> str:
        output = io.StringIO()
        with redirect_stdout(output):
            self.assertEqual(main(arguments), 0)
        return output.getvalue()

    def exec_start(self, unit: str) -> str:
        (line,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
        return line.removeprefix("ExecStart=").removesuffix(" -n --pidfile= txmirror --config /etc/txmirror")

    def test_unit(self) -> None:
        """The unit has the twistd of this installation, and is otherwise the file of the package."""
        unit = self.run_command("unit")
        self.assertEqual(self.exec_start(unit), str(Path(sys.executable).parent / "twistd"))
        self.assertEqual(
            unit.replace(self.exec_start(unit), "/opt/txmirror/bin/twistd"), read_installed("txmirror.service")
        )

    def test_no_twistd(self) -> None:
        """Without a twistd beside Python, it has the manual's."""
        self.assertEqual(make_unit("/nowhere/python"), read_installed("txmirror.service"))

    def test_odd_folder(self) -> None:
        """A path with characters that have a meaning in a unit is quoted."""
        for name, quoted in (
            ("a b", '"{}/a b/twistd"'),
            ("50%", "{}/50%%/twistd"),
            ('a"b', '"{}/a\\"b/twistd"'),
            ("a;b", '"{}/a;b/twistd"'),
        ):
            folder = Path(self.mktemp()).absolute() / name
            folder.mkdir(parents=True)
            (folder / "twistd").touch(0o755)
            self.assertEqual(self.exec_start(make_unit(str(folder / "python"))), quoted.format(folder.parent))

    def test_sample(self) -> None:
        """The sample is a configuration that the daemon accepts."""
        path = Path(self.mktemp())
        path.write_text(self.run_command("sample-config"))
        output = io.StringIO()
        with redirect_stdout(output):
            done = self.assertRaises(SystemExit, Options().parseOptions, ["--config", str(path), "--check"])
        self.assertEqual(done.code, 0)
        self.assertIn("There is no service.", output.getvalue())
