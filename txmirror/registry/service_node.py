"""The znodes of a service: their paths, and the instance that each codec writes there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from txmirror import paths
from txmirror.errors import UnsupportedInstanceError
from txmirror.interfaces import IInstanceCodec
from txmirror.placeholders import EnvironmentText, hide, shown, transform
from txmirror.printable import quote
from txmirror.types import Instance, InstanceStatus

#: The most data, in bytes: the server's limit for a request, less room for a path.
_MOST_DATA = 1_000_000

#: The keys of a service for attributes of an instance that have other names.
_KEYS = {"name": "node", "service": "path"}


@attrs.frozen
class ServiceNode:
    """A znode of a service."""

    key: str
    """Its place in the service: empty for the service's own, or as in ``also[0]``."""
    path: str
    """The path of its parent."""
    codec: IInstanceCodec
    """The codec of the node's data."""
    instance: Instance
    """The instance that the node describes."""

    @property
    def znode(self) -> str:
        """The full path.

        :raises UnsupportedInstanceError: the codec refuses the name.
        """
        name = self.codec.node_name(self.instance)
        if name != self.instance.name:
            # It contains the record, which may contain environment variables.
            visible = self.codec.node_name(_shown(self.instance))
            name = name if name == visible else EnvironmentText(name, visible)
        else:
            name = self.instance.name
        return transform(paths.join, self.path, name)

    def facts(
        self, *, warning: bool = False, warn_weight: float = 1.0, pid: int | None = None
    ) -> Mapping[str, object] | str | None:
        """Return the facts to register.

        :param warning: whether a check warns, which is marked in the codecs that have a place for it. If the record is in the
            znode's name, it is not marked: that would be another znode.
        :param warn_weight: the factor for the weight while a check warns.
        :param pid: the process number of the service's program; None if it is not known.
        :raises UnsupportedInstanceError: the codec cannot write the instance.
        """
        instance = self.instance if pid is None else attrs.evolve(self.instance, pid=pid)
        if warning:
            weight = _scale(instance.weight, warn_weight)
            marked = attrs.evolve(instance, status=InstanceStatus.WARNING, weight=weight)
            if self.codec.node_name(marked) == self.codec.node_name(instance):
                instance = marked
        return self.codec.facts(instance)

    def find_error(self, service_id: str) -> tuple[str, str] | None:
        """Return the place and the reason why the codec cannot write the znode; None if it can."""
        try:
            self.codec.node_name(self.instance)
            facts = self.facts(warning=True)
            size = len(self.codec.encode(facts, pid=0, created=0.0))
        except UnsupportedInstanceError as error:
            key, reason = _KEYS.get(error.key, error.key), str(error)
        except (TypeError, ValueError):
            # The message could quote an environment variable.
            key, reason = "data", "it cannot store its facts"
        except Exception as error:
            # A plugin's.
            key, reason = "data", f"it raised a {type(error).__name__}"
        else:
            if size <= _MOST_DATA:
                return None
            key, reason = "data", f"{size} bytes are more than the {_MOST_DATA} that a znode can hold"
        return key, f"the codec {self.codec.name!r} cannot write the service {quote(service_id)}: {reason}"


def _scale(weight: int | None, factor: float) -> int | None:
    """Return a weight while a check warns. It gets 0 only with the factor 0: that means no traffic at all."""
    return None if weight is None else max(round(weight * factor), 1 if weight and factor else 0)


def _shown(instance: Instance) -> Instance:
    values = {field.name: _hide(getattr(instance, field.name)) for field in attrs.fields(Instance)}
    return Instance(**values)


def _hide(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, tuple):
        return type(value)(*map(_hide, value))
    return hide(value)
