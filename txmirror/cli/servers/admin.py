"""Ask a server's AdminServer by HTTP, in place of the four-letter words."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, TypeVar, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txmirror.cli.servers.answers import ConnectedClient, NoAnswer, NotServing
from txmirror.cli.servers.exchange import exchange
from txmirror.client import Server
from txmirror.json_text import read_json

_T = TypeVar("_T")

_NOT_SERVING: Final = "not currently serving requests"
#: The latencies in ``server_stats``, in the order of ``srvr``.
_LATENCIES: Final = ("min_latency", "avg_latency", "max_latency")


@attrs.frozen
class AdminAsker:
    """Asks the AdminServer of each server, each command on a connection of its own, without TLS. See
    :class:`~txmirror.cli.servers.answers.Asker`.
    """

    reactor: IReactorTime
    limit: float
    """The timeout of each answer, in seconds."""
    port: int
    """The port of the AdminServer, the same on all servers."""

    def ask(self, server: Server, word: str) -> Deferred[Mapping[str, str]]:
        """Ask the command that stands for ``srvr``, ``mntr`` or ``conf``."""
        command, read = _COMMANDS[word]
        return self._get(server, command, read)

    def clients(self, server: Server) -> Deferred[list[ConnectedClient]]:
        """Ask for the connections of clients."""
        return self._get(server, "connections", _read_clients)

    def _get(self, server: Server, command: str, read: Callable[[Mapping[str, Any]], _T]) -> Deferred[_T]:
        target = Server(server.host, self.port)
        resource = f"/commands/{command}"
        # In HTTP/1.0 the server closes the connection after its answer.
        request = f"GET {resource} HTTP/1.0\r\nHost: {target}\r\nAccept: application/json\r\n\r\n".encode()
        asking = exchange(self.reactor, target, request, name=resource, limit=self.limit, wrap=None)
        return asking.addCallback(_decode).addCallback(read).addErrback(self._explain)

    def _explain(self, failure: Failure) -> Any:
        if isinstance(failure.value, NoAnswer) and not isinstance(failure.value, NotServing):
            raise NoAnswer(f"its AdminServer at port {self.port}: {failure.value}") from None
        return failure


class _Received:
    """Received bytes, in the form that the parser of HTTP reads."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _decode(received: bytes) -> Mapping[str, Any]:
    """Return the object in an answer.

    :raises NoAnswer: there is none; the message says why.
    """
    response = HTTPResponse(cast(Any, _Received(received)))
    try:
        response.begin()
        body = response.read()
    except (HTTPException, ValueError):
        raise NoAnswer("the answer is not HTTP, or is cut: another program listens there, or it needs TLS") from None
    try:
        found = read_json(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NoAnswer(f"the answer is not that of an AdminServer (status {response.status})")
    if found.get("error") is not None:
        raise NotServing if _NOT_SERVING in str(found["error"]) else NoAnswer(str(found["error"]))
    return found


def _read_state(found: Mapping[str, Any]) -> Mapping[str, str]:
    stats = _object(found.get("server_stats"))
    zxid = stats.get("last_processed_zxid")
    values = {
        "Zookeeper version": found.get("version"),
        "Mode": stats.get("server_state"),
        # Java has signed numbers.
        "Zxid": f"{zxid % 2**64:#x}" if isinstance(zxid, int) else None,
        "Latency min/avg/max": "/".join(str(stats.get(name)) for name in _LATENCIES),
        "Connections": stats.get("num_alive_client_connections"),
        "Outstanding": stats.get("outstanding_requests"),
        "Node count": found.get("node_count"),
    }
    return _texts(values)


def _read_metrics(found: Mapping[str, Any]) -> Mapping[str, str]:
    return _texts({f"zk_{name}": value for name, value in found.items()})


def _read_limits(found: Mapping[str, Any]) -> Mapping[str, str]:
    return _texts({"maxClientCnxns": found.get("max_client_cnxns")})


def _read_clients(found: Mapping[str, Any]) -> list[ConnectedClient]:
    clients = []
    for name in ("connections", "secure_connections"):
        every = found.get(name)
        for each in map(_object, every if isinstance(every, list) else ()):
            session = each.get("session_id")
            # A connection without a session has 0.
            number = session if isinstance(session, int) and session != 0 else None
            clients.append(ConnectedClient(str(each.get("remote_socket_address")), number))
    return clients


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(values: Mapping[str, object]) -> Mapping[str, str]:
    return {name: str(value) for name, value in values.items() if isinstance(value, (str, int, float))}


#: The command for each word, and the function that reads its answer.
_COMMANDS: Final[Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Mapping[str, str]]]]] = {
    "srvr": ("server_stats", _read_state),
    "mntr": ("monitor", _read_metrics),
    "conf": ("configuration", _read_limits),
}
