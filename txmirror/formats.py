"""The formats of lists of instances, for programs that read files or ask by HTTP."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from txmirror.json_text import JSONWriter
from txmirror.printable import host_and_port
from txmirror.types import Instance, InstanceStatus

#: The greatest sum of the weights in a locality for Envoy: a ``uint32``.
_ENVOY_MOST_WEIGHT: Final = 2**32 - 1
#: The type of the resources that Envoy requests.
ENVOY_ENDPOINTS: Final = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
#: A part of an instance's place for Envoy, and the label that has it.
_LOCALITY: Final = {"region": "region", "zone": "zone", "sub_zone": "sub_zone"}

_PLAIN = re.compile(r"[^\s\x00-\x1f\x7f-\x9f#][^\s\x00-\x1f\x7f-\x9f]*")
#: Characters that end a line for some program, or that a terminal obeys.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: HAProxy reads lines of up to 16 KiB, and takes the rest of a longer one for another line.
_LONGEST_WORD: Final = 1024
_NOT_IN_LABEL = re.compile(r"[^a-zA-Z0-9_]")
#: The names of labels that have no meaning for Prometheus itself.
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
#: Without an indentation, so that the part of Python's JSON that is in C writes it: five times as fast.
_WRITER = JSONWriter(sort_keys=True, ascii_only=False)

_FACTS: Final = tuple(field.name for field in attrs.fields(Instance))


@attrs.frozen
class Rendering:
    """The content of a file or an answer."""

    content: bytes
    omitted: Mapping[str, str] = attrs.field(factory=dict)
    """The instances that the format cannot express: the reason by the znode's name."""
    version: str = ""
    """A word that differs if and only if the content does; empty if the format has none."""


@attrs.frozen
class LiveList:
    """A list of instances, as it is rendered."""

    name: str
    """The name of the service."""
    path: str
    """The znode whose children the instances are."""
    instances: Sequence[Instance]
    """The instances, sorted by the names of their znodes."""


def render_json(live: LiveList) -> Rendering:
    """Return an object with all that is known of each instance."""
    instances = _array(_facts(each) for each in live.instances)
    return _text(
        f'{{"name": {_WRITER.write(live.name)}, "path": {_WRITER.write(live.path)}, "instances": {instances}}}\n'
    )


def render_lines(live: LiveList) -> Rendering:
    """Return one line with ``address:port`` for each instance."""
    found, omitted = _split(live, _unusable)
    return _text("".join(f"{endpoint(each)}\n" for each in found), omitted)


def render_haproxy_map(live: LiveList) -> Rendering:
    """Return a map of HAProxy: one line with the znode's name and ``address:port`` for each instance."""
    found, omitted = _split(live, lambda each: _unusable(each) or _not_plain("the name of its znode", each.name))
    return _text("".join(f"{each.name} {endpoint(each)}\n" for each in found), omitted)


def render_prometheus(*lists: LiveList) -> Rendering:
    """Return the targets for Prometheus's ``file_sd_configs`` and ``http_sd_configs``, each with its labels.

    Prometheus gives a meaning to labels that begin with two underscores. So an instance's own labels that do are left out: its
    owner could otherwise redirect the scrape.
    """
    groups: list[dict[str, Any]] = []
    omitted: dict[str, str] = {}
    for live in lists:
        found, reasons = _split(live, _without_endpoint)
        groups += ({"targets": [endpoint(each)], "labels": _prometheus_labels(live, each)} for each in found)
        omitted |= reasons
    return _text(_array(groups) + "\n", omitted)


def render_envoy(*lists: LiveList) -> Rendering:
    """Return the endpoints of clusters for Envoy's EDS, as its ``path_config_source`` reads them.

    Envoy resolves no names there, and refuses the whole file for one: instances without an IP address are omitted. The labels
    ``region``, ``zone`` and ``sub_zone`` are an endpoint's locality.
    """
    assignments = []
    omitted: dict[str, str] = {}
    for live in lists:
        found, reasons = _split(live, lambda each: _unusable(each) or _no_address(each))
        assignments.append(_envoy_assignment(live.name, found))
        omitted |= reasons
    resources = ",\n".join(assignments)
    version = hashlib.sha256(resources.encode()).hexdigest()[:16]
    return _text(f'{{"version_info": "{version}", "resources": [{resources}]}}\n', omitted, version)


#: The formats that need no template, by their names in a configuration.
FORMATS: Final[Mapping[str, Callable[[LiveList], Rendering]]] = {
    "json": render_json,
    "lines": render_lines,
    "prometheus-file-sd": render_prometheus,
    "haproxy-map": render_haproxy_map,
    "envoy-eds": render_envoy,
}


def endpoint(instance: Instance) -> str:
    """Return the address and port of an instance that has both."""
    assert instance.address is not None
    assert instance.port is not None
    return host_and_port(instance.address, instance.port)


def reason_against(instance: Instance) -> str | None:
    """Return the reason why an instance can be in no file: a program would reject the whole file for it; None if there is none."""
    try:
        _WRITER.write(_facts(instance)).encode()
    except ValueError:
        return "its data has characters that UTF-8 cannot express, or is nested too deeply"
    return None


def reason_against_text(instance: Instance) -> str | None:
    """Return the reason why an instance is not safe in a text without quotes, such as that of a template; None if it is safe.

    Whoever may write to ZooKeeper could otherwise write further lines, such as directives for the program that reads the file.
    """
    further = (each.address for each in instance.endpoints.values())
    for address in (instance.address, *further):
        if address and (reason := _not_plain("an address", address)) is not None:
            return reason
    words = (
        instance.name,
        instance.service,
        instance.id,
        *instance.endpoints,
        *instance.labels,
        *instance.labels.values(),
    )
    if any(each is not None and (len(each) > _LONGEST_WORD or _CONTROL.search(each)) for each in words):
        return f"its name, id, a label or an endpoint has a control character, or more than {_LONGEST_WORD} characters"
    return None


def _facts(instance: Instance) -> dict[str, Any]:
    facts = {name: getattr(instance, name) for name in _FACTS}
    facts["status"] = instance.status.value
    facts["endpoints"] = {name: each._asdict() for name, each in instance.endpoints.items()}
    return {key: value for key, value in facts.items() if value is not None and value != {}}


def _split(live: LiveList, reason_of: Callable[[Instance], str | None]) -> tuple[list[Instance], dict[str, str]]:
    """Return the instances that can be expressed, and the reasons for the others."""
    reasons = {each.name: reason for each in live.instances if (reason := reason_of(each)) is not None}
    return [each for each in live.instances if each.name not in reasons], reasons


def _unusable(instance: Instance) -> str | None:
    return "it is down" if instance.status is InstanceStatus.DOWN else _without_endpoint(instance)


def _without_endpoint(instance: Instance) -> str | None:
    if not instance.address:
        return "it has no address"
    if not instance.port:
        # Aurora registers a member with the port 0 until it has one.
        return "it has no port"
    return _not_plain("its address", instance.address)


def _not_plain(subject: str, text: str) -> str | None:
    if len(text) > _LONGEST_WORD:
        return f"{subject} has more than {_LONGEST_WORD} characters"
    return None if _PLAIN.fullmatch(text) else f"{subject} has a space, a control character or a leading #"


def _no_address(instance: Instance) -> str | None:
    address = instance.address or ""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return "its address is a name, not an IP address"
    return "its address has a zone" if "%" in address else None


def _prometheus_labels(live: LiveList, instance: Instance) -> dict[str, str]:
    own = {_NOT_IN_LABEL.sub("_", name): value for name, value in sorted(instance.labels.items())}
    facts: dict[str, object] = {
        "service": live.name,
        "path": f"{live.path.rstrip('/')}/{instance.name}",
        "weight": instance.weight,
        "status": instance.status.value,
    }
    return {
        **{name: value for name, value in own.items() if _LABEL.fullmatch(name)},
        **{f"__meta_txmirror_{name}": str(value) for name, value in facts.items() if value is not None},
    }


def _envoy_assignment(name: str, instances: Iterable[Instance]) -> str:
    places: dict[tuple[str, ...], list[Instance]] = defaultdict(list)
    for each in instances:
        places[tuple(each.labels.get(label, "") for label in _LOCALITY.values())].append(each)
    endpoints = ",\n".join(_envoy_locality(place, members) for place, members in sorted(places.items()))
    kind = _WRITER.write(ENVOY_ENDPOINTS)
    return f'{{"@type": {kind}, "cluster_name": {_WRITER.write(name)}, "endpoints": [{endpoints}]}}'


def _envoy_locality(place: tuple[str, ...], members: Sequence[Instance]) -> str:
    locality = {key: value for key, value in zip(_LOCALITY, place, strict=True) if value}
    most = _ENVOY_MOST_WEIGHT // len(members)
    endpoints = _array(_envoy_endpoint(each, most) for each in members)
    known = f'"locality": {_WRITER.write(locality)}, ' if locality else ""
    return f'{{{known}"lb_endpoints": {endpoints}}}'


def _envoy_endpoint(instance: Instance, most: int) -> dict[str, Any]:
    address = {"address": instance.address, "port_value": instance.port}
    described: dict[str, Any] = {"endpoint": {"address": {"socket_address": address}}}
    if instance.weight is not None:
        # Envoy refuses a weight of 0: no traffic is said by draining.
        described["load_balancing_weight"] = min(max(instance.weight, 1), most)
        if instance.weight == 0:
            described["health_status"] = "DRAINING"
    return described


def _array(values: Iterable[object]) -> str:
    """Return an array of JSON with each value in a line of its own."""
    lines = ",\n".join(_WRITER.write(each) for each in values)
    return f"[\n{lines}\n]" if lines else "[]"


def _text(text: str, omitted: Mapping[str, str] | None = None, version: str = "") -> Rendering:
    return Rendering(text.encode(), omitted or {}, version)
