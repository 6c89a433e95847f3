"""The limit of W6 and W7h: a bare socket and requests that were encoded before the clock started.

``limit_mirrors.py W6 127.0.0.1:2181 10000 1`` mirrors as :class:`txmirror.mirror.Tree` does, a persistent watch and many nodes in
one request, but only keeps the replies; see ``mirrored.py``.
"""

from __future__ import annotations

import struct

from mirrored import ROOT, Measurement, arguments, leaves, parents
from raw import Server, encoded

from txmirror.wire import (
    AddWatchRequest,
    Cursor,
    GetChildrenRequest,
    GetDataRequest,
    GetDataResponse,
    MultiReadRequest,
    Request,
    SetWatchesRequest,
    WatcherEvent,
)

_HEADER = struct.Struct(">iqi")
#: How many nodes are in one request; as many as are in one of txmirror's.
_BATCH = 128
_EVENT = -1


def batches(requests: list[GetDataRequest | GetChildrenRequest]) -> list[bytes]:
    parts = [requests[start : start + _BATCH] for start in range(0, len(requests), _BATCH)]
    return [encoded(MultiReadRequest(tuple(part))) for part in parts]


def main() -> None:
    """Mirror, and print the figures."""
    workload, servers, count, _ = arguments()
    everything = [ROOT, *parents(count), *leaves(count)]
    measurement = Measurement(count)
    watch = encoded(AddWatchRequest(ROOT, True))
    names: list[GetDataRequest | GetChildrenRequest]
    names = [GetChildrenRequest(path, False) for path in (ROOT, *parents(count))]
    reads = batches(names) + batches([GetDataRequest(path, False) for path in everything])
    replies: list[bytes] = []
    server = Server(servers)
    measurement.begin()
    server.ask(watch)
    server.outstanding(6, reads, replies.append)
    measurement.warm()
    if workload == "W6":
        server.close()
        return
    _, zxid, _ = _HEADER.unpack_from(replies[-1])
    again: list[Request] = []
    for start in range(0, len(everything), 1000):
        part = tuple(everything[start : start + 1000])
        again.append(SetWatchesRequest(zxid, part, (), part))
    setting = b"".join(map(encoded, again))
    get = {path: encoded(GetDataRequest(path, True)) for path in leaves(count)}
    measurement.wait(lambda: None)
    for _ in server.frames():
        raise AssertionError("nothing was to come before the connection is cut")
    server = Server(servers, server.session)
    server.say(setting)
    asked: list[str] = []
    answered = iter(asked)
    to_come = len(again)
    for xid, frame in server.frames():
        if xid == _EVENT:
            asked.append(WatcherEvent.decode(Cursor(frame, _HEADER.size)).path)
            server.say(get[asked[-1]])
        elif to_come and len(frame) == _HEADER.size:
            to_come -= 1
        else:
            path = next(answered)
            data = GetDataResponse.decode(Cursor(frame, _HEADER.size)).data
            if measurement.shown(path, data):
                break
    server.close()


if __name__ == "__main__":
    main()
