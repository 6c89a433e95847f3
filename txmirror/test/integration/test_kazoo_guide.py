"""The tables of the guide for users of kazoo: both sides of each row have the same result, and leave the same nodes.

The page is found beside the examples (see ``test_examples``); where it is not there these tests are skipped.
"""

from __future__ import annotations

import queue
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.security import make_acl, make_digest_acl
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror import Mirror, ZooKeeperClient, recipes
from txmirror.errors import ZooKeeperException
from txmirror.mirror import Node
from txmirror.test.integration.servers import PATIENCE, OnEmbedded, OnReal, ServerChoice, janitor
from txmirror.test.pages.rows import parts, rows_of, run_code
from txmirror.types import ACL, Permission, digest_acl

if TYPE_CHECKING:

    class _Base(ServerChoice, TestCase):
        pass
else:
    _Base = object

#: What differs between two runs of the same calls.
_DIFFERENT = re.compile(r"[0-9a-f]{32}|_c_[0-9a-f-]{36}|_lock__|entry-")


class ByThread:
    """A function for kazoo, and what it was called with."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Any] = queue.Queue()

    def __call__(self, *arguments: Any) -> None:
        self.calls.put(arguments[0] if arguments else None)

    def called(self) -> Any:
        return self.calls.get(timeout=PATIENCE)

    def last(self, expected: Any) -> Any:
        while (found := seen(self.called())) != expected:
            pass
        return found


class ByReactor:
    """A function for txmirror, and what it was called with."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, value: Any) -> Any:
        self.calls.append(value)

    async def called(self) -> Any:
        from twisted.internet import reactor

        while not self.calls:
            await deferLater(reactor, 0.005)
        return self.calls.pop(0)

    async def last(self, expected: Any) -> Any:
        while (found := seen(await self.called())) != expected:
            pass
        return found


def seen(value: Any) -> Any:
    """Return what a watcher was called with, without its stat, and names in order. An event of kazoo's TreeCache is its type."""
    if isinstance(value, TreeEvent):
        return "initialized" if value.event_type == TreeEvent.INITIALIZED else "another"
    if isinstance(value, tuple) and value and isinstance(value[0], bytes):
        value = value[0]
    return sorted(value) if isinstance(value, list) else value


def comparable(value: Any) -> Any:
    """Return a result in a form that is equal for equal results of both libraries."""
    if isinstance(value, BaseException):
        return re.sub("(Error|Exception)$", "", type(value).__name__)
    if hasattr(value, "dataLength"):
        return "stat", value.version, value.numChildren, value.dataLength, bool(value.ephemeralOwner)
    if isinstance(value, Node):
        return value.path
    if isinstance(value, ACL):
        return int(value.permissions), value.scheme, value.identity
    if type(value).__name__ == "ACL":
        return value.perms, value.id.scheme, value.id.id
    if hasattr(value, "path") and hasattr(value, "type"):
        return str(getattr(value.type, "name", value.type)).lower(), value.path
    if isinstance(value, list | tuple):
        found = [comparable(each) for each in value]
        return sorted(found) if all(isinstance(each, str) for each in found) else found
    return value


class RowsContract(_Base):
    timeout = 60

    def setUp(self) -> None:
        self.address = self.server_address()

    def rows(self) -> list[tuple[str, str]]:
        rows = [(left, right) for left, right in rows_of("docs/guides/kazoo.rst") if left.text != "kazoo"]
        return [(left.code, right.code) for left, right in rows]

    async def theirs(self, code: str, root: str) -> Any:
        first, last = parts(code)

        def run() -> Any:
            zk = KazooClient(self.address + root, timeout=5.0)
            zk.start(PATIENCE)
            names: dict[str, Any] = {"zk": zk, "f": ByThread()}
            names.update(KazooState=KazooState, TreeCache=TreeCache, make_acl=make_acl, make_digest_acl=make_digest_acl)
            try:
                exec(first, names)  # noqa: S102 - it is code of the page
                return eval(last, names), self.nodes(root)  # noqa: S307
            except KazooException as error:
                return error, self.nodes(root)
            finally:
                zk.stop()
                zk.close()

        return await deferToThread(run)

    async def ours(self, code: str, root: str) -> Any:
        zk = ZooKeeperClient(self.address + root, session_timeout=5.0)
        mirror = Mirror(client=zk)
        names: dict[str, Any] = {"zk": zk, "mirror": mirror, "f": ByReactor(), "succeed": succeed}
        names.update(ACL=ACL, Permission=Permission, digest_acl=digest_acl)
        names.update({name: getattr(recipes, name) for name in recipes.__all__})
        await zk.connect()
        try:
            result = await run_code(code, names)
            return result, await deferToThread(self.nodes, root)
        except ZooKeeperException as error:
            return error, await deferToThread(self.nodes, root)
        finally:
            await mirror.close()
            await zk.close()

    def nodes(self, root: str) -> list[Any]:
        """The nodes, without what differs between two sessions."""

        def below(path: str) -> Iterator[Any]:
            data, stat = client.get(path)
            name = _DIFFERENT.sub("", path.removeprefix(root))
            yield name, data if name.startswith(("/app", "/new", "/hits")) else len(data) > 0, stat.ephemeralOwner != 0
            for child in client.get_children(path):
                # Our queues have these nodes of their own, as the page says.
                if _DIFFERENT.sub("", child) and not child.endswith("-__taken__"):
                    yield from below(f"{path}/{child}")

        client = janitor(self.address)
        client.sync(root)
        return sorted(below(root))

    def prepare(self, root: str) -> None:
        client = janitor(self.address)
        for path in ("/app/a", "/app/b"):
            client.create(root + path, b"y", makepath=True)
        client.set(f"{root}/app", b"x")
        client.set(f"{root}/app", b"x")
        self.addCleanup(client.delete, root, recursive=True)

    def make_rows(self) -> Iterator[tuple[str, str, str, str]]:
        for number, (theirs, ours) in enumerate(self.rows()):
            yield theirs, ours, f"/guide-{number}-kazoo", f"/guide-{number}-txmirror"

    def test_rows(self) -> Deferred[None]:
        """The results are equal, and so are the nodes while the sessions are open."""
        return Deferred.fromCoroutine(self.check())

    async def check(self) -> None:
        rows = list(self.make_rows())
        self.assertGreater(len(rows), 40)
        different: list[str] = []
        for theirs, ours, their_root, our_root in rows:
            for root in (their_root, our_root):
                await deferToThread(self.prepare, root)
            expected, their_nodes = await self.theirs(theirs, their_root)
            found, our_nodes = await self.ours(ours, our_root)
            # A call that has no result returns True or None.
            nothing = "acquire" not in ours.split(";")[-1] and all(
                each is None or each is True for each in (expected, found)
            )
            if not nothing and comparable(expected) != comparable(found):
                different.append(f"{theirs}: {comparable(expected)!r}\n{ours}: {comparable(found)!r}")
            if their_nodes != our_nodes:
                different.append(f"{theirs}: {their_nodes!r}\n{ours}: {our_nodes!r}")
        self.assertEqual(different, [], "\n" + "\n".join(different))


class EmbeddedTests(OnEmbedded, RowsContract, TestCase):
    pass


class RealTests(OnReal, RowsContract, TestCase):
    pass
