"""One registration: an ephemeral node that is kept in place.

A reconcile loop compares the actual node with the desired one after each event, and takes one step. So it recovers alike from
an expired session, from a deletion or a write by another client, and from a lost reply.
"""

from __future__ import annotations

import enum
import os
from collections import deque
from collections.abc import Mapping, Sequence

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.creating_paths import create_path
from txmirror.deferreds import Waiters
from txmirror.durations import check_seconds
from txmirror.errors import (
    BadVersionException,
    ClosingException,
    ConnectionLossException,
    NoAuthException,
    NodeExistsException,
    NoNodeException,
    PathError,
    RequestTooLargeException,
    SessionExpiredException,
    TransactionFailedException,
    ZooKeeperException,
)
from txmirror.interfaces import IPayloadCodec, IQueries, ITransactions
from txmirror.mirror import Existence, Mirror, MirrorState, Node
from txmirror.printable import on_one_line, session_name
from txmirror.registry import path_owners
from txmirror.registry.codecs import NDCodec, own_copy
from txmirror.registry.rates import TokenBucket
from txmirror.retrying import Backoff
from txmirror.timers import Timer
from txmirror.types import ACL, OPEN_ACL, ZnodeStat

#: The shortest and the longest pause before a failed step is retried, or a node that is being overwritten is corrected, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
#: The number of seconds in place after which the pauses between corrections start anew.
_STABLE = 60.0
#: The default timeout of :meth:`Registration.stop`, in seconds.
_STOP_TIMEOUT = 5.0
#: The number of bytes of another session's data that are logged.
_EXCERPT = 200


class RegistrationState(enum.Enum):
    """The state of a registration."""

    PENDING = "pending"
    """The node is not known to exist: it is not written yet, or ZooKeeper is out of reach."""
    REGISTERED = "registered"
    """The node exists, in our session, with our data."""
    BLOCKED = "blocked"
    """Another session's node, or a persistent one, is at the path."""
    WITHDRAWN = "withdrawn"
    """The registration is not started, or is stopped, and our node is gone."""


class Registration:
    """Keeps a service registered: between start and stop, its ephemeral node exists, in our session, with our data.

    If our session owns an existing node, the registration adopts it. If a former session of this registration owns it, and
    the node has the data that we wrote then, the registration replaces it in one transaction. If another session owns it, the
    registration waits until the node is gone. A persistent node is an error, and stays untouched.

    :param mirror: the mirror. It is neither started nor closed here.
    :param path: the full path, its last part the server, as in ``/services/ssh/server1:22``. Missing nodes above it are
        made, persistent and open to everybody.
    :param data: facts about the service.
    :param codec: encodes them; JSON with ``pid`` and ``created`` added, if None.
    :param acl: the access control list of the node, and of its parent if that is made here; open to everybody if None.
    :param adopt_persistent: whether to use a persistent node that exists at the path, and write its data. It is never
        deleted.
    :param writes: limits the rate of writes; None sets no limit. Withdrawals are not limited.
    :ivar path: the path.
    :ivar state: the state.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``data`` cannot be stored.
    :raises ValueError: likewise.
    """

    _log = Logger()

    def __init__(
        self,
        mirror: Mirror,
        path: str,
        data: Mapping[str, object] | str | None = None,
        *,
        codec: IPayloadCodec | None = None,
        acl: Sequence[ACL] | None = None,
        adopt_persistent: bool = False,
        writes: TokenBucket | None = None,
    ) -> None:
        self.path = paths.validate(path)
        if path == "/":
            raise PathError("'/' cannot be registered: it always exists")
        self.state = RegistrationState.WITHDRAWN
        self._mirror = mirror
        self._codec: IPayloadCodec = NDCodec() if codec is None else codec
        self._acl = OPEN_ACL if acl is None else tuple(acl)
        self._adopt_persistent = adopt_persistent
        self._writes = writes
        self._permit: Deferred[None] | None = None
        self._created = mirror.reactor.seconds()
        self._payload = self._encode(data)
        self._data = own_copy(data)
        #: The payloads that were written lately. They distinguish a former session's node from another process's.
        self._recent_payloads: deque[bytes] = deque(maxlen=4)
        self._outcomes: Waiters[RegistrationState] = Waiters()
        self._wanted = False
        self._stepping = False
        self._step: Deferred[None] | None = None
        self._deleting = False
        #: True if the deletion of our node was sent: its answer may be lost.
        self._deletion_sent = False
        self._woken = False
        self._written = False
        self._timer = Timer(mirror.reactor, self._wake)
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._corrected = False
        self._correction_backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._stable_since = 0.0
        self._session_id = 0
        #: The session in which the node was last reported as registered, unless it was written again since.
        self._reported_session = 0
        #: The error for waiters while a persistent node is at the path.
        self._persistent: NodeExistsException | None = None
        self._our_sessions: set[int] = set()
        self._last_warning: tuple[str, dict[str, str]] | None = None
        self._registered: Waiters[None] = Waiters()
        self._withdrawn: Waiters[None] = Waiters()
        self._withdrawing: dict[Deferred[None], None] = {}

    def __repr__(self) -> str:
        return f"<Registration {self.path!r} {self.state.value}>"

    @property
    def wanted(self) -> bool:
        """True between start and stop: the node is to exist."""
        return self._wanted

    @property
    def data(self) -> Mapping[str, object] | str | None:
        """The facts about the service."""
        return self._data

    def keep(self, data: Mapping[str, object] | str | None) -> Deferred[RegistrationState]:
        """Keep the node in place with this data from now on; start the registration if it is not started.

        :returns: fires with :attr:`RegistrationState.REGISTERED` when the node is in place with the data, with
            :attr:`RegistrationState.BLOCKED` when another session's node is there. Fails with
            :exc:`~txmirror.errors.NodeExistsException` if a persistent node is in its place, with any other refusal of
            ZooKeeper's, and with :exc:`~txmirror.errors.ClosingException` when it is withdrawn, or the mirror closed,
            before. After a failure the registration retries until it is stopped; but if another registration
            of this session keeps the path, that is a :exc:`~txmirror.errors.NodeExistsException` too, and changes nothing
            here. Cancelling ends the wait.
        :raises TypeError: data cannot be stored; then nothing has changed.
        :raises ValueError: likewise.
        """
        payload = self._encode(data)
        if self._mirror.state is MirrorState.CLOSED:
            return fail(ClosingException(path=self.path, applied=False))
        try:
            self._own_path()
        except NodeExistsException as error:
            return fail(error)
        outcome = self._outcomes.wait()
        changed = not self._codec.says(self._payload, data)
        self._data = own_copy(data)
        if changed:
            self._payload = payload
            if self.state is RegistrationState.REGISTERED:
                self.state = RegistrationState.PENDING
        self.start()
        if changed:
            self._wake()
        if self.state is RegistrationState.BLOCKED and self._persistent is not None:
            self._fail_outcomes(self._persistent)
        elif self.state in (RegistrationState.REGISTERED, RegistrationState.BLOCKED):
            self._outcomes.fire(self.state)
        return outcome

    def start(self) -> None:
        """Start to keep the node in place. Steps that fail are retried.

        A pending :meth:`stop` is revoked: its Deferred fires at once. If another registration of the same session is being
        stopped, this one takes over its node.

        :raises NodeExistsException: another registration of the same session keeps this path, on this mirror or on another
            one with the same client or a view of it. The two would overwrite each other without end. Stop that one first.
        """
        if self._wanted:
            return
        self._own_path()
        self._wanted = True
        self._reported_session = 0
        self._withdrawn.fire(None)
        self.state = RegistrationState.PENDING
        self._backoff.reset()
        self._reset_corrections()
        node = self._mirror.get(self.path)
        node.addValueWatcher(self, lambda _: self._wake())
        self._mirror.addStateWatcher(self, self._mirror_changed)
        self._mirror.watch_recovery(self, self._mirror_recovered)
        self._wake()

    def stop(self, timeout: float | None = _STOP_TIMEOUT) -> Deferred[None]:
        """Delete the node, and do not create it again.

        :param timeout: the number of seconds to wait for the deletion; None waits without limit, through an outage too.
        :returns: fires when our node is gone: at once after its deletion, with the end of the session, or when the mirror is
            closed. After ``timeout`` seconds it fires all the same, and logs a warning: the node is deleted when ZooKeeper
            can be reached again, or the end of the session removes it. It never fails, and may be called twice. Cancelling
            ends the wait, not the withdrawal.
        :raises TypeError, ValueError: ``timeout`` is not a number of seconds; then nothing has changed.
        """
        check_seconds("timeout", timeout, optional=True)
        stopped_before, self._wanted = not self._wanted, False
        if self.state is RegistrationState.WITHDRAWN:
            return succeed(None)
        if self._step is not None and not self._deleting:
            # A pending request is dropped, and the answer to one that was sent is ignored.
            self._step.cancel()
        if not self._written:
            # No write was sent, so there is nothing to delete, even if a step still waits for an answer.
            self._finish()
            return succeed(None)
        waiter = self._withdrawn.wait()
        if not (stopped_before and self._stepping):
            self._wake()
        if timeout is not None:
            waiter.addTimeout(timeout, self._mirror.reactor, self._stop_timed_out)
        return waiter

    def withdraw(self) -> Deferred[None]:
        """Delete the node as :meth:`stop` without a timeout does, but fail when ZooKeeper refuses that.

        :returns: fires as :meth:`stop` does. Fails with ZooKeeper's refusal, such as
            :exc:`~txmirror.errors.NoAuthException`; the deletion is retried all the same. Cancelling ends the wait, not the
            withdrawal.
        """

        def stopped(_: None) -> None:
            # The waiter may have failed with a refusal, or was cancelled.
            if self._withdrawing.pop(waiter, self) is None:
                waiter.callback(None)

        waiter: Deferred[None] = Deferred(lambda cancelled: self._withdrawing.pop(cancelled, None))
        self._withdrawing[waiter] = None
        self.stop(timeout=None).addCallback(stopped)
        return waiter

    def when_registered(self) -> Deferred[None]:
        """Wait until the node is in place.

        :returns: fires at once if it is. Fails with :exc:`~txmirror.errors.ClosingException` when the registration is withdrawn,
            or the mirror closed, before. Cancelling ends the wait.
        """
        if self.state is RegistrationState.REGISTERED:
            return succeed(None)
        if self._mirror.state is MirrorState.CLOSED:
            return fail(ClosingException(path=self.path, applied=False))
        return self._registered.wait()

    # At most one registration of a session keeps a path.

    def _own_path(self) -> None:
        former = path_owners.owner(self._mirror.client, self.path)
        if former is not None and former is not self and former._mirror.state is not MirrorState.CLOSED:
            if former._wanted:
                raise NodeExistsException(
                    f"{self.path!r} is kept by another registration of this session: stop that one first",
                    path=self.path,
                    applied=False,
                )
            former._hand_over()
        path_owners.take(self._mirror.client, self.path, self)

    def _hand_over(self) -> None:
        """Do not delete the node: another registration of this session has taken it over."""
        self._written = False
        self._finish()

    # The reconcile loop: the node, the mirror and a timer wake it, and it takes one step at a time.

    def _mirror_changed(self, state: MirrorState) -> None:
        if state is MirrorState.CLOSED:
            self._timer.stop()
            self._fail_waiters()
            self._wake()
        elif state is MirrorState.DISCONNECTED and self.state is not RegistrationState.WITHDRAWN:
            # Without a connection the node's state is not known.
            self.state = RegistrationState.PENDING

    def _mirror_recovered(self) -> None:
        self._timer.stop()
        self._wake()

    def _wake(self) -> None:
        self._woken = True
        if self._stepping or self.state is RegistrationState.WITHDRAWN:
            return
        # A withdrawal does not wait for other registrations.
        if not self._wanted or self._mirror.steps.has_room(self):
            self._stepping = True
            self._mirror.steps.began()
            self._step = step = Deferred.fromCoroutine(self._steps())
            step.addErrback(self._step_failed)
            step.addBoth(self._stepped)

    def admitted(self) -> None:
        """Take the next step. The mirror calls this when fewer steps are running."""
        self._wake()

    def _step_failed(self, failure: Failure) -> None:
        if isinstance(failure.value, CancelledError) and not self._wanted:
            return
        self._log.failure("{path}: a step failed.", failure, path=self.path)
        assert failure.value is not None
        self._fail_outcomes(failure.value)

    def _stepped(self, _: object) -> None:
        self._stepping = self._deleting = False
        self._step = None
        self._mirror.steps.ended()
        if self._woken:
            self._wake()

    async def _steps(self) -> None:
        self._woken = False
        if not self._wanted and (not self._written or self._mirror.state is MirrorState.CLOSED):
            self._finish()
            return
        if not self._mirror.recovered:
            # The mirror may still show nodes as they were before the disconnection. Its recovery wakes the loop.
            return
        try:
            if self._wanted:
                await self._ensure()
            else:
                self._deleting = True
                await self._delete()
        except (ConnectionLossException, SessionExpiredException, ClosingException) as error:
            # The mirror recovers, or is closed. Either wakes the loop, and shows whether the write was applied.
            if not self._mirror.is_lost(error):
                self._warn_refused(error)
                self._retry()
        except (NodeExistsException, BadVersionException, TransactionFailedException):
            # Another client was faster. The mirror will show its change.
            self._retry()
        except NoNodeException as error:
            # Another client was faster, unless the chroot is missing.
            if error.path == "/":
                self._refused(error)
            self._retry()
        except RequestTooLargeException as error:
            if not self._fail_outcomes(error):
                self._warn_once("{path} cannot be registered: {reason}.", reason=str(error))
        except ZooKeeperException as error:
            self._step_refused(error)

    def _step_refused(self, error: ZooKeeperException) -> None:
        if self._deleting and self._wanted:
            # The registration was started again meanwhile, and the withdrawal was revoked.
            return
        self._refused(error)
        self._retry()

    async def _ensure(self) -> None:
        node = self._mirror.get(self.path)
        session_id = self._mirror.client.session_id
        self._our_sessions.add(session_id)
        try:
            value, stat = await node.value(timeout=None)
        except NoNodeException:
            if self._wanted and self._may_correct() and self._may_write():
                payload = self._write()
                await self._create(node)
                if node.state.existence is Existence.ABSENT:
                    # Somebody has deleted the node already, before a client without a feed could read it back. The node was
                    # absent before, so that no watcher is called.
                    self._retry()
                else:
                    self._confirm(session_id, payload)
            return
        if not self._wanted:
            # The registration was stopped meanwhile, and the node may have been handed over.
            return
        if stat.ephemeralOwner == session_id or (stat.ephemeralOwner == 0 and self._adopt_persistent):
            if value == self._payload or self._codec.says(value, self._data):
                self._written = True
                self._confirm(session_id, self._payload)
            elif self._may_correct() and self._may_write():
                payload = self._write()
                await node.set(payload, stat.version)
                self._confirm(session_id, payload)
        elif not self._is_ours(value, stat):
            self._blocked(value, stat)
        elif self._may_write():
            await self._replace()

    async def _create(self, node: Node) -> None:
        try:
            await node.create(self._payload, ephemeral=True, acl=self._acl)
        except NoNodeException:
            await create_path(self._mirror.client, paths.parent_of(self.path) or "/", self._acl)
            await node.create(self._payload, ephemeral=True, acl=self._acl)

    async def _replace(self) -> None:
        """Replace a former session's node by ours in one transaction, if it is still there."""
        value, stat = await self._mirror.client.get(self.path)
        if self._wanted and self._is_ours(value, stat):
            self._write()
            transaction = ITransactions(self._mirror.client).transaction()
            transaction.delete(self.path, stat.version)
            transaction.create(self.path, self._payload, self._acl, ephemeral=True)
            await transaction.commit()
        # The mirror will show the new node.

    async def _delete(self) -> None:
        # The owner is read from the server: if the node is no longer readable, the mirror gets no events about it.
        client = self._mirror.urgent
        try:
            stat = await self._stat()
            # The node may have been created in a session that began during that step, and is not in _our_sessions.
            ours = stat is not None and stat.ephemeralOwner == client.session_id
            if stat is not None and not ours and stat.ephemeralOwner in self._our_sessions:
                value, stat = await client.get(self.path)
                ours = self._is_ours(value, stat)
            if not self._written:
                # The node was handed over meanwhile.
                return
            if stat is not None and ours:
                self._deletion_sent = True
                await self._mirror.delete_urgently(self.path, stat.version)
        except NoNodeException:
            pass
        if not self._wanted and self._deletion_sent:
            self._log.info("Withdrew {path}.", path=self.path)
        self._finish()

    async def _stat(self) -> ZnodeStat | None:
        """Return the node's stat, also for a node of this session that may not be read; None if there is no node."""
        client = self._mirror.urgent
        try:
            return await client.exists(self.path)
        except NoAuthException:
            # Servers from 3.9 on require READ for this. But a session may always list its own ephemeral nodes.
            queries: IQueries | None = IQueries(self._mirror.client, None)
            if queries is None or self.path not in await queries.get_ephemerals(self.path):
                raise
        return ZnodeStat(0, 0, 0, 0, -1, 0, 0, client.session_id, 0, 0, 0)

    def _write(self) -> bytes:
        """Return the payload to write, and record that it is written."""
        self._written = True
        self._reported_session = 0
        if self._payload not in self._recent_payloads:
            self._recent_payloads.append(self._payload)
        return self._payload

    def _is_ours(self, value: bytes, stat: ZnodeStat) -> bool:
        """Return whether this registration made a node in a former session."""
        former = stat.ephemeralOwner != self._mirror.client.session_id and stat.ephemeralOwner in self._our_sessions
        return former and value in self._recent_payloads and ITransactions.providedBy(self._mirror.client)

    def _may_write(self) -> bool:
        """Return whether the rate limit allows a write; if not, it wakes the loop later."""
        if self._writes is None:
            return True
        if self._permit is None:
            self._permit = self._writes.take()
            if not self._permit.called:
                self._permit.addCallbacks(lambda _: self._wake(), lambda _: None)
        if not self._permit.called:
            return False
        self._permit = None
        return True

    def _encode(self, data: Mapping[str, object] | str | None) -> bytes:
        return self._codec.encode(data, pid=os.getpid(), created=self._created)

    def _retry(self) -> None:
        self._timer.start(self._backoff.next_pause())

    # The findings of a step.

    def _may_correct(self) -> bool:
        """Return whether to write now. A node that is being overwritten repeatedly is corrected after growing pauses."""
        if self.state is not RegistrationState.REGISTERED or self._session_id != self._mirror.client.session_id:
            return not self._timer.running
        now = self._mirror.reactor.seconds()
        if now - self._stable_since >= _STABLE:
            self._reset_corrections()
            self._last_warning = None
        self.state = RegistrationState.PENDING
        if not self._corrected:
            self._corrected = True
            return True
        pause = self._correction_backoff.next_pause()
        self._warn_once("{path} is being overwritten repeatedly; next correction in {pause} s.", pause=f"{pause:g}")
        self._timer.start(pause)
        return False

    def _confirm(self, session_id: int, payload: bytes) -> None:
        if payload is not self._payload:
            # The data was changed meanwhile.
            return
        if self.state in (RegistrationState.REGISTERED, RegistrationState.WITHDRAWN):
            # Withdrawn: the node was handed over meanwhile.
            return
        if session_id != self._mirror.client.session_id:
            return
        self.state = RegistrationState.REGISTERED
        self._session_id = session_id
        self._stable_since = self._mirror.reactor.seconds()
        self._backoff.reset()
        if not self._corrected:
            self._last_warning = None
        if self._reported_session != session_id:
            self._reported_session = session_id
            self._log.info("Registered {path}.", path=self.path)
        self._registered.fire(None)
        self._outcomes.fire(self.state)

    def _blocked(self, value: bytes, stat: ZnodeStat) -> None:
        owner = stat.ephemeralOwner
        self._persistent = None
        if owner == 0:
            error = NodeExistsException(f"{self.path!r} is a persistent node, and cannot be registered", path=self.path)
            self._persistent = error
            if self._fail_outcomes(error):
                return
        self.state = RegistrationState.BLOCKED
        if owner == 0:
            self._warn_once("{path} is a persistent node: it cannot be registered until that node is deleted.")
        elif owner in self._our_sessions:
            self._warn_once(
                "{path} still exists from our former session: it is registered again when that session has expired."
            )
        else:
            self._warn_once(
                "{path} is registered by another session, {owner}, with the data {data}: it is registered here when that"
                " session has ended.",
                owner=session_name(owner),
                data=_excerpt(value),
            )
        self._outcomes.fire(self.state)

    def _refused(self, error: ZooKeeperException) -> None:
        reported = self._fail_outcomes(error)
        while self._withdrawing and not self._wanted:
            reported = True
            self._withdrawing.popitem()[0].errback(error)
        if not reported:
            self._warn_refused(error)

    def _warn_refused(self, error: ZooKeeperException) -> None:
        what = "registered" if self._wanted else "withdrawn"
        self._warn_once("{path} cannot be {what}: {reason}. Retrying.", what=what, reason=str(error))

    def _finish(self) -> None:
        if self._wanted:
            # The registration was started again meanwhile.
            self._woken = True
            return
        self.state = RegistrationState.WITHDRAWN
        path_owners.release(self._mirror.client, self.path, self)
        self._written = self._deletion_sent = False
        self._timer.stop()
        if self._permit is not None:
            self._permit.cancel()
            self._permit = None
        self._mirror.get(self.path).delValueWatcher(self)
        self._mirror.delStateWatcher(self)
        self._mirror.unwatch_recovery(self)
        self._mirror.steps.discard(self)
        self._fail_waiters()
        self._withdrawn.fire(None)

    def _stop_timed_out(self, result: object, timeout: float) -> None:
        if not isinstance(result, Failure):
            return
        session = self._mirror.client.session_timeout
        if self._mirror.is_connected():
            reason = "the server has not deleted it"
            fate = f"Retrying; else the node goes with the session, at most {session:g} s after the client is closed"
        else:
            reason = "ZooKeeper is out of reach"
            fate = (
                f"The node is deleted when ZooKeeper is back, or goes with the session, which ends {session:g} s after the"
                " server last heard from this client"
            )
        self._log.warn(
            "{path} could not be withdrawn within {timeout:g} s: {reason}. {fate}.",
            path=self.path,
            timeout=timeout,
            reason=reason,
            fate=fate,
        )

    def _reset_corrections(self) -> None:
        self._corrected = False
        self._correction_backoff.reset()

    def _fail_outcomes(self, error: BaseException) -> bool:
        """Fail the outcome waiters; return whether there were any."""
        waiting = len(self._outcomes)
        self._outcomes.fail(lambda: error)
        return waiting > 0

    def _fail_waiters(self) -> None:
        self._registered.fail(lambda: ClosingException(path=self.path, applied=False))
        self._outcomes.fail(lambda: ClosingException(path=self.path, applied=False))

    def _warn_once(self, format: str, **fields: str) -> None:
        """Log a warning, once for each new reason; other data of the same node, or another pause, is not a new reason."""
        said = (format, {name: text for name, text in fields.items() if name not in ("data", "pause")})
        if said != self._last_warning:
            self._last_warning = said
            self._log.warn(format, path=self.path, **fields)


def _excerpt(data: bytes) -> str:
    text = on_one_line(data[:_EXCERPT].decode(errors="backslashreplace"))
    return f"{text}..." if len(data) > _EXCERPT else text
