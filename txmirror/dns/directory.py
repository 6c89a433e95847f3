"""The services below a znode by their names in DNS, and the lists of those that were asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from twisted.internet.defer import Deferred

from txmirror import paths
from txmirror.discovery import ServiceProvider
from txmirror.mirror import Existence, Mirror
from txmirror.registry import ServiceRegistry
from txmirror.timers import Timer

#: The most lists at a time, and the time without questions after which one is no longer followed, in seconds.
_MOST_LISTS, _IDLE = 1000, 900.0
#: The seconds after a reconnection for which a list that has collapsed is held back: services register again.
_HOLD_FOR = 30.0


class Directory:
    """Follows the names of all services, and the instances of those that were asked for lately.

    :param mirror: the mirror, which must stay open until :meth:`close`.
    :param root: the znode whose children are the services.
    """

    def __init__(self, mirror: Mirror, root: str) -> None:
        self.reactor = mirror.reactor
        self._root = root
        self._registry: ServiceRegistry[bool] = ServiceRegistry(
            mirror=mirror, readonly=True, lazy=True, hold_for=_HOLD_FOR
        )
        self._registry.start().addErrback(lambda _: None)
        self._node = mirror.get(root)
        self._node.addChildWatcher(self, self._children_changed)
        self._names: dict[str, str] | None = None
        #: What comes after a dot in their names.
        self._ends: set[str] | None = None
        #: The lists with the times of the last questions. The one that was asked for last is at the end.
        self._lists: OrderedDict[str, tuple[ServiceProvider, float]] = OrderedDict()
        #: The nodes of these lists by their names in lower case.
        self._followed: dict[str, str] = {}
        self._idle = Timer(self.reactor, self._drop_idle)

    @property
    def known(self) -> bool:
        """True if the names of the services were read, or there are none."""
        state = self._node.state
        return state.existence is Existence.ABSENT or state.children is not None

    @property
    def age(self) -> float:
        """The seconds since the connection was lost; 0 while there is one."""
        since = self._node.state.stale_since
        return 0.0 if since is None else max(self.reactor.seconds() - since, 0.0)

    def has(self, name: str) -> bool:
        """Return whether there is a service with a name in lower case."""
        return self._find(name) is not None

    def has_below(self, name: str) -> bool:
        """Return whether there is a service whose name ends with a dot and this name."""
        if self._ends is None:
            self._ends = {end for each in self._by_name() for end in _ends_of(each)}
        return name in self._ends

    def provider(self, name: str) -> ServiceProvider:
        """Return the list of a service, which may not be read yet.

        :raises KeyError: there is no service with this name.
        """
        node = self._find(name)
        if node is None:
            raise KeyError(name)
        found = self._lists.get(node)
        now = self.reactor.seconds()
        provider = ServiceProvider(self._registry, paths.join(self._root, node)) if found is None else found[0]
        self._lists[node] = (provider, now)
        self._followed[name] = node
        self._lists.move_to_end(node)
        if len(self._lists) > _MOST_LISTS:
            self._drop_oldest()
        if not self._idle.running:
            self._idle.start(_IDLE)
        return provider

    def close(self) -> Deferred[None]:
        """Follow nothing any longer.

        :returns: fires then; it never fails.
        """
        self._idle.stop()
        self._node.delChildWatcher(self)
        while self._lists:
            self._drop_oldest()
        return self._registry.stop()

    def _find(self, name: str) -> str | None:
        """Return the node of a service with a name in lower case; None if there is no such service."""
        node = self._by_name().get(name)
        if node is None:
            # Just after an outage the whole service may be gone, and its instances are held back until they register again.
            node = self._followed.get(name)
            if node is not None and not self._lists[node][0].instances():
                return None
        return node

    def _by_name(self) -> dict[str, str]:
        if self._names is None:
            # The names are in order: of two that differ in their case, the one in lower case is last.
            self._names = {each.lower(): each for each in self._node.state.children or ()}
        return self._names

    def _children_changed(self, _: list[str] | None) -> None:
        self._names = self._ends = None

    def _drop_oldest(self) -> None:
        node, (provider, _) = self._lists.popitem(last=False)
        if self._followed.get(node.lower()) == node:
            del self._followed[node.lower()]
        provider.close()

    def _drop_idle(self) -> None:
        oldest = self.reactor.seconds() - _IDLE
        while self._lists and next(iter(self._lists.values()))[1] <= oldest:
            self._drop_oldest()
        if self._lists:
            self._idle.start(next(iter(self._lists.values()))[1] - oldest)


def _ends_of(name: str) -> Iterator[str]:
    """Yield what comes after each dot of a name."""
    _, dot, rest = name.partition(".")
    while dot:
        yield rest
        _, dot, rest = rest.partition(".")
