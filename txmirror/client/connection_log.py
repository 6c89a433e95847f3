"""The log lines that say that connections are made and lost."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.client.servers import Server
from txmirror.timers import Timer

#: How long a connection has to last, in seconds, to be counted as one that lived, however short its session.
_LIVED = 0.5


def time_to_live(session_timeout: float) -> float:
    """Return the seconds that a connection has to last to be counted as one that lived."""
    return max(session_timeout / 3, _LIVED)


class ConnectionLog:
    """Logs each connection that is made and lost, and what that means for the session, but little where no connection lives.

    In a run of connections that do not live, each server's first failure of a kind is logged, and then only the 2nd, 4th, 8th
    and so on of the run. The connection that ends the run is logged as soon as it has lived.

    :param clock: runs the timer.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._brief = 0
        self._said: set[object] = set()
        self._saying = True
        self._held_back: dict[str, object] = {}
        self._lived = Timer(clock, self._say_held_back)

    def connected(self, server: Server, verb: str, session: str, timeout: float, read_only: bool) -> None:
        """Log a connection.

        :param verb: ``new`` or ``resumed``.
        :param session: the session's name.
        :param timeout: its timeout in seconds.
        """
        fields: dict[str, object] = {
            "server": str(server),
            "verb": verb,
            "session": session,
            "timeout": timeout,
            "limited": ", read-only" if read_only else "",
        }
        if self._saying:
            self._log.info("Connected to {server}: {verb} session {session}, timeout {timeout:g} s{limited}.", **fields)
        else:
            self._held_back = fields
            self._lived.start(time_to_live(timeout))

    def disconnected(self, server: Server, reason: Exception, session: str, timeout: float, *, lived: bool) -> None:
        """Log that a connection is lost.

        :param session: the session's name.
        :param timeout: its timeout in seconds.
        :param lived: whether the connection has lived.
        """
        self._lived.stop()
        if lived:
            self._end_run()
        else:
            self._brief += 1
            # Powers of two have one bit.
            self._saying = self._brief & (self._brief - 1) == 0
            self._saying = self._is_news((server, type(reason)))
        if self._saying:
            self._log.warn(
                "Disconnected from {server}: {reason}. Session {session} ends if none is reached in time: {timeout:g} s.{run}",
                server=str(server),
                reason=str(reason),
                session=session,
                timeout=timeout,
                run=f" {self._brief} connections in a row were short." if self._brief > 1 else "",
            )

    def expired(self, session: str) -> None:
        """Log that a session has ended."""
        if self._is_news("expired"):
            self._log.warn("Session {session} has ended.", session=session)

    def probably_expired(self, session: str, silence: float) -> None:
        """Log that a session has probably ended.

        :param silence: for how many seconds there was no contact with a server.
        """
        if self._is_news("probably expired"):
            self._log.warn(
                "Out of contact for {silence:.1f} s: session {session} has most likely ended.",
                silence=silence,
                session=session,
            )

    def stop(self) -> None:
        """Stop the timer."""
        self._lived.stop()

    def _is_news(self, kind: object) -> bool:
        """Tell whether to log something now, or once in this run."""
        news = self._saying or kind not in self._said
        if self._brief:
            self._said.add(kind)
        return news

    def _say_held_back(self) -> None:
        self._log.info(
            "Connected to {server}: {verb} session {session}, timeout {timeout:g} s{limited}. The {brief} connections before"
            " it were short.",
            brief=self._brief,
            **self._held_back,
        )
        self._end_run()

    def _end_run(self) -> None:
        self._brief = 0
        self._said.clear()
        self._saying = True
