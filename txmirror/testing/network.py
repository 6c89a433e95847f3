"""Connections in memory: data that one side writes arrives at the other side, unless the test injects a fault."""

from __future__ import annotations

from typing import Protocol

from txmirror.testing.receiver import Address
from txmirror.testing.transport import MemoryTransport, TransportReactor


class LinkReactor(TransportReactor, Protocol):
    """The reactor of links."""

    @property
    def links(self) -> list[Link]:
        """The links that are alive; they remove themselves."""


class Link:
    """A connection between two programs, into which a test can inject faults.

    :ivar client_address: the address of the side that connected.
    :ivar server_address: the address of the side that listened.
    """

    def __init__(self, reactor: LinkReactor, client_address: Address, server_address: Address) -> None:
        self.client_address = client_address
        self.server_address = server_address
        self._reactor = reactor
        self._client = MemoryTransport(reactor, self, client_address, server_address)
        self._server = MemoryTransport(reactor, self, server_address, client_address)
        self._client.join(self._server)
        reactor.links.append(self)

    def __repr__(self) -> str:
        client, server = self.client_address, self.server_address
        return f"<Link {client.host}:{client.port} to {server.host}:{server.port}>"

    @property
    def client(self) -> MemoryTransport:
        """The transport of the side that connected."""
        return self._client

    @property
    def server(self) -> MemoryTransport:
        """The transport of the side that listened."""
        return self._server

    def cut(self) -> None:
        """Cut the connection: undelivered data is lost, and both sides get ``ConnectionLost`` on a later turn."""
        self._client.lose()
        self._server.lose()

    def stall(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Deliver nothing, neither bytes nor the end of the connection, until :meth:`resume`. Both sides notice nothing.

        :param to_client: whether to stall the direction to the client.
        :param to_server: whether to stall the direction to the server.
        """
        if to_client:
            self._server.hold(True)
        if to_server:
            self._client.hold(True)

    def resume(self) -> None:
        """Deliver the stalled data, in order, and go on."""
        self._server.hold(False)
        self._client.hold(False)

    def cut_after(self, *, to_client: int | None = None, to_server: int | None = None) -> None:
        """Deliver a number of bytes, and then :meth:`cut`: with the last of them, or, for 0, in place of the next one.

        :param to_client: the number of bytes for the client; None leaves that direction alone.
        :param to_server: the number of bytes for the server, likewise.
        :raises ValueError: a number is negative.
        """
        if (to_client or 0) < 0 or (to_server or 0) < 0:
            raise ValueError(f"a number of bytes is negative: {to_client!r}, {to_server!r}")
        if to_client is not None:
            self._server.allow(to_client)
        if to_server is not None:
            self._client.allow(to_server)

    def ended(self) -> None:
        """Note that one side is disconnected. When both are, remove this link."""
        if not (self._client.connected or self._server.connected) and self in self._reactor.links:
            self._reactor.links.remove(self)
