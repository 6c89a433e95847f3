"""A server that runs by itself: its command line, and the service that starts and stops it."""

from __future__ import annotations

import io
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import IService
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.client import ZooKeeperClient
from txmirror.embedded import CannotListenExit, EmbeddedOptions, EmbeddedService
from txmirror.errors import UnimplementedException
from txmirror.testing import MemoryReactor


def parse(*arguments: str) -> EmbeddedOptions:
    options = EmbeddedOptions()
    options.parseOptions(list(arguments))
    return options


class OptionsTests(SynchronousTestCase):
    def refuse(self, *arguments: str) -> str:
        """Return the one line with which a command line is refused, with status 1."""
        exited = self.assertRaises(SystemExit, parse, *arguments)
        line = exited.code
        assert isinstance(line, str), "a text, which Python prints before it exits with 1"
        self.assertTrue(line.startswith("txmirror embedded: "), line)
        self.assertTrue(line.isprintable(), line)
        return line

    def test_defaults(self) -> None:
        """Without anything it listens on loopback, at ZooKeeper's own port, and is ZooKeeper 3.8."""
        options = parse()
        self.assertEqual(options["listen"], ("127.0.0.1", 2181))
        self.assertEqual((options["imitate"], options["tick-time"], options["ttl-nodes"]), ("3.8", 0.5, 0))

    def test_listen(self) -> None:
        """An address and a port, IPv6 in brackets, loopback by name, or a port alone."""
        for text, expected in (
            ("10.0.0.1:2181", ("10.0.0.1", 2181)),
            ("[::1]:0", ("::1", 0)),
            ("localhost:65535", ("127.0.0.1", 65535)),
            ("0", ("127.0.0.1", 0)),
            ("2182", ("127.0.0.1", 2182)),
        ):
            self.assertEqual(parse("--listen", text)["listen"], expected)

    def test_settings(self) -> None:
        """The other settings are taken as given."""
        options = parse("--imitate", "3.4", "--tick-time", "2", "--ttl-nodes")
        self.assertEqual((options["imitate"], options["tick-time"], options["ttl-nodes"]), ("3.4", 2.0, 1))

    def test_refused(self) -> None:
        """The error quotes the invalid value, with the name of its option."""
        for option, values in {
            "--listen": (
                *(
                    "",
                    ":",
                    ":2181",
                    "zoo",
                    "zoo:2181",
                    "127.0.0.1",
                    "127.0.0.1:",
                    "127.0.0.1:65536",
                    "127.0.0.1:-1",
                    "²",
                ),
                *(
                    "::1:2181",
                    "[::1]",
                    "[::1:2181",
                    "[127.0.0.1]:1",
                    "300.0.0.1:1",
                    "1e3",
                    "0x10",
                    "a\nb:1",
                    "-1",
                    "65536",
                ),
            ),
            "--imitate": ("", "3", "3.7", "3.8.0", "two\nlines"),
            "--tick-time": ("", "x", "1s", "0", "-1", "nan", "inf", "0.0001", "1e9"),
        }.items():
            for value in values:
                line = self.refuse(option, value)
                self.assertIn(repr(value), line)
                self.assertIn(option, line)

    def test_unknown(self) -> None:
        """Options and arguments that there are not are named."""
        self.assertIn("--bogus", self.refuse("--bogus"))
        self.assertIn("'stray'", self.refuse("stray"))
        self.assertIn("--ttl-nodes", self.refuse("--ttl-nodes=yes"))

    def test_help(self) -> None:
        """The help names the command and every option, and exits well."""
        stdout = io.StringIO()
        self.patch(sys, "stdout", stdout)
        exited = self.assertRaises(SystemExit, parse, "--help")
        self.assertIn(exited.code, (0, None))
        for text in ("python -m txmirror.embedded", "--listen", "--imitate", "--tick-time", "--ttl-nodes"):
            self.assertIn(text, stdout.getvalue())

    @given(st.text("0123456789.:[]lz%- \n", max_size=12))
    def test_any_address(self, text: str) -> None:
        """Any address is taken or refused; nothing else ever comes of it."""
        try:
            host, port = parse(f"--listen={text}")["listen"]
        except SystemExit as exited:
            self.assertIn(repr(text), str(exited.code))
        else:
            self.assertTrue(host)
            self.assertIn(port, range(65536))


class ServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.lines: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event["log_namespace"].startswith("txmirror.embedded.alone"):
                self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def service(self, *arguments: str) -> EmbeddedService:
        service = EmbeddedService(parse(*arguments), self.reactor)
        self.assertTrue(verifyObject(IService, service))
        return service

    def client(self, address: str, session_timeout: float = 10.0) -> ZooKeeperClient:
        client = ZooKeeperClient(address, session_timeout=session_timeout, reactor=self.reactor)
        connected = client.connect()
        self.reactor.settle()
        self.successResultOf(connected)
        return client

    def test_life(self) -> None:
        """Nothing listens before the start; then it serves, and logs its version and address; nothing is left after the stop."""
        service = self.service("--listen", "[::1]:0")
        self.assertEqual(self.reactor.listeners(), {})
        service.startService()
        what, where = self.lines
        self.assertIn("in-memory", what)
        self.assertIn("lost when it stops", what)
        address = where.split()[-1]
        self.assertRegex(where, r"listening at \[::1\]:\d+$")
        self.assertFalse(address.endswith(":0"))
        client = self.client(address)
        closed = client.close()
        self.reactor.settle()
        self.successResultOf(closed)
        stopped = service.stopService()
        self.reactor.settle()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.lines[2:], ["Stopped."])
        self.assertEqual((self.reactor.listeners(), self.reactor.links, self.reactor.getDelayedCalls()), ({}, [], []))

    def test_settings(self) -> None:
        """The options of the command line are the server's settings."""
        for arguments, timeout, creatable in (((), 1.0, False), (("--tick-time", "1.5", "--ttl-nodes"), 3.0, True)):
            service = self.service("--listen", "2181", *arguments)
            service.startService()
            client = self.client("127.0.0.1:2181", session_timeout=0.1)
            created = client.create_with_ttl("/a", ttl=1.0)
            self.reactor.settle()
            self.assertEqual(client.session_timeout, timeout)
            if creatable:
                self.assertEqual(self.successResultOf(created)[0], "/a")
            else:
                self.failureResultOf(created, UnimplementedException)
            client.close()
            self.reactor.settle()
            service.stopService()
            self.reactor.settle()

    def test_version(self) -> None:
        """It imitates the configured version, and logs it."""
        service = self.service("--listen", "2181", "--imitate", "3.4")
        service.startService()
        self.assertIn("ZooKeeper 3.4,", self.lines[1])
        client = self.client("127.0.0.1:2181")
        watched = client.add_watch("/", print)
        self.reactor.settle()
        self.failureResultOf(watched)
        client.close()
        service.stopService()
        self.reactor.settle()

    def test_keeper(self) -> None:
        """The log has, too, that the server imitates ClickHouse Keeper."""
        service = self.service("--listen", "2181", "--imitate", "keeper")
        service.startService()
        self.assertIn("An imitation of ClickHouse Keeper,", self.lines[1])
        client = self.client("127.0.0.1:2181")
        self.reactor.settle()
        assert client.session_ticket is not None
        self.assertEqual(client.session_ticket.password, bytes(16))
        client.close()
        service.stopService()
        self.reactor.settle()

    def test_port_taken(self) -> None:
        """If it cannot listen, it ends the program with one line that names the address."""
        first, second = self.service("--listen", "[::1]:7"), self.service("--listen", "[::1]:7")
        first.startService()
        error = self.assertRaises(CannotListenExit, second.startService)
        self.assertIsInstance(error, SystemExit)
        # twistd takes its pid file away, and then lets it pass.
        self.assertIsInstance(error, Exception)
        self.assertRegex(
            str(error.code),
            r"^txmirror embedded: cannot listen at \[::1\]:7: address in use; choose another address with --listen$",
        )
        self.assertFalse(second.running)
        first.stopService()
        self.reactor.settle()
