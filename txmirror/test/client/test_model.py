"""Under random requests and random faults, a client reports all real changes, and nothing else.

Besides the client under test there is one that writes, without faults; and the server itself records its real changes
(``history``). All written data is different, so that no reply can be mistaken for another.
"""

from __future__ import annotations

import enum
import gc
import os
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror import paths
from txmirror.client import Limits, ZooKeeperClient
from txmirror.embedded import EmbeddedServer
from txmirror.errors import (
    BadVersionException,
    ClosingException,
    ConnectionLossException,
    NoChildrenForEphemeralsException,
    NodeExistsException,
    NoNodeException,
    NotEmptyException,
    NoWatcherException,
    SessionExpiredException,
    TooManyRequestsException,
    TransactionFailedException,
    ZooKeeperException,
)
from txmirror.test.client.history import History, concerns
from txmirror.test.models import FailureLog
from txmirror.testing import Link, MemoryReactor
from txmirror.types import EventType, SessionEvent, SessionState, SessionTicket, WatchedEvent, WatchKind

#: How many examples to run in place of as many as the profile says, or 60: these are long ones.
EXAMPLES = "TXMIRROR_MODEL_EXAMPLES"
STEPS = 20
S = 6.0
PORT = 2181
_HOST = "10.0.0.1"
_WRITER_HOST = "10.0.0.2"
#: Long enough for all that waits to be given up, and for sessions that nobody knows of to end.
_CALM = 40.0
#: How many calls of the reactor a second takes, at most, when nothing is asked.
_CALLS_A_SECOND = 60
#: Under this node are only creates with ``protect``, and nobody else's hands.
_PROTECTED = "/p"
_PATHS = ("/a", "/a/x", "/b", "/b/z")
_PARENTS = ("/", "/a", "/b", "/b/z")
_TINY = Limits(in_flight_requests=3, queued_requests=5)

_ALWAYS = (ConnectionLossException, SessionExpiredException, TooManyRequestsException)
_REFUSED = (
    NoNodeException,
    NodeExistsException,
    NotEmptyException,
    BadVersionException,
    NoChildrenForEphemeralsException,
    TransactionFailedException,
)


class Deed(enum.Enum):
    """The actions of the writer."""

    CREATE = enum.auto()
    CREATE_EPHEMERAL = enum.auto()
    SET = enum.auto()
    DELETE = enum.auto()
    RECREATE = enum.auto()
    TWO_AT_ONCE = enum.auto()


class Kind(enum.Enum):
    """The kinds of one-shot watches."""

    DATA = enum.auto()
    EXIST = enum.auto()
    CHILD = enum.auto()


class Asking(enum.Enum):
    """The requests to the client under test."""

    CREATE = enum.auto()
    SET = enum.auto()
    DELETE = enum.auto()
    SEVERAL = enum.auto()
    PROTECTED = enum.auto()
    MANY = enum.auto()
    READ = enum.auto()
    WATCH = enum.auto()
    WATCH_CHILDREN = enum.auto()
    FEED = enum.auto()
    BARRIER = enum.auto()
    ADD_WATCH = enum.auto()
    REMOVE = enum.auto()
    CANCEL = enum.auto()
    CANCEL_WATCH = enum.auto()


#: What to ask, of which node, and a number that says the rest.
Order = tuple[Asking, str, int]

a_path = st.sampled_from(_PATHS)
a_parent = st.sampled_from(_PARENTS)
some_deeds = st.lists(st.tuples(st.sampled_from(Deed), a_path), min_size=1, max_size=5)
some_orders = st.lists(
    st.tuples(st.sampled_from([*Asking, Asking.WATCH, Asking.WATCH, Asking.PROTECTED]), a_path, st.integers(0, 7)),
    min_size=2,
    max_size=8,
)
some_bytes = st.integers(0, 300)
some_turns = st.integers(0, 6)
some_seconds = st.sampled_from([0.0, 0.0, 0.5, 1.0, S, 2 * S])
rarely = st.sampled_from([False, False, False, True])


class CountingReactor(MemoryReactor):
    """Counts the calls that it schedules, and raises after too many."""

    patience = 50_000

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        self.count += 1
        return super().callLater(delay, callable, *args, **kw)


class Request:
    """One request of the client under test.

    :param marks: the data that it writes, each unique.
    :ivar since: the server's last transaction when it was called.
    :ivar result: its result; a Failure too.
    """

    def __init__(self, model: ClientModel, name: str, marks: tuple[bytes, ...] = ()) -> None:
        self.model = model
        self.client = model.client
        self.name = name
        self.marks = marks
        self.number = model.number()
        self.since = model.server.zxid
        self.session = model.client.session_id
        self.cancelled = False
        self.fired = False
        self.left = False
        self.result: Any = None
        self.deferred: Deferred[Any] | None = None
        self.created_once = False

    def __repr__(self) -> str:
        return f"request {self.number} ({self.name}, since {self.since:#x}, gave {self.result!r})"

    @property
    def error(self) -> BaseException | None:
        """The exception that it failed with."""
        return self.result.value if isinstance(self.result, Failure) else None

    @property
    def succeeded(self) -> bool:
        return self.fired and self.error is None

    def wait(self, deferred: Deferred[Any], check: Callable[[Any], None] | None) -> None:
        """Keep its result, and check it."""
        self.deferred = deferred
        deferred.addBoth(self._done, check)
        deferred.addErrback(lambda failure: self.model.faults.append(failure.getTraceback()))

    def _done(self, result: Any, check: Callable[[Any], None] | None) -> None:
        model = self.model
        model.check(not self.fired, f"{self} has fired twice")
        self.fired = True
        self.result = result
        error = self.error
        if error is None:
            if check is not None:
                check(result)
            return
        if isinstance(error, CancelledError):
            model.check(self.cancelled, f"{self} was cancelled, and not by us")
        elif isinstance(error, ClosingException):
            model.check(self.left, f"{self} says that the client is closed")
        else:
            model.check(isinstance(error, (*_ALWAYS, *_REFUSED, NoWatcherException)), f"{self} is no way to fail")
        if isinstance(error, SessionExpiredException) and self.session:
            model.check(self.session in model.history.ended, f"{self}: the session {self.session:#x} lives")
        self.effects()

    def effects(self) -> None:
        """Compare its result with its effects at the server."""
        model = self.model
        counts = [len(model.history.with_data(mark)) for mark in self.marks]
        if not counts:
            return
        most = max(counts)
        model.check(len(set(counts)) == 1, f"{self} was done in part: {counts}")
        model.check(most <= 1, f"{self} was done {most} times")
        error = self.error
        if self.succeeded:
            model.check(most == 1, f"{self} was done {most} times")
        if isinstance(error, ZooKeeperException) and error.applied is False and not self.name.startswith("protected"):
            model.check(most == 0, f"{self} says that it was not done")


class Watch:
    """A one-shot watch: its event goes to a Deferred or, for a read of the feed, to the feed.

    :ivar certain: the transaction after which a change must be reported; None while there is none.
    :ivar possible: the transaction after which a change may be reported.
    :ivar summed_up: one after which all changes may be reported as one, at whichever time it was set.
    :ivar excused: whether no report is due any more.
    """

    def __init__(self, model: ClientModel, kind: Kind, path: str, waiter: Deferred[WatchedEvent] | None) -> None:
        self.model = model
        self.kind = kind
        self.path = path
        self.waiter = waiter
        self.number = model.number()
        self.possible = self.summed_up = model.server.zxid
        self.certain: int | None = None
        self.session = 0
        self.excused = False
        self.never = False
        self.arming = False
        self.told: list[WatchedEvent | Failure] = []
        if waiter is not None:
            waiter.addBoth(self._fired).addErrback(lambda failure: model.faults.append(failure.getTraceback()))

    def __repr__(self) -> str:
        certain = "nothing" if self.certain is None else f"{self.certain:#x}"
        return f"watch {self.number} ({self.kind.name} of {self.path} since {certain}, was told {self.told})"

    def stands(self, kind: Kind, moments: list[int]) -> None:
        """Note that it was set, as of one of some transactions."""
        self.kind = kind
        self.session = self.model.client.session_id
        self.possible, self.certain = min(moments[0], self.summed_up), moments[-1]

    def changed(self, since: int, until: int | None = None) -> bool:
        """Return whether the change that it waits for has happened."""
        history = self.model.history
        until = self.model.server.zxid if until is None else until
        if self.kind is Kind.CHILD:
            return history.of_children(self.path, since, until)
        return history.of_node(self.path, since, until)

    def owed(self, until: int | None = None) -> bool:
        """Return whether it should have fired by now."""
        if self.certain is None or self.excused or self.told or not self.changed(self.certain, until):
            return False
        if self.kind is not Kind.EXIST:
            return True
        # A node that was created and deleted while the client was away fires no watch, also if it was deleted after ``until``.
        history, now = self.model.history, self.model.server.zxid
        moments = history.moments(self.path, now if until is None else until, now)
        return all(history.node(self.path, each) is not None for each in moments)

    def takes(self, event: WatchedEvent) -> bool:
        """Return whether an event of the feed is its own."""
        kinds = {
            Kind.DATA: {EventType.CREATED, EventType.CHANGED, EventType.DELETED},
            Kind.EXIST: {EventType.CREATED, EventType.CHANGED, EventType.DELETED},
            Kind.CHILD: {EventType.CHILD, EventType.DELETED},
        }
        return event.path == self.path and event.type in kinds[self.kind]

    def _fired(self, result: WatchedEvent | Failure) -> None:
        model = self.model
        model.check(not self.told, f"{self} has fired again: {result}")
        self.told.append(result)
        if not isinstance(result, Failure):
            model.check(not self.never, f"{self} has fired, and was not set")
            model.check(self.takes(result), f"{self} is for something else")
            model.check(self.changed(self.possible), f"{self} has fired, and nothing has changed")
        elif result.check(SessionExpiredException):
            # Of a read that was cancelled we do not know in which session it was answered.
            ended = self.session in model.history.ended if self.session else bool(model.history.ended)
            model.check(ended, f"{self} has failed, and its session {self.session:#x} lives")
        elif result.check(ClosingException):
            model.check(model.leaving, f"{self} says that the client is closed")
        else:
            model.check(bool(result.check(CancelledError)) and self.excused, f"{self} is no way to fail")


class Persistent:
    """Listens to a persistent watch.

    :ivar span: the events on this connection.
    :ivar over: whether no event may follow.
    :ivar doubtful: whether it may have ended.
    """

    def __init__(self, model: ClientModel, path: str, recursive: bool) -> None:
        self.model = model
        self.path = path
        self.recursive = recursive
        self.number = model.number()
        self.stands = False
        self.over = False
        self.doubtful = False
        self.connected = False
        self.span: list[WatchedEvent] = []

    def __repr__(self) -> str:
        return f"persistent watch {self.number} ({self.path}, recursive: {self.recursive}, was told {self.span})"

    def added(self, _: None) -> None:
        self.stands = self.connected = True

    def __call__(self, news: SessionEvent | WatchedEvent) -> None:
        model = self.model
        model.check(self.stands and not self.over, f"{self} was told {news}, and does not stand")
        if isinstance(news, WatchedEvent):
            model.check(self.connected, f"{self} was told {news} without a connection")
            ours = concerns(self.path, self.recursive, news.type, news.path)
            model.check(ours, f"{self} was told {news}, which is another's")
            model.check(
                model.history.of_node(news.path, 0, model.server.zxid)
                or model.history.of_children(news.path, 0, model.server.zxid),
                f"{self} was told {news}, which did not happen",
            )
            if news.zxid is not None:
                self.span.append(news)
        elif news.state is SessionState.CONNECTED:
            self.connected = True
            self.span = []
        else:
            self.connected = False
            self.without_gaps()
            if news.state in {SessionState.EXPIRED, SessionState.CLOSED}:
                self.over = True

    def without_gaps(self) -> None:
        """The events of a connection are all changes from one moment to another."""
        if self.span:
            owed = self.model.history.for_persistent(self.path, self.recursive, 0)
            first = owed.index(self.span[0]) if self.span[0] in owed else 0
            told = owed[first : first + len(self.span)]
            self.model.check(told == self.span, f"{self} was owed {told}")

    def complete(self) -> None:
        """Check that on an established connection all changes since the watch was set were reported."""
        if not self.stands or self.over or self.doubtful or not self.model.exact:
            return
        model = self.model
        self.without_gaps()
        session = model.server._state.sessions.find(model.client.session_id)
        connection = None if session is None else session.connection
        times = [zxid for who, path, zxid in model.history.persistent if who is connection and path == self.path]
        model.check(bool(times), f"{self} is not set at the server")
        owed = [model.history.for_persistent(self.path, self.recursive, zxid) for zxid in times]
        model.check(self.span in owed, f"{self} was owed {owed[-1:]}")


class ClientModel(RuleBasedStateMachine):
    """The writer, the client, the network and the server, each with random actions."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.log = FailureLog(self.faults)
        globalLogPublisher.addObserver(self.log)
        self.reactor = CountingReactor()
        self.reactor.advance(1000.0)
        self.requests: list[Request] = []
        self.watches: list[Watch] = []
        self.persistent: list[Persistent] = []
        self.sessions: set[int] = set()
        self.deletions: list[tuple[Request, str]] = []
        self.latest: tuple[int, str] | None = None
        self.numbers = 0
        self.clients = 0
        self.exact = True
        self.down = False
        self.leaving = False
        self.closing = False

    @initialize(tiny=st.booleans(), exact=st.sampled_from([True, True, False]), missing=st.sets(a_path))
    def begin(self, tiny: bool, exact: bool, missing: set[str]) -> None:
        self.limits = _TINY if tiny else Limits()
        # Only events of 3.9 say which transaction they are about.
        self.exact = exact
        self.server = EmbeddedServer(self.reactor, version="3.9" if exact else "3.8")
        self.history = History(self.server)
        self.server.listen(PORT, interface="")
        self.writer = ZooKeeperClient(
            f"{_WRITER_HOST}:{PORT}", session_timeout=S, random=Random(1), reactor=self.reactor
        )
        self.writer.connect()
        _ignore(self.writer.create(_PROTECTED))
        for path in _PATHS:
            if path not in missing:
                self.does(Deed.CREATE, path)
        self.reactor.settle()
        self.open(None)
        self.reactor.settle()

    def open(self, ticket: SessionTicket | None) -> None:
        self.clients += 1
        self.client = ZooKeeperClient(
            f"{_HOST}:{PORT}",
            session_timeout=S,
            session=ticket,
            limits=self.limits,
            random=Random(self.clients + 1),
            reactor=self.reactor,
        )
        self.client.add_listener(self.heard)
        self.client.connect().addErrback(lambda failure: failure.trap(ClosingException, ConnectionLossException))

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def mark(self) -> bytes:
        return b"%d" % self.number()

    def heard(self, news: SessionEvent | WatchedEvent) -> None:
        """Listen to the feed."""
        if isinstance(news, WatchedEvent):
            for watch in self.watches:
                set_by_now = watch.arming or watch.certain is not None
                if watch.waiter is None and set_by_now and not watch.told and watch.takes(news):
                    watch.told.append(news)
        elif news.state is SessionState.CONNECTED:
            self.sessions.add(self.client.session_id)
        elif news.state in {SessionState.EXPIRED, SessionState.CLOSED}:
            for watch in self.watches:
                watch.excused = watch.excused or watch.waiter is None

    def ask(
        self,
        name: str,
        deferred: Callable[[], Deferred[Any]],
        check: Callable[[Any], None] | None = None,
        marks: tuple[bytes, ...] = (),
    ) -> Request:
        """Ask the client something."""
        request = Request(self, name, marks)
        self.requests.append(request)
        request.wait(deferred(), check)
        return request

    # What is written.

    @rule(deeds=some_deeds, turns=some_turns)
    def writer_does(self, deeds: list[tuple[Deed, str]], turns: int = 0) -> None:
        for deed, path in deeds:
            self.does(deed, path)
            self.step(turns)

    def does(self, deed: Deed, path: str) -> None:
        writer = self.writer
        if deed in {Deed.DELETE, Deed.RECREATE}:
            for name in self.history.children(path, self.server.zxid) or ():
                _ignore(writer.delete(paths.join(path, name)))
            _ignore(writer.delete(path))
        if deed in {Deed.CREATE, Deed.CREATE_EPHEMERAL, Deed.RECREATE}:
            _ignore(writer.create(path, self.mark(), ephemeral=deed is Deed.CREATE_EPHEMERAL))
        if deed is Deed.SET:
            _ignore(writer.set(path, self.mark()))
        if deed is Deed.TWO_AT_ONCE:
            transaction = writer.transaction()
            transaction.set(path, self.mark())
            transaction.create(paths.join(path, "q"), self.mark(), sequence=True)
            _ignore(transaction.commit())

    # What is asked.

    @rule(orders=some_orders, turns=some_turns, settled=st.booleans())
    def client_does(self, orders: list[Order], turns: int, settled: bool) -> None:
        """Ask for things, with so many turns of the reactor between them."""
        for order in orders:
            self.obey(order)
            self.step(turns)
        if settled:
            self.reactor.settle()

    @rule(orders=some_orders, deeds=some_deeds, after=some_orders)
    def both_do(self, orders: list[Order], deeds: list[tuple[Deed, str]], after: list[Order]) -> None:
        """Ask for things, of which some are changed then."""
        self.client_does(orders, 0, True)
        self.writer_does(deeds)
        self.client_does(after, 1, True)

    def obey(self, order: Order) -> None:
        asking, path, number = order
        one, two, three = bool(number & 1), bool(number & 2), bool(number & 4)
        kind = list(Kind)[number % 3]
        parent = _PARENTS[(number + _PATHS.index(path)) % len(_PARENTS)]
        removed = list(WatchKind)[number % 3] if three else WatchKind.ANY
        does: dict[Asking, Callable[[], object]] = {
            Asking.CREATE: lambda: self.creates(path, one, two and three),
            Asking.SET: lambda: self.sets(path, [-1, -1, -1, 0][number & 3]),
            Asking.DELETE: lambda: self.deletes(path),
            Asking.SEVERAL: lambda: self.several(path, parent, path if one else None),
            Asking.PROTECTED: lambda: self.creates_protected(one, two, three),
            Asking.MANY: lambda: self.many(path, 4 + number),
            Asking.READ: lambda: self.reads(path, kind, False),
            Asking.WATCH: lambda: self.reads(path, kind, True),
            Asking.WATCH_CHILDREN: lambda: self.reads(parent, Kind.CHILD, True),
            Asking.FEED: lambda: self.reads_for_feed(path, kind),
            Asking.BARRIER: lambda: self.barrier(one),
            Asking.ADD_WATCH: lambda: self.adds_watch(parent, one),
            Asking.REMOVE: lambda: self.removes_watches(parent, removed),
            Asking.CANCEL: lambda: self.cancels(number),
            Asking.CANCEL_WATCH: lambda: self.cancels_watch(number),
        }
        does[asking]()

    def creates(self, path: str, ephemeral: bool, sequence: bool) -> None:
        mark = self.mark()

        def made(result: str) -> None:
            change = self.history.with_data(mark)[0]
            right = result.startswith(path) if sequence else result == path
            self.check(right and change.path == result, f"{change} was answered with {result}")

        self.ask(
            f"create {path}",
            lambda: self.client.create(path, mark, ephemeral=ephemeral, sequence=sequence),
            made,
            (mark,),
        )

    def sets(self, path: str, version: int) -> None:
        mark = self.mark()

        def was_set(stat: Any) -> None:
            change = self.history.with_data(mark)[0]
            self.check((change.path, change.zxid) == (path, stat.mzxid), f"{change} was answered with {stat}")

        self.ask(f"set {path}", lambda: self.client.set(path, mark, version), was_set, (mark,))

    def deletes(self, path: str) -> None:
        request = self.ask(f"delete {path}", lambda: self.client.delete(path))
        self.deletions.append((request, path))

    def several(self, first: str, second: str, checked: str | None) -> None:
        marks = self.mark(), self.mark()
        transaction = self.client.transaction()
        if checked is not None:
            transaction.check(checked, -1)
        transaction.set(first, marks[0])
        transaction.create(paths.join(second, "t"), marks[1], sequence=True)
        self.ask(f"several {first} {second}", transaction.commit, None, marks)

    def creates_protected(self, ephemeral: bool, sequence: bool, stat: bool) -> None:
        mark = self.mark()
        create = self.client.create_and_stat if stat else self.client.create
        path = paths.join(_PROTECTED, "n")

        def made(result: Any) -> None:
            found = result[0] if stat else result
            change = self.history.with_data(mark)[0]
            self.check(change.path == found, f"{change} was answered with {found}")

        kind = "protected ephemeral" if ephemeral else "protected"
        self.ask(kind, lambda: create(path, mark, ephemeral=ephemeral, sequence=sequence, protect=True), made, (mark,))

    def many(self, path: str, count: int) -> None:
        for number in range(count):
            if number % 2:
                self.sets(path, -1)
            else:
                self.reads(path, Kind.DATA, False)

    # What is read, and watched.

    def reads(self, path: str, kind: Kind, watched: bool) -> None:
        client = self.client
        both: dict[Kind, Callable[[str], tuple[Deferred[Any], Deferred[WatchedEvent]]]] = {
            Kind.DATA: client.get_and_watch,
            Kind.EXIST: client.exists_and_watch,
            Kind.CHILD: client.get_children_and_watch,
        }
        alone: dict[Kind, Callable[[str], Deferred[Any]]] = {
            Kind.DATA: client.get,
            Kind.EXIST: client.exists,
            Kind.CHILD: client.get_children,
        }
        if watched:
            answer, waiter = both[kind](path)
            self.read(kind, path, answer, Watch(self, kind, path, waiter))
        else:
            self.read(kind, path, alone[kind](path), None)

    def reads_children(self, path: str) -> None:
        self.reads(path, Kind.CHILD, True)

    def read(self, kind: Kind, path: str, answer: Deferred[Any], watch: Watch | None) -> None:
        request = Request(self, f"read {kind.name} of {path}")
        self.requests.append(request)

        def could_be(result: Any, zxid: int) -> bool:
            if kind is Kind.CHILD:
                names = self.history.children(path, zxid)
                return (names is None) if result is None else names == frozenset(result)
            node = self.history.node(path, zxid)
            if result is None or node is None:
                return node is result
            stat = result[1] if kind is Kind.DATA else result
            data = result[0] if kind is Kind.DATA else node[0]
            return node == (data, stat.czxid, stat.mzxid, stat.ephemeralOwner)

        def was_read(result: Any) -> None:
            moments = self.history.moments(path, request.since, self.server.zxid)
            moments = [zxid for zxid in moments if could_be(result, zxid)]
            self.check(bool(moments), f"{request} was never true")
            if watch is not None and moments:
                set_on = kind if kind is not Kind.EXIST or result is None else Kind.DATA
                watch.stands(set_on, moments)

        request.wait(answer, was_read)
        if watch is not None:
            self.watches.append(watch)

            def after(_: object) -> None:
                error = request.error
                if isinstance(error, NoNodeException):
                    self.check(any(could_be(None, zxid) for zxid in self.moments(request, path)), f"{request} lies")
                if error is not None and not isinstance(error, CancelledError):
                    watch.never = True

            answer.addCallback(after)

    def moments(self, request: Request, path: str) -> list[int]:
        return self.history.moments(path, request.since, self.server.zxid)

    def reads_for_feed(self, path: str, kind: Kind) -> None:
        client = self.client
        ask: dict[Kind, Callable[[str], Deferred[Any]]] = {
            Kind.DATA: client.read_data,
            Kind.EXIST: client.read_existence,
            Kind.CHILD: client.read_children,
        }
        watch = Watch(self, kind, path, None)
        self.watches.append(watch)

        def was_read(reply: Any) -> None:
            node = self.history.node(path, reply.zxid)
            there = kind is not Kind.EXIST or reply.stat is not None
            self.check((node is not None) == there, f"{reply} tells of {node}")
            if node is not None and kind is not Kind.CHILD:
                self.check(node[1:3] == (reply.stat.czxid, reply.stat.mzxid), f"{reply} tells of {node}")
            if kind is Kind.DATA and node is not None:
                self.check(node[0] == reply.data, f"{reply} tells of {node}")
            if kind is Kind.CHILD:
                names = self.history.children(path, reply.zxid)
                self.check(names == frozenset(reply.children), f"{reply} tells of {names}")
            if there:
                self.latest = (reply.zxid, path)
            watch.stands(kind if kind is not Kind.EXIST or not there else Kind.DATA, [reply.zxid])

        self.ask(f"feed {kind.name} of {path}", lambda: ask[kind](path), was_read)

    def barrier(self, bringing: bool) -> None:
        """Wait for all events that are owed; or bring watches over that stood as of an earlier reading."""
        until = self.server.zxid
        before = [watch for watch in self.watches if watch.session == self.client.session_id]
        brought = None if not bringing else self.latest
        watches: list[Watch] = []

        def passed(_: None) -> None:
            for watch in before:
                self.check(not watch.owed(until), f"{watch} was told nothing before the barrier at {until:#x}")
            if brought is not None:
                for watch in watches:
                    watch.stands(watch.kind, [brought[0]])

        if brought is None:
            self.ask("barrier", lambda: self.client.set_watches(until), passed)
        else:
            zxid, path = brought
            watches += [Watch(self, kind, path, None) for kind in (Kind.DATA, Kind.CHILD)]
            for watch in watches:
                # What is owed since then comes before the answer.
                watch.arming = True
            self.watches += watches
            for watch in self.watches:
                if watch.path == path:
                    # What is told then is a summary (C3), and is told to those as well who know it already; whose watch
                    # is on its way among them, for it may come to stand before that.
                    watch.summed_up = min(watch.summed_up, zxid)
                    watch.possible = min(watch.possible, zxid)
            self.ask("bring over", lambda: self.client.set_watches(zxid, data=[path], children=[path]), passed)

    def adds_watch(self, path: str, recursive: bool) -> None:
        persistent = Persistent(self, path, recursive)
        request = Request(self, f"add watch {path}")
        try:
            added = self.client.add_watch(path, persistent, recursive=recursive)
        except ValueError:
            # There is one of the other kind.
            return
        self.requests.append(request)
        self.persistent.append(persistent)
        request.wait(added, persistent.added)

    def removes_watches(self, path: str, kind: WatchKind) -> None:
        kinds = {
            WatchKind.DATA: {Kind.DATA, Kind.EXIST},
            WatchKind.CHILDREN: {Kind.CHILD},
            WatchKind.ANY: {Kind.DATA, Kind.EXIST, Kind.CHILD},
        }[kind]
        watches = [watch for watch in self.watches if watch.path == path]
        persistent = [each for each in self.persistent if each.path == path] if kind is WatchKind.ANY else []
        request = self.ask(f"remove {kind.name} of {path}", lambda: self.client.remove_watches(path, kind))
        assert request.deferred is not None

        def removed(_: object) -> None:
            error = request.error
            sure = error is None or isinstance(error, NoWatcherException)
            if sure or isinstance(error, CancelledError):
                for watch in watches:
                    watch.excused = watch.excused or watch.kind in kinds
                for each in persistent:
                    each.over = each.over or sure
                    each.doubtful = True

        request.deferred.addCallback(removed)

    # What is cancelled.

    def pending(self) -> list[Request]:
        return [request for request in self.requests if not request.fired]

    def cancels(self, index: int) -> None:
        pending = self.pending()
        if pending:
            request = pending[index % len(pending)]
            request.cancelled = True
            assert request.deferred is not None
            request.deferred.cancel()

    def cancels_watch(self, index: int) -> None:
        waiting = [watch for watch in self.watches if watch.waiter is not None and not watch.told]
        if waiting:
            watch = waiting[index % len(waiting)]
            watch.excused = True
            assert watch.waiter is not None
            watch.waiter.cancel()

    # What goes on.

    @rule(count=st.integers(1, 60))
    def turns(self, count: int) -> None:
        self.step(count)

    def step(self, count: int) -> None:
        """Let so many turns happen, at this instant, and no more."""
        self.reactor.take_turns(count)

    @rule()
    def an_instant(self) -> None:
        self.reactor.settle()

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 2.0, S]))
    def time(self, seconds: float) -> None:
        self.reactor.pass_time(seconds)

    # What goes wrong.

    def links(self) -> list[Link]:
        return [link for link in self.reactor.links if link.server_address.host == _HOST]

    def cut(self) -> None:
        for link in self.links():
            link.cut()

    def cut_after(self, to_client: int | None, to_server: int | None) -> None:
        for link in self.links():
            link.cut_after(to_client=to_client, to_server=to_server)

    @rule(orders=some_orders, turns=st.integers(0, 12))
    def is_cut(self, orders: list[Order], turns: int) -> None:
        """Cut the connection while answers are on their way."""
        self.client_does(orders, 0, False)
        self.step(turns)
        self.cut()
        self.reactor.pass_time(1.0)

    @rule(to_client=st.booleans(), count=some_bytes, orders=some_orders, deeds=some_deeds, again=st.booleans())
    def is_cut_after(
        self, to_client: bool, count: int, orders: list[Order], deeds: list[tuple[Deed, str]], again: bool
    ) -> None:
        self.cut_after(count if to_client else None, None if to_client else count)
        self.client_does(orders, 0, False)
        self.writer_does(deeds)
        self.reactor.settle()
        if again:
            self.cut()
            self.reactor.pass_time(1.0)

    @rule(to_client=st.booleans(), orders=some_orders, deeds=some_deeds, seconds=some_seconds, broken=st.booleans())
    def stalls(
        self, to_client: bool, orders: list[Order], deeds: list[tuple[Deed, str]], seconds: float, broken: bool
    ) -> None:
        """Let nothing through in one direction for a while, and then all of it, or nothing."""
        for link in self.links():
            link.stall(to_client=to_client, to_server=not to_client)
        self.client_does(orders, 0, True)
        self.writer_does(deeds)
        self.reactor.pass_time(seconds)
        if broken:
            self.cut()
        for link in list(self.reactor.links):
            link.resume()
        self.reactor.settle()

    @rule(piece=st.none() | st.integers(1, 30), orders=some_orders)
    def in_pieces(self, piece: int | None, orders: list[Order]) -> None:
        self.reactor.piece = piece
        self.client_does(orders, 3, False)

    @rule(really=rarely)
    def expires(self, really: bool) -> None:
        if really:
            self.expire()

    @rule(deeds=some_deeds, orders=some_orders, expired=rarely, seconds=some_seconds)
    def goes_away(self, deeds: list[tuple[Deed, str]], orders: list[Order], expired: bool, seconds: float) -> None:
        self.reactor.black_hole(_HOST, PORT)
        self.cut()
        self.reactor.settle()
        self.writer_does(deeds)
        if expired:
            self.expire()
        self.client_does(orders, 0, False)
        self.reactor.pass_time(seconds)
        self.reactor.undo_black_hole(_HOST, PORT)

    @rule(deeds=some_deeds, orders=some_orders, expired=rarely, count=some_bytes, to_client=st.booleans())
    def returns_briefly(
        self, deeds: list[tuple[Deed, str]], orders: list[Order], expired: bool, count: int, to_client: bool
    ) -> None:
        """Cut also the connection with which the client returns, early in its life."""
        self.goes_away(deeds, orders, expired, 0.0)
        for _ in range(50):
            if self.links():
                break
            self.reactor.advance(0.05)
        self.cut_after(count if to_client else None, None if to_client else count)
        self.reactor.settle()

    @rule(deeds=some_deeds, seconds=some_seconds)
    def restarts(self, deeds: list[tuple[Deed, str]], seconds: float) -> None:
        self.writer_does(deeds)
        self.server.stop_listening()
        self.reactor.pass_time(seconds)
        self.server.listen(PORT, interface="")
        self.reactor.settle()

    def expire(self) -> None:
        if self.client.session_id in self.server.sessions:
            self.server.expire_session(self.client.session_id)

    @rule(really=rarely, at_once=st.booleans())
    def leaves(self, really: bool, at_once: bool) -> None:
        """Hand the session over to another client."""
        if not really:
            return
        self.leaving = True
        session = self.client.session_id
        tickets: list[SessionTicket | None] = []
        for request in self.requests:
            # What was given up is undone as long as the client is there, and no longer.
            request.left = request.left or not request.succeeded
        # Nothing is owed by who has left.
        self.client.leave().addCallback(tickets.append)
        self.reactor.settle()
        if not at_once:
            self.reactor.pass_time(0.5)
        if not tickets:
            self.reactor.pass_time(self.limits.close_time)
        self.check(bool(tickets), "the client does not leave")
        self.check(not self.pending(), f"the client has left, and {self.pending()} wait")
        for watch in self.watches:
            waits = watch.waiter is not None and watch.certain is not None and not watch.excused
            self.check(not waits or bool(watch.told), f"the client has left, and {watch} waits")
        self.check("closed" not in self.history.ended.get(session, ""), "the session was ended by leaving it")
        self.watches.clear()
        self.persistent.clear()
        self.latest = None
        self.leaving = False
        self.open(tickets[0] if tickets else None)

    # What must hold.

    def check(self, holds: bool, complaint: str) -> None:
        """Record a violation. Within a callback, an exception would only be logged."""
        if not holds:
            self.faults.append(complaint)

    def nothing_went_wrong(self) -> None:
        assert not self.faults, "\n".join(str(fault) for fault in self.faults[:8])

    @rule(poking=st.booleans())
    def quiet(self, poking: bool) -> None:
        self.be_quiet()
        if poking:
            self.poke()

    def be_quiet(self) -> None:
        """End all faults, give all clients the time to recover, and compare."""
        self.reactor.piece = None
        self.reactor.undo_black_hole(_HOST, PORT)
        for link in list(self.reactor.links):
            link.resume()
        # A cut that is still to come comes now.
        for link in self.links():
            if link.client.allowed is not None or link.server.allowed is not None:
                link.cut()
        # By then a connection stands, and nothing waits until it is given up for its age.
        self.reactor.pass_time(15)
        assert not self.pending(), f"{self.pending()} have not fired"
        self.reactor.pass_time(_CALM - 25)
        before = self.reactor.count
        self.reactor.pass_time(10)
        calls = self.reactor.count - before
        self.check(calls < 10 * _CALLS_A_SECOND, f"in 10 s of calm there were {calls} calls")
        self.nothing_went_wrong()
        assert self.client.session.state is SessionState.CONNECTED, f"the client is {self.client.session}"
        expected = {self.client.session_id, self.writer.session_id}
        assert self.server.sessions == expected, f"there are the sessions {self.server.sessions}, not {expected}"
        assert not self.pending(), f"{self.pending()} have not fired"
        self.compare_watches()
        self.compare_writes()
        self.nothing_went_wrong()

    def compare_watches(self) -> None:
        for watch in self.watches:
            self.check(not watch.owed(), f"{watch} was told nothing")
            lives = watch.session == self.client.session_id or watch.told or watch.excused or watch.certain is None
            self.check(bool(lives), f"{watch} outlives its session")
        for persistent in self.persistent:
            persistent.complete()

    def compare_writes(self) -> None:
        """The writes and their numbers are those that the replies report."""
        history, tree = self.history, self.history.tree
        for request in self.requests:
            request.effects()
            if request.name.startswith("protected"):
                self.compare_protected(request)
        order = [change for change in history.changes if change.session in self.sessions]
        own = {
            mark: request.number for request in self.requests for mark in request.marks[:1] if "pro" not in request.name
        }
        numbers = [own[change.data] for change in order if change.type is not EventType.CHILD and change.data in own]
        self.check(numbers == sorted(numbers), f"writes were done in the order {numbers}")
        done = Counter(change.path for change in order if change.type is EventType.DELETED)
        sure = Counter(path for request, path in self.deletions if request.succeeded)
        unsure = Counter(
            path
            for request, path in self.deletions
            if isinstance(request.error, CancelledError) or getattr(request.error, "applied", False) is None
        )
        for path in _PATHS:
            likely = sure[path] <= done[path] <= sure[path] + unsure[path]
            self.check(likely, f"{path} was deleted {done[path]} times: {sure[path]} known, {unsure[path]} unsure")
        for owner in tree.ephemerals:
            self.check(owner in self.server.sessions, f"{tree.ephemerals[owner]} are nobody's")

    def compare_protected(self, request: Request) -> None:
        (mark,) = request.marks
        tree = self.history.tree
        found = [path for path, node in tree.nodes.items() if node.data == mark and path.startswith(_PROTECTED)]
        if request.succeeded:
            change = self.history.with_data(mark)[0]
            lives = "ephemeral" not in request.name or change.session in self.server.sessions
            self.check(len(found) == lives, f"{request} has made {found}")
        elif not request.left:
            self.check(not found, f"{request} has left {found}")

    def poke(self) -> None:
        """Change each watched node: the watch must fire."""
        for watch in list(self.watches):
            if not watch.told and not watch.excused and watch.certain is not None:
                if watch.kind is Kind.CHILD:
                    _ignore(self.writer.create(paths.join(watch.path, "q"), self.mark(), sequence=True))
                elif watch.kind is Kind.EXIST:
                    _ignore(self.writer.create(watch.path, self.mark()))
                else:
                    _ignore(self.writer.set(watch.path, self.mark()))
        for persistent in self.persistent:
            if persistent.path != "/":
                _ignore(self.writer.create(persistent.path, self.mark()))
                _ignore(self.writer.set(persistent.path, self.mark()))
        self.reactor.settle()
        self.compare_watches()
        self.nothing_went_wrong()

    def teardown(self) -> None:
        try:
            if hasattr(self, "client"):
                self.be_quiet()
                self.poke()
                self.end()
        finally:
            globalLogPublisher.removeObserver(self.log)
        self.nothing_went_wrong()

    def end(self) -> None:
        """Close everything: nothing is left of it."""
        self.leaving = True
        closed: list[None] = []
        for client in (self.client, self.writer):
            client.close().addCallback(closed.append)
        self.reactor.settle()
        assert len(closed) == 2, "a client does not close"
        assert not self.server.sessions, f"sessions are left: {self.server.sessions}"
        waiting = [watch for watch in self.watches if watch.waiter is not None and watch.certain is not None]
        waiting = [watch for watch in waiting if not watch.told and not watch.excused]
        assert not waiting, f"{waiting} wait for ever"
        self.server.stop()
        self.reactor.settle()
        calls = self.reactor.getDelayedCalls()
        assert not calls, f"timers are left: {calls}"
        assert not self.reactor.links, f"connections are left: {self.reactor.links}"


def _ignore(deferred: Deferred[Any]) -> None:
    deferred.addErrback(lambda _: None)


class ModelTests(SynchronousTestCase):
    def test_model(self) -> None:
        """Rules 2 to 7, 12 and 13, C1 to C16, E1 to E7, H1 and H3: whatever happens, the reports equal the real
        changes.
        """
        examples = int(os.environ.get(EXAMPLES) or min(60, settings.default.max_examples))  # type: ignore[union-attr]
        try:
            # New examples are looked for where somebody asks for a number of them.
            fixed = EXAMPLES not in os.environ
            chosen = settings(max_examples=examples, stateful_step_count=STEPS, derandomize=fixed, database=None)
            run_state_machine_as_test(ClientModel, settings=chosen)
        except AssertionError as error:
            # The steps that led there are in its notes, which trial does not show.
            raise AssertionError("\n".join([str(error), *getattr(error, "__notes__", ())])) from None
        finally:
            # What nobody has waited for is logged when it is collected.
            gc.collect()
