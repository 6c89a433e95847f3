"""The tables of the guides for users of zkmirror, nd_service_registry and Curator: our side of each row runs, with the documented
result, and a test with Curator's own classes stands behind each claim about shared nodes.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import shlex
from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror import Mirror, ServiceRegistry, ZooKeeperClient, recipes
from txmirror.discovery import ServiceProvider
from txmirror.mirror import Node
from txmirror.registry import CODECS, Registration
from txmirror.test.cli.case import CommandTestCase
from txmirror.test.neighbours import curator_programs
from txmirror.test.pages.rows import rows_of, run_code
from txmirror.testing import World
from txmirror.types import ZnodeStat

#: The servers of the pages.
_SERVERS = "zk1:2181"

#: For each row of the guide for users of Curator: the module of ``txmirror.test.neighbours`` and its tests that show that the nodes
#: are shared, or refused.
_PROOFS: dict[tuple[str, ...], tuple[str, ...]] = {
    ('usingNamespace("app")',): ("test_curator_recipes", "test_namespace"),
    ("withProtection()",): ("test_curator_recipes", "test_protection"),
    ("CuratorCache", "PathChildrenCache", "NodeCache"): ("test_curator_recipes", "test_caches"),
    ("PersistentNode",): ("test_curator_recipes", "test_persistent_node"),
    ("GroupMember",): ("test_curator_recipes", "test_members"),
    ("InterProcessMutex",): ("test_curator_locks", "test_mutex"),
    ("InterProcessReadWriteLock",): ("test_curator_locks", "test_read_write"),
    ("LeaderSelector", "LeaderLatch"): ("test_curator_locks", "test_selector", "test_latch"),
    ("SharedCount", "DistributedAtomicInteger", "SharedValue"): ("test_curator_recipes", "test_count", "test_value"),
    ("DistributedAtomicLong",): ("test_curator_recipes", "test_long"),
    ("DistributedBarrier", "DistributedDoubleBarrier"): ("test_curator_recipes", "test_barrier", "test_double_barrier"),
    ("ServiceDiscovery",): ("test_curator", "test_curator_reads", "test_curator_writes"),
    ("ServiceProvider", "DownInstancePolicy"): ("test_curator_recipes", "test_provider"),
}


def calls_of(page: str, ancestor: str) -> list[tuple[str, str]]:
    """Return the rows of a page's table that have code on both sides."""
    rows = [(left, right) for left, right in rows_of(page) if left.text not in {ancestor, "zk_watcher"}]
    return [(left.code, right.code) for left, right in rows]


def shown(value: Any) -> Any:
    """Return a result in a form that can be compared."""
    if isinstance(value, Node):
        return value.path
    if isinstance(value, ZnodeStat):
        return value.version
    if isinstance(value, tuple):
        return tuple(map(shown, value))
    return value


class CallsTestCase(SynchronousTestCase):
    """A server in memory with the node ``/app``, which has data and two children, and a mirror."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.other = self.world.client()
        self.world.result(self.other.create("/app", b"x"))
        for name in ("a", "b"):
            self.world.result(self.other.create(f"/app/{name}"))
        self.seen: list[Any] = []

    def names(self) -> dict[str, Any]:
        return {"f": lambda value: self.seen.append(shown(value))}

    def run_all(self, codes: Sequence[str], names: dict[str, Any]) -> list[Any]:
        """Run the rows one after another, and return their results."""
        results = []
        for code in codes:
            text = code.replace(_SERVERS, self.world.connect_string)
            results.append(shown(self.world.result(Deferred.fromCoroutine(run_code(text, names)))))
            self.world.settle()
        return results


class ZkmirrorTests(CallsTestCase):
    def test_rows(self) -> None:
        """The calls have the same names and arguments as zkmirror's, and their results."""
        rows = calls_of("docs/guides/zkmirror.rst", "zkmirror")
        connects, *others = rows
        self.assertEqual([right.replace("await ", "") for _, right in others], [left for left, _ in others])
        mirrors: list[Mirror] = []

        def make(*arguments: Any) -> Mirror:
            mirrors.append(Mirror(*arguments, reactor=self.world.reactor))
            return mirrors[0]

        names = {**self.names(), "Mirror": make}
        names["node"] = self.world.mirror().get("/app")
        self.run_all([f"{connects[1]}; mirror.is_connected()"], names)
        self.addCleanup(mirrors[0].close)
        names["node"] = mirrors[0].get("/app")
        results = self.run_all([right for _, right in others], names)
        expected = ["/app", (b"x", 0), ["a", "b"], "/new", 1, None, None, "/new/deep", "/new/deep", None, True, 0.0]
        self.assertEqual(results, expected)
        self.assertEqual(self.seen, [])
        self.change("set", "/app", b"z")
        self.change("create", "/app/c")
        for path in ("/app/a", "/app/b", "/app/c", "/app"):
            self.change("delete", path)
        self.assertEqual(self.seen[:2], [(b"z", 2), ["a", "b", "c"]])
        self.assertEqual(self.seen[-2:], [None, None])
        self.world.result(mirrors[0].close())

    def change(self, method: str, *arguments: Any) -> None:
        """Change a node by the other client, and wait until the watchers have been called."""
        self.world.result(getattr(self.other, method)(*arguments))
        self.world.settle()


class RegistryTests(CallsTestCase):
    def test_rows(self) -> None:
        """The calls have the same names and arguments as nd_service_registry's, and their results."""
        rows = calls_of("docs/guides/nd_service_registry.rst", "nd_service_registry")[:-1]
        left = [theirs.replace("KazooServiceRegistry", "ServiceRegistry") for theirs, _ in rows]
        right = [re.sub(r"\(await ([^()]+\([^()]*\))\)", r"\1", ours).replace("await ", "") for _, ours in rows]
        self.assertEqual(left, right)
        names = {**self.names(), "ServiceRegistry": partial(ServiceRegistry, reactor=self.world.reactor)}
        codes = [ours for _, ours in rows]
        construct, register, withdraw, unset, set_data, get, follow, lock, acquire, other, stop = codes
        results = self.run_all([f"{construct}; nd.servers", register, withdraw, register, unset, set_data], names)
        self.assertEqual(results, [self.world.connect_string, *[True] * 5])
        registered, children = self.run_all([register, get], names)
        self.assertIs(registered, True)
        self.assertEqual({name: data["zone"] for name, data in children.items()}, {"a:1": "b"})
        (answer,) = self.run_all([follow], names)
        self.assertEqual((list(answer["children"]), answer["data"]["color"]), (["a:1"], "blue"))
        self.assertEqual(self.seen, [answer])
        self.assertEqual(self.run_all([lock, acquire], names), [True, True])
        (also,) = self.run_all([other], names)
        self.assertEqual((also.lazy, also.readonly), (True, True))
        self.assertEqual(self.run_all([stop], names), [None])
        self.assertEqual(self.world.result(self.other.get_children("/services/web")), [])


class CuratorTests(CallsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.rows = [row for row in rows_of("docs/guides/curator.rst") if row[0].text != "Curator"]

    def test_rows(self) -> None:
        """Our side of each row can be made, or called, with these arguments."""
        client = self.world.client()
        names: dict[str, Any] = {name: getattr(recipes, name) for name in recipes.__all__}
        mirror = self.world.mirror()
        registry = self.world.registry()
        names.update(client=client, mirror=mirror, registry=registry, node=mirror.get("/app"), path="/app/x")
        names.update(CODECS=CODECS, Registration=Registration, key="me", f=self.seen.append)
        names["lock"] = recipes.Lock(client, "/lock")
        for kind in (ZooKeeperClient, Mirror, ServiceRegistry):
            names[kind.__name__] = partial(kind, reactor=self.world.reactor)
        made: list[Any] = []
        for closed in (ServiceProvider, World):
            names[closed.__name__] = partial(keep, made, closed)
        codes = [code for _, middle, _ in self.rows for code in middle.codes]
        self.assertGreater(len(codes), 20)
        for code in codes:
            self.run_all([code], names)
        self.assertEqual(sorted(type(each).__name__ for each in made), ["ServiceProvider", "World", "World"])
        for each in made:
            each.close()

    def test_shared_nodes(self) -> None:
        """Each row that says whether nodes are shared has a test, which names Curator's classes."""
        said = {tuple(left.codes): last.text for left, _, last in self.rows if last.text.startswith(("yes", "no"))}
        self.assertEqual(list(said), list(_PROOFS))
        for names, (module, *tests) in _PROOFS.items():
            cases = importlib.import_module(f"txmirror.test.neighbours.{module}")
            text = inspect.getsource(cases) + inspect.getsource(curator_programs)
            for name in names:
                self.assertIn(name.partition("(")[0], text)
            for test in tests:
                self.assertTrue(
                    any(hasattr(each, test) for each in vars(cases).values() if inspect.isclass(each)), test
                )


def keep(made: list[Any], kind: Any, *arguments: Any, **options: Any) -> Any:
    """Make an object, and note it."""
    made.append(kind(*arguments, **options))
    return made[-1]


class CommandTests(CommandTestCase):
    def test_row(self) -> None:
        """The command has the options of ``ndsr``, and prints the nodes as JSON."""
        theirs, ours = calls_of("docs/guides/nd_service_registry.rst", "nd_service_registry")[-1]
        name, *arguments = shlex.split(ours)
        self.assertEqual((name, ["ndsr", *arguments]), ("txmirror", shlex.split(theirs)))
        for path in ("/services", "/services/web", "/services/web/a:1"):
            self.make(path)
        found = json.loads(self.done(*arguments).out)
        self.assertEqual((found["path"], list(found["children"])), ("/services/web", ["a:1"]))
