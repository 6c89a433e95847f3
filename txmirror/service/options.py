"""The command line of ``twistd txmirror``, with an error message of one line for bad input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from twisted.python import usage

from txmirror.access import OPTIONS as ACCESS_OPTIONS
from txmirror.access import Access
from txmirror.compat import install
from txmirror.configuration import (
    Configuration,
    ConfigurationError,
    HTTPServer,
    describe,
    from_options,
    readers_from_options,
)
from txmirror.embedded import EmbeddedOptions
from txmirror.service.connecting_options import (
    ACCESS_FLAGS,
    ACCESS_PARAMETERS,
    CONNECTION,
    SERVERS,
    read_credentials,
    read_servers,
    read_timeout,
    refuse_password,
)
from txmirror.service.exiting import EX_CONFIG, EX_USAGE, exit_with
from txmirror.service.loading import check_usable, load_usable
from txmirror.service.serving_options import READERS, ServeOptions

#: The path that is registered as an example where none is named.
SAMPLE = "/services/sample/localhost:8080"

_ACCESS = tuple(each.name for each in ACCESS_OPTIONS)
_READERS = tuple(str(name) for name, *_ in READERS)

#: The names of the clients to choose from.
CLIENTS = ("native", "txzookeeper")

#: The beginning of Twisted's message for an unknown command, which Twisted does not quote.
_UNKNOWN_COMMAND = "Unknown command: "


class Options(usage.Options):
    """Register services in ZooKeeper, and keep them registered until stopped."""

    # twistd puts "Usage: twistd [options] txmirror" before it.
    synopsis = (
        "--config PATH [--check] | --servers HOSTS --register PATH [--data KEY=VALUE]... [--check-tcp HOST:PORT]..."
    )
    longdesc = (
        "Registers services as ephemeral nodes while their health checks pass, and keeps them registered through outages of"
        " ZooKeeper and the network. The services are in a TOML file (or a folder of them), or each is named by --register;"
        " options after a --register are for that service, and those before the first one for all. On SIGTERM it withdraws"
        " the registrations before it exits; on SIGHUP it reads the files again."
    )
    optParameters: Sequence[Sequence[str | None]] = [
        ["config", "c", None, "The configuration: a TOML file, or a folder of them"],
        *CONNECTION,
        [
            "state-file",
            None,
            None,
            "The file that keeps the session, so that a restarted daemon takes it over with its registrations",
        ],
        ["client", None, None, f"The client to use, {' or '.join(CLIENTS)} [default: {CLIENTS[0]}]"],
        *READERS,
        *ACCESS_PARAMETERS,
    ]
    optFlags: Sequence[Sequence[str | None]] = [
        [
            "check",
            None,
            "Check the configuration, print the actions of the daemon, and exit with 0, or with 78 if it is invalid",
        ],
        [
            "embedded",
            "e",
            "Start an in-memory ZooKeeper in this process, to try things out; it registers a sample service, and serves the page",
        ],
        *ACCESS_FLAGS,
    ]
    subCommands: Sequence[tuple[str, str | None, type[usage.Options], str]] = [
        ("embedded", None, EmbeddedOptions, "Run an in-memory ZooKeeper by itself, and register nothing"),
        ("serve", None, ServeOptions, "Serve the services to readers by HTTP and DNS, and register nothing"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.access: Access = Access()
        self.given: list[tuple[str, str]] = []
        self.configuration: Configuration | None = None

    def opt_password(self, _: str) -> None:
        """Refused, because other users of the machine could read it: use --password-file."""
        refuse_password()

    opt_p = opt_password

    def opt_register(self, path: str) -> None:
        """The full path of a service to register, as in /services/ssh/server1:22; may be repeated for further services."""
        self.given.append(("register", path))

    opt_r = opt_register

    def opt_data(self, item: str) -> None:
        """A fact about a service, as KEY=VALUE; may be repeated. VALUE is as in TOML (3, true, "3"), or plain text."""
        self.given.append(("data", item))

    opt_d = opt_data

    def opt_check_tcp(self, address: str) -> None:
        """Register the service only while this HOST:PORT, or port of this machine, accepts connections; may be repeated."""
        self.given.append(("check-tcp", address))

    def opt_check_http(self, url: str) -> None:
        """Register the service only while this URL answers with a status 2xx; may be repeated."""
        self.given.append(("check-http", url))

    def opt_check_command(self, command: str) -> None:
        """Register the service only while this command, quoted as in a shell, exits with 0 or 1; may be repeated."""
        self.given.append(("check-command", command))

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line; if it is invalid, print the error in one line, and exit with status 64."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            text = str(error)
            if text.startswith(_UNKNOWN_COMMAND):
                text = f"unexpected argument {text.removeprefix(_UNKNOWN_COMMAND)!r}"
            exit_with(EX_USAGE, [text])

    def postOptions(self) -> None:
        """Check the combination of all options, and read the configuration."""
        if self.subCommand is not None:
            self._refuse_beside_command()
            self.configuration = getattr(self.subOptions, "configuration", None)
            return
        if self["config"] is not None:
            self._refuse_beside("config", ("servers", "session-timeout", "state-file", "embedded", *_READERS, *_ACCESS))
            # twistd changes the folder before it starts the service.
            self["config"] = os.path.abspath(self["config"])  # noqa: PTH100 - it may be "~"
            self._check_client()
            self.configuration = self.load()
        else:
            self._check_connection()
            self.configuration = self._from_options()
        if self["check"]:
            sys.stdout.write("".join(f"{line}\n" for line in describe(self.configuration)))
            raise SystemExit(0)

    def load(self) -> Configuration:
        """Read the configuration's files. If they are invalid, print all errors, and exit with status 78."""
        try:
            return load_usable(self["config"])
        except ConfigurationError as error:
            exit_with(EX_CONFIG, error.lines)

    def _from_options(self) -> Configuration:
        items = self.given
        if self["embedded"] and not any(option == "register" for option, _ in items):
            items = [*items, ("register", SAMPLE)]
        state_file = self["state-file"]
        try:
            http, dns = readers_from_options(
                self["http"], self["dns"], root=self["root"], domain=self["domain"], token_file=self["token-file"]
            )
            configuration = from_options(
                items,
                servers=self["servers"],
                session_timeout=self["session-timeout"],
                access=self.access,
                state_file=None if state_file is None else os.path.abspath(state_file),  # noqa: PTH100 - see above
                http=HTTPServer() if self["embedded"] and http is None else http,
                dns=dns,
            )
            check_usable(configuration)
        except ConfigurationError as error:
            exit_with(EX_USAGE, error.lines)
        return configuration

    def _check_connection(self) -> None:
        self["session-timeout"] = read_timeout(self)
        if self["embedded"] and self["servers"] is not None:
            raise usage.UsageError(f"--embedded and --servers {self['servers']!r} exclude each other")
        wanted = self["http"] is not None or self["dns"] is not None
        if not (self["embedded"] or wanted or any(option == "register" for option, _ in self.given)):
            raise usage.UsageError(
                "nothing to do: give --config PATH, --register PATH, or --embedded for a demonstration"
            )
        if self["embedded"] and self["state-file"] is not None:
            raise usage.UsageError("--embedded and --state-file exclude each other: that server keeps nothing")
        if self["state-file"] == "":
            raise usage.UsageError("--state-file: '' is no file")
        self["servers"] = SERVERS if self["embedded"] else read_servers(self)
        self.access = read_credentials(self)
        if self["embedded"] and (self.access.tls is not None or self.access.sasl is not None):
            raise usage.UsageError("--embedded speaks neither TLS nor SASL")
        self._check_client()

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

    def _refuse_beside(self, chosen: str, options: Sequence[str]) -> None:
        given = [
            *(option for option in options if self[option] not in (None, 0)),
            *(option for option, _ in self.given),
        ]
        if given:
            raise usage.UsageError(f"--{given[0]} and --{chosen} exclude each other: the file has it")

    def _refuse_beside_command(self) -> None:
        # An empty text counts as an option that was given.
        options = (
            *("config", "check", "servers", "session-timeout", "state-file", "client", "embedded"),
            *(*_READERS, *_ACCESS),
        )
        given = [
            *(option for option in options if self[option] not in (None, 0)),
            *(option for option, _ in self.given),
        ]
        if given:
            raise usage.UsageError(
                f"--{given[0]} is for registering, and {self.subCommand!r} registers nothing: give one or the other"
                if given[0] not in (*ServeOptions.names, *_ACCESS) or self.subCommand != "serve"
                else f"--{given[0]} belongs behind {self.subCommand!r}"
            )
