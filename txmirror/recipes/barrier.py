"""A barrier: programs wait until it is removed."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.durations import check_seconds
from txmirror.errors import NoNodeException, ZooKeeperException, ZooServerProblem
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.place import Place
from txmirror.recipes.retry_policy import discard
from txmirror.types import ACL


class Barrier:
    """A barrier that programs anywhere wait at, as long as its node exists. kazoo's ``Barrier`` and Curator's
    ``DistributedBarrier`` are that too.

    ::

        barrier = Barrier(client, "/maintenance")
        await barrier.create()
        ...
        await barrier.remove()                  # all that wait() go on

    :param client: a client, or a :class:`~txmirror.mirror.Mirror` with one. It is connected when it is first needed, unless that
        was begun before.
    :param path: the barrier's node, which is persistent. Those above it are created with it, if they are missing.
    :param acl: the access control list of the node; nodes above it are open to everybody, and so is it if this is None.
    :param reactor: the reactor; the global one if None.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``client`` is neither, or ``acl`` holds anything else than :class:`~txmirror.types.ACL`.
    """

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        self._place = Place(client, path, acl, reactor, type(self).__name__)
        self._client = self._place.client

    def __repr__(self) -> str:
        return f"<Barrier {self._place.describe()}>"

    @property
    def path(self) -> str:
        """The barrier's node."""
        return self._place.path

    def create(self) -> Deferred[None]:
        """Put the barrier in place, unless it is there.

        :returns: fires when it is there. It survives lost connections and expired sessions. Fails with
            :exc:`~txmirror.errors.ClosingException` or :exc:`~txmirror.errors.AuthFailedException`, where there will be no session
            any more, and with a server's refusal, such as :exc:`~txmirror.errors.NoAuthException`. Cancelling ends the wait; it may
            have been created.
        """
        return self._place.meter.measure("create", self._place.run(self._place.create))

    def remove(self) -> Deferred[bool]:
        """Remove the barrier.

        :returns: fires with True when it is removed; with False if there was none. If a reply was lost, it is True also if another has
            removed it meanwhile. Fails as :meth:`create`, or with :exc:`~txmirror.errors.NotEmptyException` if there are nodes
            below it. Cancelling ends the wait; it may have been removed.
        """
        return self._place.meter.measure("remove", self._place.run(self._remove), not_done=(False,))

    def wait(self, *, timeout: float | None = None) -> Deferred[bool]:
        """Wait until there is no barrier.

        It survives lost connections and expired sessions. (kazoo's waits for ever after a lost connection.)

        :param timeout: the limit, in seconds; None sets no limit.
        :returns: fires with True at a moment without a barrier; with False when the time is over. Fails as :meth:`create`. Cancelling
            ends the wait.
        :raises TypeError, ValueError: ``timeout`` is not a finite number of seconds from 0, or None.
        """
        check_seconds("the timeout", timeout, optional=True)
        waiting = self._place.run(self._wait, limit=timeout)
        return self._place.meter.measure("wait", waiting, not_done=(None,)).addCallback(bool)

    async def _remove(self) -> bool:
        failures = 0
        doubtful = False
        while True:
            try:
                await self._client.delete(self.path)
                return True
            except NoNodeException:
                return doubtful
            except ZooServerProblem as error:
                doubtful = doubtful or error.applied is not False
                failures += 1
                await self._place.retry_policy.retry(error, failures)

    async def _wait(self) -> bool:
        # Our server may not have seen yet that another has created it.
        await self._place.sync()
        while True:
            try:
                _, watch = await self._place.retry_policy.send_and_watch(lambda: self._client.get_and_watch(self.path))
            except NoNodeException:
                return True
            try:
                await watch
            except ZooKeeperException:
                # The session has expired, or the watch could not be set again: look.
                pass
            finally:
                discard(watch)
