"""The table of the guide for users of txzookeeper: both sides of each row have the same result, and leave the same nodes."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from txmirror import ZooKeeperClient, recipes
from txmirror.embedded import EmbeddedServer
from txmirror.errors import ZooKeeperException
from txmirror.test.compat.available import install_or_skip
from txmirror.test.pages.rows import rows_of, run_code
from txmirror.types import ACL, EventType, ZnodeStat

#: The names of nodes in a sequence: each library chooses their beginnings.
_IN_SEQUENCE = re.compile(r"[^/]+(?=\d{10}$)")


def comparable(value: Any) -> Any:
    """Return a result in a form that is equal for equal results of both libraries."""
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, ZnodeStat):
        return value.version, value.dataLength, value.numChildren
    if isinstance(value, dict) and "dataLength" in value:
        return value["version"], value["dataLength"], value["numChildren"]
    if isinstance(value, bytes):
        return value.decode()
    return tuple(map(comparable, value)) if isinstance(value, tuple) else value


class GuideTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        install_or_skip()
        connects, *self.rows = [
            (left.code, right.code)
            for left, right in rows_of("docs/guides/txzookeeper.rst")
            if left.text != "txzookeeper"
        ]
        self.connects = connects

    async def run_side(self, connect: str, code: str, names: dict[str, Any]) -> tuple[Any, list[Any]]:
        """Run a row's side at a server of its own, and return its result and the nodes."""
        server = EmbeddedServer(self.reactor)
        server.listen()
        witness = ZooKeeperClient(server.address)
        await witness.connect()
        for path in ("/app", "/app/a"):
            await witness.create(path, b"x")
        try:
            connected = await run_code(connect.replace("zk1:2181", server.address).replace("yield ", "await "), names)
            self.assertIs(connected, True)
            try:
                result: Any = await run_code(code.replace("yield ", "await "), names)
            except Exception as error:
                result = error
            nodes = await self.nodes(witness, "/")
            await names["zk"].close()
        finally:
            await witness.close()
            server.stop()
        return result, sorted(nodes)

    async def nodes(self, client: ZooKeeperClient, path: str) -> list[Any]:
        """Return the nodes below a path, without the parts that differ between two programs."""
        found: list[Any] = []
        for name in await client.get_children(path):
            below = f"{path.rstrip('/')}/{name}"
            if below == "/zookeeper" or name.endswith("__taken__"):
                continue
            data, stat = await client.get(below)
            found.append((_IN_SEQUENCE.sub("", below), data, stat.ephemeralOwner != 0))
            found += await self.nodes(client, below)
        return found

    async def theirs(self, code: str) -> tuple[Any, list[Any]]:
        import txzookeeper
        import zookeeper
        from txzookeeper.lock import Lock
        from txzookeeper.queue import Queue

        names = {"ZookeeperClient": txzookeeper.ZookeeperClient, "zookeeper": zookeeper, "Lock": Lock, "Queue": Queue}
        return await self.run_side(self.connects[0], code, names)

    async def ours(self, code: str) -> tuple[Any, list[Any]]:
        names = {name: getattr(recipes, name) for name in recipes.__all__}
        names.update(ZooKeeperClient=ZooKeeperClient, ACL=ACL, EventType=EventType)
        return await self.run_side(self.connects[1], code, names)

    def test_rows(self) -> Deferred[None]:
        """The results are equal, and so are the nodes while the sessions are open."""
        return Deferred.fromCoroutine(self.check())

    async def check(self) -> None:
        self.assertGreater(len(self.rows), 10)
        different: list[str] = []
        for theirs, ours in self.rows:
            expected, their_nodes = await self.theirs(theirs)
            found, our_nodes = await self.ours(ours)
            self.assertFalse(isinstance(found, Exception) and not isinstance(found, ZooKeeperException), found)
            # As the page says: a number there, the stat or nothing here.
            done = type(expected) is int and (found is None or isinstance(found, ZnodeStat))
            if not done and comparable(expected) != comparable(found):
                different.append(f"{theirs}: {comparable(expected)!r}\n{ours}: {comparable(found)!r}")
            if their_nodes != our_nodes:
                different.append(f"{theirs}: {their_nodes!r}\n{ours}: {our_nodes!r}")
        self.assertEqual(different, [], "\n" + "\n".join(different))
