"""``ensemble``, ``doctor`` and ``locks`` ask the AdminServers of the servers by HTTP, and name the reason if one does not answer well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.servers import exchange
from txmirror.cli.servers.admin import AdminAsker
from txmirror.cli.servers.answers import NoAnswer
from txmirror.cli.servers.reports import WORDS
from txmirror.client import Server
from txmirror.printable import session_name
from txmirror.test.cli.case import CommandTestCase
from txmirror.testing import MemoryReactor

PORT = 8080
#: As ZooKeeper 3.8 answers, without the keys that are not read.
STATE = {
    "version": "3.8.0-abc, built on 2024-12-29 17:54 UTC",
    "read_only": False,
    "server_stats": {
        "server_state": "standalone",
        "last_processed_zxid": 4294967301,
        "outstanding_requests": 2,
        "avg_latency": 4.75,
        "max_latency": 10,
        "min_latency": 0,
        "num_alive_client_connections": 3,
    },
    "node_count": 5,
    "command": "server_stats",
    "error": None,
}
MONITOR = {"watch_count": 7, "znode_count": 5, "max_client_response_size": 106, "command": "monitor", "error": None}
CONFIGURATION = {"client_port": 2181, "max_client_cnxns": 60, "command": "configuration", "error": None}
NOT_SERVING = {
    "command": "server_stats",
    "error": "This ZooKeeper instance is not currently serving requests",
}


def respond(value: object, status: str = "200 OK") -> bytes:
    """Return an answer by HTTP, as Jetty sends it."""
    body = value if isinstance(value, bytes) else json.dumps(value, indent=2).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Site(Protocol):
    """Answers each request by its path, and closes the connection."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\r\n\r\n"):
            assert self.transport is not None
            self._sites.requests.append(self._received)
            answer = self._sites.answers.get(self._received.split()[1].decode().removeprefix("/commands/"))
            if answer is not None:
                self.transport.write(answer)
                self.transport.loseConnection()


class Sites(ServerFactory):
    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answers: dict[str, bytes] = {
            "server_stats": respond(STATE),
            "monitor": respond(MONITOR),
            "configuration": respond(CONFIGURATION),
            "connections": respond({"connections": [], "secure_connections": [], "error": None}),
        }

    def buildProtocol(self, addr: object) -> Site:
        return Site(self)


class AdminTestCase(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sites = Sites()
        self.addCleanup(self.reactor.listenTCP(PORT, self.sites).stopListening)

    def report(self, *options: str) -> dict[str, Any]:
        """Return the report of ``ensemble`` about the only server."""
        command = self.start("ensemble", "--admin-port", str(PORT), "-o", "jsonl", *options)
        self.world.pass_time(10.0)
        first: dict[str, Any] = json.loads(command.lines[0])
        self.assertEqual(command.status, 0 if first["problem"] is None else 1)
        return first


class EnsembleTests(AdminTestCase):
    def test_report(self) -> None:
        """The report has all that the words say."""
        found = self.report()
        found.pop("round_trip_ms")
        self.assertEqual(
            found,
            {
                "server": self.world.connect_string,
                "problem": None,
                "mode": "standalone",
                "version": "3.8.0",
                "zxid": "0x100000005",
                "latency_ms": {"average": 4.75, "longest": 10.0},
                "connections": 3,
                "outstanding": 2,
                "nodes": 5,
                "watches": 7,
                "ephemerals": None,
                "data_bytes": None,
                "synced_followers": None,
                "lacks": [],
                "refused_words": [],
                "behind": 0,
            },
        )
        self.assertEqual(
            self.sites.requests[0],
            f"GET /commands/server_stats HTTP/1.0\r\nHost: 127.0.0.1:{PORT}\r\nAccept: application/json\r\n\r\n".encode(),
        )

    def test_table(self) -> None:
        command = self.done("ensemble", "--admin-port", str(PORT))
        self.assertEqual(command.lines[1].split()[:4], [self.world.connect_string, "standalone", "3.8.0", "0"])
        self.assertNotIn("unknown", command.out)

    def test_profile(self) -> None:
        """A profile can have the port."""
        file = Path(self.mktemp())
        file.write_text(f"[profile.p]\nadmin_port = {PORT}\n")
        self.patch(__import__("os"), "environ", {"TXMIRROR_CONFIG": str(file)})
        self.done("--profile", "p", "ensemble")
        self.assertEqual(len(self.sites.requests), 3)

    def test_port(self) -> None:
        for text in ("0", "65536", "http"):
            self.assertIn("--admin-port", self.refused(64, "ensemble", "--admin-port", text))

    def problem(self, answer: bytes | None, command: str = "server_stats") -> str:
        """Return the problem if this is the answer to a command."""
        if answer is None:
            self.sites.answers.pop(command)
        else:
            self.sites.answers[command] = answer
        return str(self.report("--timeout", "2")["problem"])

    def test_not_serving(self) -> None:
        """Without a quorum the server says so. Versions differ in the status."""
        for status in ("200 OK", "503 Service Unavailable"):
            problem = self.problem(respond(NOT_SERVING, status))
            self.assertEqual(problem, "the server serves no requests: it has no leader, or is starting")

    def test_other_answers(self) -> None:
        """There is one line about any other answer."""
        prefix = f"its AdminServer at port {PORT}: "
        unknown = "the answer is not that of an AdminServer (status {})"
        not_http = "the answer is not HTTP, or is cut: another program listens there, or it needs TLS"
        for answer, expected in (
            (
                respond(b"<html>Error 500 java.lang.NullPointerException</html>", "500 Server Error"),
                unknown.format(500),
            ),
            (respond(b"", "302 Found"), unknown.format(302)),
            (respond([1]), unknown.format(200)),
            (respond(b"[" * 100000), unknown.format(200)),
            (respond({"error": "Unknown command: server_stats"}), "Unknown command: server_stats"),
            (respond(STATE)[:-5], not_http),
            (b"imok", not_http),
            (b"\x15\x03\x01\x00\x02\x02\x50", not_http),
            (b"", "no answer to '/commands/server_stats': the server closed the connection"),
            (None, "no answer within 2 s"),
        ):
            self.assertEqual(self.problem(answer), prefix + expected)

    def test_part(self) -> None:
        """If only one command fails, the rest is shown, with the problem."""
        self.sites.answers["monitor"] = respond(b"", "500 Server Error")
        found = self.report()
        self.assertIn("(status 500)", found["problem"])
        self.assertEqual((found["mode"], found["watches"]), ("standalone", None))

    def test_too_long(self) -> None:
        """An answer without an end is cut."""
        self.patch(exchange, "_LONGEST", 2**20)
        problem = self.problem(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 2**21)
        self.assertIn("the answer to '/commands/server_stats' is longer than", problem)

    def test_no_listener(self) -> None:
        command = self.start("ensemble", "--admin-port", "9999")
        self.world.pass_time(10.0)
        self.assertEqual(command.status, 1)
        expected = "its AdminServer at port 9999: connection refused: no process listens there"
        self.assertIn(f"Problem: {self.world.connect_string}: {expected}", command.lines)


class OtherCommandsTests(AdminTestCase):
    def test_doctor(self) -> None:
        """``doctor`` counts the connections by address."""
        clients = [{"remote_socket_address": f"10.0.0.1:{port}", "session_id": port} for port in range(50)]
        self.sites.answers["connections"] = respond({"connections": clients, "secure_connections": []})
        command = self.start("doctor", "--admin-port", str(PORT))
        self.assertEqual(command.status, 0, command.out)
        line = f"warn  limits {self.world.connect_string}: 50 connections from 10.0.0.1, of at most 60 from one address"
        self.assertEqual([each.partition(" -> ")[0] for each in command.lines if each.startswith("warn")], [line])

    def test_doctor_without(self) -> None:
        """If the AdminServer does not answer, ``doctor`` still tries to open a session."""
        command = self.start("doctor", "--admin-port", "9999")
        self.assertEqual(command.status, 1)
        self.assertIn("-> start the server, or correct --admin-port", command.lines[1])
        self.assertTrue(command.lines[2].startswith("ok    session: "), command.lines)

    def test_locks(self) -> None:
        """``locks --clients`` finds the client of a session, which may have a negative number."""
        self.make("/lock")
        self.make("/lock/" + "a" * 32 + "__lock__0000000001", ephemeral=True)
        client = {"remote_socket_address": "10.0.0.1:1234", "session_id": self.other.session_id}
        self.sites.answers["connections"] = respond({"connections": [{}, client], "secure_connections": [{}]})
        (_, line) = self.done("locks", "/lock", "--clients", "--admin-port", str(PORT)).lines
        self.assertIn(f"10.0.0.1:1234 at {self.world.connect_string}", line)
        self.assertIn(session_name(self.other.session_id), line)


class AnyAnswerTests(SynchronousTestCase):
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5),
        lambda each: (
            st.lists(each, max_size=3) | st.dictionaries(st.sampled_from([*STATE, *MONITOR, "connections"]), each)
        ),
        max_leaves=20,
    )

    @given(st.builds(respond, values) | st.binary(max_size=200) | st.binary(max_size=200).map(respond))
    def test_any(self, answer: bytes) -> None:
        """Any answer is read, or is no answer."""
        reactor = MemoryReactor()
        sites = Sites()
        sites.answers = dict.fromkeys(sites.answers, answer)
        reactor.listenTCP(PORT, sites)
        asker = AdminAsker(reactor, 1.0, PORT)
        server = Server("127.0.0.1", 1)
        asking: list[Deferred[Any]] = [asker.ask(server, word) for word in WORDS]
        for each in (*asking, asker.clients(server)):
            each.addErrback(lambda failure: failure.trap(NoAnswer))
            reactor.advance(0)
            reactor.advance(2.0)
            self.successResultOf(each)
