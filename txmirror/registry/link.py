"""All that a registry does at the servers, for as long as it has one connection to them."""

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
from txmirror.registry.rates import TokenBucket
from txmirror.registry.reach import Reach, when_connected
from txmirror.registry.registration import Registration, RegistrationState
from txmirror.registry.turns import Turns
from txmirror.registry.writing import Writer
from txmirror.types import ACL, OPEN_ACL, SessionTicket

_T = TypeVar("_T")

#: How long a withdrawal may hold up the end, in seconds. A session's end takes care of the rest.
_WITHDRAWAL = 2.0
#: How many persistent nodes are written at a time, at most.
_WRITES = 500


class Link:
    """Registers, writes and locks on a mirror.

    :param mirror: where.
    :param owned: whether the mirror is closed with this.
    :param timeout: after how many seconds without a session ZooKeeper is out of reach.
    :param codec: how data is stored.
    :param acl: gives the access control list of nodes that are made; None for one that is open to everybody.
    :param adopt_persistent: as for :class:`Registration`.
    :param writes: how often may be written; without limit if None.
    :ivar reach: tells whether ZooKeeper can be reached.
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
        self.reach = Reach(mirror, timeout)
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
        self._formers: dict[Reach, Deferred[None]] = {}

    # Registrations.

    def registration(self, path: str) -> Registration | None:
        """Give the registration at a path, if there is one or one is being taken away."""
        return self._registrations.get(path)

    def register(self, path: str, data: Mapping[str, object] | str | None) -> Deferred[RegistrationState]:
        """Let a service be registered, with this data; see :meth:`Registration.keep`."""
        return self._registration(path, data).keep(data)

    def restore(self, path: str, data: Mapping[str, object] | str | None) -> None:
        """Let a service be registered that was before."""
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
        """Let a service be registered no longer.

        :returns: fires when its node is gone, or it is registered again; fails as :meth:`Registration.withdraw`. Cancelling
            ends the wait.
        """
        registration = self._registrations.get(path)
        if registration is None:
            return succeed(None)
        # It is forgotten when it is gone, whether anybody waits so long or not.
        # The registry says for how long its caller waits.
        registration.stop(timeout=None).addCallback(lambda _: self._forget(path, registration))
        return registration.withdraw()

    def _forget(self, path: str, registration: Registration) -> None:
        if not registration.wanted and self._registrations.get(path) is registration:
            del self._registrations[path]

    # Persistent nodes.

    def put(self, path: str, data: Mapping[str, object] | str | None, payload: bytes) -> Deferred[None]:
        """Write a persistent node, as :meth:`Writer.put`, after what was asked for the same path before.

        What was asked for later makes it superfluous: then it fires when its turn has come, and does nothing.
        """
        return self._begin_writing(path, lambda: self._writer.put(path, data, payload))

    def remove(self, path: str) -> Deferred[None]:
        """Delete a persistent node, as :meth:`Writer.remove`; otherwise as :meth:`put`."""
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

        :raises ValueError: an argument will not do, or the lock is in use with another number of holders.
        """
        self.check_lock(path, simultaneous)
        lock = self._locks.get(path)
        if lock is None or lock.released or lock.simultaneous != simultaneous:
            lock = RegistryLock(self.mirror.client, path, name, simultaneous, wait, self._acl, self.mirror.reactor)
            self._locks[path] = lock
        lock.wait = wait
        return lock

    def check_lock(self, path: str, simultaneous: int) -> None:
        """See that the lock at a path may have so many holders.

        :raises ValueError: it is in use with another number of them.
        """
        lock = self._locks.get(path)
        if lock is not None and lock.in_use and lock.simultaneous != simultaneous:
            raise ValueError(
                f"the lock {path!r} is in use here with simultaneous={lock.simultaneous!r}, not {simultaneous!r}:"
                " release it first"
            )

    @property
    def locking(self) -> bool:
        """Whether a lock is held or waited for."""
        return any(lock.in_use for lock in self._locks.values())

    def release(self, path: str) -> Deferred[bool]:
        """Release the lock at a path, if there is one."""
        lock = self._locks.get(path)
        return succeed(True) if lock is None else lock.release()

    # The end.

    def end_session(self, mirror: Mirror) -> None:
        """End a session that could not be ended when it was left, so that what it owned does not stand in the way.

        :param mirror: one that takes that session over.
        """

        def close(_: object) -> Deferred[None]:
            reach.stop()
            return mirror.close()

        def closed(_: object) -> None:
            del self._formers[reach]

        reach = Reach(mirror, mirror.client.session_timeout)
        mirror.connect().addErrback(lambda _: None)
        ended = self._formers[reach] = reach.within(when_connected(mirror))
        ended.addBoth(close)
        ended.addBoth(closed)

    def close(self) -> Deferred[SessionTicket | None]:
        """End it all.

        :returns: fires when that is done, in a bounded time; with what the session can be ended by that may still be there, if it
            could not be ended. It never fails.
        """
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> SessionTicket | None:
        mirror = self.mirror
        self.reach.stop()
        # The latest first, so that none begins because one before it has ended.
        for writing in list(reversed(self._writing)):
            writing.cancel()
        formers = list(self._formers.values())
        for reach in list(self._formers):
            reach.stop()
        ticket: SessionTicket | None = None
        if self._owned:
            holder: ISessionHolder | None = ISessionHolder(mirror.client, None)
            if holder is not None and not mirror.is_connected():
                ticket = holder.session_ticket
            # With the session goes all that is held on its strength.
            await mirror.close()
        withdrawals = [registration.stop(timeout=None) for registration in self._registrations.values()]
        withdrawals += [lock.release().addCallback(lambda _: None) for lock in self._locks.values()]
        everything = gatherResults(withdrawals, consumeErrors=True).addCallback(lambda _: None)
        await everything.addTimeout(_WITHDRAWAL, mirror.reactor, _too_late).addErrback(self._not_withdrawn)
        await gatherResults(formers)
        return ticket

    def _not_withdrawn(self, failure: Failure) -> None:
        if not isinstance(failure.value, ClosingException):
            self._log.warn("Not all could be withdrawn: {reason}.", reason=failure.getErrorMessage())


def _too_late(result: Failure | None, timeout: float) -> None:
    if isinstance(result, Failure):
        raise TimeoutError(f"it took longer than {timeout:g} s; the rest is taken away when ZooKeeper is back")
