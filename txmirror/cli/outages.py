"""Limit the time for which a command waits while ZooKeeper is out of reach."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.client import ZooKeeperClient
from txmirror.timers import Timer
from txmirror.types import News, SessionEvent, SessionState


class OutageLimit:
    """Ends a command that has been without a connection for some time, unless it outlives outages.

    :param client: the command's client.
    :param timeout: the time, in seconds.
    :param reactor: runs the timers.
    :param give_up: called when the time is over, with whether there was a connection before.
    :param in_reach: called when there is a connection again that lasts, if the command outlives outages.
    :ivar outlived: whether the command outlives outages.
    :ivar doubt: which effect of the command is unknown, if it is ended after a connection.
    """

    def __init__(
        self,
        client: ZooKeeperClient,
        timeout: float,
        reactor: IReactorTime,
        give_up: Callable[[bool], None],
        in_reach: Callable[[], object],
    ) -> None:
        self.outlived: bool = False
        self.doubt = ""
        self._client = client
        self._timeout = timeout
        self._in_reach = in_reach
        self._was_connected = self._was_away = False
        self._limit = Timer(reactor, lambda: give_up(self._was_connected))
        self._stable = Timer(reactor, self._connection_lasts)

    def start(self) -> None:
        """Begin to wait for a connection."""
        self._client.add_listener(self._session_changed)
        self._limit.start(self._timeout)

    def outlive(self) -> None:
        """Let the command outlive all outages from now on."""
        self.outlived = True
        self._limit.stop()

    def limit(self) -> None:
        """Limit outages again from now on, also one that lasts."""
        self.outlived = self._was_away = False
        self._stable.stop()
        if self._client.session.state is not SessionState.CONNECTED:
            self._limit.start(self._timeout)

    def stop(self) -> None:
        """Stop: the command has ended."""
        self._limit.stop()
        self._stable.stop()
        self._client.remove_listener(self._session_changed)

    def _session_changed(self, news: News) -> None:
        if not isinstance(news, SessionEvent):
            return
        if news.state is SessionState.CONNECTED:
            self._limit.stop()
            if self.outlived and self._was_away:
                # Only a connection that lasts is reported.
                self._stable.start(self._client.session_timeout / 3)
            self._was_connected = True
            return
        self._stable.stop()
        self._was_away = self._was_connected
        if not self.outlived and not self._limit.running:
            self._limit.start(self._timeout)

    def _connection_lasts(self) -> None:
        self._was_away = False
        self._in_reach()
