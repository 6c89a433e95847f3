"""Two servers for the clients of other projects, in processes of their own, and the faults of sessions at a server.

Such a client blocks, or has an event loop of its own, so that an embedded server on this process's reactor would never
answer it. Everything here works alike on both servers: it uses another connection to them.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from kazoo.client import KazooClient

from txmirror.test.zookeeper import shared_server
from txmirror.testing import ServerProcess
from txmirror.wire import (
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    Cursor,
    ReplyHeader,
    Request,
    RequestHeader,
    encode_frame,
)

__all__ = [
    "CREDENTIALS",
    "PATIENCE",
    "OnEmbedded",
    "OnReal",
    "ServerChoice",
    "break_connection",
    "embedded_server",
    "end_session",
    "janitor",
    "visit",
    "wait_for",
]

#: How long anything may take that is to come at once, in seconds.
PATIENCE = 10.0

#: A user of digest authentication, and the password.
CREDENTIALS = "user:password"

# What the clients complain of, when their connections are broken, is no news.
for _name in ("aiozk", "kazoo"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

_T = TypeVar("_T")


def wait_for(look: Callable[[], _T | None], what: str) -> _T:
    """Look again and again, until there is something; at the end of patience, fail."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE:g} s: {what}")
        pause.wait(0.01)
    return found


@functools.cache
def embedded_server() -> ServerProcess:
    """The embedded server that all tests of one run share: started when first asked for, ended with the interpreter.

    :raises RuntimeError: it did not start.
    """
    server = ServerProcess()
    atexit.register(server.stop)
    return server


@functools.cache
def janitor(address: str) -> KazooClient:
    """A client that creates and deletes the nodes of tests at a server; it may use all nodes that :data:`CREDENTIALS`
    may.

    All tests of one run share it; it ends with the interpreter.
    """
    client = KazooClient(address, auth_data=[("digest", CREDENTIALS)])
    atexit.register(client.stop)
    client.start(PATIENCE)
    return client


class ServerChoice(Protocol):
    """Which server a test case is for."""

    def server_address(self) -> str:
        """Return the address of a running server, as ``host:port``.

        :raises SkipTest: there is none such.
        """


class OnEmbedded:
    """For test cases at the embedded server."""

    def server_address(self) -> str:
        return embedded_server().connect_string


class OnReal:
    """For test cases at the real server."""

    def server_address(self) -> str:
        return shared_server().address


def visit(
    address: str, *requests: Request, session: tuple[int, bytes] = (0, bytes(16)), timeout: float = 10.0
) -> tuple[int, bytes]:
    """Open a connection, send requests, and close it. Its session lives on for its timeout.

    :param session: the id and password of a session to resume; the server closes its former connection. Without
        them, a new session is begun.
    :param timeout: the session timeout that it asks for, in seconds.
    :returns: the id and password of the session.
    :raises ConnectionError: the server closed the connection before all requests were answered.
    :raises ValueError: the session has ended.
    """
    frames = [ConnectRequest(0, round(timeout * 1000), *session).encode()]
    frames += [
        RequestHeader(xid, request.operation).encode() + request.encode() for xid, request in enumerate(requests)
    ]
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection, connection.makefile("rb") as reader:

        def read(size: int) -> bytes:
            data = reader.read(size)
            if len(data) < size:
                raise ConnectionAbortedError("the server closed the connection")
            return data

        def read_frame() -> Cursor:
            (length,) = struct.unpack(">i", read(4))
            return Cursor(read(length))

        connection.sendall(b"".join(map(encode_frame, frames)))
        welcome = ConnectResponse.decode(read_frame())
        if welcome.timeOut <= 0 or welcome.passwd is None:
            raise ValueError(f"the session {session[0]:#x} has ended")
        for request in requests:
            header = ReplyHeader.decode(read_frame())
            assert header.err == 0, (request, header)
    return welcome.sessionId, welcome.passwd


def break_connection(address: str, session: tuple[int, bytes]) -> None:
    """Have the server close a client's connection; its session lives on.

    :param session: its id and password.
    """
    # A client that is back already has its session from us as we had it from the client.
    with contextlib.suppress(ConnectionError):
        visit(address, session=session)


def end_session(address: str, session: tuple[int, bytes]) -> None:
    """Have the server close a client's connection and end its session, as it does when its timeout is over.

    A client may be quick enough to come back to the session once or twice before it ends.

    :param session: its id and password.
    """
    for _ in range(100):
        try:
            visit(address, CloseSessionRequest(), session=session)
        except ConnectionError:
            continue
        except ValueError:
            pass
        return
    raise AssertionError(f"the session {session[0]:#x} does not end")
