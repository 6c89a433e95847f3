"""One registration: an ephemeral node that is kept in place.

A reconcile loop compares the actual node with the desired one after each event, and takes one step. So it recovers alike from
an expired session, from a deletion or a write by another client, and from a lost reply.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.durations import check_seconds
from txmirror.errors import (
    BadVersionException,
    ClosingException,
    ConnectionLossException,
    NodeExistsException,
    NoNodeException,
    PathError,
    RequestTooLargeException,
    SessionExpiredException,
    TransactionFailedException,
    ZooKeeperException,
)
from txmirror.interfaces import IPayloadCodec, ITransactions
from txmirror.mirror import Mirror, MirrorState
from txmirror.registry.codecs import NDCodec
from txmirror.registry.identity import Identity
from txmirror.registry.manners import Manners
from txmirror.registry.mirror_events import events_of
from txmirror.registry.outcomes import Outcomes, RegistrationState
from txmirror.registry.own_node import Knowledge, OwnNode
from txmirror.registry.rates import Permit, TokenBucket
from txmirror.registry.reconcile import ReconcileLoop
from txmirror.types import ACL, OPEN_ACL, EventType

#: The default timeout of :meth:`Registration.stop`, in seconds.
_STOP_TIMEOUT = 5.0
#: The interval at which a node of ours that may not be read is looked at, in seconds.
_UNREADABLE = 60.0


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
        self._events = events = events_of(mirror)
        self._identity = Identity(NDCodec() if codec is None else codec, data, mirror.reactor.seconds())
        self._node = OwnNode(
            mirror,
            path,
            OPEN_ACL if acl is None else tuple(acl),
            events.sessions,
            adopt_persistent=adopt_persistent,
        )
        self._manners = Manners(path)
        self._outcomes = Outcomes(path)
        self._loop = ReconcileLoop(self._step, self._step_failed, events.steps, mirror.reactor)
        self._permit = None if writes is None else Permit(writes, self._loop.wake)
        self._wanted = self._deleting = False
        #: The error for waiters while a persistent node is at the path.
        self._persistent: NodeExistsException | None = None

    def __repr__(self) -> str:
        return f"<Registration {self.path!r} {self.state.value}>"

    @property
    def wanted(self) -> bool:
        """True between start and stop: the node is to exist."""
        return self._wanted

    @property
    def data(self) -> Mapping[str, object] | str | None:
        """The facts about the service."""
        return self._identity.data

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
        payload = self._identity.encode(data)
        if self._mirror.state is MirrorState.CLOSED:
            return fail(ClosingException(path=self.path, applied=False))
        try:
            self._events.take(self.path, self)
        except NodeExistsException as error:
            return fail(error)
        changed = self._identity.change(data, payload)
        outcome = self._outcomes.first.wait()
        if changed and self.state is RegistrationState.REGISTERED:
            self.state = RegistrationState.PENDING
        self.start()
        if changed:
            self._loop.wake()
        if self.state is RegistrationState.BLOCKED and self._persistent is not None:
            self._outcomes.refuse(self._persistent)
        elif self.state in (RegistrationState.REGISTERED, RegistrationState.BLOCKED):
            self._outcomes.first.fire(self.state)
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
        self._events.take(self.path, self)
        self._wanted = self._loop.active = True
        self._loop.urgent = False
        self._manners.started()
        self._outcomes.withdrawn.fire(None)
        self.state = RegistrationState.PENDING
        self._loop.succeeded()
        self._events.add(self.path, self)
        self._loop.wake()

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
        # A withdrawal does not wait for other registrations.
        self._loop.urgent = True
        if not self._deleting:
            # A pending request is dropped, and the answer to one that was sent is ignored.
            self._loop.cancel_step()
        if not self._node.written:
            # No write was sent, so there is nothing to delete, even if a step still waits for an answer.
            self._finish()
            return succeed(None)
        waiter = self._outcomes.withdrawn.wait()
        if not (stopped_before and self._loop.running):
            self._loop.wake()
        if timeout is not None:
            waiter.addTimeout(timeout, self._mirror.reactor, self._stop_timed_out)
        return waiter

    def _stop_timed_out(self, result: object, timeout: float) -> None:
        if isinstance(result, Failure):
            session_timeout = self._mirror.client.session_timeout
            self._manners.warn_late(timeout, session_timeout, connected=self._mirror.is_connected())

    def withdraw(self) -> Deferred[None]:
        """Delete the node as :meth:`stop` without a timeout does, but fail when ZooKeeper refuses that.

        :returns: fires as :meth:`stop` does. Fails with ZooKeeper's refusal, such as
            :exc:`~txmirror.errors.NoAuthException`; the deletion is retried all the same. Cancelling ends the wait, not the
            withdrawal.
        """
        return self._outcomes.withdraw(self.stop(timeout=None))

    def when_registered(self) -> Deferred[None]:
        """Wait until the node is in place.

        :returns: fires at once if it is. Fails with :exc:`~txmirror.errors.ClosingException` when the registration is withdrawn,
            or the mirror closed, before. Cancelling ends the wait.
        """
        if self.state is RegistrationState.REGISTERED:
            return succeed(None)
        if self._mirror.state is MirrorState.CLOSED:
            return fail(ClosingException(path=self.path, applied=False))
        return self._outcomes.registered.wait()

    # For the events of the mirror.

    def yield_path(self) -> bool:
        """Leave the node to another registration of this session, unless it is to be kept; return whether that was done."""
        if self._mirror.state is not MirrorState.CLOSED:
            if self._wanted:
                return False
            self._node.yielded()
            self._finish()
        return True

    def node_changed(self, kind: EventType) -> None:
        """Note an event of the node."""
        self._node.note(kind)
        self._loop.wake()

    def mirror_changed(self, state: MirrorState) -> None:
        """Note a new state of the mirror."""
        if state is MirrorState.CLOSED:
            self._loop.end_pause()
            self._outcomes.fail_closed()
            self._loop.wake()
        elif state is MirrorState.DISCONNECTED and self.state is not RegistrationState.WITHDRAWN:
            # Without a connection the node's state is not known.
            self.state = RegistrationState.PENDING

    def mirror_recovered(self) -> None:
        """Note that all missed events were dispatched."""
        self._loop.end_pause()
        self._loop.wake()

    # Steps.

    def _step_failed(self, failure: Failure) -> None:
        self._deleting = False
        if isinstance(failure.value, CancelledError) and not self._wanted:
            return
        self._log.failure("{path}: a step failed.", failure, path=self.path)
        assert failure.value is not None
        self._outcomes.refuse(failure.value)

    async def _step(self) -> None:
        if not self._wanted and (not self._node.written or self._mirror.state is MirrorState.CLOSED):
            self._finish()
            return
        if not self._mirror.recovered:
            # Events that were missed are still to come. The mirror's recovery wakes the loop.
            return
        self._deleting = not self._wanted
        try:
            await (self._delete() if self._deleting else self._ensure())
        except ZooKeeperException as error:
            # After a lost connection the mirror recovers, or is closed. Either wakes the loop.
            if not self._mirror.is_lost(error):
                self._failed(error)
        self._deleting = False

    def _failed(self, error: ZooKeeperException) -> None:
        if isinstance(error, (ConnectionLossException, SessionExpiredException)):
            # A server has answered so, while the connection stands.
            self._manners.warn_refused(error, wanted=self._wanted)
        elif isinstance(error, (BadVersionException, TransactionFailedException)) or (
            isinstance(error, NoNodeException) and error.path != "/"
        ):
            # Another client was faster. Its change is seen by the next step.
            pass
        elif isinstance(error, RequestTooLargeException):
            if not self._outcomes.refuse(error):
                self._manners.warn_once("{path} cannot be registered: {reason}.", reason=str(error))
            return
        elif self._deleting and self._wanted:
            # The registration was started again meanwhile, and the withdrawal was revoked.
            return
        else:
            self._refused(error)
        self._loop.retry()

    def _refused(self, error: ZooKeeperException) -> None:
        reported = self._outcomes.refuse(error)
        if not self._wanted:
            reported |= self._outcomes.refuse_withdrawal(error)
        if not reported:
            self._manners.warn_refused(error, wanted=self._wanted)

    def _ensure(self) -> Coroutine[Deferred[Any], Any, None]:
        """Look at the node if it may have changed; create it if there is none, correct it, or wait."""
        node = self._node
        node.enter_session()
        if node.unreadable and not self._loop.pausing:
            node.invalidate()
        if node.knowledge is Knowledge.PRESENT:
            return self._compare(looked=False)
        return self._look() if node.knowledge is Knowledge.CHANGED else self._create()

    async def _look(self) -> None:
        await self._node.look()
        await self._compare(looked=True)

    async def _create(self) -> None:
        if self._may_write():
            payload = self._payload()
            session_id = self._mirror.client.session_id
            created = await self._node.create(payload, lambda: self._confirm(session_id, payload))
            if self._node.knowledge is Knowledge.PRESENT or created:
                await self._compare(looked=True)
            else:
                # The other node is gone already.
                self._loop.retry()

    async def _compare(self, *, looked: bool) -> None:
        """Compare the node that is there with the desired one, and take the next step.

        :param looked: whether it was read in this step.
        """
        node, session_id = self._node, self._mirror.client.session_id
        if not self._wanted:
            # The registration was stopped meanwhile, and the node may have been handed over.
            return
        if node.knowledge is not Knowledge.PRESENT:
            self._loop.wake()
            return
        if node.owned_by(session_id):
            if self._identity.written_last if node.data is None else self._identity.stated_by(node.data):
                node.written = True
                self._confirm(session_id, self._identity.payload)
                if node.unreadable:
                    self._manners.warn_once(
                        "{path} is registered, but its ACL does not permit us to read it: it is checked every {interval} s.",
                        interval=f"{_UNREADABLE:g}",
                    )
                    self._loop.pause(_UNREADABLE)
            elif self._may_write():
                payload = self._payload()
                await node.write(payload, lambda: self._confirm(session_id, payload))
                self._loop.wake()
        elif not self._is_ours():
            self._blocked()
        elif not looked:
            await self._look()
        elif self._permitted():
            payload = self._payload()
            await node.replace(payload, lambda: self._confirm(session_id, payload))
            self._loop.wake()

    async def _delete(self) -> None:
        node = self._node
        await node.delete(self._identity.wrote)
        if not node.written:
            # The node was handed over meanwhile.
            return
        if not self._wanted and node.deletion_sent:
            self._manners.withdrawn()
        self._finish()

    def _is_ours(self) -> bool:
        """Return whether this registration made the node that is there in a former session."""
        node = self._node
        return (
            node.stat is not None
            and node.is_former(node.stat)
            and node.data is not None
            and self._identity.wrote(node.data)
            and ITransactions.providedBy(self._mirror.client)
        )

    # The findings of a step.

    def _may_write(self) -> bool:
        """Return whether to write the node now; if not, the loop is woken later. A node that others keep changing is corrected
        after growing pauses.
        """
        if self.state is RegistrationState.REGISTERED:
            self.state = RegistrationState.PENDING
            pause = self._manners.pause_before_correction(self._mirror.reactor.seconds())
            if pause:
                self._loop.pause(pause)
            else:
                self._loop.end_pause()
        # The pause between looks at an unreadable node holds up no write.
        return (self._node.unreadable or not self._loop.pausing) and self._permitted()

    def _permitted(self) -> bool:
        """Return whether the rate limit allows a write now; if not, the loop is woken later."""
        return self._permit is None or self._permit.take()

    def _payload(self) -> bytes:
        """Return the data to write, and note that it is written."""
        self._node.written = True
        self._manners.written()
        return self._identity.write()

    def _confirm(self, session_id: int, payload: bytes) -> None:
        if payload is not self._identity.payload:
            # The data was changed meanwhile.
            return
        if self.state in (RegistrationState.REGISTERED, RegistrationState.WITHDRAWN):
            # Withdrawn: the node was handed over meanwhile.
            return
        if session_id != self._mirror.client.session_id:
            return
        self.state = RegistrationState.REGISTERED
        self._loop.succeeded()
        self._manners.in_place(session_id, self._mirror.reactor.seconds())
        self._outcomes.in_place()

    def _blocked(self) -> None:
        node, self._persistent = self._node, None
        assert node.stat is not None
        # What was written here is gone.
        node.written = False
        owner = node.stat.ephemeralOwner
        if owner == 0:
            error = NodeExistsException(f"{self.path!r} is a persistent node, and cannot be registered", path=self.path)
            self._persistent = error
            if self._outcomes.refuse(error):
                return
        self.state = RegistrationState.BLOCKED
        self._manners.warn_of_owner(owner, node.data or b"", former=node.is_former(node.stat))
        self._outcomes.first.fire(self.state)

    def _finish(self) -> None:
        if self._wanted:
            # The registration was started again meanwhile.
            self._loop.wake()
            return
        self.state = RegistrationState.WITHDRAWN
        self._events.release(self.path, self)
        self._events.remove(self.path, self)
        self._node.leave()
        self._loop.stop()
        if self._permit is not None:
            self._permit.cancel()
        self._outcomes.fail_closed()
        self._outcomes.withdrawn.fire(None)
