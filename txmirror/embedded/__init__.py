"""An in-memory ZooKeeper server that speaks the real protocol, for tests and demonstrations. It keeps nothing on disk."""

from txmirror.embedded.ensemble import EmbeddedEnsemble
from txmirror.embedded.server import EmbeddedServer

__all__ = ["EmbeddedEnsemble", "EmbeddedServer"]
