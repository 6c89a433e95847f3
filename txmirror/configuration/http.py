"""``[http]`` in a configuration: the HTTP API and the page."""

# Not with "from __future__ import annotations": see probes.py.

from typing import Annotated

import attrs

from txmirror.configuration.addresses import AnyAddress, SocketAddress, UNIXAddress
from txmirror.configuration.errors import InvalidValue
from txmirror.configuration.rules import ArrayOf, FileName, Flag, HostName, Number, Text, ZnodePath

#: The address without another one.
HTTP_ADDRESS = SocketAddress("127.0.0.1", 8580)
#: The part of an error about an address that needs a rule of access.
NEEDS_ACCESS = "that needs token_file, or certificate and client_ca"


# More than 7 parameters: the class has a field for each key of its table.
@attrs.frozen(kw_only=True)
class HTTPServer:
    """``[http]``: the HTTP API and the page, for people and programs. The daemon serves them if there is this table."""

    listen: Annotated[SocketAddress | UNIXAddress, AnyAddress()] = attrs.field(
        default=HTTP_ADDRESS, metadata={"default": f'``"{HTTP_ADDRESS}"``'}
    )
    """The IP address and port, or a UNIX socket such as ``"unix:/run/txmirror/http.sock"``. An address that other machines reach needs
    ``token_file`` or ``client_ca``."""
    group: Annotated[str | None, Text(kind="name of a group")] = None
    """The group whose members may use the UNIX socket. Default: only this user."""
    root: Annotated[str, ZnodePath()] = "/services"
    """The znode whose children are the services."""
    hosts: Annotated[tuple[str, ...], ArrayOf(HostName())] = ()
    """Further names of this server in the header ``Host``, for example those that a proxy keeps. The address of ``listen`` and the names
    of the loopback interface are always accepted; requests for other names are refused."""
    token_file: Annotated[str | None, FileName()] = None
    """The file with a token: one line of 16 characters or more, which not everybody may read. Requests that change something must have
    it, as ``Authorization: Bearer`` or as the password of any user; and all requests, if other machines reach ``listen``. The file is
    read again when it changes. Default: none, and nothing can be changed here without a client's certificate."""
    certificate: Annotated[str | None, FileName()] = None
    """The certificate (PEM), with those of its authorities: the server speaks HTTPS. It is read again, with ``key`` and
    ``client_ca``, when a file changes. Default: HTTP."""
    key: Annotated[str | None, FileName()] = None
    """Its key (PEM, unencrypted), if it is not in the same file. Not everybody may read it."""
    client_ca: Annotated[str | None, FileName()] = None
    """The certificates (PEM) of authorities. A client's certificate from one of them is as good as the token. Without ``token_file``,
    clients on other machines must have one."""
    credentials: Annotated[bool, Flag()] = False
    """If true, readers see all znodes that the daemon may read. Otherwise, if ``[zookeeper.access]`` has a user or a certificate, they see
    those that everybody may read, by a session of their own without these."""
    streams: Annotated[int, Number(1, 100_000, whole=True)] = 2000
    """The most event streams at a time."""

    def __attrs_post_init__(self) -> None:
        errors = []
        if isinstance(self.listen, UNIXAddress):
            errors += [
                (f".{key}", "it is not used, because listen is a UNIX socket")
                for key in ("certificate", "key", "client_ca")
                if getattr(self, key) is not None
            ]
        else:
            if self.group is not None:
                errors.append((".group", "it is not used, because listen is no UNIX socket"))
            if not self.listen.is_loopback and self.token_file is None and self.client_ca is None:
                errors.append((".listen", f'other machines reach "{self.listen}": {NEEDS_ACCESS}'))
            if self.certificate is None:
                errors += [
                    (f".{key}", "it is not used without certificate")
                    for key in ("key", "client_ca")
                    if getattr(self, key) is not None
                ]
        if errors:
            raise InvalidValue(*errors)
