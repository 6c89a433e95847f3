"""Faults of the network."""

from __future__ import annotations

from random import Random

from txmirror.testing.network import Link
from txmirror.testing.storm.faults import Lasting, ports_of
from txmirror.testing.world import World


class NetworkFaults:
    """Faults of the connections. Each method returns a description, or None if nothing has happened.

    :param world: the world.
    :param random: chooses.
    :param lasting: the faults that last, each with the function that ends it.
    """

    def __init__(self, world: World, random: Random, lasting: Lasting) -> None:
        self._world = world
        self._random = random
        self._lasting = lasting
        self._ports = ports_of(world)
        #: The addresses that programs have used, in the order of their first use, with the ports.
        self._hosts: dict[str, dict[int, None]] = {"127.0.0.1": dict.fromkeys(self._ports)}

    def look(self) -> None:
        """Note the addresses that programs use."""
        for link in self._world.reactor.links:
            self._hosts.setdefault(link.server_address.host, {})[link.server_address.port] = None

    def _link(self) -> Link | None:
        links = self._world.reactor.links
        return self._random.choice(links) if links else None

    def cut(self) -> str | None:
        """Break a connection."""
        link = self._link()
        if link is not None:
            link.cut()
        return _name(link)

    def cut_later(self) -> str | None:
        """Break a connection after some bytes."""
        link = self._link()
        if link is None:
            return None
        size = self._random.choice((self._random.randrange(60), self._random.randrange(400)))
        if self._random.random() < 0.6:
            link.cut_after(to_client=size)
            return f"{_name(link)} after {size} bytes to the client"
        link.cut_after(to_server=size)
        return f"{_name(link)} after {size} bytes to the server"

    def half_close(self) -> str | None:
        """Close one half of a connection."""
        link = self._link()
        if link is None:
            return None
        by_client = self._random.random() < 0.5
        (link.client if by_client else link.server).loseWriteConnection()
        return f"{_name(link)} by the {'client' if by_client else 'server'}"

    def stall(self) -> str | None:
        """Stall a connection."""
        link = self._link()
        if link is None:
            return None
        to_client, to_server = self._random.choice(((True, True), (True, False), (False, True)))
        link.stall(to_client=to_client, to_server=to_server)
        text = f"{_name(link)}, to the client: {to_client}, to the server: {to_server}"
        self._lasting.append((f"STALL {text}", link.resume))
        return text

    def _host(self) -> str:
        """Return an address, one with a connection if possible."""
        connected = dict.fromkeys(link.server_address.host for link in self._world.reactor.links)
        return self._random.choice(list(connected or self._hosts))

    def _ports_at(self, host: str) -> list[int]:
        """Return the ports of an address: those of the servers, or that of an endpoint."""
        used = self._hosts.get(host, {})
        return self._ports if any(port in used for port in self._ports) else list(used)

    def black_hole(self) -> str:
        """Let new connections to an address get no answer, from some servers or from all."""
        host = self._host()
        # Of some servers, or of all.
        ports = self._ports_at(host)
        ports = self._random.choice((ports, [self._random.choice(ports)]))
        for port in ports:
            self._world.reactor.black_hole(host, port)

        def end() -> None:
            for port in ports:
                self._world.reactor.undo_black_hole(host, port)

        self._lasting.append((f"BLACK_HOLE {host} {ports}", end))
        return f"{host} {ports}"

    def away(self) -> str:
        """Break or stall all connections to an address, and let new ones get no answer."""
        host = self._host()
        ports = self._ports_at(host)
        for port in ports:
            self._world.reactor.black_hole(host, port)
        silently = self._random.random() < 0.3
        for link in list(self._world.reactor.links):
            if link.server_address.host == host:
                link.stall() if silently else link.cut()

        def end() -> None:
            for port in ports:
                self._world.reactor.undo_black_hole(host, port)
            for link in list(self._world.reactor.links):
                if link.server_address.host == host:
                    link.resume()

        self._lasting.append((f"AWAY {host}", end))
        return f"{host}{' silently' if silently else ''}"

    def pieces(self) -> str:
        """Deliver small pieces."""
        size = self._random.choice((1, 3, 20, 100))
        self._world.reactor.piece = size

        def end() -> None:
            self._world.reactor.piece = None

        self._lasting.append((f"PIECES {size}", end))
        return f"{size} bytes"

    def heal(self) -> None:
        """Resume all connections, and break those that are still to break."""
        self._world.reactor.piece = None
        for link in list(self._world.reactor.links):
            link.resume()
            if link.client.allowed is not None or link.server.allowed is not None:
                link.cut()


def _name(link: Link | None) -> str:
    return (
        "" if link is None else f"{link.client_address.port} to {link.server_address.host}:{link.server_address.port}"
    )
