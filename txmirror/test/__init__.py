"""txmirror's own tests, in the same packages as the code."""

import warnings

from txmirror.test import hypothesis_profiles

__all__ = ["hypothesis_profiles"]

# The tests run under -bb, and Twisted compares the names of headers and of sockets, which may be text or bytes.
warnings.filterwarnings("ignore", category=BytesWarning, module=r"(.*[/\\])?twisted[./\\](web|internet)[./\\]")
