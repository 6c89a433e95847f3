"""The OpenAPI description of the web server, made from the table of routes and the schemas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from txmirror import __version__
from txmirror.web.api.routes import Parameter, Reply, Route
from txmirror.web.api.schemas import COUNT, SCHEMAS, TEXT, Schema, ref

_TEXT: Final = """\
What is registered in ZooKeeper, for people and programs. Answers come from memory, also while ZooKeeper is away: `stale` and `age` say
how old they are. A request that is refused is answered with `{"errors": [...]}`: lines for a person.
"""
_TAGS: Final = {
    "services": "Every service that is registered, by whomever.",
    "formats": "The same for Prometheus and Envoy.",
    "znodes": "The znodes themselves, read-only.",
    "daemon": "The daemon that answers, and the services that it registers.",
    "server": "About this server.",
}
#: The headers of answers from the catalog.
_HEADERS: Final[Schema] = {
    "Age": {
        "description": "The whole seconds since the connection to ZooKeeper was lost; 0 while there is one.",
        "schema": COUNT,
    },
    "X-Txmirror-Index": {"description": "The index, as in the body.", "schema": COUNT},
}
_INDEXED: Final = frozenset({"Services", "Service"})
#: A description describes itself no further.
_DESCRIPTION: Final[Schema] = {"type": "object", "required": ["openapi", "info", "paths"]}


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the description of some routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _describe_route(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "txmirror", "version": __version__, "description": _TEXT},
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, "Description": _DESCRIPTION},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "Any user, and the token as the password."},
            },
        },
        # Requests by a UNIX socket need none, and by loopback only those that change something.
        "security": [{}, {"bearer": []}, {"basic": []}],
    }


def _describe_route(route: Route) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": route.name, "summary": route.text, "tags": [route.tag]}
    if route.parameters:
        described["parameters"] = list(map(_describe_parameter, route.parameters))
    if route.body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": ref(route.body)}}}
    # Every route may be refused by the rules of access, and fail.
    described["responses"] = {
        **{str(status): _describe_reply(status, reply) for status, reply in route.replies.items()},
        "default": _describe_reply(0, Reply(text="The request is refused, or has failed.", schema="Errors")),
    }
    return described


def _describe_parameter(parameter: Parameter) -> dict[str, Any]:
    schema, name = parameter.schema, parameter.name
    described: dict[str, Any] = {"name": name, "in": parameter.where, "description": parameter.text, "schema": schema}
    if parameter.where == "path":
        described["required"] = True
    if parameter.empty:
        described["allowEmptyValue"] = True
    if parameter.prefix:
        # OpenAPI has no other way to describe keys with a common beginning.
        described["schema"] = {
            "type": "object",
            "patternProperties": {rf"^{name}\.": TEXT},
            "additionalProperties": False,
        }
        described |= {"name": f"{name}.*", "style": "form", "explode": True}
    return described


def _describe_reply(status: int, reply: Reply) -> dict[str, Any]:
    described: dict[str, Any] = {"description": reply.text}
    if reply.content_type is not None:
        schema = TEXT if reply.schema is None else ref(reply.schema)
        described["content"] = {reply.content_type: {"schema": schema}}
    if reply.stale:
        described["headers"] = {
            name: header for name, header in _HEADERS.items() if name == "Age" or reply.schema in _INDEXED
        }
    return described
