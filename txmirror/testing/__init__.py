"""Test support for programs that use txmirror: a world in memory with its own time, servers on loopback for tests under trial
and pytest, and a proxy that injects faults into real connections.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = [
    "EmbeddedServerMixin",
    "FaultProxy",
    "Link",
    "MemoryReactor",
    "ServerProcess",
    "World",
]

if TYPE_CHECKING:
    from txmirror.testing.network import Link
    from txmirror.testing.process import ServerProcess
    from txmirror.testing.proxy import FaultProxy
    from txmirror.testing.reactor import MemoryReactor
    from txmirror.testing.trial import EmbeddedServerMixin
    from txmirror.testing.world import World
else:
    _MODULES = {
        "EmbeddedServerMixin": "trial",
        "FaultProxy": "proxy",
        "Link": "network",
        "MemoryReactor": "reactor",
        "ServerProcess": "process",
        "World": "world",
    }

    # Each module is imported at its first use: every run of pytest imports this package, to find the plugin in it.
    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
