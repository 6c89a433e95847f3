"""The services of a catalog by their names in DNS, and the instances of those that were asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

from twisted.internet.defer import Deferred

from txmirror.catalog import Catalog, CatalogChange
from txmirror.dns.selection import Selection

#: The most services whose instances are kept in groups: those that were asked for last.
_MOST_SELECTIONS = 1000


class Directory:
    """The names of all services of a catalog, and the instances of those that were asked for lately.

    The catalog reads all services from the beginning on, so that each of them has an answer while ZooKeeper is away.

    :param catalog: the services. It is followed until :meth:`close`, and must stay open for as long.
    :param zone: the preferred zone; None for none.
    """

    def __init__(self, catalog: Catalog, zone: str | None) -> None:
        self.reactor: Final = catalog.reactor
        self._catalog = catalog
        self._zone = zone
        self._closed = False
        #: The services by their names in lower case.
        self._names: dict[str, str] | None = None
        #: The parts of their names after a dot.
        self._ends: set[str] | None = None
        #: By service. The one that was asked for last is at the end.
        self._selections: OrderedDict[str, Selection] = OrderedDict()
        self._waiting: set[Deferred[None]] = set()
        catalog.hold()
        catalog.watch(self, self._changed)

    @property
    def known(self) -> bool:
        """True if all services were read, or there are none."""
        return self._catalog.known and self._catalog.reason is None and not self._closed

    @property
    def age(self) -> float:
        """The seconds since the connection was lost; 0 while there is one."""
        return self._catalog.age

    def when_known(self) -> Deferred[None]:
        """Wait until all services were read.

        :returns: fires then, or after 2 seconds. Fails with :exc:`~twisted.internet.defer.CancelledError` at :meth:`close`.
            Cancelling ends the wait.
        """
        waiting = self._catalog.use()
        if not waiting.called:
            self._waiting.add(waiting)

            def ended(result: Any) -> Any:
                self._waiting.discard(waiting)
                return result

            waiting.addBoth(ended)
        return waiting

    def has(self, name: str) -> bool:
        """Return whether there is a service with a name in lower case."""
        return name in self._by_name()

    def has_below(self, name: str) -> bool:
        """Return whether there is a service whose name ends with a dot and this name."""
        if self._ends is None:
            self._ends = {end for each in self._by_name() for end in _ends_of(each)}
        return name in self._ends

    def is_readable(self, name: str) -> bool:
        """Return whether the instances of a service can be read, or some are known. The service must exist."""
        service = self._catalog.services[self._by_name()[name]]
        return service.reason is None or service.passing > 0

    def selection(self, name: str) -> Selection:
        """Return the instances of a service, which must exist. Some may not be in their groups yet."""
        service = self._by_name()[name]
        selection = self._selections.get(service)
        if selection is None:
            selection = self._selections[service] = Selection(self._zone)
            for each in self._catalog.services[service].entries.values():
                if each.usable:
                    selection.change(each.name, each.instance)
            if len(self._selections) > _MOST_SELECTIONS:
                self._selections.popitem(last=False)
        self._selections.move_to_end(service)
        return selection

    def close(self) -> None:
        """Use the catalog no longer. It may be called twice."""
        if not self._closed:
            self._closed = True
            self._catalog.unwatch(self)
            self._catalog.release()
            self._selections.clear()
            for each in list(self._waiting):
                each.cancel()

    def _by_name(self) -> dict[str, str]:
        if self._names is None:
            # The names are in order: of two that differ in their case, the one in lower case is last.
            self._names = {each.lower(): each for each in self._catalog.names}
        return self._names

    def _changed(self, change: CatalogChange) -> None:
        service = change.service
        if change.gone:
            self._names = self._ends = None
            self._selections.pop(service, None)
            return
        if self._names is not None and self._names.get(service.lower()) != service:
            self._names = self._ends = None
        selection = self._selections.get(service)
        if selection is not None:
            for name, entry in change.entries.items():
                selection.change(name, entry.instance if entry is not None and entry.usable else None)


def _ends_of(name: str) -> Iterator[str]:
    """Yield the part of a name after each of its dots."""
    _, dot, rest = name.partition(".")
    while dot:
        yield rest
        _, dot, rest = rest.partition(".")
