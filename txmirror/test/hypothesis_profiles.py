"""The profiles of hypothesis for these tests: in CI the same examples in each run, elsewhere new ones.

Importing this module chooses the profile that the environment variable ``HYPOTHESIS_PROFILE`` names, ``dev`` without
one. ``txmirror.test`` imports it, so that it holds for every test of the package.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

#: The number of examples in the profiles "few" and "quick".
_FEW, _QUICK = 5, 20
#: How many times as far the moments of a test lie from each other in these profiles.
_STRIDES = {_FEW: 4, _QUICK: 3}

# No deadlines: a loaded machine is no bug. No database: what fails must fail again by itself.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100, database=None)
settings.register_profile("quick", derandomize=True, deadline=None, max_examples=_QUICK, database=None)
# Where another Python runs the same tests with more.
settings.register_profile("few", derandomize=True, deadline=None, max_examples=_FEW, database=None)
settings.register_profile("dev", deadline=None, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "dev")

# Without a database it still keeps tables, in a folder that it leaves in whatever folder the tests were started in.
if "HYPOTHESIS_STORAGE_DIRECTORY" not in os.environ:
    _HOME = tempfile.mkdtemp(prefix="txmirror-hypothesis-")
    atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
    set_hypothesis_home_dir(_HOME)

# The tests run under -bb, and hypothesis looks up examples that hold an int in one place in a dict of others, which may
# hold bytes there: b"" and 0 have the same hash.
warnings.filterwarnings("ignore", category=BytesWarning, module=r"(.*[/\\])?hypothesis[./\\]")


def stride(step: int = 1) -> int:
    """Return the distance between the moments at which a test interrupts a life.

    In the profiles ``few`` and ``quick`` it is larger: others try all moments.

    :param step: the distance in the other profiles.
    """
    return step * _STRIDES.get(settings().max_examples, 1)


def at_most(count: int) -> settings:
    """Return settings for a test with a number of examples, or with that of the profile, if it is smaller."""
    return settings(max_examples=min(count, settings().max_examples))
