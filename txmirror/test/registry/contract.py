"""The contract of every service registry: one suite for each provider and, where a server is needed, for each server.

A test uses registries by their interface, and everything else by a :class:`Place`: the connections to ZooKeeper,
another client, and the time. Nothing here depends on whether these are real.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from txmirror import paths
from txmirror.client import ZooKeeperClient
from txmirror.errors import NoConnection, NoNodeException
from txmirror.interfaces import IServiceRegistry
from txmirror.types import ACL, OPEN_ACL, ZnodeStat

_T = TypeVar("_T")

#: Where the tests register, and what.
SERVICE = "/services/ssh"
SERVER = "server1:22"
NODE = f"{SERVICE}/{SERVER}"
#: The time after which ZooKeeper is out of reach, in seconds, if a test does not say otherwise.
TIMEOUT = 2.0
#: Who may do what tests keep from others: ``user:password``.
IDENTITIES = ("bob:secret", "ann:other", "ann:secret")

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class Stranger(Protocol):
    """Another client, with a session of its own, that always reaches ZooKeeper."""

    async def create(
        self, path: str, data: bytes = b"", *, ephemeral: bool = False, acl: Sequence[ACL] | None = None
    ) -> None:
        """Create a node, and its missing parents."""

    async def set(self, path: str, data: bytes) -> None:
        """Write a node's data."""

    async def delete(self, path: str) -> None:
        """Delete a node."""

    async def set_acl(self, path: str, acl: Sequence[ACL]) -> None:
        """Replace a node's ACL, where ``bob:secret`` may do that."""

    async def get(self, path: str) -> tuple[bytes, ZnodeStat]:
        """Return a node's present data and stat.

        :raises NoNodeException: there is none.
        """


class Place(Protocol):
    """A ZooKeeper that is empty to begin with, and the way of registries to it.

    :ivar step: how often to look whether something has come about, in seconds.
    :ivar patience: how long something may take that is to come about by itself, in seconds.
    """

    step: float
    patience: float

    @property
    def stranger(self) -> Stranger:
        """The other client."""

    def make(self, **options: Any) -> IServiceRegistry:
        """Make a registry, which is stopped in the end."""

    async def done(self, awaited: Awaitable[_T]) -> _T:
        """Wait for a Deferred that takes only messages, and no time."""

    async def in_time(self, awaited: Deferred[_T], seconds: float) -> _T:
        """Wait for a Deferred that may take some seconds."""

    async def pass_time(self, seconds: float) -> None:
        """Let time go by."""

    async def quiet(self) -> None:
        """Let as much time go by as anything takes that is not to happen."""

    async def leave(self, registry: IServiceRegistry, *, session_ends: bool = False) -> None:
        """Let ZooKeeper be out of a registry's reach, until it comes back. It has noticed that when this returns.

        :param session_ends: whether its session ends too, before this returns.
        """

    async def come_back(self, registry: IServiceRegistry, *, connects: bool = True) -> None:
        """Let a registry reach ZooKeeper again.

        :param connects: whether it is to have a session when this returns, without being asked for anything.
        """

    async def blink(self, registry: IServiceRegistry, meanwhile: Callable[[], Awaitable[object]]) -> None:
        """Part a registry from ZooKeeper, do something, and let it come back to the same session."""

    async def end_session(self, registry: IServiceRegistry) -> None:
        """End a registry's session. It has another one when this returns."""


class ClientStranger:
    """Another client, made with our own.

    :param done: waits for a Deferred that takes only messages, and no time.
    """

    def __init__(self, client: ZooKeeperClient, done: Callable[[Awaitable[Any]], Awaitable[Any]]) -> None:
        self._client = client
        self._done = done

    async def create(
        self, path: str, data: bytes = b"", *, ephemeral: bool = False, acl: Sequence[ACL] | None = None
    ) -> None:
        """Create a node, and the missing ones above it; see :class:`Stranger`."""
        try:
            await self._done(self._client.create(path, data, acl or OPEN_ACL, ephemeral=ephemeral))
        except NoNodeException:
            await self.create(paths.split(path)[0])
            await self.create(path, data, ephemeral=ephemeral, acl=acl)

    async def set(self, path: str, data: bytes) -> None:
        """Write a node's data."""
        await self._done(self._client.set(path, data))

    async def delete(self, path: str) -> None:
        """Delete a node."""
        await self._done(self._client.delete(path))

    async def set_acl(self, path: str, acl: Sequence[ACL]) -> None:
        """Replace a node's ACL, where ``bob:secret`` may do that."""
        await self._done(self._client.add_auth("digest", b"bob:secret"))
        await self._done(self._client.set_acl(path, acl))

    async def get(self, path: str) -> tuple[bytes, ZnodeStat]:
        """Return a node's present data and stat."""
        self._client.sync(path).addErrback(lambda _: None)
        found: tuple[bytes, ZnodeStat] = await self._done(self._client.get(path))
        return found


@implementer(ILogObserver)
class _Warnings:
    """Collects the warnings and errors of registries."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        namespace = event.get("log_namespace", "")
        # The second is that of nodes that cannot be decoded.
        if event["log_level"] >= LogLevel.warn and ("registry" in namespace or "mirror.decoded" in namespace):
            self.lines.append(formatEvent(event))


class RegistryCase(_Base):
    """The base of the parts of the suite. A subclass is a ``TestCase`` too, and names the provider.

    :ivar persistent: whether outages that are shorter than ``timeout`` are distinguished from longer ones.
    """

    timeout = 60
    #: Whether a session outlives its connection: a declared deviation of ClickHouse Keeper, where it does not.
    resumes_sessions = True

    def make_place(self) -> Awaitable[Place]:
        """Make the place for one test; it is the subclass's to tidy it up."""
        raise NotImplementedError

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        self.place = await self.make_place()
        self.stranger = self.place.stranger
        self.done = self.place.done
        self._observed = _Warnings()
        globalLogPublisher.addObserver(self._observed)
        self.addCleanup(globalLogPublisher.removeObserver, self._observed)

    async def started(self, **options: Any) -> IServiceRegistry:
        """Make a registry that has its session."""
        registry = self.place.make(**options)
        self.assertIs(await self.done(registry.start()), True)
        return registry

    async def registered(self, **options: Any) -> IServiceRegistry:
        """Make a registry that has registered :data:`NODE` with ``{"foo": "bar"}``."""
        registry = await self.started(**options)
        self.assertIs(await self.done(registry.set_node(NODE, {"foo": "bar"})), True)
        return registry

    async def out_of_reach(self, deferred: Deferred[Any], seconds: float = TIMEOUT + 1) -> None:
        """Check that a call fails with NoConnection within some seconds."""
        try:
            result = await self.place.in_time(deferred, seconds)
        except NoConnection as error:
            self.assertNotIn("\n", str(error))
            return
        self.fail(f"NoConnection expected, not {result!r}")

    async def put_off(self, deferred: Deferred[Any], seconds: float = TIMEOUT + 1) -> None:
        """Check that a call fires with False within some seconds, with one warning.

        There were no warnings before.
        """
        self.assertIs(await self.place.in_time(deferred, seconds), False)
        self.assertEqual(len(warnings := self.warnings()), 1, warnings)

    async def fails(self, expected: type[Exception], deferred: Deferred[Any]) -> Any:
        """Return the exception with which a call fails."""
        try:
            result = await self.done(deferred)
        except expected as error:
            return error
        raise self.failureException(f"{expected.__name__} expected, not {result!r}")

    async def until(self, look: Callable[[], Awaitable[object] | object], what: str) -> None:
        """Wait until something is so."""
        waited = 0.0
        while True:
            found = look()
            if await found if isinstance(found, Awaitable) else found:
                return
            self.assertLess(waited, self.place.patience, f"it does not come about: {what}")
            await self.place.pass_time(self.place.step)
            waited += self.place.step

    def warnings(self) -> list[str]:
        """Return the warnings of registries since the last call."""
        lines, self._observed.lines = self._observed.lines, []
        return lines

    async def stat(self, path: str) -> ZnodeStat | None:
        """Return a node's stat, as another client sees it; None if there is no node."""
        try:
            return (await self.stranger.get(path))[1]
        except NoNodeException:
            return None

    async def facts(self, path: str) -> Any:
        """Return a node's data without ``pid`` and ``created``, as another client sees it; None if there is no node."""
        try:
            data, _ = await self.stranger.get(path)
        except NoNodeException:
            return None
        return _without_origin(json.loads(data))

    async def until_facts(self, path: str, expected: object) -> ZnodeStat:
        """Wait until a node has these facts; then return its stat."""

        async def so() -> bool:
            return bool(await self.facts(path) == expected)

        await self.until(so, f"{path} says {expected!r}")
        return (await self.stranger.get(path))[1]

    async def until_gone(self, path: str) -> None:
        """Wait until there is no such node."""

        async def so() -> bool:
            return await self.stat(path) is None

        await self.until(so, f"{path} is gone")

    async def answer(self, registry: IServiceRegistry, path: str) -> Any:
        """Ask a registry, which has an answer."""
        answer = await self.done(registry.get(path))
        self.assertIsNot(answer, False)
        return answer

    async def until_children(self, registry: IServiceRegistry, path: str, expected: dict[str, Any]) -> None:
        """Wait until a registry's answer has these children, ``pid`` and ``created`` apart."""

        async def so() -> bool:
            children = (await self.answer(registry, path))["children"]
            return {name: _without_origin(data) for name, data in children.items()} == expected

        await self.until(so, f"the children of {path} are {expected!r}")


def _without_origin(data: Any) -> Any:
    return (
        {key: data[key] for key in data if key not in {"pid", "created", "created_zone"}}
        if isinstance(data, dict)
        else data
    )


class Listener:
    """A callback that records its calls, and checks that it is never called twice with the same."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.repeated = False

    def __call__(self, news: Any) -> None:
        self.repeated = self.repeated or self.told[-1:] == [news]
        self.told.append(news)

    @property
    def children(self) -> list[dict[str, Any]]:
        """The notifications of the children, without repetitions, ``pid`` and ``created``."""
        steps: list[dict[str, Any]] = []
        for answer in self.told:
            step = {name: _without_origin(data) for name, data in answer["children"].items()}
            if steps[-1:] != [step]:
                steps.append(step)
        return steps


def fired(deferred: Deferred[Any]) -> bool:
    """Return whether a Deferred has its result: not only the first of several in a chain, as its ``called`` does."""
    results: list[object] = []

    def look(result: object) -> object:
        results.append(result)
        return result

    deferred.addBoth(look)
    return bool(results)
