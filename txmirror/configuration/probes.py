"""Health checks in a configuration: the types of checks, and the settings that they share."""

# Not with "from __future__ import annotations": cattrs needs the annotations themselves, and old versions of attrs lose a part
# of those that are strings.

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

import attrs

from txmirror.configuration.errors import InvalidValue
from txmirror.configuration.rules import (
    LONGEST_SOCKET,
    SECRET,
    WORD,
    YEAR,
    ArrayOf,
    Choice,
    Duration,
    FileName,
    Flag,
    HostName,
    Number,
    TableOf,
    Text,
)
from txmirror.durations import show_seconds
from txmirror.printable import quote

#: The shortest pause between two runs of a check, in seconds.
_SHORTEST = 0.1
_LONGEST = 86400.0

#: The keys of :class:`CheckSettings` that checks of most types have.
_ALL = ("interval", "fast_interval", "jitter", "timeout", "rise", "fall", "on_fail")
_INSTANT = ("interval", "fast_interval", "jitter", "rise", "fall", "on_fail")


def _check_url(text: str) -> None:
    # No message quotes it: it may have a password or a token.
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not text.isprintable() or " " in text:
        raise ValueError("it is no URL such as http://127.0.0.1:8080/health")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it has a user name or a password: send them in headers")


def _check_pattern(text: str) -> None:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{quote(text)} is no regular expression: {error}") from None


_HEADER_NAME = Text(form=r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", form_text="the name of a header")
_HEADER_VALUE = Text(empty=True, secret=True, form=r"[^\x00\r\n]*", form_text="a text of one line")
_VARIABLE_NAME = Text(form=r"[^=\x00]+", form_text="the name of an environment variable")
_STATUS = Text(
    kind='string such as ``"2xx"`` or ``"204"``', form="[1-5](xx|[0-9][0-9])", form_text="such as '2xx' or '204'"
)


@attrs.frozen(kw_only=True)
class Command:
    """Runs a program. It passes with exit status 0, warns with 1, and fails with another one or at the timeout."""

    type: ClassVar[str] = "command"
    settings: ClassVar[tuple[str, ...]] = _ALL

    argv: Annotated[tuple[str, ...], ArrayOf(SECRET, 1)]
    """The program and its arguments. There is no shell."""
    cwd: Annotated[str | None, FileName()] = None
    """The folder to run it in. Default: the daemon's."""
    environment: Annotated[Mapping[str, str], TableOf(SECRET, _VARIABLE_NAME)] = attrs.field(factory=dict)
    """Environment variables, beside the few that every command gets."""

    def __attrs_post_init__(self) -> None:
        if not self.argv[0]:
            raise InvalidValue((".argv[0]", "it is empty"))


@attrs.frozen(kw_only=True)
class TCP:
    """Connects to a port. With ``expect``, it passes only if the answer contains that text."""

    type: ClassVar[str] = "tcp"
    settings: ClassVar[tuple[str, ...]] = _ALL

    host: Annotated[str, HostName()] = "127.0.0.1"
    """The host name or address."""
    port: Annotated[int, Number(1, 65535, whole=True)] = attrs.field(metadata={"default": "the service's ``port``"})
    """The port."""
    send: Annotated[str | None, SECRET] = None
    """The text to send, in UTF-8."""
    expect: Annotated[str | None, Text()] = None
    """The text to wait for."""


@attrs.frozen(kw_only=True)
class UNIX:
    """Connects to a UNIX socket. With ``expect``, it passes only if the answer contains that text."""

    type: ClassVar[str] = "unix"
    settings: ClassVar[tuple[str, ...]] = _ALL

    socket: Annotated[str, FileName(longest=LONGEST_SOCKET)]
    """The socket."""
    send: Annotated[str | None, SECRET] = None
    """The text to send, in UTF-8."""
    expect: Annotated[str | None, Text()] = None
    """The text to wait for."""


# More than 7 parameters: the class has a field for each key of its table.
@attrs.frozen(kw_only=True)
class HTTP:
    """Sends a request by HTTP. It needs ``pip install txmirror[daemon]``."""

    type: ClassVar[str] = "http"
    settings: ClassVar[tuple[str, ...]] = _ALL

    url: Annotated[str, Text(kind="URL", check=_check_url)]
    """The URL, of ``http`` or ``https``."""
    method: Annotated[str, Choice(("GET", "HEAD", "POST"))] = "GET"
    """The method."""
    headers: Annotated[Mapping[str, str], TableOf(_HEADER_VALUE, _HEADER_NAME)] = attrs.field(factory=dict)
    """Headers of the request."""
    expect_status: Annotated[tuple[str, ...], ArrayOf(_STATUS, 1)] = ("2xx",)
    """The statuses with which it passes."""
    expect_body: Annotated[str | None, Text()] = None
    """A text that the body must contain."""
    expect_body_regex: Annotated[str | None, Text(kind="regular expression", check=_check_pattern)] = None
    """A regular expression that must match somewhere in the body."""
    follow: Annotated[bool, Flag()] = False
    """If true, follow redirections."""
    verify: Annotated[bool, Flag()] = True
    """If false, accept any certificate of the server."""
    ca_file: Annotated[str | None, FileName()] = None
    """The certificates (PEM) of the authorities to trust. Default: the platform's."""

    def __attrs_post_init__(self) -> None:
        if self.ca_file is not None and not self.verify:
            raise InvalidValue((".ca_file", "it is not used, because verify is false"))


@attrs.frozen(kw_only=True)
class Process:
    """Passes while a process runs. The number of the process is in a file."""

    type: ClassVar[str] = "process"
    settings: ClassVar[tuple[str, ...]] = _INSTANT

    pid_file: Annotated[str, FileName()]
    """The file."""


@attrs.frozen(kw_only=True)
class File:
    """Passes while a file exists and was written lately."""

    type: ClassVar[str] = "file"
    settings: ClassVar[tuple[str, ...]] = _INSTANT

    path: Annotated[str, FileName()]
    """The file."""
    max_age: Annotated[float, Duration(_SHORTEST)]
    """The greatest age, since its last change."""


@attrs.frozen(kw_only=True)
class TTL:
    """Has the result that the service itself pushes, through the control socket. It fails if the last push is too old."""

    type: ClassVar[str] = "ttl"
    settings: ClassVar[tuple[str, ...]] = ("on_fail",)

    ttl: Annotated[float, Duration(_SHORTEST)]
    """The time for which a push counts."""


@attrs.frozen(kw_only=True)
class Alias:
    """Has the state of another service of this configuration."""

    type: ClassVar[str] = "alias"
    settings: ClassVar[tuple[str, ...]] = ("on_fail",)

    service: Annotated[str, Text(kind="id of a service")]
    """The other service."""


@attrs.frozen(kw_only=True)
class Noop:
    """Always passes."""

    type: ClassVar[str] = "noop"
    settings: ClassVar[tuple[str, ...]] = ()


Probe = Command | TCP | UNIX | HTTP | Process | File | TTL | Alias | Noop

#: The classes by their types, in the order of the documentation.
PROBES: Mapping[str, type[Probe]] = {
    each.type: each for each in (Command, TCP, UNIX, HTTP, Process, File, TTL, Alias, Noop)
}


@attrs.frozen(kw_only=True)
class CheckSettings:
    """The settings that checks share. A type of checks to which some of them do not apply refuses these."""

    interval: Annotated[float, Duration(_SHORTEST, _LONGEST)] = 10.0
    """The pause from the end of one run to the next."""
    fast_interval: Annotated[float, Duration(_SHORTEST, _LONGEST)] = attrs.field(
        default=attrs.Factory(lambda self: max(_SHORTEST, self.interval / 4), takes_self=True),
        metadata={"default": "a quarter of ``interval``"},
    )
    """The same while the state is about to change: before the first decision, and while the latest result differs from the state."""
    jitter: Annotated[float, Number(0, 0.9)] = 0.1
    """The part of a pause by which it varies at random."""
    timeout: Annotated[float, Duration(0.01, _LONGEST)] = attrs.field(
        default=attrs.Factory(lambda self: min(2.0, self.interval / 2), takes_self=True),
        metadata={"default": "``2s``, or half of ``interval`` if that is shorter"},
    )
    """The longest time that a run may take. It is less than ``interval``."""
    rise: Annotated[int, Number(1, 1000, whole=True)] = 2
    """The number of runs in succession that must pass before the check counts as passing."""
    fall: Annotated[int, Number(1, 1000, whole=True)] = 3
    """The number of runs in succession that must fail before the check counts as failing."""
    on_fail: Annotated[str, Choice(("down", "warn"))] = "down"
    """The effect of a failing check: the service goes down, or stays registered, with a warning in its znode."""

    def __attrs_post_init__(self) -> None:
        interval = show_seconds(self.interval)
        if self.timeout >= self.interval:
            raise InvalidValue(("", f"timeout ({show_seconds(self.timeout)}) is not less than interval ({interval})"))
        if self.fast_interval > self.interval:
            fast = show_seconds(self.fast_interval)
            raise InvalidValue(("", f"fast_interval ({fast}) is longer than interval ({interval})"))


#: The settings of checks that are not run at intervals: each result counts at once.
AT_ONCE: Mapping[str, float] = {"interval": 1.0, "rise": 1, "fall": 1}


@attrs.frozen(kw_only=True)
class CheckName:
    """Every check may have a name."""

    name: Annotated[str, WORD] = attrs.field(metadata={"default": "``type``, with a number if there are several"})
    """The name for operators, and for the pushes of a ``ttl`` check. It is unique in the service."""


@attrs.frozen(kw_only=True)
class Check:
    """A health check of a service."""

    name: str
    """A name that no other check of the service has."""
    probe: Probe
    """The check itself."""
    settings: CheckSettings

    @property
    def type(self) -> str:
        """The type, as in the file."""
        return self.probe.type


@attrs.frozen(kw_only=True)
class FlapHold:
    """Keeps a service out for a while if it goes up and down too often."""

    downs: Annotated[int, Number(0, 1000, whole=True)] = 3
    """The number of times that it must go down within ``window``; 0 never holds it."""
    window: Annotated[float, Duration(1.0, YEAR)] = 300.0
    """The time within which these are counted."""
    hold: Annotated[float, Duration(0.0, YEAR)] = 60.0
    """The time for which its checks must pass before it goes up again."""
