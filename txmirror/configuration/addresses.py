"""The address and the port of a socket to listen at."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import attrs

from txmirror.placeholders import parse
from txmirror.printable import host_and_port, quote

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


@attrs.frozen
class AddressAndPort:
    """An IP address and a port, as in ``127.0.0.1:9145`` and ``[::1]:9145``. See :class:`~.rules.Rule`."""

    kind: str = "address and port"

    def read(self, value: object, folder: Path) -> SocketAddress:
        """Return the address and the port. See :class:`~.rules.Rule`."""
        if not isinstance(value, str):
            raise ValueError(f"{quote(value)} is no string")
        return parse(_parse, value)


def _parse(text: str) -> SocketAddress:
    match = _ADDRESS.fullmatch(text)
    try:
        if match is not None and 0 < (port := int(match["port"])) < 2**16:
            host = ipaddress.ip_address(match["six"] or match["four"])
            return SocketAddress(str(host), port)
    except ValueError:
        pass
    raise ValueError(f'{quote(text)} is no IP address and port, such as "127.0.0.1:9145" or "[::1]:9145"')
