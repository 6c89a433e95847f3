"""The lists of services and of their instances, also for queries that wait for a change; and their latest events."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from txmirror.catalog import Catalog, CatalogService, Entry, ServiceEvent, TooManyWaiting
from txmirror.printable import session_name
from txmirror.web.api.freshness import RETRY, Readers, freshness_of, headers_of, ready_catalog
from txmirror.web.api.queries import read_selection, read_wait
from txmirror.web.api.steps import apply_in_steps
from txmirror.web.calls import Answer, Call, InvalidRequest, quoted
from txmirror.web.instances import encode_entry, encode_value

#: The waits of many clients end at different times: each is longer by a random part of this one.
_SPREAD: Final = 1 / 16
#: The most answers that are kept.
_MOST_KEPT: Final = 8


class ServiceHandlers:
    """Answers requests for services.

    :param readers: has the catalog.
    :param random: returns random numbers from 0 to 1.
    :param reactor: the reactor.
    """

    def __init__(self, readers: Readers, random: Callable[[], float], reactor: IReactorTime) -> None:
        self._readers = readers
        self._random = random
        self._reactor = reactor
        #: The latest answers with all instances of a service: a change may end many waits for it.
        self._kept: OrderedDict[str, tuple[object, Answer]] = OrderedDict()

    async def list_services(self, call: Call) -> Answer:
        """Answer with all services."""
        catalog = await self._current(call, None)
        index, services = catalog.index, sorted(catalog.services.values(), key=lambda each: each.name)
        described = await apply_in_steps(_describe_service, services, self._reactor)
        head = {"index": index, **freshness_of(catalog)}
        return _answer(head, "services", described, headers_of(catalog, index))

    async def get_service(self, call: Call, name: str) -> Answer:
        """Answer with the instances of a service."""
        selection = read_selection(call)
        catalog = await self._current(call, name)
        service, index = catalog.services.get(name), catalog.index_of(name)
        headers = headers_of(catalog, index)
        if service is None:
            raise InvalidRequest(f"there is no service {quoted(name)}", status=404, headers=headers)
        if service.reason is not None and not service.entries:
            raise InvalidRequest(f"the instances cannot be read: {service.reason}", status=403, headers=headers)
        seen = (catalog, index, catalog.stale, catalog.age, service.reason)
        kept = self._kept.get(name)
        if selection.all and kept is not None and kept[0] == seen:
            return kept[1]
        described = {"service": name, "path": service.path, "reason": service.reason}
        entries = sorted(service.entries.values(), key=attrgetter("name"))

        def encode(entry: Entry) -> bytes | None:
            return encode_entry(entry) if selection.has(entry) else None

        found = await apply_in_steps(encode, entries, self._reactor)
        encoded = [each for each in found if each is not None]
        answer = _answer({"index": index, **freshness_of(catalog), **described}, "instances", encoded, headers)
        if selection.all:
            self._keep(name, seen, answer)
        return answer

    def _keep(self, name: str, seen: object, answer: Answer) -> None:
        self._kept[name] = seen, answer
        self._kept.move_to_end(name)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    async def get_history(self, call: Call, name: str) -> Answer:
        """Answer with the latest events of a service."""
        catalog = await ready_catalog(self._readers)
        events = catalog.events(name)
        if name not in catalog.services and not any(each.instance is not None for each in events):
            raise InvalidRequest(f"no event of a service {quoted(name)} is known", status=404)
        described = {"since": catalog.history.since, "events": list(map(_describe_event, events))}
        return Answer.of({**freshness_of(catalog), **described}, headers=headers_of(catalog))

    async def _current(self, call: Call, name: str | None) -> Catalog:
        """Return the catalog, after the change that a query waits for."""
        wait = read_wait(call)
        catalog = await ready_catalog(self._readers)
        if wait is None or catalog.index_of(name) != wait.index:
            return catalog
        try:
            await catalog.wait_for_change(name, wait.index, wait.seconds * (1 + _SPREAD * self._random()))
        except TooManyWaiting:
            raise InvalidRequest("too many queries are waiting", status=503, headers=RETRY) from None
        # Meanwhile another catalog may have taken its place.
        return await ready_catalog(self._readers)


def _describe_service(service: CatalogService) -> bytes:
    described = {
        "name": service.name,
        "path": service.path,
        "instances": len(service.entries),
        "passing": service.passing,
        "index": service.index,
        "reason": service.reason,
    }
    return encode_value(described)


def _describe_event(event: ServiceEvent) -> dict[str, Any]:
    return {
        "time": event.time,
        "instance": event.instance,
        "event": event.event,
        "status": event.status,
        "owner": None if event.owner is None else session_name(event.owner),
        "detail": event.detail,
    }


def _answer(head: dict[str, Any], key: str, items: list[bytes], headers: dict[str, str]) -> Answer:
    """Return an answer with an array of encoded values, each on a line of its own."""
    begin = encode_value(head)[:-1] + f',"{key}":['.encode()
    return Answer(begin + (b"\n" + b",\n".join(items) if items else b"") + b"]}\n", headers=headers)
