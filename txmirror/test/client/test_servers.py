"""Connection strings."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import ConnectString, Server, parse_servers
from txmirror.test.wire.strategies import characters

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
hosts = (
    st.lists(st.text(_LETTERS, min_size=1, max_size=8), min_size=1, max_size=3).map(".".join)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
)
servers = st.builds(Server, hosts, st.integers(1, 65535))
chroots = st.lists(st.text(_LETTERS, min_size=1, max_size=5), max_size=3).map(
    lambda names: "".join(f"/{n}" for n in names)
)
connect_strings = st.builds(ConnectString, st.lists(servers, min_size=1, max_size=4).map(tuple), chroots)


class AcceptedTests(SynchronousTestCase):
    def assert_servers(self, given_servers: str | Sequence[str | tuple[str, int]], *expected: tuple[str, int]) -> None:
        parsed = parse_servers(given_servers)
        self.assertEqual([(server.host, server.port) for server in parsed.servers], list(expected))

    def test_one_server(self) -> None:
        """A host and its port are one server, and there is no chroot."""
        self.assertEqual(parse_servers("zoo.example:2182"), ConnectString((Server("zoo.example", 2182),), ""))

    def test_port_may_be_missing(self) -> None:
        """A server without a port is at ZooKeeper's own."""
        self.assert_servers("zoo", ("zoo", 2181))

    def test_many_servers(self) -> None:
        """Servers stand between commas, in their order, each with its own port."""
        self.assert_servers("c:3,a,b:2", ("c", 3), ("a", 2181), ("b", 2))

    def test_blanks(self) -> None:
        """Blanks around an address say nothing."""
        self.assert_servers(" a:1 , b ", ("a", 1), ("b", 2181))

    def test_chroot(self) -> None:
        """The text from the first slash on is the chroot."""
        self.assertEqual(parse_servers("a:1,b:2/app/x").chroot, "/app/x")

    def test_chroot_behind_every_server(self) -> None:
        """A chroot that every server has is the chroot of all, and none of the servers is lost."""
        for text in ("a:1/app,b:2/app,[::1]:3/app", "a:1/app, b:2/app, [::1]:3/app", "a:1,b:2,[::1]:3/app"):
            expected = ConnectString((Server("a", 1), Server("b", 2), Server("::1", 3)), "/app")
            self.assertEqual(parse_servers(text), expected)
        self.assertEqual(parse_servers("a/x/y,b/x/y"), ConnectString((Server("a", 2181), Server("b", 2181)), "/x/y"))

    def test_root_behind_every_server(self) -> None:
        """A lone slash behind a server means the root too."""
        for text in ("a:1/,b:2/", "a:1/,b:2", "a:1,b:2/"):
            self.assertEqual(parse_servers(text), parse_servers("a:1,b:2"))

    def test_list_with_one_chroot(self) -> None:
        """The strings of a list may have a chroot, the same in each."""
        self.assertEqual(parse_servers(["a:1/app", "[::1]:2/app"]), parse_servers("a:1,[::1]:2/app"))
        self.assertEqual(parse_servers(["a:1/app"]), parse_servers("a:1/app"))

    @given(connect_strings)
    def test_chroot_once_or_behind_every_server(self, connect_string: ConnectString) -> None:
        """A chroot behind every server is the same as one behind the last, in a string and in a list."""
        each = [f"{server}{connect_string.chroot}" for server in connect_string.servers]
        self.assertEqual(parse_servers(",".join(each)), connect_string)
        self.assertEqual(parse_servers(each), connect_string)

    def test_root_is_no_chroot(self) -> None:
        """A lone slash at the end means the root, as nothing does."""
        self.assertEqual(parse_servers("a:1/"), parse_servers("a:1"))

    def test_ipv6(self) -> None:
        """An IPv6 address stands in brackets, with a port behind them or none."""
        self.assert_servers("[::1]:2182,[fe80::2]", ("::1", 2182), ("fe80::2", 2181))

    def test_ipv6_with_chroot(self) -> None:
        """A chroot may follow the brackets."""
        self.assertEqual(parse_servers("[::1]/x"), ConnectString((Server("::1", 2181),), "/x"))

    def test_underscore(self) -> None:
        """A name with an underscore is taken: containers have such names, and resolvers answer for them."""
        self.assert_servers("zoo_1:2181", ("zoo_1", 2181))

    def test_list_of_strings(self) -> None:
        """A list holds one address in each string."""
        self.assert_servers(["a:1", "[::1]:2", "b"], ("a", 1), ("::1", 2), ("b", 2181))

    def test_list_of_pairs(self) -> None:
        """A list may hold pairs, where an IPv6 address needs no brackets."""
        self.assert_servers([("a", 1), ("::1", 2), "b:3"], ("a", 1), ("::1", 2), ("b", 3))

    def test_written_as_it_was_read(self) -> None:
        """A connection string prints as a connection string, brackets included."""
        self.assertEqual(str(parse_servers("a,[::1]:3/x")), "a:2181,[::1]:3/x")

    @given(connect_strings)
    def test_round_trip(self, connect_string: ConnectString) -> None:
        """Parsing the text of a connection string gives an equal one."""
        self.assertEqual(parse_servers(str(connect_string)), connect_string)

    @given(st.lists(servers, min_size=1, max_size=4))
    def test_pairs_say_the_same(self, some: list[Server]) -> None:
        """Pairs, strings and one joined string say the same."""
        pairs = parse_servers([(server.host, server.port) for server in some])
        self.assertEqual(pairs, parse_servers([str(server) for server in some]))
        self.assertEqual(pairs, parse_servers(",".join(map(str, some))))


class RefusedTests(SynchronousTestCase):
    def assert_refused(
        self, offender: object, given_servers: str | Sequence[str | tuple[str, int]] | None = None
    ) -> None:
        """The message quotes ``offender``, which is all that was given unless something else is."""
        if given_servers is None:
            assert isinstance(offender, str)
            given_servers = offender
        error = self.assertRaises(ValueError, parse_servers, given_servers)
        self.assertIn(repr(offender), str(error))
        self.assertNotIn("\n", str(error))

    def test_names_that_no_resolver_takes(self) -> None:
        """A name with an empty or an overlong label, or an overlong one, is none."""
        for name in ("a..b", ".a", "a..", "x" * 64, "a." + "y" * 64 + ".b", ".".join(["z" * 60] * 5)):
            self.assert_refused(f"{name}:2181")

    def test_nothing(self) -> None:
        """An empty string names no server."""
        self.assert_refused("")

    def test_empty_list(self) -> None:
        """An empty list names no server."""
        self.assertRaises(ValueError, parse_servers, [])

    def test_only_a_chroot(self) -> None:
        """A chroot alone names no server."""
        self.assert_refused("", "/app")

    def test_gap_between_commas(self) -> None:
        """An empty place between commas is a mistake."""
        self.assert_refused("", "a:1,,b:2")

    def test_trailing_comma(self) -> None:
        """A comma at the end is a mistake."""
        self.assert_refused("", "a:1,")

    def test_no_host(self) -> None:
        """A port without a host is a mistake."""
        self.assert_refused(":2181")

    def test_empty_port(self) -> None:
        """A colon without a port is a mistake."""
        self.assert_refused("a:")

    def test_port_that_is_no_number(self) -> None:
        """A port is a number, and the message quotes both the port and its server."""
        self.assert_refused("a:http")
        self.assert_refused("http", "a:http")

    def test_port_out_of_range(self) -> None:
        """A port is from 1 to 65535."""
        for port in ("0", "65536", "-1", "99999999999999999999"):
            self.assert_refused(f"a:{port}")

    def test_port_in_other_digits(self) -> None:
        """A port is written in ASCII digits."""
        self.assert_refused("a:٢١٨١")
        self.assert_refused("a:²")

    def test_port_with_a_sign_or_an_underscore(self) -> None:
        """Other forms of numbers in Python are no ports."""
        for port in ("+2181", "2_181", "0x885"):
            self.assert_refused(f"a:{port}")

    def test_the_faulty_one_of_many(self) -> None:
        """The message quotes the faulty server, not its neighbours."""
        error = self.assertRaises(ValueError, parse_servers, "good:1,bad:x,fine:2")
        self.assertIn("'bad:x'", str(error))
        self.assertNotIn("good", str(error))

    def test_ipv6_without_brackets(self) -> None:
        """An IPv6 address without brackets is ambiguous."""
        for address in ("::1", "::1:2181", "fe80::1", "2001:db8:0:0:0:0:0:1"):
            self.assert_refused(address)

    def test_brackets_around_something_else(self) -> None:
        """Brackets contain an IPv6 address."""
        for address in ("[]:1", "[host]:1", "[127.0.0.1]:1", "[::g]:1"):
            self.assert_refused(address)

    def test_unbalanced_brackets(self) -> None:
        """Brackets come in pairs, around the whole address."""
        for address in ("[::1:1", "::1]:1", "[::1]x:1", "x[::1]:1"):
            self.assert_refused(address)

    def test_characters_that_no_name_has(self) -> None:
        """A host name has letters, digits, hyphens, dots and underscores."""
        for host in ("a b", "a@b", "-a", "a-", ".a", "a\n", "a\x00b", "zoö"):
            self.assert_refused(f"{host}:1")

    def test_a_url(self) -> None:
        """A URL is no connection string."""
        self.assertRaises(ValueError, parse_servers, "http://zoo:2181/")

    def test_chroot_that_is_no_path(self) -> None:
        """A chroot is a znode's path, and the message quotes it."""
        for chroot in ("/a//b", "/a/", "/a/../b", "/./a", "//a", "/a\x00"):
            error = self.assertRaises(ValueError, parse_servers, f"a:1{chroot}")
            self.assertIn(repr(chroot), str(error))

    def test_pair_with_a_bad_port(self) -> None:
        """A pair's port is from 1 to 65535 too."""
        for port in (0, -1, 65536, True):
            self.assert_refused(("a", port), [("a", port)])

    def test_pair_with_a_bad_host(self) -> None:
        """A pair's host is a name or an IP address, without brackets."""
        for host in ("", "a b", "::g", "[::1]", "a:1"):
            self.assert_refused((host, 1), [(host, 1)])

    def test_different_chroots(self) -> None:
        """All servers have the same chroot: the message quotes those that differ, each with its server."""
        for text in ("a:1/app,b:2/web", "a:1/app,b:2", "a:1/,b:2/app", "a:1/app,b:2/", "a/app,b,c/app", "a/x,y"):
            self.assert_refused(text)
        error = self.assertRaises(ValueError, parse_servers, "a:1/app,[::1]:2/web,c:3")
        self.assertIn("a:1 has '/app', [::1]:2 has '/web', c:3 has none", str(error))

    def test_different_chroots_in_a_list(self) -> None:
        """A list's chroot is that of every entry, or the message quotes the list."""
        wrong: list[Sequence[str | tuple[str, int]]] = [
            ["a:1/app", "b:2/web"],
            ["a:1", "b:2/app"],
            [("a", 1), "b:2/app"],
        ]
        for one in wrong:
            self.assert_refused(one, one)

    def test_pair_with_a_chroot(self) -> None:
        """A pair has no place for a chroot."""
        self.assert_refused(("a/app", 1), [("a/app", 1)])

    def test_other_types(self) -> None:
        """An argument that is neither a string nor a list is a TypeError that quotes it."""
        for wrong in (None, 5, b"a:1", {"a": 1}, ["a:1", 5], [("a", "1")], [("a",)], [("a", 1, 2)], [b"a:1"]):
            error = self.assertRaises((TypeError, ValueError), parse_servers, wrong)
            self.assertNotEqual(str(error), "")

    @given(st.text(characters, max_size=20) | st.text("a1:,/[].-_ ", max_size=20))
    def test_any_text(self, text: str) -> None:
        """Any text is either a connection string or a ValueError in one line: never another exception."""
        try:
            parsed = parse_servers(text)
        except ValueError as error:
            self.assertEqual(len(str(error).splitlines()), 1)
        else:
            self.assertEqual(parse_servers(str(parsed)), parsed)
