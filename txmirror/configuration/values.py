"""The values of the placeholders, for each part of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from txmirror.configuration.model import Host, ZooKeeper
from txmirror.machine import Machine
from txmirror.placeholders import Placeholders

#: The value of a placeholder whose key has an error, which is reported at that key.
_UNKNOWN = "unknown"


@attrs.frozen
class Values:
    """The values of the placeholders."""

    machine: Machine
    host: Host | None = None
    """``[host]``; None if it is not read yet, or has errors."""
    zookeeper: ZooKeeper | None = None
    """``[zookeeper]``, likewise."""

    def outside_services(self) -> Placeholders:
        """Return the placeholders of the other tables."""
        return self._placeholders({"pid": self._pid} if self.host is None else self._common())

    def of_service(self, table: Mapping[str, Any]) -> Placeholders:
        """Return the placeholders of a service.

        :param table: its table, in which nothing is expanded yet.
        """
        # The keys ``name``, ``id`` and ``advertise`` may contain only these placeholders, so that none refers to itself.
        basic = self._placeholders(self._common())

        def text(key: str, default: str = _UNKNOWN) -> str:
            value = table.get(key, default)
            return basic.expand(value) if isinstance(value, str) else _UNKNOWN

        def port() -> str:
            if "port" not in table:
                raise ValueError("the service has no port")
            return str(table["port"])

        def name() -> str:
            return text("name")

        def address() -> str:
            if self.host is None:
                return _UNKNOWN
            advertise = text("advertise", self.host.advertise)
            servers = (self.zookeeper or ZooKeeper()).servers
            return self.machine.find_address(advertise, servers, allow_loopback=self.host.allow_loopback)

        def uuid() -> str:
            return self.machine.instance_id(self._host_name(), text("id", name()))

        def number() -> str:
            return self.machine.instance_number(uuid())

        own = {"name": name, "address": address, "port": port, "uuid": uuid, "number": number}
        return self._placeholders({**self._common(), **own})

    def _placeholders(self, values: Mapping[str, Callable[[], str]]) -> Placeholders:
        return Placeholders(values, self.machine.environment)

    def _common(self) -> dict[str, Callable[[], str]]:
        return {"host": self._host_name, "pid": self._pid}

    def _host_name(self) -> str:
        return _UNKNOWN if self.host is None else self.host.name

    def _pid(self) -> str:
        return str(self.machine.pid)
