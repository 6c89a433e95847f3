"""The names that ``txmirror`` and ``txmirror.testing`` export, each of which is imported at its first use."""

from __future__ import annotations

import importlib
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

_PACKAGES = ("txmirror", "txmirror.testing")


class PublicAPITests(SynchronousTestCase):
    def test_names(self) -> None:
        """Every exported name is there, and another name raises AttributeError as it does in any module."""
        for package in _PACKAGES:
            module = importlib.import_module(package)
            for name in module.__all__:
                self.assertIsNotNone(getattr(module, name))
            error = self.assertRaises(AttributeError, getattr, module, "no_such_name")
            self.assertEqual(str(error), f"module '{package}' has no attribute 'no_such_name'")

    def test_light(self) -> None:
        """Importing the packages does not import Twisted or attrs: every run of pytest imports them."""
        program = f"import sys, {', '.join(_PACKAGES)}; print('twisted' in sys.modules, 'attr' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(done.stdout, "False False\n")
