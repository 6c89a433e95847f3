"""Call the program's metrics, and log their exceptions."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from txmirror.interfaces import IMetrics
from txmirror.types import SessionEvent


@implementer(IMetrics)
class GuardedMetrics:
    """Passes every call on to a program's metrics, and logs the exceptions that those raise.

    :param metrics: the program's.
    """

    _log = Logger()

    def __init__(self, metrics: IMetrics) -> None:
        self._metrics = metrics

    def sent(self, operation: str, size: int) -> None:
        """Count a request. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("sent", operation, size)

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None:
        """Count a reply. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("answered", operation, seconds, error, size)

    def lost(self, operation: str, seconds: float) -> None:
        """Count a request that was lost with its connection. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("lost", operation, seconds)

    def received(self, size: int) -> None:
        """Count received bytes. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("received", size)

    def connected(self, event: SessionEvent) -> None:
        """Count an established connection. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("connected", event)

    def disconnected(self, event: SessionEvent) -> None:
        """Count a lost connection. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("disconnected", event)

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            getattr(self._metrics, name)(*arguments)
        except Exception:
            # The program's code may raise any exception.
            self._log.failure("The metrics {metrics} failed.", metrics=self._metrics)
