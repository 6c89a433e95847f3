"""An in-memory ZooKeeper server that speaks the real protocol, for tests and demonstrations. It keeps nothing on disk."""

from txmirror.embedded.alone import CannotListenExit, EmbeddedService
from txmirror.embedded.connection import Connection
from txmirror.embedded.ensemble import EmbeddedEnsemble
from txmirror.embedded.ensemble_state import Snapshot
from txmirror.embedded.faults import Fault
from txmirror.embedded.options import EmbeddedOptions
from txmirror.embedded.server import Server
from txmirror.embedded.standalone import EmbeddedServer

__all__ = [
    "CannotListenExit",
    "Connection",
    "EmbeddedEnsemble",
    "EmbeddedOptions",
    "EmbeddedServer",
    "EmbeddedService",
    "Fault",
    "Server",
    "Snapshot",
]
