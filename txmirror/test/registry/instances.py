"""Strategies for instances of services, with all that a codec has a place for."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from txmirror.types import Endpoint, Instance, InstanceStatus

_TEXTS = st.text('abé✓"\\\n 1', max_size=5)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda values: st.lists(values, max_size=2) | st.dictionaries(_TEXTS, values, max_size=2),
    max_leaves=5,
)
#: None of them is a key that a format has.
_FACTS = st.dictionaries(st.text("xyz✓", min_size=1), _VALUES, max_size=3)
_HOSTS = st.sampled_from(["10.0.0.7", "web1", "a.example", "::1", "fe80::1%eth0", "città"])
_PLAIN_HOSTS = st.sampled_from(["10.0.0.7", "web1", "a.example", "città"])
_PORTS = st.integers(1, 65535)
_WEIGHTS = st.none() | st.integers(0, 1000)
_LABELS = st.dictionaries(_TEXTS, _TEXTS, max_size=3)
_STATUSES = st.sampled_from([InstanceStatus.UP, InstanceStatus.WARNING])
_PIDS = st.none() | st.integers(1, 2**22)
_TIMES = st.integers(0, 2**32).map(float)
_SHARDS = st.fixed_dictionaries({}, optional={"shard": st.integers(0, 100)})
_OPTIONS = st.fixed_dictionaries({}, optional={"haproxy_server_options": _TEXTS})
_NUMBERS = st.integers(0, 10**10 - 1).map(lambda number: f"{number:010d}")
_ENDPOINTS = st.dictionaries(_TEXTS, st.builds(Endpoint, _HOSTS, _PORTS), max_size=3)


def _joined(parts: tuple[Any, ...]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


_FREE: dict[str, st.SearchStrategy[Any]] = {
    "weight": _WEIGHTS,
    "labels": _LABELS,
    "status": _STATUSES,
    "pid": _PIDS,
}
_ADDRESS: dict[str, st.SearchStrategy[Any]] = {"address": _HOSTS, "port": _PORTS}
_NERVE: dict[str, st.SearchStrategy[Any]] = {
    **_ADDRESS,
    "weight": _WEIGHTS,
    "labels": _LABELS,
    "status": _STATUSES,
    "data": st.tuples(_OPTIONS, _FACTS).map(_joined),
    "name": st.tuples(st.sampled_from(["i-1", "web"]), _NUMBERS).map("_".join),
}
_CURATOR: dict[str, st.SearchStrategy[Any]] = {
    "address": _PLAIN_HOSTS,
    "port": _PORTS,
    "tls_port": st.none() | _PORTS,
    "name": st.uuids().map(str),
    "service": st.sampled_from(["web", "città"]),
}
_FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "ndsr": {**_FREE, "data": _FACTS | _TEXTS},
    "zczk": {**_FREE, "data": _FACTS | _TEXTS},
    "nerve": _NERVE,
    "nerve-base64": _NERVE,
    "serverset": {
        **_ADDRESS,
        "labels": _LABELS,
        "status": _STATUSES,
        "endpoints": _ENDPOINTS,
        "data": st.tuples(_SHARDS, _FACTS).map(_joined),
        "name": _NUMBERS.map("member_{}".format),
    },
    "curator": {
        **_CURATOR,
        "data": st.just({}) | _FACTS.map(lambda facts: {"@class": "com.example.Payload", **facts}),
    },
    "curator-spring": {**_CURATOR, "weight": _WEIGHTS, "labels": _LABELS, "status": _STATUSES},
    "plain": {**_ADDRESS, "weight": _WEIGHTS, "name": st.just("x")},
    "merged": {
        **_NERVE,
        "endpoints": _ENDPOINTS,
        "pid": _PIDS,
        "data": st.tuples(_OPTIONS, _SHARDS, _FACTS).map(_joined),
    },
}


def instances(codec: str) -> st.SearchStrategy[Instance]:
    """Return instances as a codec writes them."""
    fields = _FIELDS[codec]
    if "name" not in fields:
        named = st.tuples(_PLAIN_HOSTS, _PORTS).map(
            lambda pair: {"address": pair[0], "port": pair[1], "name": f"{pair[0]}:{pair[1]}"}
        )
        return st.tuples(named, st.fixed_dictionaries(fields)).map(
            lambda parts: Instance(**parts[0], **parts[1], codec=codec)
        )
    return st.fixed_dictionaries(fields).map(lambda values: Instance(**values, codec=codec))


#: The times of registrations, in seconds.
times = _TIMES
