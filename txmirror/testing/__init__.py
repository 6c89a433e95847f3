"""For the tests of programs that use txmirror: a reactor without sockets, whose time is the test's own, and a proxy that
breaks real connections as a test wants them broken.
"""

from txmirror.testing.network import Link
from txmirror.testing.proxy import FaultProxy
from txmirror.testing.reactor import MemoryReactor

__all__ = ["FaultProxy", "Link", "MemoryReactor"]
