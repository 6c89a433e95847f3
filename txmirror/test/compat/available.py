"""Skip the tests that need the extra ``txzookeeper`` if it is missing.

The environment variable ``TXMIRROR_TXZOOKEEPER`` decides: ``auto`` (or nothing) runs them where it is installed; with
``require`` they fail without it; ``off`` skips them.
"""

from __future__ import annotations

import os
from unittest import SkipTest

from txmirror.compat import install

_POLICY = "TXMIRROR_TXZOOKEEPER"


def install_or_skip() -> None:
    """Let ``import txzookeeper`` work.

    :raises SkipTest: it is not installed, or the environment rules it out.
    :raises ImportError: it is not installed, and the environment requires it.
    """
    policy = os.environ.get(_POLICY) or "auto"
    if policy not in {"auto", "require", "off"}:
        raise ValueError(f"{_POLICY} is {policy!r}: not one of auto, require, off")
    if policy == "off":
        raise SkipTest(f"no txzookeeper: {_POLICY} is off")
    try:
        install()
    except ImportError as error:
        if policy == "require":
            raise
        raise SkipTest(str(error)) from None
