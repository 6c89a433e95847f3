"""Registrations, persistent nodes and locks of a registry, on one connection to the servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.errors import ClosingException, NodeExistsException
from txmirror.interfaces import IPayloadCodec, ISessionHolder
from txmirror.mirror import Mirror
from txmirror.registry.locking import RegistryLock
from txmirror.registry.outcomes import RegistrationState
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


class RegistryConnection:
    """Registers, writes and locks on a mirror.

    :param mirror: the mirror.
    :param owned: whether :meth:`close` closes the mirror.
    :param timeout: the number of seconds without a session after which ZooKeeper is out of reach.
    :param codec: encodes and decodes the data of nodes.
    :param acl: returns the access control list of new nodes; None for one that is open to everybody.
    :param adopt_persistent: as for :class:`Registration`.
    :param writes: limits the rate of writes; None sets no limit.
    :ivar reachability: fails operations while ZooKeeper is out of reach.
    """

    _log = Logger()

    def __init__(
        self,
        mirror: Mirror,
        *,
        owned: bool,
        timeout: float,
        codec: IPayloadCodec,
        acl: Callable[[], Sequence[ACL] | None],
        adopt_persistent: bool,
        writes: TokenBucket | None,
    ) -> None:
        self.mirror = mirror
        self.reachability = ReachabilityTimeout(mirror, timeout)
        self._owned = owned
        self._codec = codec
        self._acl = acl
        self._adopt_persistent = adopt_persistent
        self._writes = writes
        self._writer = Writer(mirror, codec, lambda: acl() or OPEN_ACL, writes)
        self._registrations: dict[str, Registration] = {}
        self._locks: dict[str, RegistryLock] = {}
        self._turns = Turns(mirror, _WRITES)
        self._writing: dict[Deferred[None], None] = {}
        self._former_sessions: dict[ReachabilityTimeout, Deferred[None]] = {}

    # Registrations.

    def registration(self, path: str) -> Registration | None:
        """Return the registration at a path, also one that is being withdrawn; None if there is none."""
        return self._registrations.get(path)

    def register(self, path: str, data: Mapping[str, object] | str | None) -> Deferred[RegistrationState]:
        """Keep a service registered with this data. See :meth:`Registration.keep`."""
        registration = self._registrations.get(path)
        if registration is not None:
            return registration.keep(data)
        registration = self._registration(path, data)
        return registration.keep(registration.data)

    def restore(self, path: str, data: Mapping[str, object] | str | None) -> None:
        """Keep a service registered that an earlier connection had registered; log an error if its path is taken."""
        try:
            self._registration(path, data).start()
        except NodeExistsException as error:
            del self._registrations[path]
            self._log.error("{path} is not registered again: {reason}.", path=path, reason=str(error))

    def _registration(self, path: str, data: Mapping[str, object] | str | None) -> Registration:
        registration = self._registrations.get(path)
        if registration is None:
            registration = self._registrations[path] = Registration(
                self.mirror,
                path,
                data,
                codec=self._codec,
                acl=self._acl(),
                adopt_persistent=self._adopt_persistent,
                writes=self._writes,
            )
        return registration

    def withdraw(self, path: str) -> Deferred[None]:
        """Withdraw a registration.

        :returns: fires when its node is gone, or when it is registered again; fails as :meth:`Registration.withdraw`. Cancelling
            ends the wait.
        """
        registration = self._registrations.get(path)
        if registration is None:
            return succeed(None)
        # The registration is forgotten when its node is gone, even if the caller no longer waits. The caller has a timeout of
        # its own.
        registration.stop(timeout=None).addCallback(lambda _: self._forget(path, registration))
        return registration.withdraw()

    def _forget(self, path: str, registration: Registration) -> None:
        if not registration.wanted and self._registrations.get(path) is registration:
            del self._registrations[path]

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
            lock = RegistryLock(self.mirror.client, path, name, simultaneous, wait, self._acl, self.mirror.reactor)
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

    def close(self) -> Deferred[SessionTicket | None]:
        """Withdraw registrations, release locks and cancel writes; close the mirror if it is owned.

        :returns: fires in a bounded time; with a ticket of the session if the session may still be open, for a later
            :meth:`end_session`. It never fails.
        """
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> SessionTicket | None:
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
        withdrawals = [registration.stop(timeout=None) for registration in self._registrations.values()]
        withdrawals += [lock.release().addCallback(lambda _: None) for lock in self._locks.values()]
        await wait_for_withdrawals(withdrawals, mirror.reactor, _too_late).addErrback(self._not_withdrawn)
        await gatherResults(formers)
        return ticket

    def _not_withdrawn(self, failure: Failure) -> None:
        if not isinstance(failure.value, ClosingException):
            self._log.warn("Not all could be withdrawn: {reason}.", reason=failure.getErrorMessage())


def _too_late(result: Failure | None, timeout: float) -> None:
    if isinstance(result, Failure):
        raise TimeoutError(f"it took longer than {timeout:g} s; the rest is taken away when ZooKeeper is back")
