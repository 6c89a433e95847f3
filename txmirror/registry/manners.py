"""The manners of a registration: how slowly to correct a node that others keep changing, and what to log once."""

from __future__ import annotations

from twisted.logger import Logger

from txmirror.printable import on_one_line, session_name
from txmirror.registry.reconcile import FIRST_PAUSE, LONGEST_PAUSE
from txmirror.retrying import Backoff

#: The number of seconds in place after which the pauses between corrections start anew.
_STABLE = 60.0
#: The number of bytes of another session's data that are logged.
_EXCERPT = 200


class Manners:
    """Slows down corrections of a node that is overwritten or deleted repeatedly, and logs each reason once.

    :param path: the path of the node.
    """

    _log = Logger()

    def __init__(self, path: str) -> None:
        self._path = path
        self._corrected = False
        self._corrections: Backoff | None = None
        self._stable_since = 0.0
        self._last_warning: tuple[str, dict[str, str]] | None = None
        #: The session in which the node was last reported as registered, unless it was written again since.
        self._reported_session = 0

    def started(self) -> None:
        """Begin anew: the registration was started."""
        self._reported_session = 0
        self._reset_corrections()

    def pause_before_correction(self, now: float) -> float:
        """Return the seconds after which to correct a node that was in place, and that others have changed."""
        if now - self._stable_since >= _STABLE:
            self._reset_corrections()
            self._last_warning = None
        if not self._corrected:
            self._corrected = True
            return 0.0
        if self._corrections is None:
            self._corrections = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        pause = self._corrections.next_pause()
        self.warn_once("{path} is being overwritten repeatedly; next correction in {pause} s.", pause=f"{pause:g}")
        return pause

    def written(self) -> None:
        """Note that the node is being written: log when it is in place."""
        self._reported_session = 0

    def in_place(self, session_id: int, now: float) -> None:
        """Note that the node is in place again."""
        self._stable_since = now
        if not self._corrected:
            self._last_warning = None
        if self._reported_session != session_id:
            self._reported_session = session_id
            self._log.info("Registered {path}.", path=self._path)

    def withdrawn(self) -> None:
        """Log that the node was deleted on request."""
        self._log.info("Withdrew {path}.", path=self._path)

    def _reset_corrections(self) -> None:
        self._corrected = False
        self._corrections = None

    def warn_of_owner(self, owner: int, data: bytes, *, former: bool) -> None:
        """Warn that a node is in the way.

        :param owner: the session that owns it; 0 if it is persistent.
        :param former: whether that is a former session of ours.
        """
        if owner == 0:
            self.warn_once("{path} is a persistent node: it cannot be registered until that node is deleted.")
        elif former:
            self.warn_once(
                "{path} still exists from our former session: it is registered again when that session has expired."
            )
        else:
            self.warn_once(
                "{path} is registered by another session, {owner}, with the data {data}: it is registered here when that"
                " session has ended.",
                owner=session_name(owner),
                data=_excerpt(data),
            )

    def warn_refused(self, error: Exception, *, wanted: bool, reported: bool) -> None:
        """Warn of a refusal; the step is retried.

        :param reported: whether a Deferred of the program's has failed with it: then the same refusal is not logged here either.
        """
        what = "registered" if wanted else "withdrawn"
        self._warn("{path} cannot be {what}: {reason}. Retrying.", reported, what=what, reason=str(error))

    def warn_once(self, format: str, **fields: str) -> None:
        """Log a warning, once for each new reason; other data of the same node, or another pause, is not a new reason."""
        self._warn(format, False, **fields)

    def _warn(self, format: str, reported: bool, **fields: str) -> None:
        said = (format, {name: text for name, text in fields.items() if name not in ("data", "pause")})
        if said != self._last_warning:
            self._last_warning = said
            if not reported:
                self._log.warn(format, path=self._path, **fields)

    def warn_late(self, timeout: float, session_timeout: float, *, connected: bool) -> None:
        """Warn that the node could not be deleted in time."""
        if connected:
            reason = "the server has not deleted it"
            fate = f"Retrying; otherwise the node is deleted with the session, at most {session_timeout:g} s after the client is closed"
        else:
            reason = "ZooKeeper is out of reach"
            fate = (
                f"The node is deleted when ZooKeeper is back, or with the session, which expires {session_timeout:g} s after"
                " the server last heard from this client"
            )
        self._log.warn(
            "{path} could not be withdrawn within {timeout:g} s: {reason}. {fate}.",
            path=self._path,
            timeout=timeout,
            reason=reason,
            fate=fate,
        )


def _excerpt(data: bytes) -> str:
    text = on_one_line(data[:_EXCERPT].decode(errors="backslashreplace"))
    return f"{text}..." if len(data) > _EXCERPT else text
