"""Log that connections are made and lost, and that sessions expire."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.client.connection.settings import Server
from txmirror.timers import Timer

#: The shortest time that a connection must last to count as stable, in seconds, however short the session timeout.
_STABLE = 0.5


def stable_after(session_timeout: float) -> float:
    """Return the time that a connection must last to count as stable, in seconds."""
    return max(session_timeout / 3, _STABLE)


class ConnectionLog:
    """Logs each connection that is made and lost, and its effect on the session, but less in a run of short connections.

    In a run of connections that are not stable, the log has each server's first failure of a kind, and then only the 2nd, 4th,
    8th and so on of the run. The connection that ends the run is logged as soon as it is stable.

    :param clock: runs the timer.
    :ivar loss: the reason why the last connection was lost; None if none was.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._brief = 0
        self._logged: set[object] = set()
        self._logging = True
        self._held_back: dict[str, object] = {}
        self._stable_timer = Timer(clock, self._log_held_back)
        self.loss: str | None = None

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
        if self._logging:
            self._log.info("Connected to {server}: {verb} session {session}, timeout {timeout:g} s{limited}.", **fields)
        else:
            self._held_back = fields
            self._stable_timer.start(stable_after(timeout))

    def disconnected(self, server: Server, reason: Exception, session: str, timeout: float, *, stable: bool) -> None:
        """Log that a connection is lost.

        :param session: the session's name.
        :param timeout: its timeout in seconds.
        :param stable: whether the connection was stable.
        """
        self._stable_timer.stop()
        self.loss = str(reason)
        if stable:
            self._end_run()
        else:
            self._brief += 1
            # Powers of two have one bit.
            self._logging = self._brief & (self._brief - 1) == 0
            self._logging = self._should_log((server, type(reason)))
        if self._logging:
            self._log.warn(
                "Disconnected from {server}: {reason}. Session {session} expires if there is no connection within"
                " {timeout:g} s.{run}",
                server=str(server),
                reason=str(reason),
                session=session,
                timeout=timeout,
                run=f" {self._brief} connections in a row were short." if self._brief > 1 else "",
            )

    def expired(self, session: str) -> None:
        """Log that a session has expired."""
        if self._should_log("expired"):
            self._log.warn("Session {session} has expired.", session=session)

    def probably_expired(self, session: str, silence: float) -> None:
        """Log that a session has probably expired.

        :param silence: the time without contact with a server, in seconds.
        """
        if self._should_log("probably expired"):
            self._log.warn(
                "Out of contact for {silence:.1f} s: session {session} has probably expired.",
                silence=silence,
                session=session,
            )

    def stop(self) -> None:
        """Stop the timer."""
        self._stable_timer.stop()

    def _should_log(self, kind: object) -> bool:
        """Return whether to log an event now: always, or the first of its kind in this run."""
        log = self._logging or kind not in self._logged
        if self._brief:
            self._logged.add(kind)
        return log

    def _log_held_back(self) -> None:
        self._log.info(
            "Connected to {server}: {verb} session {session}, timeout {timeout:g} s{limited}. The {brief} connections before"
            " it were short.",
            brief=self._brief,
            **self._held_back,
        )
        self._end_run()

    def _end_run(self) -> None:
        self._brief = 0
        self._logged.clear()
        self._logging = True
