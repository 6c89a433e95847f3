"""The instances as Prometheus and Envoy read them: rendered once for each change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror import paths
from txmirror.catalog import Catalog, CatalogService
from txmirror.formats import ENVOY_ENDPOINTS, LiveList, Rendering, reason_against, render_envoy, render_prometheus
from txmirror.printable import is_utf8, on_one_line
from txmirror.threads import run_in_thread
from txmirror.types import Instance
from txmirror.web.api.freshness import Readers, headers_of, ready_catalog
from txmirror.web.calls import Answer, Call, InvalidRequest, quoted

#: The most names in a request of Envoy.
MOST_NAMES: Final = 1000
#: The most characters of an error of Envoy that are logged.
_LONGEST_ERROR: Final = 500
#: The shortest time between two lines about errors of Envoy in the log, in seconds: anybody who may read could cause them.
_LOG_INTERVAL: Final = 10.0
#: The most renderings that are kept.
_MOST_KEPT: Final = 8


class FormatHandlers:
    """Answers Prometheus and Envoy.

    :param readers: has the catalog.
    :param reactor: its threads render the lists.
    """

    _log = Logger()

    def __init__(self, readers: Readers, reactor: IReactorTime) -> None:
        self._readers = readers
        self._reactor = reactor
        self._error: str | None = None
        self._logged_at = float("-inf")
        #: The latest renderings, each with the lists as of their indexes. The one that was used last is at the end.
        self._kept: OrderedDict[tuple[object, ...], tuple[tuple[object, ...], Rendering]] = OrderedDict()

    async def get_prometheus(self, call: Call) -> Answer:
        """Answer with targets for Prometheus."""
        return await self._answer(render_prometheus, call.query.get("service", ()))

    async def get_envoy(self, call: Call) -> Answer:
        """Answer with the content of a file for Envoy."""
        return await self._answer(render_envoy, call.query.get("service", ()))

    async def discover(self, call: Call) -> Answer:
        """Answer a request of Envoy: without content if it has the current version."""
        names = _names_of(call.body)
        self._note_error(call.body)
        return await self._answer(render_envoy, names, known=_one_of(call.body, "version_info", "versionInfo"))

    async def _answer(self, render: Callable[..., Rendering], names: Collection[str], known: object = None) -> Answer:
        catalog = await ready_catalog(self._readers)
        headers = headers_of(catalog)
        rendering = await self._render(render, catalog, tuple(dict.fromkeys(names)))
        if rendering.omitted:
            headers["X-Txmirror-Omitted"] = str(len(rendering.omitted))
        if known and known == rendering.version:
            return Answer(b"", status=304, headers=headers)
        return Answer(rendering.content, headers=headers)

    async def _render(self, render: Callable[..., Rendering], catalog: Catalog, wanted: tuple[str, ...]) -> Rendering:
        names = wanted or sorted(catalog.services)
        # Services that do not exist are empty: a program that knew them is to use them no longer.
        services = [catalog.services.get(name) for name in names]
        seen = (catalog, *names, *(None if each is None else each.index for each in services))
        key = (render, *wanted)
        kept = self._kept.pop(key, None)
        if kept is None or kept[0] != seen:
            snapshots = [
                (name, paths.join(catalog.root, name), _instances_of(each))
                for name, each in zip(names, services, strict=True)
            ]
            kept = seen, await run_in_thread(self._reactor, _render_all, render, snapshots)
        self._kept[key] = kept
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return kept[1]

    def _note_error(self, body: Mapping[str, Any]) -> None:
        """Log why Envoy has rejected an answer, once for each reason. Envoy repeats one that is not logged because another one was."""
        detail = _one_of(body, "error_detail", "errorDetail")
        if not isinstance(detail, Mapping):
            return
        error, now = str(detail.get("message"))[:_LONGEST_ERROR], self._reactor.seconds()
        if error != self._error and not 0 <= now - self._logged_at < _LOG_INTERVAL:
            self._error, self._logged_at = error, now
            self._log.warn("Envoy has rejected an answer: {error}.", error=on_one_line(error))


def _instances_of(service: CatalogService | None) -> list[Instance]:
    entries = () if service is None else service.entries.values()
    return [each.instance for each in entries if each.instance is not None]


def _render_all(render: Callable[..., Rendering], snapshots: list[tuple[str, str, list[Instance]]]) -> Rendering:
    """Render lists, in a thread. Instances that JSON cannot express are omitted."""
    omitted: dict[str, str] = {}
    lists = []
    for name, path, instances in snapshots:
        reasons = {each.name: reason for each in instances if (reason := reason_against(each)) is not None}
        omitted |= reasons
        found = sorted((each for each in instances if each.name not in reasons), key=lambda each: each.name)
        lists.append(LiveList(name, path, found))
    rendering = render(*lists)
    return Rendering(rendering.content, {**omitted, **rendering.omitted}, rendering.version)


def _names_of(body: Mapping[str, Any]) -> list[str]:
    """Return the names in a request of Envoy. They are those of services.

    :raises InvalidRequest: it asks for something else, or for too much.
    """
    kind = _one_of(body, "type_url", "typeUrl")
    if kind not in (None, "", ENVOY_ENDPOINTS):
        raise InvalidRequest(f"type_url is {quoted(str(kind))}: only {ENVOY_ENDPOINTS} is served here")
    names = _one_of(body, "resource_names", "resourceNames") or []
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise InvalidRequest("resource_names is not an array of strings")
    if len(names) > MOST_NAMES:
        raise InvalidRequest(f"resource_names has {len(names)} names: at most {MOST_NAMES} are permitted")
    if not all(map(is_utf8, names)):
        raise InvalidRequest("resource_names has a name with a lone surrogate, which UTF-8 cannot express")
    return names


def _one_of(body: Mapping[str, Any], *keys: str) -> object:
    """Return the value of a key in either of its spellings in the JSON of protocol buffers."""
    return next((body[key] for key in keys if key in body), None)
