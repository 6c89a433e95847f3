"""The sizes of a server's tables, which must not grow with the number of former clients."""

from __future__ import annotations

from txmirror.embedded import EmbeddedServer
from txmirror.testing import MemoryReactor


def sizes(server: EmbeddedServer, reactor: MemoryReactor | None = None) -> dict[str, int]:
    """Return the size of each table of a server, and of the reactor's if it is one in memory."""
    tree, watches = server._state.database.tree, server._replica.watches
    found = {
        "sessions": len(server._state.sessions._alive),
        "connections": len(server._connections.live),
        "sessionless": len(server._own_state.sessionless),
        "nodes": len(tree.nodes),
        "names": sum(len(node.children) for node in tree.nodes.values()),
        "owners": len(tree.ephemerals),
        "ephemerals": sum(map(len, tree.ephemerals.values())),
        "expiring": len(tree.expiring_nodes),
    }
    for name, table in (("data", watches.data), ("children", watches.children)):
        found[f"{name} watches"] = table.count()
        found[f"{name} paths"] = len(table.by_path)
        found[f"{name} watchers"] = len(table.by_watcher)
    if reactor is not None:
        found["links"] = len(reactor.links)
        found["timers"] = len(reactor.getDelayedCalls())
    return found
