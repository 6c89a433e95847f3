"""``[defaults]``: the values of keys that a service, or one of its checks, does not have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from txmirror.configuration.errors import plain_key, unknown_keys
from txmirror.configuration.model import Service
from txmirror.configuration.probes import PROBES, TCP, CheckSettings
from txmirror.configuration.structuring import key_of
from txmirror.printable import quote
from txmirror.registry import find_codec, with_instances

_CHECK, _DATA, _LABELS, _PORT, _NODE = "check", "data", "labels", "port", "node"
_CODEC, _ADDRESS, _ALSO = "codec", "address", "also"

#: Codecs that write no address.
_WITHOUT_ADDRESS = ("ndsr", "zczk")

#: The keys of a service that ``[defaults]`` may have, and those of a check that ``[defaults.check]`` may have.
KEYS = tuple(key_of(field) for field in attrs.fields(Service) if field.metadata.get("defaultable"))
CHECK_KEYS = tuple(field.name for field in attrs.fields(CheckSettings))


@attrs.frozen
class FilledTable:
    """A service's table with the defaults filled in."""

    table: dict[str, Any]
    inherited: Mapping[str, str]
    """The place in ``[defaults]`` of each value that comes from there, by its place in the service."""

    def origin(self, place: str) -> str | None:
        """Return the place in ``[defaults]`` of a value in the service; None if the service has its own."""
        for inherited, origin in self.inherited.items():
            if place == inherited or place.startswith((f"{inherited}.", f"{inherited}[")):
                return origin + place.removeprefix(inherited)
        return None


class Defaults:
    """The table ``[defaults]``.

    :param table: the table.
    :ivar errors: its errors: unknown keys, and a ``check`` that is no table. Those of its values are found in each service that
        inherits them.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = {key: value for key, value in table.items() if key in KEYS}
        check = table.get(_CHECK, {})
        self.errors: list[tuple[str, str]] = list(unknown_keys(table, (*KEYS, _CHECK)))
        self._check: dict[str, Any] = {}
        if isinstance(check, dict):
            self._check = {key: value for key, value in check.items() if key in CHECK_KEYS}
            self.errors += [(f".{_CHECK}{place}", reason) for place, reason in unknown_keys(check, CHECK_KEYS)]
        else:
            self.errors.append((f".{_CHECK}", f"{quote(check)} is no table"))

    def fill(self, service: Mapping[str, Any]) -> FilledTable:
        """Return a service's table with all defaults, also those that do not come from ``[defaults]``."""
        table = {**self._table, **service}
        inherited = {f".{key}": f".{key}" for key in self._table if key not in service}
        for key in (_DATA, _LABELS):
            common, own = self._table.get(key), service.get(key)
            if isinstance(common, dict) and isinstance(own, dict):
                table[key] = {**common, **own}
                keys = [f".{key}.{plain_key(each)}" for each in common if each not in own]
                inherited.update(zip(keys, keys, strict=True))
        table.setdefault(_NODE, _default_node(table))
        also = table.get(_ALSO)
        if isinstance(also, list):
            table[_ALSO] = also = [
                {_NODE: _default_node(each), **each} if isinstance(each, dict) else each for each in also
            ]
        tables = [table, *(also if isinstance(also, list) else ())]
        if any(isinstance(each, dict) and each.get(_CODEC, "ndsr") not in _WITHOUT_ADDRESS for each in tables):
            table.setdefault(_ADDRESS, "{address}")
        checks = service.get(_CHECK)
        if isinstance(checks, list):
            table[_CHECK] = self._fill_checks(checks, service.get(_PORT), inherited)
        return FilledTable(table, inherited)

    def _fill_checks(self, checks: list[Any], port: object, inherited: dict[str, str]) -> list[Any]:
        filled = []
        types: Counter[str] = Counter()
        for index, check in enumerate(checks):
            word = check.get("type") if isinstance(check, dict) else None
            probe = PROBES.get(word) if isinstance(word, str) else None
            if probe is None:
                filled.append(check)
                continue
            types[probe.type] += 1
            count = types[probe.type]
            mine = [key for key in self._check if key in probe.settings and key not in check]
            inherited.update({f".{_CHECK}[{index}].{key}": f".{_CHECK}.{key}" for key in mine})
            table: dict[str, Any] = {"name": probe.type if count == 1 else f"{probe.type}-{count}"}
            if probe is TCP and port is not None:
                table[_PORT] = port
            filled.append({**table, **{key: self._check[key] for key in mine}, **check})
        return filled


def _default_node(table: Mapping[str, Any]) -> str:
    """Return the name of a znode that has none: by the codec, and with the port of a further znode."""
    name, port = table.get(_CODEC, "ndsr"), table.get(_PORT)
    try:
        node = with_instances(find_codec(name)).node if isinstance(name, str) else ""
    except LookupError:
        node = ""
    return (node or "{address}:{port}").replace("{port}", str(port) if type(port) is int else "{port}")
