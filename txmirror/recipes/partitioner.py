"""A set of items that the members of a group share: each item is one member's at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from types import TracebackType
from urllib.parse import quote

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.durations import check_seconds
from txmirror.errors import NoNodeException, PathError, SessionExpiredException, ZooServerProblem
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.election import Election
from txmirror.recipes.members import Members
from txmirror.recipes.meter import SILENT
from txmirror.recipes.place import Place
from txmirror.recipes.retry_policy import discard
from txmirror.recipes.share import ClaimedItem, Job
from txmirror.rendezvous import hash_text, mix
from txmirror.types import ACL

#: So many scores are compared in one turn of the reactor.
_SCORES_IN_A_TURN = 8_000
#: So many items are claimed or given up in one turn.
_CLAIMS_IN_A_TURN = 25


class Partitioner:
    """A member of a group that shares a set of items. Few items move when members come and go.

    ::

        async def follow(share):
            try:
                await feeds.follow(share.item, token=share.token)     # until it is cancelled
            finally:
                await feeds.save(share.item)

        partitioner = Partitioner(client, "/feeds", ["a", "b", "c"], follow, name="host1")
        await partitioner.start()
        ...
        await partitioner.stop()

    The job runs for each item that we hold. When another member shall have it, the job's Deferred is cancelled, and the item is given
    up only when that has ended: two members never hold an item at once. Each item is an :class:`Election`, by a :class:`Lock` below
    the path. If the connection is lost, the job is cancelled in time: it has a third of the session timeout for its end, before
    another can hold the item. A job that may take longer needs the share's fencing token. A job that ends by itself, or
    fails, which is logged, keeps its share.

    The member with the highest score for an item has it (rendezvous hashing): a member that goes leaves its items to all others, one
    that comes takes some of each, and no other item moves. Shares are of about the same size, where there are many more items than
    members. All members need the same items; an item that the chosen member does not have is nobody's. (kazoo's
    ``SetPartitioner`` makes all members give up all items at each change. It has other nodes.)

    :param client: its session holds our nodes: a client, or a :class:`~txmirror.mirror.Mirror` with one. It is connected when it is
        first needed, unless that was begun before.
    :param path: the group's node, with nodes ``members`` and ``items``. If it and those above it are missing, they are created,
        persistent.
    :param items: the items.
    :param job: called with a :class:`Share`, for each item that we hold. It is cancelled once.
    :param name: our unique name; a random one if it is empty. With the same name after a restart we get the same items.
    :param delay: the changes of members during so many seconds are taken notice of together.
    :param acl: the access control list of our nodes, and of ``members`` and those of the items if they are created here; nodes above
        them are open to everybody, and so are all if it is None.
    :param reactor: the reactor; the global one if None.
    :raises PathError: ``path`` is no znode path, or the root; ``name`` or an item cannot be the name of a node.
    :raises TypeError: ``client``, ``items``, ``job``, ``name``, ``delay`` or ``acl`` is of a wrong type.
    :raises ValueError: ``delay`` is not a finite number of seconds from 0.
    """

    _log = Logger()

    # More than 7 parameters: those of all recipes, and four of its own, two of which are optional.
    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        items: Iterable[str],
        job: Job,
        *,
        name: str = "",
        delay: float = 1.0,
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        self._place = Place(client, path, acl, reactor, type(self).__name__)
        if not callable(job):
            raise TypeError(f"only a function can work on a share, not {job!r:.60}")
        check_seconds("the delay", delay)
        if name == "":
            name = uuid.uuid4().hex
        self._members = Members(client, paths.join(path, "members"), name, acl=acl, reactor=self._place.reactor)
        self._members.measure_as(SILENT)
        locks = _locks(items, path)
        self._job = job
        self._delay = delay
        self._elections = {
            item: Election(client, lock, name=name, acl=acl, reactor=self._place.reactor)
            for item, lock in locks.items()
        }
        for election in self._elections.values():
            election.measure_as(self._place.meter)
        self._claims: dict[str, ClaimedItem] = {}
        self._wanted: frozenset[str] = frozenset()
        self._following: Deferred[None] | None = None
        self._started = self._stopping = False
        self._stopped: Waiters[None] = Waiters()
        self._changes: Waiters[None] = Waiters()

    def __repr__(self) -> str:
        return (
            f"<Partitioner {self._place.describe(self.name)} with {len(self.shares)} of {len(self._elections)} items>"
        )

    @property
    def path(self) -> str:
        """The group's node."""
        return self._place.path

    @property
    def name(self) -> str:
        """Our name."""
        return self._members.name

    @property
    def items(self) -> tuple[str, ...]:
        """The items."""
        return tuple(self._elections)

    @property
    def shares(self) -> frozenset[str]:
        """The items that we hold at this moment, and that is safe to rely on; without those whose job has ended after it was cancelled."""
        return frozenset(item for item, claim in self._claims.items() if claim.held)

    def start(self) -> Deferred[None]:
        """Become a member, and hold our share, until :meth:`stop`, through lost connections and expired sessions.

        :returns: fires when we are a member; the first items come after ``delay``. Fails as :meth:`Members.join`, and then it is
            stopped. Cancelling stops it.
        :raises RuntimeError: it is started already, or not quite stopped.
        """
        if self._started:
            raise RuntimeError(f"{self!r} is started already")
        self._started = True

        def failed(failure: Failure) -> Failure:
            self.stop()
            return failure

        return self._place.meter.measure("start", self._members.join().addCallbacks(self._begin, failed))

    def stop(self) -> Deferred[None]:
        """Cancel the jobs, give up the items when they have ended, and be no member any more.

        :returns: fires when all jobs have ended, and none of our nodes can exist any more; at once if it is not started. It never fails:
            a server's refusal is logged. Cancelling ends the wait, and nothing else.
        """
        if not self._started:
            return succeed(None)
        waiter = self._stopped.wait()
        if not self._stopping:
            self._stopping = True
            Deferred.fromCoroutine(self._stop()).addBoth(self._end)
        return waiter

    def changes(self) -> ShareChanges:
        """Return an asynchronous iterator for ``async for`` over :attr:`shares`: the present ones, and then each new set.

        A loop whose body takes longer than the next change gets the latest, and misses those between. It ends when the partitioner is
        stopped.
        """
        return ShareChanges(self)

    def __aenter__(self) -> Deferred[Partitioner]:
        return self.start().addCallback(lambda _: self)

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.stop()

    def _begin(self, _: None) -> None:
        if not self._stopping:
            self._following = self._place.run(self._follow)
            self._following.addBoth(self._followed)

    def _followed(self, outcome: Failure | None) -> None:
        self._following = None
        if isinstance(outcome, Failure) and not self._stopping:
            if not isinstance(outcome.value, ZooServerProblem):
                self._log.failure("{path}: the items are not shared any more.", outcome, path=self.path)
            # There will be no session any more.
            self.stop()

    async def _follow(self) -> None:
        """Follow the members, and claim our share."""
        path, client, policy = self._members.path, self._place.client, self._place.retry_policy
        while True:
            await self._place.retry_policy.pause_for(self._delay)
            try:
                names, watch = await policy.send_and_watch(lambda: client.get_children_and_watch(path))
            except NoNodeException:
                # Our node is created again soon.
                await self._place.retry_policy.pause_for(1.0)
                continue
            try:
                self._wanted = await self._share(names)
                await self._apply()
            except BaseException:
                discard(watch)
                raise
            try:
                await watch
            except SessionExpiredException:
                # It fails at once if there will be no session any more.
                await self._place.sync()
            except ZooServerProblem as error:
                if error.session_over:
                    raise

    async def _share(self, names: Sequence[str]) -> frozenset[str]:
        """Return our share of the items among these members; nothing if we are none of them."""
        if self.name not in names:
            return frozenset()
        candidates = [(hash_text(name), name) for name in names]
        ours, compared = [], 0
        for item in self._elections:
            key = hash_text(item)
            if max([(mix(number ^ key), name) for number, name in candidates])[1] == self.name:
                ours.append(item)
            compared += len(candidates)
            if compared > _SCORES_IN_A_TURN:
                compared = 0
                await self._place.retry_policy.pause_for(0.0)
        return frozenset(ours)

    async def _apply(self) -> None:
        """Claim the items that are ours now, and stop those that are not any more."""
        changes = [item for item in self._claims if item not in self._wanted]
        changes += sorted(self._wanted.difference(self._claims))
        for number, item in enumerate(changes, 1):
            if item in self._wanted:
                self._claim(item)
            elif item in self._claims:
                self._claims[item].stop()
            if number % _CLAIMS_IN_A_TURN == 0:
                await self._place.retry_policy.pause_for(0.0)

    def _claim(self, item: str) -> None:
        if item in self._claims:
            return

        def ended(_: object) -> None:
            del self._claims[item]
            if claim.stopping and item in self._wanted:
                # It is ours again since it was given up.
                self._claim(item)
            self._changed()

        claim = ClaimedItem(self._place, item, self._elections[item], self._job, self._changed)
        self._claims[item] = claim
        claim.run().addCallback(ended)

    def _changed(self) -> None:
        self._changes.fire(None)

    async def _stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
        self._wanted = frozenset()
        # A failure is logged there.
        left = self._members.leave().addErrback(lambda _: None)
        await self._apply()
        while self._claims:
            await self._changes.wait()
        await left

    def _end(self, outcome: object) -> None:
        if isinstance(outcome, Failure):
            self._log.failure("{path}: the partitioner did not stop in order.", outcome, path=self.path)
        self._started = self._stopping = False
        self._stopped.fire(None)
        self._changed()


class ShareChanges:
    """One iteration over the shares of a partitioner: at most one change waits for the program.

    :param partitioner: the partitioner.
    """

    def __init__(self, partitioner: Partitioner) -> None:
        self._partitioner = partitioner
        self._latest: frozenset[str] | None = None

    def __aiter__(self) -> ShareChanges:
        return self

    def __anext__(self) -> Deferred[frozenset[str]]:
        """Wait for the next set. Cancelling ends the wait alone."""
        return Deferred.fromCoroutine(self._next()).addCallback(_or_end)

    async def _next(self) -> frozenset[str] | None:
        while self._partitioner._started:
            shares = self._partitioner.shares
            if shares != self._latest:
                self._latest = shares
                return shares
            await self._partitioner._changes.wait()
        return None


def _or_end(shares: frozenset[str] | None) -> frozenset[str]:
    if shares is None:
        # A coroutine must not raise it.
        raise StopAsyncIteration
    return shares


def _locks(items: Iterable[str], path: str) -> dict[str, str]:
    """Return the path of the lock of each item."""
    if isinstance(items, (str, bytes)):
        raise TypeError(f"the items are several texts, not {items!r:.60}")
    locks = {}
    for item in items:
        if not isinstance(item, str):
            raise TypeError(f"an item is a str, not {item!r:.60}")
        name = quote(item, safe="")
        if name in ("", ".", ".."):
            raise PathError(f"{item!r} cannot be an item: it cannot be the name of a node")
        locks[item] = paths.join(path, f"items/{name}")
    return locks
