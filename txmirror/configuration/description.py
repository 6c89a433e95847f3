"""Describe a configuration in plain text, without secrets: the output of ``twistd txmirror --config FILE --check``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from txmirror.configuration.addresses import UNIXAddress
from txmirror.configuration.dns import DNS
from txmirror.configuration.http import HTTPServer
from txmirror.configuration.model import Configuration, Service, ZooKeeper
from txmirror.configuration.probes import (
    HTTP,
    TCP,
    TTL,
    UNIX,
    Alias,
    Check,
    Command,
    File,
    Noop,
    Process,
)
from txmirror.configuration.watches import Watch
from txmirror.durations import show_seconds
from txmirror.json_text import JSONWriter
from txmirror.placeholders import hide, shown
from txmirror.printable import on_one_line
from txmirror.registry import ServiceNode

_WRITER = JSONWriter(ascii_only=False)


def describe(configuration: Configuration) -> list[str]:
    """Return lines that describe a configuration.

    They have no password, and the names of environment variables in place of their values.
    """
    daemon = configuration.daemon
    lines = [f"Read {name}." for name in configuration.sources]
    lines += _describe_session(configuration.zookeeper)
    if daemon.control is not None:
        group = (
            "this user" if daemon.control_group is None else f"this user and the group {shown(daemon.control_group)}"
        )
        lines.append(f"The control socket is {shown(daemon.control)}, for {group}.")
    if daemon.metrics is not None:
        lines.append(f"The metrics are at http://{daemon.metrics}/metrics.")
    if configuration.dns is not None:
        lines += _describe_dns(configuration.dns)
        lines += _describe_readers("DNS", configuration, credentials=configuration.dns.credentials)
    if configuration.http is not None:
        lines += _describe_http(configuration.http)
        lines += _describe_readers("HTTP", configuration, credentials=configuration.http.credentials)
    if daemon.maintenance_file is not None:
        lines.append(f"Maintenance is kept in {shown(daemon.maintenance_file)}.")
    if daemon.heartbeat_file is not None:
        lines.append(f"The heartbeat file is {shown(daemon.heartbeat_file)}.")
    if daemon.splay:
        lines.append(
            f"Each service waits at random, up to {show_seconds(daemon.splay)}, before it is first registered."
        )
    lines.append(f"A stop takes at most {show_seconds(daemon.stop_timeout)}.")
    for service in configuration.services:
        lines += _describe_service(service)
    for watch in configuration.watches:
        lines += _describe_watch(watch)
    readers = (configuration.dns, configuration.http)
    if not configuration.services and not configuration.watches and readers == (None, None):
        lines.append("There is no service.")
    return [on_one_line(line) for line in lines]


def _describe_session(zookeeper: ZooKeeper) -> Iterator[str]:
    access = zookeeper.access
    secured = f" as {shown(access.username)!r}{' by SASL' if access.sasl else ''}" if access.username else ""
    tls = " by TLS" if access.tls is not None else ""
    timeout = show_seconds(zookeeper.session_timeout)
    yield f"Connects to ZooKeeper at {shown(zookeeper.servers)}{tls}{secured}, with a session timeout of {timeout}."
    if zookeeper.state_file is None:
        yield "Without a state file, a restart registers everything anew."
    else:
        yield f"The session is kept in {shown(zookeeper.state_file)}."
    if zookeeper.write_rate is not None:
        rate = zookeeper.write_rate
        yield f"It writes at most {rate.per_second:g} times a second, and {rate.burst} times at once."


def _describe_dns(dns: DNS) -> Iterator[str]:
    yield f"DNS is at {dns.listen}, with the services below {shown(dns.root)} as NAME.service.{shown(dns.domain)}."
    if dns.forward:
        yield f"Questions about other names are sent to {' and '.join(map(str, dns.forward))}."


def _describe_http(http: HTTPServer) -> Iterator[str]:
    listen = http.listen
    if isinstance(listen, UNIXAddress):
        group = "this user" if http.group is None else f"this user and the group {shown(http.group)}"
        place = f"the UNIX socket {shown(listen.path)}, for {group}"
    else:
        place = f"http{'' if http.certificate is None else 's'}://{listen}/"
    yield f"The HTTP API and the page are at {place}, with the services below {shown(http.root)}."
    needed = [
        text
        for text, key in (("a token", http.token_file), ("a client certificate", http.client_ca))
        if key is not None
    ]
    if needed:
        local = isinstance(listen, UNIXAddress) or listen.is_loopback
        yield f"{'A change by HTTP' if local else 'HTTP'} needs {' or '.join(needed)}."


def _describe_readers(name: str, configuration: Configuration, *, credentials: bool) -> Iterator[str]:
    if configuration.zookeeper.access.identifies:
        seen = "the daemon may" if credentials else "everybody may"
        yield f"{name} shows the znodes that {seen} read."


def _describe_service(service: Service) -> Iterator[str]:
    yield f"Service {shown(service.id)}:"
    for node in service.nodes:
        yield f"  registers {shown(node.znode)} with {_WRITER.write(hide(node.facts()))}{_by_codec(node)}"
    if service.depends:
        yield f"  while these are registered: {', '.join(map(shown, service.depends))}"
    if service.checks:
        word = "these checks pass" if service.require == "all" else "one of these checks passes"
        yield f"  while {word}:"
        yield from (f"    {_describe_check(check)}" for check in service.checks)
    else:
        yield "  always: it has no checks"
    if service.on_stop == "keep-session":
        yield "  stays registered when the daemon stops, for a daemon that starts within the session timeout"
    elif service.drain:
        yield f"  is deregistered when the daemon stops, which then waits {show_seconds(service.drain)}"


def _describe_watch(watch: Watch) -> Iterator[str]:
    yield f"File {shown(watch.output)}:"
    yield f"  has the instances below {shown(watch.path)}, in the format {watch.format}"
    if watch.keep_if_below and watch.keep_for:
        limit = f"less than {watch.keep_if_below:g} of its former length"
        yield f"  stays as it is for up to {show_seconds(watch.keep_for)} if the list has {limit}"
    if watch.command:
        # An argument may be a password.
        yield f"  is followed by the command {shown(watch.command[0])} after each change"


def _describe_check(check: Check) -> str:
    settings = check.settings
    parts = [f"{shown(check.name)}: {_PROBES[type(check.probe)](check.probe)}"]
    if "interval" in check.probe.settings:
        parts.append(f"every {show_seconds(settings.interval)}, up after {settings.rise}, down after {settings.fall}")
    if "timeout" in check.probe.settings:
        parts.append(f"timeout {show_seconds(settings.timeout)}")
    if settings.on_fail == "warn":
        parts.append("only a warning")
    return ", ".join(parts)


def _address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _describe_exchange(probe: TCP | UNIX) -> str:
    # The text may be a password.
    sent = "" if probe.send is None else f", sends {len(probe.send)} characters"
    return sent + ("" if probe.expect is None else f", expects {shown(probe.expect)!r}")


def _describe_command(probe: Command) -> str:
    # An argument may be a password.
    count = len(probe.argv) - 1
    return f"runs {shown(probe.argv[0])}" + (f" with {count} argument{'s'[: count != 1]}" if count else "")


def _describe_request(probe: HTTP) -> str:
    # A query may have a token.
    url, query, _ = shown(probe.url).partition("?")
    return f"{probe.method} {url}{'?...' if query else ''} answers {' or '.join(probe.expect_status)}"


def _by_codec(node: ServiceNode) -> str:
    return "" if node.codec.name == "ndsr" else f" ({node.codec.name})"


_PROBES: Mapping[type[Any], Callable[[Any], str]] = {
    Command: _describe_command,
    TCP: lambda probe: f"connects to {_address(shown(probe.host))}:{probe.port}{_describe_exchange(probe)}",
    UNIX: lambda probe: f"connects to {shown(probe.socket)}{_describe_exchange(probe)}",
    HTTP: _describe_request,
    Process: lambda probe: f"the process of {shown(probe.pid_file)} runs",
    File: lambda probe: f"{shown(probe.path)} is at most {show_seconds(probe.max_age)} old",
    TTL: lambda probe: f"was pushed within {show_seconds(probe.ttl)}",
    Alias: lambda probe: f"the service {shown(probe.service)} is up",
    Noop: lambda probe: "always passes",
}
