"""Wait for the catalog, and describe its age."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from txmirror.catalog import Catalog
from txmirror.mirror import Mirror
from txmirror.web.calls import InvalidRequest

#: The header of a temporary refusal: the seconds after which a client may retry.
RETRY: Final[Mapping[str, str]] = {"Retry-After": "1"}


class Readers(Protocol):
    """The catalog and the mirror that the handlers read. Both may change at any time, and are None while there is no session yet."""

    @property
    def catalog(self) -> Catalog | None:
        """All services."""

    @property
    def mirror(self) -> Mirror | None:
        """The mirror, for single znodes."""


async def ready_catalog(readers: Readers) -> Catalog:
    """Return the catalog when its services were read.

    :raises InvalidRequest: they are not known yet, or may not be read.
    """
    catalog = readers.catalog
    if catalog is not None:
        await catalog.use()
    if catalog is None or not catalog.known:
        raise InvalidRequest("the services were not read from ZooKeeper yet", status=503, headers=RETRY)
    if catalog.reason is not None and not catalog.services:
        raise InvalidRequest(f"the services cannot be read: {catalog.reason}", status=403)
    return catalog


def freshness_of(catalog: Catalog) -> dict[str, Any]:
    """Return the age of the catalog, for an answer in JSON."""
    return {"stale": catalog.stale, "age": catalog.age}


def headers_of(catalog: Catalog, index: int | None = None) -> dict[str, str]:
    """Return the headers of an answer from the catalog.

    :param index: the index of the answer; None without.
    """
    indexed = {} if index is None else {"X-Txmirror-Index": str(index)}
    return {"Age": str(int(catalog.age)), **indexed}
