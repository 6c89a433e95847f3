"""Services and their checks together: defaults, and consistency."""

from __future__ import annotations

from txmirror.configuration import TCP, Alias, CheckSettings, FlapHold, load
from txmirror.test.configuration.case import WEB, ConfigurationCase


def service(name: str, *lines: str) -> str:
    """Return a service with these further keys."""
    return "\n".join(("[[service]]", f'name = "{name}"', 'path = "/services"', f'node = "{name}"', *lines, ""))


class DefaultsTests(ConfigurationCase):
    def test_inherited(self) -> None:
        """A service has the values of [defaults] for the keys that it lacks."""
        head = """
            [defaults]
            path = "/services/{name}"
            node = "{name}:{port}"
            data = { a = 1, b = { c = 1 } }
            codec = "zczk"
            drain = "5s"
            takeover = "wait"
            require = "any"
            flap_hold = { downs = 0 }
        """
        one, two = self.load(
            f'{head}\n[[service]]\nname = "a"\nport = 1\n[[service]]\nname = "b"\nnode = "x:2"\ndrain = 0\ndata = {{ b = 2 }}'
        ).services
        self.assertEqual(one.znode_path, "/services/a/a:1")
        self.assertEqual((one.data, one.codec, one.drain, one.takeover), ({"a": 1, "b": {"c": 1}}, "zczk", 5.0, "wait"))
        self.assertEqual((one.require, one.flap_hold), ("any", FlapHold(downs=0)))
        self.assertEqual((two.znode_path, two.drain, two.data), ("/services/b/x:2", 0.0, {"a": 1, "b": 2}))

    def test_text_replaces_table(self) -> None:
        """A service's own text replaces a table of [defaults]."""
        self.assertEqual(self.load_service('data = "x"', "[defaults]\ndata = { a = 1 }").data, "x")

    def test_checks(self) -> None:
        """Each check has the settings of [defaults.check] that its type has."""
        text = """
            [defaults.check]
            interval = 20
            timeout = "3s"
            on_fail = "warn"
        """
        checks = self.load_service(
            'check = [{ type = "tcp", port = 1 }, { type = "file", path = "/a", max_age = 1, interval = 1 },'
            ' { type = "ttl", ttl = 1 }, { type = "noop" }]',
            text,
        ).checks
        self.assertEqual(checks[0].settings, CheckSettings(interval=20.0, timeout=3.0, on_fail="warn"))
        self.assertEqual(checks[0].settings.fast_interval, 5.0)
        self.assertEqual(checks[1].settings, CheckSettings(interval=1.0, on_fail="warn"))
        self.assertEqual(checks[2].settings, CheckSettings(interval=1.0, rise=1, fall=1, on_fail="warn"))
        self.assertEqual(checks[3].settings.on_fail, "down")

    def test_errors_once(self) -> None:
        """An error in [defaults] is reported once, there, however many services have the value."""
        head = 'path = "x"\ndrain = "y"\ndata = { a = nan }\npat = 1\ncheck = { rise = 0, risee = 1 }\ncodec = "{nope}"\n[defaults.flap_hold]\ndowns = -1\n'
        services = "".join(
            f'[[service]]\nname = "{name}"\nnode = "n"\ncheck = [{{ type = "tcp", port = 1 }}]\n' for name in "abc"
        )
        self.assertEqual(
            self.errors(f"[defaults]\n{head}{services}"),
            [
                "defaults.pat: unknown key; did you mean 'path'?",
                "defaults.check.risee: unknown key; did you mean 'rise'?",
                "defaults.codec: unknown placeholder '{nope}'; write {{ and }} for braces",
                "defaults.path: 'x' is not a znode path: it must start with a slash",
                "defaults.data.a: the number nan cannot be stored",
                "defaults.check.rise: 0 is not between 1 and 1000",
                "defaults.flap_hold.downs: -1 is not between 0 and 1000",
                'defaults.drain: \'y\' is no duration: it is a number of seconds, or a string such as "500ms", "1.5m" or "2h"',
            ],
        )
        self.assertEqual(self.errors("defaults = { check = 1 }"), ["defaults.check: 1 is no table"])

    def test_port(self) -> None:
        """A tcp check has the service's port, unless it has its own."""
        checks = self.load_service('port = 80\ncheck = [{ type = "tcp" }, { type = "tcp", port = 81 }]').checks
        self.assertEqual([check.probe for check in checks], [TCP(port=80), TCP(port=81)])
        self.assertEqual([check.name for check in checks], ["tcp", "tcp-2"])
        self.assertEqual(self.errors(f'{WEB}check = [{{ type = "tcp" }}]'), ["service[0].check[0].port: it is missing"])


class CheckTests(ConfigurationCase):
    def test_type(self) -> None:
        """A check has a known type."""
        known = "command, tcp, unix, http, process, file, ttl, alias, noop"
        for table, reason in {
            "{}": f"it is missing: it is one of {known}",
            '{ type = "tpc" }': f"'tpc' is not one of {known}; did you mean 'tcp'?",
            "{ type = 1 }": f"1 is not one of {known}",
        }.items():
            self.assertEqual(self.errors(f"{WEB}check = [{table}]"), [f"service[0].check[0].type: {reason}"])

    def test_keys_of_other_types(self) -> None:
        """A key that does nothing for the type is an error, and all errors of a check are found."""
        self.assertEqual(
            self.errors(
                f'{WEB}check = [{{ type = "ttl", ttl = 0, interval = 1, url = "x", on_fail = "x", name = "" }}]'
            ),
            [
                "service[0].check[0].interval: a check of the type 'ttl' does not have it",
                "service[0].check[0].url: unknown key",
                "service[0].check[0].ttl: 0 is not between 100 ms and 365 d",
                "service[0].check[0].on_fail: 'x' is not one of 'down', 'warn'",
                "service[0].check[0].name: it is empty",
            ],
        )
        (error,) = self.errors(f'{WEB}check = [{{ type = "process", pid_file = "/a", timeout = 1 }}]')
        self.assertEqual(error, "service[0].check[0].timeout: a check of the type 'process' does not have it")

    def test_intervals(self) -> None:
        """A timeout is less than the interval, and a fast interval not longer; the defaults agree with any interval."""
        for interval in ("0.1", "1", "2", "8", "86400"):
            settings = (
                self.load_service(f'check = [{{ type = "tcp", port = 1, interval = {interval} }}]').checks[0].settings
            )
            self.assertLess(settings.timeout, settings.interval)
            self.assertLessEqual(settings.fast_interval, settings.interval)
        for keys, reason in {
            "interval = 5, timeout = 5": "timeout (5 s) is not less than interval (5 s)",
            'interval = "90s", fast_interval = "2m"': "fast_interval (2 m) is longer than interval (90 s)",
        }.items():
            self.assertEqual(
                self.errors(f'{WEB}check = [{{ type = "tcp", port = 1, {keys} }}]'), [f"service[0].check[0]: {reason}"]
            )

    def test_exclusive(self) -> None:
        """Authorities for a certificate that is not verified are an error, and so is a group for no socket."""
        self.assertEqual(
            self.errors(f'{WEB}check = [{{ type = "http", url = "https://a", verify = false, ca_file = "a" }}]'),
            ["service[0].check[0].ca_file: it is not used, because verify is false"],
        )
        self.assertEqual(
            self.errors('[daemon]\ncontrol_group = "adm"'),
            ["daemon.control_group: it is not used, because there is no control"],
        )

    def test_sockets(self) -> None:
        """A UNIX socket has a name that the system can use."""
        long = "/" + "x" * 107
        self.assertEqual(
            [
                error.partition(" ")[0]
                for error in self.errors(
                    f'daemon = {{ control = "{long}" }}\n{WEB}check = [{{ type = "unix", socket = "{long}" }}]'
                )
            ],
            ["daemon.control:", "service[0].check[0].socket:"],
        )
        self.load_service(f'check = [{{ type = "unix", socket = "{long[1:]}" }}]'.replace('"xx', '"/x'))

    def test_names(self) -> None:
        """The names of a service's checks are unique."""
        self.assertEqual(
            self.errors(f'{WEB}check = [{{ type = "noop", name = "a" }}, {{ type = "noop", name = "a" }}]'),
            ["service[0].check[1].name: the service has another check with the name 'a'"],
        )

    def test_plain(self) -> None:
        """The plain codec stores a string, and no table."""
        self.assertEqual(self.load_service('codec = "plain"\ndata = "x"').data, "x")
        self.assertEqual(
            self.errors(f'{WEB}codec = "plain"\ndata = {{ a = 1 }}'),
            ["service[0].data: the codec 'plain' cannot write the service 'web': it is a text, and no table"],
        )


class ConsistencyTests(ConfigurationCase):
    def test_duplicates(self) -> None:
        """An id, and a znode, belongs to one service; the error names both files."""
        self.write(service("a"), "a.toml")
        self.write(service("b") + service("a", 'id = "c"') + service("a"), "b.toml")
        place = f"{self.folder}/"
        self.assertEqual(
            self.errors_of(self.folder),
            [
                "b.toml: service[1]: its znode, '/services/a', is also that of a.toml: service[0]",
                "b.toml: service[2]: its id, 'a', is also that of a.toml: service[0]",
                "b.toml: service[2]: its znode, '/services/a', is also that of a.toml: service[0]",
            ],
            place,
        )

    def test_references(self) -> None:
        """Services that others name exist; the name of one with errors counts."""
        text = service("a", 'depends = ["b", "brokn"]', 'check = [{ type = "alias", service = "nowhere" }]')
        text += service("broken", "port = 0", 'depends = ["none"]') + '[[service]]\nid = "b-{host}"\n'
        text += service("d", 'depends = ["b-host1"]')
        errors = self.errors(text)
        for line in (
            "service[0].depends[0]: there is no service 'b'",
            "service[0].depends[1]: there is no service 'brokn'; did you mean 'broken'?",
            "service[0].check[0].service: there is no service 'nowhere'",
            "service[1].depends[0]: there is no service 'none'",
        ):
            self.assertIn(line, [error.partition("; did")[0] if "'b'" in error else error for error in errors])
        self.assertFalse([error for error in errors if error.startswith("service[3]")], errors)

    def test_cycles(self) -> None:
        """No service depends on itself, by depends or by checks; each cycle is named once."""
        text = service("a", 'depends = ["b"]') + service("b", 'check = [{ type = "alias", service = "c" }]')
        text += service("c", 'depends = ["a", "d"]') + service("d", 'depends = ["d"]') + service("e", 'depends = ["a"]')
        self.assertEqual(
            sorted(self.errors(text)),
            [
                "service[0]: the service depends on itself: a -> b -> c -> a",
                "service[3]: the service depends on itself: d -> d",
            ],
        )

    def test_long_chain(self) -> None:
        """A chain may be long, and services may share their dependencies."""
        count = 1500
        text = service("s0") + "".join(service(f"s{n}", f'depends = ["s{n - 1}", "s0"]') for n in range(1, count))
        self.assertEqual(len(self.load(text).services), count)
        (error,) = self.errors(text.replace('node = "s0"', f'node = "s0"\ndepends = ["s{count - 1}"]'))[:1]
        self.assertIn("the service depends on itself: s", error)

    def test_alias(self) -> None:
        """An alias has the id of another service."""
        text = service("a", 'check = [{ type = "alias", service = "b" }]') + service("b")
        self.assertEqual(self.load(text).services[0].checks[0].probe, Alias(service="b"))

    def test_stop_timeout(self) -> None:
        """Every drain is less than the daemon's timeout for a stop."""
        self.assertEqual(
            self.errors("[daemon]\nstop_timeout = 5\n" + service("a", 'drain = "4.9s"') + service("b", "drain = 5")),
            ["service[1]: drain (5 s) is not less than daemon.stop_timeout (5 s)"],
        )

    def test_keep_session(self) -> None:
        """A session can be kept only with a state file."""
        text = service("a", 'on_stop = "keep-session"')
        self.assertEqual(self.errors(text), ["service[0]: on_stop is 'keep-session', which needs zookeeper.state_file"])
        configuration = load(self.write(f'[zookeeper]\nstate_file = "s"\n{text}'), self.machine)
        self.assertEqual(configuration.services[0].on_stop, "keep-session")
        self.assertEqual(configuration.service("a"), configuration.services[0])
        self.assertIsNone(configuration.service("b"))
