"""The command line of ``twistd txmirror``, with an error message of one line for bad input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from twisted.python import usage

from txmirror import paths
from txmirror.access import OPTIONS as ACCESS_OPTIONS
from txmirror.access import REFUSAL, Access, read_access
from txmirror.client import parse_servers
from txmirror.compat import install
from txmirror.durations import parse_seconds
from txmirror.embedded import EmbeddedOptions
from txmirror.facts import add_fact
from txmirror.printable import on_one_line
from txmirror.registry import NDCodec

#: The exit status for an invalid command line (``EX_USAGE`` of BSD's sysexits).
EX_USAGE = 64

#: The most data, in bytes: the server's limit for a request, less room for a path.
_MOST_DATA = 1_000_000

_SESSION_TIMEOUT = "10"

#: The names of the clients to choose from.
CLIENTS = ("native", "txzookeeper")

#: The beginning of Twisted's message for an unknown command, which Twisted does not quote.
_UNKNOWN_COMMAND = "Unknown command: "


class Options(usage.Options):
    """Register services in ZooKeeper, and keep them registered until stopped."""

    # twistd puts "Usage: twistd [options] txmirror" before it.
    synopsis = "--servers HOSTS --register PATH [--data KEY=VALUE]..."
    longdesc = (
        "Registers each PATH as an ephemeral node with the data given, and keeps it registered through outages of ZooKeeper"
        " and the network. On SIGTERM it withdraws the registrations before it exits."
    )
    optParameters = [  # noqa: RUF012 - usage.Options wants it so
        ["servers", "s", None, "ZooKeeper's servers, as host:port,host:port/chroot [default: localhost:2181]"],
        [
            "session-timeout",
            "t",
            None,
            f"Seconds without contact after which ZooKeeper may drop the registrations [default: {_SESSION_TIMEOUT}]",
        ],
        ["client", None, None, f"The client to use, {' or '.join(CLIENTS)} [default: {CLIENTS[0]}]"],
        *([each.name, each.short, None, each.help] for each in ACCESS_OPTIONS if each.metavar is not None),
    ]
    optFlags = [  # noqa: RUF012 - usage.Options wants it so
        [
            "embedded",
            "e",
            "Start an in-memory ZooKeeper in this process, to try things out; it registers a sample service too",
        ],
        *([each.name, each.short, each.help] for each in ACCESS_OPTIONS if each.metavar is None),
    ]
    subCommands = [  # noqa: RUF012 - usage.Options wants it so
        ["embedded", None, EmbeddedOptions, "Run an in-memory ZooKeeper by itself, and register nothing"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["register"] = []
        self["data"] = {}
        self.access = Access()

    def opt_password(self, _: str) -> None:
        """Refused, because other users of the machine could read it: use --password-file."""
        raise usage.UsageError(REFUSAL)

    opt_p = opt_password

    def opt_register(self, path: str) -> None:
        """The full path of a service to register, as in /services/ssh/server1:22; may be repeated for further services."""
        try:
            paths.validate(path)
        except ValueError as error:
            raise usage.UsageError(f"--register: {error}") from None
        if path == "/":
            raise usage.UsageError("--register: '/' cannot be registered: it always exists")
        if path in self["register"]:
            raise usage.UsageError(f"--register: {path!r} is given twice")
        self["register"].append(path)

    opt_r = opt_register

    def opt_data(self, item: str) -> None:
        """A fact about the services, as KEY=VALUE; may be repeated for further keys."""
        try:
            add_fact(self["data"], item, NDCodec())
        except ValueError as error:
            raise usage.UsageError(f"--data: {error}") from None

    opt_d = opt_data

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line; if it is invalid, print the error in one line, and exit with status 64."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            text = str(error)
            if text.startswith(_UNKNOWN_COMMAND):
                text = f"unexpected argument {text.removeprefix(_UNKNOWN_COMMAND)!r}"
            sys.stderr.write(f"txmirror: {on_one_line(text)}\n")
            # Some versions of twistd would exit with 0 here.
            raise SystemExit(EX_USAGE) from None

    def postOptions(self) -> None:
        """Check the combination of all options."""
        if self.subCommand is not None:
            self._refuse_beside_command()
            return
        text = _SESSION_TIMEOUT if self["session-timeout"] is None else self["session-timeout"]
        try:
            self["session-timeout"] = parse_seconds(text, 0.001, 86400)
        except ValueError as error:
            raise usage.UsageError(f"--session-timeout: {error}") from None
        if self["embedded"] and self["servers"] is not None:
            raise usage.UsageError(f"--embedded and --servers {self['servers']!r} exclude each other")
        if self["servers"] is None and not self["embedded"]:
            self["servers"] = os.environ.get("TXMIRROR_SERVERS") or None
        if not self["embedded"] and not self["register"]:
            raise usage.UsageError("nothing to do: give --register PATH, or --embedded for a demonstration")
        try:
            parse_servers("localhost:2181" if self["servers"] is None else self["servers"])
        except ValueError as error:
            raise usage.UsageError(f"--servers: {error}") from None
        self._read_access()
        self._check_client()
        size = len(NDCodec().encode(self["data"], pid=0, created=0.0))
        if size > _MOST_DATA:
            raise usage.UsageError(f"--data: {size} bytes in all are more than the {_MOST_DATA} that a znode can hold")

    def _read_access(self) -> None:
        # A flag that was not given is 0 here.
        given = {
            each.name: self[each.name] if each.metavar is not None else bool(self[each.name]) or None
            for each in ACCESS_OPTIONS
        }
        try:
            self.access = read_access(given)
        except ValueError as error:
            raise usage.UsageError(str(error)) from None
        if self["embedded"] and (self.access.tls is not None or self.access.sasl is not None):
            raise usage.UsageError("--embedded speaks neither TLS nor SASL")

    def _check_client(self) -> None:
        if self["client"] is None:
            self["client"] = CLIENTS[0]
        if self["client"] not in CLIENTS:
            raise usage.UsageError(f"--client: {self['client']!r} is neither {' nor '.join(CLIENTS)}")
        if self["client"] == "txzookeeper":
            if self.access.tls is not None or self.access.sasl is not None:
                raise usage.UsageError("--client: 'txzookeeper' speaks neither TLS nor SASL")
            try:
                install()
            except ImportError as error:
                raise usage.UsageError(f"--client: {error}") from None

    def _refuse_beside_command(self) -> None:
        access = (each.name for each in ACCESS_OPTIONS)
        for option in ("servers", "session-timeout", "client", "embedded", "register", "data", *access):
            # An empty text counts as an option that was given.
            if self[option] not in (None, 0, [], {}):
                raise usage.UsageError(
                    f"--{option} is for registering, and {self.subCommand!r} registers nothing: give one or the other"
                )
