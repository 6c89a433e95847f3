"""txmirror's own tests; the rooms are those of the package."""

from txmirror.test import hypothesis_profiles

__all__ = ["hypothesis_profiles"]
