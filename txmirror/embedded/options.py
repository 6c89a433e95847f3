"""The command line of a standalone server. A usage error is one line."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.python import usage

from txmirror.durations import parse_seconds
from txmirror.embedded.versions import version_named
from txmirror.printable import on_one_line

_DEFAULT_HOST = "127.0.0.1"
#: Host names are not resolved, which would take time. This one needs no resolving.
_LOOPBACK = "localhost"


class EmbeddedOptions(usage.Options):
    """Run a standalone in-memory ZooKeeper server, for tests and demonstrations."""

    longdesc = (
        "Runs an in-memory ZooKeeper server, for tests and demonstrations, until SIGTERM or Ctrl-C stops it."
        " All data is lost then."
    )
    optParameters: list[list[str]] = [  # noqa: RUF012 - usage.Options wants it so
        [
            "listen",
            "l",
            f"{_DEFAULT_HOST}:2181",
            "Address to listen at: IP address and port, IPv6 in brackets, or a port alone for loopback; port 0 takes any",
        ],
        ["imitate", "i", "3.8", "Server to imitate: ZooKeeper 3.4, 3.8 or 3.9, or ClickHouse Keeper (keeper)"],
        ["tick-time", "t", "0.5", "ZooKeeper's tick in seconds; session timeouts are between 2 and 20 of them"],
    ]
    optFlags: Sequence[Sequence[str | None]] = [
        ["ttl-nodes", None, "Allow nodes with a time to live"],
    ]

    def getSynopsis(self) -> str:
        """Return the usage line, for the module or for the command of twistd's plugin."""
        called = "python -m txmirror.embedded" if self.parent is None else "twistd [options] txmirror embedded"
        return f"Usage: {called} [options]"

    def parseArgs(self, *arguments: str) -> None:
        """Reject all positional arguments."""
        if arguments:
            raise usage.UsageError(f"unexpected argument {arguments[0]!r}")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line. A usage error is one line on stderr, and exits with status 1."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            # Python writes this to stderr, and exits with status 1.
            raise SystemExit(f"txmirror embedded: {on_one_line(str(error))}") from None

    def postOptions(self) -> None:
        """Check the values. ``listen`` becomes a pair of IP address and port, ``tick-time`` a number."""
        self["listen"] = _parse_listen(self["listen"])
        text = self["tick-time"]
        try:
            self["tick-time"] = parse_seconds(text, 0.001, 3600)
        except ValueError as error:
            raise usage.UsageError(f"--tick-time: {error}") from None
        try:
            version_named(self["imitate"])
        except ValueError as error:
            raise usage.UsageError(f"--imitate: {error}") from None


def _parse_listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or host == _LOOPBACK:
        host = _DEFAULT_HOST
    elif host.startswith("[") and host.endswith("]") and isIPv6Address(host[1:-1]):
        host = host[1:-1]
    elif not isIPAddress(host):
        raise usage.UsageError(
            f"--listen: {text!r} is not of the form ADDRESS:PORT, with an IP address, IPv6 in brackets"
        )
    if not (port.isascii() and port.isdigit() and len(port) < 9 and int(port) < 65536):
        raise usage.UsageError(f"--listen: {text!r} has no port from 0 to 65535")
    return host, int(port)
