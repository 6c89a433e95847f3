"""The daemon's session: taken over from the last process if possible, and left to the next one if wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client import parse_servers
from txmirror.errors import AuthFailedException, ZooKeeperException
from txmirror.interfaces import ISessionHolder, IWatchFeed, IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.printable import session_name
from txmirror.service.handover import Handover, IHeir
from txmirror.service.outages import OutageLog
from txmirror.service.session_settings import SessionSettings
from txmirror.service.state import StateService
from txmirror.service.state_file import SavedSession
from txmirror.types import News, SessionEvent, SessionState


class ISessionUser(IHeir, Protocol):
    """The user of a :class:`Session`."""

    def session_ended(self) -> None:
        """Note that the session has expired."""


class Session:
    """One session after another, with a mirror, from the start to the end of a process.

    :param settings: the settings.
    :param user: decides about the znodes of the last process, and is notified.
    :param pause: returns the seconds to wait before the first write in a new session.
    :param reactor: the reactor.
    :ivar client: the client.
    :ivar mirror: a mirror on it.
    :ivar outages: logs the outages of ZooKeeper.
    :ivar handover: prepares each session: writes wait for it.
    :ivar refused: whether ZooKeeper has refused the credentials, so that there is no session until the program is restarted.
    """

    _log = Logger()

    def __init__(
        self,
        settings: SessionSettings,
        user: ISessionUser,
        former: SavedSession | None,
        *,
        pause: Callable[[], float],
        reactor: IReactorTime,
    ) -> None:
        self._settings = settings
        self._user = user
        self._reactor = reactor
        self.refused: bool = False
        former = self._usable(former)
        self.client: IZooKeeperClient = settings.make_client(None if former is None else former.ticket)
        client = self.client
        self.handover: Handover = Handover(client, user, settings, former, pause=pause, reactor=reactor)
        # Ahead of the mirror, so that the session is being prepared before a registration takes its first step.
        IWatchFeed(client).add_listener(self._changed)
        if settings.counts is not None:
            settings.counts.follow(client, takes_over=former is not None)
        self.mirror: Mirror = Mirror(client=client, random=settings.random, reactor=reactor)
        self.outages: OutageLog = OutageLog(self.mirror, lambda: self.handover.registers)

    def start(self, paths: Mapping[str, str]) -> None:
        """Begin to connect.

        :param paths: as for :meth:`Handover.declare`.
        """
        self.outages.start()
        self.handover.declare(paths)
        if paths:
            self._log.info("Registering with ZooKeeper at {servers}.", servers=self.client.connect_string)
        else:
            self._log.info("Reading from ZooKeeper at {servers}.", servers=self.client.connect_string)
        self.mirror.startService()
        if self._settings.access.credentials is not None:
            self.mirror.add_auth("digest", self._settings.access.credentials).addErrback(self._not_authenticated)

    async def finish(self, *, leave: bool) -> None:
        """Close the session; or leave it, with its znodes, to the next process. It takes a bounded time."""
        self.outages.stop()
        self.handover.stop()
        state, in_contact = self._settings.state, self.mirror.is_connected()
        await self.mirror.close()
        holder: ISessionHolder | None = ISessionHolder(self.client, None)
        if leave and holder is not None and state is not None:
            await self._leave(holder, state, in_contact=in_contact)
            return
        await self.client.close()
        # Out of contact, the session lives on for a while: the next process takes it over, and removes what is not wanted.
        if in_contact and state is not None:
            await state.forget()

    async def _leave(self, holder: ISessionHolder, state: StateService, *, in_contact: bool) -> None:
        timeout = self.client.session_timeout
        ticket = await holder.leave()
        if ticket is None or not await state.save(self.handover.saved(ticket)):
            return
        if in_contact:
            text = (
                "Session {session} stays for {timeout:g} s with its registrations, for the next process to take over."
            )
        else:
            text = "Session {session} is left to the next process, which takes it over if it has not expired."
        self._log.info(text, session=session_name(ticket.session_id), timeout=timeout)

    def _usable(self, saved: SavedSession | None) -> SavedSession | None:
        """Return the last process's session if it can be taken over. One of an earlier boot is closed."""
        if saved is None:
            return None
        session, origin = session_name(saved.ticket.session_id), self._settings.origin
        if saved.origin.machine != origin.machine:
            reason = f"it belongs to another machine, {saved.origin.machine}"
        elif not _same_ensemble(saved.servers, self._settings.servers):
            reason = f"its servers are {saved.servers}"
        elif saved.origin.boot != origin.boot:
            reason = "this machine was booted since, so it is closed"
            self._end(saved)
        else:
            self._log.info("Resuming session {session} of the last process.", session=session)
            return saved
        self._log.info("Session {session} in the state file is not resumed: {reason}.", session=session, reason=reason)
        return None

    def _end(self, saved: SavedSession) -> None:
        """Close a session of an earlier boot, so that its znodes go now."""
        client = self._settings.make_client(saved.ticket)
        connected = client.connect().addTimeout(saved.timeout, self._reactor)
        connected.addBoth(lambda _: client.close())

    def _changed(self, event: News) -> None:
        if not isinstance(event, SessionEvent):
            return
        if event.state is SessionState.CONNECTED:
            self.handover.connected()
        elif event.state is SessionState.EXPIRED:
            self._user.session_ended()
        elif event.state is SessionState.AUTH_FAILED:
            self.refused = True
            # It is not an outage: the client does not try again. It has logged the reason.
            self.outages.stop()
            self._log.error(
                "Nothing is registered until this program is restarted with credentials that ZooKeeper accepts."
            )

    def _not_authenticated(self, failure: Failure) -> None:
        if failure.check(AuthFailedException):
            if self.refused:
                return
            # The client has logged the refusal, and the session goes on without this identity.
            self._log.error(
                "Services are registered without the identity {username!r}, where the ACLs permit it.",
                username=self._settings.access.username,
            )
        elif not failure.check(ZooKeeperException):
            self._log.failure("The credentials could not be sent because of a bug.", failure=failure)


def _same_ensemble(one: str, other: str) -> bool:
    """Return whether two connection strings have a server in common, and the same chroot."""
    try:
        first, second = parse_servers(one), parse_servers(other)
    except ValueError:
        return False
    return first.chroot == second.chroot and not set(first.servers).isdisjoint(second.servers)
