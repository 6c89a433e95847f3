"""An agent in memory, with instances that are real web servers, and a provider that the test controls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import readBody
from twisted.web.iweb import IBodyProducer, IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from txmirror.deferreds import Waiters
from txmirror.endpoints import RegistryAgent
from txmirror.errors import NoInstanceException
from txmirror.interfaces import IServiceProvider
from txmirror.testing import MemoryReactor
from txmirror.types import Instance

WEB = b"http+mirror://web/"


@implementer(IServiceProvider)
class FakeProvider:
    """Picks the first instance that the caller does not avoid, and records the feedback."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.list: list[Instance] = []
        self.picks: list[tuple[Hashable | None, list[str], float | None]] = []
        self.feedback: list[str] = []
        self.pending: list[str] = []
        self.waiting: Waiters[None] = Waiters()
        self.watchers: list[Callable[[list[Instance]], object]] = []
        self.closed = False

    def instance(
        self, key: Hashable | None = None, *, avoid: Collection[Instance] = (), wait: float | None = None
    ) -> Deferred[Instance]:
        self.picks.append((key, [each.name for each in avoid], wait))
        if self.closed:
            return fail(NoInstanceException("closed"))
        found = [each for each in self.list if each not in avoid]
        if found:
            return succeed(found[0])
        if not wait:
            return fail(NoInstanceException("none in time"))
        return self.waiting.wait().addCallback(lambda _: self.list[0])

    def instances(self) -> list[Instance]:
        return list(self.list)

    def failed(self, instance: Instance) -> None:
        self.feedback.append(f"-{instance.name}")

    def succeeded(self, instance: Instance) -> None:
        self.feedback.append(f"+{instance.name}")

    def using(self, instance: Instance) -> AbstractContextManager[Instance]:
        @contextmanager
        def use() -> Iterator[Instance]:
            self.pending.append(instance.name)
            try:
                yield instance
            finally:
                self.pending.remove(instance.name)

        return use()

    def watch(self, function: Callable[[list[Instance]], object]) -> None:
        self.watchers.append(function)

    def unwatch(self, function: Callable[[list[Instance]], object]) -> None:
        self.watchers.remove(function)

    def close(self) -> None:
        self.closed = True
        self.waiting.fail(lambda: NoInstanceException("closed"))

    def set(self, *instances: Instance) -> None:
        self.list = list(instances)
        for each in list(self.watchers):
            each(list(instances))


class Server(Resource):
    """An instance: a web server, which answers with its name and the request's body; or, if it is held, later.

    :ivar requests: the requests, the oldest first.
    """

    isLeaf = True

    def __init__(self, name: str, address: str, port: int, reactor: MemoryReactor) -> None:
        super().__init__()
        self.name = name
        self.instance = Instance(name=name, address=address, port=port)
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.held = False
        self.answer: Callable[[Request], bytes | int] = lambda request: name.encode() + self.bodies[-1]
        self._reactor = reactor
        site: Any = Site(self, reactor=reactor)
        self.port = reactor.listenTCP(port, site, interface=address)

    def render(self, request: Request) -> bytes | int:
        self.requests.append(request)
        assert request.content is not None
        self.bodies.append(request.content.read())
        return NOT_DONE_YET if self.held else self.answer(request)

    def stop(self) -> None:
        """Listen no longer; connections stay."""
        self.port.stopListening()

    def drop(self) -> None:
        """Reset all connections."""
        for each in list(self._reactor.links):
            if each.server_address.host == self.instance.address:
                each.cut()


@implementer(IBodyProducer)
class Body:
    """A body that the test produces: at once, or in pieces.

    :param data: the body, written at once; None lets the test write and end it.
    """

    def __init__(self, data: bytes | None, length: Any = None) -> None:
        self.length = len(data or b"") if length is None else length
        self._data = data
        self.started = 0
        self.stopped = False
        self.consumer: IConsumer | None = None
        self.end: Deferred[None] = Deferred()

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self.started += 1
        self.consumer = consumer
        if self._data is not None:
            consumer.write(self._data)
            return succeed(None)
        return self.end

    def stopProducing(self) -> None:
        self.stopped = True

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass


class AgentTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.providers: dict[str, FakeProvider] = {}
        self.servers: list[Server] = []
        #: Further instances.
        self.others: list[Instance] = []
        self.agents: list[RegistryAgent] = []

    def tearDown(self) -> None:
        for each in self.agents:
            closed = each.close()
            self.reactor.settle()
            self.successResultOf(closed)
        for provider in self.providers.values():
            self.assertEqual((provider.watchers, provider.pending, len(provider.waiting)), ([], [], 0))
        for server in self.servers:
            server.stop()
        self.reactor.settle()
        self.assertEqual(self.reactor.links, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def agent(self, **options: Any) -> RegistryAgent:
        def make(_: object, path: str) -> FakeProvider:
            provider = self.providers[path] = FakeProvider(path)
            provider.list = [*(each.instance for each in self.servers), *self.others]
            return provider

        agent = RegistryAgent(None, provider=make, reactor=self.reactor, **options)  # type: ignore[arg-type]
        self.agents.append(agent)
        return agent

    def serve(self, *names: str) -> list[Server]:
        """Make instances, which new providers have in this order."""
        made = [
            Server(name, f"10.0.0.{number}", 80, self.reactor)
            for number, name in enumerate(names, 1 + len(self.servers))
        ]
        self.servers += made
        return made

    @property
    def web(self) -> FakeProvider:
        return self.providers["/services/web"]

    def answer(self, requested: Deferred[IResponse]) -> bytes:
        """Return the body of a response."""
        self.reactor.settle()
        received = readBody(self.successResultOf(requested))
        self.reactor.settle()
        return bytes(self.successResultOf(received))

    def get(self, agent: RegistryAgent, uri: bytes = WEB, method: bytes = b"GET", **arguments: Any) -> bytes:
        return self.answer(agent.request(method, uri, **arguments))

    def error(self, requested: Deferred[Any], *kinds: type[Exception]) -> BaseException:
        self.reactor.settle()
        failed: BaseException = self.failureResultOf(requested, *kinds).value
        return failed
