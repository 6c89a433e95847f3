"""The options that all commands share, or several of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from txmirror.access import OPTIONS, REFUSAL, AccessOption
from txmirror.cli.completing import complete_file, complete_profile
from txmirror.cli.invocation import Invocation, check_servers
from txmirror.cli.nodes import FORMATS
from txmirror.cli.sizes import parse_size
from txmirror.durations import parse_seconds
from txmirror.printable import is_utf8

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")

#: The longest time that an option accepts, in seconds: a day.
_LONGEST = 86400.0
_SHORTEST = 0.001


def _seconds(value: str, least: float) -> float:
    try:
        return parse_seconds(value, least, _LONGEST)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _keep(name: str, ctx: click.Context, value: Any) -> None:
    # The options after a command's name are parsed later, and so override those before it.
    invocation = ctx.find_object(Invocation)
    if value is not None and invocation is not None:
        invocation.given[name] = value


def _servers(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    _keep("servers", ctx, None if value is None else _parsed(check_servers, value))


def _parsed(parse: Callable[[str], _T], value: str) -> _T:
    try:
        return parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _profile(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    invocation = ctx.find_object(Invocation)
    if value is not None and invocation is not None:
        invocation.profile = value


def _refuse_password(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(REFUSAL, ctx)


class CommonOption(click.Option):
    """An option of all commands. The help of one command mentions only the first of them, and where the others are."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's lines in the help."""
        if ctx.parent is None:
            return super().get_help_record(ctx)
        if self.name != "servers":
            return None
        return "-s, --servers, ...", "The options of all commands: see 'txmirror --help'."


def _access_option(option: AccessOption) -> Callable[[_F], _F]:
    def keep_access(ctx: click.Context, param: click.Parameter, value: str | bool | None) -> None:
        invocation = ctx.find_object(Invocation)
        if value is not None and invocation is not None:
            invocation.access[option.name] = value

    names = [f"--{option.name}"] if option.short is None else [f"-{option.short}", f"--{option.name}"]
    kind: dict[str, Any] = {"is_flag": True} if option.metavar is None else {"metavar": option.metavar}
    if option.metavar == "FILE":
        kind["shell_complete"] = complete_file
    return click.option(
        *names,
        cls=CommonOption,
        expose_value=False,
        default=None,
        callback=keep_access,
        help=f"{option.help} [{option.variable}]",
        **kind,
    )


def _max_reply(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    _keep("max_reply", ctx, None if value is None else _parsed(parse_size, value))


def _session_time(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    _keep(str(param.name), ctx, None if value is None else _seconds(value, _SHORTEST))


def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep the value of an option for the settings, which have it by the option's name."""
    _keep(str(param.name), ctx, value)


def common_options(function: _F) -> _F:
    """Add the options that all commands share; they are accepted before and after the command's name."""
    return common_options_without()(function)


def common_options_without(*names: str) -> Callable[[_F], _F]:
    """Add the options that all commands share, except those that the command defines differently."""

    def option(*own: str, **settings: Any) -> tuple[str, Callable[[_F], _F]]:
        return own[-1], click.option(*own, cls=CommonOption, expose_value=False, **{"callback": keep, **settings})

    options: tuple[tuple[str, Callable[[_F], _F]], ...] = (
        option(
            *("-s", "--servers"),
            metavar="HOSTS",
            callback=_servers,
            help="ZooKeeper's servers, as host:port,host:port/chroot. [TXMIRROR_SERVERS; default: localhost:2181]",
        ),
        option(
            "--profile",
            metavar="NAME",
            callback=_profile,
            shell_complete=complete_profile,
            help="Take the settings that are not given here from this profile of the file TXMIRROR_CONFIG,"
            " ~/.config/txmirror/profiles.toml by default. [TXMIRROR_PROFILE]",
        ),
        *((each.name, _access_option(each)) for each in OPTIONS),
        # Defined, so that the error message names the right option, and does not quote the password.
        option("-p", "--password", hidden=True, callback=_refuse_password),
        option(
            "--max-reply",
            metavar="SIZE",
            callback=_max_reply,
            help="The longest reply to accept, as in 16M, for nodes with very many children."
            " [TXMIRROR_MAX_REPLY; default: 4M]",
        ),
        option(
            "--timeout",
            metavar="SECONDS",
            callback=_session_time,
            help="How long ZooKeeper may be out of reach before the command gives up. [default: 5]",
        ),
        option("-q", "--quiet", is_flag=True, default=None, help="Print error messages only."),
        option(
            *("-v", "--verbose"),
            is_flag=True,
            default=None,
            help="Write the log of connections and sessions to stderr, too.",
        ),
    )

    def add(function: _F) -> _F:
        for name, each in reversed(options):
            if name not in names:
                function = each(function)
        return function

    return add


def output_option(default: str, formats: tuple[str, ...] = FORMATS) -> Callable[[_F], _F]:
    """Add the option for the output format to a command."""
    return click.option(
        *("-o", "--output", "--outputformat"),
        type=click.Choice(formats),
        default=default,
        show_default=True,
        help="The output format.",
    )


def _facts(ctx: click.Context, param: click.Parameter, items: Sequence[str]) -> dict[str, str]:
    """Return facts about a service from KEY=VALUE items, with each key at most once."""
    # Both take long, and only one command has facts.
    from txmirror.facts import add_fact  # noqa: PLC0415
    from txmirror.registry import CODECS  # noqa: PLC0415

    facts: dict[str, str] = {}
    for item in items:
        try:
            add_fact(facts, item, CODECS["ndsr"])
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    return facts


def seconds_option(name: str, help: str) -> Callable[[_F], _F]:
    """Add an option to a command whose value is a time in seconds."""
    return click.option(
        name,
        metavar="SECONDS",
        callback=lambda _, __, value: None if value is None else _seconds(value, 0.0),
        help=help,
    )


facts_option: Final = click.option(
    *("-d", "--data"),
    multiple=True,
    metavar="KEY=VALUE",
    callback=_facts,
    help="A fact about the service; may be repeated for further keys.",
)
session_timeout_option: Final = click.option(
    *("-t", "--session-timeout"),
    metavar="SECONDS",
    callback=_session_time,
    expose_value=False,
    help="The session timeout: ZooKeeper expires the session after this time without contact. [default: 10]",
)


def _name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_utf8(value):
        raise click.BadParameter(f"{value!r} is not UTF-8", ctx, param)
    return value


name_option: Final = click.option(
    "--name", callback=_name, help="Our name, which others see. [default: the host and the process]"
)
grace_option: Final = seconds_option(
    "--grace",
    "How long COMMAND has to end after a loss, before it is killed. [default: a third of the session timeout]",
)


def read_program(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    """Return a program and its arguments from the value of an option, split as by a shell; None if it is missing.

    :raises click.BadParameter: it cannot be split, or is empty.
    """
    if value is None:
        return None
    try:
        arguments = shlex.split(value)
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} cannot be split into arguments: {str(error).lower()}", ctx, param
        ) from None
    if not arguments:
        raise click.BadParameter(f"{value!r} names no program", ctx, param)
    return arguments


recursive_option: Final = click.option("-r", "--recursive", is_flag=True, help="Include all nodes below PATH.")
data_flag: Final = click.option("-d", "--data", is_flag=True, help="Include the data.")
version_option: Final = click.option(
    "--version",
    type=click.IntRange(min=0, max=2**31 - 1),
    help="Fail unless the node's data is at this version.",
)
