"""Every service below a path, decoded, with an index that grows with each change."""

from txmirror.web.catalog.catalog import Catalog
from txmirror.web.catalog.entries import CatalogChange, CatalogService, Entry, EntryState
from txmirror.web.catalog.history import Outage, ServiceEvent
from txmirror.web.catalog.waiting import TooManyWaiting

__all__ = [
    "Catalog",
    "CatalogChange",
    "CatalogService",
    "Entry",
    "EntryState",
    "Outage",
    "ServiceEvent",
    "TooManyWaiting",
]
