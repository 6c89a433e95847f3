"""An in-memory ZooKeeper server that speaks the real protocol, for tests and demonstrations. It keeps nothing on disk."""

from txmirror.embedded.alone import CannotStartError, EmbeddedService
from txmirror.embedded.connection import Connection
from txmirror.embedded.ensemble import EmbeddedEnsemble
from txmirror.embedded.faults import Fault
from txmirror.embedded.holdings import Snapshot
from txmirror.embedded.options import EmbeddedOptions
from txmirror.embedded.server import EmbeddedServer, Server

__all__ = [
    "CannotStartError",
    "Connection",
    "EmbeddedEnsemble",
    "EmbeddedOptions",
    "EmbeddedServer",
    "EmbeddedService",
    "Fault",
    "Server",
    "Snapshot",
]
