"""How hypothesis runs in these tests: the same in CI at every run, and with new examples at a developer's desk.

Importing this module chooses the profile that the environment variable ``HYPOTHESIS_PROFILE`` names, ``dev`` without
one. ``txmirror.test`` imports it, so that it holds for every test of the package.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

#: The environment variable that names the profile.
VARIABLE: Final = "HYPOTHESIS_PROFILE"

# No deadlines: a loaded machine is no bug. No database: what fails must fail again by itself, and nothing is to be left
# lying in whatever folder the tests run in.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100, database=None)
settings.register_profile("dev", deadline=None, max_examples=100, database=None)
settings.load_profile(os.environ.get(VARIABLE) or "dev")
