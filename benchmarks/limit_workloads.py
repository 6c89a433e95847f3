"""W0, the limit of the workloads: a bare socket and requests that were encoded before the clock started.

``limit_workloads.py W1 127.0.0.1:2181`` prints its figures as JSON. Of a reply it reads the length and the error; no client
can be quicker than that on this machine and this server.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Sequence

from clock import Clock

from txmirror.types import OPEN_ACL
from txmirror.wire import (
    CloseSessionRequest,
    ConnectRequest,
    CreateRequest,
    Cursor,
    DeleteRequest,
    ExistsRequest,
    FrameDecoder,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    Request,
    SetDataRequest,
    encode_frame,
)

DATA = b"x" * 100
ROOT = "/txmirror-benchmark"
_CALL = struct.Struct(">ii")
_REPLY = struct.Struct(">iiqi")
_NO_NODE = -101


def encoded(request: Request) -> bytes:
    """Give a request's frame. The server does not look at the xid."""
    return encode_frame(_CALL.pack(1, request.operation) + request.encode())


def create(path: str) -> bytes:
    return encoded(CreateRequest(path, DATA, OPEN_ACL, 0))


class Server:
    """A connection to a server, that blocks."""

    def __init__(self, servers: str) -> None:
        host, _, port = servers.partition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask(encode_frame(ConnectRequest(0, 10_000, 0, bytes(16), False).encode()))

    def ask(self, request: bytes) -> bytes:
        """Ask one thing; give the reply's frame."""
        self._socket.sendall(request)
        decoder = FrameDecoder(1 << 24)
        while not (frames := decoder.feed(self._socket.recv(65536))):
            pass
        return bytes(frames[0])

    def outstanding(self, most: int, requests: Sequence[bytes]) -> None:
        """Make requests, so many at a time; return when all are answered."""
        sent = most
        self._socket.sendall(b"".join(requests[:sent]))
        answered, rest = 0, b""
        while answered < len(requests):
            data = rest + self._socket.recv(65536)
            offset, end = 0, len(data)
            before = answered
            while end - offset >= _REPLY.size:
                length, _, _, error = _REPLY.unpack_from(data, offset)
                if offset + 4 + length > end:
                    break
                assert not error, error
                offset += 4 + length
                answered += 1
            rest = data[offset:]
            room = answered - before
            self._socket.sendall(b"".join(requests[sent : sent + room]))
            sent += room


def prepare(server: Server, count: int) -> list[str]:
    """Make nodes, empty the room they stand in first, and give their paths."""
    clear(server)
    server.outstanding(1, [create(ROOT)])
    paths = [f"{ROOT}/n{number}" for number in range(count)]
    server.outstanding(500, [create(path) for path in paths])
    return paths


def clear(server: Server) -> None:
    """Delete what an earlier run has left."""
    if struct.unpack_from(">i", server.ask(encoded(ExistsRequest(ROOT, False))), 12)[0] != _NO_NODE:
        names = GetChildren2Response.decode(Cursor(server.ask(encoded(GetChildren2Request(ROOT, False))), 16)).children
        server.outstanding(500, [encoded(DeleteRequest(f"{ROOT}/{name}", -1)) for name in names])
        server.outstanding(1, [encoded(DeleteRequest(ROOT, -1))])


def requests(workload: str, server: Server) -> list[bytes]:
    """Prepare a workload; give what it is going to send."""
    if workload == "W3":
        prepare(server, 0)
        return [create(f"{ROOT}/n{number}") for number in range(10_000)]
    if workload == "W4":
        return [encoded(SetDataRequest(path, DATA, -1)) for path in prepare(server, 5000) * 2]
    (path,) = prepare(server, 1)
    return [encoded(GetDataRequest(path, False))] * {"W1": 3000, "W2": 20_000}[workload]


def main(workload: str, servers: str) -> None:
    """Run a workload and print its figures."""
    server, clock = Server(servers), Clock()
    frames = requests(workload, server)
    clock.start()
    server.outstanding(1 if workload == "W1" else 1000, frames)
    clock.stop()
    clear(server)
    server.ask(encoded(CloseSessionRequest()))
    print(json.dumps(clock.figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
