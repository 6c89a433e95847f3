"""The watches that a session has at the server, and who waits for each.

A server keeps one-shot watches in two tables, for data (which serves existence too) and for children. This one keeps
those on nodes that did not exist apart, because ``setWatches`` wants them so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client.calls import Call, decode_nothing
from txmirror.errors import ClosingException, ConnectionLossException, exception_for
from txmirror.types import EventType, WatchedEvent, WatchKind
from txmirror.wire import SetWatchesRequest

_T = TypeVar("_T")

#: The longest setWatches packet, in bytes: one that held everything could be over the server's limit, and would then
#: close each new connection. The Java client splits at 128 KiB too; a little is left for what is not paths.
_PACKET = 128 * 1024 - 64

_Waiters = list["Deferred[WatchedEvent]"]


class WatchSet:
    """Paths with a watch on each, by kind; with every path, who waits for it besides the feed."""

    def __init__(self) -> None:
        self.data: dict[str, _Waiters] = {}
        self.exist: dict[str, _Waiters] = {}
        self.child: dict[str, _Waiters] = {}

    def __len__(self) -> int:
        return len(self.data) + len(self.exist) + len(self.child)

    def fire(self, event: WatchedEvent) -> _Waiters:
        """Take out what ``event`` has used up, and give who waited for it.

        Which kinds an event uses up is what the Java client's ``ZKWatchManager`` says.
        """
        kind, path = event.type, event.path
        waiters: _Waiters = []
        if kind is EventType.CHILD:
            return self.child.pop(path, waiters)
        if kind in (EventType.CREATED, EventType.CHANGED, EventType.DELETED):
            waiters = [*self.data.pop(path, ()), *self.exist.pop(path, ())]
            if kind is EventType.DELETED:
                waiters += self.child.pop(path, ())
        return waiters

    def merge(self, other: WatchSet) -> None:
        """Take over all of ``other``."""
        for mine, theirs in ((self.data, other.data), (self.exist, other.exist), (self.child, other.child)):
            for path, waiters in theirs.items():
                mine.setdefault(path, []).extend(waiters)

    def remove(self, path: str, kind: WatchKind) -> None:
        """Forget the watches of a kind on a path, and who waited for them."""
        if kind in (WatchKind.DATA, WatchKind.ANY):
            self.data.pop(path, None)
            self.exist.pop(path, None)
        if kind in (WatchKind.CHILDREN, WatchKind.ANY):
            self.child.pop(path, None)

    def take(self, other: WatchSet) -> _Waiters:
        """Forget all that is in ``other``, and give who waited for it."""
        pairs = ((self.data, other.data), (self.exist, other.exist), (self.child, other.child))
        return [waiter for mine, theirs in pairs for path in theirs for waiter in mine.pop(path, ())]

    def forget(self, path: str, waiter: Deferred[WatchedEvent]) -> None:
        """Let somebody go who no longer waits for a watch on ``path``. The watch stays."""
        for table in (self.data, self.exist, self.child):
            waiters = table.get(path, [])
            if waiter in waiters:
                waiters.remove(waiter)

    def waiters(self) -> _Waiters:
        """Give everybody who waits."""
        return [waiter for table in (self.data, self.exist, self.child) for each in table.values() for waiter in each]

    def packets(self, zxid: int) -> Iterator[SetWatchesRequest]:
        """Say all of it in setWatches packets that a server takes, none of them empty.

        :param zxid: the transaction as of which the watches stood.
        """
        groups: tuple[list[str], list[str], list[str]] = ([], [], [])
        size = 0
        for group, table in zip(groups, (self.data, self.exist, self.child), strict=True):
            for path in table:
                length = 4 + len(path.encode())
                if size and size + length > _PACKET:
                    yield SetWatchesRequest(zxid, *map(tuple, groups))
                    for each in groups:
                        each.clear()
                    size = 0
                group.append(path)
                size += length
        if size:
            yield SetWatchesRequest(zxid, *map(tuple, groups))

    @classmethod
    def of_packet(cls, packet: SetWatchesRequest) -> WatchSet:
        """Give the watches that a packet sets, with nobody but the feed waiting for them."""
        watches = cls()
        watches.data = {path: [] for path in packet.dataWatches}
        watches.exist = {path: [] for path in packet.existWatches}
        watches.child = {path: [] for path in packet.childWatches}
        return watches


class SessionWatches:
    """The watches of one session, and those that are on their way to becoming its own.

    :ivar standing: those that the server has, or had when the connection went.
    """

    _log = Logger()

    def __init__(self) -> None:
        self.standing = WatchSet()
        self._arming: list[WatchSet] = []
        self._rearming = 0

    @property
    def rearming(self) -> bool:
        """Whether the server has yet to answer for watches that were set again on this connection."""
        return self._rearming > 0

    def fire(self, event: WatchedEvent) -> _Waiters:
        """Take out what ``event`` has used up, and give who waited for it."""
        for arming in self._arming:
            arming.fire(event)
        return self.standing.fire(event)

    def rearm(self, send: Callable[[Call[None]], None], zxid: int) -> None:
        """Set everything again on a new connection.

        :param zxid: the transaction as of which it stood.
        """
        self._rearming = 0
        for packet in self.standing.packets(zxid):
            self._rearming += 1
            call = Call(packet, None, decode_nothing, on_reply=self._rearmed_by(packet))
            call.waited_for().addErrback(self._log_rearming)
            send(call)

    def bring_over(self, packet: SetWatchesRequest) -> Call[None]:
        """Make the call that sets watches of a former session. They become this one's when its reply says so."""
        arming = WatchSet.of_packet(packet)
        self._arming.append(arming)

        def answered(err: int) -> None:
            if not err:
                self.standing.merge(arming)

        def done(result: _T) -> _T:
            self._arming.remove(arming)
            return result

        call = Call(packet, None, decode_nothing, on_reply=answered)
        call.waited_for().addBoth(done)
        return call

    def _rearmed_by(self, packet: SetWatchesRequest) -> Callable[[int], None]:
        def answered(err: int) -> None:
            self._rearming -= 1
            if err:
                forgotten = WatchSet.of_packet(packet)
                for waiter in self.standing.take(forgotten):
                    waiter.errback(exception_for(err))

        return answered

    def _log_rearming(self, failure: Failure) -> None:
        if not isinstance(failure.value, (ConnectionLossException, ClosingException)):
            self._log.warn("Watches could not be set again: {reason}.", reason=failure.getErrorMessage())
