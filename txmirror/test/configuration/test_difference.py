"""The difference between two configurations, and their description."""

from __future__ import annotations

from txmirror.configuration import Difference, describe, difference, load
from txmirror.test.configuration.case import SECRET, ConfigurationCase

_HEAD = '[defaults]\npath = "/s"\nnode = "{name}"\n'


class DifferenceTests(ConfigurationCase):
    def compare(self, old: str, new: str) -> Difference:
        return difference(self.load(old), self.load(new))

    def test_same(self) -> None:
        """Files that say the same in other words, or in other files, differ in nothing."""
        old = load(
            self.write(f'{_HEAD}[[service]]\nname = "a"\ndrain = 1\n[[service]]\nname = "b"\n', "one.toml"),
            self.machine,
        )
        new = self.load(
            '[[service]]\nname = "b"\npath = "/{name}"\nnode = "b"\n'.replace("/{name}", "/s")
            + _HEAD.replace("[defaults]", "[defaults]\ncodec = 'ndsr'")
            + '[[service]]\nname = "a"\ndrain = "1000ms"\n'
        )
        found = difference(old, new)
        self.assertEqual((found.added, found.removed, found.changed, found.restart), ((), (), (), ()))
        self.assertEqual([each.id for each in found.unchanged], ["b", "a"])

    def test_services(self) -> None:
        """Services are added, removed, changed or unchanged, by their ids."""
        found = self.compare(
            f'{_HEAD}[[service]]\nname = "a"\n[[service]]\nname = "b"\n[[service]]\nname = "c"\n',
            f'{_HEAD}[[service]]\nname = "d"\n[[service]]\nname = "c"\ndata = "x"\ncheck = [{{ type = "noop" }}]\n[[service]]\nname = "a"\n',
        )
        self.assertEqual([each.id for each in found.added], ["d"])
        self.assertEqual([each.id for each in found.removed], ["b"])
        self.assertEqual([each.id for each in found.unchanged], ["a"])
        (change,) = found.changed
        self.assertEqual((change.old.data, change.new.data, change.keys), ({}, "x", ("data", "check")))

    def test_types_of_data(self) -> None:
        """Data differs if its JSON does; the order of keys does not count."""
        text = f"{_HEAD}[[service]]\nname = 'a'\ndata = "
        for one, other in (("{ x = 1 }", "{ x = true }"), ("{ x = [0] }", "{ x = [0.0] }"), ("{}", "''")):
            self.assertEqual([each.keys for each in self.compare(text + one, text + other).changed], [("data",)])
        self.assertEqual(self.compare(f"{text}{{ x = 1, y = 2 }}", f"{text}{{ y = 2, x = 1 }}").changed, ())

    def test_restart(self) -> None:
        """Keys that need a restart are named, and others of [daemon] are not."""
        found = self.compare(
            "[daemon]\nsplay = 1\nstop_timeout = 10",
            """
            zookeeper = { session_timeout = 5, access = { acl = "open" }, write_rate = { per_second = 1, burst = 1 } }
            daemon = { splay = 2, stop_timeout = 11, control = "c", metrics = "[::1]:1", heartbeat_file = "h" }
            host = { allow_loopback = true }
            """,
        )
        self.assertEqual(
            found.restart,
            (
                "zookeeper.session_timeout",
                "zookeeper.access",
                "zookeeper.write_rate",
                "daemon.control",
                "daemon.metrics",
                "daemon.heartbeat_file",
            ),
        )

    def test_dns(self) -> None:
        """The keys of [dns] that differ are named; all if the table comes or goes."""
        table = "[dns]\ndomain = 'a'\n"
        self.assertEqual(self.compare(table, table).dns, ())
        self.assertEqual(self.compare(table, "[dns]\nttl = 5\n").dns, ("domain", "ttl"))
        self.assertEqual(len(self.compare("", table).dns), 9)
        self.assertEqual(len(self.compare(table, "").dns), 9)

    def test_http(self) -> None:
        """The keys of [http] that differ are named; all if the table comes or goes."""
        table = "[http]\nroot = '/a'\n"
        self.assertEqual(self.compare(table, table).http, ())
        self.assertEqual(self.compare(table, "[http]\nstreams = 5\n").http, ("root", "streams"))
        self.assertEqual(len(self.compare("", table).http), 10)
        self.assertEqual(self.compare(table, table).restart, ())

    def test_password(self) -> None:
        """Another password in the same file is a difference."""
        text = '[zookeeper.access]\nusername = "a"\npassword_file = "p"'
        self.write("one", "p", 0o600)
        old = self.load(text)
        self.write("two", "p", 0o600)
        self.assertEqual(difference(old, self.load(text)).restart, ("zookeeper.access",))


class DescriptionTests(ConfigurationCase):
    def test_lines(self) -> None:
        """The whole is described in lines, without passwords."""
        self.write(SECRET, "p", 0o600)
        configuration = self.load(
            f"""
            [zookeeper]
            servers = "zk1:1/prod"
            state_file = "/s"
            write_rate = {{ per_second = 5, burst = 50 }}
            access = {{ username = "app", password_file = "p", tls = true }}
            [daemon]
            splay = "1.5s"
            stop_timeout = "1m"
            control = "/c"
            control_group = "adm"
            metrics = "[::1]:9145"
            maintenance_file = "/m"
            heartbeat_file = "/h"
            [dns]
            forward = ["192.0.2.53:53"]
            [http]
            listen = "[::1]:443"
            certificate = "/c"
            token_file = "/t"
            credentials = true
            [[service]]
            name = "web"
            port = 80
            path = "/s"
            data = {{ a = 1, b = ["\\n", true] }}
            drain = 10
            require = "any"
            depends = ["other"]
            check = [
                {{ type = "tcp", send = "AUTH {SECRET}", expect = "OK" }},
                {{ type = "unix", socket = "/u" }},
                {{ type = "http", url = "http://a/b?token={SECRET}", expect_status = ["200", "3xx"], on_fail = "warn" }},
                {{ type = "command", argv = ["/bin/check", "{SECRET}"], name = "cmd" }},
                {{ type = "process", pid_file = "/p" }},
                {{ type = "file", path = "/f", max_age = "1h" }},
                {{ type = "ttl", ttl = 30 }},
                {{ type = "alias", service = "other" }},
                {{ type = "noop" }},
            ]
            [[service]]
            name = "other"
            path = "/s"
            node = "o"
            on_stop = "keep-session"
            """
        )
        lines = describe(configuration)
        self.assertNotIn(SECRET, "\n".join(lines))
        self.assertEqual(
            lines,
            [
                f"Read {self.folder}/main.toml.",
                "Connects to ZooKeeper at zk1:1/prod by TLS as 'app', with a session timeout of 10 s.",
                "The session is kept in /s.",
                "It writes at most 5 times a second, and 50 times at once.",
                "The control socket is /c, for this user and the group adm.",
                "The metrics are at http://[::1]:9145/metrics.",
                "DNS is at 127.0.0.1:8600, with the services below /services as NAME.service.mirror.",
                "Questions about other names are sent to 192.0.2.53:53.",
                "DNS shows the znodes that everybody may read.",
                "The HTTP API and the page are at https://[::1]:443/, with the services below /services.",
                "A change by HTTP needs a token.",
                "HTTP shows the znodes that the daemon may read.",
                "Maintenance is kept in /m.",
                "The heartbeat file is /h.",
                "Each service waits at random, up to 1.5 s, before it is first registered.",
                "A stop takes at most 1 m.",
                "Service web:",
                '  registers /s/10.0.0.1:80 with {"a": 1, "b": ["\\n", true]}',
                "  while these are registered: other",
                "  while one of these checks passes:",
                "    tcp: connects to 127.0.0.1:80, sends 12 characters, expects 'OK', every 10 s, up after 2, down after 3, timeout 2 s",
                "    unix: connects to /u, every 10 s, up after 2, down after 3, timeout 2 s",
                "    http: GET http://a/b?... answers 200 or 3xx, every 10 s, up after 2, down after 3, timeout 2 s, only a warning",
                "    cmd: runs /bin/check with 1 argument, every 10 s, up after 2, down after 3, timeout 2 s",
                "    process: the process of /p runs, every 10 s, up after 2, down after 3",
                "    file: /f is at most 1 h old, every 10 s, up after 2, down after 3",
                "    ttl: was pushed within 30 s",
                "    alias: the service other is up",
                "    noop: always passes",
                "  is deregistered when the daemon stops, which then waits 10 s",
                "Service other:",
                "  registers /s/o with {}",
                "  always: it has no checks",
                "  stays registered when the daemon stops, for a daemon that starts within the session timeout",
            ],
        )

    def test_least(self) -> None:
        """A configuration without anything is described, too."""
        self.assertEqual(
            describe(self.load(""))[1:],
            [
                "Connects to ZooKeeper at localhost:2181, with a session timeout of 10 s.",
                "Without a state file, a restart registers everything anew.",
                "A stop takes at most 30 s.",
                "There is no service.",
            ],
        )
