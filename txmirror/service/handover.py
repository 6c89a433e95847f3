"""The hand-over of a session from the last process: its file, the nodes in it, and the writes that wait for both."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.deferreds import Waiters
from txmirror.errors import BadVersionException, ConnectionLossException, NoNodeException, ZooKeeperException
from txmirror.interfaces import ISessionHolder, IZooKeeperClient
from txmirror.printable import session_name
from txmirror.retrying import RetryTimer
from txmirror.service.session_settings import SessionSettings
from txmirror.service.state_file import SavedSession
from txmirror.types import SessionTicket, ZnodeStat

#: The password of all sessions of ClickHouse Keeper, which resumes none of them.
_KEEPER = bytes(16)
#: The first and the longest pause before a session is prepared again that a server has refused to prepare, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 10.0


class Claim(enum.Enum):
    """The daemon's interest in a znode that the last process has created."""

    WANTED = "wanted"
    """Its service is to be registered."""
    UNDECIDED = "undecided"
    """The checks of its service have not decided yet."""
    WAITING = "waiting"
    """Its service is to be registered, but not in place of another session's znode."""
    UNWANTED = "unwanted"
    """Its service is not to be registered, or is no longer in the configuration."""


class IHeir(Protocol):
    """The user of a :class:`Handover`."""

    def resumed(self, paths: Mapping[str, str]) -> None:
        """Note that the last process's session was resumed, and that these znodes, by their services' ids, are in it."""

    def claim(self, path: str) -> Claim:
        """Return the interest in a znode."""


class Handover:
    """Prepares each session before the first write in it.

    It writes the session to the state file. In the first session it looks for the znodes of the last process: those that are not
    wanted are deleted before anything is created.

    It has more than 12 attributes: six are its parameters, and the others the steps of a preparation that a lost connection may cut
    off at any time.

    :param client: the client.
    :param heir: decides about the znodes.
    :param settings: the settings of the session.
    :param former: the last process's session; None if there is none. The client resumes it if it can.
    :param pause: returns the seconds to wait before the first write in a session that was not resumed.
    :param reactor: the reactor.
    """

    _log = Logger()

    def __init__(
        self,
        client: IZooKeeperClient,
        heir: IHeir,
        settings: SessionSettings,
        former: SavedSession | None,
        *,
        pause: Callable[[], float],
        reactor: IReactorTime,
    ) -> None:
        self._client = client
        self._heir = heir
        self._settings = settings
        self._former = former
        self._pause = pause
        self._reactor = reactor
        self._paths: Mapping[str, str] = {}
        self._session_id = 0
        self._ready = False
        self._stopped = False
        self._paused_in = 0
        self._said_keeper = False
        self._lingering: dict[str, int] = {}
        self._waiting: Waiters[None] = Waiters()
        self._preparing: Deferred[None] | None = None
        self._again = RetryTimer(reactor, self._prepare, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)

    # Writes wait here: registrations take this object for their rate limit.

    def take(self) -> Deferred[None]:
        """Wait until a write is allowed.

        :returns: fires when the session is prepared, and the rate allows it. Cancelling ends the wait.
        """
        if self._ready:
            return self._take_token()

        def prepared(_: None) -> None:
            self._take_token().addCallback(granted)

        def granted(_: None) -> None:
            if not permit.called:
                permit.callback(None)

        ready = self._waiting.wait()
        permit: Deferred[None] = Deferred(lambda _: ready.cancel())
        ready.addCallbacks(prepared, lambda _: None)
        return permit

    def _take_token(self) -> Deferred[None]:
        return succeed(None) if self._settings.bucket is None else self._settings.bucket.take()

    # Called by the owner.

    def may_have(self, path: str) -> bool:
        """Return whether a znode of the last process may exist in the session."""
        return self._former is not None and path in self._former.paths.values()

    @property
    def registers(self) -> bool:
        """True if there are znodes that may be registered."""
        return bool(self._paths)

    def declare(self, paths: Mapping[str, str]) -> None:
        """Set the znodes that may be created, by their services' ids. Writes wait until the state file has them."""
        if not self._stopped and dict(paths) != self._paths:
            self._paths = dict(paths)
            if self._settings.state is not None and self._ready:
                self._ready = False
                self._prepare()

    def connected(self) -> None:
        """Note that a session is established: prepare it, unless it is prepared already."""
        if self._client.session_id != self._session_id:
            self._session_id = self._client.session_id
            self._ready = False
        if not self._ready:
            self._prepare()

    def stop(self) -> None:
        """Stop preparing. The znodes stay as they were declared: when the mirror closes, all withdrawals seem to be complete."""
        self._stopped = True
        self._again.stop()
        if self._preparing is not None:
            self._preparing.cancel()

    def release(self, path: str) -> None:
        """Delete a znode that the last process's session still owns, because its service is wanted here, or is not."""
        owner = self._lingering.pop(path, None)
        if owner is not None:
            Deferred.fromCoroutine(self._remove(path, owner)).addErrback(self._failed)

    def saved(self, ticket: SessionTicket) -> SavedSession:
        """Return the session with this ticket as the state file keeps it."""
        paths, former = self._paths, self._former
        if former is not None and former.ticket.session_id == ticket.session_id:
            # If this process is killed now, the next one has to decide about these znodes.
            known = set(paths.values())
            paths = {**{f"{path} (former)": path for path in former.paths.values() if path not in known}, **paths}
        return SavedSession(ticket, self._client.session_timeout, self._settings.servers, self._settings.origin, paths)

    # Steps.

    def _prepare(self) -> None:
        self._again.stop()
        if self._preparing is not None:
            self._preparing.cancel()
        self._preparing = preparing = Deferred.fromCoroutine(self._prepare_session(self._session_id))
        preparing.addErrback(self._failed)

    async def _prepare_session(self, session_id: int) -> None:
        saved: Mapping[str, str] | None = await self._save()
        former = self._former
        if former is not None:
            if session_id == former.ticket.session_id:
                self._paused_in = session_id
                await self._take_over(former)
            else:
                await self._look_for_leftovers(former)
            self._former = None
            # The file is written again, without the znodes that were removed.
            saved = None
        if session_id != self._paused_in:
            self._paused_in = session_id
            if (pause := self._pause()) > 0:
                await deferLater(self._reactor, pause)
        while saved is not self._paths:
            saved = await self._save()
        self._open()

    def _open(self) -> None:
        self._ready = True
        self._again.reset()
        self._waiting.fire(None)

    async def _save(self) -> Mapping[str, str]:
        """Write the state file, and return the znodes that it has now."""
        paths = self._paths
        holder: Any = ISessionHolder(self._client, None)
        ticket = None if holder is None else holder.session_ticket
        if self._settings.state is not None and ticket is not None:
            if ticket.password == _KEEPER and not self._said_keeper:
                self._said_keeper = True
                self._log.warn(
                    "These servers never resume a session, like ClickHouse Keeper: after a restart, services are registered anew."
                )
            # If it fails, that is logged there, and the services are registered all the same.
            await self._settings.state.save(self.saved(ticket))
        return paths

    async def _take_over(self, former: SavedSession) -> None:
        owner = former.ticket.session_id
        stats = await self._stats(former)
        found = {name: path for name, path in former.paths.items() if _owner(stats[path]) == owner}
        self._log.info(
            "Session {session} of the last process was resumed, with {count} of its registrations.",
            session=session_name(owner),
            count=len(found),
        )
        self._heir.resumed(found)
        for path in dict.fromkeys(found.values()):
            if self._heir.claim(path) is Claim.UNWANTED:
                await self._remove(path, owner)

    async def _look_for_leftovers(self, former: SavedSession) -> None:
        owner = former.ticket.session_id
        self._log.info(
            "Session {session} of the last process was not resumed: services are registered anew.",
            session=session_name(owner),
        )
        stats = await self._stats(former)
        for path in dict.fromkeys(former.paths.values()):
            if _owner(stats[path]) != owner:
                continue
            claim = self._heir.claim(path)
            if claim is Claim.UNDECIDED:
                self._lingering[path] = owner
            elif claim is not Claim.WAITING:
                await self._remove(path, owner)

    async def _stats(self, former: SavedSession) -> dict[str, ZnodeStat | None]:
        paths = list(dict.fromkeys(former.paths.values()))
        reads = [self._client.exists(path).addErrback(_unless_lost) for path in paths]
        try:
            stats = await gatherResults(reads, consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
        return dict(zip(paths, stats, strict=True))

    async def _remove(self, path: str, owner: int) -> None:
        """Delete a znode if a session still owns it."""
        try:
            stat = await self._client.exists(path)
            if stat is not None and stat.ephemeralOwner == owner:
                await self._client.delete(path, stat.version)
                self._log.info("Withdrew {path}, which the last process had registered.", path=path)
        except (NoNodeException, BadVersionException):
            # Somebody else has deleted or changed it meanwhile.
            pass
        except ZooKeeperException as error:
            if _lost(error):
                raise
            self._log.warn(
                "{path}, which the last process had registered, cannot be withdrawn: {reason}. It stays until"
                " session {session} ends.",
                path=path,
                reason=str(error),
                session=session_name(owner),
            )

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, CancelledError):
            return
        if not isinstance(error, ZooKeeperException):
            self._log.failure("The session could not be prepared because of a bug.", failure=failure)
            self._open()
        elif not (self._stopped or self._ready or error.session_over or isinstance(error, ConnectionLossException)):
            # The connection is still there: no other one will begin the preparation again.
            self._log.warn("The session could not be prepared: {reason}. Retrying.", reason=str(error))
            self._again.start()


def _owner(stat: ZnodeStat | None) -> int:
    return 0 if stat is None else stat.ephemeralOwner


def _lost(error: ZooKeeperException) -> bool:
    return error.session_over or error.retryable


def _unless_lost(failure: Failure) -> None:
    """Return None for a znode that may not be read."""
    error = failure.value
    if not isinstance(error, ZooKeeperException) or _lost(error):
        failure.raiseException()
