"""State and services from ZooKeeper, simply up to date in Twisted programs."""

from __future__ import annotations

from importlib import import_module

__all__ = ["Mirror", "Node", "ServiceRegistry", "ZooKeeperClient", "__version__"]

__version__ = "0.1.0"

# That of ``typing``, which takes longer to import than all else here.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from txmirror.client import ZooKeeperClient
    from txmirror.mirror import Mirror, Node
    from txmirror.registry import ServiceRegistry
else:
    _PACKAGES = {"Mirror": "mirror", "Node": "mirror", "ServiceRegistry": "registry", "ZooKeeperClient": "client"}

    # Each is imported when it is asked for: a program that uses one package does not wait for the others.
    def __getattr__(name: str) -> object:
        if name not in _PACKAGES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"txmirror.{_PACKAGES[name]}"), name)
