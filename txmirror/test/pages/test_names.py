"""Each attribute that a page's text names, such as ``node.state.stale_since``, is one of that object."""

from __future__ import annotations

import inspect
import re
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from txmirror import aio, recipes
from txmirror.discovery import ServiceProvider
from txmirror.registry import Registration
from txmirror.test.pages.found import PAGES, text_of
from txmirror.testing import World

_CODE = re.compile(r"(?<!`)``([^`]+)``(?!`)")
#: An object's usual name, and a chain of attributes.
_CHAIN = re.compile(r"(?<![\w./\"'-])([a-z]+)((?:\.[A-Za-z_]\w*)+)")
#: Their tables have calls of another library under the same names; other tests run them.
_OTHERS = {"docs/guides/kazoo.rst", "docs/guides/txzookeeper.rst"}
_ASYNCIO = "docs/guides/asyncio.rst"


class NamesTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not PAGES:
            raise SkipTest("there are no pages beside the examples")
        self.world = World()
        self.addCleanup(self.world.close)
        self.names = self.make_names()

    def make_names(self) -> dict[str, Any]:
        """Return an object for each usual name."""
        world = self.world
        client, mirror, registry = world.client(), world.mirror(), world.registry()
        names: dict[str, Any] = {"world": world, "client": client, "zk": client, "mirror": mirror, "registry": registry}
        names.update(server=world.server, node=mirror.get("/a"), tree=mirror.tree("/a"))
        names["provider"] = provider = ServiceProvider(registry, "/services/web")
        self.addCleanup(provider.close)
        names["registration"] = Registration(mirror, "/services/web/a:1")
        for kind, more in (
            ("Barrier", ()),
            ("Counter", ()),
            ("Election", ()),
            ("Lock", ()),
            ("LockingQueue", ()),
            ("Members", ("a",)),
            ("Party", ()),
            ("Queue", ()),
            ("SharedValue", ()),
        ):
            names[kind.lower()] = getattr(recipes, kind)(client, "/a", *more)
        names["semaphore"] = recipes.Semaphore(client, "/a", leases=1)
        names["partitioner"] = recipes.Partitioner(client, "/a", ["x"], lambda _: None, reactor=world.reactor)  # type: ignore[arg-type,return-value]
        return names

    def missing(self, name: str, chain: str, names: dict[str, Any]) -> bool:
        """Return whether an object does not have an attribute. Results of calls are not looked at."""
        value = names[name]
        for attribute in chain.split(".")[1:]:
            if not hasattr(value, attribute):
                return True
            value = getattr(value, attribute)
            if callable(value):
                break
        return False

    def test_names(self) -> None:
        """The objects have them."""
        wrong, count = list[str](), 0
        classes = {name.lower(): kind for name, kind in vars(aio).items() if inspect.isclass(kind)}
        for page in sorted(set(PAGES) - _OTHERS):
            names = {name: classes.get(name, value) for name, value in self.names.items()}
            names = names if page == _ASYNCIO else self.names
            for code in _CODE.findall(text_of(page)):
                for name, chain in _CHAIN.findall(code):
                    if name in names:
                        count += 1
                        # An object for asyncio wraps one for Twisted.
                        whole = self.names if chain.startswith(".wrapped.") else names
                        missing = self.missing(name, chain.removeprefix(".wrapped"), whole)
                        wrong += [f"{page}: {code}"] if missing else []
        self.assertEqual(wrong, [])
        self.assertGreater(count, 100)
