"""One registration: an ephemeral node that is kept in place.

It does not replay what was once done, but compares what is there with what should be, whenever something happens, and
takes one step. So it does not matter why the node is not as it should be: the session has ended, somebody deleted it or
wrote over it, or a reply was lost.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from txmirror import paths
from txmirror.errors import (
    BadVersionException,
    ClosingException,
    ConnectionLossException,
    NodeExistsException,
    NoNodeException,
    PathError,
    RequestTooLargeException,
    SessionExpiredException,
    ZooKeeperException,
)
from txmirror.mirror import Mirror, MirrorState
from txmirror.registry.payload import encode_payload
from txmirror.timers import Timer
from txmirror.types import ZnodeStat

#: The pauses before a step that has failed is tried again, or what somebody keeps undoing is done again, in seconds.
_PAUSE = backoffPolicy(initialDelay=0.5, maxDelay=60.0, factor=2.0, jitter=lambda: 0.0)
#: After so many seconds in place, the pauses start anew.
_STABLE = 60.0


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

    A node that is there already is adopted if our session owns it. If another session does, be it one that this program
    had before, it is waited for until that one has ended. A persistent one is an error, and stays untouched.

    :param mirror: where. It is neither started nor closed here.
    :param path: the full path, its last part the server, as in ``/services/ssh/server1:22``. Nodes above it that are
        missing are made, persistent and open to everybody.
    :param data: facts for whoever finds it; stored as JSON, with ``pid`` and ``created`` added.
    :ivar path: the path.
    :ivar state: how it stands.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``data`` cannot be stored as JSON.
    :raises ValueError: likewise.
    """

    _log = Logger()

    def __init__(self, mirror: Mirror, path: str, data: Mapping[str, object] | str | None = None) -> None:
        self.path = paths.validate(path)
        if path == "/":
            raise PathError("'/' cannot be registered: it always exists")
        self.state = RegistrationState.WITHDRAWN
        self._mirror = mirror
        self._payload = encode_payload(data, pid=os.getpid(), created=mirror.clock.seconds())
        self._wanted = False
        self._stepping = False
        self._woken = False
        self._written = False
        self._timer = Timer(mirror.clock, self._wake)
        self._failures = 0
        self._corrections = 0
        self._stable_since = 0.0
        self._session_id = 0
        self._our_sessions: set[int] = set()
        self._said: tuple[str, dict[str, str]] | None = None
        self._registered: dict[Deferred[None], None] = {}
        self._withdrawn: dict[Deferred[None], None] = {}

    def __repr__(self) -> str:
        return f"<Registration {self.path!r} {self.state.value}>"

    def start(self) -> None:
        """Begin to keep the node in place. It never fails: what cannot be done now is done when it can.

        It takes back a :meth:`stop` that is under way, whose Deferred then fires at once.
        """
        if self._wanted:
            return
        self._wanted = True
        self._fire(self._withdrawn)
        self.state = RegistrationState.PENDING
        self._corrections = self._failures = 0
        node = self._mirror.get(self.path)
        node.addValueWatcher(self, lambda _: self._wake())
        self._mirror.addStateWatcher(self, self._mirror_changed)
        self._wake()

    def stop(self) -> Deferred[None]:
        """Take the node away, and keep it away.

        :returns: fires when no node of ours is there any more: at once after its deletion, with the end of the session, or
            when the mirror is closed. It waits out a disconnection, never fails, and may be called twice. Cancelling
            ends the wait, not the withdrawal.
        """
        self._wanted = False
        if self.state is RegistrationState.WITHDRAWN:
            return succeed(None)
        waiter = self._waiter(self._withdrawn)
        self._wake()
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

    # The loop: woken by the node, by the mirror, and by a timer; one step at a time.

    def _mirror_changed(self, state: MirrorState) -> None:
        if state in (MirrorState.SETTLED, MirrorState.CLOSED):
            self._timer.stop()
            if state is MirrorState.CLOSED:
                self._give_up_waiting()
            self._wake()
        elif state is MirrorState.DISCONNECTED and self.state is RegistrationState.REGISTERED:
            self.state = RegistrationState.PENDING

    def _wake(self) -> None:
        self._woken = True
        if not self._stepping and self.state is not RegistrationState.WITHDRAWN:
            self._stepping = True
            step = Deferred.fromCoroutine(self._steps())
            step.addErrback(lambda failure: self._log.failure("{path}: a step failed.", failure, path=self.path))
            step.addBoth(self._stepped)

    def _stepped(self, _: object) -> None:
        self._stepping = False
        if self._woken:
            self._wake()

    async def _steps(self) -> None:
        self._woken = False
        if not self._wanted and (not self._written or self._mirror.state is MirrorState.CLOSED):
            self._gone()
            return
        if self._mirror.state is not MirrorState.SETTLED:
            # What the nodes show may be of before the disconnection. The state watcher wakes us when it is not.
            return
        try:
            if self._wanted:
                await self._put_in_place()
            else:
                await self._take_away()
        except (ConnectionLossException, SessionExpiredException, ClosingException):
            # The mirror settles again, or is closed; either wakes us, and shows what became of a write.
            pass
        except (NodeExistsException, BadVersionException):
            # Somebody was faster. The node will show what they did.
            self._try_again()
        except NoNodeException as error:
            # Somebody was faster, unless it is the chroot that is missing.
            if error.path == "/":
                self._say("{path} cannot be registered: {reason}. It is tried again.", reason=str(error))
            self._try_again()
        except RequestTooLargeException as error:
            self._say("{path} cannot be registered: {reason}.", reason=str(error))
        except ZooKeeperException as error:
            self._say("{path} cannot be registered: {reason}. It is tried again.", reason=str(error))
            self._try_again()

    async def _put_in_place(self) -> None:
        node = self._mirror.get(self.path)
        session_id = self._mirror.client.session_id
        self._our_sessions.add(session_id)
        try:
            value, stat = await node.value(timeout=None)
        except NoNodeException:
            if self._may_correct():
                self._written = True
                await node.create(self._payload, ephemeral=True, makepath=True)
                self._in_place(session_id)
            return
        if stat.ephemeralOwner != session_id:
            self._blocked(stat)
        elif value == self._payload:
            self._written = True
            self._in_place(session_id)
        elif self._may_correct():
            self._written = True
            await node.set(self._payload, stat.version)
            self._in_place(session_id)

    async def _take_away(self) -> None:
        node = self._mirror.get(self.path)
        try:
            _, stat = await node.value(timeout=None)
            if stat.ephemeralOwner == self._mirror.client.session_id:
                await node.delete(stat.version)
        except NoNodeException:
            pass
        if not self._wanted:
            self._log.info("Withdrew {path}.", path=self.path)
        self._gone()

    def _try_again(self) -> None:
        self._timer.start(_PAUSE(self._failures))
        self._failures += 1

    # What was found.

    def _may_correct(self) -> bool:
        """Tell whether to write now. What somebody undoes again and again is done ever more slowly."""
        if self.state is not RegistrationState.REGISTERED or self._session_id != self._mirror.client.session_id:
            return not self._timer.running
        now = self._mirror.clock.seconds()
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

    def _in_place(self, session_id: int) -> None:
        if self.state is RegistrationState.REGISTERED or session_id != self._mirror.client.session_id:
            return
        self.state = RegistrationState.REGISTERED
        self._session_id = session_id
        self._stable_since = self._mirror.clock.seconds()
        self._failures = 0
        if not self._corrections:
            self._said = None
        self._log.info("Registered {path}.", path=self.path)
        self._fire(self._registered)

    def _blocked(self, stat: ZnodeStat) -> None:
        self.state = RegistrationState.BLOCKED
        owner = stat.ephemeralOwner
        if owner == 0:
            self._say("{path} is a persistent node: it cannot be registered until somebody deletes it.")
        elif owner in self._our_sessions:
            self._say("{path} is still there from our former session: it is registered anew when that has ended.")
        else:
            self._say(
                "{path} is registered by another session, {owner}: it is registered here when that has ended.",
                owner=f"{owner & 0xFFFFFFFFFFFFFFFF:#x}",
            )

    def _gone(self) -> None:
        if self._wanted:
            # It was started again meanwhile.
            self._woken = True
            return
        self.state = RegistrationState.WITHDRAWN
        self._written = False
        self._timer.stop()
        self._mirror.get(self.path).delValueWatcher(self)
        self._mirror.delStateWatcher(self)
        self._give_up_waiting()
        self._fire(self._withdrawn)

    def _waiter(self, waiters: dict[Deferred[None], None]) -> Deferred[None]:
        waiter: Deferred[None] = Deferred(lambda cancelled: waiters.pop(cancelled, None))
        waiters[waiter] = None
        return waiter

    def _fire(self, waiters: dict[Deferred[None], None]) -> None:
        while waiters:
            waiters.popitem()[0].callback(None)

    def _give_up_waiting(self) -> None:
        while self._registered:
            self._registered.popitem()[0].errback(ClosingException(path=self.path, applied=False))

    def _say(self, format: str, **fields: str) -> None:
        """Warn, once for each new reason."""
        said = (format, fields)
        if said != self._said:
            self._said = said
            self._log.warn(format, path=self.path, **fields)
