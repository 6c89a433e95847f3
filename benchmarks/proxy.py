"""A proxy of plain threads and sockets, so that its cost is small beside the measured one: it cuts, holds, refuses and stalls."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Listens on loopback, and forwards data to a server on loopback.

    :param port: the server's port.
    :param host: the server's address on loopback.
    :param listen: the address and port to listen at.
    :ivar address: the address for clients.
    :ivar came: set when a client has connected since the last :meth:`cut`.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", listen: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._server = (host, port)
        self._sockets: set[socket.socket] = set()
        self._through = threading.Event()
        self._through.set()
        self._flowing = threading.Event()
        self._flowing.set()
        self.came = threading.Event()
        self._listen(listen)
        self._listens = self._listener.getsockname()
        self.address = f"{self._listens[0]}:{self._listens[1]}"

    def cut(self, *, refuse: bool = False) -> None:
        """Close every connection. Hold new connections until :meth:`open`; or refuse them."""
        self.came.clear()
        self._through.clear()
        if refuse:
            self._stop_listening()
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let clients through again, those that were held first."""
        self._through.set()
        if self._listener.fileno() < 0:
            self._listen(self._listens)

    def stall(self) -> None:
        """Hold all data for clients, until :meth:`resume`. Data for the server goes on."""
        self._flowing.clear()

    def resume(self) -> None:
        """Forward the data that was held, and go on."""
        self._flowing.set()

    def close(self) -> None:
        """End it all."""
        self.cut(refuse=True)
        self._through.set()
        self._flowing.set()

    def _listen(self, address: tuple[str, int]) -> None:
        self._listener = socket.create_server(address, backlog=256)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _stop_listening(self) -> None:
        with suppress(OSError):
            # It ends the accept that waits, which closing does not.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.came.set()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._through.wait()
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.add(each)
        back = threading.Thread(target=self._pass_on, args=(server, client, self._flowing), daemon=True)
        back.start()
        self._pass_on(client, server)
        back.join()
        for each in (client, server):
            self._sockets.discard(each)
            each.close()

    def _pass_on(self, source: socket.socket, target: socket.socket, flowing: threading.Event | None = None) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 18):
                if flowing is not None:
                    flowing.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
