"""The configuration of the registration daemon. The attributes are the keys of its file, and the documentation is made of them."""

# Not with "from __future__ import annotations": see probes.py.

from collections.abc import Mapping
from typing import Annotated, Any

import attrs

from txmirror.access import Access
from txmirror.client import parse_servers
from txmirror.configuration.addresses import AddressAndPort, SocketAddress
from txmirror.configuration.dns import DNS
from txmirror.configuration.errors import InvalidValue
from txmirror.configuration.http import HTTPServer
from txmirror.configuration.probes import Check, FlapHold
from txmirror.configuration.rules import (
    LONGEST_SOCKET,
    WORD,
    ArrayOf,
    Choice,
    CodecName,
    Duration,
    FileName,
    Flag,
    HostName,
    NodeName,
    Number,
    TableOf,
    Text,
    ZnodePath,
)
from txmirror.configuration.watches import Watch
from txmirror.json_text import JSONWriter
from txmirror.machine import INTERFACE, ROUTE
from txmirror.paths import split
from txmirror.placeholders import transform
from txmirror.registry import ServiceNode, find_codec, with_instances
from txmirror.types import Endpoint, Instance

#: The values of ``Service.takeover`` and ``Service.on_stop``.
WAIT, SAME_INSTANCE = "wait", "same-instance"
DEREGISTER, KEEP_SESSION = "deregister", "keep-session"

_IN_ORDER = JSONWriter(sort_keys=True)

#: The metadata of a key whose change needs a restart, and of one that ``[defaults]`` may have too.
_RESTART = {"restart": True}
_DEFAULTABLE = {"defaultable": True}

_ADVERTISE = HostName(
    kind=f'``"{ROUTE}"``, ``"{INTERFACE}NAME"``, an address or a name', other=rf"{INTERFACE}[^\s/\x00-\x1f\x7f]{{1,15}}"
)


def _to_json(data: Mapping[str, object] | str | None) -> str:
    return _IN_ORDER.write(data)


def _default(text: str, **metadata: bool) -> dict[str, Any]:
    return {"default": text, **metadata}


_NODE_DEFAULT = "by the codec, such as ``{address}:{port}``"


@attrs.frozen(kw_only=True)
class WriteRate:
    """A limit for the writes to ZooKeeper. Deregistrations are not limited."""

    per_second: Annotated[float, Number(0.001, 100_000)]
    """The number of writes in a second, on average."""
    burst: Annotated[int, Number(1, 1_000_000, whole=True)]
    """The number of writes at once after a pause."""


@attrs.frozen(kw_only=True)
class ZooKeeper:
    """``[zookeeper]``: the ensemble, and the session."""

    servers: Annotated[str, Text(kind="connection string", check=parse_servers)] = attrs.field(
        default="localhost:2181", metadata=_RESTART
    )
    """The servers, ``host:port,host:port/chroot``."""
    session_timeout: Annotated[float, Duration(0.001, 86400.0)] = attrs.field(default=10.0, metadata=_RESTART)
    """The session timeout to request. After this time without contact ZooKeeper drops the registrations."""
    connect_timeout: Annotated[float, Duration(0.001, 86400.0)] = attrs.field(default=4.0, metadata=_RESTART)
    """The timeout of one attempt to connect. It is never more than a third of the session timeout."""
    access: Access = attrs.field(factory=Access, metadata=_RESTART)
    """The credentials, the ACL of new nodes, and TLS: see below."""
    parent: Annotated[str, Choice(("persistent", "container"))] = attrs.field(default="persistent", metadata=_RESTART)
    """The kind of the nodes that are created above a service's node. ZooKeeper deletes a container some time after its last child."""
    state_file: Annotated[str | None, FileName()] = attrs.field(default=None, metadata=_RESTART)
    """The file that keeps the session, so that a restarted daemon takes it over with its nodes. Default: a restarted daemon
    registers anew."""
    write_rate: WriteRate | None = attrs.field(default=None, metadata=_RESTART)
    """A limit for the writes, for example ``{ per_second = 5, burst = 50 }``. Default: none."""


@attrs.frozen(kw_only=True)
class Host:
    """``[host]``: this machine, as others see it."""

    name: Annotated[
        str, Text(kind="name", form=r"[^\s/\x00-\x1f\x7f-\x9f]{1,255}", form_text="a name without spaces and slashes")
    ] = attrs.field(metadata=_default("the machine's host name"))
    """The value of ``{host}``."""
    advertise: Annotated[str, _ADVERTISE] = ROUTE
    """The value of ``{address}``: the local address of the route to ZooKeeper, the address of a network interface, or a text. It is
    found out when the file is read."""
    allow_loopback: Annotated[bool, Flag()] = False
    """If true, ``{address}`` may be one that other machines cannot reach."""


@attrs.frozen(kw_only=True)
class Daemon:
    """``[daemon]``: the process itself."""

    splay: Annotated[float, Duration(0.0, 3600.0)] = 0.0
    """The longest random pause before a service is first registered in a session, so that many machines do not all write at
    once."""
    stop_timeout: Annotated[float, Duration(0.1, 86400.0)] = 30.0
    """The longest time that a stop may take. It is more than the longest ``drain``."""
    control: Annotated[str | None, FileName(longest=LONGEST_SOCKET)] = attrs.field(default=None, metadata=_RESTART)
    """The UNIX socket for ``txmirror status`` and other commands. Default: none."""
    control_group: Annotated[str | None, Text(kind="name of a group")] = attrs.field(default=None, metadata=_RESTART)
    """The group whose members may use the control socket. Default: only this user."""
    metrics: Annotated[SocketAddress | None, AddressAndPort()] = attrs.field(default=None, metadata=_RESTART)
    """The IP address and port for Prometheus and for load balancers, for example ``127.0.0.1:9145``: ``/metrics``, ``/healthz`` and
    ``/readyz``, which are also at the control socket. Everybody who reaches the port may read them. Default: none."""
    maintenance_file: Annotated[str | None, FileName()] = attrs.field(default=None, metadata=_RESTART)
    """The file that keeps the maintenance over a restart. Default: a restart ends all maintenance."""
    heartbeat_file: Annotated[str | None, FileName()] = attrs.field(default=None, metadata=_RESTART)
    """The file to touch while all checks and the session make progress, for a supervisor. Default: none."""

    def __attrs_post_init__(self) -> None:
        if self.control_group is not None and self.control is None:
            raise InvalidValue((".control_group", "it is not used, because there is no control"))


@attrs.frozen(kw_only=True)
class Also:
    """``[[service.also]]``: a further znode of the service, for other readers. It is registered and withdrawn with the service's own."""

    path: Annotated[str, ZnodePath()]
    """The znode below which to register. A codec of Curator needs one of its own, whose last part is the service's name."""
    node: Annotated[str, NodeName()] = attrs.field(metadata=_default(_NODE_DEFAULT))
    """The name of the znode."""
    codec: Annotated[str, CodecName()]
    """The format of the znode's data: see below."""
    port: Annotated[int | None, Number(1, 65535, whole=True)] = attrs.field(
        default=None, metadata=_default("the service's ``port``")
    )
    """The port in the znode's data, for example that of the metrics."""
    data: Mapping[str, object] | str | None = attrs.field(
        default=None, eq=_to_json, metadata=_default("the service's ``data``, for codecs with a place for any facts")
    )
    """Facts for these readers."""


# More than 7 parameters: the class has a field for each key of its table.
@attrs.frozen(kw_only=True)
class Service:
    """``[[service]]``: a service to register while its checks pass."""

    name: Annotated[str, WORD]
    """The service's name, the value of ``{name}``."""
    id: Annotated[str, WORD] = attrs.field(
        default=attrs.Factory(lambda self: self.name, takes_self=True), metadata=_default("``name``")
    )
    """The name of this instance for operators, in commands and the log. It is unique."""
    port: Annotated[int | None, Number(1, 65535, whole=True)] = None
    """The value of ``{port}``."""
    advertise: Annotated[str | None, _ADVERTISE] = attrs.field(
        default=None, metadata=_default("that of ``[host]``", defaultable=True)
    )
    """The value of ``{address}``."""
    path: Annotated[str, ZnodePath()] = attrs.field(metadata=_DEFAULTABLE)
    """The znode below which to register, as in ``/services/{name}``."""
    node: Annotated[str, NodeName()] = attrs.field(metadata=_default(_NODE_DEFAULT, defaultable=True))
    """The name of the service's own znode."""
    address: Annotated[str | None, HostName()] = attrs.field(default=None, metadata=_default("``{address}``"))
    """The address in the znode's data, for codecs that write one."""
    # Compared as JSON: there 1 differs from true and from 1.0.
    data: Mapping[str, object] | str = attrs.field(factory=dict, eq=_to_json, metadata=_DEFAULTABLE)
    """Facts for programs that find the service: a table, or a string. A table in ``[defaults]`` has more facts, for all services."""
    codec: Annotated[str, CodecName()] = attrs.field(default="ndsr", metadata=_DEFAULTABLE)
    """The format of the znode's data: see below."""
    weight: Annotated[int | None, Number(0, 1_000_000, whole=True)] = attrs.field(default=None, metadata=_DEFAULTABLE)
    """The service's share of the traffic, for codecs with a place for it. Default: none."""
    warn_weight: Annotated[float, Number(0, 1)] = attrs.field(default=0.1, metadata=_DEFAULTABLE)
    """The factor for ``weight`` while a check with ``on_fail = "warn"`` fails."""
    labels: Annotated[Mapping[str, str], TableOf(Text(empty=True))] = attrs.field(factory=dict, metadata=_DEFAULTABLE)
    """Words for choosing instances, for codecs with a place for them."""
    tls_port: Annotated[int | None, Number(1, 65535, whole=True)] = None
    """The port for TLS, for codecs with a place for it. Default: none."""
    endpoints: Annotated[Mapping[str, int], TableOf(Number(1, 65535, whole=True))] = attrs.field(factory=dict)
    """Further ports at the same address, by their names, for codecs with a place for them."""
    also: tuple[Also, ...] = ()
    """Further znodes, for other readers: see below."""
    checks: tuple[Check, ...] = attrs.field(default=(), metadata={"key": "check"})
    """The health checks: see below. Without any, the service is always registered."""
    require: Annotated[str, Choice(("all", "any"))] = attrs.field(default="all", metadata=_DEFAULTABLE)
    """The checks that must pass: all of them, or any one."""
    flap_hold: FlapHold = attrs.field(factory=FlapHold, metadata=_DEFAULTABLE)
    """The hold of a service that goes up and down too often: see below."""
    takeover: Annotated[str, Choice((SAME_INSTANCE, WAIT))] = attrs.field(default=SAME_INSTANCE, metadata=_DEFAULTABLE)
    """The reaction if another session owns the znode: replace it if it is known to be a former one of this service, or always
    wait."""
    drain: Annotated[float, Duration(0.0, 86400.0)] = attrs.field(default=0.0, metadata=_DEFAULTABLE)
    """The time to wait after the daemon has deregistered the service for a stop, before the stop goes on."""
    on_stop: Annotated[str, Choice((DEREGISTER, KEEP_SESSION))] = attrs.field(default=DEREGISTER, metadata=_DEFAULTABLE)
    """The effect of a stop of the daemon: it deregisters the service, or leaves it registered for a daemon that starts within the
    session timeout."""
    depends: Annotated[tuple[str, ...], ArrayOf(WORD)] = ()
    """The ids of services that must be registered before this one is."""

    @property
    def znode_path(self) -> str:
        """The full path of the service's own znode."""
        return self._node("", self.path, self.node, self.codec, self.port, self.data).znode

    @property
    def nodes(self) -> tuple[ServiceNode, ...]:
        """The znodes: the service's own, and the further ones."""
        return (
            self._node("", self.path, self.node, self.codec, self.port, self.data),
            *(
                self._node(
                    f"also[{index}]",
                    each.path,
                    each.node,
                    each.codec,
                    self.port if each.port is None else each.port,
                    each.data,
                )
                for index, each in enumerate(self.also)
            ),
        )

    def _node(
        self, key: str, path: str, node: str, codec: str, port: int | None, data: Mapping[str, object] | str | None
    ) -> ServiceNode:
        found = with_instances(find_codec(codec))
        if data is None:
            data = self.data if found.takes_facts else {}
        endpoints = {name: Endpoint(self.address, each) for name, each in self.endpoints.items() if self.address}
        instance = Instance(
            name=node,
            address=self.address,
            port=port,
            tls_port=self.tls_port,
            weight=self.weight,
            labels=self.labels,
            endpoints=endpoints,
            service=transform(lambda text: split(text)[1], path),
            data=data,
            codec=codec,
        )
        return ServiceNode(key, path, found, instance)

    def __attrs_post_init__(self) -> None:
        errors = []
        for node in self.nodes:
            error = node.find_error(self.id)
            if error is not None:
                key, reason = error
                own = node.key and key in ("node", "data", "port", "path")
                errors.append((f".{node.key}.{key}" if own else f".{key}", reason))
        names = [check.name for check in self.checks]
        errors += [
            (f".check[{index}].name", f"the service has another check with the name {name!r}")
            for index, name in enumerate(names)
            if name in names[:index]
        ]
        if errors:
            raise InvalidValue(*errors)


# More than 7 parameters: one for each part of the files.
@attrs.frozen(kw_only=True)
class Configuration:
    """A configuration that is complete and consistent."""

    zookeeper: ZooKeeper
    host: Host
    daemon: Daemon
    services: tuple[Service, ...]
    watches: tuple[Watch, ...] = ()
    dns: DNS | None = None
    http: HTTPServer | None = None
    sources: tuple[str, ...] = attrs.field(default=(), eq=False)
    """The names of the files that were read."""

    def service(self, service_id: str) -> Service | None:
        """Return the service with an id; None if there is none."""
        return next((each for each in self.services if each.id == service_id), None)
