"""txzookeeper on Python 3: the translated package, and an adapter of its client."""

from txmirror.compat.adapter import TxZooKeeperClient
from txmirror.compat.loading import install

__all__ = ["TxZooKeeperClient", "install"]
