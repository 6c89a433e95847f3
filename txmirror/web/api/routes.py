"""The table of all routes of the web server: for the application, the OpenAPI description and the documentation.

Other packages answer a part of them: the daemon's own, the events, the page. A test compares what they answer with this table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from txmirror.web.api.schemas import COUNT, TEXT, Schema, array, words
from txmirror.web.application import Application, Handler

JSON: Final = "application/json"


@attrs.frozen
class Parameter:
    """A part of a route's path, a key of its query, or a header."""

    name: str
    text: str
    schema: Schema = TEXT
    where: str = "query"
    """``path``, ``query`` or ``header``."""
    prefix: bool = False
    """True if the name stands for all keys that begin with it and a dot."""
    empty: bool = False
    """True if it may have no value."""


@attrs.frozen(kw_only=True)
class Reply:
    """An answer of a route."""

    text: str
    schema: str | None = None
    """The name of its schema; None if it is no JSON."""
    content_type: str | None = JSON
    """None without content."""
    stale: bool = False
    """True if it has the headers of an answer that may be old."""


# More than 7 parameters: each is a part of its description, and three are optional.
@attrs.frozen(kw_only=True)
class Route:
    """A path and a method."""

    name: str
    """A unique name: the ``operationId``."""
    method: str
    path: str
    """The path, with its parts in braces."""
    text: str
    """One sentence."""
    parameters: tuple[Parameter, ...] = ()
    body: str | None = None
    """The name of the schema of the request's body; None without."""
    replies: Mapping[int, Reply]
    tag: str

    @property
    def rule(self) -> str:
        """The path as a rule of the application."""
        rest = self.path.replace("{path}", "<path:path>")
        return rest.replace("{", "<").replace("}", ">")

    @property
    def query(self) -> tuple[str, ...]:
        """The keys of its query, as the application takes them."""
        return tuple(each.name + "." * each.prefix for each in self.parameters if each.where == "query")


def _errors(**texts: str) -> dict[int, Reply]:
    return {int(status.removeprefix("_")): Reply(text=text, schema="Errors") for status, text in texts.items()}


_INVALID: Final = "The request is invalid."
_AWAY: Final = "ZooKeeper is away, and nothing is known yet; or too much is asked for at the same time."
_FORBIDDEN: Final = "The ACL does not permit it."
_LONG: Final = "The body is too long."
_REFUSED: Final = "The rules of access refuse it."
_CHANGING: Final = _errors(_401="It needs a token.", _403=_REFUSED)

_NAME: Final = Parameter("name", "the name of the service", where="path")
_ID: Final = Parameter("id", "the id of the service in the configuration", where="path")
_SERVICES: Final = Parameter("service", "a service; all if none is given. It may be repeated", array(TEXT))
_WAIT: Final = (
    Parameter("index", "the index of the former answer: answer when it differs", COUNT),
    Parameter("wait", "the longest time to wait, such as 30s or 5m: at most 10m, and up to a sixteenth more", TEXT),
)
_SELECTION: Final = (
    Parameter("passing", "only instances that can be used", words("", "1", "true"), empty=True),
    Parameter("status", "only instances with this status", words("up", "warning", "down")),
    Parameter("zone", "only instances whose label or value zone is this"),
    Parameter("label", "only instances with this label, as in label.version=v2", prefix=True),
    Parameter("data", "only instances whose data has this value, as in data.canary=true", prefix=True),
)

#: The registered services and the znodes.
REGISTERED: Final = (
    Route(
        name="listServices",
        method="GET",
        path="/v1/services",
        text="List all services, with the numbers of their instances.",
        parameters=_WAIT,
        replies={200: Reply(text="The services.", schema="Services", stale=True)}
        | _errors(_400=_INVALID, _403=_FORBIDDEN, _503=_AWAY),
        tag="services",
    ),
    Route(
        name="getService",
        method="GET",
        path="/v1/services/{name}",
        text="List the instances of a service.",
        parameters=(_NAME, *_SELECTION, *_WAIT),
        replies={200: Reply(text="The instances.", schema="Service", stale=True)}
        | _errors(_400=_INVALID, _403=_FORBIDDEN, _404="There is no such service.", _503=_AWAY),
        tag="services",
    ),
    Route(
        name="getHistory",
        method="GET",
        path="/v1/services/{name}/history",
        text="List the latest events of a service.",
        parameters=(_NAME,),
        replies={200: Reply(text="The events.", schema="History", stale=True)}
        | _errors(_400=_INVALID, _403=_FORBIDDEN, _404="No event of such a service is known.", _503=_AWAY),
        tag="services",
    ),
    Route(
        name="getNode",
        method="GET",
        path="/v1/nodes/{path}",
        text="Show a znode: its data, stat, ACL and children.",
        parameters=(
            Parameter("path", "the znode's path without its first slash; its slashes are not encoded", where="path"),
        ),
        replies={200: Reply(text="The znode.", schema="Node", stale=True)}
        | _errors(_400=_INVALID, _403=_FORBIDDEN, _404="There is no such znode.", _503=_AWAY),
        tag="znodes",
    ),
    Route(
        name="getPrometheusTargets",
        method="GET",
        path="/v1/prometheus/sd",
        text="List the instances as targets for Prometheus's http_sd_configs.",
        parameters=(_SERVICES,),
        replies={200: Reply(text="The targets.", schema="PrometheusTargets", stale=True)}
        | _errors(_400=_INVALID, _403=_FORBIDDEN, _503=_AWAY),
        tag="formats",
    ),
    Route(
        name="discoverEndpoints",
        method="POST",
        path="/v3/discovery:endpoints",
        text="Answer Envoy's EDS over REST: the endpoints of the clusters that it names.",
        body="DiscoveryRequest",
        replies={
            200: Reply(text="The endpoints.", schema="DiscoveryResponse", stale=True),
            304: Reply(text="The version in the request is current.", content_type=None, stale=True),
        }
        | _errors(_400=_INVALID, _403=_FORBIDDEN, _413=_LONG, _503=_AWAY),
        tag="formats",
    ),
    Route(
        name="getEnvoyEndpoints",
        method="GET",
        path="/v1/envoy/eds",
        text="Return the endpoints as a file for Envoy's path_config_source.",
        parameters=(_SERVICES,),
        replies={200: Reply(text="The content of the file.", schema="DiscoveryResponse", stale=True)}
        | _errors(_400=_INVALID, _403=_FORBIDDEN, _503=_AWAY),
        tag="formats",
    ),
    Route(
        name="getDescription",
        method="GET",
        path="/v1/openapi.json",
        text="Return this description.",
        replies={200: Reply(text="The description, OpenAPI 3.1.", schema="Description")} | _errors(_400=_INVALID),
        tag="server",
    ),
)

#: The events, and the metrics and the health of the daemon.
OTHERS: Final = (
    Route(
        name="followEvents",
        method="GET",
        path="/v1/events",
        text="Stream all services, and then each change, as server-sent events.",
        parameters=(
            Parameter("service", "only this service; it may be repeated", array(TEXT)),
            Parameter("after", "as the header Last-Event-ID", COUNT),
            Parameter("Last-Event-ID", "the id of the last event that was received", COUNT, where="header"),
        ),
        replies={200: Reply(text="The events, without an end.", content_type="text/event-stream")}
        | _errors(_400=_INVALID, _503="There are too many streams."),
        tag="services",
    ),
    Route(
        name="getMetrics",
        method="GET",
        path="/metrics",
        text="Return the daemon's metrics, for Prometheus.",
        replies={200: Reply(text="The metrics.", content_type="text/plain")},
        tag="server",
    ),
    Route(
        name="isAlive",
        method="GET",
        path="/healthz",
        text="Say whether the daemon makes progress.",
        replies={200: Reply(text="It does.", content_type="text/plain")},
        tag="server",
    ),
    Route(
        name="isReady",
        method="GET",
        path="/readyz",
        text="Say whether the daemon is ready: there is a session, and the checks of each service have decided.",
        replies={
            200: Reply(text="They are.", content_type="text/plain"),
            503: Reply(text="They are not; the reason.", content_type="text/plain"),
        },
        tag="server",
    ),
)

#: The daemon that serves this, and its services.
DAEMON: Final = (
    Route(
        name="getDaemon",
        method="GET",
        path="/v1/daemon",
        text="Show the daemon, its session and its services, as txmirror status does.",
        replies={200: Reply(text="The daemon.", schema="Daemon")} | _errors(_400=_INVALID),
        tag="daemon",
    ),
    Route(
        name="getLocalService",
        method="GET",
        path="/v1/daemon/services/{id}",
        text="Show a service of the daemon, as txmirror why does.",
        parameters=(_ID,),
        replies={200: Reply(text="The service.", schema="WholeLocalService")}
        | _errors(_400=_INVALID, _404="There is no such service."),
        tag="daemon",
    ),
    Route(
        name="pushResult",
        method="PUT",
        path="/v1/daemon/services/{id}/checks/{check}",
        text="Push the result of a ttl check.",
        parameters=(_ID, Parameter("check", "the name of the check", where="path")),
        body="Push",
        replies={200: Reply(text="It was taken.", schema="Empty")}
        | _errors(_400=_INVALID, _404="There is no such check.", _413=_LONG)
        | _CHANGING,
        tag="daemon",
    ),
    *(
        Route(
            name=f"{verb}Maintenance{suffix}",
            method=method,
            path=f"/v1/daemon/maintenance{part}",
            text=f"{sentence} {subject}.",
            parameters=(_ID,) if part else (),
            body="MaintenanceRequest" if method == "PUT" else None,
            replies={200: Reply(text="All that is in maintenance.", schema="Maintenance")}
            | _errors(_400=_INVALID, _413=_LONG)
            | (_errors(_404="There is no such service.") if part else {})
            | _CHANGING,
            tag="daemon",
        )
        for part, suffix, subject in (("", "", "all services of the daemon"), ("/{id}", "OfService", "a service"))
        for method, verb, sentence in (
            ("PUT", "begin", "Begin the maintenance of"),
            ("DELETE", "end", "End the maintenance of"),
        )
    ),
    Route(
        name="drain",
        method="PUT",
        path="/v1/daemon/drain",
        text="Withdraw all services; answer when they are gone.",
        replies={200: Reply(text="They are gone.", schema="Drained")} | _errors(_400=_INVALID, _413=_LONG) | _CHANGING,
        tag="daemon",
    ),
    Route(
        name="undoDrain",
        method="DELETE",
        path="/v1/daemon/drain",
        text="Register the services again.",
        replies={200: Reply(text="They are being registered.", schema="Drained")}
        | _errors(_400=_INVALID, _413=_LONG)
        | _CHANGING,
        tag="daemon",
    ),
    Route(
        name="reload",
        method="PUT",
        path="/v1/daemon/reload",
        text="Read the configuration again.",
        replies={200: Reply(text="What has changed.", schema="Reloaded")}
        | _errors(_400=_INVALID, _413=_LONG, _422="The configuration has errors; the former one stays.")
        | _CHANGING,
        tag="daemon",
    ),
)

#: All routes but those of the page.
ROUTES: Final = (*REGISTERED, *OTHERS, *DAEMON)


def mount_routes(application: Application, routes: Iterable[Route], handlers: Mapping[str, Handler]) -> None:
    """Add routes to an application.

    :param handlers: the handlers by the names of the routes.
    :raises KeyError: a route has no handler.
    """
    adding = {
        "GET": application.get,
        "POST": application.post,
        "PUT": application.put,
        "DELETE": application.delete,
    }
    for route in routes:
        adding[route.method](route.rule, handlers[route.name], query=route.query)
