"""An in-memory ZooKeeper server that speaks the real protocol, for tests and demonstrations. It keeps nothing on disk."""

from txmirror.embedded.connection import Connection
from txmirror.embedded.ensemble import EmbeddedEnsemble
from txmirror.embedded.faults import Fault
from txmirror.embedded.holdings import Snapshot
from txmirror.embedded.server import EmbeddedServer, Server

__all__ = ["Connection", "EmbeddedEnsemble", "EmbeddedServer", "Fault", "Server", "Snapshot"]
