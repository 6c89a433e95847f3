"""An agent in a storm, with its requests: each arrives as often as it may, and ends as the agent documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.web._newclient import RequestNotSent
from twisted.web.client import RequestTransmissionFailed, ResponseFailed, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse

from txmirror.discovery import ServiceProvider
from txmirror.endpoints import RegistryAgent, SharedSession
from txmirror.errors import ClosingException, NoInstanceException
from txmirror.registry import ServiceRegistry
from txmirror.testing.reactor import MemoryReactor
from txmirror.testing.storm.arrivals import CALM, NUMBER, Sent, answer_to
from txmirror.testing.storm.bodies import StormBody
from txmirror.testing.storm.listening import SITE, Users
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene
from txmirror.types import Instance

_IDEMPOTENT = (b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE")
_STRATEGIES = ("round-robin", "random", "weighted", "least-pending", "sticky")
#: Failures after which the request may have had an effect.
_LOST = (RequestTransmissionFailed, ResponseFailed)
#: Failures before anything was sent.
_UNSENT = (NoInstanceException, ConnectError, DNSLookupError, RequestNotSent)


class _Provider(ServiceProvider):
    """A provider that counts its uses, and notes when instances leave its list."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.uses = 0
        self._listed: tuple[int, ...] = ()
        self._left: dict[int, float] = {}
        super().__init__(*args, **options)
        self.watch(self._instances_changed)

    def _instances_changed(self, instances: list[Instance]) -> None:
        ports = tuple(each.port for each in instances if each.port is not None)
        for port in self._listed:
            self._left.setdefault(port, self._reactor.seconds())
        for port in ports:
            self._left.pop(port, None)
        self._listed = ports

    def had_left(self, time: float, port: int) -> bool:
        """Return whether the instance with a port has left the list before a time, and has not come back."""
        return self._left.get(port, time) < time

    @contextmanager
    def using(self, instance: Instance) -> Iterator[Instance]:
        """Count a use."""
        self.uses += 1
        if instance.name in self._marks.probes and instance.port is not None:
            # It came back, and was picked as a probe before anybody was notified.
            self._left.pop(instance.port, None)
        try:
            with super().using(instance):
                yield instance
        finally:
            self.uses -= 1


@attrs.frozen
class _Session:
    """The session of an agent: one of its own, or a shared one."""

    registry: ServiceRegistry[bool] | SharedSession
    users: Users | None


class UsedAgent:
    """An agent, and its requests.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._random = Random(f"{name} {random.random()}")
        self._pending = Pending(scene, name)
        self._session = self._make_session(random)
        self._timeout = random.choice((2.0, 5.0, 10.0))
        self._options: dict[str, Any] = {"pick": random.choice(_STRATEGIES), "down_for": random.choice((1.0, 30.0))}
        self._provider: _Provider | None = None
        self._closed = False
        #: The calls that can be cancelled: the requests without a response, and the receipts of bodies.
        self._begun: dict[Sent, Deferred[Any]] = {}
        self.idle_connections: int = random.choice((1, 2))
        self._agent = RegistryAgent(
            self._session.registry,
            provider=self._make_provider,
            key=lambda target, headers: target,
            authority=random.choice(("service", "instance")),
            timeout=self._timeout,
            connect_timeout=random.choice((1.0, 3.0)),
            idle=random.choice((5.0, 300.0)),
            idle_connections=self.idle_connections,
            most_pools=random.choice((1, 2, 100)),
        )

    def _make_session(self, random: Random) -> _Session:
        if random.random() < 0.5:
            settings = self._scene.listening.choose(random)
            users = self._scene.listening.users(settings)
            users.agents += 1
            return _Session(settings, users)
        registry = self._scene.world.registry(
            self._scene.servers(), start=False, lazy=random.random() < 0.5, session_timeout=random.choice(TIMEOUTS[1:])
        )
        return _Session(registry, None)

    def _make_provider(self, registry: ServiceRegistry[bool], path: str) -> ServiceProvider:
        self._provider = _Provider(registry, path, **self._options, random=Random(self.name))
        return self._provider

    def _had_left(self, time: float, port: int) -> bool:
        return self._provider is not None and self._provider.had_left(time, port)

    @property
    def _reactor(self) -> MemoryReactor:
        return self._scene.world.reactor

    @property
    def abandoned(self) -> bool:
        """True if all shared sessions were closed, with that of this agent."""
        users = self._session.users
        return users is not None and not self._scene.listening.is_current(users)

    @property
    def requests(self) -> int:
        """The number of requests that have not ended."""
        return len(self._pending)

    def request(self, method: bytes, body: bytes | None, *, known: bool, take: str, calm: bool) -> Deferred[bool]:
        """Begin a request.

        :param known: whether the length of the body is stated.
        :param take: the use of the body of the response: it is ``read``, read ``late``, or the response is ``dropped``.
        :param calm: whether the server answers at once.
        :returns: fires with whether there was a whole response from a server that is registered.
        """
        now, number = self._reactor.seconds(), self._scene.arrivals.next_number
        sent = Sent(
            number,
            self.name,
            method,
            body or b"",
            method in _IDEMPOTENT and (known or body is None),
            now + self._timeout,
            partial(self._had_left, now),
        )
        self._scene.arrivals.add(sent)
        headers = Headers({NUMBER: [b"%d" % number], **({CALM: [b"yes"]} if calm else {})})
        self._note(f"begins {sent}{f' with {len(body)} bytes' if body else ''}")
        requested = self._agent.request(
            method, b"http+mirror://site/%d" % number, headers, self._producer(sent, body, known=known, calm=calm)
        )
        self._begun[sent] = requested
        done: Deferred[bool] = requested.addCallbacks(partial(self._responded, sent, take), partial(self._failed, sent))
        result: Deferred[bool] = Deferred()
        self._pending.add(done.addCallback(result.callback), str(sent))
        return result

    def _producer(self, sent: Sent, body: bytes | None, *, known: bool, calm: bool) -> IBodyProducer | None:
        if body is None:
            return None
        return StormBody(
            body,
            0.0 if calm else self._random.choice((0.0, 0.0, 0.1, 2.0)),
            known=known,
            began_again=lambda: self._check_that(False, f"the body of {sent} is begun twice"),
            reactor=self._reactor,
        )

    # Results.

    def _failed(self, sent: Sent, failure: Failure) -> bool:
        self._begun.pop(sent, None)
        sent.ended = True
        self._note(f"{sent} has failed: {type(failure.value).__name__}")
        complaint = self._complaint(sent, failure)
        self._check_that(
            complaint is None, f"{sent}: {complaint}, {type(failure.value).__name__}: {failure.getErrorMessage()}"
        )
        return False

    def _complaint(self, sent: Sent, failure: Failure) -> str | None:
        if sent.cancelled:
            return None if failure.check(CancelledError) else "was cancelled"
        if failure.check(ClosingException):
            return None if self._closed or self.abandoned else "the agent is open"
        if self._closed:
            return "the agent is closed"
        lost = failure.check(*_LOST) is not None
        if not lost and not failure.check(*_UNSENT):
            return "this failure is not documented"
        if sent.received and not lost:
            return f"a server has received it: {sent.received}"
        if (sent.repeatable or not lost) and self._reactor.seconds() < sent.deadline - 1e-6:
            return f"it has failed {sent.deadline - self._reactor.seconds():.3f} s too early"
        return None

    def _responded(self, sent: Sent, take: str, response: IResponse) -> bool | Deferred[bool]:
        self._begun.pop(sent, None)
        sent.ended = True
        self._check_that(bool(sent.received), f"{sent} has a response, and no server has received it")
        self._check_that(not sent.cancelled, f"{sent} was cancelled, and has a response")
        self._note(f"{sent} has the response {response.code}, {take}")
        if take == "dropped" or self._closed:
            return True
        reading: Deferred[Any] = succeed(None)
        if take == "late":
            sent.postponed, reading = True, Deferred()
            call = self._reactor.callLater(self._random.choice((0.1, 3.0)), reading.callback, None)
            reading.addErrback(_stop, call)
        self._begun[sent] = reading
        return reading.addCallback(lambda _: self._receive(sent, response)).addBoth(partial(self._read, sent))

    @staticmethod
    def _receive(sent: Sent, response: IResponse) -> Deferred[bytes]:
        sent.postponed = False
        return readBody(response)

    def _read(self, sent: Sent, result: bytes | Failure) -> bool:
        self._begun.pop(sent, None)
        if isinstance(result, Failure):
            self._note(f"the body of {sent} is not complete: {type(result.value).__name__}")
            known = result.check(ResponseFailed, *((CancelledError,) if sent.cancelled or self._closed else ()))
            self._check_that(known is not None, f"the body of {sent}: {result.getTraceback()}")
            return False
        expected = b"" if sent.method == b"HEAD" else answer_to(sent.number, sent.received[-1], sent.body)
        self._check_that(result == expected, f"{sent} has the response {result[:80]!r}, and not {expected[:80]!r}")
        return sent.received[-1] in self._scene.listening.wanted_of(SITE)

    # Actions.

    def cancel(self, random: Random) -> None:
        """Cancel a request, or the receipt of its response."""
        if not self._begun:
            return
        sent, deferred = random.choice(list(self._begun.items()))
        self._note(f"cancels {sent}")
        sent.cancelled = True
        deferred.cancel()
        self._check_that(sent not in self._begun, f"{sent} was cancelled, and has not ended")

    def close(self) -> Deferred[None]:
        """Close the agent, and its own registry."""
        self._closed = True
        self._note("closes the agent")
        closing = self._agent.close()
        for sent, receipt in list(self._begun.items()):
            if sent.postponed:
                receipt.cancel()
        return closing.addCallback(self._has_closed)

    def _has_closed(self, _: None) -> Deferred[None] | None:
        self._pending.check_none("the agent is closed")
        left = [
            link
            for link in self._scene.listening.links(SITE)
            if link.client.connected and self._scene.arrivals.agent_of(link.client_address.port) == self.name
        ]
        self._check_that(not left, f"the agent is closed, and has {left}")
        self._check_uses()
        registry, users = self._session.registry, self._session.users
        if users is None:
            assert isinstance(registry, ServiceRegistry)
            return registry.stop()
        users.agents -= 1
        complaint = self._scene.listening.left_open(users)
        self._check_that(complaint is None, str(complaint))
        return None

    # Checks.

    def check_settled(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("all has settled")
        self._check_uses()

    def _check_uses(self) -> None:
        uses = 0 if self._provider is None else self._provider.uses
        self._check_that(not uses, f"{uses} uses of instances have not ended")

    def _check_that(self, holds: bool, complaint: str) -> None:
        self._scene.check(holds, f"{self.name}: {complaint}")

    def _note(self, text: str) -> None:
        self._scene.journal.note(self.name, text)


def _stop(failure: Failure, call: IDelayedCall) -> Failure:
    call.cancel()
    return failure
