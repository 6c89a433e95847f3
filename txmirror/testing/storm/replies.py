"""The operations of one client in a storm: each reply is compared with the effects at the servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.client import ZooKeeperClient
from txmirror.errors import (
    BadVersionException,
    NodeExistsException,
    NoNodeException,
    NotEmptyException,
    ZooKeeperException,
)
from txmirror.testing.history import Absent, Answer, Call, Operation, Outcome, Refusal, Refused, Set
from txmirror.testing.storm.parts import Pending, Scene, session_to_come

_REFUSALS: dict[type[ZooKeeperException], Refusal] = {
    BadVersionException: Refusal.BAD_VERSION,
    NodeExistsException: Refusal.NODE_EXISTS,
    NoNodeException: Refusal.NO_NODE,
    NotEmptyException: Refusal.NOT_EMPTY,
}


class Replies:
    """The operations of a client.

    No reply may have a lower zxid than an earlier one, and a failure must be true about the effect of the operation.

    :param scene: the world.
    :param name: the name of the client in the log.
    :param client: the client.
    :ivar client: the client; another one after :meth:`take_over`.
    :ivar pending: the operations without a result.
    :ivar observers: called with the zxid of each reply.
    """

    def __init__(self, scene: Scene, name: str, client: ZooKeeperClient) -> None:
        self.pending: Pending = Pending(scene, name)
        self._scene = scene
        self._truth = scene.truth
        self._name = name
        self.client: ZooKeeperClient = client
        self.observers: list[Callable[[int], object]] = []
        #: The name of the client in the history. Clients that follow one another in the same session have the same name.
        self._client_name = name
        self._clients = 1
        #: The number of sessions of the clients before this one.
        self._earlier = 0
        #: The data generation and the zxid of the latest reply.
        self._floor = (0, 0)
        #: The data of writes that were not done, as the client says.
        self._not_written: list[bytes] = []

    @property
    def session_number(self) -> int:
        """The number of the present session, of all sessions of all clients."""
        return self._earlier + self.client.session.session_number

    def take_over(self, client: ZooKeeperClient, *, has_session: bool) -> None:
        """Go on with another client.

        :param has_session: it takes over the session of the former one. Otherwise it knows nothing of it, so a server that lags may
            show it an older state.
        """
        self._earlier += self.client.session.session_number
        self.client = client
        if not has_session:
            self._floor = (0, 0)
            self._clients += 1
            self._client_name = f"{self._name} ({self._clients})"
            self._scene.journal.pipelined.add(self._client_name)

    def check_that(self, holds: bool, complaint: str | Callable[[], str]) -> None:
        """Record a violation, if something does not hold."""
        self._scene.check(holds, lambda: f"{self._name}: {complaint if isinstance(complaint, str) else complaint()}")

    def note(self, text: str) -> None:
        """Add a line to the log."""
        self._scene.journal.note(self._name, text)

    def begin(self, call: Call) -> Operation:
        """Note that an operation begins."""
        return self._scene.journal.begin(self._client_name, self._earlier + session_to_come(self.client.session), call)

    def end(self, operation: Operation, zxid: int | None, answer: Answer | None) -> None:
        """Note that an operation has succeeded."""
        self._scene.journal.end(operation, Outcome.APPLIED, zxid, answer, session=self.session_number)

    def fired(self, operation: Operation, *, event: bool = True) -> None:
        """Note that the watch of a read has fired, or has ended without an event."""
        self._scene.journal.recorder.fired(operation.number, event=event)

    def wait(
        self,
        deferred: Deferred[Any],
        operation: Operation,
        check: Callable[[Any], tuple[int, Answer | None]],
        data: list[bytes],
        missing: Callable[[], int] | None = None,
    ) -> None:
        """Note the result of an operation, and check it.

        :param check: called with the result; returns the zxid of the reply, and the answer.
        :param data: the data that the operation writes.
        :param missing: called if a read shows that there is no node; returns the zxid of the reply.
        """

        def done(result: Any) -> None:
            if not isinstance(result, Failure):
                self.end(operation, *check(result))
            elif missing is not None and isinstance(result.value, NoNodeException):
                self.end(operation, missing(), Absent())
            else:
                self._failed(operation, result.value, data)

        deferred.addBoth(done)
        self.pending.add(deferred, f"#{operation.number} {operation.call}")

    def _failed(self, operation: Operation, error: BaseException | None, data: list[bytes]) -> None:
        known = isinstance(error, (ZooKeeperException, CancelledError))
        self.check_that(known, f"#{operation.number} has failed with {error!r}")
        applied = getattr(error, "applied", None)
        outcome = Outcome.NOT_APPLIED if applied is False else Outcome.UNKNOWN
        if outcome is Outcome.NOT_APPLIED:
            self._not_written += data
        self._check_refusal(operation, error)
        reason = next((reason for kind, reason in _REFUSALS.items() if isinstance(error, kind)), None)
        answer = None if reason is None or outcome is not Outcome.NOT_APPLIED else Refused(reason)
        self._scene.journal.end(operation, outcome, None, answer, type(error).__name__)

    def _check_refusal(self, operation: Operation, error: BaseException | None) -> None:
        """Check that the reason of a refusal is true at a moment that the client may see."""
        if isinstance(operation.call, Set) and operation.call.version == -1:
            self.check_that(
                not isinstance(error, (BadVersionException, NodeExistsException)),
                f"#{operation.number} was refused for a strange reason: {error!r}",
            )

    def zxid(self) -> int:
        """Return the zxid of the reply that is being delivered."""
        return self.client._session._credentials.seen_zxid

    def note_zxid(self, operation: Operation, zxid: int) -> None:
        """Check that the client has seen nothing later than a reply."""
        generation, floor = self._floor
        if generation == self._truth.generation:
            self.check_that(zxid >= floor, f"#{operation.number} goes back to {zxid:#x}, from {floor:#x}")
        self._floor = (self._truth.generation, zxid)
        for observer in self.observers:
            observer(zxid)

    def check_settled(self) -> None:
        """Check that nothing waits, and that no write was done that is said to have had no effect."""
        self.pending.check_none("all has settled")
        for data in self._not_written:
            count = self._truth.written[data]
            self.check_that(not count, f"{data!r} was not written, the client says, and was {count} times")
        self._not_written.clear()
