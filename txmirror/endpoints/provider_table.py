"""The providers of the services that an agent uses."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.interfaces import IServiceProvider
from txmirror.registry import ServiceRegistry
from txmirror.timers import Timer
from txmirror.types import Instance

MakeProvider = Callable[[ServiceRegistry[bool], str], IServiceProvider]
"""Makes a provider from a registry and a path."""


class UsedProvider:
    """A provider, and the number of its uses.

    :param changed: called with the instances when they have changed.
    :param expired: called when the provider was not used for ``idle`` seconds.
    """

    def __init__(
        self,
        provider: IServiceProvider,
        changed: Callable[[list[Instance]], None],
        expired: Callable[[], None],
        idle: float,
        reactor: IReactorTime,
    ) -> None:
        self.provider = provider
        self._changed = changed
        self._idle = idle
        self._timer = Timer(reactor, expired)
        self._uses = 0
        provider.watch(changed)

    def use(self) -> None:
        """Begin a use, which ends with :meth:`release`."""
        self._uses += 1
        self._timer.stop()

    def release(self) -> None:
        """End a use. After the last one, the provider expires in some time, unless it is used again."""
        self._uses -= 1
        if not self._uses:
            self._timer.start(self._idle)

    def close(self) -> None:
        """Close the provider."""
        # Uses that end later must not start it again.
        self._uses = -1
        self._timer.stop()
        self.provider.unwatch(self._changed)
        self.provider.close()


class ProviderTable:
    """The providers by the paths of their services. Each is made at its first use, and closed after some time without one.

    :param make: makes the provider of a path.
    :param changed: called with a path and its instances when they have changed; without any when the provider is closed.
    :param idle: the time without a use after which a provider is closed, in seconds.
    """

    def __init__(
        self,
        make: MakeProvider,
        changed: Callable[[str, list[Instance]], None],
        idle: float,
        reactor: IReactorTime,
    ) -> None:
        self._make = make
        self._changed = changed
        self._idle = idle
        self._reactor = reactor
        self._used: dict[str, UsedProvider] = {}

    def __len__(self) -> int:
        return len(self._used)

    def use(self, registry: ServiceRegistry[bool], path: str) -> UsedProvider:
        """Return the provider of a path, in use. If there is none, make it with a registry."""
        used = self._used.get(path)
        if used is None:
            used = self._used[path] = UsedProvider(
                self._make(registry, path),
                lambda instances: self._changed(path, instances),
                lambda: self._close(path),
                self._idle,
                self._reactor,
            )
        used.use()
        return used

    def close(self) -> None:
        """Close all providers."""
        for path in list(self._used):
            self._close(path)

    def _close(self, path: str) -> None:
        self._used.pop(path).close()
        self._changed(path, [])
