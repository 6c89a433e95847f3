"""The reads of one client in a storm."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred

from txmirror.errors import NoNodeException, ZooKeeperException
from txmirror.testing.history import Absent, Answer, Children, Exists, Get, Names, Operation, Sync
from txmirror.testing.history import Shown as Answered
from txmirror.testing.storm.parts import PATHS, Scene
from txmirror.testing.storm.replies import Replies
from txmirror.testing.storm.truth import Shown
from txmirror.testing.storm.watching import WatchChecks, WatchSubject
from txmirror.types import WatchedEvent, ZnodeStat

_MOST_WATCHES = 100


class Reads:
    """The reads of a client: each must show the state as of the zxid of its reply.

    :param scene: the world.
    :param replies: the operations of the client.
    :param watches: the watches of the client.
    """

    def __init__(self, scene: Scene, replies: Replies, watches: WatchChecks) -> None:
        self._truth = scene.truth
        self._replies = replies
        self._watches = watches

    def act(self, random: Random) -> None:
        """Begin one read."""
        path = random.choice(PATHS)
        watched = random.random() < 0.4 and self._watches.count < _MOST_WATCHES
        random.choice((self._get, self._get, self._exists, self._get_children))(path, watched)

    def _get(self, path: str, watched: bool) -> None:
        operation = self._replies.begin(Get(path, watched))
        watch: Deferred[WatchedEvent] | None = None
        if watched:
            answer, watch = self._replies.client.get_and_watch(path)
        else:
            answer = self._replies.client.get(path)

        def check(result: tuple[bytes, ZnodeStat]) -> tuple[int, Answer]:
            zxid = self._watches.saw(operation, path, _shown(*result), watch, WatchSubject.DATA)
            return zxid, _answer(result[0].decode(), result[1])

        def missing() -> int:
            return self._watches.saw(operation, path, None, None, WatchSubject.DATA)

        self._replies.wait(answer, operation, check, [], missing)
        self._watches.expect(watch)

    def _exists(self, path: str, watched: bool) -> None:
        operation = self._replies.begin(Exists(path, watched))
        watch: Deferred[WatchedEvent] | None = None
        if watched:
            answer, watch = self._replies.client.exists_and_watch(path)
        else:
            answer = self._replies.client.exists(path)

        def check(stat: ZnodeStat | None) -> tuple[int, Answer]:
            if stat is None:
                return self._watches.saw(operation, path, None, watch, WatchSubject.EXISTENCE), Absent()
            # The reply does not contain the data.
            there = self._truth.at(path, self._replies.zxid())
            data = b"" if there is None else there.data
            zxid = self._watches.saw(operation, path, _shown(data, stat), watch, WatchSubject.DATA)
            return zxid, _answer(None, stat)

        self._replies.wait(answer, operation, check, [])
        self._watches.expect(watch)

    def _get_children(self, path: str, watched: bool) -> None:
        operation = self._replies.begin(Children(path, watched))
        watch: Deferred[WatchedEvent] | None = None
        if watched:
            answer, watch = self._replies.client.get_children_and_watch(path)
        else:
            answer = self._replies.client.get_children(path)

        def check(names: list[str]) -> tuple[int, Answer]:
            zxid = self._watches.saw(operation, path, tuple(sorted(names)), watch, WatchSubject.CHILDREN)
            return zxid, Names(frozenset(names))

        def missing() -> int:
            return self._watches.saw(operation, path, None, None, WatchSubject.DATA)

        self._replies.wait(answer, operation, check, [], missing)
        self._watches.expect(watch)

    def batch(self, random: Random) -> None:
        """Read several nodes in one request."""
        paths = random.sample(PATHS, 3)
        operations = [self._replies.begin(Get(path)) for path in paths]

        def check(results: list[tuple[bytes, ZnodeStat] | ZooKeeperException]) -> tuple[int, Answer | None]:
            answers = list(map(self._read_one, operations, results))
            zxid = self._replies.zxid()
            for operation, answer in zip(operations[1:], answers[1:], strict=True):
                self._replies.end(operation, zxid, answer)
            return zxid, answers[0]

        self._replies.wait(self._replies.client.get_many(paths), operations[0], check, [])

    def _read_one(self, operation: Operation, result: tuple[bytes, ZnodeStat] | ZooKeeperException) -> Answer | None:
        """Check one of several results."""
        assert isinstance(operation.call, Get)
        path = operation.call.path
        if isinstance(result, tuple):
            self._watches.saw(operation, path, _shown(*result), None, WatchSubject.DATA)
            return _answer(result[0].decode(), result[1])
        if isinstance(result, NoNodeException):
            self._watches.saw(operation, path, None, None, WatchSubject.DATA)
            return Absent()
        return None

    def sync(self, random: Random) -> None:
        """Read behind a sync: the read must show all that was done before."""
        path = random.choice(PATHS)
        operation = self._replies.begin(Sync(path))
        generation, zxid = self._truth.generation, self._truth.zxid

        def check(_: str) -> tuple[int, None]:
            now = self._replies.zxid()
            late = generation == self._truth.generation and now < zxid
            self._replies.check_that(not late, f"#{operation.number} ends at {now:#x}, and began at {zxid:#x}")
            self._replies.note_zxid(operation, now)
            return now, None

        self._replies.wait(self._replies.client.sync(path), operation, check, [])
        self._get(path, False)


def _shown(data: bytes, stat: ZnodeStat) -> Shown:
    return Shown(data, stat.czxid, stat.mzxid, stat.version, stat.ephemeralOwner)


def _answer(data: str | None, stat: ZnodeStat) -> Answered:
    return Answered(stat.mzxid, data, stat.czxid, stat.version, stat.ephemeralOwner)
