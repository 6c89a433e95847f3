"""The simple form of a configuration: options of a command line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txmirror.access import Access
from txmirror.configuration import HTTP, TCP, Command, Configuration, ConfigurationError, Service, from_options
from txmirror.test.configuration.case import SECRET, make_machine


def load(*items: tuple[str, str]) -> Configuration:
    """Return the configuration for these options."""
    return from_options(items, servers="zk1:1", session_timeout=5.0, machine=make_machine())


class OptionsTests(SynchronousTestCase):
    def services(self, *items: tuple[str, str]) -> tuple[Service, ...]:
        return load(*items).services

    def errors(self, *items: tuple[str, str]) -> list[str]:
        """Return the errors of these options, without a secret."""
        error = self.assertRaises(ConfigurationError, load, *items)
        self.assertNotIn(SECRET, str(error))
        return list(error.lines)

    def data(self, text: str) -> object:
        """Return the value of a KEY=VALUE whose key is ``k``."""
        data = self.services(("register", "/a"), ("data", f"k={text}"))[0].data
        assert isinstance(data, dict)
        return data["k"]

    def test_register(self) -> None:
        """A service has its path as its id, and the session's settings are kept."""
        configuration = from_options(
            [("register", "/services/web/host1:80")],
            servers="zk1:1",
            session_timeout=5.0,
            access=Access("app", SECRET),
            state_file="/s",
            machine=make_machine(),
        )
        zookeeper = configuration.zookeeper
        self.assertEqual((zookeeper.servers, zookeeper.session_timeout, zookeeper.state_file), ("zk1:1", 5.0, "/s"))
        self.assertEqual(zookeeper.access, Access("app", SECRET))
        self.assertEqual(configuration.host.name, "host1")
        (service,) = configuration.services
        self.assertEqual((service.id, service.znode_path), ("/services/web/host1:80",) * 2)
        self.assertEqual((service.checks, service.data), ((), {}))
        self.assertEqual(self.services(("register", "/web"))[0].znode_path, "/web")
        self.assertEqual(self.services(), ())

    def test_own(self) -> None:
        """Options before the first register are for all services, later ones for one; its own data wins."""
        one, two = self.services(
            ("data", "a=1"),
            ("data", "b=1"),
            ("check-tcp", "81"),
            ("register", "/one"),
            ("data", "b=2"),
            ("check-tcp", "[::1]:82"),
            ("register", "/two"),
            ("data", "c=3"),
        )
        self.assertEqual((one.data, two.data), ({"a": 1, "b": 2}, {"a": 1, "b": 1, "c": 3}))
        self.assertEqual([check.probe for check in one.checks], [TCP(port=81), TCP(host="::1", port=82)])
        self.assertEqual([check.name for check in one.checks], ["tcp", "tcp-2"])
        self.assertEqual([check.probe for check in two.checks], [TCP(port=81)])

    def test_typed(self) -> None:
        """A value is typed as in TOML, and any other is a text."""
        for text, value in {
            "3": 3,
            "-1.5": -1.5,
            "true": True,
            '"text"': "text",
            "'3'": "3",
            "[1, 'a']": [1, "a"],
            '{ a = "b" }': {"a": "b"},
            "text": "text",
            "": "",
            "us-east-1": "us-east-1",
            "1.4.2": "1.4.2",
            "3 # three": "3 # three",
            "#1": "#1",
            "a=b": "a=b",
            "1\nx = 2": "1\nx = 2",
            "nan": "nan",
            "inf": "inf",
            "2026-11-29": "2026-11-29",
            "10:30:00": "10:30:00",
            "[::1]:80": "[::1]:80",
        }.items():
            self.assertEqual((self.data(text), type(self.data(text))), (value, type(value)), text)

    def test_no_placeholders(self) -> None:
        """Braces are plain characters, as a shell has variables of its own."""
        (service,) = self.services(("register", "/{x}"), ("data", "k=a{env:HOME}"), ("check-command", "a {host}"))
        self.assertEqual((service.znode_path, service.data), ("/{x}", {"k": "a{env:HOME}"}))
        self.assertEqual(service.checks[0].probe, Command(argv=("a", "{host}")))

    def test_checks(self) -> None:
        """Each kind of check."""
        (service,) = self.services(
            ("register", "/a"), ("check-http", "http://a/b"), ("check-command", "a 'b c' \"\""), ("check-tcp", "h:1")
        )
        self.assertEqual(
            [check.probe for check in service.checks],
            [HTTP(url="http://a/b"), Command(argv=("a", "b c", "")), TCP(host="h", port=1)],
        )

    def test_errors(self) -> None:
        """All errors are found, each with its option."""
        self.assertEqual(
            self.errors(
                ("data", "x"),
                ("data", "=x"),
                ("check-tcp", "80x"),
                ("check-command", "a 'b"),
                ("check-command", ""),
                ("register", "/a"),
                ("data", "k=1"),
                ("data", "k=2"),
                ("data", 'q="a'),
                ("check-http", f"http://app:{SECRET}@a"),
                ("check-tcp", "a:0"),
                ("register", "/a"),
                ("register", "/"),
                ("register", "b"),
                ("register", "/c/"),
                ("register", "/a b"),
            ),
            [
                "--data: 'x' is not of the form KEY=VALUE",
                "--data: '=x' is not of the form KEY=VALUE",
                "--check-tcp: '80x' is not of the form HOST:PORT",
                '--check-command: "a \'b" cannot be split into arguments: No closing quotation',
                "--data: the key 'k' is given twice",
                "--data: the value of 'q' is invalid: it is not TOML: "
                + self.errors(("register", "/a"), ("data", 'q="a'))[0].rpartition(": ")[2],
                "--check-command: it has 0 items, and needs 1",
                "--check-http: it has a user name or a password: send them in headers",
                "--check-tcp: 0 is not between 1 and 65535",
                "--register: '/a' is given twice",
                "--register: '/' is not the path of a znode such as /services/web/host1:80",
                "--register: 'b' is not the path of a znode such as /services/web/host1:80",
                "--register: '/c/' is not the path of a znode such as /services/web/host1:80",
                "--register: '/a b' is not one word of printable characters",
            ],
        )

    def test_hostile_data(self) -> None:
        """Data that is nested too deeply, or too long, is an error."""
        for text in (f"{'[' * 10_000}", f"{'[' * 150}{']' * 150}", "x" * 1_000_001):
            (error,) = self.errors(("register", "/a"), ("data", f"k={text}"))
            self.assertTrue(error.startswith("--data: "), error[:200])
            self.assertLess(len(error), 300)
