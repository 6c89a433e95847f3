"""The import of txzookeeper, and the errors if it is missing."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from txmirror.compat import install, loading, zookeeper
from txmirror.test.compat.available import install_or_skip


class InstallTests(SynchronousTestCase):
    def set_versions(self, **versions: str) -> None:
        """Let only these be installed."""

        def version(name: str) -> str:
            if name not in versions:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        self.patch(metadata, "version", version)

    def refused(self) -> str:
        before = list(sys.meta_path), sys.modules.get("zookeeper")
        message = str(self.assertRaises(ImportError, install))
        self.assertEqual((list(sys.meta_path), sys.modules.get("zookeeper")), before)
        self.assertNotIn("\n", message)
        return message

    def test_without_txzookeeper(self) -> None:
        """Without txzookeeper the error is one line with the pip command."""
        self.set_versions(fissix="24.4.24")
        self.assertEqual(self.refused(), "txzookeeper is not installed: pip install 'txmirror[txzookeeper]'")

    def test_without_fissix(self) -> None:
        """Without fissix, which translates it, the error is one line with the pip command."""
        self.set_versions(txzookeeper="0.9.8")
        self.assertEqual(self.refused(), "fissix is not installed: pip install 'txmirror[txzookeeper]'")

    def test_other_version(self) -> None:
        """Another version is refused by name."""
        self.set_versions(txzookeeper="0.9.7", fissix="24.4.24")
        expected = (
            "txzookeeper 0.9.7 is not known to translate to Python 3, 0.9.8 is: pip install 'txmirror[txzookeeper]'"
        )
        self.assertEqual(self.refused(), expected)

    def test_other_binding(self) -> None:
        """Another module by the name of zookeeper is left where it is."""
        self.set_versions(txzookeeper="0.9.8", fissix="24.4.24")
        self.patch(sys, "modules", {**sys.modules, "zookeeper": ModuleType("zookeeper")})
        self.assertIn("another module with the name zookeeper", self.refused())

    def test_by_choice_alone(self) -> None:
        """Nothing is found by these names before it was asked for."""
        program = (
            "import txmirror.compat\ntry:\n    import zookeeper\nexcept ImportError as error:\n    print(error.name)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(done.stdout, "zookeeper\n")


class ProgramTests(SynchronousTestCase):
    """``python -m txmirror.compat``."""

    def run_with(self, *arguments: str) -> tuple[int, str, str]:
        """Return the exit status and both outputs."""
        command = [sys.executable, "-m", "txmirror.compat", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def test_help(self) -> None:
        """``--help`` prints the usage, and needs no txzookeeper."""
        status, out, err = self.run_with("--help")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("usage: python -m txmirror.compat PROGRAM", out)
        self.assertEqual(self.run_with("-h"), (0, out, ""))

    def test_no_program(self) -> None:
        """Without a program the usage is an error."""
        status, out, err = self.run_with()
        self.assertEqual((status, out), (64, ""))
        self.assertIn("usage: python -m txmirror.compat PROGRAM", err)


class FindTests(SynchronousTestCase):
    def setUp(self) -> None:
        install_or_skip()

    def test_found(self) -> None:
        """All modules of the package can be imported; their zookeeper module is ours."""
        import txzookeeper
        import txzookeeper.lock
        import txzookeeper.managed
        import txzookeeper.queue
        import txzookeeper.utils

        self.assertEqual(txzookeeper.version, "0.9.8")
        self.assertIs(txzookeeper.client.zookeeper, zookeeper)
        self.assertIs(sys.modules["zookeeper"], zookeeper)

    def test_again(self) -> None:
        """A second installation changes nothing."""
        install()
        self.assertEqual(sys.meta_path.count(loading._finder), 1)

    def test_no_others(self) -> None:
        """No other module is looked for here, one with a like name neither, and a missing one is missing."""
        for name in ("json", "txzookeepers", "zookeeper", "txmirror.txzookeeper", "txzookeeper.no_such_module"):
            self.assertIsNone(loading._finder.find_spec(name, None), name)

    def test_znodes(self) -> None:
        """Nodes of the package's are compared by path, as they were."""
        from txzookeeper.node import ZNode

        self.assertEqual(ZNode("/a", None), ZNode("/a", None))
        self.assertEqual([node.path for node in sorted([ZNode("/b", None), ZNode("/a", None)])], ["/a", "/b"])
