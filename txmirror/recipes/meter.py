"""Reports the work of one recipe to the program's metrics, if it has some for recipes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.interfaces import IMetricsHolder, IRecipeMetrics, IZooKeeperClient

_T = TypeVar("_T")


def _ignore(lost: bool) -> None:
    pass


class Meter:
    """Calls the program's metrics.

    :param metrics: the metrics; without them it does nothing.
    :param kind: the recipe.
    :param path: its node.
    :param seconds: returns the time.
    """

    _log = Logger()

    def __init__(self, metrics: IRecipeMetrics | None, kind: str, path: str, seconds: Callable[[], float]) -> None:
        self._metrics = metrics
        self._kind = kind
        self._path = path
        self._seconds = seconds

    def measure(self, operation: str, running: Deferred[_T], *, not_done: tuple[Any, ...] = ()) -> Deferred[_T]:
        """Report the end of an operation that has just begun.

        :param not_done: the results that mean that it was not done.
        :returns: ``running``.
        """
        if self._metrics is None:
            return running
        since = self._seconds()

        def ended(result: Any) -> Any:
            if isinstance(result, Failure):
                outcome = "cancelled" if isinstance(result.value, CancelledError) else "failed"
            else:
                outcome = "not_done" if any(result is each for each in not_done) else "done"
            self._call("operation_ended", operation, outcome, since)
            return result

        return running.addBoth(ended)

    def hold(self) -> Callable[[bool], None]:
        """Note that something is held from now on.

        :returns: the function to call when it is not held any more: with True if it was lost.
        """
        if self._metrics is None:
            return _ignore
        since = self._seconds()
        return lambda lost: self._call("holding_ended", lost, since)

    def _call(self, name: str, *arguments: Any) -> None:
        *values, since = arguments
        try:
            getattr(self._metrics, name)(self._kind, self._path, *values, self._seconds() - since)
        except Exception:
            # The program's code may raise any exception.
            self._log.failure("The metrics {metrics} failed.", metrics=self._metrics)


#: Reports nothing: for the parts of a recipe.
SILENT = Meter(None, "", "", float)


def make_meter(client: IZooKeeperClient, kind: str, path: str, clock: IReactorTime) -> Meter:
    """Return a meter that calls the metrics of a client's program, if there are some for recipes."""
    holder: IMetricsHolder | None = IMetricsHolder(client, None)
    metrics: Any = None if holder is None else holder.metrics
    return Meter(metrics if IRecipeMetrics.providedBy(metrics) else None, kind, path, clock.seconds)
