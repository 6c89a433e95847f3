"""A request and its response: sent to one instance after another, until one answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import ExitStack
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse

from txmirror.endpoints.attempt import Attempt, AttemptSettings
from txmirror.endpoints.instance_pools import InstancePools
from txmirror.endpoints.provider_table import UsedProvider
from txmirror.endpoints.request_bodies import can_collect, collect_body
from txmirror.endpoints.responses import ObservedResponse
from txmirror.endpoints.service_urls import ServiceURL
from txmirror.errors import NoInstanceException
from txmirror.interfaces import IServiceProvider
from txmirror.retrying import Backoff
from txmirror.types import Instance

_T = TypeVar("_T")

#: The methods whose requests may be sent again, since the effect is that of one (RFC 9110, section 9.2.2).
IDEMPOTENT = (b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE")
#: The answers of an instance, or of a proxy before it, that cannot serve at this moment. They do not show that it works.
_UNAVAILABLE = (502, 503, 504)
#: Bodies up to this size are kept for a retry.
_KEPT_BODY = 1024 * 1024
#: The pauses in seconds before instances that have failed are tried again, if there are no others.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


@attrs.frozen
class ExchangeSettings:
    """The settings of an agent's exchanges."""

    timeout: float
    """The seconds in which an attempt may begin."""
    attempts: AttemptSettings
    """The settings of the attempts."""
    key: Callable[[bytes, Headers], Hashable] | None
    """Makes the key for the strategy from the target and the headers of a request."""


@attrs.frozen
class Request:
    """A request to a service: the arguments of :meth:`twisted.web.iweb.IAgent.request`."""

    method: bytes
    url: ServiceURL
    headers: Headers | None
    body: IBodyProducer | None


class Exchange:
    """One request to a service. It ends with the first response, of any status.

    :param use: returns the provider of the service, in use.
    :param ended: called when the exchange has ended: after the response's body, or when it has failed.
    """

    def __init__(
        self,
        request: Request,
        use: Callable[[], Deferred[UsedProvider]],
        pools: InstancePools,
        settings: ExchangeSettings,
        ended: Callable[[Exchange], object],
        reactor: IReactorTime,
    ) -> None:
        self._request = request
        self._use = use
        self._pools = pools
        self._settings = settings
        self._notify_end = ended
        self._reactor = reactor
        self._deadline = reactor.seconds() + settings.timeout
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._tried: list[Instance] = []
        self._waiting: Deferred[Any] | None = None
        self._ended: Exception | None = None

    def start(self) -> Deferred[IResponse]:
        """Send the request. It must be called once.

        :returns: see :meth:`txmirror.endpoints.RegistryAgent.request`.
        """

        def done(outcome: IResponse | Failure) -> None:
            # A callback of the provider may have cancelled it.
            if not result.called:
                result.callback(outcome)

        result: Deferred[IResponse] = Deferred(lambda _: self.end(CancelledError()))
        Deferred.fromCoroutine(self._run()).addBoth(done)
        return result

    def end(self, reason: Exception) -> None:
        """End the attempt and the waits: unless there was a response, the request fails with a reason."""
        self._ended = reason
        if self._waiting is not None:
            self._waiting.cancel()

    async def _run(self) -> IResponse:
        with ExitStack() as stack:
            stack.callback(self._notify_end, self)
            try:
                used = await self._wait(self._use())
                stack.callback(used.release)
                response = await self._send(used.provider, stack)
            except Exception:
                if self._ended is not None:
                    raise self._ended from None
                raise
            return ObservedResponse(response, stack.pop_all().close)

    async def _wait(self, awaited: Deferred[_T]) -> _T:
        self._waiting = awaited
        if self._ended is not None:
            # A callback of the provider has ended it.
            awaited.cancel()
        try:
            return await awaited
        finally:
            self._waiting = None

    async def _send(self, provider: IServiceProvider, stack: ExitStack) -> IResponse:
        method, body = self._request.method, self._request.body
        may_repeat = method in IDEMPOTENT and (body is None or can_collect(body, _KEPT_BODY))
        if may_repeat and body is not None:
            body = await self._wait(Deferred.fromCoroutine(collect_body(body)))
        unsent: Exception | None = None
        lost: Exception | None = None
        while True:
            try:
                instance = await self._wait(self._pick(provider))
            except NoInstanceException as error:
                # The loss says that the request may have had an effect, and this must not be forgotten.
                raise (lost or error) from (error if lost else unsent)
            pool = self._pools.of(self._request.url.path, instance)
            attempt = Attempt(instance, pool, self._request.url, self._settings.attempts, self._reactor)
            try:
                return await self._answer(attempt, provider, body, stack)
            except Exception as error:
                if self._ended is not None or not (attempt.is_unsent(error) or attempt.is_lost(error)):
                    raise
                self._report(attempt, provider)
                if attempt.is_unsent(error):
                    unsent = error
                elif may_repeat:
                    lost = error
                else:
                    raise
                if self._reactor.seconds() >= self._deadline:
                    raise lost or error from None
            if attempt.new:
                await self._leave_out(provider, instance)
                # Attempts that fail at once do not keep the reactor from its work, however many there are.
                await self._wait(deferLater(self._reactor, 0.0))

    def _pick(self, provider: IServiceProvider) -> Deferred[Instance]:
        key, headers = self._settings.key, self._request.headers
        return provider.instance(
            None if key is None else key(self._request.url.target, Headers() if headers is None else headers),
            avoid=tuple(self._tried),
            wait=max(0.0, self._deadline - self._reactor.seconds()),
        )

    async def _leave_out(self, provider: IServiceProvider, instance: Instance) -> None:
        """Try the other instances first. If all have failed, try all again after a pause."""
        self._tried.append(instance)
        instances = provider.instances()
        # Thousands are not compared with each other until all can have been tried.
        if len(instances) <= len(self._tried) and all(each in self._tried for each in instances):
            self._tried.clear()
            await self._wait(deferLater(self._reactor, self._backoff.next_pause()))

    async def _answer(
        self, attempt: Attempt, provider: IServiceProvider, body: IBodyProducer | None, stack: ExitStack
    ) -> IResponse:
        """Make an attempt. If it brings a response, let the stack end the use of the instance."""
        request = self._request
        with ExitStack() as uses:
            uses.enter_context(provider.using(attempt.instance))
            uses.callback(attempt.pool.released)
            response = await self._wait(attempt.send(request.method, request.headers, body))
            if response.code not in _UNAVAILABLE:
                provider.succeeded(attempt.instance)
            request.url.resolve_redirect(response.headers, attempt.host, attempt.port)
            stack.enter_context(uses.pop_all())
        return response

    @staticmethod
    def _report(attempt: Attempt, provider: IServiceProvider) -> None:
        if attempt.new:
            provider.failed(attempt.instance)
        else:
            # The server has closed an idle connection: perhaps the others too.
            attempt.pool.close_idle()
