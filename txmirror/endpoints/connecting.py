"""Connect to one instance of a service after another, until one accepts the connection, within one deadline."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import TimeoutError as ConnectionTimeoutError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client import TLS
from txmirror.durations import check_seconds
from txmirror.endpoints.instance_connection import InstanceConnectionFactory, InstanceUse, ProgramError
from txmirror.errors import NoInstanceException
from txmirror.interfaces import IServiceProvider
from txmirror.network import describe, make_endpoint
from txmirror.printable import host_and_port, on_one_line
from txmirror.threads import run_in_thread
from txmirror.types import Instance

#: The longest attempt to connect to an instance before the others are tried, in seconds: time for three SYNs.
_LONGEST_ATTEMPT: Final = 5.0
#: It takes at most a third of the remaining time, but as much as this, in seconds.
_SHORTEST_ATTEMPT: Final = 1.0
#: The number of failed attempts that a message lists.
_LISTED: Final = 3

_T = TypeVar("_T")


class Connector:
    """Connects to the instances of a service.

    :param key: the key for the strategy, or None.
    :param wait: the longest wait for an instance, in seconds.
    :param timeout: the time for all attempts together, in seconds.
    :param tls: the settings for TLS; None connects without TLS.
    :param hostname: the name that the certificate of each instance must have; None is the address of the instance.
    :param reactor: makes the connections.
    :raises TypeError: a number of seconds is none; the message quotes it.
    :raises ValueError: an argument is invalid; the message quotes it.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        key: Hashable | None,
        wait: float,
        timeout: float,
        tls: TLS | None,
        hostname: str | None,
        reactor: IReactorTime,
    ) -> None:
        check_seconds("wait", wait)
        check_seconds("timeout", timeout, positive=True)
        if hostname is not None and tls is None:
            raise ValueError(f"hostname is {hostname!r}, which is of no use without tls")
        self._key = key
        self._wait = wait
        self._timeout = timeout
        self._tls = tls
        self._hostname = hostname
        self._reactor = reactor
        self._wrap_tls: Any = None

    def connect(self, provider_found: Deferred[IServiceProvider], factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to an instance.

        :param provider_found: fires with the provider of the instances.
        :param factory: makes the program's protocol; a further one if an instance breaks the connection before it is established.
        :returns: as for :class:`~txmirror.endpoints.RegistryClientEndpoint`; it fails also as ``provider_found`` does.
        """
        return Deferred.fromCoroutine(self._connect(provider_found, factory))

    async def _connect(self, provider_found: Deferred[IServiceProvider], factory: IProtocolFactory) -> IProtocol:
        deadline = self._reactor.seconds() + self._timeout
        provider = await self._limited(provider_found, self._timeout, "no registry")
        if self._tls is not None and self._wrap_tls is None:
            files = run_in_thread(self._reactor, self._tls.prepare)
            self._wrap_tls = await self._limited(files, self._left(deadline), "no certificates")
        tried: list[Instance] = []
        reasons: list[str] = []
        last: Exception | None = None
        while True:
            wait = 0.0 if tried else min(self._wait, self._left(deadline))
            another = True
            try:
                instance = await provider.instance(self._key, avoid=tried, wait=wait)
            except NoInstanceException as error:
                if not tried:
                    raise
                if not isinstance(last, ConnectionTimeoutError):
                    raise _refused(provider.path, reasons, f"no other instance: {error}") from last
                # The one that has not answered yet gets all the rest of the time.
                instance, another = tried[-1], False
            tried.append(instance)
            left = self._left(deadline)
            limit = min(left, _LONGEST_ATTEMPT, max(left / 3, _SHORTEST_ATTEMPT)) if another else left
            try:
                return await self._attempt(provider, instance, factory, limit)
            except CancelledError:
                raise
            except ProgramError as error:
                raise error.error from None
            except Exception as error:
                last = error
                reasons.append(self._explain(instance, error))
            if not self._left(deadline):
                raise _refused(provider.path, reasons, f"the {self._timeout:g} s for the connection are over") from last
            self._log.info(
                "Could not connect to {path}: {reason}. Trying another instance.",
                path=provider.path,
                reason=reasons[-1],
            )

    async def _attempt(
        self, provider: IServiceProvider, instance: Instance, factory: IProtocolFactory, limit: float
    ) -> IProtocol:
        """Connect to one instance, and report to the provider whether that succeeds."""
        use = InstanceUse(provider, instance, self._reactor)
        wrapped = InstanceConnectionFactory(factory, use, tls=self._tls is not None)
        attempt = _separate(Deferred.fromCoroutine(self._open(instance, wrapped)))
        at_once = attempt.called
        try:
            return await self._limited(attempt, limit, "no connection")
        except (CancelledError, ProgramError):
            use.end()
            raise
        except Exception:
            use.failed()
            if at_once:
                # However many have no port, they do not keep the reactor from its work.
                await deferLater(self._reactor, 0.0)
            raise

    async def _open(self, instance: Instance, factory: InstanceConnectionFactory) -> IProtocol:
        port = self._port(instance)
        if instance.address is None or port is None:
            raise ValueError(f"it has no {'address' if instance.address is None else 'port without TLS'}")
        endpoint = make_endpoint(self._reactor, instance.address, port)
        if self._tls is not None:
            endpoint = self._wrap_tls(self._hostname or instance.address, endpoint)
        connection: Any = await endpoint.connect(factory)
        protocol: IProtocol = await connection.ready
        return protocol

    def _left(self, deadline: float) -> float:
        return max(0.0, deadline - self._reactor.seconds())

    def _port(self, instance: Instance) -> int | None:
        return instance.port if self._tls is None else instance.tls_port or instance.port

    def _explain(self, instance: Instance, error: Exception) -> str:
        address = host_and_port(instance.address or "", self._port(instance) or 0)
        return on_one_line(f"{instance.name!r} at {address} ({describe(error):.200})")

    def _limited(self, awaited: Deferred[_T], limit: float, missing: str) -> Deferred[_T]:
        """Cancel a Deferred when some time is over; it then fails with ``twisted.internet.error.TimeoutError``."""

        def timed_out(_: object, seconds: float) -> Any:
            raise ConnectionTimeoutError(f"{missing} within {seconds:.3g} s")

        return awaited.addTimeout(limit, self._reactor, timed_out)


def _separate(attempt: Deferred[_T]) -> Deferred[_T]:
    """Return a Deferred with the result of an attempt, which fails with ``CancelledError`` if it is cancelled.

    Twisted's endpoint for names reports that it was cancelled as a failed look-up.
    """

    def cancel(cancelled: Deferred[_T]) -> None:
        cancelled.errback(CancelledError())
        attempt.cancel()

    def end(result: _T | Failure) -> None:
        if not separate.called:
            separate.callback(result)

    separate: Deferred[_T] = Deferred(cancel)
    attempt.addBoth(end)
    return separate


def _refused(path: str, reasons: list[str], then: str) -> NoInstanceException:
    """Return the exception for attempts that have all failed."""
    listed = ", ".join(["..."] * (len(reasons) > _LISTED) + reasons[-_LISTED:])
    return NoInstanceException(f"no connection to {path!r}; {len(reasons)} tried: {listed}; {then}", path=path)
