"""Shows the memory and the cost of a decoded tree: for each node, for each index, and for each change.

It runs without a server: the tree is a dict, and its changes are made here.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from collections.abc import Callable, ItemsView

from twisted.internet.defer import Deferred, succeed

from txmirror.mirror import Change, ChangeKind, Decoded, decode_json
from txmirror.types import ZnodeStat

STAT = ZnodeStat(*range(1, 12))


class PlainTree:
    """A settled tree of JSON objects of 60 bytes."""

    path = "/s"
    settled = True
    closed = False
    stale_since = None

    def __init__(self, count: int) -> None:
        self.nodes = {
            f"/s/{number}": (
                b'{"address": "10.0.%03d.%03d", "port": 8080, "zone": "z%d"}' % (*divmod(number, 250), number % 10),
                STAT,
            )
            for number in range(count)
        }
        self.changed: Callable[[Change], object] = lambda change: None

    def items(self) -> ItemsView[str, tuple[bytes, ZnodeStat]]:
        return self.nodes.items()

    def ready(self) -> Deferred[None]:
        return succeed(None)

    def watch(self, function: Callable[[Change], object]) -> None:
        self.changed = function

    def unwatch(self, function: Callable[[Change], object]) -> None:
        """Nothing more is changed."""


def memory_of(make: Callable[[], object], count: int) -> tuple[float, object]:
    """Return the bytes for each of so many nodes that something takes, and the result."""
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / count, made


def cost_of_changes(tree: PlainTree) -> float:
    """Return the CPU time of a change, in microseconds: the best of five runs of all nodes."""
    changes = [Change(ChangeKind.CHANGED, path, value, value) for path, value in tree.items()]
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for change in changes:
            tree.changed(change)
        best = min(best, time.process_time() - began)
    return best / len(changes) * 1e6


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100_000, help="how many (100,000)")
    count = parser.parse_args().nodes
    tree = PlainTree(count)
    used, _ = memory_of(lambda: Decoded(tree, lambda path, data: data), count)
    print(f"a view, without its values:   {used:6.0f} bytes a node")
    same = Decoded(tree, lambda path, data: data)
    print(f"a change, not decoded:        {cost_of_changes(tree):6.2f} us")
    used, _ = memory_of(lambda: same.index("few", lambda path, data: [data[-4:]]), count)
    print(f"an index of ten keys:         {used:6.0f} bytes a node")
    print(f"a change with it:             {cost_of_changes(tree):6.2f} us")
    used, _ = memory_of(lambda: same.index("own", lambda path, data: [data]), count)
    print(f"an index of a key each:       {used:6.0f} bytes a node")
    print(f"a change with both:           {cost_of_changes(tree):6.2f} us")
    same.watch(lambda change: None)
    print(f"a change with a watcher too:  {cost_of_changes(tree):6.2f} us")
    used, json_view = memory_of(lambda: Decoded(tree, decode_json), count)
    print(f"a view with values from JSON: {used:6.0f} bytes a node")
    print(f"a change, decoded from JSON:  {cost_of_changes(tree):6.2f} us")
    assert isinstance(json_view, Decoded)
    index = json_view.index("zone", lambda path, value: [value["zone"]])
    began = time.process_time()
    for _ in range(100_000):
        index["z3"]
    print(f"a look-up in an index:        {(time.process_time() - began) * 1e4:6.0f} ns")


if __name__ == "__main__":
    main()
