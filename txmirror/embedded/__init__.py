"""An in-memory ZooKeeper server that speaks the real protocol, for tests and demonstrations. It keeps nothing on disk."""

from txmirror.embedded.server import EmbeddedServer

__all__ = ["EmbeddedServer"]
