"""An ephemeral node that exists as long as it is wanted: in each session of ours, one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.errors import (
    BadVersionException,
    NodeExistsException,
    NoNodeException,
    SessionExpiredException,
    ZooKeeperException,
    ZooServerProblem,
)
from txmirror.interfaces import urgent_client
from txmirror.printable import session_name
from txmirror.recipes.place import Place
from txmirror.recipes.retry_policy import discard
from txmirror.types import WatchedEvent, ZnodeStat

#: A node that is gone sooner than this after its creation is created again after a pause, in seconds.
_SOON = 5.0


class KeptNode:
    """An ephemeral node that is created again when it is gone, in the next session too.

    If the node exists and belongs to another session, it waits until that is gone. A node of a former session of ours is replaced.

    :param place: the recipe's client; the node's parent is its path.
    :param name: the name of the node.
    :param data: its data.
    :ivar present: whether it was there in our session when we looked last.
    """

    _log = Logger()

    def __init__(self, place: Place, name: str, data: bytes) -> None:
        self.path: str = paths.join(place.path, name)
        self.present: bool = False
        self._place = place
        self._client = place.client
        self._data = data
        #: Our sessions that may have created it.
        self._sessions: set[int] = set()
        self._work: Deferred[None] | None = None
        self._failure: Failure | None = None
        self._present_waiters: Waiters[Any] = Waiters()
        #: How often in a row it was refused, or gone soon.
        self._troubles = 0
        self._warned = False
        #: Called when it is there no more, for metrics.
        self._hold_ended: Callable[[bool], None] | None = None

    def start(self) -> None:
        """Begin to keep the node."""
        self._work = work = self._place.run(self._keep)
        work.addBoth(self._ended)

    def when_present(self) -> Deferred[None]:
        """Wait until the node is there.

        :returns: fires at once if it is there. Fails if a server refuses to create it, or there will be no session any more; then it is
            not kept any more. Cancelling ends the wait.
        """
        if self._failure is not None:
            return fail(self._failure)
        return succeed(None) if self.present else self._present_waiters.wait()

    def stop(self) -> Deferred[None]:
        """Stop keeping the node, and delete it.

        :returns: fires when it is deleted, or its session is over. Fails with a server's refusal.
        """
        self._note_absent(lost=False)
        if self._work is not None:
            self._work.cancel()
        return Deferred.fromCoroutine(self._remove())

    def _ended(self, outcome: Failure | None) -> None:
        self._work = None
        self._note_absent(lost=True)
        if isinstance(outcome, Failure):
            self._failure = outcome
            self._present_waiters.fire(outcome)
            if not isinstance(outcome.value, (ZooKeeperException, CancelledError)):
                self._log.failure("{path}: our node is not kept any more because of a bug.", outcome, path=self.path)

    async def _keep(self) -> None:
        kept = False
        while True:
            try:
                watch = await self._ensure()
            except ZooKeeperException as error:
                # The first failure is for those who wait. Later ones can pass.
                if not kept or (isinstance(error, ZooServerProblem) and error.session_over):
                    raise
                self._log.warn(
                    "{path}: our node cannot be created again: {reason}. Retrying.", path=self.path, reason=str(error)
                )
                await self._pause()
                continue
            kept = True
            since = self._place.reactor.seconds()
            self.present = True
            self._hold_ended = self._place.meter.hold()
            self._present_waiters.fire(None)
            expired = False
            try:
                await watch
            except ZooKeeperException as error:
                # Without a session there is nothing to look at. Otherwise the watch could not be set again: look.
                expired = isinstance(error, SessionExpiredException)
                if not expired and isinstance(error, ZooServerProblem) and error.session_over:
                    raise
            finally:
                self._note_absent(lost=True)
            if not expired and self._place.reactor.seconds() - since < _SOON:
                await self._pause()
            else:
                self._troubles = 0

    def _note_absent(self, *, lost: bool) -> None:
        self.present = False
        ended, self._hold_ended = self._hold_ended, None
        if ended is not None:
            ended(lost)

    async def _pause(self) -> None:
        """Pause, longer each time."""
        self._troubles += 1
        await self._place.retry_policy.pause(self._troubles + 1)

    async def _ensure(self) -> Deferred[WatchedEvent]:
        """Return a watch on the node, once it exists in our session."""
        failures = 0
        while True:
            try:
                (_, stat), watch = await self._place.retry_policy.send_and_watch(
                    lambda: self._client.get_and_watch(self.path)
                )
            except NoNodeException:
                pass
            else:
                if stat.ephemeralOwner == self._client.session_id:
                    self._warned = False
                    return watch
                await self._until_gone(stat, watch)
                continue
            self._sessions.add(self._client.session_id)
            try:
                await self._client.create(self.path, self._data, self._place.acl, ephemeral=True)
            except NoNodeException:
                await self._place.create()
            except NodeExistsException:
                # Our server may lag behind the leader.
                await self._place.sync()
            except ZooServerProblem as error:
                failures += 1
                await self._place.retry_policy.retry(error, failures)

    async def _until_gone(self, stat: ZnodeStat, watch: Deferred[WatchedEvent]) -> None:
        """Delete the node if it is of a former session of ours; otherwise wait until it changes.

        :raises NodeExistsException: it is persistent.
        """
        try:
            if stat.ephemeralOwner in self._sessions:
                await self._delete(stat)
                return
            if not stat.ephemeralOwner:
                raise NodeExistsException(f"{self.path!r} is a persistent node: it cannot be kept", path=self.path)
            if not self._warned:
                self._warned = True
                self._log.warn(
                    "{path} belongs to session {session}; waiting until it is gone.",
                    path=self.path,
                    session=session_name(stat.ephemeralOwner),
                )
            try:
                await watch
            except ZooServerProblem as error:
                await self._place.retry_policy.retry(error, 1)
        finally:
            discard(watch)

    async def _delete(self, stat: ZnodeStat) -> None:
        client = urgent_client(self._client)
        try:
            await client.delete(self.path, stat.version)
        except (NoNodeException, BadVersionException):
            pass
        except ZooServerProblem as error:
            await self._place.retry_policy.retry(error, 1)

    async def _remove(self) -> None:
        """Delete the node if it is of a session of ours. Retry until that is done or the client is closed."""
        if not self._sessions:
            return
        client = urgent_client(self._client)
        try:
            while True:
                # A create that was abandoned may still be on its way through another server.
                await self._place.retry_policy.send(lambda: client.sync(self.path))
                _, stat = await self._place.retry_policy.send(lambda: client.get(self.path))
                if stat.ephemeralOwner not in self._sessions:
                    return
                await self._delete(stat)
        except NoNodeException:
            pass
        except ZooServerProblem as error:
            if not error.session_over:
                raise
