"""The command ``doctor``: check each step on the way to ZooKeeper."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress

from txmirror import paths
from txmirror.cli.formats import json_line
from txmirror.cli.run import Outcome, Run
from txmirror.cli.servers.answers import HOW_TO_ALLOW, NoAnswer, NotAllowed
from txmirror.cli.servers.asking import make_asker
from txmirror.cli.servers.certificates import accept_any, certificate_of
from txmirror.cli.servers.opening import open_session
from txmirror.cli.servers.reports import WORDS, ServerReport, report_on
from txmirror.cli.settings import Settings
from txmirror.cli.sizes import show_bytes
from txmirror.cli.statuses import Status
from txmirror.client import Server, parse_servers
from txmirror.client.connection.endpoints import resolve
from txmirror.errors import AuthFailedException, NoAuthException, UnimplementedException, ZooKeeperException
from txmirror.printable import on_one_line, session_name

#: A certificate that expires within this number of days is worth a warning.
_SOON: Final = 30
#: The difference between clocks that is worth a warning, in seconds.
_CLOCK: Final = 1.0
#: The part of a limit from which on there is a warning.
_NEARLY: Final = 0.8


@attrs.frozen
class Finding:
    """The result of a check."""

    level: str
    """``ok``, ``warn`` or ``fail``."""
    check: str
    """The name of the check."""
    text: str
    advice: str = ""
    """The remedy."""

    def line(self) -> str:
        """Return it as one line."""
        advice = f" -> {self.advice}" if self.advice else ""
        return on_one_line(f"{self.level:<4}  {self.check}: {self.text}{advice}")


def doctor(run: Run, settings: Settings, *, write: str | None, as_json: bool) -> Deferred[Outcome]:
    """Do all checks, and show each result at once. The status is 1 if one has failed.

    :param write: create an ephemeral node below this one, and delete it; None writes nothing.
    :returns: it fails only when it is cancelled.
    """
    return Deferred.fromCoroutine(_doctor(run, settings, write, as_json))


async def _doctor(run: Run, settings: Settings, write: str | None, as_json: bool) -> Outcome:
    levels: Counter[str] = Counter()
    async for finding in _Checks(run, settings, write).findings():
        levels[finding.level] += 1
        run.write((json_line(attrs.asdict(finding)) if as_json else finding.line(),))
    warnings, failures = (
        f"{levels[level]} {word}{'' if levels[level] == 1 else 's'}"
        for level, word in (("warn", "warning"), ("fail", "failure"))
    )
    run.console.say(f"{levels['ok']} ok, {warnings}, {failures}")
    return Outcome(status=Status.REFUSED if levels["fail"] else Status.DONE)


class _Checks:
    def __init__(self, run: Run, settings: Settings, write: str | None) -> None:
        self._run = run
        self._settings = settings
        self._write = write
        self._wrap = None if settings.access.tls is None else settings.access.tls.prepare()
        self._asker = make_asker(run.reactor, settings)

    async def findings(self) -> AsyncIterator[Finding]:
        """Do all checks."""
        reports: list[ServerReport] = []
        parsed = parse_servers(self._settings.servers)
        for server in parsed.servers:
            async for finding in self._server(server, reports):
                yield finding
        if not reports and self._settings.admin_port is None:
            yield Finding("fail", "session", "no server can be reached", "see the failures above")
            return
        try:
            await open_session(self._run.client, self._settings.access, self._settings.timeout, self._run.reactor)
        except AuthFailedException as error:
            yield Finding("fail", "login", str(error), "correct --username and the password, or --sasl")
            return
        except ZooKeeperException as error:
            advice = "start a majority of the servers" if _no_quorum(reports) else "see --timeout, and the lines above"
            yield Finding("fail", "session", str(error), advice)
            return
        async for finding in self._session(parsed.chroot):
            yield finding
        for report in reports:
            async for finding in self._limits(report):
                yield finding
        text = "servers do not report jute.maxbuffer; requests of this command are limited to its default, 1 MiB"
        yield Finding("ok", "limits", text)
        if self._write is not None:
            yield await self._clock(self._write)

    async def _server(self, server: Server, reports: list[ServerReport]) -> AsyncIterator[Finding]:
        """Check one server. Add its report, if it can be reached."""
        try:
            addresses = await Deferred.fromCoroutine(resolve(self._run.reactor, server)).addTimeout(
                self._settings.timeout, self._run.reactor, _no_resolution
            )
        except NoAnswer as error:
            yield Finding("fail", f"name {server.host}", str(error), "check the resolver: /etc/resolv.conf")
            return
        if not addresses:
            advice = "correct the name in --servers, or add it to DNS or /etc/hosts"
            yield Finding("fail", f"name {server.host}", "it has no address", advice)
            return
        yield Finding("ok", f"name {server.host}", ", ".join(map(_address, addresses)))
        if self._wrap is not None:
            finding = await self._certificate(server)
            yield finding
            if finding.level == "fail":
                return
        report = await report_on(self._asker, server)
        for finding in self._state(server, report):
            yield finding
        if report.problem is None or report.round_trip is not None:
            reports.append(report)

    async def _certificate(self, server: Server) -> Finding:
        assert self._wrap is not None
        check = f"TLS {server}"
        try:
            found = await certificate_of(self._run.reactor, server, self._wrap, self._settings.timeout)
        except NoAnswer as error:
            return await self._refused_certificate(server, check, str(error))
        days = (found.expires.timestamp() - self._run.reactor.seconds()) / 86400
        text = f"the certificate is for {', '.join(found.names) or 'no name'}, until {found.expires:%Y-%m-%d}"
        if days < _SOON:
            return Finding("warn", check, text, f"renew it: {int(days)} days are left")
        return Finding("ok", check, text)

    async def _refused_certificate(self, server: Server, check: str, reason: str) -> Finding:
        """Return the reason why a certificate is refused. OpenSSL does not say that it has expired."""
        now = self._run.reactor.seconds()
        if "verify failed" in reason:
            with suppress(NoAnswer):
                found = await certificate_of(self._run.reactor, server, accept_any, self._settings.timeout)
                if found.expires.timestamp() < now:
                    return Finding("fail", check, f"the certificate expired on {found.expires:%Y-%m-%d}", "renew it")
                if found.begins.timestamp() > now:
                    text = f"the certificate is valid only from {found.begins:%Y-%m-%d} on"
                    return Finding("fail", check, text, "correct this machine's clock, or wait")
        return Finding("fail", check, reason, _tls_advice(reason))

    def _state(self, server: Server, report: ServerReport) -> list[Finding]:
        check = f"server {server}"
        if report.problem is not None and report.round_trip is None:
            return [Finding("fail", check, report.problem, self._advice(report.problem))]
        findings = []
        shown = f"{report.version or 'unknown version'}, {report.mode or 'unknown mode'}"
        took = "" if report.round_trip is None else f", answered in {report.round_trip * 1000:.1f} ms"
        if report.mode == "read-only":
            findings.append(
                Finding("warn", check, shown + took, "it is cut off from most others: start or reach these")
            )
        else:
            findings.append(Finding("ok", check, shown + took))
        if report.refused:
            missing = " and ".join(WORDS[word] for word in report.refused)
            text = f"{missing} are unknown: the server does not allow {', '.join(report.refused)}"
            advice = f"add them {HOW_TO_ALLOW}: {','.join(WORDS)}"
            findings.append(Finding("warn", f"words {server}", text, advice))
        return findings

    def _advice(self, problem: str) -> str:
        if self._settings.admin_port is not None:
            return (
                "start the server, or correct --admin-port: see admin.enableServer and admin.serverPort in its zoo.cfg"
            )
        if "refused" in problem:
            return "start the server, or correct the port in --servers"
        if "serves no requests" in problem:
            return "start a majority of the servers, and look at their logs"
        if "no connection in time" in problem:
            return "open the firewall for this port, or correct --servers"
        if "no answer" in problem and self._wrap is None:
            return "the server hangs, or the port is for TLS (--tls), for the other servers, or not ZooKeeper's"
        return "look at the server's log"

    async def _session(self, chroot: str) -> AsyncIterator[Finding]:
        client, requested = self._run.client, self._settings.session_timeout
        text = f"session {session_name(client.session_id)} with {client.server}, timeout {client.session_timeout:g} s"
        if client.session_timeout == requested:
            yield Finding("ok", "session", text)
        else:
            advice = f"{requested:g} s were requested: see minSessionTimeout and maxSessionTimeout in zoo.cfg"
            yield Finding("warn", "session", text, advice)
        try:
            known = await client.who_am_i()
        except UnimplementedException:
            yield Finding("ok", "login", "the server does not report the identities: it is older than 3.7")
        except ZooKeeperException as error:
            yield Finding("warn", "login", f"the identities are unknown: {error}")
        else:
            yield self._login(known)
        if chroot:
            try:
                exists = await client.exists("/") is not None
            except ZooKeeperException as error:
                yield Finding("fail", f"chroot {chroot}", str(error))
                return
            yield (
                Finding("ok", f"chroot {chroot}", "it exists")
                if exists
                else Finding(
                    "fail", f"chroot {chroot}", "it does not exist", f"create {chroot} without the chroot in --servers"
                )
            )

    def _login(self, known: list[tuple[str, str]]) -> Finding:
        text = ", ".join(f"{scheme}:{user}" for scheme, user in known)
        access = self._settings.access
        if access.username is not None and not any(user == access.username for _, user in known):
            return Finding("warn", "login", text, f"{access.username!r} is not among them: see the server's log")
        if access.username is not None and access.sasl is None:
            # A server accepts every digest, and only ACLs say whether it is right.
            text += "; servers accept any password of the scheme digest, and compare it with ACLs only"
        return Finding("ok", "login", text)

    async def _limits(self, report: ServerReport) -> AsyncIterator[Finding]:
        check = f"limits {report.server}"
        most = report.number("maxClientCnxns")
        if most:
            yield await self._connections(report.server, check, most)
        largest = report.number("zk_max_client_response_size")
        limit = self._settings.max_reply
        # A server that has sent no reply yet says -1.
        if largest is not None and largest >= 0:
            text = f"the longest reply so far had {show_bytes(largest)}, and this command accepts {show_bytes(limit)}"
            near = largest > _NEARLY * limit
            advice = "raise --max-reply, or split the node with so many children" if near else ""
            yield Finding("warn" if near else "ok", check, text, advice)

    async def _connections(self, server: Server, check: str, most: int) -> Finding:
        try:
            clients = await self._asker.clients(server)
        except NotAllowed:
            return Finding("ok", check, f"at most {most} connections from one address")
        except NoAnswer as error:
            return Finding("warn", check, f"the number of connections is unknown: {error}")
        counts = Counter(each.host for each in clients)
        address, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
        text = f"{count} connections from {address}, of at most {most} from one address"
        if count >= _NEARLY * most:
            return Finding(
                "warn", check, text, "share sessions in this host's programs, or raise maxClientCnxns in zoo.cfg"
            )
        return Finding("ok", check, text)

    async def _clock(self, parent: str) -> Finding:
        client, reactor = self._run.client, self._run.reactor
        check = f"write {parent}"
        begun = reactor.seconds()
        try:
            path, stat = await client.create_and_stat(
                paths.join(parent, "txmirror-doctor-"), ephemeral=True, sequence=True
            )
            took = reactor.seconds() - begun
            await client.delete(path)
        except NoAuthException as error:
            return Finding("fail", check, str(error), "its ACL must allow 'c' and 'd' to one of the identities above")
        except ZooKeeperException as error:
            return Finding("fail", check, str(error))
        # The server made the node at some moment between both.
        ahead = stat.ctime / 1000 - begun - took / 2
        text = f"a node was created in {took * 1000:.1f} ms; the leader's clock is {abs(ahead):.2f} s {'ahead' if ahead > 0 else 'behind'}"
        if abs(ahead) > _CLOCK + took:
            return Finding("warn", check, text, "let NTP set the clocks: times in stats and logs do not match ours")
        return Finding("ok", check, text)


def _no_resolution(_: object, seconds: float) -> Any:
    raise NoAnswer(f"no answer of the resolver within {seconds:g} s")


def _address(address: IAddress) -> str:
    return str(getattr(address, "host", address))


def _no_quorum(reports: list[ServerReport]) -> bool:
    return bool(reports) and all(report.mode is None for report in reports)


def _tls_advice(reason: str) -> str:
    if "does not name" in reason:
        return "use one of its names in --servers, or have the name added to the certificate"
    if "verify failed" in reason or "self" in reason:
        return "give the authority's certificate with --tls-ca"
    if "refused" in reason:
        return "start the server, or correct the port in --servers"
    if "alert" in reason or "handshake failure" in reason:
        return "the server may require a certificate of ours: --tls-cert and --tls-key"
    return "the port may not be one for TLS: see secureClientPort in zoo.cfg"
