"""A double barrier: programs begin together and end together."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.deferreds import follow
from txmirror.durations import check_count, check_seconds
from txmirror.errors import NodeExistsException, NoNodeException, SessionExpiredException, ZooKeeperException
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.kept_node import KeptNode
from txmirror.recipes.place import Place
from txmirror.recipes.retry_policy import RetryPolicy, discard, first_of
from txmirror.types import ACL, EventType, WatchedEvent

_READY = "ready"
_BarrierT = TypeVar("_BarrierT", bound="DoubleBarrier")


class DoubleBarrier:
    """A barrier at which programs wait for each other, at the begin of their common work and at its end.

    Each participant has an ephemeral node below the barrier's. When there are enough, one of them creates the node ``ready``, and
    all enter. All have left when there are no nodes of participants any more. The nodes are named as kazoo's ``DoubleBarrier`` and
    Curator's ``DistributedDoubleBarrier`` name them, so that all can be participants of one::

        barrier = DoubleBarrier(client, "/jobs/17", count=3, name="host1")
        async with barrier:                     # waits until three have entered
            await work()
        # all have left

    A participant stays one through lost connections and expired sessions, until it leaves: in a new session its node is created
    again. (kazoo's waits for ever after a lost connection, and is no participant any more after an expired session.) If a
    program ends, it has left when its session is over. A program that enters when others are inside enters at once.

    :param client: its session holds our node; as for :class:`Barrier`.
    :param path: the barrier's node. If it and those above it are missing, they are created, persistent.
    :param count: the number of participants, the same for all.
    :param name: our name, the data of our node.
    :param acl: the access control list of the nodes that are created here, but for those above ``path``; None opens them to
        everybody. Participants need permission to read, create and delete.
    :param reactor: the reactor; the global one if None.
    :ivar count: the number of participants.
    :ivar name: our name.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``client`` or ``acl`` is of a wrong type, as for :class:`Barrier`, or ``name`` is no ``str``.
    :raises ValueError: ``count`` is no whole number above 0.
    """

    _log = Logger()

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        count: int,
        name: str = "",
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        self._place = Place(client, path, acl, reactor, type(self).__name__)
        self._client = self._place.client
        check_count("the number of participants", count)
        if not isinstance(name, str):
            raise TypeError(f"a name is a str, not {name!r:.60}")
        self.count = count
        self.name = name
        self._node: KeptNode | None = None
        self._entered = False
        self._ready = paths.join(path, _READY)

    def __repr__(self) -> str:
        state = "entered" if self._entered else "outside" if self._node is None else "entering"
        return f"<DoubleBarrier {self._place.describe(self.name)} {state}>"

    @property
    def path(self) -> str:
        """The barrier's node."""
        return self._place.path

    @property
    def entered(self) -> bool:
        """True from the end of :meth:`enter` to the begin of :meth:`leave`."""
        return self._entered

    def enter(self, *, timeout: float | None = None) -> Deferred[bool]:
        """Become a participant, and wait until there are enough.

        It survives lost connections and expired sessions.

        :param timeout: the limit, in seconds; None sets no limit.
        :returns: fires with True when there are enough; with False when the time is over. Fails with
            :exc:`~txmirror.errors.ClosingException` or :exc:`~txmirror.errors.AuthFailedException`, where there will be no session
            any more, and with a server's refusal, such as :exc:`~txmirror.errors.NoAuthException`. Cancelling gives up. In all
            cases but the first, we are no participant, and our node is being deleted.
        :raises RuntimeError: we are a participant already.
        :raises TypeError, ValueError: ``timeout`` is not a finite number of seconds from 0, or None.
        """
        check_seconds("the timeout", timeout, optional=True)
        if self._node is not None:
            raise RuntimeError(f"{self!r} is a participant already: leave first")
        # Those who enter again have a new node: their former one may just be being deleted.
        self._node = node = KeptNode(self._place, uuid.uuid4().hex, self.name.encode())
        node.start()

        def ended(outcome: bool | Failure | None) -> bool | Failure:
            if outcome is True:
                self._entered = True
                return True
            self._node = None
            node.stop().addErrback(self._left_behind, node)
            return outcome if isinstance(outcome, Failure) else False

        entering: Deferred[bool] = self._place.run(lambda: self._enter(node), limit=timeout)
        return self._place.meter.measure("enter", entering.addBoth(ended), not_done=(False,))

    def leave(self, *, timeout: float | None = None) -> Deferred[bool]:
        """Be no participant any more, and wait until all have left.

        :param timeout: the limit, in seconds; None sets no limit.
        :returns: fires with True when there are no participants; with False when the time is over. Fails as :meth:`enter`. Cancelling
            ends the wait. In all cases, we are no participant any more, and our node is being deleted.
        :raises RuntimeError: we have not entered.
        :raises TypeError, ValueError: ``timeout`` is not a finite number of seconds from 0, or None.
        """
        check_seconds("the timeout", timeout, optional=True)
        node = self._node
        if node is None or not self._entered:
            raise RuntimeError(f"{self!r} has not entered")
        self._node, self._entered = None, False
        removed = node.stop().addErrback(self._left_behind, node)
        leaving = self._place.run(lambda: self._leave(removed), limit=timeout)
        return self._place.meter.measure("leave", leaving, not_done=(None,)).addCallback(bool)

    def __aenter__(self: _BarrierT) -> Deferred[_BarrierT]:
        return self.enter().addCallback(lambda _: self)

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.leave().addCallback(lambda _: None)

    def _left_behind(self, failure: Failure, node: KeptNode) -> None:
        if isinstance(failure.value, ZooKeeperException):
            self._log.error(
                "{path}: our node could not be deleted: {reason}. It stays until the session ends.",
                path=node.path,
                reason=str(failure.value),
            )
        else:
            self._log.failure("{path}: our node could not be deleted because of a bug.", failure, path=node.path)

    # Entering.

    async def _enter(self, node: KeptNode) -> bool:
        own = paths.name_of(node.path)
        opened: Deferred[WatchedEvent | None] | None = None
        try:
            while True:
                await node.when_present()
                names, watch = await self._children_and_watch()
                session = self._client.session_id
                try:
                    if opened is not None and await _was_created(opened):
                        # Others may have left again since.
                        return True
                    if opened is None or opened.called:
                        opened = await self._watch_ready()
                    if own in names:
                        if _READY in names and await self._is_open(own, names):
                            return True
                        if len(_participants(names)) >= self.count:
                            await self._open(session, left_behind=_READY in names)
                            continue
                    await first_of([watch, opened])
                finally:
                    discard(watch)
        finally:
            if opened is not None:
                discard(opened)

    async def _children_and_watch(self) -> tuple[list[str], Deferred[WatchedEvent]]:
        while True:
            try:
                return await self._place.retry_policy.send_and_watch(
                    lambda: self._client.get_children_and_watch(self.path)
                )
            except NoNodeException:
                await self._place.create()

    async def _watch_ready(self) -> Deferred[WatchedEvent | None]:
        """Return a watch that fires when ``ready`` is created. Its failure is None."""
        _, watch = await self._place.retry_policy.send_and_watch(lambda: self._client.exists_and_watch(self._ready))
        quiet: Deferred[WatchedEvent | None] = watch.addErrback(lambda _: None)
        return quiet

    async def _is_open(self, own: str, names: list[str]) -> bool:
        """Return whether ``ready`` is of this time: a participant was there before it. Otherwise it was left behind by others,
        whose sessions have all ended.
        """
        ready = await self._place.retry_policy.send(lambda: self._client.exists(self._ready))
        if ready is None:
            return False
        for name in sorted(_participants(names), key=lambda name: name != own):
            path = paths.join(self.path, name)
            stat = await self._place.retry_policy.send(lambda: self._client.exists(path))  # noqa: B023
            if stat is not None and stat.czxid < ready.czxid:
                return True
        return False

    async def _open(self, session: int, *, left_behind: bool) -> None:
        """Create ``ready``, unless our session ends: then our node is gone, the others may be too, and we have to look again.

        :param session: the session in which we have seen enough participants.
        :param left_behind: whether there is one that others have left behind.
        """

        def create() -> Deferred[str]:
            if self._client.session_id != session:
                raise SessionExpiredException(path=self._ready)
            return self._client.create(self._ready, b"", self._place.acl)

        if left_behind:
            with contextlib.suppress(NoNodeException):
                await self._place.retry_policy.send(lambda: self._client.delete(self._ready))
        try:
            await RetryPolicy(self._client, self._place.reactor).send(create)
        except NodeExistsException:
            # Our server may lag behind the leader.
            await self._place.sync()
        except SessionExpiredException:
            pass

    # Leaving.

    async def _leave(self, removed: Deferred[None]) -> bool:
        await follow(removed)
        while True:
            names, watch = await self._children_and_watch()
            try:
                if not _participants(names):
                    if _READY in names:
                        with contextlib.suppress(NoNodeException):
                            await self._place.retry_policy.send(lambda: self._client.delete(self._ready))
                    return True
                await first_of([watch])
            finally:
                discard(watch)


def _participants(names: list[str]) -> list[str]:
    return [name for name in names if name != _READY]


async def _was_created(watch: Deferred[WatchedEvent | None]) -> bool:
    if not watch.called:
        return False
    event = await watch
    return event is not None and event.type is EventType.CREATED
