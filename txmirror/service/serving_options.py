"""The command line of ``twistd txmirror serve``: the services by HTTP and DNS, on a machine that registers nothing."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.python import usage

from txmirror.access import Access
from txmirror.configuration import Configuration, ConfigurationError, from_options, readers_from_options
from txmirror.service.connecting_options import (
    ACCESS_FLAGS,
    ACCESS_PARAMETERS,
    CONNECTION,
    read_credentials,
    read_servers,
    read_timeout,
    refuse_password,
)
from txmirror.service.exiting import EX_USAGE, exit_with
from txmirror.service.loading import check_usable

#: The options of the servers for readers, for ``optParameters``.
READERS: Sequence[Sequence[str | None]] = (
    [
        "http",
        None,
        None,
        "Serve the page and the HTTP API at this IP address and port, port of the loopback interface, or unix:FILE",
    ],
    ["dns", None, None, "Serve DNS at this IP address and port, or port of the loopback interface"],
    [
        "token-file",
        None,
        None,
        "The file with the token that HTTP requests must have; needed if other machines reach the address",
    ],
    ["root", None, None, "The znode whose children are the served services [default: /services]"],
    ["domain", None, None, "The domain of DNS [default: mirror]"],
)


class ServeOptions(usage.Options):
    """Serve the services to readers by HTTP and DNS, and register nothing."""

    longdesc = (
        "Serves the registered services to readers: by a page for people, an HTTP API, and DNS. Nothing is registered, and nothing is"
        " changed in ZooKeeper."
    )
    optParameters: Sequence[Sequence[str | None]] = [*CONNECTION, *READERS, *ACCESS_PARAMETERS]
    optFlags: Sequence[Sequence[str | None]] = [
        [
            "protected",
            None,
            "Show readers also the znodes that only these credentials may read",
        ],
        *ACCESS_FLAGS,
    ]
    #: The names of the options that the command has, too.
    names: tuple[str, ...] = tuple(str(name) for name, *_ in (*CONNECTION, *READERS))

    def __init__(self) -> None:
        super().__init__()
        self.configuration: Configuration | None = None

    def getSynopsis(self) -> str:
        """Return the usage line."""
        return "Usage: twistd [options] txmirror serve [--http ADDRESS] [--dns ADDRESS] --servers HOSTS [options]"

    def opt_password(self, _: str) -> None:
        """Refused, because other users of the machine could read it: use --password-file."""
        refuse_password()

    opt_p = opt_password

    def parseArgs(self, *arguments: str) -> None:
        """Reject all positional arguments."""
        if arguments:
            raise usage.UsageError(f"unexpected argument {arguments[0]!r}")

    def postOptions(self) -> None:
        """Check the combination of all options."""
        if self["http"] is None and self["dns"] is None:
            raise usage.UsageError("nothing to serve: give --http ADDRESS, --dns ADDRESS, or both")
        protected = bool(self["protected"])
        timeout, servers = read_timeout(self), read_servers(self)
        access = read_credentials(self)
        if protected and not access.identifies:
            raise usage.UsageError("--protected needs credentials: --username, or --tls-cert")
        try:
            http, dns = readers_from_options(
                self["http"],
                self["dns"],
                root=self["root"],
                domain=self["domain"],
                token_file=self["token-file"],
                credentials=protected,
            )
            self.configuration = from_options(
                (),
                servers=servers,
                session_timeout=timeout,
                access=access if protected else _for_everybody(access),
                http=http,
                dns=dns,
            )
            check_usable(self.configuration)
        except ConfigurationError as error:
            exit_with(EX_USAGE, error.lines)


def _for_everybody(access: Access) -> Access:
    """Return the settings without credentials.

    :raises UsageError: credentials were given, and nothing would use them.
    """
    if access.identifies:
        raise usage.UsageError(
            "credentials are not used without --protected: readers see the znodes that everybody may read"
        )
    return access
