"""txzookeeper on today's Python: the package itself, translated, and a client that stands on it."""

from txmirror.compat.adapter import TxZooKeeperClient
from txmirror.compat.loading import install

__all__ = ["TxZooKeeperClient", "install"]
