"""The program's own counters, called so that what they raise harms nobody."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from txmirror.interfaces import IMetrics
from txmirror.types import SessionEvent


@implementer(IMetrics)
class GuardedMetrics:
    """Passes everything on to a program's metrics. What those raise is logged.

    :param metrics: the program's.
    """

    _log = Logger()

    def __init__(self, metrics: IMetrics) -> None:
        self._metrics = metrics

    def sent(self, operation: str, size: int) -> None:
        """See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("sent", operation, size)

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None:
        """See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("answered", operation, seconds, error, size)

    def lost(self, operation: str, seconds: float) -> None:
        """See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("lost", operation, seconds)

    def received(self, size: int) -> None:
        """See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("received", size)

    def connected(self, event: SessionEvent) -> None:
        """See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("connected", event)

    def disconnected(self, event: SessionEvent) -> None:
        """See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("disconnected", event)

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            getattr(self._metrics, name)(*arguments)
        except Exception:
            # It is the program's code, which may raise anything.
            self._log.failure("The metrics {metrics} failed.", metrics=self._metrics)
