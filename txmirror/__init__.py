"""State and services from ZooKeeper, simply up to date in Twisted programs."""

from __future__ import annotations

from importlib import import_module

__all__ = ["Mirror", "Node", "__version__"]

__version__ = "0.1.0"

# That of ``typing``, which takes longer to import than all else here.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from txmirror.mirror import Mirror, Node
else:
    # Only when they are asked for: whoever wants one room alone does not wait for all the others.
    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("txmirror.mirror"), name)
