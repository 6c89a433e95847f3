"""The options of a command line for the session with ZooKeeper: the servers, the session timeout and the credentials."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from twisted.python import usage

from txmirror.access import OPTIONS, REFUSAL, Access, read_access
from txmirror.client import parse_servers
from txmirror.durations import parse_seconds

#: The session timeout and the servers, if there is no option.
SESSION_TIMEOUT, SERVERS = "10", "localhost:2181"

#: The options of the servers, for ``optParameters``.
CONNECTION: Sequence[Sequence[str | None]] = (
    ["servers", "s", None, f"ZooKeeper's servers, as host:port,host:port/chroot [default: {SERVERS}]"],
    [
        "session-timeout",
        "t",
        None,
        f"Seconds without contact after which ZooKeeper may drop the registrations [default: {SESSION_TIMEOUT}]",
    ],
)
#: The options of the credentials, for ``optParameters`` and ``optFlags``.
ACCESS_PARAMETERS: Sequence[Sequence[str | None]] = tuple(
    [each.name, each.short, None, each.help] for each in OPTIONS if each.metavar is not None
)
ACCESS_FLAGS: Sequence[Sequence[str | None]] = tuple(
    [each.name, each.short, each.help] for each in OPTIONS if each.metavar is None
)


def read_timeout(options: usage.Options) -> float:
    """Return the session timeout in seconds.

    :raises UsageError: it is invalid.
    """
    text = options["session-timeout"]
    try:
        return parse_seconds(SESSION_TIMEOUT if text is None else text, 0.001, 86400)
    except ValueError as error:
        raise usage.UsageError(f"--session-timeout: {error}") from None


def read_servers(options: usage.Options) -> str:
    """Return the connection string, which may come from the environment.

    :raises UsageError: it is invalid.
    """
    text = options["servers"]
    if text is None:
        # As for the command, an empty variable counts as unset.
        text = os.environ.get("TXMIRROR_SERVERS") or SERVERS
    try:
        parse_servers(text)
    except ValueError as error:
        raise usage.UsageError(f"--servers: {error}") from None
    return str(text)


def read_credentials(options: usage.Options) -> Access:
    """Return the credentials, the ACL and the settings for TLS, and read the files.

    :raises UsageError: one of the options is invalid.
    """
    # A flag that was not given is 0 here.
    given = {
        each.name: options[each.name] if each.metavar is not None else bool(options[each.name]) or None
        for each in OPTIONS
    }
    try:
        return read_access(given)
    except ValueError as error:
        raise usage.UsageError(str(error)) from None


def refuse_password() -> NoReturn:
    """Refuse a password on the command line.

    :raises UsageError: always.
    """
    raise usage.UsageError(REFUSAL)
