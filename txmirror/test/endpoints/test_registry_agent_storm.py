"""Instances are killed, withdrawn, held up and started again, and connections cut, in any order, under requests of all kinds.

One instance is never killed, although its connections are. So no request that may be repeated fails, none that must not be is
received twice, and nothing is left at the end.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import RequestTransmissionFailed, ResponseFailed, readBody
from twisted.web.iweb import IResponse

from txmirror.endpoints import RegistryAgent
from txmirror.endpoints.exchange import IDEMPOTENT
from txmirror.errors import NoNodeException
from txmirror.test.endpoints.agent_case import Body, Server
from txmirror.test.hypothesis_profiles import at_most
from txmirror.testing import World

_METHODS = (b"GET", b"PUT", b"POST", b"DELETE", b"PATCH")
_STEPS = st.sampled_from(
    (
        "request",
        "request",
        "request",
        "kill",
        "withdraw",
        "return",
        "hold",
        "answer",
        "cut",
        "cut later",
        "cancel",
        "settle",
        "pass time",
    )
)


class Sent:
    """A request, and its result."""

    def __init__(self, number: int, method: bytes, requested: Deferred[IResponse]) -> None:
        self.number = number
        self.method = method
        self.requested = requested
        self.result: bytes | Failure | None = None
        requested.addCallback(readBody).addBoth(self.end)

    def end(self, result: bytes | Failure) -> None:
        self.result = result


class Storm:
    """Three instances, an agent, and another client of ZooKeeper that registers and withdraws the instances."""

    def __init__(self) -> None:
        self.world = World()
        self.reactor = self.world.reactor
        self.other = self.world.client(session_timeout=1000.0)
        for path in ("/services", "/services/web"):
            self.world.result(self.other.create(path))
        self.servers = [Server(f"{number}", f"10.0.0.{number}", 80, self.reactor) for number in range(3)]
        self.killed: set[int] = set()
        for server in self.servers:
            self.world.result(self.other.create(self.node(server)))
        self.agent = RegistryAgent(self.world.registry(session_timeout=1000.0), timeout=1000.0)
        self.sent: list[Sent] = []

    def node(self, server: Server) -> str:
        return f"/services/web/{server.instance.address}:80"

    def connections(self) -> list[Any]:
        return [each for each in self.reactor.links if each.server_address.port == 80]

    def step(self, step: str, number: int) -> None:
        server = self.servers[number % 3]
        killed = number % 3 in self.killed
        if step == "request":
            method = _METHODS[number % len(_METHODS)]
            body = None if method in (b"GET", b"DELETE") else Body(b"body")
            uri = b"http+mirror://web/%d" % len(self.sent)
            self.sent.append(Sent(len(self.sent), method, self.agent.request(method, uri, bodyProducer=body)))
        elif step == "kill" and number % 3 and not killed:
            self.killed.add(number % 3)
            server.stop()
            server.drop()
        elif step == "withdraw" and number % 3:
            self.other.delete(self.node(server)).addErrback(lambda failure: failure.trap(NoNodeException))
        elif step == "return":
            self.restore(number % 3)
        elif step == "hold":
            server.held = True
        elif step == "answer":
            self.answer(server)
        elif step.startswith("cut") and self.connections():
            link = self.connections()[number % len(self.connections())]
            link.cut() if step == "cut" else link.cut_after(to_client=number, to_server=7 * number)
        elif step == "cancel" and self.sent:
            self.sent[number % len(self.sent)].requested.cancel()
        elif step == "settle":
            self.world.settle()
        elif step == "pass time":
            self.world.pass_time(number / 5)

    def answer(self, server: Server) -> None:
        """Answer the requests that the instance has held up."""
        server.held = False
        for request in server.requests:
            if not request.finished and not getattr(request, "_disconnected", False):
                request.write(server.name.encode())
                request.finish()

    def restore(self, number: int) -> None:
        if number in self.killed:
            self.killed.remove(number)
            old = self.servers[number]
            new = Server(old.name, f"10.0.0.{number}", 80, self.reactor)
            new.requests = old.requests
            self.servers[number] = new
            # A new process has a new session, and registers itself anew.
            self.world.result(
                self.other.delete(self.node(new)).addErrback(lambda failure: failure.trap(NoNodeException))
            )
            self.world.result(self.other.create(self.node(new)))

    def end(self) -> None:
        """Answer everything, and check that nothing is left."""
        for number in range(3):
            self.restore(number)
        for _ in range(60):
            for server in self.servers:
                self.answer(server)
            self.world.pass_time(1.0)
        assert not self.agent._exchanges, [each.number for each in self.sent if each.result is None]
        closed = self.agent.close()
        self.world.result(closed)
        for server in self.servers:
            server.stop()
        self.world.close()

    def received(self, sent: Sent) -> int:
        """Return how often instances have received a request."""
        return sum(each.uri == b"/%d" % sent.number for server in self.servers for each in server.requests)


class StormTests(SynchronousTestCase):
    @at_most(50)
    @given(st.lists(st.tuples(_STEPS, st.integers(0, 60)), max_size=60))
    def test_storm(self, steps: list[tuple[str, int]]) -> None:
        storm = Storm()
        for step, number in steps:
            storm.step(step, number)
        storm.end()
        for sent in storm.sent:
            received = storm.received(sent)
            if isinstance(sent.result, bytes):
                self.assertGreaterEqual(received, 1)
            else:
                assert sent.result is not None
                cancelled = sent.result.check(CancelledError) is not None
                body_lost = received > 0 and sent.result.check(ResponseFailed) is not None
                if sent.method in IDEMPOTENT and not cancelled:
                    # The agent does not repeat a request after the headers of a response.
                    self.assertTrue(body_lost and getattr(sent.result.value, "response", None) is not None, sent.result)
                elif not cancelled:
                    self.assertIsNotNone(sent.result.check(ResponseFailed, RequestTransmissionFailed), sent.result)
            if sent.method not in IDEMPOTENT:
                self.assertLessEqual(received, 1)
