"""The part of the web application that shows the registered services: its handlers and their routes."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.interfaces import IReactorTime

from txmirror.web.api.formats import FormatHandlers
from txmirror.web.api.freshness import Readers
from txmirror.web.api.nodes import describe_node, read_path
from txmirror.web.api.openapi import describe
from txmirror.web.api.reading import NodeReader
from txmirror.web.api.routes import REGISTERED, ROUTES, mount_routes
from txmirror.web.api.services import ServiceHandlers
from txmirror.web.application import Application, Handler
from txmirror.web.calls import Answer, Call


class API:
    """Answers requests about registered services and znodes.

    :param readers: has the catalog and the mirror.
    :param random: makes the waits of clients end at different times; one of its own if None.
    :param reactor: the reactor.
    """

    def __init__(self, readers: Readers, *, random: Random | None = None, reactor: IReactorTime) -> None:
        services = ServiceHandlers(readers, (random or Random()).random, reactor)
        formats = FormatHandlers(readers, reactor)
        self._nodes = NodeReader(readers)
        self._description: Answer | None = None
        self._handlers: dict[str, Handler] = {
            "listServices": services.list_services,
            "getService": services.get_service,
            "getHistory": services.get_history,
            "getNode": self._get_node,
            "getPrometheusTargets": formats.get_prometheus,
            "getEnvoyEndpoints": formats.get_envoy,
            "discoverEndpoints": formats.discover,
            "getDescription": self._get_description,
        }

    def mount(self, application: Application) -> None:
        """Add the routes to an application."""
        mount_routes(application, REGISTERED, self._handlers)

    async def _get_node(self, call: Call, path: str) -> Answer:
        described: dict[str, Any] = describe_node(await self._nodes.read(read_path(path)))
        return Answer.of(described, headers={"Age": str(int(described["age"]))})

    def _get_description(self, call: Call) -> Answer:
        if self._description is None:
            self._description = Answer.of(describe(ROUTES))
        return self._description
