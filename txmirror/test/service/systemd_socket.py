"""A socket that receives a service's notifications of systemd."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path


class SystemdSocket:
    """A datagram socket as systemd opens it.

    :param abstract: whether it is in the abstract namespace.
    :ivar address: the value of ``NOTIFY_SOCKET``.
    """

    def __init__(self, *, abstract: bool = False) -> None:
        # The path of a socket must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="txmirror-"))
        self.address = f"{'@' if abstract else ''}{self._folder / 'notify'}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address.replace("@", "\0"))
        self.socket.setblocking(False)

    def messages(self) -> list[str]:
        """Return the messages that have arrived since the last call."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        """Close and remove the socket."""
        self.socket.close()
        shutil.rmtree(self._folder)
