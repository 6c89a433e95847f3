"""Requests to a web application without a socket, and their answers."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Site


@attrs.frozen
class Response:
    """A response: its headers by their names in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode()

    @property
    def value(self) -> Any:
        """The content as a value of JSON."""
        return json.loads(self.content)

    @property
    def errors(self) -> list[str]:
        """The lines of an error."""
        assert set(self.value) == {"errors"}, self.value
        errors: list[str] = self.value["errors"]
        return errors


def parse_response(received: bytes) -> Response:
    """Return a response from its bytes."""
    head, _, content = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Response(int(first.split()[1]), headers, content)


class Exchange:
    """One connection to a resource, with one request.

    :param resource: the resource, or an object with ``buildProtocol``.
    :ivar transport: the transport, which has the bytes of the answer.
    """

    def __init__(self, resource: Any, head: str, body: bytes = b"", *, reactor: Any = None) -> None:
        site = resource
        if IResource.providedBy(resource):
            site = Site(resource, reactor=reactor or Clock(), timeout=None)
        self.protocol: Any = site.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        self.protocol.dataReceived(head.encode("latin-1") + body)

    @property
    def answered(self) -> bool:
        """True if there is an answer."""
        return bool(self.transport.value())

    @property
    def response(self) -> Response:
        """The answer."""
        return parse_response(self.transport.value())

    def leave(self, reason: BaseException) -> None:
        """Lose the connection."""
        self.protocol.connectionLost(Failure(reason))


def begin(
    resource: Any,
    method: str,
    path: str,
    body: object = None,
    *,
    headers: tuple[str, ...] = (),
    host: str = "localhost",
    reactor: Any = None,
) -> Exchange:
    """Send a request to a resource, with a body of bytes or a value for JSON."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.0", f"Host: {host}", f"Content-Length: {len(content)}", *headers]
    return Exchange(resource, "\r\n".join(lines) + "\r\n\r\n", content, reactor=reactor)


def ask(resource: Any, method: str, path: str, body: object = None, **options: Any) -> Response:
    """Send a request to a resource, and return the answer, which comes at once. For the arguments see :func:`begin`."""
    return begin(resource, method, path, body, **options).response
