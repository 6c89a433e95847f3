"""The public methods of parties and groups of members: join, leave."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, gatherResults, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.errors import NoNodeException
from txmirror.recipes.kept_node import KeptNode
from txmirror.recipes.meter import Meter
from txmirror.recipes.place import Place

_MembershipT = TypeVar("_MembershipT", bound="Membership")


class Membership:
    """A program that is a member from :meth:`join` to :meth:`leave`.

    :param place: the parent of the members' nodes.
    :param name: our name.
    :param make_node: makes our node.
    """

    _log = Logger()

    def __init__(self, place: Place, name: str, make_node: Callable[[], KeptNode]) -> None:
        self._place = place
        self._name = name
        self._make_node = make_node
        self._node: KeptNode | None = None

    def __repr__(self) -> str:
        state = "outside" if self._node is None else "joined" if self._node.present else "joining"
        return f"<{type(self).__name__} {self._place.describe(self._name)} {state}>"

    @property
    def path(self) -> str:
        """The parent of the members' nodes."""
        return self._place.path

    @property
    def joined(self) -> bool:
        """True if our node was there in our session when we looked last. It is False for a moment when a new session begins."""
        return self._node is not None and self._node.present

    def join(self) -> Deferred[None]:
        """Become a member, until :meth:`leave`: our node exists in each session, one after another.

        If it is deleted by others, it is created again. A second call waits for the same.

        :returns: fires when our node is there. It survives lost connections and expired sessions. Fails with
            :exc:`~txmirror.errors.ClosingException` or :exc:`~txmirror.errors.AuthFailedException`, where there will be no session
            any more, and with a server's refusal, such as :exc:`~txmirror.errors.NoAuthException`: then we do not join. (Later
            refusals are logged, and it tries again after a pause.) Cancelling the first call leaves again.
        """
        if self._node is not None:
            return self._node.when_present()
        self._node = node = self._make_node()
        node.start()

        def failed(failure: Failure) -> Failure:
            if self._node is node:
                self.leave().addErrback(lambda _: None)
            return failure

        return self._place.meter.measure("join", node.when_present().addErrback(failed))

    def leave(self) -> Deferred[None]:
        """Be no member any more. A pending :meth:`join` fails with ``CancelledError``.

        :returns: fires when our node is deleted, or its session is over; at once if we are no member. Fails with a server's
            refusal; our node is then deleted with the session. Cancelling ends the wait, and nothing else.
        """
        if self._node is None:
            return succeed(None)
        node, self._node = self._node, None
        left: Deferred[None] = Deferred()

        def stopped(outcome: Failure | None) -> None:
            if isinstance(outcome, Failure) and not isinstance(outcome.value, CancelledError):
                self._log.error(
                    "{path}: our node could not be deleted: {reason}. It stays until the session ends.",
                    path=node.path,
                    reason=str(outcome.value),
                )
            if not left.called:
                left.callback(outcome)

        node.stop().addBoth(stopped)
        return left

    def measure_as(self, meter: Meter) -> None:
        """Report to the metrics as the part of another recipe.

        :param meter: that of the other one.
        :meta private:
        """
        self._place.meter = meter

    def __aenter__(self: _MembershipT) -> Deferred[_MembershipT]:
        return self.join().addCallback(lambda _: self)

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.leave()


async def data_of_children(place: Place, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Read the data of those children of a place's node whose names are wanted, without those that are gone meanwhile."""
    await place.sync()
    names = sorted(filter(wanted, await place.children(place.path)))
    found: dict[str, bytes] = {}

    async def read(name: str) -> None:
        path = paths.join(place.path, name)
        with contextlib.suppress(NoNodeException):
            found[name], _ = await place.retry_policy.send(lambda: place.client.get(path))

    reads: list[Deferred[Any]] = [
        Deferred.fromCoroutine(read(name)).addErrback(lambda failure: failure.value) for name in names
    ]
    for outcome in await gatherResults(reads):
        if isinstance(outcome, Exception):
            raise outcome
    return {name: found[name] for name in names if name in found}
