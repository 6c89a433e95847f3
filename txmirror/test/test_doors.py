"""The doors of the package and of ``txmirror.testing``, which open only when somebody goes in."""

from __future__ import annotations

import importlib
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

_DOORS = ("txmirror", "txmirror.testing")


class DoorTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Every name that a door promises is there, and other names are missed as they are in any module."""
        for door in _DOORS:
            module = importlib.import_module(door)
            for name in module.__all__:
                self.assertIsNotNone(getattr(module, name))
            error = self.assertRaises(AttributeError, getattr, module, "no_such_name")
            self.assertEqual(str(error), f"module '{door}' has no attribute 'no_such_name'")

    def test_light(self) -> None:
        """To import them brings nothing along that takes its time: they are imported in every run of pytest."""
        program = f"import sys, {', '.join(_DOORS)}; print('twisted' in sys.modules, 'attr' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(done.stdout, "False False\n")
