"""The HTTP server by ``[http]``: it listens, and lets requests in by the rules of access."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.web.resource import IResource
from zope.interface import implementer

from txmirror.configuration import HTTPServer, SocketAddress, UNIXAddress
from txmirror.deferreds import Waiters
from txmirror.web.site import (
    AccessRules,
    AccessSite,
    Listener,
    ServerTLS,
    TCPPort,
    TokenFile,
    UNIXSocket,
    raise_open_file_limit,
)

#: Connections beside those of the event streams.
_OTHERS = 500


@implementer(IService)
class HTTPService(Service):
    """Serves a web application at the address of ``[http]``.

    :param reactor: the reactor.
    :ivar address: the address, as soon as it listens; None otherwise.
    """

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        self.address: str | None = None
        self._reactor = reactor
        self._table: HTTPServer | None = None
        self._resource: IResource | None = None
        self._any_port = False
        self._listener: Listener | None = None
        self._closing: Deferred[Any] | None = None
        self._closed: Waiters[None] = Waiters()
        self._served: tuple[HTTPServer | None, IResource | None] = (None, None)

    @property
    def table(self) -> HTTPServer | None:
        """The settings; None if nothing is to be served."""
        return self._table

    @property
    def problem(self) -> str | None:
        """The reason why it does not listen; None if it does, or is not to."""
        return None if self._listener is None else self._listener.problem

    def serve(self, resource: IResource, *, or_any_port: bool = False) -> None:
        """Serve this resource from now on.

        :param or_any_port: whether to take a free port if that of the address is taken.
        """
        self._resource, self._any_port = resource, or_any_port
        self._update()

    def apply(self, table: HTTPServer | None) -> None:
        """Serve by these settings from now on; nothing if they are None. The connections stay open if the settings are the same."""
        self._table = table
        self._update()

    def startService(self) -> None:
        """Begin to listen. It never fails."""
        super().startService()
        self._update()

    def stopService(self) -> Deferred[None]:
        """Stop listening, and close all connections.

        :returns: fires then, in a bounded time; it never fails.
        """
        super().stopService()
        self._close()
        return succeed(None) if self._closing is None else self._closed.wait()

    def _update(self) -> None:
        wanted = (self._table, self._resource)
        if not self.running or wanted == self._served:
            return
        self._close()
        if self._closing is not None:
            # The port may be the same.
            return
        self._served = wanted
        table, resource = wanted
        if table is not None and resource is not None:
            self._listener = self._make_listener(table, resource)
            self._listener.startService()

    def _make_listener(self, table: HTTPServer, resource: IResource) -> Listener:
        listen = table.listen
        address = UNIXSocket(listen.path, table.group) if isinstance(listen, UNIXAddress) else self._port(listen, table)
        site = AccessSite(resource, rules_of(table, self._reactor), reactor=self._reactor)
        scheme = "http" if table.certificate is None else "https"

        def listening(where: str) -> None:
            if isinstance(listen, UNIXAddress):
                self.address = str(listen)
                self._log.info("The page and the HTTP API are at the UNIX socket {path}.", path=where)
            else:
                self.address = f"{scheme}://{where}/"
                self._log.info("The page is at {address}.", address=self.address)

        connections = table.streams + _OTHERS
        # Not more than half of them are connections of clients.
        raise_open_file_limit(2 * connections)
        return Listener(address, site, "The page", self._reactor, connections=connections, listening=listening)

    def _port(self, listen: SocketAddress, table: HTTPServer) -> TCPPort:
        tls = None
        if table.certificate is not None:
            # With a token, or on this machine, a client can do without a certificate.
            required = table.token_file is None and not listen.is_loopback
            tls = ServerTLS(table.certificate, table.key, table.client_ca, required)
        return TCPPort(listen.host, listen.port, tls, self._any_port)

    def _close(self) -> None:
        listener, self._listener = self._listener, None
        self._served, self.address = (None, None), None
        if listener is not None:
            closing = listener.stopService()
            # At once if it did not listen.
            if not closing.called:
                self._closing = closing
                closing.addBoth(lambda _: self._note_closed())

    def _note_closed(self) -> None:
        self._closing = None
        self._closed.fire(None)
        self._update()


def rules_of(table: HTTPServer, reactor: Any) -> AccessRules:
    """Return the rules of access for ``[http]``.

    :param reactor: measures the time, and reads the token in a thread.
    """
    by_socket = isinstance(table.listen, UNIXAddress)
    return AccessRules(
        # A proxy that uses the socket keeps the names of its own clients.
        hosts=None if by_socket else table.hosts,
        reading=by_socket or table.listen.is_loopback,  # type: ignore[union-attr]  # see by_socket
        token=None if table.token_file is None else TokenFile(table.token_file, reactor),
        certificates=table.client_ca is not None,
    )
