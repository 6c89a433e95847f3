"""The JSON Schemas of all bodies of requests and answers, by their names in the OpenAPI description.

It has more than 350 lines, because it is one table.
"""

from __future__ import annotations

from typing import Any, Final

from txmirror.types import InstanceStatus

#: A JSON Schema.
Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}


def ref(name: str) -> Schema:
    """Return a reference to one of :data:`SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema, **more: Any) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **more}


def table(values: Schema) -> Schema:
    """Return the schema of an object with any keys."""
    return {"type": "object", "additionalProperties": values}


def nullable(schema: Schema) -> Schema:
    """Return a schema that permits null too."""
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        more = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
        return {**schema, "type": [*kinds, "null"], **more}
    return {"oneOf": [schema, {"type": "null"}]}


def words(*each: str) -> Schema:
    """Return the schema of one of some words."""
    return {"type": "string", "enum": list(each)}


def about(schema: Schema, text: str) -> Schema:
    """Return a schema with a description."""
    return {**schema, "description": text}


def record(text: str, required: Schema, optional: Schema | None = None) -> Schema:
    """Return the schema of an object with these keys, and no others."""
    return {
        "type": "object",
        "description": text,
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


_STATUS: Final = words(*(each.value for each in InstanceStatus))
_STATE: Final = words("passing", "warning", "down", "no-weight", "held", "unreadable")
_HEX: Final = {"type": "string", "pattern": "^0x[0-9a-f]{1,16}$"}
_TIME: Final = about(NUMBER, "seconds since the Unix epoch")
_ADDRESS: Final = record("An address and a port.", {"address": TEXT, "port": {"type": "integer"}})

_FRESHNESS: Final[Schema] = {
    "stale": about(FLAG, "true if the connection to ZooKeeper is lost, so that the answer may be old"),
    "age": about({"type": "number", "minimum": 0}, "the seconds since the connection was lost; 0 while there is one"),
}
_INDEX: Final = about(COUNT, "the index of the latest change, for a query that waits for the next one")

_INSTANCE: Final = record(
    "An instance of a service: what its node says of it.",
    {
        "name": about(TEXT, "the name of its node"),
        "path": about(TEXT, "the path of its node"),
        "address": nullable(TEXT),
        "port": nullable({"type": "integer"}),
        "tls_port": nullable({"type": "integer"}),
        "weight": nullable({"type": "integer"}),
        "status": about(nullable(_STATUS), "the status in its data; null if it is unreadable"),
        "labels": table(TEXT),
        "endpoints": table(_ADDRESS),
        "data": about({"type": ["object", "string"]}, "the other facts"),
        "codec": about(nullable(TEXT), "the format of its data; null if it is unreadable"),
        "service": nullable(TEXT),
        "id": nullable(TEXT),
        "pid": nullable({"type": "integer"}),
        "registered": about(nullable(NUMBER), "the time of its registration by its data, in seconds since the epoch"),
        "state": about(_STATE, "passing, warning and held: it can be used. held: gone just after an outage"),
        "reason": about(nullable(TEXT), "why it is unreadable"),
        "owner": about(nullable(_HEX), "the session that owns its node"),
        "created": nullable(_TIME),
        "changed": nullable(_TIME),
        "version": nullable({"type": "integer"}),
    },
)
_STAT: Final = record(
    "A znode's stat.",
    {
        "czxid": _HEX,
        "mzxid": _HEX,
        "pzxid": _HEX,
        "ctime": _TIME,
        "mtime": _TIME,
        "version": {"type": "integer"},
        "cversion": {"type": "integer"},
        "aversion": {"type": "integer"},
        "ephemeralOwner": nullable(_HEX),
        "dataLength": COUNT,
        "numChildren": COUNT,
    },
)
_ACL: Final = record(
    "An entry of an ACL. The hash of a password is shown as ***.",
    {
        "scheme": TEXT,
        "id": TEXT,
        "permissions": array(words("read", "write", "create", "delete", "admin")),
    },
)
_FLAG: Final = record("A maintenance.", {"reason": TEXT, "since": NUMBER, "until": nullable(NUMBER)})
_TARGETS: Final = record("A target with its labels.", {"targets": array(TEXT), "labels": table(TEXT)})
_CHECK: Final = record(
    "A health check.",
    {
        "name": TEXT,
        "type": TEXT,
        "state": TEXT,
        "passed": COUNT,
        "failed": COUNT,
        "time": nullable(_TIME),
        "status": nullable(TEXT),
        "seconds": nullable(NUMBER),
        "output": nullable(TEXT),
        "stuck": FLAG,
    },
)

_TRANSITION: Final = record(
    "A change of a service's condition.", {"time": _TIME, "before": nullable(TEXT), "after": TEXT, "reason": TEXT}
)
_LOCAL: Final[Schema] = {
    "id": TEXT,
    "name": TEXT,
    "condition": TEXT,
    "since": nullable(_TIME),
    "why": TEXT,
    "next": nullable(TEXT),
    "path": TEXT,
    "znodes": array(record("A znode of the service.", {"path": TEXT, "codec": TEXT, "state": TEXT})),
    "session": nullable(_HEX),
    "health": TEXT,
    "held_for": nullable(NUMBER),
    "checks": array(ref("Check")),
}

_SERVER: Final[Schema] = {
    "address": TEXT,
    "listening": FLAG,
    "problem": about(nullable(TEXT), "why it does not listen"),
    "replies": COUNT,
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Errors": record("Why a request is refused.", {"errors": array(TEXT, minItems=1)}),
    "Empty": record("Nothing more to say.", {}),
    "Instance": _INSTANCE,
    "Services": record(
        "All services, in the order of their names.",
        {
            "index": _INDEX,
            **_FRESHNESS,
            "services": array(
                record(
                    "A service.",
                    {
                        "name": TEXT,
                        "path": TEXT,
                        "instances": about(COUNT, "the number of its nodes"),
                        "passing": about(COUNT, "the number of those that can be used"),
                        "index": _INDEX,
                        "reason": about(nullable(TEXT), "why its list cannot be read"),
                    },
                )
            ),
        },
    ),
    "Service": record(
        "The instances of a service, in the order of their names.",
        {
            "index": _INDEX,
            **_FRESHNESS,
            "service": TEXT,
            "path": TEXT,
            "reason": about(nullable(TEXT), "why its list cannot be read: then the instances are the last known ones"),
            "instances": array(ref("Instance")),
        },
    ),
    "History": record(
        "The latest events of a service, at most 1,000, in order of time.",
        {
            **_FRESHNESS,
            "since": about(NUMBER, "since when events are recorded"),
            "events": array(
                record(
                    "An event.",
                    {
                        "time": _TIME,
                        "instance": about(nullable(TEXT), "null for the connection to ZooKeeper"),
                        "event": words("appeared", "gone", "changed", "status", "session", "stale", "settled"),
                        "status": about(nullable(_STATE), "the instance's state afterwards; null if it is gone"),
                        "owner": nullable(_HEX),
                        "detail": nullable(TEXT),
                    },
                )
            ),
        },
    ),
    "Node": record(
        "A znode.",
        {
            "path": TEXT,
            "data": {
                "oneOf": [
                    record("Data that is text in UTF-8.", {"text": TEXT}),
                    record("Other data.", {"base64": {"type": "string", "contentEncoding": "base64"}}),
                ]
            },
            "truncated": about(FLAG, "true if the data is longer than 1 MiB, and only its beginning is here"),
            "stat": _STAT,
            "acl": about(nullable(array(_ACL)), "null while ZooKeeper is away, and if it may not be read"),
            "children": array(TEXT, maxItems=10000),
            "children_truncated": about(FLAG, "true if there are more children than here"),
            **_FRESHNESS,
        },
    ),
    "PrometheusTargets": array(_TARGETS),
    "DiscoveryRequest": about(
        {
            "type": "object",
            "properties": {
                "version_info": TEXT,
                "resource_names": array(TEXT, maxItems=1000),
                "type_url": TEXT,
                "node": {"type": "object"},
                "response_nonce": TEXT,
                "error_detail": {"type": "object"},
            },
        },
        "Envoy's DiscoveryRequest, with its keys in snake_case or camelCase",
    ),
    "DiscoveryResponse": record(
        "Envoy's DiscoveryResponse with a ClusterLoadAssignment for each service.",
        {"version_info": TEXT, "resources": array({"type": "object", "required": ["@type", "cluster_name"]})},
        {"type_url": TEXT},
    ),
    "Check": _CHECK,
    "LocalService": record("A service of this daemon.", _LOCAL),
    "WholeLocalService": record(
        "A service of this daemon, with its transitions and the whole output of its checks.",
        {**_LOCAL, "transitions": array(_TRANSITION), "owner": nullable(_HEX)},
    ),
    "OutputFile": record(
        "A file that is kept equal to a list of instances.",
        {
            "file": TEXT,
            "name": TEXT,
            "path": TEXT,
            "format": TEXT,
            "state": TEXT,
            "instances": COUNT,
            "omitted": table(TEXT),
            "writes": COUNT,
            "problem": nullable(TEXT),
        },
    ),
    "Daemon": record(
        "The daemon, its session and its services.",
        {
            "version": TEXT,
            "pid": COUNT,
            "started": _TIME,
            "servers": TEXT,
            "connected": FLAG,
            "refused": FLAG,
            "session": nullable(_HEX),
            "session_timeout": nullable(NUMBER),
            "stopping": FLAG,
            "drained": FLAG,
            "maintenance": table(_FLAG),
            "stuck_checks": array(TEXT),
            "files": array(TEXT),
            "output_files": array(ref("OutputFile")),
            "summary": about(TEXT, "the state in one sentence"),
            "readers": ref("Servers"),
            "services": array(ref("LocalService")),
            "zookeeper": ref("Connection"),
        },
    ),
    "Servers": record(
        "The servers for readers.",
        {
            "http": about(nullable(record("HTTP.", {**_SERVER, "streams": COUNT})), "null if it is not configured"),
            "dns": about(nullable(record("DNS.", _SERVER)), "null if it is not configured"),
            "refused": about(FLAG, "true if ZooKeeper accepts no session without credentials for them"),
        },
    ),
    "Connection": record(
        "The connection to ZooKeeper.",
        {
            "servers": TEXT,
            "server": about(nullable(TEXT), "the server of the connection"),
            "session": nullable(_HEX),
            "session_timeout": nullable(NUMBER),
            "latency": about(nullable(NUMBER), "that of the last ping or request, in seconds"),
            "watches": COUNT,
            "connected": FLAG,
            **_FRESHNESS,
            "outages": array(
                record(
                    "A time without a connection.", {"began": _TIME, "ended": nullable(_TIME), "reason": nullable(TEXT)}
                )
            ),
        },
    ),
    "Push": record("The result of a ttl check.", {}, {"status": words("ok", "warn", "fail"), "note": TEXT}),
    "MaintenanceRequest": record(
        "A maintenance, for one of two times or without an end.",
        {"reason": {"type": "string", "minLength": 1, "maxLength": 1000}},
        {
            "until": about(nullable(NUMBER), "its end, in seconds since the Unix epoch"),
            "for": about(nullable(NUMBER), "its length in seconds"),
        },
    ),
    "Maintenance": record(
        "All that is in maintenance.",
        {"maintenance": table(_FLAG), "kept": about(FLAG, "true if a restart of the daemon keeps it")},
    ),
    "Drained": record("The state of the drain.", {"drained": FLAG}),
    "Reloaded": record(
        "The changes of the configuration.",
        {
            "added": array(TEXT),
            "removed": array(TEXT),
            "changed": table(array(TEXT)),
            "unchanged": array(TEXT),
            "output_files": array(TEXT),
            "dns": array(TEXT),
            "http": array(TEXT),
            "restart": array(TEXT),
        },
    ),
}
