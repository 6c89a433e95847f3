"""The strings of client endpoints: parsed by Twisted, without I/O, and connected on one session for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, quoteStringArgument
from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor
from twisted.plugin import IPlugin, getPlugins
from zope.interface.verify import verifyObject

from txmirror.client import TLS
from txmirror.discovery import STRATEGIES
from txmirror.endpoints import RegistryClientEndpoint, SharedSession, client_string, close_sessions
from txmirror.endpoints.sessions import lease_registry
from txmirror.errors import ClosingException, NoInstanceException
from txmirror.test.certificates import Authority
from txmirror.test.endpoints.case import noted_io
from txmirror.test.endpoints.registry_case import PATH, A, B, RegistryCase

KEYS = (
    "pick, key, where.KEY, zone, least_in_zone, hold_for, down_after, down_for, format, wait, timeout, tls, hostname, trust, certificate, private_key, hosts, credentials,"
    " session_timeout"
)


class StringCase(RegistryCase):
    def setUp(self) -> None:
        super().setUp()
        self.hosts = f"hosts={quoteStringArgument(self.world.connect_string)}"

        parser: Any
        (parser,) = [
            each for each in getPlugins(IStreamClientEndpointStringParserWithReactor) if each.prefix == "mirror"
        ]
        self.parser = parser

    def parse(self, rest: str) -> Any:
        return clientFromString(self.reactor, f"mirror:{rest}")

    def sessions(self) -> int:
        self.world.settle()
        return len(self.world.server.sessions)


class ParsingTests(StringCase):
    def test_plugin(self) -> None:
        verifyObject(IStreamClientEndpointStringParserWithReactor, self.parser)
        verifyObject(IPlugin, self.parser)

    def test_cheap(self) -> None:
        """Other strings, and twistd, do not import what only these strings need; and these do not import twisted.web."""
        program = r"""
import sys
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, serverFromString
import twisted.plugins.txmirror_plugins

def loaded(package):
    return [each for each in sys.modules if each.startswith(package)]

clientFromString(reactor, "tcp:localhost:1")
first = loaded("txmirror")
clientFromString(reactor, "mirror:/services/web")
serverFromString(reactor, r"mirror:/services/web:listen=tcp\:0")
print(first, loaded("twisted.web"), len(loaded("txmirror.endpoints")) > 1)
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(done.stdout, "[] [] True\n")

    def test_all_keys(self) -> None:
        """A string may have all keys at once."""
        endpoint = self.parse(
            rf"services/web:{self.hosts}:credentials=/a\:b:session_timeout=4:pick=sticky:key=user 7:where.kind=small"
            r":where.a.b=c=d:zone=b:least_in_zone=2:hold_for=60:down_after=3:down_for=9.5:format=curator:wait=0:timeout=2.5:tls=yes:hostname=web.example:trust=ca.pem"
            r":certificate=own.pem:private_key=own.key"
        )
        self.assertIsInstance(endpoint, RegistryClientEndpoint)
        self.assertEqual(repr(endpoint), f"<RegistryClientEndpoint {PATH!r}>")

    def test_values(self) -> None:
        """Each key is the argument of its name, and each has a default."""
        made: list[dict[str, Any]] = []
        self.patch(client_string, "RegistryClientEndpoint", lambda *_, **options: made.append(options))
        limits = {"least_in_zone": 2, "hold_for": 60.0, "down_after": 3, "down_for": 9.5}
        named = {
            "pick": "sticky",
            "key": "user 7",
            "zone": "b",
            "wait": 0.5,
            "timeout": 2.0,
            "hostname": "web",
            **limits,
        }
        keys = {**named, "where.kind": "small", "format": "curator", "trust": "/ca"}
        for each in (keys, {"tls": "yes"}, {"hold_for": "0", "wait": "0"}):
            self.parser.parseStreamClient(self.reactor, PATH, **{key: str(value) for key, value in each.items()})
        self.assertEqual(made[0], {**named, "where": {"kind": "small"}, "codec": "curator", "tls": TLS("/ca")})
        missing = dict.fromkeys(("key", "where", "zone", "codec", "hostname", "hold_for"))
        numbers = {"wait": 5.0, "timeout": 30.0, "least_in_zone": 1, "down_after": 2, "down_for": 30.0}
        self.assertEqual(made[1], {**missing, **numbers, "pick": "round-robin", "tls": TLS()})
        self.assertEqual([made[2][each] for each in ("hold_for", "wait", "tls")], [0.0, 0.0, None])

    def test_strategies(self) -> None:
        for pick in STRATEGIES:
            self.parse(f"{PATH}:pick={pick}")

    def test_no_io(self) -> None:
        """Neither a valid nor an invalid string reads a file or opens a connection."""
        keys = {
            "hosts": self.world.connect_string,
            "credentials": "none",
            "tls": "yes",
            "trust": "none",
            "format": "curator",
        }
        self.parser.parseStreamClient(self.reactor, PATH, **keys)
        before = self.reactor.getDelayedCalls()
        with noted_io() as events:
            self.parser.parseStreamClient(self.reactor, PATH, **keys)
            self.assertRaises(ValueError, self.parser.parseStreamClient, self.reactor, PATH, **keys, wait="x")
        self.assertEqual(events, [])
        self.assertEqual((self.reactor.getDelayedCalls(), self.sessions()), (before, 0))

    def test_malformed(self) -> None:
        """The error quotes the part, on one line, and a wrong key or path also names all keys."""
        for rest, parts in (
            ("", ("it has no path", KEYS)),
            ("/a:/b", ("'/b'", KEYS)),
            ("/a:pik=random", ("'pik=random'", KEYS)),
            ("/a:where.=b", ("'where.=b'", KEYS)),
            ("/a:listen=tcp\\:0", ("'listen=tcp:0'", KEYS)),
            ("/a:reactor=1:self=2", ("'reactor=1'", KEYS)),
            ("/a:pick=best", ("'pick=best'", ", ".join(STRATEGIES))),
            ("/a:format=xml", ("'format=xml'", "merged")),
            ("/a:wait=-1", ("'wait=-1'",)),
            ("/a:timeout=0", ("'timeout=0'",)),
            ("/a:least_in_zone=0", ("'least_in_zone=0'", "above 0")),
            ("/a:hold_for=-1", ("'hold_for=-1'",)),
            ("/a:down_after=1.5", ("'down_after=1.5'", "whole number")),
            ("/a:down_for=soon", ("'down_for=soon'",)),
            ("/a:tls=on", ("'tls=on'", "neither yes nor no")),
            ("/a:tls=no:hostname=web", ("'hostname=web'", "'tls=no'")),
            ("/a:hostname=", ("'hostname='", "no name of a host")),
            ("/a:hostname=a b", ("'hostname=a b'",)),
            ("/a:hostname=a..b", ("'hostname=a..b'",)),
            ("/a:trust=", ("'trust='",)),
            ("/a:private_key=key.pem", ("'private_key=key.pem'", "'certificate'")),
            ("/a:hosts=zk1\\:x", ("'hosts=zk1:x'",)),
            ("/a/../b", ("'/a/../b'",)),
        ):
            with self.subTest(rest), self.assertRaises(ValueError) as raised:
                self.parse(rest)
            message = str(raised.exception)
            for part in parts:
                self.assertIn(part, message)
            self.assertNotIn("\n", message)

    def test_long(self) -> None:
        """A message does not grow with the string."""
        long = "x" * 100000
        for rest in (
            f"/a:{long}=1",
            f"/a:{long}",
            f"/a:pick={long}",
            f"/a:hosts={long}",
            f"/a:wait={long}",
            f"/../{long}",
        ):
            with self.assertRaises(ValueError) as raised:
                self.parse(rest)
            self.assertIn("mirror: ", str(raised.exception))
            self.assertLess(len(str(raised.exception)), 1000)


class ConnectingTests(StringCase):
    def test_options(self) -> None:
        """The keys choose the instance."""
        self.serve(A, kind="big", zone="a", number=1)
        self.serve(B, kind="small", zone="b", number=2)
        for keys, host in (("where.kind=small", B), ("where.number=1", A), ("zone=b", B), ("where.kind=big:zone=b", A)):
            with self.subTest(keys):
                hosts = {self.connected(self.parse(f"{PATH}:{self.hosts}:{keys}")) for _ in range(3)}
                self.assertEqual(hosts, {host})

    def test_limits(self) -> None:
        """They say when an instance is left alone, and for how long, and how many instances of a zone are enough."""
        self.kill(A, self.serve(A))
        self.serve(B)
        attempts = self.note_attempts()
        for _ in range(4):
            self.assertEqual(self.connected(self.parse(f"{PATH}:{self.hosts}:down_after=1:down_for=1")), B)
        self.assertEqual(attempts.count(A), 1)
        self.reactor.pass_time(2.0)
        for _ in range(4):
            self.assertEqual(self.connected(self.parse(f"{PATH}:{self.hosts}:down_after=1:down_for=1")), B)
        self.assertEqual(attempts.count(A), 2)

    def test_least_in_zone(self) -> None:
        self.serve(A, zone="a")
        self.serve(B, zone="b")
        for least, hosts in ((1, {A}), (2, {A, B})):
            endpoint = self.parse(f"{PATH}:{self.hosts}:zone=a:least_in_zone={least}")
            self.assertEqual({self.connected(endpoint) for _ in range(4)}, hosts)

    def test_one_session(self) -> None:
        """Endpoints that are parsed for each connection leave no object, use one session, and know what others have learned."""
        registry = self.serve(A)
        self.serve(B)
        before = self.sessions()
        dropped: list[weakref.ref[Any]] = []
        hosts = []
        for _ in range(50):
            endpoint = self.parse(f"{PATH}:{self.hosts}")
            dropped.append(weakref.ref(endpoint))
            hosts.append(self.connected(endpoint))
        del endpoint
        self.assertEqual({hosts.count(A), hosts.count(B)}, {25})
        self.assertEqual([each for each in dropped if each() is not None], [])
        self.assertEqual(self.sessions(), before + 1)
        self.kill(A, registry)
        attempts = self.note_attempts()
        self.assertEqual({self.connected(self.parse(f"{PATH}:{self.hosts}")) for _ in range(10)}, {B})
        self.assertEqual(attempts.count(A), 2)
        self.world.result(close_sessions(self.reactor))
        self.assertEqual(self.sessions(), before)

    def test_environment(self) -> None:
        """The servers of the environment count if there are no hosts."""
        self.serve(A)
        os.environ["TXMIRROR_SERVERS"] = self.world.connect_string
        self.assertEqual(self.connected(self.parse(PATH)), A)

    def test_credentials(self) -> None:
        """The file with the credentials is read for the first connection, and again after an error."""
        self.serve(A)
        file = Path(self.mktemp())
        endpoint = self.parse(f"{PATH}:{self.hosts}:credentials={file}")
        failed = self.failureResultOf(self.connect(endpoint), ValueError).value
        self.assertIn(repr(str(file.absolute())), str(failed))
        file.write_text("TXMIRROR_USERNAME=web\nTXMIRROR_PASSWORD=secret\n")
        file.chmod(0o600)
        self.assertEqual(self.connected(endpoint), A)

    def test_tls(self) -> None:
        """The keys for TLS are those of the connection to the instance."""
        self.serve(A)
        folder = Path(self.mktemp())
        folder.mkdir()
        trust = Authority(folder, "authority").file
        connecting = self.connect(self.parse(f"{PATH}:{self.hosts}:trust={trust}:hostname=web.example"))
        self.assertIn("SSL", str(self.failureResultOf(connecting, NoInstanceException).value))
        trust.unlink()
        connecting = self.connect(self.parse(f"{PATH}:{self.hosts}:trust={trust}"))
        self.assertIn(repr(str(trust.absolute())), str(self.failureResultOf(connecting, ValueError).value))

    def test_shutdown(self) -> None:
        """When the reactor stops, the session is closed, and connections fail from then on until it runs again."""
        self.serve(A)
        before = self.sessions()
        endpoint = self.parse(f"{PATH}:{self.hosts}")
        self.connected(endpoint)
        waiting = self.connect(self.parse(f"/none:{self.hosts}"))
        withdrawing: Deferred[None] = Deferred()
        other = lease_registry(SharedSession(self.world.connect_string, reactor=self.reactor), lambda: withdrawing)
        stopped = self.reactor.shut_down()
        late = self.parse(f"{PATH}:{self.hosts}:session_timeout=9")
        self.failureResultOf(self.connect(late), ClosingException)
        withdrawing.callback(None)
        self.world.result(stopped)
        self.world.result(other.release())
        self.assertEqual(self.sessions(), before)
        self.reactor.pass_time(5.0)
        self.failureResultOf(waiting, NoInstanceException)
