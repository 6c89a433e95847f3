"""Always current state and services from ZooKeeper, for Twisted programs."""

from __future__ import annotations

from importlib import import_module

__all__ = ["Mirror", "Node", "ServiceRegistry", "ZooKeeperClient", "__version__"]

__version__ = "0.1.0"

# ``typing`` takes longer to import than all else here; type checkers know this name without it.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from txmirror.client import ZooKeeperClient
    from txmirror.mirror import Mirror, Node
    from txmirror.registry import ServiceRegistry
else:
    _PACKAGES = {"Mirror": "mirror", "Node": "mirror", "ServiceRegistry": "registry", "ZooKeeperClient": "client"}

    # Each package is imported at its first use: a program that uses one does not load the others.
    def __getattr__(name: str) -> object:
        if name not in _PACKAGES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"txmirror.{_PACKAGES[name]}"), name)
