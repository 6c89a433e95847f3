"""Log the nodes that cannot be read: a session without permissions may meet thousands of them at once."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.errors import ZooKeeperException
from txmirror.printable import on_one_line

#: The most nodes that are logged in an interval, and the interval in seconds.
_MOST: Final = 20
_INTERVAL: Final = 60.0


class RefusalLog:
    """Logs nodes that cannot be read: the first ones in each interval, and then one line for all others.

    :param reactor: measures the time.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._began = float("-inf")
        self._count = 0

    def refused(self, path: str, error: ZooKeeperException) -> None:
        """Note that a node cannot be read."""
        now = self._reactor.seconds()
        if not 0 <= now - self._began < _INTERVAL:
            self._began, self._count = now, 0
        self._count += 1
        if self._count <= _MOST:
            self._log.warn("{path} cannot be read: {reason}. Retrying.", path=on_one_line(path), reason=str(error))
        elif self._count == _MOST + 1:
            self._log.warn(
                "More than {most} nodes cannot be read. Further ones are not logged for up to {seconds:g} s.",
                most=_MOST,
                seconds=_INTERVAL,
            )
