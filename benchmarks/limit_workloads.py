"""W0, the limit of the workloads: a bare socket and requests that were encoded before the clock started.

``limit_workloads.py W1 127.0.0.1:2181`` prints its figures as JSON. Of a reply it reads the length and the error; no
client can be quicker than that on this machine and this server.
"""

from __future__ import annotations

import json
import struct
import sys

from clock import Clock
from raw import DATA, Server, create, encoded

from txmirror.wire import (
    Cursor,
    DeleteRequest,
    ExistsRequest,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    SetDataRequest,
)

ROOT = "/txmirror-benchmark"
_NO_NODE = -101


def prepare(server: Server, count: int) -> list[str]:
    """Make the nodes, in an empty parent, and return their paths."""
    clear(server)
    server.outstanding(1, [create(ROOT)])
    paths = [f"{ROOT}/n{number}" for number in range(count)]
    server.outstanding(500, [create(path) for path in paths])
    return paths


def clear(server: Server) -> None:
    """Delete the nodes of an earlier run."""
    if struct.unpack_from(">i", server.ask(encoded(ExistsRequest(ROOT, False))), 12)[0] != _NO_NODE:
        names = GetChildren2Response.decode(Cursor(server.ask(encoded(GetChildren2Request(ROOT, False))), 16)).children
        server.outstanding(500, [encoded(DeleteRequest(f"{ROOT}/{name}", -1)) for name in names])
        server.outstanding(1, [encoded(DeleteRequest(ROOT, -1))])


def requests(workload: str, server: Server) -> list[bytes]:
    """Prepare a workload; return its requests."""
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
    server.close()
    print(json.dumps(clock.figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
