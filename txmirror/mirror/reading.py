"""Reads of one node, from memory as soon as that is up to date."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, fail

from txmirror.errors import ClosingException, OperationTimeoutException, ZooKeeperException
from txmirror.mirror.cached_value import CachedValue
from txmirror.mirror.record import Record
from txmirror.mirror.store import PartState

_T = TypeVar("_T")


def read(record: Record, part: int, cached: CachedValue[_T], timeout: float | None) -> Deferred[_T]:
    """Return the value of a part, as soon as it is known and current.

    :param timeout: how long to wait, in seconds; None waits without limit.
    """
    if _is_readable(record, part, cached):
        return execute(_answer, record, part, cached)
    if record.closed:
        return fail(ClosingException(path=record.path))
    waiter = cached.when_readable()
    if timeout is not None:
        record.cache.deadlines.limit(waiter, timeout, lambda limit: _too_late(record, limit))
    return waiter.addCallback(lambda _: _answer(record, part, cached))


async def read_fresh(record: Record, part: int, cached: CachedValue[_T], timeout: float | None) -> _T:
    """Return the value of a part that shows everything that the servers had when this was called.

    :raises OperationTimeoutException: it takes longer than ``timeout`` seconds.
    """
    waiting = Deferred.fromCoroutine(_freshen(record))
    if timeout is not None:
        record.cache.deadlines.limit(waiting, timeout, lambda limit: _too_late(record, limit))
    await waiting
    return await read(record, part, cached, timeout)


async def _freshen(record: Record) -> None:
    await record.cache.sync(record.path)
    if record.closed:
        # The client lives on.
        raise ClosingException(path=record.path)
    # A node that was announced before the reply is being read already; reading it again is cheap and safe.
    record.invalidate()
    for part, cached in enumerate(record.parts):
        if not record.is_settled(part):
            await cached.when_settled()
    if record.closed:
        # What is known may be old.
        raise ClosingException(path=record.path)


def _problem(record: Record, part: int, cached: CachedValue[Any]) -> ZooKeeperException | None:
    refused = record.closed or record.cache.store.state(part, record.path) is PartState.REFUSED
    return cached.problem if refused else None


def _is_readable(record: Record, part: int, cached: CachedValue[Any]) -> bool:
    return (
        record.is_current(part, cached)
        or _problem(record, part, cached) is not None
        or (cached.known and not record.cache.status.connected)
    )


def _answer(record: Record, part: int, cached: CachedValue[_T]) -> _T:
    problem = _problem(record, part, cached)
    if problem is not None and not (cached.known and not record.cache.status.connected):
        raise problem.with_traceback(None)
    if cached.value is None:
        raise record.cache.absence(record.path, cached.zxid)
    return cached.value


def _too_late(record: Record, limit: float) -> OperationTimeoutException:
    text = f"{record.path!r} could not be read within {limit:g} s"
    if not record.cache.status.connected:
        text += f": there is no connection to ZooKeeper at {record.cache.servers}"
    return OperationTimeoutException(text, path=record.path, applied=False)
