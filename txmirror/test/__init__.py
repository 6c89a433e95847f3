"""txmirror's own tests, in the same packages as the code."""

from txmirror.test import hypothesis_profiles

__all__ = ["hypothesis_profiles"]
