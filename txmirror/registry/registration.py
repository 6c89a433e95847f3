"""One registration: an ephemeral node that is kept in place.

It does not replay what was once done, but compares what is there with what should be, whenever something happens, and
takes one step. So it does not matter why the node is not as it should be: the session has ended, somebody deleted it or
wrote over it, or a reply was lost.
"""

from __future__ import annotations

import enum
import os
from collections import deque
from collections.abc import Mapping, Sequence

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
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
from txmirror.mirror import Mirror, MirrorState, Node
from txmirror.printable import on_one_line
from txmirror.registry import path_owners
from txmirror.registry.codecs import NDCodec, own_copy
from txmirror.registry.rates import TokenBucket
from txmirror.timers import Timer
from txmirror.types import ACL, OPEN_ACL, ZnodeStat

#: The pauses before a step that has failed is tried again, or what somebody keeps undoing is done again, in seconds.
_PAUSE = backoffPolicy(initialDelay=0.5, maxDelay=60.0, factor=2.0, jitter=lambda: 0.0)
#: After so many seconds in place, the pauses start anew.
_STABLE = 60.0
#: How long :meth:`Registration.stop` waits for the deletion of the node by default, in seconds.
_STOP_TIMEOUT = 5.0
#: So many bytes of another's data are logged.
_EXCERPT = 200


class RegistrationState(enum.Enum):
    """How a registration stands."""

    PENDING = "pending"
    """The node is not known to be there: not written yet, or ZooKeeper is out of reach."""
    REGISTERED = "registered"
    """The node is there, in our session, with our data."""
    BLOCKED = "blocked"
    """Another's node stands in its place."""
    WITHDRAWN = "withdrawn"
    """It is not wanted (any more), and our node is gone."""


class Registration:
    """Keeps a service registered: as long as it is wanted, its ephemeral node exists, in our session, with our data.

    A node that is there already is adopted if our session owns it. If a former session of this registration does, and the
    node says what we wrote then, it is replaced in one transaction. If another session does, it is waited for until that one
    has ended. A persistent one is an error, and stays untouched.

    :param mirror: where. It is neither started nor closed here.
    :param path: the full path, its last part the server, as in ``/services/ssh/server1:22``. Nodes above it that are
        missing are made, persistent and open to everybody.
    :param data: facts for whoever finds it.
    :param codec: how they are stored; as JSON with ``pid`` and ``created`` added, if None.
    :param acl: the access control list of the node, and of its parent if that is made here; open to everybody if None.
    :param adopt_persistent: whether a persistent node that is there is to be used, and its data written. It is never
        deleted.
    :param writes: how often may be written; without limit if None. Withdrawals are not held up.
    :ivar path: the path.
    :ivar state: how it stands.
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
        #: What was written lately: by that a former session's node is told from a stranger's.
        self._instance: deque[bytes] = deque(maxlen=4)
        self._outcomes: dict[Deferred[RegistrationState], None] = {}
        self._wanted = False
        self._stepping = False
        self._step: Deferred[None] | None = None
        self._taking_away = False
        #: Whether the deletion of our node was asked for: its answer may be lost.
        self._deletion_sent = False
        self._woken = False
        self._written = False
        self._timer = Timer(mirror.reactor, self._wake)
        self._failures = 0
        self._corrections = 0
        self._stable_since = 0.0
        self._session_id = 0
        #: The session in which the node was last reported as registered, unless it was written again since.
        self._reported_session = 0
        #: The persistent node that stands in our node's place, as an error for whoever waits.
        self._persistent: NodeExistsException | None = None
        self._our_sessions: set[int] = set()
        self._said: tuple[str, dict[str, str]] | None = None
        self._registered: dict[Deferred[None], None] = {}
        self._withdrawn: dict[Deferred[None], None] = {}
        self._withdrawing: dict[Deferred[None], None] = {}

    def __repr__(self) -> str:
        return f"<Registration {self.path!r} {self.state.value}>"

    @property
    def wanted(self) -> bool:
        """Whether the node is to be there."""
        return self._wanted

    @property
    def data(self) -> Mapping[str, object] | str | None:
        """The facts for whoever finds the service."""
        return self._data

    def keep(self, data: Mapping[str, object] | str | None) -> Deferred[RegistrationState]:
        """Keep the node in place from now on, and let it say this; whether it was started before or not.

        :returns: fires with :attr:`RegistrationState.REGISTERED` when the node is in place and says it, with
            :attr:`RegistrationState.BLOCKED` when another session's node is there. Fails with
            :exc:`~txmirror.errors.NodeExistsException` if a persistent node is in its place, with any other refusal of
            ZooKeeper's, and with :exc:`~txmirror.errors.ClosingException` when it is withdrawn, or the mirror closed,
            before. After a failure it is tried again all the same, until it is stopped; but not if another registration
            of this session keeps the path, which is a :exc:`~txmirror.errors.NodeExistsException` too, and changes nothing
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
        outcome: Deferred[RegistrationState] = Deferred(lambda cancelled: self._outcomes.pop(cancelled, None))
        self._outcomes[outcome] = None
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
            self._fire_outcomes()
        return outcome

    def start(self) -> None:
        """Begin to keep the node in place. What cannot be done now is done when it can.

        It takes back a :meth:`stop` that is under way, whose Deferred then fires at once. It also takes the node over from
        another registration of the same session that is being stopped.

        :raises NodeExistsException: another registration of the same session keeps this path, on this mirror or on another
            one with the same client or a view of it. The two would overwrite each other without end. Stop that one first.
        """
        if self._wanted:
            return
        self._own_path()
        self._wanted = True
        self._reported_session = 0
        self._fire(self._withdrawn)
        self.state = RegistrationState.PENDING
        self._corrections = self._failures = 0
        node = self._mirror.get(self.path)
        node.addValueWatcher(self, lambda _: self._wake())
        self._mirror.addStateWatcher(self, self._mirror_changed)
        self._mirror.watch_recovery(self, self._mirror_recovered)
        self._wake()

    def stop(self, timeout: float | None = _STOP_TIMEOUT) -> Deferred[None]:
        """Delete the node, and keep it away.

        :param timeout: how many seconds to wait for the deletion; None waits without limit, through an outage too.
        :returns: fires when no node of ours is there any more: at once after its deletion, with the end of the session, or
            when the mirror is closed. After ``timeout`` seconds it fires all the same, and a warning says what becomes of
            the node: it is deleted when ZooKeeper can be reached again, or the end of the session removes it. It never
            fails, and may be called twice. Cancelling ends the wait, not the withdrawal.
        :raises ValueError: ``timeout`` is not a number of seconds; then nothing has changed.
        """
        if timeout is not None and (type(timeout) not in (int, float) or not 0 <= timeout < float("inf")):
            raise ValueError(f"timeout is {timeout!r}: not a number of seconds from 0, or None")
        stopped_before, self._wanted = not self._wanted, False
        if self.state is RegistrationState.WITHDRAWN:
            return succeed(None)
        if self._step is not None and not self._taking_away:
            # A request that still waits to be sent is not, and nobody waits for an answer.
            self._step.cancel()
        if not self._written:
            # Nothing was sent, so that there is nothing to delete, even if a step still waits for an answer.
            self._gone()
            return succeed(None)
        waiter = self._waiter(self._withdrawn)
        if not (stopped_before and self._stepping):
            self._wake()
        if timeout is not None:
            waiter.addTimeout(timeout, self._mirror.reactor, self._stop_timed_out)
        return waiter

    def withdraw(self) -> Deferred[None]:
        """Delete the node, and keep it away, as :meth:`stop` without a timeout does; but say when ZooKeeper refuses that.

        :returns: fires as :meth:`stop` does. Fails with ZooKeeper's refusal, such as
            :exc:`~txmirror.errors.NoAuthException`; it is tried again all the same. Cancelling ends the wait, not the
            withdrawal.
        """

        def stopped(_: None) -> None:
            # It may have been refused, or cancelled.
            if self._withdrawing.pop(waiter, self) is None:
                waiter.callback(None)

        waiter = self._waiter(self._withdrawing)
        self.stop(timeout=None).addCallback(stopped)
        return waiter

    def when_registered(self) -> Deferred[None]:
        """Wait until the node is in place.

        :returns: fires at once if it is. Fails with :exc:`~txmirror.errors.ClosingException` when it is withdrawn, or the
            mirror closed, before it was. Cancelling ends the wait.
        """
        if self.state is RegistrationState.REGISTERED:
            return succeed(None)
        if self._mirror.state is MirrorState.CLOSED:
            return fail(ClosingException(path=self.path, applied=False))
        return self._waiter(self._registered)

    # The path is one registration's at a time.

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
        """Leave the node, which was to be deleted, to another registration of this session that has been started."""
        self._written = False
        self._gone()

    # The loop: woken by the node, by the mirror, and by a timer; one step at a time.

    def _mirror_changed(self, state: MirrorState) -> None:
        if state is MirrorState.CLOSED:
            self._timer.stop()
            self._give_up_waiting()
            self._wake()
        elif state is MirrorState.DISCONNECTED and self.state is not RegistrationState.WITHDRAWN:
            # Without a connection nobody knows what is there.
            self.state = RegistrationState.PENDING

    def _mirror_recovered(self) -> None:
        self._timer.stop()
        self._wake()

    def _wake(self) -> None:
        self._woken = True
        if self._stepping or self.state is RegistrationState.WITHDRAWN:
            return
        # A withdrawal waits for nobody.
        if not self._wanted or self._mirror.steps.has_room(self):
            self._stepping = True
            self._mirror.steps.began()
            self._step = step = Deferred.fromCoroutine(self._steps())
            step.addErrback(self._step_failed)
            step.addBoth(self._stepped)

    def admitted(self) -> None:
        """Take the next step: there is room."""
        self._wake()

    def _step_failed(self, failure: Failure) -> None:
        if isinstance(failure.value, CancelledError) and not self._wanted:
            return
        self._log.failure("{path}: a step failed.", failure, path=self.path)
        assert failure.value is not None
        self._fail_outcomes(failure.value)

    def _stepped(self, _: object) -> None:
        self._stepping = self._taking_away = False
        self._step = None
        self._mirror.steps.ended()
        if self._woken:
            self._wake()

    async def _steps(self) -> None:
        self._woken = False
        if not self._wanted and (not self._written or self._mirror.state is MirrorState.CLOSED):
            self._gone()
            return
        if not self._mirror.recovered:
            # What the nodes show may be of before the disconnection. We are woken when it is not.
            return
        try:
            if self._wanted:
                await self._put_in_place()
            else:
                self._taking_away = True
                await self._take_away()
        except (ConnectionLossException, SessionExpiredException, ClosingException) as error:
            # The mirror recovers, or is closed; either wakes us, and shows what became of a write.
            if not self._mirror.is_lost(error):
                self._say_refused(error)
                self._try_again()
        except (NodeExistsException, BadVersionException, TransactionFailedException):
            # Somebody was faster. The node will show what they did.
            self._try_again()
        except NoNodeException as error:
            # Somebody was faster, unless it is the chroot that is missing.
            if error.path == "/":
                self._refused(error)
            self._try_again()
        except RequestTooLargeException as error:
            if not self._fail_outcomes(error):
                self._say("{path} cannot be registered: {reason}.", reason=str(error))
        except ZooKeeperException as error:
            self._step_refused(error)

    def _step_refused(self, error: ZooKeeperException) -> None:
        if self._taking_away and self._wanted:
            # It was started again meanwhile, and nobody waits for its withdrawal.
            return
        self._refused(error)
        self._try_again()

    async def _put_in_place(self) -> None:
        node = self._mirror.get(self.path)
        session_id = self._mirror.client.session_id
        self._our_sessions.add(session_id)
        try:
            value, stat = await node.value(timeout=None)
        except NoNodeException:
            if self._wanted and self._may_correct() and self._may_write():
                payload = self._write()
                await self._create(node)
                self._in_place(session_id, payload)
            return
        if not self._wanted:
            # It was stopped meanwhile, and may have been handed over.
            return
        if stat.ephemeralOwner == session_id or (stat.ephemeralOwner == 0 and self._adopt_persistent):
            if value == self._payload or self._codec.says(value, self._data):
                self._written = True
                self._in_place(session_id, self._payload)
            elif self._may_correct() and self._may_write():
                payload = self._write()
                await node.set(payload, stat.version)
                self._in_place(session_id, payload)
        elif not self._is_ours(value, stat):
            self._blocked(value, stat)
        elif self._may_write():
            await self._replace()

    async def _create(self, node: Node) -> None:
        try:
            await node.create(self._payload, ephemeral=True, acl=self._acl)
        except NoNodeException:
            await self._mirror.make_path(paths.parent_of(self.path), self._acl)
            await node.create(self._payload, ephemeral=True, acl=self._acl)

    async def _replace(self) -> None:
        """Put our node in the place of a former session's, if that is still what is there."""
        value, stat = await self._mirror.client.get(self.path)
        if self._wanted and self._is_ours(value, stat):
            self._write()
            transaction = ITransactions(self._mirror.client).transaction()
            transaction.delete(self.path, stat.version)
            transaction.create(self.path, self._payload, self._acl, ephemeral=True)
            await transaction.commit()
        # The node will show what is there now.

    async def _take_away(self) -> None:
        # The node is asked for its owner: it may not be readable any more, and then nobody tells of what becomes of it.
        client = self._mirror.urgent
        try:
            stat = await self._stat()
            # It may have been created in a session that began during that step, and is not among those noted.
            ours = stat is not None and stat.ephemeralOwner == client.session_id
            if stat is not None and not ours and stat.ephemeralOwner in self._our_sessions:
                value, stat = await client.get(self.path)
                ours = self._is_ours(value, stat)
            if not self._written:
                # It was handed over meanwhile.
                return
            if stat is not None and ours:
                self._deletion_sent = True
                await self._mirror.delete_urgently(self.path, stat.version)
        except NoNodeException:
            pass
        if not self._wanted and self._deletion_sent:
            self._log.info("Withdrew {path}.", path=self.path)
        self._gone()

    async def _stat(self) -> ZnodeStat | None:
        """Return the node's stat, also that of a node of this session which may not be read."""
        client = self._mirror.urgent
        try:
            return await client.exists(self.path)
        except NoAuthException:
            # Servers from 3.9 on ask for the right to read. Of its own ephemeral nodes a session may know all the same.
            queries: IQueries | None = IQueries(self._mirror.client, None)
            if queries is None or self.path not in await queries.get_ephemerals(self.path):
                raise
        return ZnodeStat(0, 0, 0, 0, -1, 0, 0, client.session_id, 0, 0, 0)

    def _write(self) -> bytes:
        """Give what is to be written, and note that."""
        self._written = True
        self._reported_session = 0
        if self._payload not in self._instance:
            self._instance.append(self._payload)
        return self._payload

    def _is_ours(self, value: bytes, stat: ZnodeStat) -> bool:
        """Tell whether a node was made by this registration, in a session that it had before."""
        former = stat.ephemeralOwner != self._mirror.client.session_id and stat.ephemeralOwner in self._our_sessions
        return former and value in self._instance and ITransactions.providedBy(self._mirror.client)

    def _may_write(self) -> bool:
        """Tell whether it is our turn; if not, we are woken when it is."""
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

    def _try_again(self) -> None:
        self._timer.start(_PAUSE(self._failures))
        self._failures += 1

    # What was found.

    def _may_correct(self) -> bool:
        """Tell whether to write now. What somebody undoes again and again is done ever more slowly."""
        if self.state is not RegistrationState.REGISTERED or self._session_id != self._mirror.client.session_id:
            return not self._timer.running
        now = self._mirror.reactor.seconds()
        if now - self._stable_since >= _STABLE:
            self._corrections = 0
            self._said = None
        self.state = RegistrationState.PENDING
        self._corrections += 1
        if self._corrections == 1:
            return True
        pause = _PAUSE(self._corrections - 2)
        self._say("Somebody keeps changing {path}: it is put back, but ever more slowly.")
        self._timer.start(pause)
        return False

    def _in_place(self, session_id: int, payload: bytes) -> None:
        if payload is not self._payload:
            # It is to say something else meanwhile.
            return
        if self.state in (RegistrationState.REGISTERED, RegistrationState.WITHDRAWN):
            # Withdrawn: it was handed over meanwhile.
            return
        if session_id != self._mirror.client.session_id:
            return
        self.state = RegistrationState.REGISTERED
        self._session_id = session_id
        self._stable_since = self._mirror.reactor.seconds()
        self._failures = 0
        if not self._corrections:
            self._said = None
        if self._reported_session != session_id:
            self._reported_session = session_id
            self._log.info("Registered {path}.", path=self.path)
        self._fire(self._registered)
        self._fire_outcomes()

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
            self._say("{path} is a persistent node: it cannot be registered until somebody deletes it.")
        elif owner in self._our_sessions:
            self._say("{path} is still there from our former session: it is registered anew when that has ended.")
        else:
            self._say(
                "{path} is registered by another session, {owner}, with the data {data}: it is registered here when that"
                " has ended.",
                owner=f"{owner & 0xFFFFFFFFFFFFFFFF:#x}",
                data=_excerpt(value),
            )
        self._fire_outcomes()

    def _refused(self, error: ZooKeeperException) -> None:
        told = self._fail_outcomes(error)
        while self._withdrawing and not self._wanted:
            told = True
            self._withdrawing.popitem()[0].errback(error)
        if not told:
            self._say_refused(error)

    def _say_refused(self, error: ZooKeeperException) -> None:
        what = "registered" if self._wanted else "withdrawn"
        self._say("{path} cannot be {what}: {reason}. It is tried again.", what=what, reason=str(error))

    def _gone(self) -> None:
        if self._wanted:
            # It was started again meanwhile.
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
        self._give_up_waiting()
        self._fire(self._withdrawn)

    def _stop_timed_out(self, result: object, timeout: float) -> None:
        if not isinstance(result, Failure):
            return
        session = self._mirror.client.session_timeout
        if self._mirror.is_connected():
            reason = "the server has not deleted it"
            fate = f"It is tried again; else the node goes with the session, at most {session:g} s after the client is closed"
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

    def _waiter(self, waiters: dict[Deferred[None], None]) -> Deferred[None]:
        waiter: Deferred[None] = Deferred(lambda cancelled: waiters.pop(cancelled, None))
        waiters[waiter] = None
        return waiter

    def _fire(self, waiters: dict[Deferred[None], None]) -> None:
        for waiter in list(waiters):
            # One of those before may have cancelled it.
            if waiters.pop(waiter, self) is None:
                waiter.callback(None)

    def _fire_outcomes(self) -> None:
        """Tell those who wait how it stands, in order, whatever one of them does on that."""
        state, waiting = self.state, self._outcomes
        self._outcomes = {}
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(state)

    def _fail_outcomes(self, error: BaseException) -> bool:
        """Tell those who wait for an outcome; whether there was anybody."""
        waiting, self._outcomes = self._outcomes, {}
        for waiter in waiting:
            if not waiter.called:
                waiter.errback(error)
        return bool(waiting)

    def _give_up_waiting(self) -> None:
        while self._registered:
            self._registered.popitem()[0].errback(ClosingException(path=self.path, applied=False))
        self._fail_outcomes(ClosingException(path=self.path, applied=False))

    def _say(self, format: str, **fields: str) -> None:
        """Warn, once for each new reason; other data of the same node is none."""
        said = (format, {name: text for name, text in fields.items() if name != "data"})
        if said != self._said:
            self._said = said
            self._log.warn(format, path=self.path, **fields)


def _excerpt(data: bytes) -> str:
    text = on_one_line(data[:_EXCERPT].decode(errors="backslashreplace"))
    return f"{text}..." if len(data) > _EXCERPT else text
