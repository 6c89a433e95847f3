"""Events as text: each is encoded once for all streams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from txmirror.catalog import CatalogChange, CatalogService, Entry
from txmirror.web.instances import encode_entry, encode_text

#: A line that readers ignore. It keeps the connection alive, also at proxies.
COMMENT: Final = b":\n\n"
#: The id of events within a snapshot: a stream cannot be resumed there.
_NO_ID: Final = 0


def encode_event(event: str, data: bytes, index: int = _NO_ID) -> bytes:
    """Return an event as text. The data has no line breaks."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (index, event.encode(), data)


def encode_reset(index: int) -> bytes:
    """Return the event before a snapshot: all that is known is to be forgotten."""
    return encode_event("reset", b'{"index":%d}' % index)


def encode_live(index: int) -> bytes:
    """Return the event after a snapshot."""
    return encode_event("live", b'{"index":%d}' % index, index)


def encode_service(service: CatalogService, entries: Iterable[Entry]) -> bytes:
    """Return the event with a service, or with some of its instances."""
    instances = b",".join(map(encode_entry, entries))
    return encode_event("services", b'{%s,"instances":[%s]}' % (_head(service), instances))


def encode_change(service: CatalogService | None, change: CatalogChange) -> bytes:
    """Return the event with a change of a service; None if the service is gone."""
    if service is None or change.gone:
        return encode_event("change", b'{"service":%s,"gone":true}' % encode_text(change.service), change.index)
    changes = b",".join(_encode_pair(*each) for each in change.entries.items())
    return encode_event("change", b'{%s,"changes":{%s}}' % (_head(service), changes), change.index)


def _head(service: CatalogService) -> bytes:
    reason = b"null" if service.reason is None else encode_text(service.reason)
    return b'"service":%s,"path":%s,"reason":%s' % (encode_text(service.name), encode_text(service.path), reason)


def _encode_pair(name: str, entry: Entry | None) -> bytes:
    return b"%s:%s" % (encode_text(name), b"null" if entry is None else encode_entry(entry))
