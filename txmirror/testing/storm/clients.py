"""Clients in a storm: each reply and each watch is compared with the changes of the data."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.client import Limits
from txmirror.errors import (
    BadVersionException,
    ClosingException,
    NodeExistsException,
    NoNodeException,
    SessionExpiredException,
    SystemErrorException,
    ZooKeeperException,
)
from txmirror.testing.storm.journal import Operation, Outcome
from txmirror.testing.storm.parts import PATHS, TIMEOUTS, Pending, Scene
from txmirror.testing.storm.truth import FOREVER, Shown
from txmirror.types import WatchedEvent, ZnodeStat

#: Few requests in flight, and a short queue.
_TINY = Limits(in_flight_requests=3, queued_requests=8)
#: The number of requests of a flood.
_FLOODS = (20, 200, 1000)


class WatchSubject(enum.Enum):
    """What a one-shot watch watches."""

    DATA = "data"
    EXISTENCE = "existence"
    CHILDREN = "children"


class _Watch:
    """A one-shot watch.

    :param zxid: the zxid as of which it was set.
    """

    def __init__(self, subject: WatchSubject, path: str, zxid: int, generation: int, session: int) -> None:
        self.subject = subject
        self.path = path
        self.zxid = zxid
        self.generation = generation
        self.session = session

    def __str__(self) -> str:
        return f"the watch on the {self.subject.value} of {self.path} as of {self.zxid:#x}"


class ClientPart:
    """A client that reads, writes and watches a few nodes.

    Each reply must show the state as of its zxid, and no zxid may be lower than that of an earlier reply.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        limits = _TINY if random.random() < 0.3 else None
        self.client = scene.world.client(
            scene.servers(), session_timeout=random.choice(TIMEOUTS), limits=limits, connect=False
        )
        self._scene = scene
        self._truth = scene.truth
        self._pending = Pending(scene, name)
        self._watches: dict[Deferred[WatchedEvent], _Watch] = {}
        self._floor = (0, 0)
        self._closing = False
        #: The data of writes that were not done, as the client says.
        self._not_written: list[bytes] = []
        self._connect()

    def _connect(self) -> None:
        self._pending.add(self.client.connect().addErrback(_trap), "connect")

    # Actions.

    def act(self, random: Random) -> None:
        """Begin one action."""
        random.choices(
            [self._read, self._write, self._cancel, self._flood, self._sync, self._batch], [8, 10, 1, 1, 2, 2]
        )[0](random)

    def _cancel(self, random: Random) -> None:
        deferred = self._pending.choose(random)
        if deferred is not None:
            self._scene.journal.note(self.name, "cancels an operation")
            deferred.cancel()

    def _flood(self, random: Random) -> None:
        count = random.choice(_FLOODS)
        self._scene.journal.note(self.name, f"begins {count} operations at once")
        for _ in range(count):
            (self._read if random.random() < 0.7 else self._write)(random)

    # Writes.

    def _write(self, random: Random) -> None:
        path = random.choice(PATHS)
        random.choice((self._create, self._create, self._set, self._set, self._compare, self._delete, self._transact))(
            path, random
        )

    def _create(self, path: str, random: Random) -> None:
        data = self._scene.unique(self.name)
        ephemeral = random.random() < 0.2
        operation = self._begin("create_ephemeral" if ephemeral else "create", path, data)
        created = self.client.create_and_stat(path, data, ephemeral=ephemeral)
        self._wait(created, operation, lambda result: self._wrote(operation, result[1].czxid, [data]), [data])

    def _set(self, path: str, random: Random, version: int = -1) -> None:
        data = self._scene.unique(self.name)
        operation = self._begin("set", path, data, version)

        def check(stat: ZnodeStat) -> int:
            self._scene.check(
                version == -1 or stat.version == version + 1,
                f"{self.name}: #{operation.number} had to be at version {version}, and is at {stat.version}",
            )
            return self._wrote(operation, stat.mzxid, [data])

        self._wait(self.client.set(path, data, version), operation, check, [data])

    def _compare(self, path: str, random: Random) -> None:
        self._set(path, random, random.randrange(4))

    def _delete(self, path: str, random: Random) -> None:
        version = -1 if random.random() < 0.7 else random.randrange(4)
        operation = self._begin("delete", path, None, version)

        def check(zxid: int) -> int:
            self._scene.check(
                self._truth.at(path, zxid) is None,
                f"{self.name}: #{operation.number} has deleted {path} at {zxid:#x}, and it is there",
            )
            self._raise_floor(operation, zxid)
            return zxid

        self._wait(self.client.write_delete(path, version), operation, check, [])

    def _transact(self, path: str, random: Random) -> None:
        """Set two nodes in one transaction: both or none."""
        other = random.choice([each for each in PATHS if each != path])
        data = [self._scene.unique(self.name), self._scene.unique(self.name)]
        operation = self._begin("transaction", f"{path} {other}", data[0])
        transaction = self.client.transaction()
        transaction.set(path, data[0])
        transaction.set(other, data[1])

        def check(results: Sequence[Any]) -> int:
            return self._wrote(operation, results[0].mzxid, data)

        self._wait(transaction.commit(), operation, check, data)

    def _wrote(self, operation: Operation, zxid: int, data: list[bytes]) -> int:
        """Check that a write that succeeded was done once."""
        counts = [self._truth.written[each] for each in data]
        self._scene.check(
            set(counts) == {1}, f"{self.name}: #{operation.number} has succeeded, and was done {counts} times"
        )
        path = operation.path.partition(" ")[0]
        there = self._truth.at(path, zxid)
        self._scene.check(
            there is not None and there.data == data[0],
            f"{self.name}: #{operation.number} has succeeded at {zxid:#x}, where {path} is {there}",
        )
        self._raise_floor(operation, zxid)
        return zxid

    # Reads.

    def _read(self, random: Random) -> None:
        path = random.choice(PATHS)
        watched = random.random() < 0.4 and len(self._watches) < 100
        random.choice((self._get, self._get, self._exists, self._get_children))(path, watched)

    def _get(self, path: str, watched: bool) -> None:
        operation = self._begin("get_and_watch" if watched else "get", path)
        watch: Deferred[WatchedEvent] | None = None
        if watched:
            answer, watch = self.client.get_and_watch(path)
        else:
            answer = self.client.get(path)

        def check(result: tuple[bytes, ZnodeStat]) -> int:
            operation.result = repr(result[0].decode("ascii"))
            return self._saw(operation, path, _shown(*result), watch, WatchSubject.DATA)

        def missing() -> int:
            return self._saw(operation, path, None, None, WatchSubject.DATA)

        self._wait(answer, operation, check, [], missing)
        self._expect_event(watch)

    def _exists(self, path: str, watched: bool) -> None:
        operation = self._begin("exists_and_watch" if watched else "exists", path)
        watch: Deferred[WatchedEvent] | None = None
        if watched:
            answer, watch = self.client.exists_and_watch(path)
        else:
            answer = self.client.exists(path)

        def check(stat: ZnodeStat | None) -> int:
            if stat is None:
                return self._saw(operation, path, None, watch, WatchSubject.EXISTENCE)
            # The reply does not contain the data.
            there = self._truth.at(path, self._zxid())
            data = b"" if there is None else there.data
            return self._saw(operation, path, _shown(data, stat), watch, WatchSubject.DATA)

        self._wait(answer, operation, check, [])
        self._expect_event(watch)

    def _get_children(self, path: str, watched: bool) -> None:
        operation = self._begin("get_children_and_watch" if watched else "get_children", path)
        watch: Deferred[WatchedEvent] | None = None
        if watched:
            answer, watch = self.client.get_children_and_watch(path)
        else:
            answer = self.client.get_children(path)

        def check(names: list[str]) -> int:
            return self._saw(operation, path, tuple(sorted(names)), watch, WatchSubject.CHILDREN)

        def missing() -> int:
            return self._saw(operation, path, None, None, WatchSubject.DATA)

        self._wait(answer, operation, check, [], missing)
        self._expect_event(watch)

    def _batch(self, random: Random) -> None:
        paths = random.sample(PATHS, 3)
        operation = self._begin("get_many", " ".join(paths))

        def check(results: list[tuple[bytes, ZnodeStat] | ZooKeeperException]) -> int:
            for path, result in zip(paths, results, strict=True):
                if isinstance(result, tuple):
                    self._saw(operation, path, _shown(*result), None, WatchSubject.DATA)
                elif isinstance(result, NoNodeException):
                    self._saw(operation, path, None, None, WatchSubject.DATA)
            return self._zxid()

        self._wait(self.client.get_many(paths), operation, check, [])

    def _sync(self, random: Random) -> None:
        """Read behind a sync: the read must show all that was done before."""
        path = random.choice(PATHS)
        operation = self._begin("sync", path)
        generation, zxid = self._truth.generation, self._truth.zxid

        def check(_: str) -> int:
            now = self._zxid()
            late = generation == self._truth.generation and now < zxid
            self._scene.check(not late, f"{self.name}: #{operation.number} ends at {now:#x}, and began at {zxid:#x}")
            self._raise_floor(operation, now)
            return now

        self._wait(self.client.sync(path), operation, check, [])
        self._get(path, False)

    def _saw(
        self,
        operation: Operation,
        path: str,
        shown: object,
        watch: Deferred[WatchedEvent] | None,
        subject: WatchSubject,
    ) -> int:
        """Check what was read, and note the watch that the read has set. Return the zxid of the reply."""
        truth, zxid = self._truth, self._zxid()
        of_children = subject is WatchSubject.CHILDREN
        there: object = truth.children_at(path, zxid) if of_children else truth.at(path, zxid)
        self._scene.check(
            there == shown,
            lambda: f"{self.name}: #{operation.number} shows {path} as {shown} at {zxid:#x}, not {there}",
        )
        self._raise_floor(operation, zxid)
        self._check_order(operation, path, zxid)
        if watch is not None and not watch.called:
            number = self.client.session.session_number
            self._watches[watch] = _Watch(subject, path, zxid, truth.generation, number)
        return zxid

    def _check_order(self, operation: Operation, path: str, zxid: int) -> None:
        """Check that no watch is still to report a change that a reply shows already."""
        for watch in self._watches.values():
            late = (
                watch.path == path and watch.session == self.client.session.session_number and self._owed(watch, zxid)
            )
            self._scene.check(not late, f"{self.name}: #{operation.number} shows {zxid:#x} before {watch} has fired")

    # Watches.

    def _expect_event(self, deferred: Deferred[WatchedEvent] | None) -> None:
        if deferred is not None:
            deferred.addBoth(self._fired, deferred)

    def _fired(self, result: WatchedEvent | Failure, deferred: Deferred[WatchedEvent]) -> None:
        watch = self._watches.pop(deferred, None)
        if isinstance(result, Failure):
            # The read of a watch that was not set yet fails in another way. A server may refuse to set watches again.
            if watch is not None and not result.check(
                SessionExpiredException, ClosingException, CancelledError, SystemErrorException
            ):
                self._scene.check(False, f"{self.name}: {watch} has failed: {result.getTraceback()}")
        elif watch is not None:
            self._scene.journal.note(self.name, f"{watch}: {result.type.name}")
            self._scene.check(result.path == watch.path, f"{self.name}: {watch} has reported {result}")
            if watch.generation == self._truth.generation:
                self._scene.check(self._changed(watch), f"{self.name}: {watch} has fired, and nothing has changed")

    def _changed(self, watch: _Watch) -> bool:
        return self._changed_until(watch, FOREVER)

    def _changed_until(self, watch: _Watch, zxid: int) -> bool:
        if watch.subject is WatchSubject.CHILDREN:
            return self._truth.children_changed(watch.path, watch.zxid, zxid)
        return self._truth.node_changed(watch.path, watch.zxid, zxid)

    def _owed(self, watch: _Watch, zxid: int) -> bool:
        """Return whether a watch should have fired for the changes up to a zxid."""
        if watch.generation != self._truth.generation or not self._changed_until(watch, zxid):
            return False
        # A node that was created and deleted while the client was away fires no watch.
        return watch.subject is not WatchSubject.EXISTENCE or self._truth.at(watch.path, zxid) is not None

    # Results.

    def _begin(self, kind: str, path: str, data: bytes | None = None, version: int | None = None) -> Operation:
        number = self.client.session.session_number
        return self._scene.journal.begin(self.name, number, kind, path, data, version)

    def _wait(
        self,
        deferred: Deferred[Any],
        operation: Operation,
        check: Callable[[Any], int | None],
        data: list[bytes],
        missing: Callable[[], int | None] | None = None,
    ) -> None:
        """Note the result of an operation, and check it.

        :param check: called with the result; returns the zxid of the reply.
        :param data: the data that the operation writes.
        :param missing: called if a read shows that there is no node.
        """

        def done(result: Any) -> None:
            if not isinstance(result, Failure):
                zxid = check(result)
                self._scene.journal.end(operation, Outcome.APPLIED, zxid, operation.result)
                return
            error = result.value
            zxid = None
            if missing is not None and isinstance(error, NoNodeException):
                zxid = missing()
            self._failed(operation, error, data, zxid)

        deferred.addBoth(done)
        self._pending.add(deferred, f"#{operation.number} {operation.kind} {operation.path}")

    def _failed(self, operation: Operation, error: BaseException | None, data: list[bytes], zxid: int | None) -> None:
        known = isinstance(error, (ZooKeeperException, CancelledError))
        self._scene.check(known, f"{self.name}: #{operation.number} has failed with {error!r}")
        applied = getattr(error, "applied", None)
        outcome = Outcome.NOT_APPLIED if applied is False else Outcome.UNKNOWN
        if outcome is Outcome.NOT_APPLIED:
            self._not_written += data
        self._check_refusal(operation, error)
        self._scene.journal.end(operation, outcome, zxid, type(error).__name__)

    def _check_refusal(self, operation: Operation, error: BaseException | None) -> None:
        """Check that the reason of a refusal is true at a moment that the client may see."""
        if operation.kind == "set" and operation.version == -1:
            self._scene.check(
                not isinstance(error, (BadVersionException, NodeExistsException)),
                f"{self.name}: #{operation.number} was refused for a strange reason: {error!r}",
            )

    def _zxid(self) -> int:
        """Return the zxid of the reply that is being delivered."""
        ticket = self.client.session_ticket
        return 0 if ticket is None else ticket.zxid

    def _raise_floor(self, operation: Operation, zxid: int) -> None:
        """Check that the client has seen nothing later than a reply."""
        generation, floor = self._floor
        if generation == self._truth.generation:
            self._scene.check(
                zxid >= floor, f"{self.name}: #{operation.number} goes back to {zxid:#x}, from {floor:#x}"
            )
        self._floor = (self._truth.generation, zxid)

    # Checks.

    def check(self) -> None:
        """All is checked when it happens."""

    def check_settled(self) -> None:
        """Check that the client is connected, that nothing waits, and that no watch was missed."""
        scene = self._scene
        scene.check(self.client.session.state.value == "connected", f"{self.name}: is {self.client.session}")
        self._pending.check_none("all has settled")
        for watch in list(self._watches.values()):
            scene.check(not self._owed(watch, FOREVER), f"{self.name}: {watch} has not fired")
            current = watch.session == self.client.session.session_number
            scene.check(current, f"{self.name}: {watch} has outlived its session")
        for data in self._not_written:
            count = self._truth.written[data]
            scene.check(not count, f"{self.name}: {data!r} was not written, the client says, and was {count} times")
        self._not_written.clear()

    def close(self) -> Deferred[None]:
        """Close the client."""
        self._closing = True
        return self.client.close()

    def check_closed(self) -> None:
        """Check that all requests and watches have failed."""
        self._pending.check_none("the client is closed")
        left = [str(watch) for watch in self._watches.values()]
        self._scene.check(not left, f"{self.name}: the client is closed, and waits for {left[:3]}")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def _trap(failure: Failure) -> None:
    failure.trap(ClosingException, CancelledError)


def _shown(data: bytes, stat: ZnodeStat) -> Shown:
    return Shown(data, stat.czxid, stat.mzxid, stat.version, stat.ephemeralOwner)
