"""Find services: follow paths, and answer from memory or from the cache file while ZooKeeper is out of reach."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final, Literal

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.errors import NoConnection, ZooKeeperException
from txmirror.mirror import Mirror
from txmirror.registry.cache_file import CacheFile
from txmirror.registry.connections import Connections
from txmirror.registry.discovery import Discovery, Follower
from txmirror.registry.following import FollowingOptions
from txmirror.types import Answer

#: The seconds without an answer from the servers after which a follower gets the one of the cache file.
_UNTIL_CACHE: Final = 1.0


class Finder:
    """Follows the paths that a registry was asked for.

    :param connections: the connections of the registry.
    :param options: how paths are followed.
    :param cachefile: the file with the latest answers; None for none.
    :ivar options: as the parameter.
    """

    def __init__(self, connections: Connections, options: FollowingOptions, cachefile: str | None) -> None:
        self._connections = connections
        self.options = options
        self._cachefile = cachefile
        self._cache: CacheFile | None = None
        self._discoveries: dict[str, Discovery] = {}

    # For the connections.

    @property
    def busy(self) -> bool:
        """True if a connection is needed."""
        return bool(self._discoveries)

    def load_cache(self) -> None:
        """Begin to read the cache file."""
        if self._cache is not None:
            self._cache.load()

    def follow(self, mirror: Mirror) -> None:
        """Follow all paths on a mirror."""
        for discovery in self._discoveries.values():
            discovery.follow(mirror)

    def leave(self) -> None:
        """Stop following the paths. The answers stay."""
        for discovery in self._discoveries.values():
            discovery.leave()

    def closed(self) -> Deferred[None]:
        """Write the cache file."""
        return succeed(None) if self._cache is None else self._cache.stop()

    def connected(self) -> None:
        """Note a reconnection."""
        if self._cache is not None:
            self._cache.connected()

    def abandon(self) -> object:
        """Stop following the paths after a fork, and return the objects that belong to the parent process."""
        return [discovery.abandon() for discovery in self._discoveries.values()]

    def change_reactor(self, reactor: IReactorTime) -> None:
        """Use the cache file with a reactor from now on."""
        if self._cachefile is not None:
            self._cache = CacheFile(self._cachefile, reactor)

    # Finding.

    def find(
        self, path: str, callback: Callable[[Answer], object] | None
    ) -> Deferred[Answer] | Deferred[Answer | Literal[False]]:
        """Return the answer for a path, and follow it. See :meth:`~txmirror.interfaces.IServiceRegistry.get`."""
        discovery = self._discover(path)
        discovery.kept = True
        added = callback is not None and discovery.add_callback(callback)
        answer = discovery.current()
        if answer is not None:
            return succeed(answer)
        return self._connections.do(self._find(discovery, callback if added else None))

    def follow_nodes(self, path: str, follower: Follower) -> Callable[[], None]:
        """Let a follower read the nodes of a path, on all connections from now on.

        :returns: a function that ends it, to be called once.
        """

        def end() -> None:
            remembering.cancel()
            discovery.remove_follower(follower)
            self._drop_unused(discovery)

        discovery = self._discover(path)
        discovery.add_follower(follower)
        remembering = Deferred.fromCoroutine(self._remember(discovery, follower))
        remembering.addErrback(_ignore)
        return end

    def get(self, path: str) -> Discovery | None:
        """Return what follows a path; None if it is not followed."""
        return self._discoveries.get(path)

    async def until_shown(self, path: str) -> None:
        """Wait until the followed paths show a write, but no longer than the timeout: other writers may be ahead."""
        if not self._discoveries:
            return
        for each in (path, paths.parent_of(path)):
            discovery = self._discoveries.get(each or "")
            if discovery is not None:
                await discovery.caught_up().addTimeout(
                    self._connections.options.timeout, self._connections.reactor, lambda _result, _timeout: None
                )

    def _discover(self, path: str) -> Discovery:
        discovery = self._discoveries.get(path)
        if discovery is None:
            discovery = self._discoveries[path] = Discovery(
                path, self.options, self._answer_changed, always=self._cachefile is not None
            )
            if self._connections.current is not None:
                discovery.follow(self._connections.current.mirror)
        return discovery

    async def _find(self, discovery: Discovery, added: Callable[[Answer], object] | None) -> Answer | Literal[False]:
        path = discovery.path
        try:
            connection = await self._connections.established()
            ready = await self._connections.while_reachable(connection, discovery.ready(), "the reading of {!r}", path)
            if ready is False and self._cache is not None:
                cached = await self._cache.get(path)
                if cached is not None:
                    discovery.remember(cached)
        except ZooKeeperException:
            if added is not None:
                discovery.remove_callback(added)
            self._drop_unused(discovery)
            raise
        answer = discovery.current()
        return False if answer is None else answer

    async def _remember(self, discovery: Discovery, follower: Follower) -> None:
        """Connect, and let a follower have the answer of the cache file while the servers do not answer."""
        # After a stop there is no connection until the next start.
        with contextlib.suppress(NoConnection):
            await self._connections.established()
        if self._cache is None:
            return
        await discovery.ready().addTimeout(_UNTIL_CACHE, self._connections.reactor, lambda _result, _timeout: None)
        if not discovery.live:
            cached = await self._cache.get(discovery.path)
            if cached is not None:
                follower.remember(cached)

    def _drop_unused(self, discovery: Discovery) -> None:
        if not discovery.used:
            discovery.leave()
            if self._discoveries.get(discovery.path) is discovery:
                del self._discoveries[discovery.path]

    def _answer_changed(self, discovery: Discovery) -> None:
        if self._cache is not None and discovery.live and discovery.answer is not None:
            self._cache.put(discovery.answer, discovery.unreadable)


def _ignore(failure: Any) -> None:
    """Ignore that a follower has ended, or that the path cannot be read: the tree says that too."""
    failure.trap(CancelledError, ZooKeeperException)
