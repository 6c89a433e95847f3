"""A snapshot of the services, read in pieces while they change."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from itertools import islice
from typing import Final

from txmirror.catalog import Catalog, CatalogService
from txmirror.web.events.encoding import encode_service

#: The most instances in one event.
_MOST: Final = 200


class Snapshot:
    """Reads all services, in order of their names, each as it is when it is read.

    It keeps only the place at which it is. Changes that happen meanwhile must be read from the log afterwards, from the beginning
    of the snapshot on.

    :param catalog: the catalog.
    :param services: the services that are wanted; None for all.
    """

    def __init__(self, catalog: Catalog, services: Collection[str] | None) -> None:
        self._catalog = catalog
        self._services = None if services is None else sorted(services)
        #: The service, and the instance in it, that was read last.
        self._service: str | None = None
        self._instance: str | None = None

    def read(self, most: int) -> bytes:
        """Return the next events; none if all were read.

        :param most: the number of bytes after which no further event is returned.
        """
        found: list[bytes] = []
        size = 0
        while size < most:
            event = self._next()
            if event is None:
                break
            found.append(event)
            size += len(event)
        return b"".join(found)

    def _next(self) -> bytes | None:
        if self._instance is not None and self._service is not None:
            service = self._catalog.services.get(self._service)
            if service is not None and service.names and service.names[-1] > self._instance:
                return self._encode(service, bisect_right(service.names, self._instance))
            self._instance = None
        while True:
            names = self._catalog.names if self._services is None else self._services
            place = 0 if self._service is None else bisect_right(names, self._service)
            if place == len(names):
                return None
            self._service = names[place]
            service = self._catalog.services.get(self._service)
            if service is not None:
                return self._encode(service, 0)

    def _encode(self, service: CatalogService, first: int) -> bytes:
        names = list(islice(service.names, first, first + _MOST))
        more = first + len(names) < len(service.names)
        self._instance = names[-1] if more else None
        return encode_service(service, [service.entries[name] for name in names])
