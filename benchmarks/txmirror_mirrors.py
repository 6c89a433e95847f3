"""W6 to W8 as txmirror does them: ``txmirror_mirrors.py W6 127.0.0.1:2181 10000 1``; see ``mirrored.py``."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from itertools import repeat

import reads
from mirrored import ROOT, Measurement, arguments, leaves
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import react

from txmirror.mirror import Change, Mirror, Node, Tree


async def main(workload: str, servers: str, mirrors: list[Mirror], measurement: Measurement) -> None:
    """Mirror, and print the figures."""
    await gatherResults([mirror.connect() for mirror in mirrors])
    measurement.begin()
    trees = [mirror.tree(ROOT) for mirror in mirrors]
    await gatherResults([tree.ready() for tree in trees])
    measurement.warm()
    if workload == "W8":
        node = mirrors[0].get(leaves(measurement.count)[0])
        await node.children()
        await w8(node, trees[0])
    elif workload != "W6":
        over: Deferred[None] = Deferred()
        for number, tree in enumerate(trees):
            follow(tree, number, measurement)
        sessions = [mirror.client.session_id for mirror in mirrors]
        measurement.wait(lambda: over.callback(None))
        await over
        assert [mirror.client.session_id for mirror in mirrors] == sessions, "a session has ended"
        for tree in trees:
            measurement.end(partial(_value, tree))
    await gatherResults([mirror.close() for mirror in mirrors])


def _value(tree: Tree, path: str) -> bytes:
    return tree[path][0]


def follow(tree: Tree, number: int, measurement: Measurement) -> None:
    def told(change: Change) -> None:
        if change.new is not None:
            measurement.shown(change.path, change.new[0], number)

    tree.watch(told)


async def w8(node: Node, tree: Tree) -> None:
    path = node.path
    known = await node.value()

    def state() -> None:
        for _ in repeat(None, reads.TIMES):
            node.state

    def entry() -> None:
        for _ in repeat(None, reads.TIMES):
            tree[path]

    async def value() -> None:
        for _ in repeat(None, reads.TIMES):
            await node.value()

    async def fired() -> None:
        for _ in repeat(None, reads.TIMES):
            await succeed(known)

    figures = reads.nanoseconds({**reads.PLAIN, "node.state": state, "tree[path]": entry})
    reads.say(figures | await reads.nanoseconds_awaited({"await succeed(x)": fired, "await node.value()": value}))


if __name__ == "__main__":
    workload, servers, count, mirrors = arguments()
    # What a process takes that has only imported it is not the mirrors'.
    import_module("twisted.internet.reactor")
    measurement = Measurement(count, mirrors)
    made = [Mirror(servers) for _ in range(mirrors)]
    react(lambda _: Deferred.fromCoroutine(main(workload, servers, made, measurement)))
