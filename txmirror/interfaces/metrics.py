"""The interfaces of a program's metrics."""

from __future__ import annotations

from zope.interface import Attribute, Interface

from txmirror.types import SessionEvent


class IMetrics(Interface):
    """An object of the program that counts and times a client's work. The client calls it in the reactor's thread.

    Times are in seconds. Sizes are in bytes, with a frame's length prefix. ``operation`` is a name such as ``"GET_DATA"``. An
    exception that a method raises is logged, and has no other effect.
    """

    def sent(operation: str, size: int) -> None:
        """Note that a request was handed to the transport."""

    def answered(operation: str, seconds: float, error: int, size: int) -> None:
        """Note that a request was answered.

        :param error: 0, or ZooKeeper's error code.
        :param size: the size of the reply; the announced size, if that is over the limit.
        """

    def lost(operation: str, seconds: float) -> None:
        """Note that a request was sent and will not be answered: the connection was lost."""

    def received(size: int) -> None:
        """Note that bytes arrived: of replies, events, and all else."""

    def connected(event: SessionEvent) -> None:
        """Note that a session is established; it was resumed if its ``session_number`` is unchanged."""

    def disconnected(event: SessionEvent) -> None:
        """Note that the session's connection was lost."""


class IMetricsHolder(Interface):
    """A client that has the program's metrics."""

    metrics: IMetrics | None = Attribute("The object; None if there is none.")


class IRecipeMetrics(Interface):
    """An object of the program that counts and times the work of recipes. It is the one that the program has given to its client as
    ``metrics``, if that provides this interface too. The recipes call it in the reactor's thread.

    ``kind`` is the recipe, such as ``"Lock"``, and ``path`` its node. The parts of a recipe are not reported: a :class:`.Semaphore` has no
    ``"Lock"``. The items of a :class:`.Partitioner` are reported with its own kind and path, and the locks of a :class:`.MultiLock` each
    with its own. Times are in seconds. An exception that a method raises is logged, and has no other effect.
    """

    def operation_ended(kind: str, path: str, operation: str, outcome: str, seconds: float) -> None:
        """Note that an operation has ended.

        :param operation: the name of the method, such as ``"acquire"``, ``"put"`` or ``"get"``. Reads are not reported. An election,
            and each item of a partitioner, acquires (``"acquire"``) its leadership.
        :param outcome: ``"done"``; ``"not_done"``, where the time was over, or the result is False or None because there was nothing to do;
            ``"cancelled"``; or ``"failed"``.
        :param seconds: the time since the call, with all waiting.
        """

    def holding_ended(kind: str, path: str, lost: bool, seconds: float) -> None:
        """Note that something is not held any more: a lock, a lease, a leadership, an entry of a locking queue, a membership.

        :param lost: False if it was released, or consumed; True if it was lost before that: its session may have expired, or others have
            deleted its node.
        :param seconds: the time for which it was held.
        """
