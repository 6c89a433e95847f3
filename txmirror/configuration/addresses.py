"""The sockets to listen at: an IP address and a port, or a UNIX socket."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final

import attrs

from txmirror.configuration.rules import LONGEST_SOCKET, FileName
from txmirror.placeholders import parse, transform
from txmirror.printable import host_and_port, quote

#: The beginning of a UNIX socket's name.
_UNIX: Final = "unix:"

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f]*:[0-9A-Fa-f:.]{1,40})\]|(?P<four>[0-9.]{7,15})):(?P<port>[0-9]{1,5})")


@attrs.frozen
class SocketAddress:
    """An IP address and a port."""

    host: str
    """The address, without brackets."""
    port: int
    """The port, from 1 to 65535."""

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)

    @property
    def is_loopback(self) -> bool:
        """True if only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback


@attrs.frozen
class UNIXAddress:
    """A UNIX socket."""

    path: str
    """Its absolute path."""

    def __str__(self) -> str:
        return f"{_UNIX}{self.path}"


@attrs.frozen
class AddressAndPort:
    """An IP address and a port, as in ``127.0.0.1:9145`` and ``[::1]:9145``. See :class:`~.rules.Rule`."""

    kind: str = "address and port"

    def read(self, value: object, folder: Path) -> SocketAddress:
        """Return the address and the port. See :class:`~.rules.Rule`."""
        if not isinstance(value, str):
            raise ValueError(f"{quote(value)} is no string")
        return parse(_parse, value)


@attrs.frozen
class AnyAddress:
    """An IP address and a port, or a UNIX socket, as in ``unix:/run/txmirror/http.sock``. See :class:`~.rules.Rule`."""

    kind: str = 'address and port, or ``"unix:FILE"``'

    def read(self, value: object, folder: Path) -> SocketAddress | UNIXAddress:
        """Return the address. See :class:`~.rules.Rule`."""
        if isinstance(value, str) and value.startswith(_UNIX):
            path = transform(lambda text: text.removeprefix(_UNIX), value)
            return UNIXAddress(FileName(longest=LONGEST_SOCKET).read(path, folder))
        return AddressAndPort().read(value, folder)


def _parse(text: str) -> SocketAddress:
    match = _ADDRESS.fullmatch(text)
    try:
        if match is not None and 0 < (port := int(match["port"])) < 2**16:
            host = ipaddress.ip_address(match["six"] or match["four"])
            return SocketAddress(str(host), port)
    except ValueError:
        pass
    raise ValueError(f'{quote(text)} is no IP address and port, such as "127.0.0.1:9145" or "[::1]:9145"')
