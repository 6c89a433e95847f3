"""The answers about services: names, records, codes, and what happens while ZooKeeper is away."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.names import dns

from txmirror.dns import directory as directory_module
from txmirror.dns.wire import Query, Reply
from txmirror.test.dns.case import DNSTestCase, ask, decode, show
from txmirror.types import ACL, Permission

WEB = "web.service.mirror"


class RecordTests(DNSTestCase):
    def test_addresses(self) -> None:
        """A and AAAA records have the addresses of their version, each once."""
        self.make("web", "10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80", "[2001:db8::1]:80", "host.example:80")
        self.assertEqual(self.answers(WEB), [f"{WEB} 10.0.0.1", f"{WEB} 10.0.0.2"])
        self.assertEqual(self.answers(WEB, dns.AAAA), [f"{WEB} 2001:db8::1"])

    def test_services(self) -> None:
        """The target of an SRV record is the host name, or a name with an address in the additional section."""
        self.make("web", "10.0.0.1:80", "[2001:db8::1]:443", "host.example:8080")
        reply = self.reply(WEB, dns.SRV, size=1232)
        six = "20010db8000000000000000000000001.addr.mirror"
        self.assertEqual(
            show(reply.answers),
            [f"{WEB} 1 1 443 {six}", f"{WEB} 1 1 80 0a000001.addr.mirror", f"{WEB} 1 1 8080 host.example"],
        )
        addresses = [each for each in reply.additional if each.type != dns.OPT]
        self.assertEqual(show(addresses), ["0a000001.addr.mirror 10.0.0.1", f"{six} 2001:db8::1"])
        self.assertEqual(self.answers("0a000001.addr.mirror"), ["0a000001.addr.mirror 10.0.0.1"])
        self.assertEqual(self.answers(six, dns.AAAA), [f"{six} 2001:db8::1"])
        self.assert_no_data(six)

    def test_standard_form(self) -> None:
        """The form of RFC 2782 has a protocol, or a tag, behind the name."""
        self.make("web", "10.0.0.1:80", labels={"version": "v1"}, address="10.0.0.1", port=80)
        self.make("web", "10.0.0.2:80")
        for protocol in ("tcp", "udp"):
            self.assertEqual(len(self.answers(f"_web._{protocol}.service.mirror", dns.SRV)), 2)
            self.assert_no_data(f"_{protocol}.service.mirror")
        self.assert_no_name("_no._tcp.service.mirror", dns.SRV)
        self.assert_no_name("web._tcp.service.mirror", dns.SRV)
        self.assert_no_name("_web.service.mirror", dns.SRV)

    def test_tags(self) -> None:
        """A label before the name selects instances by their tags."""
        self.make("web", "10.0.0.1:80", tags=["Blue", "fast"])
        self.make("web", "10.0.0.2:80", tags=["green"])
        self.assertEqual(self.answers(f"blue.{WEB}"), [f"blue.{WEB} 10.0.0.1"])
        self.assertEqual(
            self.answers("_web._GREEN.service.mirror", dns.SRV),
            ["_web._GREEN.service.mirror 1 1 80 0a000002.addr.mirror"],
        )
        self.assert_no_data(f"red.{WEB}")
        self.assert_no_name(f"a.blue.{WEB}")

    def test_case(self) -> None:
        """The case of a name does not matter, and its answers have that of the question."""
        self.make("Web", "10.0.0.1:80")
        self.assertEqual(self.answers("wEB.Service.MIRROR"), ["wEB.Service.MIRROR 10.0.0.1"])

    def test_dots(self) -> None:
        """The name of a service may have dots; the names above it exist, without records."""
        self.make("web.v1", "10.0.0.1:80")
        self.assertEqual(len(self.answers("web.v1.service.mirror")), 1)
        self.assertEqual(len(self.answers("_web.v1._tcp.service.mirror", dns.SRV)), 1)
        self.assert_no_data("v1.service.mirror")

    def test_data(self) -> None:
        """TXT records have the data if that is asked for in the configuration, and not otherwise."""
        self.make("web", "10.0.0.1:80", version="1.2", canary=True, nested={"secret": 1}, long="x" * 300)
        self.assert_no_data(WEB, dns.TXT)
        self.serve(data=True)
        self.assertEqual(self.answers(WEB, dns.TXT), [f"{WEB} node=10.0.0.1:80 version=1.2 canary=true"])

    def test_zone(self) -> None:
        """Instances in the preferred zone are preferred, while there are any."""
        self.make("web", "10.0.0.1:80", zone="a")
        self.make("web", "10.0.0.2:80", zone="b")
        self.make("db", "10.0.0.3:80", zone="b")
        self.serve(zone="a")
        self.assertEqual(self.answers(WEB), [f"{WEB} 10.0.0.1"])
        self.assertEqual(len(self.answers("db.service.mirror")), 1)

    def test_shuffled(self) -> None:
        """The first answer is not always the same."""
        self.make("web", *[f"10.0.0.{number}:80" for number in range(1, 5)])
        first = {show(self.reply(WEB).answers[:1])[0] for _ in range(50)}
        self.assertEqual(len(first), 4)

    def test_ttl(self) -> None:
        """All records have the configured time to live, and negative answers at most 5 seconds."""
        self.make("web", "10.0.0.1:80")
        self.serve(ttl=60)
        reply = self.reply(WEB, dns.SRV)
        self.assertEqual({each.ttl for each in (*reply.answers, *reply.additional)}, {60})
        (soa,) = self.reply("no.service.mirror").authority
        self.assertEqual((soa.ttl, soa.payload.minimum), (5, 5))  # type: ignore[union-attr]


class CodeTests(DNSTestCase):
    def test_names_above(self) -> None:
        """The names above those of services exist, without records; that of the domain has the SOA record."""
        for name in ("mirror", "service.mirror", "addr.mirror"):
            self.assert_no_data(name)
        self.assertEqual(self.answers("mirror", dns.SOA), ["mirror SOA"])

    def test_own_name(self) -> None:
        """The domain has a name server, with its address if that is known; the SOA record has the same name."""
        for address, kind, other in (("10.0.0.9", dns.A, dns.AAAA), ("fd00::1", dns.AAAA, dns.A)):
            self.serve(address=address)
            reply = self.reply("mirror", dns.NS)
            self.assertEqual([str(each.payload.name) for each in reply.answers], ["ns.mirror"])  # type: ignore[union-attr]
            self.assertEqual(show(reply.additional), [f"ns.mirror {address}"])
            self.assertEqual(self.answers("ns.mirror", kind), [f"ns.mirror {address}"])
            self.assertEqual(self.answers("ns.mirror", other), [])
            self.assert_no_name("a.ns.mirror")
        self.serve()
        reply = self.reply("mirror", dns.NS)
        self.assertEqual((len(reply.answers), reply.additional), (1, []))
        self.assert_no_data("ns.mirror")
        (soa,) = self.reply("mirror", dns.SOA).answers
        self.assertEqual(str(soa.payload.mname), "ns.mirror")  # type: ignore[union-attr]

    def test_no_name(self) -> None:
        for name in (
            "no.mirror",
            "no.service.mirror",
            "xyz.addr.mirror",
            "0a00000.addr.mirror",
            "a.0a000001.addr.mirror",
        ):
            self.assert_no_name(name)

    def test_empty(self) -> None:
        """A service without instances has no data; so has one whose instances are down or have no address."""
        self.make("web")
        self.assert_no_data(WEB)
        self.make("web", "nothing")
        self.assert_no_data(WEB)
        self.assert_no_data(WEB, dns.SRV)

    def test_removed(self) -> None:
        """A service that goes is no name any more."""
        self.make("web")
        self.assert_no_data(WEB)
        self.world.result(self.other.delete("/services/web"))
        self.show()
        self.assert_no_name(WEB)

    def test_refused(self) -> None:
        """Other domains, other classes and transfers are refused."""
        for name, kind, cls in (
            ("example.com", dns.A, dns.IN),
            ("xmirror", dns.A, dns.IN),
            ("version.bind", dns.TXT, 3),
            (WEB, dns.A, 3),
            ("mirror", dns.AXFR, dns.IN),
            ("", dns.NS, dns.IN),
        ):
            reply = self.reply(name, kind, cls=cls)
            self.assertEqual((reply.rCode, reply.answers, reply.authority), (dns.EREFUSED, [], []), name)

    def test_any(self) -> None:
        """A question for all records has a short answer."""
        self.make("web", *[f"10.0.0.{number}:80" for number in range(100)])
        self.assertEqual(self.answers(WEB, 255), [f"{WEB} HINFO"])

    def test_forwarded(self) -> None:
        """Questions about other names are forwarded, if they ask for recursion."""
        asked: list[bytes] = []
        answer: Deferred[Reply] = Deferred()

        def forward(query: Query) -> Deferred[Reply]:
            asked.append(query.name)
            return answer

        self.serve(forward_by=forward)
        self.assertEqual(self.reply("example.com").rCode, dns.EREFUSED)
        waiting = self.responder.respond(ask("example.com", recDes=True), by_tcp=False)
        self.assertNoResult(waiting)
        answer.callback(Reply(dns.ENAME, can_recurse=True))
        reply = self.successResultOf(waiting)
        assert reply is not None
        self.assertEqual((decode(reply).rCode, decode(reply).recAv, asked), (dns.ENAME, True, [b"example.com"]))
        self.assert_no_name("no.mirror")


class OutageTests(DNSTestCase):
    def test_stale(self) -> None:
        """The last known answers are given for some time without a connection, and then none; addresses always."""
        self.make("web", "10.0.0.1:80")
        self.serve(stale_for=60.0)
        self.assertEqual(len(self.answers(WEB)), 1)
        self.world.disconnect()
        self.world.pass_time(50.0)
        self.assertEqual(len(self.answers(WEB)), 1)
        self.assert_no_name("no.service.mirror")
        self.world.pass_time(20.0)
        self.assertEqual(self.reply(WEB).rCode, dns.ESERVER)
        self.assertEqual(self.reply("no.service.mirror").rCode, dns.ESERVER)
        self.assertEqual(len(self.answers("0a000001.addr.mirror")), 1)
        self.world.reconnect()
        self.world.pass_time(10.0)
        self.assertEqual(len(self.answers(WEB)), 1)

    def test_held(self) -> None:
        """If a whole service is gone just after an outage, its instances are held back for some time, as in all lists."""
        nodes = [f"10.0.0.{number}:80" for number in range(1, 5)]
        self.make("Web", *nodes)
        self.assertEqual(len(self.answers(WEB)), 4)
        self.world.disconnect(self.mirror)
        for node in nodes:
            self.world.result(self.other.delete(f"/services/Web/{node}"))
        self.world.result(self.other.delete("/services/Web"))
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.assertEqual(len(self.answers(WEB)), 4)
        self.make("Web", nodes[0])
        self.assertEqual(len(self.answers(WEB)), 4)
        self.world.result(self.other.delete(f"/services/Web/{nodes[0]}"))
        self.world.result(self.other.delete("/services/Web"))
        self.world.pass_time(40.0)
        self.assert_no_name(WEB)
        self.world.pass_time(1000.0)
        self.assert_no_name(WEB)
        self.assertEqual(list(self.directory._selections), [])

    def test_never_asked_for(self) -> None:
        """A service that nobody asked for before the outage has an answer in it."""
        self.make("web", "10.0.0.1:80")
        self.world.disconnect()
        self.world.pass_time(50.0)
        self.assertEqual(len(self.answers(WEB)), 1)

    def test_not_read_yet(self) -> None:
        """Before the services were read, a question waits for two seconds, and has no answer then."""
        self.make("web", "10.0.0.1:80")
        self.world.disconnect()
        self.mirror = self.world.mirror(connect=False)
        self.serve()
        waiting = self.responder.respond(ask(WEB), by_tcp=False)
        self.world.pass_time(1.9)
        self.assertNoResult(waiting)
        self.world.pass_time(0.2)
        reply = self.successResultOf(waiting)
        assert reply is not None
        self.assertEqual(decode(reply).rCode, dns.ESERVER)
        self.assertEqual(self.responder.waiting, 0)

    def test_read_meanwhile(self) -> None:
        """A question that waits for the services is answered as soon as they were read."""
        self.make("web", "10.0.0.1:80")
        self.mirror = self.world.mirror()
        self.serve(read=False)
        waiting = self.responder.respond(ask(WEB), by_tcp=False)
        self.assertNoResult(waiting)
        self.show()
        reply = self.successResultOf(waiting)
        assert reply is not None
        self.assertEqual(show(decode(reply).answers), [f"{WEB} 10.0.0.1"])

    def test_closed(self) -> None:
        """A question that waits when the server stops is answered at once, also if others still use the catalog."""
        self.world.disconnect()
        self.mirror = self.world.mirror(connect=False)
        self.serve()
        waiting = self.responder.respond(ask(WEB), by_tcp=False)
        self.assertNoResult(waiting)
        self.directory.close()
        reply = self.successResultOf(waiting)
        assert reply is not None
        self.assertEqual(decode(reply).rCode, dns.ESERVER)

    def test_unreadable(self) -> None:
        """A service whose instances cannot be read has no answer; the others have theirs. The root counts for all."""
        self.make("web", "10.0.0.1:80")
        self.make("db", "10.0.0.2:80")
        nobody = [ACL(Permission.ALL, "digest", "nobody:x")]
        self.world.result(self.other.delete("/services/web/10.0.0.1:80"))
        self.world.result(self.other.set_acl("/services/web", nobody))
        self.mirror = self.world.mirror()
        self.serve()
        self.assertEqual(self.reply(WEB).rCode, dns.ESERVER)
        self.assertEqual(len(self.answers("db.service.mirror")), 1)
        self.world.result(self.other.set_acl("/services", nobody))
        self.mirror = self.world.mirror()
        self.serve()
        self.assertEqual(self.reply("db.service.mirror").rCode, dns.ESERVER)
        self.assertEqual(self.reply("no.service.mirror").rCode, dns.ESERVER)


class BoundTests(DNSTestCase):
    def test_unknown_names(self) -> None:
        """Questions for names that do not exist are answered at once, and leave nothing."""
        self.make("web", "10.0.0.1:80")
        for number in range(200):
            waiting = self.responder.respond(ask(f"x{number}.service.mirror"), by_tcp=False)
            reply = self.successResultOf(waiting)
            assert reply is not None
            self.assertEqual(decode(reply).rCode, dns.ENAME)
        self.assertEqual(list(self.directory._selections), [])

    def test_most_selections(self) -> None:
        """Of at most so many services the instances are kept in groups: those that were asked for last."""
        self.patch(directory_module, "_MOST_SELECTIONS", 2)
        for name in "abc":
            self.make(name, "10.0.0.1:80")
            self.assertEqual(len(self.answers(f"{name}.service.mirror")), 1)
        self.assertEqual(list(self.directory._selections), ["b", "c"])
        self.assertEqual(len(self.answers("a.service.mirror")), 1)
        self.assertEqual(list(self.directory._selections), ["c", "a"])

    def test_two_cases(self) -> None:
        """Of two names that differ in their case, the one in lower case counts, whichever changes."""
        self.make("Web", "10.0.0.1:80")
        self.assertEqual(self.answers(WEB), [f"{WEB} 10.0.0.1"])
        self.make("web", "10.0.0.2:80")
        self.assertEqual(self.answers(WEB), [f"{WEB} 10.0.0.2"])
        self.make("Web", "10.0.0.3:80")
        self.assertEqual(self.answers(WEB), [f"{WEB} 10.0.0.2"])
        self.world.result(self.other.delete("/services/web/10.0.0.2:80"))
        self.world.result(self.other.delete("/services/web"))
        self.show()
        self.assertEqual(self.answers(WEB), [f"{WEB} 10.0.0.1", f"{WEB} 10.0.0.3"])
