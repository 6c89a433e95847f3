"""The routes of the page and of the files beside it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from txmirror.catalog import Catalog
from txmirror.web.application import Application, Handler, Mount
from txmirror.web.calls import Answer, Call
from txmirror.web.page.static import StaticFile, read_static_files
from txmirror.web.page.template import MOST_ROWS, PageContent, ServiceRow, render_page

#: The longest wait for the first lists, in seconds. A browser with scripts does not need them in the page.
_TIMEOUT: Final = 0.5


def mount_page(find_catalog: Callable[[], Catalog | None], reactor: IReactorTime) -> Mount:
    """Return a function that adds ``/``, ``/static/page.css`` and ``/static/page.js`` to an application.

    :param find_catalog: returns the services; None as long as there is no session with ZooKeeper.
    :param reactor: has the time.
    :raises OSError: the installation lacks one of the files.
    """
    files = read_static_files()

    async def answer_page(call: Call) -> Answer:
        catalog = find_catalog()
        if catalog is not None:
            await catalog.use().addTimeout(_TIMEOUT, reactor, onTimeoutCancel=lambda _, __: None)
        html = await render_page(describe(catalog, reactor.seconds()))
        return Answer(html, "text/html; charset=utf-8")

    def mount(application: Application) -> None:
        application.get("/", answer_page)
        for name, file in files.items():
            application.get(f"/static/{name}", _file_handler(file))

    return mount


def describe(catalog: Catalog | None, now: float) -> PageContent:
    """Return the contents of the page for browsers that run no scripts."""
    if catalog is None:
        return PageContent(now, False, 0.0, [], 0)
    first = heapq.nsmallest(MOST_ROWS, catalog.services)
    services = [catalog.services[name] for name in first]
    rows = [ServiceRow(each.name, len(each.entries), each.passing) for each in services]
    return PageContent(now, catalog.known, catalog.age, rows, len(catalog.services))


def _file_handler(file: StaticFile) -> Handler:
    # A browser asks each time whether its copy is current, so that the page and its script are of one version.
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}

    def answer(call: Call) -> Answer:
        if file.is_current(call.header("if-none-match")):
            return Answer(b"", file.content_type, 304, headers)
        return Answer(file.content, file.content_type, headers=headers)

    return answer
