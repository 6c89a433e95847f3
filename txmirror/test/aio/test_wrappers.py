"""The objects for asyncio have every public method of those for Twisted, with the same parameters."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementedBy

from txmirror import aio, client, discovery, mirror, recipes, registry
from txmirror.client.transactions import Transaction
from txmirror.interfaces import IRegistryLock
from txmirror.mirror.stream import Values
from txmirror.types import ZnodeStat

#: The wrapped class of each wrapper.
_WRAPPED: dict[Any, Any] = {
    aio.ZooKeeperClient: client.ZooKeeperClient,
    aio.Transaction: Transaction,
    aio.Mirror: mirror.Mirror,
    aio.Node: mirror.Node,
    aio.JsonNode: mirror.JsonNode,
    aio.Tree: mirror.Tree,
    aio.Decoded: mirror.Decoded,
    aio.Values: Values,
    aio.Lock: recipes.Lock,
    aio.ReadLock: recipes.ReadLock,
    aio.WriteLock: recipes.WriteLock,
    aio.Semaphore: recipes.Semaphore,
    aio.Election: recipes.Election,
    aio.Queue: recipes.Queue,
    aio.LockingQueue: recipes.LockingQueue,
    aio.TakenEntry: recipes.TakenEntry,
    aio.Counter: recipes.Counter,
    aio.SharedValue: recipes.SharedValue,
    aio.Partitioner: recipes.Partitioner,
    aio.Barrier: recipes.Barrier,
    aio.DoubleBarrier: recipes.DoubleBarrier,
    aio.Party: recipes.Party,
    aio.Members: recipes.Members,
    aio.MultiLock: recipes.MultiLock,
    aio.Registration: registry.Registration,
    aio.ServiceRegistry: registry.ServiceRegistry,
    aio.RegistryLock: IRegistryLock,
    aio.ServiceProvider: discovery.ServiceProvider,
}
#: The packages whose public classes are wrapped.
_PACKAGES = ("client", "mirror", "recipes", "registry", "discovery")
#: Of a Twisted service, and of the reactor, which is that of the loop.
_OF_TWISTED = {"startService", "stopService", "reactor"}
#: Not made by programs.
_NOT_CONSTRUCTED = {
    aio.Transaction,
    aio.Node,
    aio.JsonNode,
    aio.Tree,
    aio.Decoded,
    aio.Values,
    aio.RegistryLock,
    aio.TakenEntry,
}
_DOCUMENTED = re.compile(r":ivar (\w+):")


def _public(wrapped: Any) -> Iterator[tuple[str, Any]]:
    """Yield the public attributes of a class of ours, and its asynchronous special methods."""
    if wrapped is IRegistryLock:
        yield from ((name, None) for name in IRegistryLock)
        return
    interfaces = [each for each in implementedBy(wrapped) if each.__module__.startswith("txmirror.")]
    yield from ((name, None) for interface in interfaces for name in interface if name not in _OF_TWISTED)
    for cls in wrapped.__mro__:
        if cls.__module__.startswith("txmirror."):
            for name, value in vars(cls).items():
                public = not name.startswith("_") or name in {"__aenter__", "__aexit__", "__aiter__", "__anext__"}
                if public and ":meta private:" not in (value.__doc__ or "") and name not in _OF_TWISTED:
                    yield name, value
            yield from ((name, None) for name in _DOCUMENTED.findall(cls.__doc__ or ""))


def _parameters(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default) for each in parameters if each.name not in {"self", "reactor"}]


class WrapperTests(SynchronousTestCase):
    def test_every_attribute(self) -> None:
        """Each public attribute of a wrapped class is there."""
        missing = [
            f"{wrapped.__name__}.{name}"
            for wrapper, wrapped in _WRAPPED.items()
            for name, _ in _public(wrapped)
            if not hasattr(wrapper, name)
        ]
        self.assertEqual(missing, [])

    def test_nothing_else(self) -> None:
        """No wrapper has a method that the wrapped class does not have."""
        for wrapper, wrapped in _WRAPPED.items():
            own = {name for cls in wrapper.__mro__ if cls.__module__.startswith("txmirror.") for name in vars(cls)}
            public = {name for name in own if not name.startswith("_")} - {"wrap"}
            self.assertEqual(public - {name for name, _ in _public(wrapped)} - set(dir(wrapped)), set(), wrapper)

    def test_signatures(self) -> None:
        """Each method has the same parameters, and a Deferred has become a Call."""
        compared = 0
        for wrapper, wrapped in _WRAPPED.items():
            for name, value in _public(wrapped):
                if not inspect.isfunction(value) or name.startswith("__"):
                    continue
                method = getattr(wrapper, name)
                self.assertEqual(_parameters(method), _parameters(value), f"{wrapper.__name__}.{name}")
                theirs = str(inspect.signature(value).return_annotation)
                ours = str(inspect.signature(method).return_annotation)
                self.assertEqual(theirs.count("Deferred["), ours.count("Call["), f"{wrapper.__name__}.{name}")
                self.assertTrue(method.__doc__, f"{wrapper.__name__}.{name}")
                compared += 1
        self.assertGreater(compared, 130)

    def test_constructors(self) -> None:
        """The objects that programs make have the same parameters, but for the reactor."""
        for wrapper, wrapped in _WRAPPED.items():
            if wrapper not in _NOT_CONSTRUCTED:
                self.assertEqual(_parameters(wrapper.__init__), _parameters(wrapped.__init__), wrapper)

    def test_every_class(self) -> None:
        """Each public class with a method that returns a Deferred has a wrapper."""
        found = {
            value
            for package in _PACKAGES
            for value in vars(import_module(f"txmirror.{package}")).values()
            if inspect.isclass(value)
            for _, method in _public(value)
            if inspect.isfunction(method) and "Deferred[" in str(inspect.signature(method).return_annotation)
        }
        self.assertGreater(len(found), 8)
        # Programs pass a TokenBucket to registrations, and do not wait for it.
        self.assertEqual(found - set(_WRAPPED.values()), {registry.TokenBucket})

    def test_all_exported(self) -> None:
        """Programs can name each class in annotations."""
        for wrapper in _WRAPPED:
            self.assertIs(getattr(aio, wrapper.__name__), wrapper)
            self.assertIn(wrapper.__name__, aio.__all__)


class OtherReactorTests(SynchronousTestCase):
    """Under trial another reactor is installed."""

    def check(self, error: BaseException) -> None:
        self.assertIn("txmirror.aio.run(main())", str(error))
        self.assertNotIn("\n", str(error))

    def test_no_loop(self) -> None:
        """Without a running loop, the error says how to run one."""
        for make in (aio.Mirror, aio.ZooKeeperClient, aio.ServiceRegistry):
            error = self.assertRaises(RuntimeError, make)
            self.assertIn("no asyncio event loop is running here", str(error))
            self.check(error)

    def test_other_reactor(self) -> None:
        """A reactor that does not run on asyncio is named."""
        from twisted.internet import reactor

        async def make() -> None:
            aio.Mirror()

        async def enter() -> None:
            async with aio.running_reactor():
                pass

        for main in (make, enter):
            error = self.assertRaises(RuntimeError, asyncio.run, main())
            self.assertIn(f"Twisted's reactor is {type(reactor).__name__}, not one for asyncio", str(error))
            self.check(error)
        error = self.assertRaises(RuntimeError, aio.run, make())
        self.check(error)


def _use(*values: object) -> None:
    pass


async def check_types(session: aio.ZooKeeperClient, node: aio.Node, lock: aio.Lock, names: aio.JsonNode) -> None:
    """Type checkers know the results and refuse wrong arguments. Nothing calls this."""
    data: bytes
    stat: ZnodeStat
    data, stat = await session.get("/")
    data, stat = await node.value(fresh=True)
    path: str = await session.create("/a", data, ephemeral=True)
    answer, watch = session.get_children_and_watch(path)
    children: list[str] = await answer
    _use((await watch).path, children, stat.version)
    below: aio.ZooKeeperClient = session.chroot("/a")
    created: aio.Node = await node.create(makepath=True)
    task: asyncio.Task[ZnodeStat] = asyncio.create_task(created.set(b"", -1))
    _use(await task, await names.value(), below)
    async with lock as same:
        held: bool = same.held
        _use(held)
    async for state in node.values():
        _use(None if state is None else state[0])
    session.get(1)  # type: ignore[arg-type]
    session.create("/a", ephemral=True)  # type: ignore[call-arg]
    number: int = await session.get_children("/")  # type: ignore[assignment]
    _use(number)


async def check_registry_types(server: str, unsure: bool) -> None:
    """Type checkers derive the result of ``get`` from ``lazy``. Nothing calls this."""
    eager = aio.ServiceRegistry(server)
    _use((await eager.get("/services"))["children"])
    lazy = aio.ServiceRegistry(server, lazy=unsure)
    _use((await lazy.get("/services"))["children"])  # type: ignore[index]
