"""Registrations, persistent nodes and locks of a registry, on one connection to the servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.errors import ClosingException
from txmirror.interfaces import IPayloadCodec, ISessionHolder
from txmirror.mirror import Mirror
from txmirror.registry.locking import RegistryLock
from txmirror.registry.rates import TokenBucket
from txmirror.registry.reachability import ReachabilityTimeout, when_connected
from txmirror.registry.registration import Registration
from txmirror.registry.turns import Turns
from txmirror.registry.writing import Writer
from txmirror.types import ACL, OPEN_ACL, SessionTicket
from txmirror.withdrawal import wait_for_withdrawals

_T = TypeVar("_T")

#: The most persistent nodes that are written at a time.
_WRITES = 500


@attrs.frozen
class NodeOptions:
    """The options of the nodes that a registry makes."""

    codec: IPayloadCodec
    """Encodes and decodes their data."""
    acl: Callable[[], Sequence[ACL] | None]
    """Returns their access control list; None for one that is open to everybody."""
    adopt_persistent: bool
    """As for :class:`Registration`."""
    writes: TokenBucket | None
    """Limits the rate of writes; None sets no limit."""


class RegistryConnection:
    """Registers, writes and locks on a mirror.

    :param mirror: the mirror.
    :param owned: whether :meth:`close` closes the mirror.
    :param timeout: the number of seconds without a session after which ZooKeeper is out of reach.
    :param options: the options of nodes.
    :ivar reachability: fails operations while ZooKeeper is out of reach.
    """

    _log = Logger()

    def __init__(
        self,
        mirror: Mirror,
        *,
        owned: bool,
        timeout: float,
        options: NodeOptions,
    ) -> None:
        self.mirror = mirror
        self.reachability: ReachabilityTimeout = ReachabilityTimeout(mirror, timeout)
        self._owned = owned
        self._options = options
        self._writer = Writer(mirror, options.codec, lambda: options.acl() or OPEN_ACL, options.writes)
        self._locks: dict[str, RegistryLock] = {}
        self._turns = Turns(mirror, _WRITES)
        self._writing: dict[Deferred[None], None] = {}
        self._former_sessions: dict[ReachabilityTimeout, Deferred[None]] = {}

    def new_registration(
        self, path: str, data: Mapping[str, object] | str | None, codec: IPayloadCodec
    ) -> Registration:
        """Return a new registration, which is not started.

        :raises TypeError: data cannot be stored.
        :raises ValueError: likewise.
        """
        options = self._options
        return Registration(
            self.mirror,
            path,
            data,
            codec=codec,
            acl=options.acl(),
            adopt_persistent=options.adopt_persistent,
            writes=options.writes,
        )

    # Persistent nodes.

    def put(self, path: str, data: Mapping[str, object] | str | None, payload: bytes) -> Deferred[None]:
        """Write a persistent node, as :meth:`Writer.put`, after earlier operations on the same path.

        A later operation on the path supersedes this one: then the Deferred fires in its turn, and nothing is written.
        """
        return self._begin_writing(path, lambda: self._writer.put(path, data, payload))

    def remove(self, path: str) -> Deferred[None]:
        """Delete a persistent node, as :meth:`Writer.remove`, in the order of :meth:`put`."""
        return self._begin_writing(path, lambda: self._writer.remove(path))

    def _begin_writing(self, path: str, write: Callable[[], Deferred[None]]) -> Deferred[None]:
        def over(result: _T) -> _T:
            del self._writing[writing]
            return result

        writing = self._turns.take(path, write)
        self._writing[writing] = None
        return writing.addBoth(over)

    # Locks.

    def lock(self, path: str, name: str, simultaneous: int, wait: float) -> RegistryLock:
        """Return the lock at a path.

        :raises ValueError: an argument is invalid, or the lock is in use with another number of holders.
        """
        self.check_lock(path, simultaneous)
        lock = self._locks.get(path)
        if lock is None or lock.released or lock.simultaneous != simultaneous:
            lock = RegistryLock(
                self.mirror.client, path, name, simultaneous, wait, self._options.acl, self.mirror.reactor
            )
            self._locks[path] = lock
        lock.wait = wait
        return lock

    def check_lock(self, path: str, simultaneous: int) -> None:
        """Check that the lock at a path may have this number of holders.

        :raises ValueError: the lock is in use with another number of holders.
        """
        lock = self._locks.get(path)
        if lock is not None and lock.in_use and lock.simultaneous != simultaneous:
            raise ValueError(
                f"the lock {path!r} is in use here with simultaneous={lock.simultaneous!r}, not {simultaneous!r}:"
                " release it first"
            )

    @property
    def locking(self) -> bool:
        """True if a lock is held or being acquired."""
        return any(lock.in_use for lock in self._locks.values())

    def release(self, path: str) -> Deferred[bool]:
        """Release the lock at a path; fire with True if there is none."""
        lock = self._locks.get(path)
        return succeed(True) if lock is None else lock.release()

    # The end.

    def end_session(self, mirror: Mirror) -> None:
        """Close an earlier session that could not be closed in its time, so that its ephemeral nodes go away now.

        :param mirror: a mirror that resumes that session.
        """

        def close(_: object) -> Deferred[None]:
            reachability.stop()
            return mirror.close()

        def closed(_: object) -> None:
            del self._former_sessions[reachability]

        reachability = ReachabilityTimeout(mirror, mirror.client.session_timeout)
        mirror.connect().addErrback(lambda _: None)
        ended = self._former_sessions[reachability] = reachability.fail_when_unreachable(when_connected(mirror))
        ended.addBoth(close)
        ended.addBoth(closed)

    def close(self, registrations: Sequence[Registration]) -> Deferred[SessionTicket | None]:
        """Withdraw registrations, release locks and cancel writes; close the mirror if it is owned.

        :param registrations: the registrations on this connection.
        :returns: fires in a bounded time; with a ticket of the session if the session may still be open, for a later
            :meth:`end_session`. It never fails.
        """
        return Deferred.fromCoroutine(self._close(registrations))

    async def _close(self, registrations: Sequence[Registration]) -> SessionTicket | None:
        mirror = self.mirror
        self.reachability.stop()
        # The latest first, so that none starts because an earlier one has ended.
        for writing in list(reversed(self._writing)):
            writing.cancel()
        formers = list(self._former_sessions.values())
        for reachability in list(self._former_sessions):
            reachability.stop()
        ticket: SessionTicket | None = None
        if self._owned:
            holder: ISessionHolder | None = ISessionHolder(mirror.client, None)
            if holder is not None and not mirror.is_connected():
                ticket = holder.session_ticket
            # The end of the session removes its ephemeral nodes: registrations and locks.
            await mirror.close()
        withdrawals = [registration.stop(timeout=None) for registration in registrations]
        withdrawals += [lock.release().addCallback(lambda _: None) for lock in self._locks.values()]
        await wait_for_withdrawals(withdrawals, mirror.reactor, _too_late).addErrback(self._not_withdrawn)
        await gatherResults(formers)
        return ticket

    def _not_withdrawn(self, failure: Failure) -> None:
        if not isinstance(failure.value, ClosingException):
            self._log.warn(
                "Not all registrations and locks could be withdrawn: {reason}.", reason=failure.getErrorMessage()
            )


def _too_late(result: Failure | None, timeout: float) -> None:
    if isinstance(result, Failure):
        raise TimeoutError(f"it took longer than {timeout:g} s; the rest is withdrawn when ZooKeeper is back")
