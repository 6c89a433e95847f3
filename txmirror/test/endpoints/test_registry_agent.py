"""The agent: URLs, headers, connections and the end."""

from __future__ import annotations

import gc
from io import BytesIO
from pathlib import Path
from typing import Any

from service_identity import VerificationError
from treq.client import HTTPClient
from treq.content import text_content
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import BrowserLikePolicyForHTTPS, FileBodyProducer, RedirectAgent, ResponseFailed, readBody
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IPolicyForHTTPS, IResponse
from twisted.web.server import Request
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.endpoints import RegistryAgent
from txmirror.errors import ClosingException, NoInstanceException
from txmirror.test.certificates import Authority
from txmirror.test.endpoints.agent_case import WEB, AgentTestCase, Body, FakeProvider
from txmirror.types import Instance


@implementer(IAgent)
class OtherAgent:
    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        return succeed((method, uri, headers, bodyProducer))


class UrlTests(AgentTestCase):
    def test_interface(self) -> None:
        verifyObject(IAgent, self.agent())

    def test_request(self) -> None:
        """The instance gets the path, the query, the headers, the body, and the service's name as the host."""
        (one,) = self.serve("one")
        agent = self.agent()
        got = self.get(
            agent, b"http+mirror://web/a/b;c?d=e#f", b"POST", headers=Headers({b"x": [b"y"]}), bodyProducer=Body(b"!")
        )
        self.assertEqual(got, b"one!")
        request = one.requests[0]
        self.assertEqual((request.method, request.uri), (b"POST", b"/a/b;c?d=e"))
        headers = {name.lower(): values for name, values in request.requestHeaders.getAllRawHeaders()}
        self.assertEqual(headers, {b"host": [b"web"], b"x": [b"y"], b"content-length": [b"1"]})

    def test_services(self) -> None:
        """The host is the name below the root, in lower case, or one of the other services."""
        self.serve("one")
        agent = self.agent(root="prod/", services={"Billing": "/prod/eu/Billing_2", "deep.web": "/a/b"})
        for uri in ("web", "WEB", "a.b", "my_web", "billing", "BILLING", "deep.web"):
            self.get(agent, f"http+mirror://{uri}/".encode())
        expected = ["/prod/web", "/prod/a.b", "/prod/my_web", "/prod/eu/Billing_2", "/a/b"]
        self.assertEqual(list(self.providers), expected)

    def test_malformed(self) -> None:
        """A URL that names no service is refused at once, and quoted."""
        agent = self.agent()
        for uri in (
            b"http+mirror:///x",
            b"http+mirror://web:80/",
            b"http+mirror://u@web/",
            b"https+mirror://[::1]/",
            b"http+mirror://../",
            b"http+mirror://a..b/",
            b"http+mirror://a%2fb/",
            b"http+mirror://\xc3\xa9/",
        ):
            error = self.assertRaises(ValueError, agent.request, b"GET", uri)
            self.assertIn(repr(uri), str(error))
        self.assertEqual(self.providers, {})

    def test_malformed_arguments(self) -> None:
        for options in (
            {"root": "a\0b"},
            {"services": {"a/b": "/x"}},
            {"services": {"a": "/\0"}},
            {"authority": "none"},
            {"timeout": 0.0},
            {"connect_timeout": -1.0},
            {"idle": float("nan")},
            {"most_pools": 0},
            {"idle_connections": 0},
            {"idle_connections": 1.5},
        ):
            with self.assertRaises(ValueError, msg=str(options)):
                self.agent(**options)

    def test_invalid_requests(self) -> None:
        """Twisted refuses an invalid method or URL; that is no failure of the instance, and tried once."""
        self.serve("one")
        agent = self.agent()
        for method, uri in ((b"GE T", WEB), (b"GET", b"http+mirror://web/a b")):
            self.error(agent.request(method, uri), ValueError)
        self.assertEqual(self.web.feedback, [])

    def test_other_schemes(self) -> None:
        """Other schemes are refused, or left to another agent."""
        self.error(self.agent().request(b"GET", b"http://web/"), SchemeNotSupported)
        self.assertEqual(
            self.successResultOf(self.agent(others=OtherAgent()).request(b"GET", b"http://web/x")),
            (b"GET", b"http://web/x", None, None),
        )

    def test_instance_s_authority(self) -> None:
        """If asked for, the Host header has the instance's address."""
        (one,) = self.serve("one")
        agent = self.agent(authority="instance")
        self.get(agent)
        self.assertEqual(one.requests[0].getHeader(b"host"), b"10.0.0.1")
        self.get(agent, headers=Headers({b"Host": [b"mine"]}))
        self.assertEqual(one.requests[1].getHeader(b"host"), b"mine")

    def test_wrong_address(self) -> None:
        """An instance whose address is no host is left out like one that cannot be connected to."""
        one, two, three = self.serve("one", "two", "three")
        for server, address in ((one, "a b"), (two, "a..b\r\nx:")):
            server.instance = Instance(name=server.name, address=address, port=80)
        for authority in ("service", "instance"):
            self.assertEqual(self.get(self.agent(authority=authority), method=b"POST"), b"three")
            self.assertEqual(self.web.feedback, ["-one", "-two", "+three"])
        self.assertEqual(len(three.requests), 2)

    def test_wrong_tls_policy(self) -> None:
        """A TLS policy that raises fails the request, and is no failure of the instance."""

        @implementer(IPolicyForHTTPS)
        class Wrong:
            def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
                raise ZeroDivisionError

        self.serve("one", "two")
        self.error(self.agent(tls_policy=Wrong()).request(b"GET", b"https+mirror://web/"), ZeroDivisionError)
        self.assertEqual(self.web.feedback, [])

    def test_key(self) -> None:
        """The strategy gets the key of the request."""
        self.serve("one")
        agent = self.agent(key=lambda target, headers: (target, headers.getRawHeaders(b"user")))
        self.get(agent, b"http+mirror://web/a?b")
        self.get(agent, headers=Headers({b"user": [b"me"]}))
        self.assertEqual([each[0] for each in self.web.picks], [(b"/a?b", None), (b"/", [b"me"])])


class RedirectTests(AgentTestCase):
    def location(self, agent: RegistryAgent, location: bytes) -> bytes:
        def answer(request: Request) -> bytes:
            request.setResponseCode(302)
            request.setHeader(b"location", location)
            return b""

        self.servers[0].answer = answer
        response = agent.request(b"GET", b"http+mirror://web/a/b")
        self.reactor.settle()
        (found,) = self.successResultOf(response).headers.getRawHeaders(b"location")
        assert isinstance(found, bytes)
        return found

    def test_locations(self) -> None:
        """A redirect to the service or the instance leads to the service, and a relative one is made absolute."""
        self.serve("one")
        agent = self.agent()
        for location, expected in (
            (b"/x", b"http+mirror://web/x"),
            (b"x?y", b"http+mirror://web/a/x?y"),
            (b"//WEB/x", b"http+mirror://web/x"),
            (b"http://web/x", b"http+mirror://web/x"),
            (b"http://web:8080/x", b"http+mirror://web/x"),
            (b"https://web/x", b"https+mirror://web/x"),
            (b"http://10.0.0.1/x", b"http+mirror://web/x"),
            (b"http://10.0.0.1:80/x", b"http+mirror://web/x"),
            (b"http://10.0.0.1:81/x", b"http://10.0.0.1:81/x"),
            (b"http://example.com/x#y", b"http://example.com/x#y"),
            (b"ftp://web/x", b"ftp://web/x"),
            (b"http+mirror://other/x", b"http+mirror://other/x"),
            (b"http://[x", b"http://[x"),
            (b"/\xff", b"/\xff"),
        ):
            self.assertEqual(self.location(agent, location), expected)

    def test_followed(self) -> None:
        """Twisted's agent for redirects follows them."""
        (one,) = self.serve("one")

        def answer(request: Request) -> bytes:
            if request.path == b"/a":
                request.redirect(b"/b")
            return b"found"

        one.answer = answer
        self.assertEqual(self.answer(RedirectAgent(self.agent()).request(b"GET", b"http+mirror://web/a")), b"found")
        self.assertEqual([each.path for each in one.requests], [b"/a", b"/b"])


class TreqTests(AgentTestCase):
    def test_treq(self) -> None:
        """treq works with it: query, body, cookies, redirects and text."""
        (one,) = self.serve("one")

        def answer(request: Request) -> bytes:
            if request.path == b"/login":
                request.addCookie(b"session", b"1")
                request.redirect(b"http://web/home")
            return b"%b %b %b" % (request.uri, request.getCookie(b"session") or b"-", one.bodies[-1])

        one.answer = answer
        cooperator = Cooperator(scheduler=lambda function: self.reactor.callLater(0, function))
        client = HTTPClient(
            self.agent(), data_to_body_producer=lambda data: FileBodyProducer(BytesIO(data), cooperator=cooperator)
        )
        for method, url, options, expected in (
            ("GET", "http+mirror://Web/login", {}, "/home 1 "),
            ("PUT", "HTTP+mirror://web/x", {"params": {"a": "b"}, "data": b"body"}, "/x?a=b 1 body"),
            ("GET", "http+mirror://web", {"cookies": {"session": "2"}}, "/ 2 "),
        ):
            requested = client.request(method, url, reactor=self.reactor, **options)  # type: ignore[arg-type]
            self.reactor.settle()
            text = text_content(self.successResultOf(requested))
            self.reactor.settle()
            self.assertEqual(self.successResultOf(text), expected)
        self.assertEqual(list(self.providers), ["/services/web"])


class ConnectionTests(AgentTestCase):
    def test_kept(self) -> None:
        """A connection is used again."""
        self.serve("one")
        agent = self.agent()
        self.get(agent)
        links = list(self.reactor.links)
        self.get(agent)
        self.assertEqual(self.reactor.links, links)
        self.assertEqual(len(links), 1)

    def test_idle(self) -> None:
        """An idle connection is closed after some time."""
        self.serve("one")
        self.get(self.agent())
        self.reactor.pass_time(29)
        self.assertEqual(len(self.reactor.links), 1)
        self.reactor.pass_time(2)
        self.assertEqual(self.reactor.links, [])

    def test_idle_connections(self) -> None:
        """Only some connections to each instance are kept."""
        one, _ = self.serve("one", "two")
        for options, kept in (({}, 2), ({"idle_connections": 1}, 1), ({"idle_connections": 4}, 4)):
            agent = self.agent(**options)
            one.held = True
            held = [agent.request(b"GET", WEB) for _ in range(5)]
            self.reactor.settle()
            for each in one.requests:
                each.finish()
            one.requests.clear()
            for requested in held:
                self.answer(requested)
            self.assertEqual(len(self.reactor.links), kept)
            agent.close()
            self.reactor.settle()

    def test_instance_leaves(self) -> None:
        """When an instance leaves, its idle connection is closed, and one in use after the response."""
        one, two = self.serve("one", "two")
        agent = self.agent()
        self.get(agent)
        one.held = True
        held = agent.request(b"POST", WEB)
        other = agent.request(b"POST", WEB)
        self.reactor.settle()
        self.assertEqual(len(self.reactor.links), 2)
        one.requests[-1].write(b"x")
        one.requests[-1].finish()
        self.assertEqual(self.answer(other), b"x")
        self.web.set(two.instance)
        self.reactor.settle()
        self.assertEqual(len(self.reactor.links), 1)
        one.requests[1].write(b"y")
        self.reactor.settle()
        body = readBody(self.successResultOf(held))
        self.reactor.settle()
        self.assertNoResult(body)
        one.requests[1].finish()
        self.reactor.settle()
        self.assertEqual(self.successResultOf(body), b"y")
        self.assertEqual(self.reactor.links, [])
        self.assertEqual(self.get(agent), b"two")

    def test_instance_moves(self) -> None:
        """An instance at another address gets connections of its own; other data changes nothing."""
        (one,) = self.serve("one")
        agent = self.agent()
        self.get(agent)
        self.web.set(Instance(name="one", address="10.0.0.1", port=80, weight=5))
        self.reactor.settle()
        self.assertEqual(len(self.reactor.links), 1)
        (two,) = self.serve("two")
        self.web.set(Instance(name="one", address=two.instance.address, port=81))
        self.reactor.settle()
        self.assertEqual(self.reactor.links, [])
        self.assertIs(one, self.servers[0])

    def test_most_pools(self) -> None:
        """The connections that were not used for the longest time are closed, if there are too many instances."""
        one, two, three = self.serve("one", "two", "three")
        agent = self.agent(most_pools=2)
        self.get(agent)
        for each in (two, one, three):
            self.web.set(each.instance, *(other.instance for other in self.servers if other is not each))
            self.get(agent)
        self.assertEqual({each.server_address.host for each in self.reactor.links}, {"10.0.0.1", "10.0.0.3"})

    def test_provider_expires(self) -> None:
        """A service that is not used for some time is followed no longer, and is again when it is used."""
        (one,) = self.serve("one")
        agent = self.agent(idle=20.0)
        self.get(agent)
        first = self.web
        self.reactor.pass_time(19)
        self.get(agent)
        self.reactor.pass_time(19)
        self.assertFalse(first.closed)
        one.held = True
        held = agent.request(b"GET", WEB)
        self.reactor.pass_time(30)
        self.assertFalse(first.closed)
        one.requests[-1].finish()
        self.answer(held)
        self.reactor.pass_time(21)
        self.assertTrue(first.closed)
        self.assertEqual(self.reactor.links, [])
        one.held = False
        self.assertEqual(self.get(agent), b"one")
        self.assertIsNot(self.web, first)

    def test_unknown_provider(self) -> None:
        """If the provider cannot be made, the request fails, and the next one tries again."""

        def make(registry: object, path: str) -> Any:
            raise ZeroDivisionError

        agent = RegistryAgent(None, provider=make, reactor=self.reactor)  # type: ignore[arg-type]
        for _ in range(2):
            self.error(agent.request(b"GET", WEB), ZeroDivisionError)


class PendingTests(AgentTestCase):
    """A request is pending until the end of its response's body."""

    def held(self, method: bytes = b"GET") -> IResponse:
        (one,) = self.serve("one")
        one.held = True
        requested = self.agent().request(method, WEB)
        self.reactor.settle()
        self.assertEqual(self.web.pending, ["one"])
        one.requests[0].write(b"a")
        self.reactor.settle()
        return self.successResultOf(requested)

    def test_body(self) -> None:
        response = self.held()
        body = readBody(response)
        self.reactor.settle()
        self.assertEqual(self.web.pending, ["one"])
        self.servers[0].requests[0].finish()
        self.reactor.settle()
        self.assertEqual(self.web.pending, [])
        self.assertEqual(self.successResultOf(body), b"a")

    def test_body_cut(self) -> None:
        """A body that breaks off ends it too."""
        body = readBody(self.held())
        self.servers[0].drop()
        self.error(body, ResponseFailed)
        self.assertEqual(self.web.pending, [])

    def test_body_cancelled(self) -> None:
        body = readBody(self.held())
        body.cancel()
        self.error(body, ResponseFailed)
        self.reactor.settle()
        self.assertEqual((self.web.pending, self.reactor.links), ([], []))

    def test_body_not_read(self) -> None:
        """A response that the program drops without its body is pending no longer, and its connection is closed: the rest of the
        body would wait for ever."""
        response: IResponse | None = self.held()
        self.assertEqual(self.web.pending, ["one"])
        del response
        gc.collect()
        self.assertEqual(self.web.pending, [])
        self.reactor.settle()
        self.assertEqual(self.reactor.links, [])

    def test_whole_body_not_read(self) -> None:
        """If the body has arrived before the response is dropped, the connection stays."""
        (one,) = self.serve("one")
        requested = self.agent().request(b"GET", WEB)
        self.reactor.settle()
        response: IResponse | None = self.successResultOf(requested)
        (link,) = self.reactor.links
        del response
        gc.collect()
        self.assertEqual(self.web.pending, [])
        self.reactor.settle()
        self.assertEqual(self.reactor.links, [link])
        self.assertEqual(len(one.requests), 1)

    def test_dropped_after_delivery(self) -> None:
        """It is pending while its body is received, also if nobody has the response any more."""
        body = readBody(self.held())
        gc.collect()
        self.assertEqual(self.web.pending, ["one"])
        self.servers[0].requests[0].finish()
        self.reactor.settle()
        self.assertEqual(self.successResultOf(body), b"a")

    def test_no_body(self) -> None:
        """A response without a body ends at once."""
        (one,) = self.serve("one")
        agent = self.agent()

        def no_content(request: Request) -> bytes:
            request.setResponseCode(204)
            return b""

        for method, answer in ((b"HEAD", one.answer), (b"GET", no_content), (b"GET", lambda request: b"")):
            one.answer = answer
            requested = agent.request(method, WEB)
            self.reactor.settle()
            response = self.successResultOf(requested)
            self.assertEqual(self.web.pending, [])
            self.assertEqual(self.answer(succeed(response)), b"")

    def test_failed(self) -> None:
        (one,) = self.serve("one")
        one.held = True
        requested = self.agent().request(b"POST", WEB)
        self.reactor.settle()
        one.drop()
        self.error(requested, ResponseFailed)
        self.assertEqual(self.web.pending, [])


class CloseTests(AgentTestCase):
    def test_close(self) -> None:
        """It ends everything: requests, bodies, idle connections, providers."""
        one, two = self.serve("one", "two")
        agent = self.agent()
        self.get(agent)
        one.held = True
        answered = agent.request(b"GET", WEB)
        self.reactor.settle()
        one.requests[-1].write(b"x")
        self.reactor.settle()
        body = readBody(self.successResultOf(answered))
        sent = agent.request(b"GET", WEB)
        self.reactor.settle()
        self.reactor.black_hole("10.0.0.2", 80)
        self.web.set(two.instance)
        connecting = agent.request(b"GET", WEB)
        self.web.set()
        waiting = agent.request(b"GET", WEB)
        self.reactor.settle()
        self.assertEqual(len(self.reactor.links), 2)
        closed = agent.close()
        self.reactor.settle()
        self.successResultOf(closed)
        for each in (sent, connecting, waiting):
            self.error(each, ClosingException)
        self.error(body, ResponseFailed)
        self.assertEqual((self.reactor.links, self.web.closed, self.web.feedback), ([], True, ["+one", "+one"]))
        # Only those of the servers are left.
        self.assertEqual({each.func.__name__ for each in self.reactor.calls}, {"_updateLogDateTime"})

    def test_order(self) -> None:
        """Requests end in the order of their begin, and so do their connections, in each run of a program."""
        (one,) = self.serve("one")
        one.held = True
        agent = self.agent()
        ended: list[int] = []
        lost: list[int] = []

        def note(_: Failure, noted: list[int], number: int) -> None:
            noted.append(number)

        for number in range(10):
            agent.request(b"GET", WEB).addErrback(note, ended, number)
        self.reactor.settle()
        for number, request in enumerate(one.requests):
            request.notifyFinish().addErrback(note, lost, number)
        agent.close()
        self.reactor.settle()
        self.assertEqual((ended, lost), (list(range(10)), list(range(10))))

    def test_closed(self) -> None:
        """After it, requests fail at once; it may be closed again."""
        agent = self.agent()
        agent.close()
        self.error(agent.request(b"GET", WEB), ClosingException)
        agent.close()
        self.assertEqual(self.providers, {})

    def test_closed_by_a_callback(self) -> None:
        """It may be closed while a request fails."""
        one, _ = self.serve("one", "two")
        agent = self.agent()
        self.get(agent)
        one.drop()
        one.stop()
        self.web.failed = lambda instance: agent.close()  # type: ignore[assignment]
        self.error(agent.request(b"GET", WEB), ClosingException)

    def test_closed_by_a_request(self) -> None:
        """The callbacks of a request that fails because of it may send another one, which fails."""
        agent = self.agent()
        waiting = agent.request(b"GET", WEB)
        again = waiting.addErrback(lambda failure: agent.request(b"GET", WEB))
        agent.close()
        self.error(again, ClosingException)

    def test_no_instance(self) -> None:
        """Without an instance, the request fails in time."""
        requested = self.agent(timeout=2.0).request(b"GET", WEB)
        self.assertEqual(self.web.picks, [(None, [], 2.0)])
        self.web.waiting.fail(lambda: NoInstanceException("none"))
        self.error(requested, NoInstanceException)


class Answering(Protocol):
    """A web server with one answer. (The oldest Twisted and a new pyOpenSSL cannot serve a Site.)"""

    def dataReceived(self, data: bytes) -> None:
        host = next(line for line in data.lower().splitlines() if line.startswith(b"host: "))
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(host), host))


class TlsTests(TestCase):
    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        folder = Path(self.mktemp())
        folder.mkdir()
        self.authority = Authority(folder, "authority")
        root = Certificate.loadPEM(self.authority.file.read_bytes())
        self.policy = BrowserLikePolicyForHTTPS(trustRootFromCertificates([root]))

    def test_names(self) -> Deferred[None]:
        """The certificate must have the service's name, or, if asked for, the address; the port is the one for TLS."""
        return Deferred.fromCoroutine(self._test_names())

    async def _test_names(self) -> None:
        for authority, name in (("service", "web"), ("instance", "localhost")):
            own = PrivateCertificate.loadPEM(self.authority.vouch(name, name).read_bytes())
            port = self.reactor.listenSSL(0, Factory.forProtocol(Answering), own.options(), interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            number = port.getHost().port
            for each in ("service", "instance"):
                provider = FakeProvider("/services/web")
                provider.list = [Instance(name="one", address="localhost", port=1, tls_port=number)]
                agent = self.agent(provider, each)
                requested = agent.request(b"GET", b"https+mirror://web/")
                if each == authority:
                    host = b"host: web" if each == "service" else b"host: localhost:%d" % number
                    self.assertEqual(await readBody(await requested), host)
                    self.assertEqual(provider.feedback, ["+one"])
                else:
                    await self.assertFailure(requested, VerificationError)
                    self.assertEqual(set(provider.feedback), {"-one"})
                await agent.close()

    def agent(self, provider: FakeProvider, authority: Any) -> RegistryAgent:
        registry: Any = None
        options: Any = {"authority": authority, "tls_policy": self.policy, "timeout": 0.1, "reactor": self.reactor}
        return RegistryAgent(registry, provider=lambda *_: provider, **options)
