"""Make the checks of a service from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.endpoints import quoteStringArgument
from twisted.internet.interfaces import IReactorTime

from txmirror import checks
from txmirror.checks import ICheck, ServiceCheck, ServiceHealth, State
from txmirror.configuration import (
    HTTP,
    TCP,
    TTL,
    UNIX,
    Alias,
    Check,
    CheckSettings,
    Command,
    File,
    Noop,
    Probe,
    Process,
    Service,
)
from txmirror.placeholders import shown


class CheckMaker:
    """Makes checks.

    :param state_of: returns the state of the service with an id, for alias checks.
    :param reactor: the reactor.
    :param clock: measures time limits.
    :param commands_file: returns the file of the commands that run; None if there is none.
    """

    def __init__(
        self,
        state_of: Callable[[str], State | None],
        reactor: Any,
        clock: IReactorTime,
        commands_file: Callable[[], checks.CommandsFile | None] = lambda: None,
    ) -> None:
        self._state_of = state_of
        self._reactor = reactor
        self._clock = clock
        self._commands_file = commands_file

    def health(self, service: Service) -> ServiceHealth:
        """Return the health of a service, with its checks, which have not started."""
        hold = service.flap_hold
        return ServiceHealth(
            service.id,
            [self._check(check) for check in service.checks],
            require="any" if service.require == "any" else "all",
            flap_hold=checks.FlapHold(downs=hold.downs, window=hold.window, hold=hold.hold),
        )

    def _check(self, check: Check) -> ServiceCheck:
        make: Callable[[Any], ICheck] = self._makers[type(check.probe)]
        return ServiceCheck(check.name, make(check.probe), _settings(check.settings))

    @property
    def _makers(self) -> Mapping[type[Probe], Callable[[Any], ICheck]]:
        return {
            Command: self._command,
            TCP: self._tcp,
            UNIX: self._unix,
            HTTP: self._http,
            Process: lambda probe: checks.ProcessCheck(probe.pid_file, reactor=self._reactor),
            File: lambda probe: checks.FileAgeCheck(probe.path, max_age=probe.max_age, reactor=self._reactor),
            TTL: lambda probe: checks.TTLCheck(probe.ttl, clock=self._clock),
            Alias: lambda probe: checks.AliasCheck(probe.service, self._state_of),
            Noop: lambda _: checks.NoopCheck(),
        }

    def _command(self, probe: Command) -> ICheck:
        check = checks.CommandCheck(
            probe.argv,
            environment=probe.environment,
            cwd=probe.cwd,
            reactor=self._reactor,
            clock=self._clock,
            description=f"command {shown(probe.argv[0])}",
        )
        check.commands_file = self._commands_file()
        return check

    def _tcp(self, probe: TCP) -> ICheck:
        endpoint = f"tcp:{quoteStringArgument(probe.host.strip('[]'))}:{probe.port}"
        return self._stream(endpoint, probe)

    def _unix(self, probe: UNIX) -> ICheck:
        return self._stream(f"unix:{quoteStringArgument(probe.socket)}", probe)

    def _stream(self, endpoint: str, probe: TCP | UNIX) -> ICheck:
        send = "" if probe.send is None else probe.send
        expect = None if probe.expect is None else probe.expect.encode()
        return checks.TCPCheck(endpoint, send=send.encode(), expect=expect, reactor=self._reactor)

    def _http(self, probe: HTTP) -> ICheck:
        return checks.HTTPCheck(
            probe.url,
            method=probe.method,
            headers=probe.headers,
            expect_status=probe.expect_status,
            expect_body=probe.expect_body,
            expect_body_regex=probe.expect_body_regex,
            follow=probe.follow,
            verify=probe.verify,
            ca_file=probe.ca_file,
            reactor=self._reactor,
            description=f"http {shown(probe.url)}",
        )


def _settings(settings: CheckSettings) -> checks.CheckSettings:
    return checks.CheckSettings(
        interval=settings.interval,
        timeout=settings.timeout,
        fast_interval=settings.fast_interval,
        jitter=settings.jitter,
        rise=settings.rise,
        fall=settings.fall,
        on_fail="warn" if settings.on_fail == "warn" else "down",
    )
