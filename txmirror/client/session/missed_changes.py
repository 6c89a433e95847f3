"""Ask servers what has changed since a zxid, in side sessions: one at a time, for all who ask.

Who asks while a side session is under way waits for the next one. So the number of side sessions is bounded, however often and by
how many mirrors of one client they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from txmirror.client.connection.settings import Server
from txmirror.client.session.core import SessionCore, SessionSettings
from txmirror.client.session.persistent_watches import PersistentWatches
from txmirror.client.session.side_session import SideSession
from txmirror.client.session.watch_tables import WatchSet, packets
from txmirror.errors import ClosingException, ConnectionLossException, UnimplementedException
from txmirror.timers import Timer
from txmirror.types import WatchedEvent
from txmirror.wire import Operation

#: A side session begins after a random pause of up to so many seconds, so that the clients of an ensemble that was restarted do
#: not all open theirs at the same time.
JITTER = 0.25


@attrs.define(eq=False)
class _Request:
    """One question: the nodes, the callback, and the Deferred that waits for the answer."""

    zxid: int
    watches: WatchSet
    fired: Callable[[WatchedEvent], object]
    answer: Deferred[None]


class MissedChanges:
    """Asks what has changed, for one client.

    :param core: the data of the client's session.
    :param settings: its settings.
    :param current_server: returns the server of the client's connection: its data is never older than the client has seen.
    """

    def __init__(self, core: SessionCore, settings: SessionSettings, current_server: Callable[[], Server]) -> None:
        self._core = core
        self._settings = settings
        self._current_server = current_server
        self._waiting: dict[_Request, None] = {}
        self._asked: dict[_Request, None] = {}
        self._side: SideSession | None = None
        self._timer = Timer(core.reactor, self._begin)
        self._closed = False

    def ask(self, zxid: int, watches: WatchSet, fired: Callable[[WatchedEvent], object]) -> Deferred[None]:
        """Ask what has changed since a zxid.

        :param watches: the nodes, by what is asked for.
        :param fired: called with an event for each change, and perhaps with later ones.
        :returns: fires when every event that is due has been dispatched. Fails with
            :exc:`~txmirror.errors.ZooKeeperException` if the servers could not be asked. Cancelling ends the wait.
        """
        core = self._core
        if self._closed:
            return fail(ClosingException(applied=False))
        if core.live_connection() is None or core.machine.event.read_only:
            # No other server knows a session with a read-only server.
            return fail(ConnectionLossException("there is no server to ask", applied=False))
        if core.credentials.from_keeper or core.abilities.hangs_up(Operation.SET_WATCHES):
            return fail(UnimplementedException())
        request = _Request(zxid, watches, fired, Deferred(lambda _: self._abandon(request)))
        self._waiting[request] = None
        self._plan()
        return request.answer

    def close(self) -> Deferred[None]:
        """Fail all who wait, and end the side session within a second.

        :returns: fires when its connection is gone. Cancelling ends the wait.
        """
        self._closed = True
        self._timer.stop()
        requests, self._asked, self._waiting = {**self._asked, **self._waiting}, {}, {}
        self._fail(requests, lambda: ClosingException(applied=False))
        if self._side is None or self._core.machine.in_other_process:
            return succeed(None)
        return self._side.end()

    def _abandon(self, request: _Request) -> None:
        self._waiting.pop(request, None)
        if not self._waiting:
            self._timer.stop()
        if self._asked.pop(request, False) is None and not self._asked and self._side is not None:
            self._side.end()

    def _plan(self) -> None:
        if self._waiting and self._side is None and not self._timer.running and not self._closed:
            self._timer.start(self._settings.random.uniform(0.0, JITTER))

    def _begin(self) -> None:
        self._asked, self._waiting = self._waiting, {}
        limit = self._settings.limits.max_request
        nothing = PersistentWatches()
        requests = [packet for each in self._asked for packet in packets(each.zxid, each.watches, nothing, limit)]
        side = self._side = SideSession(self._core, self._settings, self._fired)
        answer = side.ask(self._servers(), requests)
        answer.addCallbacks(lambda _: self._answered(), lambda failure: self._refused(failure.value))
        answer.addBoth(lambda _: side.end()).addBoth(lambda _: self._over())

    def _servers(self) -> list[Server]:
        first = self._current_server()
        others = [server for server in self._settings.servers if server != first]
        self._settings.random.shuffle(others)
        return [first, *others]

    def _fired(self, event: WatchedEvent) -> None:
        for request in list(self._asked):
            if request in self._asked:
                request.fired(event)

    def _answered(self) -> None:
        for request in self._take_asked():
            if not request.answer.called:
                request.answer.callback(None)

    def _refused(self, error: BaseException) -> None:
        self._fail(self._take_asked(), lambda: ConnectionLossException(str(error), applied=False))

    def _take_asked(self) -> dict[_Request, None]:
        asked, self._asked = self._asked, {}
        return asked

    def _fail(self, requests: Iterable[_Request], make_error: Callable[[], BaseException]) -> None:
        for request in requests:
            if not request.answer.called:
                request.answer.errback(make_error())

    def _over(self) -> None:
        self._side = None
        self._plan()
