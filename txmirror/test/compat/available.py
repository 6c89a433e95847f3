"""Skip the tests that need the extra ``txzookeeper`` if it is missing.

The environment variable ``TXMIRROR_TXZOOKEEPER`` says whether they are: ``auto`` (or nothing), where it is installed; ``require``,
always, and without it they fail; ``off``, never.
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
