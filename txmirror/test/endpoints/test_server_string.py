"""Servers by Twisted's strings: every key, every error, and no I/O before they listen."""

from __future__ import annotations

import os
import re
from typing import Any
from unittest import SkipTest

from twisted.application import strports
from twisted.internet import endpoints
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.internet.protocol import Factory
from twisted.plugin import getPlugins

from txmirror.endpoints.server_string import KEYS
from txmirror.test.endpoints.case import noted_io
from txmirror.test.endpoints.test_server_endpoint import PATH, ServerCase
from txmirror.test.test_examples import find_examples

ALL_KEYS = ", ".join(f"{key}KEY" if key.endswith(".") else key for key in KEYS)


class StringCase(ServerCase):
    def parse(self, *parts: str, **values: str) -> Any:
        """Return the endpoint of a string with these parts and values, which are quoted here."""
        keys = [f"{key}={quoteStringArgument(value)}" for key, value in values.items()]
        return serverFromString(self.reactor, ":".join(("mirror", *map(quoteStringArgument, parts), *keys)))


class ServerStringTests(StringCase):
    def test_all_keys(self) -> None:
        """A string with all keys is what its keys say."""
        hosts = quoteStringArgument(self.world.connect_string)
        endpoint = serverFromString(
            self.reactor,
            rf"mirror:{PATH}:hosts={hosts}:listen=tcp\:0:advertise=web1\:443:data.zone=b:data.rack=7:format=ndsr"
            r":name={name}-{port}:weight=5:drain=0:session_timeout=4",
        )
        self.assertEqual((self.ports(), self.sessions()), ([], 1))
        port = self.world.result(endpoint.listen(Factory()))
        self.world.settle()
        record = self.record("web-443")
        self.assertEqual((record["zone"], record["rack"], record["weight"]), ("b", "7", 5))
        self.world.result(self.begin_stop(port))
        self.assertEqual((self.nodes(), self.ports(), self.sessions()), ([], [], 1))

    def test_service(self) -> None:
        """The server of a program is a service by its string, as ``twistd web --listen`` makes it."""
        self.patch(os, "environ", {**os.environ, "TXMIRROR_SERVERS": self.world.connect_string})
        reactor: Any = self.reactor
        service = strports.service(rf"mirror:{PATH}:listen=tcp\:0", Factory(), reactor=reactor)
        service.startService()
        self.world.settle()
        (name,) = self.nodes()
        # All that read one of the formats in it find the address.
        record = self.record(name)
        self.assertEqual(record["host"], record["serviceEndpoint"]["host"])
        stopped = service.stopService()
        self.world.pass_time(1.1)
        self.successResultOf(stopped)
        self.assertEqual((self.nodes(), self.ports(), self.sessions()), ([], [], 1))

    def test_no_io(self) -> None:
        """Neither a valid nor an invalid string reads a file, opens a connection, or listens."""
        keys = {"listen": "tcp:0", "credentials": "none", "data.zone": "b", "hosts": self.world.connect_string}
        self.parse(PATH, **keys)
        before = self.reactor.getDelayedCalls()
        # Twisted looks for plugins in files.
        plugins = list(getPlugins(IStreamServerEndpointStringParser))
        self.patch(endpoints, "getPlugins", lambda _: plugins)
        with noted_io() as events:
            self.parse(PATH, **keys)
            self.assertRaises(ValueError, self.parse, PATH, **keys, drain="x")
        self.assertEqual(events, [])
        self.assertEqual((self.reactor.getDelayedCalls(), self.ports(), self.sessions()), (before, [], 1))

    def test_invalid(self) -> None:
        """Each error quotes the part; an unknown key names those that there are."""
        invalid: tuple[tuple[dict[str, str], str], ...] = (
            ({"listen": "tcp"}, "'listen=tcp'"),
            ({"listen": "tpc:80"}, "'listen=tpc:80'"),
            ({"listen": "t\nc:80"}, "'listen=t\\nc:80'"),
            ({"listen": "unix:/run/x"}, "UNIX socket"),
            ({"port": "80"}, "'port=80'"),
            ({"port": "80"}, ALL_KEYS),
            ({"advertise": "a:b:c"}, "'advertise=a:b:c'"),
            ({"advertise": "0.0.0.0:80"}, "'advertise=0.0.0.0:80'"),
            ({"advertise": "[::]"}, "'[::]' is every address"),
            ({"format": "yaml"}, "'format=yaml'"),
            ({"format": "yaml"}, "merged"),
            ({"weight": "heavy"}, "'weight=heavy'"),
            ({"weight": "-1"}, "'weight=-1'"),
            ({"drain": "long"}, "'drain=long'"),
            ({"name": "{nam}"}, "'{nam}'"),
            ({"name": "a/b"}, "'a/b'"),
            ({"hosts": "zk1:99999"}, "'hosts=zk1:99999'"),
            ({"format": "curator", "data.zone": "b"}, "{'zone': 'b'}"),
        )
        for values, quoted in invalid:
            with self.subTest(values):
                error = self.assertRaises(ValueError, self.parse, PATH, **{"listen": "tcp:80", **values})
                self.assertIn(quoted, str(error))
                self.assertNotIn("\n", str(error))
        self.assertIn("the key listen is missing", str(self.assertRaises(ValueError, self.parse, PATH)))
        self.assertIn(ALL_KEYS, str(self.assertRaises(ValueError, self.parse, listen="tcp:80")))
        self.assertEqual((self.ports(), self.sessions()), ([], 1))

    def test_documented(self) -> None:
        """The documentation has a table of all keys."""
        document = find_examples().parent / "guides/endpoints.rst"
        if not document.exists():
            raise SkipTest(f"there is no {document}")
        text = document.read_text("utf-8")
        servers = text[text.index("\nServers\n") : text.index("\nIn a program the same is an object")]
        named = set(re.findall(r"^``([\w.]+)``  ", servers, re.MULTILINE))
        self.assertEqual(named, {f"{key}KEY" if key.endswith(".") else key for key in KEYS})
