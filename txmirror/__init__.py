"""State and services from ZooKeeper, simply up to date in Twisted programs."""

from txmirror.mirror import Mirror, Node

__all__ = ["Mirror", "Node", "__version__"]

__version__ = "0.1.0"
