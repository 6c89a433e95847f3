"""Every service below a path, decoded, with an index that grows with each change."""

from txmirror.catalog.catalog import Catalog
from txmirror.catalog.entries import CatalogChange, CatalogService, Entry, EntryState
from txmirror.catalog.history import Outage, ServiceEvent
from txmirror.catalog.waiting import TooManyWaiting

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
