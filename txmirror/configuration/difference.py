"""The difference between two configurations, for a reload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from txmirror.configuration.dns import DNS
from txmirror.configuration.http import HTTPServer
from txmirror.configuration.model import Configuration, Service
from txmirror.configuration.structuring import key_of
from txmirror.configuration.watches import Watch


@attrs.frozen
class Change:
    """A service that both configurations have, and that differs."""

    old: Service
    new: Service

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the file whose values differ, in the order of the documentation."""
        return _changed_keys(self.old, self.new)


# More than 7 parameters: one for each part that may differ.
@attrs.frozen
class Difference:
    """The difference between two configurations. Services are the same if they have the same id."""

    added: tuple[Service, ...]
    removed: tuple[Service, ...]
    changed: tuple[Change, ...]
    unchanged: tuple[Service, ...]
    restart: tuple[str, ...]
    """The dotted keys of other tables that differ, and take effect only with a restart."""
    outputs: tuple[str, ...]
    """The files of ``[[watch]]`` that were added, removed or changed."""
    dns: tuple[str, ...]
    """The keys of ``[dns]`` that differ; all if only one of the configurations has it."""
    http: tuple[str, ...]
    """The keys of ``[http]`` that differ, likewise."""


def difference(old: Configuration, new: Configuration) -> Difference:
    """Return the difference between two configurations. Services are in the order of ``new``, removed ones in that of ``old``."""
    before = {service.id: service for service in old.services}
    after = {service.id: service for service in new.services}
    common = [(before[service_id], service) for service_id, service in after.items() if service_id in before]
    return Difference(
        added=tuple(service for service_id, service in after.items() if service_id not in before),
        removed=tuple(service for service_id, service in before.items() if service_id not in after),
        changed=tuple(Change(one, other) for one, other in common if one != other),
        unchanged=tuple(other for one, other in common if one == other),
        restart=(
            *_restart_keys("zookeeper", old.zookeeper, new.zookeeper),
            *_restart_keys("daemon", old.daemon, new.daemon),
        ),
        outputs=_changed_outputs(old.watches, new.watches),
        dns=_changed_table(DNS, old.dns, new.dns),
        http=_changed_table(HTTPServer, old.http, new.http),
    )


def _changed_outputs(old: Sequence[Watch], new: Sequence[Watch]) -> tuple[str, ...]:
    before, after = ({watch.output: watch for watch in watches} for watches in (old, new))
    return tuple(name for name in {**after, **before} if before.get(name) != after.get(name))


def _changed_table(kind: Any, old: Any, new: Any) -> tuple[str, ...]:
    """Return the keys of an optional table that differ."""
    if old is None or new is None:
        return () if old is new else tuple(key_of(field) for field in attrs.fields(kind))
    return _changed_keys(old, new)


def _restart_keys(name: str, old: Any, new: Any) -> list[str]:
    needed = {key_of(field) for field in attrs.fields(type(new)) if field.metadata.get("restart")}
    return [f"{name}.{key}" for key in _changed_keys(old, new) if key in needed]


def _changed_keys(old: Any, new: Any) -> tuple[str, ...]:
    return tuple(key_of(field) for field in attrs.fields(type(new)) if _value(old, field) != _value(new, field))


def _value(instance: Any, field: attrs.Attribute[Any]) -> Any:
    """Return the value of an attribute, as attrs compares it."""
    value = getattr(instance, field.name)
    key = field.eq_key  # type: ignore[attr-defined]  # the stubs of attrs lack it
    return value if key is None else key(value)
