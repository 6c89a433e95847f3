"""Placeholders: their values, errors, and secrets in environment variables."""

from __future__ import annotations

from txmirror.configuration import Command, describe, load
from txmirror.placeholders import EnvironmentText, shown
from txmirror.test.configuration.case import SECRET, WEB, ConfigurationCase, make_machine


class PlaceholderTests(ConfigurationCase):
    def data(self, text: str, head: str = "", keys: str = "") -> object:
        """Return a string of a service's data, expanded."""
        data = self.load_service(f"{keys}\ndata = {{ x = '''{text}''' }}", head).data
        assert isinstance(data, dict)
        return data["x"]

    def test_values(self) -> None:
        """Each placeholder has its value, in keys of all depths."""
        self.machine = make_machine({"A": "one", "B": ""})
        text = "{name} {host} {address} {port} {pid} {env:A}{env:B} {{x}}"
        self.assertEqual(self.data(text, keys="port = 80"), "web host1 10.0.0.1 80 4711 one {x}")
        service = self.load_service(
            'id = "{name}-{host}"\n[[service.check]]\ntype="command"\nargv=["{id}","a"]'.replace("{id}", "{name}")
        )
        self.assertEqual(service.id, "web-host1")
        probe = service.checks[0].probe
        assert isinstance(probe, Command)
        self.assertEqual(probe.argv, ("web", "a"))

    def test_host(self) -> None:
        """{host} is the name of [host], which may use the environment, and is known in the other tables."""
        self.machine = make_machine({"A": "one"})
        configuration = self.load(
            '[host]\nname = "{env:A}"\n[daemon]\ncontrol = "/run/{host}-{pid}"\n[zookeeper]\nservers = "{host}"'
        )
        self.assertEqual(configuration.daemon.control, "/run/one-4711")
        self.assertEqual(configuration.zookeeper.servers, "one")
        self.assertEqual(
            self.errors('[host]\nname = "{host}"'),
            ["host.name: unknown placeholder '{host}'; write {{ and }} for braces"],
        )

    def test_node(self) -> None:
        """The default node is address and port, with brackets around an address of IPv6."""
        for route, node in (("10.0.0.1", "10.0.0.1:80"), ("2001:db8::1", "[2001:db8::1]:80")):
            self.machine = make_machine(route=route)
            service = self.load('[[service]]\nname = "web"\npath = "/{name}"\nport = 80').services[0]
            self.assertEqual(service.znode_path, f"/web/{node}")
        self.assertEqual(
            self.errors('[[service]]\nname = "web"\npath = "/a"'),
            ["service[0].node: {port} has no value: the service has no port"],
        )

    def test_address(self) -> None:
        """advertise decides about the address, in [host], [defaults] or the service; it is not looked for unless it is used."""
        self.assertEqual(self.data("{address}", '[host]\nadvertise = "10.0.0.2"'), "10.0.0.2")
        self.assertEqual(self.data("{address}", '[defaults]\nadvertise = "[2001:db8::2]"'), "[2001:db8::2]")
        self.assertEqual(self.data("{address}", keys='advertise = "{host}.example"'), "host1.example")
        self.load_service('advertise = "127.0.0.1"')
        self.load_service("", '[host]\nadvertise = "interface:none"')
        (error,) = self.errors(f'[host]\nadvertise = "interface:none"\n{WEB}data = "{{address}}"')
        self.assertEqual(error, "service[0].data: {address} has no value: the interface 'none' has no IPv4 address")
        self.machine = make_machine(interface="10.0.0.3")
        self.assertEqual(self.data("{address}", '[host]\nadvertise = "interface:eth0"'), "10.0.0.3")

    def test_unreachable(self) -> None:
        """An address that others cannot reach is refused, unless it is allowed."""
        for address in (
            "127.0.0.1",
            "::1",
            "0.0.0.0",  # noqa: S104 - no socket is bound
            "::",
            "169.254.1.1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "LOCALHOST",
            "a.localhost.",
        ):
            self.machine = make_machine(route=address)
            (error,) = self.errors(f'{WEB}data = "{{address}}"')
            self.assertIn(f"other machines cannot reach {address!r}", error)
            self.assertIn(address, str(self.data("{address}", "[host]\nallow_loopback = true")))

    def test_uuid(self) -> None:
        """The UUID is the same each time, and differs between services, hosts and machines."""
        first = self.data("{uuid}")
        self.assertEqual(first, self.data("{uuid}"))
        self.assertRegex(str(first), r"\A[0-9a-f-]{36}\Z")
        self.assertNotEqual(first, self.data("{uuid}", keys='id = "b"'))
        self.assertNotEqual(first, self.data("{uuid}", '[host]\nname = "b"'))

    def test_errors(self) -> None:
        """An unknown placeholder, one without a value, and a lone brace are errors; the other errors are found as well."""
        texts = ("{nam}", "{", "a}", "{}", "{env:NONE}", "{port}", "{name:>10}", "{name.__class__}", "{env}")
        lines = "\n".join(f"k{index} = '{text}'" for index, text in enumerate(texts))
        errors = self.errors(f"{WEB}drain = 'x'\n[service.data]\n{lines}")
        self.assertEqual(
            errors[: len(texts)],
            [
                "service[0].data.k0: unknown placeholder '{nam}'; did you mean 'name'?",
                "service[0].data.k1: '{' alone is no placeholder: write '{{' for the character itself",
                "service[0].data.k2: '}' alone is no placeholder: write '}}' for the character itself",
                "service[0].data.k3: unknown placeholder '{}'; write {{ and }} for braces",
                "service[0].data.k4: the environment variable 'NONE' is not set",
                "service[0].data.k5: {port} has no value: the service has no port",
                "service[0].data.k6: unknown placeholder '{name:>10}'; did you mean 'name'?",
                "service[0].data.k7: unknown placeholder '{name.__class__}'; write {{ and }} for braces",
                "service[0].data.k8: unknown placeholder '{env}'; did you mean 'env:'?",
            ],
        )
        self.assertTrue(errors[-1].startswith("service[0].drain: 'x' is no duration"), errors)

    def test_not_utf8(self) -> None:
        """A variable that is not UTF-8 is an error."""
        self.machine = make_machine({"A": "\udcff"})
        self.assertEqual(
            self.errors(f'{WEB}data = "{{env:A}}"'), ["service[0].data: the environment variable 'A' is not UTF-8"]
        )

    def test_bomb(self) -> None:
        """A short file cannot expand to fill the memory."""
        self.machine = make_machine({"A": "x" * 100_000})
        (error,) = self.errors(f'{WEB}data = "{"{env:A}" * 1000}"')
        self.assertEqual(error, "service[0].data: with its placeholders it has more than 1048576 characters")


class EnvironmentTests(ConfigurationCase):
    """Values of environment variables may be secret: nothing shows them, and the program has them."""

    def test_invalid(self) -> None:
        """No error quotes the value, wherever it is used."""
        text = "{env:SECRET}"
        self.errors(
            f"""
            [zookeeper]
            servers = "{text}:{text}"
            session_timeout = "{text}"
            parent = "{text}"
            [zookeeper.access]
            username = "{text}:"
            password_file = "/{text}"
            acl = "{text}"
            tls_ca = "{text}"
            [host]
            name = "{text} x"
            [daemon]
            splay = "{text}"
            [[service]]
            name = "{text} x"
            port = "{text}"
            path = "{text}"
            node = "{text}/"
            data = {{ x = 2026-11-29, y = "{text}" }}
            depends = ["{text}"]
            advertise = "{text} x"
            [[service.check]]
            type = "{text}"
            [[service.check]]
            type = "http"
            url = "ftp://{text}"
            expect_body_regex = "({text}"
            headers = {{ X = "{text}\\n" }}
            method = "{text}"
            [[service.check]]
            type = "tcp"
            host = "{text} x"
            port = "{text}"
            [[service]]
            name = "{text}"
            path = "/{text}"
            node = "a"
            depends = ["{text}", "x{text}"]
            advertise = "127.0.0.1"
            [[service]]
            name = "{text}"
            path = "/{text}"
            node = "a"
            codec = "plain"
            data = {{ a = "{text}" }}
            """
        )
        self.errors(f'[zookeeper.access]\ntls_ca = "main-{text}"')
        self.write("no certificate", f"main-{SECRET}")
        self.errors(f'[zookeeper.access]\ntls_ca = "main-{text}"')

    def test_valid(self) -> None:
        """The classes have the value, and neither they nor a description show it."""
        configuration = self.load(
            """
            [zookeeper]
            servers = "{env:SECRET}"
            state_file = "/{env:SECRET}"
            [daemon]
            control = "{env:SECRET}"
            control_group = "{env:SECRET}"
            heartbeat_file = "{env:SECRET}"
            maintenance_file = "{env:SECRET}"
            [[service]]
            name = "{env:SECRET}"
            path = "/{name}"
            node = "{env:SECRET}"
            data = { a = [{ b = "{env:SECRET}" }] }
            check = [
                { type = "http", url = "http://{env:SECRET}/?{env:SECRET}", headers = { A = "{env:SECRET}" } },
                { type = "command", argv = ["{env:SECRET}", "{env:SECRET}"], environment = { A = "{env:SECRET}" } },
                { type = "tcp", port = 1, host = "{env:SECRET}", send = "{env:SECRET}", expect = "{env:SECRET}" },
                { type = "unix", socket = "{env:SECRET}" },
                { type = "process", pid_file = "{env:SECRET}" },
                { type = "file", path = "{env:SECRET}", max_age = 1 },
            ]
            [[service]]
            name = "b"
            path = "/"
            node = "b"
            depends = ["{env:SECRET}"]
            """
        )
        self.assertNotIn(SECRET, repr(configuration))
        self.assertNotIn(SECRET, "\n".join(describe(configuration)))
        service = configuration.services[0]
        self.assertEqual(service.znode_path, f"/{SECRET}/{SECRET}")
        self.assertEqual(shown(service.znode_path), "/{env:SECRET}/{env:SECRET}")
        self.assertEqual(service.data, {"a": [{"b": SECRET}]})
        self.assertEqual(configuration.daemon.control, f"{self.folder}/{SECRET}")

    def test_equal(self) -> None:
        """Texts are compared by their values, so that a reload sees a variable that changed."""
        path = self.write(f'{WEB}data = "{{env:SECRET}}"')
        first = load(path, self.machine)
        self.assertEqual(first, load(path, self.machine))
        self.assertNotEqual(first, load(path, make_machine({"SECRET": "other"})))
        self.assertEqual(EnvironmentText("a", "b"), "a")
        self.assertEqual(hash(EnvironmentText("a", "b")), hash("a"))
