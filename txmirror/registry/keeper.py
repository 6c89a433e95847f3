"""Keep one node in place: compare it with the desired one after each event, and take one step.

So the keeper recovers alike from an expired session, from a deletion or a write by another client, and from a lost reply.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.errors import (
    BadVersionException,
    ConnectionLossException,
    NodeExistsException,
    NoNodeException,
    RequestTooLargeException,
    SessionExpiredException,
    TransactionFailedException,
    ZooKeeperException,
)
from txmirror.interfaces import ITransactions
from txmirror.mirror import Mirror, MirrorState
from txmirror.registry.identity import Identity
from txmirror.registry.manners import Manners
from txmirror.registry.mirror_events import MirrorEvents
from txmirror.registry.outcomes import Outcomes, RegistrationState
from txmirror.registry.own_node import Knowledge, OwnNode
from txmirror.registry.rates import IWriteLimit, Permit
from txmirror.registry.reconcile import ReconcileLoop
from txmirror.types import EventType

#: The interval at which a node of ours that may not be read is looked at, in seconds.
_UNREADABLE = 60.0


class Keeper:
    """Keeps a node in place between start and stop.

    :param mirror: the mirror.
    :param events: dispatches its events.
    :param node: the node.
    :param identity: the data that it is to have.
    :param writes: limits writes; None sets no limit.
    :ivar state: the state.
    :ivar wanted: whether the node is to exist.
    :ivar outcomes: the Deferreds that wait.
    :ivar manners: the warnings.
    """

    _log = Logger()

    def __init__(
        self, mirror: Mirror, events: MirrorEvents, node: OwnNode, identity: Identity, writes: IWriteLimit | None
    ) -> None:
        self.state: RegistrationState = RegistrationState.WITHDRAWN
        self.wanted: bool = False
        self.outcomes: Outcomes = Outcomes(node.path)
        self.manners: Manners = Manners(node.path)
        self._mirror = mirror
        self._events = events
        self._node = node
        self._identity = identity
        self._loop = ReconcileLoop(self._step, self._step_failed, events.steps, mirror.reactor)
        self._permit = Permit(writes, self._loop.wake)
        self._deleting = False

    # Start and stop.

    def own_path(self) -> None:
        """Take the path.

        :raises NodeExistsException: another registration of the same session keeps it.
        """
        self._events.take(self._node.path, self)

    def start(self, *, changed: bool = False) -> None:
        """Keep the node in place, whose path was taken, and fire the waiters if it is known to be.

        :param changed: whether the data was changed.
        """
        if changed and self.state is RegistrationState.REGISTERED:
            self.state = RegistrationState.PENDING
        if not self.wanted:
            self.wanted = self._loop.active = changed = True
            self._loop.urgent = False
            self.manners.started()
            self.outcomes.end_withdrawal()
            self.state = RegistrationState.PENDING
            self._loop.succeeded()
            self._events.add(self._node.path, self)
        if changed:
            self._loop.wake()
        self._report()

    def _report(self) -> None:
        """Fire the waiters if the state is known."""
        if self.state is RegistrationState.BLOCKED and self._node.persistent:
            self.outcomes.refuse(_persistent_error(self._node.path))
        elif self.state in (RegistrationState.REGISTERED, RegistrationState.BLOCKED):
            self.outcomes.first.fire(self.state)

    def stop(self) -> None:
        """Delete the node, and do not create it again."""
        stopped_before, self.wanted = not self.wanted, False
        if self.state is RegistrationState.WITHDRAWN:
            return
        # A withdrawal does not wait for other registrations.
        self._loop.urgent = True
        if not self._deleting:
            # A pending request is dropped, and the answer to one that was sent is ignored.
            self._loop.cancel_step()
        if not self._node.written:
            # No write was sent, so there is nothing to delete, even if a step still waits for an answer.
            self._finish()
        elif not (stopped_before and self._loop.running):
            self._loop.wake()

    # For the events of the mirror.

    def yield_path(self) -> bool:
        """Leave the node to another registration of this session, unless it is to be kept; return whether that was done."""
        if self._mirror.state is not MirrorState.CLOSED:
            if self.wanted:
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
            self.outcomes.fail_closed()
            self._loop.wake()
        elif state is MirrorState.DISCONNECTED and self.state is not RegistrationState.WITHDRAWN:
            # Without a connection the node's state is not known.
            self.state = RegistrationState.PENDING

    def mirror_recovered(self, watches_lost: bool) -> None:
        """Note that all missed events were dispatched; if watches may be lost, look at the node again."""
        if watches_lost:
            self._node.invalidate()
        self._loop.end_pause()
        self._loop.wake()

    # Steps.

    def _step_failed(self, failure: Failure) -> None:
        self._deleting = False
        if isinstance(failure.value, CancelledError) and not self.wanted:
            return
        self._log.failure("The registration of {path} failed because of a bug.", failure, path=self._node.path)
        assert failure.value is not None
        self.outcomes.refuse(failure.value)

    async def _step(self) -> None:
        if not self.wanted and (not self._node.written or self._mirror.state is MirrorState.CLOSED):
            self._finish()
            return
        if not self._mirror.recovered:
            # Events that were missed are still to come. The mirror's recovery wakes the loop.
            return
        self._deleting = not self.wanted
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
            self.manners.warn_refused(error, wanted=self.wanted, reported=False)
        elif isinstance(error, (BadVersionException, TransactionFailedException)) or (
            isinstance(error, NoNodeException) and error.path != "/"
        ):
            # Another client was faster. Its change is seen by the next step.
            pass
        elif isinstance(error, RequestTooLargeException):
            if not self.outcomes.refuse(error):
                self.manners.warn_once("{path} cannot be registered: {reason}.", reason=str(error))
            return
        elif self._deleting and self.wanted:
            # The registration was started again meanwhile, and the withdrawal was revoked.
            return
        else:
            self._refused(error)
        self._loop.retry()

    def _refused(self, error: ZooKeeperException) -> None:
        reported = self.outcomes.refuse(error)
        if not self.wanted:
            reported |= self.outcomes.refuse_withdrawal(error)
        self.manners.warn_refused(error, wanted=self.wanted, reported=reported)

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
            created = await self._node.create(self._payload(), self._written)
            if self._node.knowledge is Knowledge.PRESENT or created:
                await self._compare(looked=True)
            else:
                # The other node is gone already.
                self._loop.retry()

    async def _compare(self, *, looked: bool) -> None:
        """Compare the node that is there, and that was read in this step or not, with the desired one, and take the next step."""
        node = self._node
        if not self.wanted:
            # The registration was stopped meanwhile, and the node may have been handed over.
            return
        if node.knowledge is not Knowledge.PRESENT:
            self._loop.wake()
            return
        if node.owned:
            if self._identity.written_last if node.data is None else self._identity.stated_by(node.data):
                node.written = True
                self._confirm()
                if node.unreadable:
                    self.manners.warn_once(
                        "{path} is registered, but its ACL does not permit us to read it: it is checked every {interval} s.",
                        interval=f"{_UNREADABLE:g}",
                    )
                    self._loop.pause(_UNREADABLE)
            elif self._may_write():
                await node.write(self._payload(), self._written)
                self._loop.wake()
        elif not self._is_ours():
            self._blocked()
        elif not looked:
            await self._look()
        elif self._permit.take():
            await node.replace(self._payload(), self._written)
            self._loop.wake()

    async def _delete(self) -> None:
        node = self._node
        await node.delete(self._identity.wrote)
        if not node.written:
            # The node was handed over meanwhile.
            return
        if not self.wanted and node.deletion_sent:
            self.manners.withdrawn()
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
            pause = self.manners.pause_before_correction(self._mirror.reactor.seconds())
            if pause:
                self._loop.pause(pause)
            else:
                self._loop.end_pause()
        # The pause between looks at an unreadable node holds up no write.
        return (self._node.unreadable or not self._loop.pausing) and self._permit.take()

    def _payload(self) -> bytes:
        """Return the data to write, and note that it is written."""
        self._node.written = True
        self.manners.written()
        return self._identity.write()

    def _written(self) -> None:
        """Note that the node was written; but the data may have been changed meanwhile."""
        if self._identity.written_last:
            self._confirm()

    def _confirm(self) -> None:
        if self.state in (RegistrationState.REGISTERED, RegistrationState.WITHDRAWN):
            # Withdrawn: the node was handed over meanwhile.
            return
        self.state = RegistrationState.REGISTERED
        self._loop.succeeded()
        self.manners.in_place(self._mirror.client.session_id, self._mirror.reactor.seconds())
        self.outcomes.in_place()

    def _blocked(self) -> None:
        node = self._node
        assert node.stat is not None
        # What was written here is gone.
        node.written = False
        if node.persistent and self.outcomes.refuse(_persistent_error(self._node.path)):
            return
        self.state = RegistrationState.BLOCKED
        self.manners.warn_of_owner(node.stat.ephemeralOwner, node.data or b"", former=node.is_former(node.stat))
        self.outcomes.first.fire(self.state)

    def _finish(self) -> None:
        if self.wanted:
            # The registration was started again meanwhile.
            self._loop.wake()
            return
        self.state = RegistrationState.WITHDRAWN
        self._events.release(self._node.path, self)
        self._events.remove(self._node.path, self)
        self._node.leave()
        self._loop.stop()
        self._permit.cancel()
        self.outcomes.fail_closed()
        self.outcomes.end_withdrawal()


def _persistent_error(path: str) -> NodeExistsException:
    return NodeExistsException(f"{path!r} is a persistent node, and cannot be registered", path=path)
