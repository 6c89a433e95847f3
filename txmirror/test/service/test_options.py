"""The command line: valid options are accepted, and invalid ones get one line that quotes them, and exit status 64."""

from __future__ import annotations

import io
import os
import shlex
import sys
from importlib import metadata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import IService, IServiceCollection, IServiceMaker
from twisted.internet.interfaces import IReactorTime
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txmirror.access import OPTIONS, Access
from txmirror.cli.command import txmirror as txmirror_command
from txmirror.client import TLS, DigestMD5
from txmirror.configuration import (
    DNS,
    HTTP,
    TCP,
    Command,
    Configuration,
    HTTPServer,
    SocketAddress,
    UNIXAddress,
)
from txmirror.embedded import EmbeddedService
from txmirror.service import Options, makeService
from txmirror.test.certificates import Authority
from txmirror.test.compat.available import install_or_skip
from txmirror.test.pages.found import tested_blocks
from txmirror.test.wire.strategies import characters
from txmirror.types import CREATOR_ALL_ACL

SERVICE = '[[service]]\nname = "web"\npath = "/services/{name}"\nnode = "10.0.0.1:80"\n'
REGISTER = ["--register", "/services/ssh/server1:22"]


class OptionsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(os, "environ", {name: value for name, value in os.environ.items() if "TXMIRROR" not in name})
        self.password_file = self.mktemp()
        Path(self.password_file).write_text("hush-hush\n")

    def parse(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def configuration(self, *arguments: str) -> Configuration:
        configuration = self.parse(*arguments).configuration
        assert configuration is not None
        return configuration

    def services(self, *arguments: str) -> dict[str, object]:
        """Return the data of the services, by their paths."""
        return {service.znode_path: service.data for service in self.configuration(*arguments).services}

    def refuse(self, *arguments: str) -> str:
        """Return the one line of the error for a command line."""
        stderr, stdout = io.StringIO(), io.StringIO()
        self.patch(sys, "stderr", stderr)
        self.patch(sys, "stdout", stdout)
        exited = self.assertRaises(SystemExit, self.parse, *arguments)
        self.assertEqual(exited.code, 64)
        self.assertEqual(stdout.getvalue(), "")
        written = stderr.getvalue()
        self.assertEqual(written.count("\n"), 1, written)
        self.assertTrue(written.endswith("\n"), written)
        self.assertTrue(written.startswith("txmirror: "), written)
        return written


class GoodTests(OptionsTestCase):
    def test_all(self) -> None:
        """Servers, paths, data and the session timeout are taken as given; data belongs to the service before it."""
        arguments = (
            *("--servers", "zk1:2181,zk2/prod", "--session-timeout", "2.5", "--data", "z=0"),
            *("--register", "/a/b:1", "--data", "x=1", "--register", "/c/d:2", "--data", "y=2"),
        )
        zookeeper = self.configuration(*arguments).zookeeper
        self.assertEqual(zookeeper.servers, "zk1:2181,zk2/prod")
        self.assertEqual(zookeeper.session_timeout, 2.5)
        self.assertEqual(self.services(*arguments), {"/a/b:1": {"z": 0, "x": 1}, "/c/d:2": {"z": 0, "y": 2}})

    def test_short(self) -> None:
        """Each option has a short form."""
        arguments = ("-s", "zk1", "-t", "3", "-r", "/a", "-d", "x=1")
        zookeeper = self.configuration(*arguments).zookeeper
        self.assertEqual((zookeeper.servers, zookeeper.session_timeout), ("zk1", 3.0))
        self.assertEqual(self.services(*arguments), {"/a": {"x": 1}})

    def test_defaults(self) -> None:
        """Without more than a path there is a session timeout of ten seconds, and no data, check or state file."""
        configuration = self.configuration(*REGISTER)
        self.assertEqual(configuration.zookeeper.session_timeout, 10.0)
        self.assertIsNone(configuration.zookeeper.state_file)
        self.assertEqual(configuration.services[0].data, {})
        self.assertEqual(configuration.services[0].checks, ())

    def test_values(self) -> None:
        """A value may be anything, with equals signs too, or nothing; a key keeps its spaces; numbers and the like have a type."""
        items = ("a=b=c", "e=", "k k= v ", "n=3", "f=1.5", "t=true", 's="3"')
        found = self.services(*REGISTER, *(word for item in items for word in ("--data", item)))
        facts = {"a": "b=c", "e": "", "k k": " v ", "n": 3, "f": 1.5, "t": True, "s": "3"}
        self.assertEqual(found, {REGISTER[1]: facts})

    def test_checks(self) -> None:
        """Checks belong to the service before them."""
        services = self.configuration(
            *("-r", "/a", "--check-tcp", "127.0.0.1:22", "--check-command", "true 'a b'"),
            *("-r", "/b", "--check-http", "http://127.0.0.1:80/"),
        ).services
        probes = [[check.probe for check in service.checks] for service in services]
        expected = [[TCP(port=22), Command(argv=("true", "a b"))], [HTTP(url="http://127.0.0.1:80/")]]
        self.assertEqual(probes, expected)

    def test_state_file(self) -> None:
        """The path of a state file is made absolute, because twistd changes the folder."""
        zookeeper = self.configuration(*REGISTER, "--state-file", "state").zookeeper
        self.assertEqual(zookeeper.state_file, str(Path("state").absolute()))

    def test_embedded(self) -> None:
        """With the embedded server nothing else is needed."""
        self.assertTrue(self.parse("--embedded")["embedded"])

    def test_apart(self) -> None:
        """Two command lines in one program have nothing in common."""
        self.parse(*REGISTER, "--data", "x=1")
        self.assertEqual(self.services("-r", "/other"), {"/other": {}})

    def test_client(self) -> None:
        """The client is the native one, if no other is asked for."""
        for arguments in ((), ("--client", "native")):
            self.assertEqual(self.parse(*REGISTER, *arguments)["client"], "native")

    def test_txzookeeper(self) -> None:
        """It may be txzookeeper's."""
        install_or_skip()
        self.assertEqual(self.parse(*REGISTER, "--client", "txzookeeper")["client"], "txzookeeper")

    def test_access(self) -> None:
        """Credentials, an ACL and TLS are taken as the command takes them, from the environment too."""
        options = self.parse(*REGISTER, "-u", "app", "--password-file", self.password_file, "--acl", "creator", "--tls")
        self.assertEqual(options.access, Access("app", "hush-hush", tls=TLS(), given_acl=CREATOR_ALL_ACL))
        os.environ.update(
            TXMIRROR_USERNAME="bob", TXMIRROR_PASSWORD="pw", TXMIRROR_SASL="1", TXMIRROR_SERVERS="zk9:2181"
        )
        options = self.parse(*REGISTER)
        self.assertEqual(options.access, Access("bob", "pw", DigestMD5("bob", "pw")))
        self.assertEqual(self.configuration(*REGISTER).zookeeper.servers, "zk9:2181")
        self.assertEqual(self.configuration(*REGISTER, "-s", "zk1").zookeeper.servers, "zk1")

    def test_pages(self) -> None:
        """The command lines of the documentation are as the pages say: one for a service, one only for readers."""
        (service,) = tested_blocks("docs/operations/command.rst", __name__)
        (serve,) = tested_blocks("docs/operations/daemon.rst", __name__)

        def parse_line(text: str) -> Configuration:
            words = shlex.split(text.removeprefix("$ "))
            self.assertEqual(words[:3], ["twistd", "-n", "txmirror"])
            return self.configuration(*words[3:])

        folder = Path(self.mktemp())
        folder.mkdir()
        Authority(folder, "ca")
        (folder / "zookeeper.password").write_text("hush\n")
        (folder / "zookeeper.password").chmod(0o600)
        former = Path.cwd()
        self.addCleanup(os.chdir, former)
        os.chdir(folder)
        configuration = parse_line(service.text)
        self.assertEqual(configuration.zookeeper.servers, "zk1:2281")
        access = configuration.zookeeper.access
        assert access.tls is not None
        self.assertEqual((access.username, access.password), ("app", "hush"))
        self.assertEqual([each.znode_path for each in configuration.services], ["/services/db/a:5432"])
        configuration = parse_line(serve.text)
        self.assertEqual((configuration.services, configuration.zookeeper.servers), ((), "zk1:2181,zk2:2181"))
        assert configuration.http is not None
        assert configuration.dns is not None
        self.assertEqual(configuration.http.listen, SocketAddress("127.0.0.1", 8580))
        self.assertEqual(configuration.dns.listen, SocketAddress("127.0.0.1", 8600))

    def test_same_options(self) -> None:
        """The command and the daemon have the same options for that, with the same help."""
        daemon = self.parse(*REGISTER).getUsage()
        for option in OPTIONS:
            self.assertIn(f"--{option.name}", daemon)
        command = {name for param in txmirror_command.params for name in param.opts}
        self.assertLessEqual({f"--{option.name}" for option in OPTIONS}, command)

    def test_help(self) -> None:
        """The help names every option, and exits well."""
        stdout = io.StringIO()
        self.patch(sys, "stdout", stdout)
        exited = self.assertRaises(SystemExit, self.parse, "--help")
        self.assertIn(exited.code, (0, None))
        for text in (
            "--servers",
            "--register",
            "--client",
            "--data",
            "--session-timeout",
            "--embedded",
            "--config",
            "--check",
            "--check-tcp",
            "--check-http",
            "--check-command",
            "--state-file",
            *("--http", "--dns", "--root", "--domain", "--token-file"),
            "Commands:\n    embedded ",
            "\n    serve ",
        ):
            self.assertIn(text, stdout.getvalue())

    def test_command(self) -> None:
        """The command that runs the in-memory server alone takes options of its own."""
        options = self.parse("embedded", "--listen", "[::1]:0")
        self.assertEqual(options.subCommand, "embedded")
        self.assertEqual(options.subOptions["listen"], ("::1", 0))

    def test_readers(self) -> None:
        """Readers are served beside the services, and without any; a port alone is one of the loopback interface."""
        token = Path(self.mktemp()).absolute()
        token.write_text("a-token-of-some-length\n")
        token.chmod(0o600)
        readers = ("--http", "[::1]:80", "--root", "/a", "--token-file", str(token))
        configuration = self.configuration(*REGISTER, *readers)
        self.assertEqual(
            configuration.http,
            HTTPServer(listen=SocketAddress("::1", 80), root="/a", token_file=str(token)),
        )
        self.assertIsNone(configuration.dns)
        configuration = self.configuration("--dns", "53", "--domain", "x", "--http", "unix:/s")
        self.assertEqual(configuration.dns, DNS(listen=SocketAddress("127.0.0.1", 53), domain="x"))
        self.assertEqual(configuration.http, HTTPServer(listen=UNIXAddress("/s")))
        self.assertEqual(configuration.services, ())

    def test_embedded_page(self) -> None:
        """The demonstration has the page, at another address if that is named."""
        self.assertEqual(self.configuration("--embedded").http, HTTPServer())
        self.assertEqual(
            self.configuration("--embedded", "--http", "81").http, HTTPServer(listen=SocketAddress("127.0.0.1", 81))
        )
        self.assertIsNone(self.configuration(*REGISTER).http)

    def test_serve(self) -> None:
        """The command that only serves has no services, and no credentials unless readers may see what they show."""
        options = self.parse("serve", "--http", "80", "--servers", "zk1/a", "-t", "5")
        configuration = options.configuration
        assert configuration is not None
        self.assertEqual(
            (configuration.services, configuration.http), ((), HTTPServer(listen=SocketAddress("127.0.0.1", 80)))
        )
        self.assertEqual((configuration.zookeeper.servers, configuration.zookeeper.session_timeout), ("zk1/a", 5.0))
        access = ("-u", "app", "--password-file", self.password_file)
        configuration = self.configuration("serve", "--dns", "53", "--protected", *access)
        assert configuration.dns is not None
        self.assertEqual((configuration.zookeeper.access.username, configuration.dns.credentials), ("app", True))
        self.assertEqual(self.configuration("serve", "--dns", "53", "--tls").zookeeper.access, Access(tls=TLS()))


class BadTests(OptionsTestCase):
    def test_readers(self) -> None:
        """Options for readers that are invalid, or without use, are named in one line."""
        for arguments, part in (
            (("--http", ""), "--http: ''"),
            (("--http", "localhost:80"), "--http: 'localhost:80'"),
            (("--http", "0.0.0.0:80"), '--http: other machines reach "0.0.0.0:80": that needs --token-file'),
            (("--http", "99999"), "--http: '127.0.0.1:99999'"),
            (("--dns", "unix:/a"), "--dns: 'unix:/a'"),
            (("--dns", "53", "--domain", "A"), "--domain: 'A'"),
            (("--dns", "53", "--root", "a"), "--root: 'a'"),
            (("--dns", "53", "--token-file", "t"), "--token-file: 't' is not used without --http"),
            (
                ("--http", "80", "--token-file", "/missing"),
                "http: the token file '/missing' cannot be read: No such file",
            ),
            (("--http", "80", "--domain", "a"), "--domain: 'a' is not used without --dns"),
            ((*REGISTER, "--root", "/a"), "--root: '/a' is not used without --http or --dns"),
        ):
            self.assertIn(part, self.refuse(*arguments))
            if "--register" not in arguments:
                self.assertIn(part, self.refuse("serve", *arguments))
        self.assertIn("--http and --config exclude", self.refuse("--config", "/c", "--http", "80"))

    def test_serve(self) -> None:
        """Options of the command that only serves: something is served, with credentials only if they have a use."""
        access = ("-u", "app", "--password-file", self.password_file)
        for arguments, part in (
            ((), "nothing to serve: give --http"),
            (("stray",), "'stray'"),
            (("--http", "80", "-t", "x"), "--session-timeout: 'x'"),
            (("--http", "80", "-s", "a b"), "--servers"),
            (("--http", "80", *access), "not used without --protected"),
            (("--http", "80", "--protected"), "--protected needs credentials"),
            (("--http", "80", "-p", "hush-hush"), "give --password-file"),
            (("--http", "80", *REGISTER), "--register"),
            (("--http", "80", "--protected", "-u", "app", "--password-file", "/missing"), "'/missing'"),
        ):
            line = self.refuse("serve", *arguments)
            self.assertIn(part, line)
            self.assertNotIn("hush", line)
        self.assertIn("--http belongs behind 'serve'", self.refuse("--http", "80", "serve", "--dns", "53"))
        self.assertIn("--register is for registering", self.refuse(*REGISTER, "serve", "--http", "80"))

    def assert_refused(self, option: str, *values: str) -> None:
        """Assert that each value is quoted, with the name of its option."""
        for value in values:
            line = self.refuse(*([] if option == "--register" else REGISTER), option, value)
            self.assertIn(repr(value), line)
            self.assertIn(option, line)

    def test_servers(self) -> None:
        """An address that is none is quoted."""
        self.assert_refused("--servers", "", "host:port", "host:0", "host:65536", "a b:1", "[::1", "host:-1", "host:")

    def test_one_of_the_servers(self) -> None:
        """The one address that is none is quoted."""
        self.assertIn("'zk2:x'", self.refuse(*REGISTER, "--servers", "zk1:2181,zk2:x,zk3"))

    def test_chroot(self) -> None:
        """A chroot that is no path is quoted."""
        self.assertIn("/a//b", self.refuse(*REGISTER, "--servers", "zk1/a//b"))

    def test_register(self) -> None:
        """An invalid path is quoted."""
        self.assert_refused(
            "--register", "", "services/x", "/a//b", "/a/", "/a/../b", "/a\x00", "/a\nb", "/", "/\ud800"
        )

    def test_register_twice(self) -> None:
        """A path that is given twice is quoted."""
        line = self.refuse(*REGISTER, *REGISTER)
        self.assertIn(repr(REGISTER[1]), line)

    def test_data(self) -> None:
        """A fact that is not of the form KEY=VALUE is quoted."""
        self.assert_refused("--data", "", "x", "=1", "=", "two\nlines")

    def test_data_twice(self) -> None:
        """A key that is given twice is quoted."""
        line = self.refuse(*REGISTER, "--data", "x=1", "--data", "x=2")
        self.assertIn("the key 'x' is given twice", line)

    def test_data_not_text(self) -> None:
        """A fact that UTF-8 cannot hold, as of an argument in another encoding, is refused."""
        self.assertIn("--data", self.refuse(*REGISTER, "--data", "x=caf\udce9"))

    def test_checks(self) -> None:
        """A check of another form is quoted."""
        self.assert_refused("--check-tcp", "host", "host:port", "host:-1")
        self.assertIn("--check-http", self.refuse(*REGISTER, "--check-http", "ftp://host"))
        self.assert_refused("--check-command", "'")

    def test_all_at_once(self) -> None:
        """All errors of services are shown."""
        stderr = io.StringIO()
        self.patch(sys, "stderr", stderr)
        arguments = ("-r", "x", "--data", "y", "--check-tcp", "z")
        self.assertEqual(self.assertRaises(SystemExit, self.parse, *arguments).code, 64)
        self.assertEqual(stderr.getvalue().count("\n"), 3)

    def test_state_file(self) -> None:
        """A state file has a name, and there is none for the server in memory."""
        self.assertIn("''", self.refuse(*REGISTER, "--state-file", ""))
        self.assertIn("--embedded", self.refuse("--embedded", "--state-file", "state"))

    def test_session_timeout(self) -> None:
        """A session timeout that is no sensible number of seconds is quoted."""
        self.assert_refused("--session-timeout", "", "x", "10s", "0", "-1", "nan", "inf", "-inf", "1e9", "0.0001")

    def test_password(self) -> None:
        """A password is not taken from the command line, and not quoted."""
        for option in ("-p", "--password"):
            line = self.refuse(*REGISTER, "-u", "app", option, "hush-hush")
            self.assertIn("give --password-file, or TXMIRROR_PASSWORD", line)
            self.assertNotIn("hush", line)

    def test_access(self) -> None:
        """Options that exclude each other, and files that cannot be read, are named in a line of their own."""
        self.assertIn("go together", self.refuse(*REGISTER, "-u", "app"))
        self.assertIn("'/missing'", self.refuse(*REGISTER, "-u", "app", "--password-file", "/missing"))
        self.assertIn("'closed'", self.refuse(*REGISTER, "--acl", "closed"))
        self.assertIn("'/missing'", self.refuse(*REGISTER, "--tls-ca", "/missing"))
        self.assertIn("--embedded", self.refuse("--embedded", "--tls"))
        self.assertIn("'txzookeeper'", self.refuse(*REGISTER, "--client", "txzookeeper", "--tls"))
        self.assertIn("--acl", self.refuse("--acl", "open", "embedded"))
        os.environ["TXMIRROR_SERVERS"] = "host:0"
        self.assertIn("'host:0'", self.refuse(*REGISTER))
        self.parse("--embedded")

    def test_client(self) -> None:
        """An unknown client is quoted; for one that is not installed, the error has the package."""
        self.assert_refused("--client", "", "kazoo", "Native")

        def version(name: str) -> str:
            raise metadata.PackageNotFoundError(name)

        self.patch(metadata, "version", version)
        line = self.refuse(*REGISTER, "--client", "txzookeeper")
        self.assertIn("pip install 'txmirror[txzookeeper]'", line)

    def test_unknown_option(self) -> None:
        """An option that there is not is quoted."""
        self.assertIn("--bogus", self.refuse(*REGISTER, "--bogus"))
        self.assertIn("-Z", self.refuse(*REGISTER, "-Z"))

    def test_unknown_option_of_two_lines(self) -> None:
        """An option that there is not is quoted in one line, even if it is two itself."""
        self.assertIn("--bo", self.refuse(*REGISTER, "--bo\ngus"))

    def test_missing_value(self) -> None:
        """An option without its value is named."""
        for option in ("--servers", "--register", "--data", "--session-timeout"):
            self.assertIn(option, self.refuse(option))

    def test_flag_with_a_value(self) -> None:
        """A flag that is given a value is named."""
        self.assertIn("--embedded", self.refuse("--embedded=yes"))

    def test_argument(self) -> None:
        """An argument that belongs to no option is quoted."""
        self.assertIn("'stray'", self.refuse(*REGISTER, "stray"))
        self.assertIn(repr("two\nlines"), self.refuse(*REGISTER, "two\nlines"))

    def test_nothing_to_do(self) -> None:
        """Without anything to register the error names the options for that."""
        self.assertIn("--register", self.refuse())
        self.assertIn("--register", self.refuse("--servers", "zk1"))

    def test_embedded_and_servers(self) -> None:
        """The embedded server and others exclude each other."""
        line = self.refuse("--embedded", "--servers", "zk1")
        self.assertIn("'zk1'", line)
        self.assertIn("--embedded", line)

    def test_beside_command(self) -> None:
        """Options for registering are refused, by their names, if the server runs alone."""
        for option, value in (
            *(("--register", "/a"), ("--data", "x=1"), ("--servers", "zk1"), ("--servers", "")),
            *(("--session-timeout", "10"), ("--session-timeout", "x"), ("--embedded", None)),
        ):
            line = self.refuse(option, *([] if value is None else [value]), "embedded", "--listen", "0")
            self.assertIn(option, line)
            self.assertIn("'embedded'", line)

    def test_in_command(self) -> None:
        """An option in the wrong place is named: the command does not know those for registering."""
        exited = self.assertRaises(SystemExit, self.parse, "embedded", *REGISTER)
        self.assertIn("--register", str(exited.code))
        self.assertIn("--listen", self.refuse("--listen", "0", "embedded"))

    @given(
        st.lists(
            st.sampled_from(["-r", "-d", "-s", "-t", "-e", "embedded"]) | st.text(characters, max_size=8), max_size=6
        )
    )
    def test_anything(self, arguments: list[str]) -> None:
        """Any command line is taken, or exits with a status and one line for each error; nothing else ever comes of it."""
        stderr, stdout = io.StringIO(), io.StringIO()
        self.patch(sys, "stderr", stderr)
        self.patch(sys, "stdout", stdout)
        try:
            self.parse(*arguments)
        except SystemExit as exited:
            if exited.code == 64:
                self.assertRegex(stderr.getvalue(), r"\A(txmirror: [^\n]+\n)+\Z")
            else:
                # Help, or the version; or the command's line, which Python prints.
                self.assertTrue(exited.code in {0, None} or str(exited.code).isprintable(), exited.code)


class ConfigTests(OptionsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = Path(self.mktemp())

    def exit(self, *arguments: str) -> tuple[object, str, str]:
        """Return the exit status of a command line, and its stdout and stderr."""
        stdout, stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stderr", stderr)
        self.patch(sys, "stdout", stdout)
        exited = self.assertRaises(SystemExit, self.parse, *arguments)
        return exited.code, stdout.getvalue(), stderr.getvalue()

    def test_file(self) -> None:
        """A file has everything; its path is made absolute."""
        self.file.write_text(SERVICE)
        options = self.parse("-c", str(self.file))
        assert options.configuration is not None
        self.assertEqual([service.id for service in options.configuration.services], ["web"])
        self.assertEqual(options["config"], str(self.file.absolute()))

    def test_check(self) -> None:
        """--check prints the configuration, and exits with 0."""
        self.file.write_text(SERVICE)
        status, stdout, stderr = self.exit("-c", str(self.file), "--check")
        self.assertEqual((status, stderr), (0, ""))
        self.assertIn("/services/web/10.0.0.1:80", stdout)
        status, stdout, _ = self.exit(*REGISTER, "--check")
        self.assertEqual(status, 0)
        self.assertIn(REGISTER[1], stdout)

    def test_invalid(self) -> None:
        """Without --check too: all errors, one line each, and status 78."""
        self.file.write_text(SERVICE + "prot = 80\ncodec = 3\n")
        for check in ((), ("--check",)):
            status, stdout, stderr = self.exit("-c", str(self.file), *check)
            self.assertEqual((status, stdout), (78, ""))
            self.assertEqual(stderr.count("\n"), 2, stderr)
            self.assertIn("did you mean 'port'", stderr)
            self.assertNotIn("Traceback", stderr)

    def test_invalid_address(self) -> None:
        """The error of an address names its place in the file."""
        self.file.write_text(SERVICE + '[daemon]\nmetrics = "localhost:9145"\n')
        status, _, stderr = self.exit("-c", str(self.file))
        self.assertEqual((status, stderr.count("\n")), (78, 1), stderr)
        self.assertIn(": daemon.metrics: 'localhost:9145' is no IP address and port", stderr)

    def test_no_certificates(self) -> None:
        """A check that cannot be made on this machine is an error of the configuration."""
        check = '[[service.check]]\ntype = "http"\nurl = "https://127.0.0.1/"\nca_file = "missing.pem"\n'
        self.file.write_text(SERVICE + check)
        status, _, stderr = self.exit("-c", str(self.file), "--check")
        self.assertEqual(status, 78)
        self.assertIn("missing.pem", stderr)

    def test_missing(self) -> None:
        """A file that cannot be read is named."""
        status, _, stderr = self.exit("-c", "missing.toml")
        self.assertEqual(status, 78)
        self.assertIn("missing.toml", stderr)

    def test_beside(self) -> None:
        """An option that the file has is refused."""
        self.file.write_text(SERVICE)
        for arguments in (REGISTER, ["--servers", "zk1"], ["--embedded"], ["-t", "3"], ["--tls"], ["--check-tcp", "1"]):
            self.assertIn("exclude each other", self.refuse("-c", str(self.file), *arguments))

    def test_environment(self) -> None:
        """Environment variables for options do not count beside a file."""
        os.environ["TXMIRROR_SERVERS"] = "host:0"
        self.file.write_text(SERVICE)
        self.assertEqual(self.configuration("-c", str(self.file)).zookeeper.servers, "localhost:2181")


class MakeServiceTests(OptionsTestCase):
    def test_service(self) -> None:
        """A service is made, and nothing is opened before it starts."""
        from twisted.internet import reactor

        before = IReactorTime(reactor).getDelayedCalls()
        service = makeService(self.parse(*REGISTER))
        self.assertTrue(verifyObject(IService, service))
        self.assertFalse(service.running)
        self.assertEqual(IReactorTime(reactor).getDelayedCalls(), before)

    def test_command(self) -> None:
        """The command makes a service that runs the server, and nothing listens before it starts."""
        services = makeService(self.parse("embedded", "--listen", "0"))
        _, service = IServiceCollection(services)
        self.assertIsInstance(service, EmbeddedService)
        self.assertFalse(service.running)

    def test_plugin(self) -> None:
        """The plugin of twistd is found, and names this room."""
        makers = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "txmirror"]
        self.assertEqual(len(makers), 1)
        self.assertIs(makers[0].options, Options)
        self.assertIs(makers[0].makeService, makeService)
