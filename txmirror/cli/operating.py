"""The commands for the daemon on this machine: status, why, metrics, maint, drain and reload."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from itertools import chain
from typing import Any
from urllib.parse import quote

import click

from txmirror.cli.completing import complete_file
from txmirror.cli.control import ask, read_text
from txmirror.cli.formats import table_lines, value_lines
from txmirror.cli.options import output_option
from txmirror.cli.statuses import Status
from txmirror.cli.streams import report
from txmirror.printable import on_one_line

#: The control socket, unless an option or a variable names another one.
_DEFAULT = "/run/txmirror/control.sock"
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]+)?)([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: The most characters of a check's output in a line for people.
_LONGEST_OUTPUT = 300
#: The condition of a service that is well.
_REGISTERED = "registered"

_output = output_option("table", ("table", "yaml", "json", "jsonl"))
_control = click.option(
    "--control",
    metavar="SOCKET",
    envvar="TXMIRROR_CONTROL",
    default=_DEFAULT,
    shell_complete=complete_file,
    help=f"The daemon's control socket. [TXMIRROR_CONTROL; default: {_DEFAULT}]",
)


def _duration(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    match = _DURATION.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no duration, such as 90s, 30m or 2h")
    return float(match[1]) * _UNITS[match[2]]


@click.command("status")
@click.argument("service", required=False)
@_output
@_control
def status(service: str | None, output: str, control: str) -> int:
    """Show the services and output files of the daemon. With SERVICE, show only that service.

    The exit status is 0 if all services are registered and all files are current, 1 if not, and 69 if the daemon does not answer.
    """
    if service is None:
        found: Any = ask(control, "GET", "/v1/daemon")
        services = found["services"]
    else:
        services = [found := ask(control, "GET", f"/v1/daemon/services/{quote(service, safe='')}")]
    rows = [(each["id"], each["condition"], _checks(each), _time(each["since"]), each["why"]) for each in services]
    lines: Iterable[str] = table_lines(("service", "condition", "checks", "since", "why"), rows)
    if service is None:
        lines = chain([_headline(found)], lines, _list_files(found["output_files"]), _list_readers(found["readers"]))
    _print(found, output, lines)
    well = service is not None or all(file["problem"] is None for file in found["output_files"])
    return _status_of(services) if well else Status.REFUSED


@click.command("why")
@click.argument("service")
@_output
@_control
def why(service: str, output: str, control: str) -> int:
    """Explain why SERVICE is registered or not. Show the next step, and the changes before.

    The exit status is that of "status".
    """
    found = ask(control, "GET", f"/v1/daemon/services/{quote(service, safe='')}")
    _print(found, output, _explain(found))
    return _status_of([found])


@click.command("metrics")
@_control
def metrics(control: str) -> int:
    """Print the metrics of the daemon, as Prometheus reads them."""
    click.echo(read_text(control, "/metrics"), nl=False)
    return Status.DONE


@click.command("maint")
@click.argument("service", required=False)
@click.option("--host", is_flag=True, help="All services of this machine, in place of one.")
@click.option("-m", "--reason", metavar="TEXT", help="The reason, which others see. It begins the maintenance.")
@click.option("--for", "duration", metavar="TIME", callback=_duration, help="How long, as in 30m or 2h.")
@click.option("--end", is_flag=True, help="End the maintenance.")
@_output
@_control
def maint(
    service: str | None,
    host: bool,
    reason: str | None,
    duration: float | None,
    end: bool,
    output: str,
    control: str,
) -> int:
    """Keep SERVICE out of the registry for a while. With --host, keep out all services. Without options, show the services that are kept out.

    It survives a restart of the daemon, if the configuration names a maintenance_file.
    """
    if service is not None and host:
        raise click.UsageError("SERVICE and --host exclude each other")
    if (reason is not None) + end + (service is None and not host) != 1 or (duration is not None and reason is None):
        raise click.UsageError("SERVICE or --host goes with either --reason or --end; --for goes with --reason")
    if reason is None and not end:
        found = {"maintenance": ask(control, "GET", "/v1/daemon")["maintenance"]}
    else:
        resource = "/v1/daemon/maintenance" + ("" if service is None else f"/{quote(service, safe='')}")
        body = None if end else {"reason": reason, "for": duration}
        found = ask(control, "DELETE" if end else "PUT", resource, body)
        if not found["kept"] and not end:
            why = "a restart ends this: there is no maintenance_file, or it cannot be written"
            report(why)
    rows = [
        ("(all)" if name == "*" else name, _time(flag["since"]), _time(flag["until"]), flag["reason"])
        for name, flag in found["maintenance"].items()
    ]
    _print(found["maintenance"], output, table_lines(("service", "since", "until", "reason"), rows))
    return Status.DONE


@click.command("drain")
@click.option("--undo", is_flag=True, help="Register the services again.")
@_control
def drain(undo: bool, control: str) -> int:
    """Withdraw all services of the daemon. Return when they are gone and their drain is over. Their checks go on."""
    ask(control, "DELETE" if undo else "PUT", "/v1/daemon/drain", timeout=None)
    return Status.DONE


@click.command("reload")
@_output
@_control
def reload(output: str, control: str) -> int:
    """Make the daemon read its configuration again. If that is invalid, nothing changes: the errors are shown."""
    found = ask(control, "PUT", "/v1/daemon/reload")
    rows = [
        (kind, name)
        for kind, names in (
            ("added", found["added"]),
            ("removed", found["removed"]),
            ("changed", [f"{name} ({', '.join(keys)})" for name, keys in found["changed"].items()]),
            ("unchanged", found["unchanged"]),
            ("file changed", found["output_files"]),
            ("dns changed", found["dns"]),
            ("http changed", found["http"]),
            ("needs a restart", found["restart"]),
        )
        for name in names
    ]
    _print(found, output, table_lines(("change", "service"), rows))
    return Status.DONE


def _status_of(services: Iterable[Any]) -> int:
    return Status.DONE if all(each["condition"] == _REGISTERED for each in services) else Status.REFUSED


def _print(value: object, output: str, lines: Iterable[str]) -> None:
    if output != "table":
        lines = value_lines(value, output)
    for line in lines:
        click.echo(line)


def _headline(daemon: Any) -> str:
    session = f"session {daemon['session']} with" if daemon["session"] else "no session with"
    reach = "" if daemon["connected"] else ", which is out of reach"
    if daemon["refused"]:
        reach = ", which refuses the credentials"
    state = ", stopping" if daemon["stopping"] else ", drained" if daemon["drained"] else ""
    return f"txmirror {daemon['version']}, process {daemon['pid']}{state}: {session} {daemon['servers']}{reach}"


def _list_files(files: Iterable[Any]) -> Iterable[str]:
    rows = [(each["file"], each["state"], str(each["instances"]), each["problem"] or "") for each in files]
    return table_lines(("file", "state", "instances", "problem"), rows) if rows else ()


def _list_readers(readers: Any) -> Iterator[str]:
    """Yield a line for each server for readers."""
    for name, key in (("HTTP", "http"), ("DNS", "dns")):
        server = readers[key]
        if server is not None:
            state = (
                f"at {server['address']}" if server["listening"] else f"not at {server['address']}: {server['problem']}"
            )
            streams = f", {server['streams']} event streams" if "streams" in server else ""
            yield f"{name} {state}, {server['replies']} replies{streams}"
    if readers["refused"]:
        yield "Readers see nothing: ZooKeeper accepts no session without credentials"


def _explain(service: Any) -> Iterator[str]:
    yield f"{service['id']} is {service['condition']} since {_time(service['since'])}."
    yield service["why"]
    owner = f" Its owner is session {service['owner']}." if service.get("owner") else ""
    yield f"Znode: {service['path']}.{owner}"
    yield f"Next: {service['next']}."
    for check in service["checks"]:
        output = "" if check["output"] is None else f": {_shorten(on_one_line(check['output']))}"
        yield f"Check {check['name']} ({check['type']}) is {check['state']}, last at {_time(check['time'])}{output}"
    for change in service["transitions"]:
        yield f"{_time(change['time'])}  {change['after']}: {change['reason']}"


def _shorten(text: str) -> str:
    """Return the beginning of a check's output: that of a check by HTTP has the response's body."""
    if len(text) <= _LONGEST_OUTPUT:
        return text
    return f"{text[:_LONGEST_OUTPUT]}... ({len(text):,} characters; all with -o json)"


def _checks(service: Any) -> str:
    checks = service["checks"]
    passing = sum(check["state"] in ("up", "warn") for check in checks)
    return f"{passing}/{len(checks)}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
