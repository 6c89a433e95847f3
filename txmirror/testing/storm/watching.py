"""The one-shot watches of one client in a storm: each must fire after a change, and before a reply that shows it."""

from __future__ import annotations

import enum

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.errors import ClosingException, SessionExpiredException, SystemErrorException
from txmirror.testing.history import Operation
from txmirror.testing.storm.parts import Scene
from txmirror.testing.storm.replies import Replies
from txmirror.testing.storm.truth import FOREVER
from txmirror.types import WatchedEvent


class WatchSubject(enum.Enum):
    """The part of a node that a one-shot watch is about."""

    DATA = "data"
    EXISTENCE = "existence"
    CHILDREN = "children"


class _Watch:
    """A one-shot watch.

    :param operation: the read that has set it.
    :param zxid: the zxid as of which it was set.
    """

    def __init__(
        self, operation: Operation, subject: WatchSubject, path: str, zxid: int, generation: int, session: int
    ) -> None:
        self.operation = operation
        self.subject = subject
        self.path = path
        self.zxid = zxid
        self.generation = generation
        self.session = session

    def __str__(self) -> str:
        return f"the watch on the {self.subject.value} of {self.path} as of {self.zxid:#x}"


class WatchChecks:
    """The watches of a client, and its reads, which may set some.

    :param scene: the world.
    :param replies: the operations of the client.
    """

    def __init__(self, scene: Scene, replies: Replies) -> None:
        self._truth = scene.truth
        self._hidden = scene.hidden
        self._replies = replies
        self._watches: dict[Deferred[WatchedEvent], _Watch] = {}

        scene.hidden.observers.append(self._give_up)

    def _give_up(self, path: str) -> None:
        """Expect no events about a node."""
        for deferred, watch in list(self._watches.items()):
            if watch.path == path:
                del self._watches[deferred]
                self._replies.fired(watch.operation, event=False)

    @property
    def count(self) -> int:
        """The number of watches."""
        return len(self._watches)

    def saw(
        self,
        operation: Operation,
        path: str,
        shown: object,
        watch: Deferred[WatchedEvent] | None,
        subject: WatchSubject,
    ) -> int:
        """Check what was read, and note the watch that the read has set. Return the zxid of the reply."""
        truth, zxid = self._truth, self._replies.zxid()
        of_children = subject is WatchSubject.CHILDREN
        there: object = truth.children_at(path, zxid) if of_children else truth.at(path, zxid)
        self._replies.check_that(
            there == shown,
            lambda: f"#{operation.number} shows {path} as {shown} at {zxid:#x}, not {there}",
        )
        self._replies.note_zxid(operation, zxid)
        self._check_order(operation, path, zxid)
        if watch is not None and path in self._hidden:
            # The servers may send no event to it.
            self._replies.fired(operation, event=False)
        elif watch is not None and not watch.called:
            number = self._replies.session_number
            self._watches[watch] = _Watch(operation, subject, path, zxid, truth.generation, number)
        return zxid

    def _check_order(self, operation: Operation, path: str, zxid: int) -> None:
        """Check that no watch is still to report a change that a reply shows already."""
        for watch in self._watches.values():
            late = watch.path == path and watch.session == self._replies.session_number and self._owed(watch, zxid)
            self._replies.check_that(not late, f"#{operation.number} shows {zxid:#x} before {watch} has fired")

    def expect(self, deferred: Deferred[WatchedEvent] | None) -> None:
        """Check the result of a watch, which may be set later or never."""
        if deferred is not None:
            deferred.addBoth(self._fired, deferred)

    def _fired(self, result: WatchedEvent | Failure, deferred: Deferred[WatchedEvent]) -> None:
        watch = self._watches.pop(deferred, None)
        if isinstance(result, Failure):
            if watch is not None:
                self._replies.fired(watch.operation, event=False)
            # The read of a watch that was not set yet fails in another way. A server may refuse to set watches again.
            if watch is not None and not result.check(
                SessionExpiredException, ClosingException, CancelledError, SystemErrorException
            ):
                self._replies.check_that(False, f"{watch} has failed: {result.getTraceback()}")
        elif watch is not None:
            self._replies.note(f"{watch}: {result.type.name}")
            self._replies.fired(watch.operation)
            self._replies.check_that(result.path == watch.path, f"{watch} has reported {result}")
            if watch.generation == self._truth.generation:
                self._replies.check_that(self._changed(watch), f"{watch} has fired, and nothing has changed")

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

    def check_settled(self) -> None:
        """Check that no watch was missed."""
        for watch in list(self._watches.values()):
            self._replies.check_that(not self._owed(watch, FOREVER), f"{watch} has not fired")
            current = watch.session == self._replies.session_number
            self._replies.check_that(current, f"{watch} has outlived its session")

    def check_closed(self) -> None:
        """Check that all watches have failed."""
        left = [str(watch) for watch in self._watches.values()]
        self._replies.check_that(not left, f"the client is closed, and waits for {left[:3]}")
