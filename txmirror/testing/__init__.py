"""For the tests of programs that use txmirror: a reactor without sockets, whose time is the test's own."""

from txmirror.testing.network import Link
from txmirror.testing.reactor import MemoryReactor

__all__ = ["Link", "MemoryReactor"]
