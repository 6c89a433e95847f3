"""The command ``ensemble``: the state of each server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from txmirror.cli.formats import json_line, table_lines
from txmirror.cli.run import Outcome, Run
from txmirror.cli.servers.answers import HOW_TO_ALLOW
from txmirror.cli.servers.asking import make_asker
from txmirror.cli.servers.opening import open_session
from txmirror.cli.servers.reports import WORDS, ServerReport, report_on_all
from txmirror.cli.settings import Settings
from txmirror.cli.statuses import Status, message_of
from txmirror.client import parse_servers
from txmirror.errors import ZooKeeperException
from txmirror.printable import on_one_line
from txmirror.types import EnsembleConfig

#: The modes of servers that accept writes.
_SERVING = ("leader", "follower", "observer", "standalone")
_HEADS = ("SERVER", "MODE", "VERSION", "BEHIND", "LATENCY", "CLIENTS", "WATCHES", "NODES", "ANSWER")


@attrs.frozen
class Survey:
    """The answers of all servers."""

    reports: Sequence[ServerReport]
    configuration: EnsembleConfig | str
    """The ensemble's own configuration, or the reason why it is unknown."""

    def behind(self, report: ServerReport) -> int | None:
        """Return the number of transactions that a server has applied later than another one; None if it is unknown."""
        newest = max((each.zxid for each in self.reports if each.zxid is not None), default=None)
        if report.zxid is None or newest is None or report.zxid >> 32 != newest >> 32:
            return None
        return newest - report.zxid

    def problems(self) -> Iterator[str]:
        """Return the reasons why the ensemble is not as it should be."""
        for report in self.reports:
            if report.problem is not None:
                yield f"{report.server}: {report.problem}"
            elif report.mode is not None and report.mode not in _SERVING:
                yield f"{report.server}: it is in the mode {report.mode}"
        modes = [report.mode for report in self.reports]
        if modes.count("leader") > 1:
            yield "there are two leaders: these servers do not belong to one ensemble, or an election has just ended"
        if "follower" in modes and "leader" not in modes:
            yield "none of these servers is the leader: it does not answer, or is not in --servers"
        if "standalone" in modes and len(modes) > 1:
            yield "a standalone server is among them: these servers do not belong to one ensemble"

    def notes(self) -> Iterator[str]:
        """Return what else an operator should know."""
        for report in self.reports:
            if report.refused:
                missing = " and ".join(WORDS[word] for word in report.refused)
                yield f"{report.server}: {missing} are unknown: add {', '.join(report.refused)} {HOW_TO_ALLOW}"
            yield from (f"{report.server} lacks {what}" for what in report.lacks)
        if isinstance(self.configuration, str):
            yield f"the configuration is unknown: {self.configuration}"
        else:
            yield from self._missing_members(self.configuration)

    def _missing_members(self, configuration: EnsembleConfig) -> Iterator[str]:
        ports = {report.server.port for report in self.reports}
        hosts = {str(report.server) for report in self.reports}
        for member in filter(None, configuration.connect_string.split(",")):
            # A server may have several names, but hardly several ports.
            if member not in hosts and (
                len(configuration.servers) > len(hosts) or parse_servers(member).servers[0].port not in ports
            ):
                yield f"{member} is a member of the ensemble, and is not in --servers"


def ensemble(run: Run, settings: Settings, *, as_json: bool) -> Deferred[Outcome]:
    """Show the state of each server, and the ensemble's configuration. The status is 1 if there is a problem.

    :returns: it fails only when it is cancelled.
    """
    return Deferred.fromCoroutine(_ensemble(run, settings, as_json))


async def _ensemble(run: Run, settings: Settings, as_json: bool) -> Outcome:
    servers = parse_servers(settings.servers).servers
    reports = await report_on_all(make_asker(run.reactor, settings), servers)
    survey = Survey(reports, await _configuration(run, settings, reports))
    problems = list(survey.problems())
    lines = _json(survey, problems) if as_json else _text(survey, problems, run.console.width)
    return Outcome(list(lines), Status.REFUSED if problems else Status.DONE)


async def _configuration(run: Run, settings: Settings, reports: Sequence[ServerReport]) -> EnsembleConfig | str:
    if settings.admin_port is None and all(report.problem is not None for report in reports):
        return "no server answers"
    try:
        await open_session(run.client, settings.access, settings.timeout, run.reactor)
        configuration, _ = await run.client.get_config()
    except ZooKeeperException as error:
        return message_of(error)
    return configuration


def _text(survey: Survey, problems: Sequence[str], width: int | None) -> Iterator[str]:
    yield from table_lines(_HEADS, [_row(survey, report) for report in survey.reports], width=width)
    configuration = survey.configuration
    if isinstance(configuration, EnsembleConfig) and configuration.servers:
        yield f"Configuration {configuration.version:#x}:"
        yield from (
            f"  server.{number}={on_one_line(value)}" for number, value in sorted(configuration.servers.items())
        )
    yield from (f"Problem: {problem}" for problem in problems)
    yield from (f"Note: {note}" for note in survey.notes())


def _row(survey: Survey, report: ServerReport) -> tuple[str, ...]:
    behind, latency = survey.behind(report), report.latency
    numbers = (
        report.number("Connections", "zk_num_alive_connections"),
        report.number("zk_watch_count"),
        report.number("Node count", "zk_znode_count"),
    )
    return (
        str(report.server),
        on_one_line(report.mode or ("no answer" if report.problem else "?")),
        on_one_line(report.version or ""),
        "" if behind is None else str(behind),
        "" if latency is None else f"{latency[0]:g}, max {latency[1]:g} ms",
        *("" if number is None else str(number) for number in numbers),
        "" if report.round_trip is None else f"{report.round_trip * 1000:.1f} ms",
    )


def _json(survey: Survey, problems: Sequence[str]) -> Iterator[str]:
    for report in survey.reports:
        yield json_line({**report.value(), "behind": survey.behind(report)})
    configuration = survey.configuration
    last: dict[str, Any] = {"problems": list(problems), "notes": list(survey.notes())}
    if isinstance(configuration, EnsembleConfig):
        last["configuration"] = {
            "version": f"{configuration.version:#x}",
            "servers": {str(number): value for number, value in configuration.servers.items()},
        }
    yield json_line(last)
