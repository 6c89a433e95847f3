"""The agent's retries, and a cancellation at every step."""

from __future__ import annotations

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.testing import StringTransport
from twisted.web.client import RequestGenerationFailed, ResponseFailed, ResponseNeverReceived
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse
from twisted.web.server import Request

from txmirror.endpoints.exchange import IDEMPOTENT
from txmirror.errors import NoInstanceException
from txmirror.test.endpoints.agent_case import WEB, AgentTestCase, Body, Server
from txmirror.types import Instance

METHODS = (*IDEMPOTENT, b"POST", b"PATCH")


class RetryTests(AgentTestCase):
    def test_refused(self) -> None:
        """A refused request is sent to the next instance, whatever its method."""
        one, two, three = self.serve("one", "two", "three")
        one.stop()
        two.stop()
        agent = self.agent()
        for method in METHODS:
            body = Body(b"!")
            self.get(agent, method=method, bodyProducer=body)
            self.assertEqual(body.started, 1)
            self.assertEqual(self.web.feedback, ["-one", "-two", "+three"])
            self.assertEqual([each[1] for each in self.web.picks], [[], ["one"], ["one", "two"]])
            self.web.feedback.clear()
            self.web.picks.clear()
        self.assertEqual([each.method for each in three.requests], list(METHODS))
        self.assertEqual(set(three.bodies), {b"!"})

    def test_not_connected_in_time(self) -> None:
        """An instance that cannot be connected to in time is left out, too."""
        self.serve("one", "two")
        self.reactor.black_hole("10.0.0.1", 80)
        requested = self.agent(connect_timeout=2.0).request(b"POST", WEB)
        self.reactor.pass_time(1.9)
        self.assertNoResult(requested)
        self.reactor.pass_time(0.2)
        self.assertEqual(self.answer(requested), b"two")
        self.assertEqual(self.web.feedback, ["-one", "+two"])

    def test_none_connected_in_time(self) -> None:
        """If there is no other, the request fails with a timeout, and not as if the program had cancelled it."""
        self.serve("one")
        self.reactor.black_hole("10.0.0.1", 80)
        requested = self.agent(connect_timeout=3.0, timeout=2.0).request(b"GET", WEB)
        self.reactor.pass_time(3.0)
        self.assertIn("within 3 s", str(self.error(requested, error.TimeoutError)))

    def test_many_unusable(self) -> None:
        """Instances without a port for the scheme are left out, and the reactor goes on between them."""
        self.serve("one")
        agent = self.agent()
        self.get(agent)
        self.web.feedback.clear()
        self.web.list[:0] = [Instance(name=f"{n}", address="10.0.1.1", tls_port=443) for n in range(50)]
        requested = agent.request(b"POST", WEB)
        self.assertEqual(self.web.feedback, ["-0"])
        self.assertEqual(self.answer(requested), b"one")
        self.assertEqual(self.web.feedback, [*(f"-{n}" for n in range(50)), "+one"])

    def test_lost(self) -> None:
        """If the connection was lost before the response, only idempotent requests are repeated."""
        for method in METHODS:
            self.servers.clear()
            one, two = Server("one", "10.0.1.1", 80, self.reactor), Server("two", "10.0.1.2", 80, self.reactor)
            self.servers += (one, two)
            agent = self.agent()
            requested = agent.request(method, WEB, bodyProducer=Body(b"body"))
            one.held = True
            self.reactor.settle()
            self.assertEqual(len(one.requests), 1)
            one.drop()
            if method in IDEMPOTENT:
                self.assertEqual(self.answer(requested), b"" if method == b"HEAD" else b"twobody")
                self.assertEqual((one.bodies, two.bodies), ([b"body"], [b"body"]))
                self.assertEqual(self.web.feedback, ["-one", "+two"])
            else:
                self.error(requested, ResponseNeverReceived)
                self.assertEqual((two.requests, self.web.feedback), ([], ["-one"]))
            agent.close()
            one.stop()
            two.stop()
            self.reactor.settle()

    def test_lost_in_the_headers(self) -> None:
        """A connection that is lost in the middle of the headers has brought no response."""
        self.serve("one", "two")
        requested = self.agent().request(b"GET", WEB)
        self.reactor.callLater(0, lambda: self.reactor.links[0].cut_after(to_client=20))
        self.assertEqual(self.answer(requested), b"two")
        self.assertEqual(self.web.feedback, ["-one", "+two"])

    def test_lost_in_the_body_of_the_request(self) -> None:
        self.serve("one", "two")
        requested = self.agent().request(b"PUT", WEB, bodyProducer=Body(b"x" * 100_000))
        self.reactor.callLater(0, lambda: self.reactor.links[0].cut_after(to_server=50_000))
        self.assertEqual(self.answer(requested), b"two" + b"x" * 100_000)

    def test_not_http(self) -> None:
        """An answer that is not HTTP is no response."""
        one, _ = self.serve("one", "two")
        requested = self.agent().request(b"GET", WEB)
        one.held = True
        self.reactor.settle()
        self.reactor.links[0].server.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        self.assertEqual(self.answer(requested), b"two")
        self.assertEqual(self.web.feedback, ["-one", "+two"])

    def test_idle_connection(self) -> None:
        """A request on an idle connection that the server is just closing is repeated at the same instance: it has not failed."""
        one, _ = self.serve("one", "two")
        agent = self.agent()
        for method in (b"GET", b"PUT"):
            self.get(agent)
            self.web.feedback.clear()
            requested = agent.request(method, WEB, bodyProducer=Body(b"!"))
            one.drop()
            self.assertEqual(self.answer(requested), b"one!")
            self.assertEqual(self.web.feedback, ["+one"])

    def test_idle_connections_are_closed(self) -> None:
        """Then the other idle connections are not trusted either."""
        one, _ = self.serve("one", "two")
        agent = self.agent()
        one.held = True
        pair = [agent.request(b"GET", WEB) for _ in range(2)]
        self.reactor.settle()
        one.held = False
        for request, requested in zip(one.requests, pair, strict=True):
            request.finish()
            self.answer(requested)
        first, second = self.reactor.links
        requested = agent.request(b"GET", WEB)
        first.cut()
        second.stall()
        self.reactor.settle()
        second.resume()
        self.assertEqual(self.answer(requested), b"one")

    def test_post_on_an_idle_connection(self) -> None:
        """A POST on it may have had an effect: it fails, and the instance has not failed."""
        one, _ = self.serve("one", "two")
        agent = self.agent()
        self.get(agent)
        requested = agent.request(b"POST", WEB)
        one.drop()
        self.error(requested, ResponseNeverReceived)
        self.assertEqual(self.web.feedback, ["+one"])

    def test_all_fail(self) -> None:
        """If all instances fail, all are tried again after growing pauses, until the time is over."""
        for server in self.serve("one", "two"):
            server.stop()
        requested = self.agent(timeout=1.0).request(b"POST", WEB)
        self.reactor.pass_time(0.9)
        self.assertNoResult(requested)
        self.assertEqual(self.web.feedback, ["-one", "-two"] * 5)
        self.reactor.pass_time(0.9)
        self.failureResultOf(requested, error.ConnectionRefusedError)
        self.assertEqual(self.web.feedback, ["-one", "-two"] * 5 + ["-one"])

    def test_comes_back(self) -> None:
        """An instance that listens again meanwhile gets the request."""
        (one,) = self.serve("one")
        one.stop()
        requested = self.agent().request(b"POST", WEB)
        self.reactor.pass_time(0.3)
        (again,) = (Server("again", "10.0.0.1", 80, self.reactor),)
        self.servers.append(again)
        self.reactor.pass_time(0.5)
        self.assertEqual(self.answer(requested), b"again")

    def test_new_instance(self) -> None:
        """If no instance is left, the request waits for another one."""
        one, two = self.serve("one", "two")
        one.stop()
        agent = self.agent()
        requested = agent.request(b"GET", WEB)
        self.web.set()
        self.reactor.pass_time(5)
        self.assertNoResult(requested)
        self.web.set(two.instance)
        self.web.waiting.fire(None)
        self.assertEqual(self.answer(requested), b"two")

    def test_none_left(self) -> None:
        """Without another instance in time it fails with the reason of the provider, and the cause is the refusal."""
        (one,) = self.serve("one")
        one.stop()
        requested = self.agent().request(b"GET", WEB)
        self.web.set()
        self.reactor.pass_time(1)
        self.web.waiting.fail(lambda: NoInstanceException("all are down"))
        failed = self.error(requested, NoInstanceException)
        self.assertIsInstance(failed.__cause__, error.ConnectionRefusedError)

    def test_none_left_after_a_loss(self) -> None:
        """A request that may have reached an instance fails with that, and not with a later reason."""
        (one,) = self.serve("one")
        one.held = True
        requested = self.agent().request(b"PUT", WEB)
        self.reactor.settle()
        self.web.set()
        one.stop()
        one.drop()
        self.reactor.pass_time(1)
        self.web.waiting.fail(lambda: NoInstanceException("all are down"))
        failed = self.error(requested, ResponseNeverReceived)
        self.assertIsInstance(failed.__cause__, NoInstanceException)

    def test_refused_after_a_loss(self) -> None:
        """So it is if the time ends after a refusal."""
        (one,) = self.serve("one")
        one.held = True
        requested = self.agent(timeout=0.2).request(b"PUT", WEB)
        self.reactor.settle()
        one.stop()
        one.drop()
        self.reactor.pass_time(1)
        self.failureResultOf(requested, ResponseNeverReceived)

    def test_time(self) -> None:
        """The time does not limit the response, but no attempt begins after it."""
        one, two = self.serve("one", "two")
        one.held = True
        requested = self.agent(timeout=5.0).request(b"GET", WEB)
        self.reactor.pass_time(20)
        self.assertNoResult(requested)
        one.drop()
        self.error(requested, ResponseFailed)
        self.assertEqual(two.requests, [])


class StatusTests(AgentTestCase):
    def test_statuses(self) -> None:
        """A response is returned, whatever its status. Those of a server that cannot serve are no success."""
        one, two = self.serve("one", "two")
        agent = self.agent()
        for code, feedback in ((200, ["+one"]), (404, ["+one"]), (500, ["+one"]), (502, []), (503, []), (504, [])):

            def answer(request: Request, code: int = code) -> bytes:
                request.setResponseCode(code)
                return b"x"

            one.answer = answer
            requested = agent.request(b"GET", WEB)
            self.reactor.settle()
            response = self.successResultOf(requested)
            self.assertEqual(response.code, code)
            self.assertEqual(self.answer(succeed(response)), b"x")
            self.assertEqual(self.web.feedback, feedback)
            self.web.feedback.clear()
        self.assertEqual(two.requests, [])


class BodyTests(AgentTestCase):
    def lose(self, body: Body, method: bytes = b"PUT") -> Deferred[IResponse]:
        """Send a body to an instance that dies after it has read it."""
        one, _ = self.serve("one", "two")
        one.held = True
        requested = self.agent().request(method, WEB, bodyProducer=body)
        self.reactor.settle()
        self.assertEqual(len(one.requests), 1)
        one.drop()
        return requested

    def test_long_body(self) -> None:
        """A long body is not kept: it is sent once."""
        body = Body(b"x" * (1024 * 1024 + 1))
        self.error(self.lose(body), ResponseNeverReceived)
        self.assertEqual(body.started, 1)
        self.assertEqual(self.servers[1].requests, [])

    def test_longest_kept_body(self) -> None:
        body = Body(b"x" * 1024 * 1024)
        self.assertEqual(len(self.answer(self.lose(body))), 1024 * 1024 + 3)
        self.assertEqual(body.started, 1)

    def test_unknown_length(self) -> None:
        """Nor is a body of unknown length."""
        self.error(self.lose(Body(b"body", UNKNOWN_LENGTH)), ResponseNeverReceived)

    def test_slow_body(self) -> None:
        """The body is read before the first attempt."""
        self.serve("one")
        body = Body(None, 4)
        requested = self.agent().request(b"PUT", WEB, bodyProducer=body)
        self.reactor.settle()
        self.assertEqual(self.web.picks, [])
        assert body.consumer is not None
        body.consumer.write(b"bo")
        body.consumer.write(b"dy")
        self.reactor.settle()
        body.end.callback(None)
        self.assertEqual(self.answer(requested), b"onebody")

    def test_failed_body(self) -> None:
        """A body that cannot be read fails the request."""
        self.serve("one")
        body = Body(None, 4)
        requested = self.agent().request(b"PUT", WEB, bodyProducer=body)
        body.end.errback(ZeroDivisionError())
        self.error(requested, ZeroDivisionError)
        self.assertEqual((self.web.picks, body.stopped), ([], False))

    def test_wrong_length(self) -> None:
        """A body of another length than stated fails the request, as with Twisted's agent, and is not repeated."""
        self.serve("one", "two")
        agent = self.agent()
        for data in (b"short", b"too long" * 1000):
            self.error(agent.request(b"PUT", WEB, bodyProducer=Body(data, 6)), RequestGenerationFailed)
        self.assertEqual(self.web.feedback, [])

    def test_consumer(self) -> None:
        """The body may be pulled by a producer of its own."""
        self.serve("one")
        body = Body(None, 1)
        requested = self.agent().request(b"PUT", WEB, bodyProducer=body)
        assert body.consumer is not None
        body.consumer.registerProducer(StringTransport(), False)
        body.consumer.write(b"!")
        body.consumer.unregisterProducer()
        body.end.callback(None)
        self.assertEqual(self.answer(requested), b"one!")


class CancelTests(AgentTestCase):
    """A cancelled request leaves nothing: see ``tearDown``."""

    def cancel(self, requested: Deferred[IResponse]) -> None:
        requested.cancel()
        self.failureResultOf(requested, CancelledError)
        self.reactor.settle()
        self.assertEqual((self.reactor.links, self.web.pending, self.web.feedback), ([], [], []))
        self.assertEqual(len(self.web.waiting), 0)
        self.reactor.pass_time(15)
        self.assertEqual([each.requests[1:] for each in self.servers], [[]] * len(self.servers))

    def start(self, method: bytes = b"GET", body: Body | None = None) -> Deferred[IResponse]:
        requested = self.agent().request(method, WEB, bodyProducer=body)
        self.reactor.settle()
        self.assertNoResult(requested)
        return requested

    def test_waiting_for_an_instance(self) -> None:
        requested = self.start()
        self.assertEqual(len(self.web.waiting), 1)
        self.cancel(requested)

    def test_reading_the_body(self) -> None:
        self.serve("one")
        body = Body(None, 4)
        self.cancel(self.start(b"PUT", body))
        self.assertTrue(body.stopped)
        self.assertEqual(self.web.picks, [])

    def test_connecting(self) -> None:
        self.serve("one", "two")
        self.reactor.black_hole("10.0.0.1", 80)
        self.cancel(self.start())

    def test_resolving(self) -> None:
        """The address may be a name."""
        (one,) = self.serve("one")
        one.instance = Instance(name="one", address="localhost", port=80)
        self.cancel(self.agent().request(b"GET", WEB))

    def test_sending(self) -> None:
        self.serve("one", "two")
        body = Body(None, 4)
        self.cancel(self.start(b"POST", body))
        self.assertEqual((body.started, body.end.called), (1, True))

    def test_waiting_for_the_response(self) -> None:
        """The loss of the connection that this causes is no reason to retry."""
        one, _ = self.serve("one", "two")
        one.held = True
        self.cancel(self.start())
        self.assertEqual(len(one.requests), 1)

    def test_pause(self) -> None:
        """It may be cancelled in the pause before a retry."""
        (one,) = self.serve("one")
        one.stop()
        requested = self.start()
        self.assertEqual(self.web.feedback, ["-one"])
        self.web.feedback.clear()
        self.cancel(requested)

    def test_after_the_response(self) -> None:
        """After the response, cancelling does nothing."""
        self.serve("one")
        requested = self.agent().request(b"GET", WEB)
        self.reactor.settle()
        requested.cancel()
        self.assertEqual(self.answer(requested), b"one")

    def test_in_a_callback(self) -> None:
        """It may be cancelled by the provider's own callbacks."""
        one, _ = self.serve("one", "two")
        one.stop()
        requested = self.agent().request(b"GET", WEB)

        def cancel(*_: object) -> None:
            requested.cancel()

        self.web.failed = cancel  # type: ignore[assignment]
        self.reactor.settle()
        self.failureResultOf(requested, CancelledError)
        self.reactor.pass_time(15)
        self.assertEqual([each.requests for each in self.servers], [[], []])
