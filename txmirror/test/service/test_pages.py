"""The requests that the pages for operators show, at a daemon in memory, and the settings for its metrics."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.protocol import ClientFactory

from txmirror.configuration import HTTPServer
from txmirror.service import Daemon, make_root
from txmirror.service.http import HTTPService
from txmirror.test.pages.curl import Request, parse_curl
from txmirror.test.pages.found import tested_blocks
from txmirror.test.pages.terminals import split
from txmirror.test.service.case import service
from txmirror.test.service.test_control import ControlTestCase
from txmirror.test.service.test_metrics_port import Client
from txmirror.test.web.exchange import parse_response

_TOKEN = "0123456789abcdef"
_TOKEN_FILE = "$(cat /etc/txmirror/token)"
_PORT = 8580


class ControlSocketTests(ControlTestCase):
    def test_requests(self) -> None:
        """The requests at the control socket are answered: a service is described, and a check of the type ``ttl`` is pushed."""
        (block,) = tested_blocks("docs/operations/running.rst", __name__)
        describe, push = (parse_curl(line.removeprefix("$ ")) for line in block.lines)
        check = ["[[service.check]]", 'type = "ttl"', 'ttl = "1h"', ""]
        daemon = self.daemon(service("web", checks=0), service("redis", checks=0) + "\n".join(check))
        status, answer = self.send(daemon, describe)
        self.assertEqual((status, answer["id"], answer["condition"]), (200, "web", "registered"))
        self.assertEqual(list(self.registered()), ["web"])
        self.assertEqual(self.send(daemon, push), (200, {}))
        self.assertEqual(list(self.registered()), ["redis", "web"])

    def send(self, daemon: Daemon, request: Request) -> tuple[int, Any]:
        """Send a request, which goes to the control socket of the sample in the page."""
        self.assertEqual((request.socket, request.headers), ("/run/txmirror/control.sock", {}))
        return self.request(daemon, request.method, request.path, request.body)


class ChangeTests(ControlTestCase):
    def setUp(self) -> None:
        super().setUp()
        token = self.folder / "token"
        token.write_text(f"{_TOKEN}\n")
        token.chmod(0o600)
        maintenance = self.folder.absolute() / "maintenance.json"
        self.web = self.daemon(service("web", checks=0), daemon=f'maintenance_file = "{maintenance}"')
        self.http = HTTPService(self.reactor)
        self.http.apply(HTTPServer(token_file=str(token.absolute())))
        self.http.serve(make_root(self.web))
        self.http.startService()
        self.reactor.settle()

    def tearDown(self) -> None:
        stopped = self.http.stopService()
        self.reactor.pass_time(60)
        self.successResultOf(stopped)
        super().tearDown()

    def send(self, request: Request, headers: dict[str, str]) -> Any:
        """Send a request by TCP, and return its answer."""
        client = Client()
        factory: Any = ClientFactory()
        factory.buildProtocol = lambda _: client
        self.assertTrue(request.url.startswith(f"http://127.0.0.1:{_PORT}/"), request.url)
        self.reactor.connectTCP("127.0.0.1", _PORT, factory)
        self.reactor.settle()
        assert request.body is not None
        lines = [f"{request.method} {request.path} HTTP/1.1", f"Host: 127.0.0.1:{_PORT}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, f"Content-Length: {len(request.body)}", "", ""])
        assert client.transport is not None
        client.transport.write(head.encode() + request.body)
        self.reactor.settle()
        return parse_response(client.received)

    def test_maintenance(self) -> None:
        """A change with the token and the type of its body is made, and answered as the page shows; without either it is refused."""
        (block,) = tested_blocks("docs/operations/http.rst", __name__)
        ((command, output),) = split(block.lines)
        request = parse_curl(command)
        headers = {name: value.replace(_TOKEN_FILE, _TOKEN) for name, value in request.headers.items()}
        self.assertEqual(len(headers), 2)
        for name in headers:
            self.assertIn(self.send(request, {**headers, name: "text/plain"}).status, (401, 415))
        self.assertEqual(list(self.registered()), ["web"])
        found, shown = self.send(request, headers).value, json.loads("\n".join(output))
        for each in (found, shown):
            times = each["maintenance"]["web"]
            self.assertAlmostEqual(times.pop("until") - times.pop("since"), 3600)
        self.assertEqual(found, shown)
        self.assertEqual(self.registered(), {})
