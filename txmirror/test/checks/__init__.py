"""Tests of the health checks."""

import warnings

# The tests run under -bb, and Twisted compares the names of headers and of sockets, which may be text or bytes.
warnings.filterwarnings("ignore", category=BytesWarning, module=r"(.*[/\\])?twisted[./\\](web|internet)[./\\]")
