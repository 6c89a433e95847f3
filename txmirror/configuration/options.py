"""Builds a configuration from options of a command line: the simple form."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any, TypeVar

import attrs

from txmirror.access import Access
from txmirror.configuration.defaults import Defaults
from txmirror.configuration.dns import DNS
from txmirror.configuration.errors import InvalidValue, Place, Problems
from txmirror.configuration.http import NEEDS_ACCESS, HTTPServer
from txmirror.configuration.model import Configuration, Daemon, Host, Service, ZooKeeper
from txmirror.configuration.sources import TOMLError, parse_toml
from txmirror.configuration.structuring import Structurer
from txmirror.machine import Machine
from txmirror.paths import is_path, split
from txmirror.printable import quote

_REGISTER, _DATA, _CHECK = "register", "data", "check-"
#: The first characters of values that must be TOML; an IPv6 address with a port is none of these.
_QUOTED = ('"', "'", "{", "[")
_T = TypeVar("_T")

_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]+\](:[0-9]*)?")


@attrs.define
class _Group:
    """The options between one ``--register`` and the next, or before the first."""

    path: str = ""
    data: dict[str, object] = attrs.field(factory=dict)
    checks: list[tuple[str, dict[str, Any]]] = attrs.field(factory=list)
    """Tables, each with the option that it comes from."""

    def add_fact(self, key: str, value: object) -> None:
        """Add a fact.

        :raises ValueError: there is one with this key.
        """
        if key in self.data:
            raise ValueError(f"the key {quote(key)} is given twice")
        self.data[key] = value


def from_options(
    items: Iterable[tuple[str, str]],
    *,
    servers: str,
    session_timeout: float,
    access: Access | None = None,
    state_file: str | None = None,
    http: HTTPServer | None = None,
    dns: DNS | None = None,
    machine: Machine | None = None,
) -> Configuration:
    """Return the configuration for options of a command line.

    Options after a ``register`` belong to that service, those before the first one to all services; a service's own data takes
    precedence. Strings have no placeholders.

    :param items: the options and their values in order: ``register`` (a path), ``data`` (``KEY=VALUE``, with a value of TOML or a
        plain text), ``check-tcp`` (``HOST:PORT``, or a port of this machine), ``check-http`` (a URL), ``check-command`` (a
        program with arguments, quoted as in a shell).
    :param servers: a connection string that was checked before.
    :param session_timeout: in seconds, checked before.
    :param state_file: an absolute path.
    :param http: the HTTP server; None for none.
    :param dns: the DNS server; None for none.
    :raises ConfigurationError: an option is invalid; the exception has all errors.
    :raises KeyError: an item has another name.
    """
    machine = Machine.this() if machine is None else machine
    problems = Problems()
    common, *groups = _group(items, problems)
    structurer = Structurer()
    services = []
    seen: set[str] = set()
    for group in groups:
        if group.path in seen:
            problems.add(_place(_REGISTER), f"{quote(group.path)} is given twice")
        seen.add(group.path)
        whole = _Group(group.path, {**common.data, **group.data}, [*common.checks, *group.checks])
        service = _build(whole, structurer, problems)
        if service is not None:
            services.append(service)
    problems.raise_any()
    return Configuration(
        zookeeper=ZooKeeper(
            servers=servers, session_timeout=session_timeout, access=access or Access(), state_file=state_file
        ),
        host=Host(name=machine.host_name),
        daemon=Daemon(),
        services=tuple(services),
        http=http,
        dns=dns,
    )


def readers_from_options(
    http: str | None,
    dns: str | None,
    *,
    root: str | None = None,
    domain: str | None = None,
    token_file: str | None = None,
    credentials: bool = False,
) -> tuple[HTTPServer | None, DNS | None]:
    """Return the HTTP server and the DNS server for options of a command line.

    :param http: the address of the HTTP server: an IP address and a port, a port of the loopback interface, or ``unix:FILE``; None for
        none.
    :param dns: that of the DNS server, which is no UNIX socket; None for none.
    :param root: the znode whose children are the services; None for the default.
    :param domain: the domain of DNS; None for the default.
    :param token_file: the file with the token of the HTTP server; None for none.
    :param credentials: whether they show what the credentials may read.
    :raises ConfigurationError: an option is invalid, or needs another one; the exception has all errors.
    """
    problems = Problems()
    for option, value, needed in (
        ("root", root, http or dns),
        ("domain", domain, dns),
        ("token-file", token_file, http),
    ):
        if value is not None and needed is None:
            names = "--http or --dns" if option == "root" else "--dns" if option == "domain" else "--http"
            problems.add(_place(option), f"{quote(value)} is not used without {names}")
    server: HTTPServer | None = None
    resolver: DNS | None = None
    if http is not None:
        options = {
            "listen": ("http", _with_host(http)),
            "root": ("root", root),
            "token_file": ("token-file", token_file),
        }
        server = _build_table(HTTPServer, options, credentials, problems)
    if dns is not None:
        options = {"listen": ("dns", _with_host(dns)), "root": ("root", root), "domain": ("domain", domain)}
        resolver = _build_table(DNS, options, credentials, problems)
    problems.raise_any()
    return server, resolver


def _with_host(address: str) -> str:
    return f"127.0.0.1:{address}" if address.isascii() and address.isdigit() else address


def _build_table(
    kind: type[_T], options: Mapping[str, tuple[str, str | None]], credentials: bool, problems: Problems
) -> _T | None:
    """Return an instance of a class for options, by the keys that they stand for; None if they have errors."""
    table = {key: value for key, (_, value) in options.items() if value is not None}
    try:
        return Structurer().structure({**table, "credentials": credentials}, kind, Path.cwd())
    except InvalidValue as error:
        for place, reason in error.errors:
            # The other keys of the message have no options.
            text = reason.replace(NEEDS_ACCESS, "that needs --token-file")
            problems.add(_place(options[place.removeprefix(".")][0]), text)
        return None


def _place(option: str) -> Place:
    return Place(f"--{option}", "")


def _group(items: Iterable[tuple[str, str]], problems: Problems) -> list[_Group]:
    groups = [_Group()]
    for option, text in items:
        try:
            if option == _REGISTER:
                groups.append(_Group(text))
            elif option == _DATA:
                groups[-1].add_fact(*_parse_fact(text))
            else:
                groups[-1].checks.append((option, _CHECKS[option](text)))
        except ValueError as error:
            problems.add(_place(option), str(error))
    return groups


def _build(group: _Group, structurer: Structurer, problems: Problems) -> Service | None:
    if not is_path(group.path) or group.path == "/":
        problems.add(
            _place(_REGISTER), f"{quote(group.path)} is not the path of a znode such as /services/web/host1:80"
        )
        return None
    parent, node = split(group.path)
    checks = [check for _, check in group.checks]
    table = {"name": group.path, "path": parent, "node": node, "data": group.data, "check": checks}
    try:
        return structurer.structure(Defaults({}).fill(table).table, Service, Path.cwd())
    except InvalidValue as error:
        for place, reason in error.errors:
            match = re.match(r"\.check\[([0-9]+)\]", place)
            option = group.checks[int(match[1])][0] if match else _DATA if place.startswith(".data") else _REGISTER
            problems.add(_place(option), reason)
        return None


def _parse_fact(text: str) -> tuple[str, object]:
    """Return the key and value of a text KEY=VALUE.

    :raises ValueError: it has another form.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError(f"{quote(text)} is not of the form KEY=VALUE")
    try:
        parsed = None if "\n" in value else parse_toml(f"value = {value}")["value"]
    except TOMLError as error:
        if value.startswith(_QUOTED) and _IPV6.fullmatch(value) is None:
            raise ValueError(f"the value of {quote(key)} is invalid: {error.reason}") from None
        parsed = None
    if isinstance(parsed, (bool, int, float)) and ("#" in value or not float("-inf") < parsed < float("inf")):
        # Not a number with a comment, nor infinity.
        parsed = None
    return key, value if parsed is None or isinstance(parsed, (date, time)) else parsed


def _parse_tcp(text: str) -> dict[str, Any]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        raise ValueError(f"{quote(text)} is not of the form HOST:PORT")
    return {"type": "tcp", "port": int(port), **({"host": host} if host else {})}


def _parse_command(text: str) -> dict[str, Any]:
    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{quote(text)} cannot be split into arguments: {error}") from None
    return {"type": "command", "argv": argv}


_CHECKS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    f"{_CHECK}tcp": _parse_tcp,
    f"{_CHECK}http": lambda text: {"type": "http", "url": text},
    f"{_CHECK}command": _parse_command,
}
