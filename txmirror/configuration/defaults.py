"""``[defaults]``: the values of keys that a service, or one of its checks, does not have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from txmirror.configuration.errors import plain_key, quote, unknown_keys
from txmirror.configuration.model import Service
from txmirror.configuration.probes import PROBES, TCP, CheckSettings
from txmirror.configuration.structuring import key_of

#: The name of a service's znode if neither it nor ``[defaults]`` has one.
_NODE = "{address}:{port}"
_CHECK, _DATA, _PORT = "check", "data", "port"

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
        self.errors = list(unknown_keys(table, (*KEYS, _CHECK)))
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
        common, own = self._table.get(_DATA), service.get(_DATA)
        if isinstance(common, dict) and isinstance(own, dict):
            table[_DATA] = {**common, **own}
            keys = [f".{_DATA}.{plain_key(key)}" for key in common if key not in own]
            inherited.update(zip(keys, keys, strict=True))
        table.setdefault("node", _NODE)
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
