"""The table of recipes on shared paths names tests that there are."""

from __future__ import annotations

import importlib

from twisted.trial.unittest import SynchronousTestCase

from txmirror.recipes.lock_style import STYLES
from txmirror.test.recipes.shared_paths import ROWS


class SharedPathsTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Each row's test exists, and each style has a row."""
        for row in ROWS:
            module, case, name = row.test.rsplit(".", 2)
            self.assertTrue(callable(getattr(getattr(importlib.import_module(module), case), name)), row)
        for style in STYLES:
            if style != "kazoo":
                self.assertTrue(any(f'style="{style}"' in row.ours for row in ROWS), style)
