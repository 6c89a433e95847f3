"""A test case with a daemon on a server in memory, whose web pages are read without a socket."""

from __future__ import annotations

from typing import Any

import attrs
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.testing import StringTransport
from twisted.web.resource import IResource
from twisted.web.server import Site

from txmirror.service import Daemon, make_metrics_root
from txmirror.test.service.case import DaemonTestCase


@attrs.frozen
class Response:
    """A response of the daemon's pages."""

    status: int
    headers: dict[str, str]
    text: str


def parse_response(received: bytes) -> Response:
    """Return a response from its bytes."""
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Response(int(first.split()[1]), headers, body.decode())


class MetricsTestCase(DaemonTestCase):
    def begin(
        self, root: Daemon | IResource, path: str, method: str = "GET", accept: str | None = None
    ) -> tuple[Any, StringTransport]:
        """Send a request without waiting, and return the protocol and its transport."""
        resource = make_metrics_root(root) if isinstance(root, Daemon) else root
        protocol: Any = Site(resource, reactor=self.reactor, timeout=None).buildProtocol(None)
        protocol.timeOut = None
        transport = StringTransport()
        protocol.makeConnection(transport)
        more = "" if accept is None else f"Accept: {accept}\r\n"
        protocol.dataReceived(f"{method} {path} HTTP/1.0\r\nHost: localhost\r\n{more}\r\n".encode())
        return protocol, transport

    def read(self, root: Daemon | IResource, path: str, method: str = "GET", accept: str | None = None) -> Response:
        """Send a request, and return the response."""
        _, transport = self.begin(root, path, method, accept)
        self.reactor.settle()
        return parse_response(transport.value())

    def samples(self, daemon: Daemon) -> dict[tuple[str, ...], float]:
        """Return the metrics: by the series' name, and the values of its labels in the order of the labels' names."""
        text = self.read(daemon, "/metrics").text
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def ones(self, daemon: Daemon, name: str, *labels: str) -> list[str]:
        """Return the values of the label by which a state differs, for those series of a metric that are 1."""
        return [
            each
            for (found, *values), number in self.samples(daemon).items()
            if found == name and number == 1
            for each in values
            if each not in labels and set(labels) <= set(values)
        ]
