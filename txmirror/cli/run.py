"""One run of one command: a session with ZooKeeper, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from txmirror.cli.console import Complaints, Console
from txmirror.cli.settings import Settings
from txmirror.cli.statuses import CannotDo, Status, message_of, status_of, status_of_signal
from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import (
    AuthFailedException,
    ConnectionLossException,
    NoChrootException,
    NoNodeException,
    ZooKeeperException,
)
from txmirror.mirror import Mirror
from txmirror.timers import Timer
from txmirror.types import SessionEvent, SessionState, WatchedEvent

#: How long the end of the session may take, in seconds.
_CLOSE_TIME = 2.0


@attrs.frozen
class Outcome:
    """What a command has come to."""

    lines: Iterable[str] = ()
    """What to write, after the session has ended: whoever reads it may take all the time they like."""
    status: int = Status.DONE
    complaints: Iterable[str] = ()
    """What to say of what could not be done."""


Program = Callable[["Run"], Deferred[Outcome]]
"""What a command does, in a run of its own. When the Deferred is cancelled, it is to come to an end."""


class Run:
    """Opens a session, lets a program work with it, ends it, and says what has come of it.

    :param settings: how to reach ZooKeeper.
    :param console: where to write to.
    :param reactor: the reactor.
    :param random: the client's.
    :ivar client: the client; :meth:`perform` connects it.
    :ivar mirror: a mirror on it.
    :ivar acl: the ACL of nodes that are created; None for one that is open to everybody.
    :ivar console: where to write to.
    :ivar reactor: the reactor.
    :ivar over: whether the session has ended. Then there is nothing left to do but to write the results.
    """

    _log = Logger()

    def __init__(
        self, settings: Settings, console: Console, reactor: IReactorTime, *, random: Random | None = None
    ) -> None:
        self.console = console
        self.reactor = reactor
        self.client = ZooKeeperClient(
            settings.servers,
            session_timeout=settings.session_timeout,
            tls=settings.access.tls,
            sasl=settings.access.sasl,
            # What waits for a connection is given up by us, and not for waiting too long.
            limits=Limits(
                max_reply=settings.max_reply, close_time=_CLOSE_TIME, queued_time=2 * settings.timeout + 60.0
            ),
            random=random,
            reactor=reactor,
        )
        self.mirror = Mirror(client=self.client, reactor=reactor)
        self.over = False
        self.acl = settings.access.acl
        self._settings = settings
        self._patience = Timer(reactor, self._give_up)
        self._returning = Timer(reactor, self._say_in_reach)
        self._patient = False
        self._was_connected = self._was_away = False
        self._error: ZooKeeperException | None = None
        self._signal: int | None = None
        self._forward: Callable[[int], object] | None = None
        self._working: Deferred[Outcome] | None = None
        self._complaints = Complaints(console)

    # What programs use.

    def outlive_outages(self) -> None:
        """From now on, do not give up however long ZooKeeper is out of reach; and say what is logged of that."""
        self._patient = True
        self._patience.stop()
        self._complaints.held = None

    def forward_signals(self, function: Callable[[int], object]) -> None:
        """From now on, call ``function`` with a signal's number in place of cancelling the program."""
        self._forward = function

    # What whoever runs it uses.

    def perform(self, program: Program) -> Deferred[int]:
        """Do all of it, once.

        :returns: fires with the status to exit with, when the session has ended and all is written. It never fails.
        """
        return Deferred.fromCoroutine(self._perform(program))

    def interrupt(self, number: int) -> None:
        """End the program because of a signal with this number; or let it deal with it, where it has said so."""
        if self._forward is not None:
            self._forward(number)
        else:
            self._signal = number
            self._cancel()

    # How it is done.

    async def _perform(self, program: Program) -> int:
        globalLogPublisher.addObserver(self._complaints)
        try:
            outcome = await self._in_session(program)
            self.over = True
            self.console.lines(outcome.lines)
            for complaint in outcome.complaints:
                self.console.fail(complaint)
            return outcome.status if self.console.broken is None else self.console.broken
        except Exception:
            self._log.failure("The command has failed, which it should not.")
            return Status.BUG
        finally:
            globalLogPublisher.removeObserver(self._complaints)

    async def _in_session(self, program: Program) -> Outcome:
        self.console.broke = self._cancel
        self.client.add_listener(self._happened)
        self._patience.start(self._settings.timeout)
        try:
            self._working = Deferred.fromCoroutine(self._work(program))
            return await self._working
        except ZooKeeperException as error:
            return _failed(error)
        except CannotDo as error:
            return Outcome(status=error.status, complaints=(str(error),))
        except CancelledError:
            if self._error is not None:
                return _failed(self._error)
            return Outcome(status=Status.DONE if self._signal is None else status_of_signal(self._signal))
        finally:
            self._working = None
            self._patience.stop()
            self._returning.stop()
            self.client.remove_listener(self._happened)
            await self.client.close()
            await self.mirror.close()

    async def _work(self, program: Program) -> Outcome:
        connecting = self.client.connect()
        credentials = self._settings.access.credentials
        if credentials is not None:
            self.client.add_auth("digest", credentials).addErrback(self._not_let_in)
        connecting.addErrback(self._not_connected)
        try:
            return await program(self)
        except NoNodeException:
            await self.check_chroot()
            raise

    async def check_chroot(self) -> None:
        """Ask whether the chroot exists, if there is one.

        :raises NoChrootException: it does not. If the server does not say, nothing is raised.
        """
        if "/" not in self.client.connect_string:
            return
        try:
            stat = await self.client.exists("/")
        except ZooKeeperException:
            return
        if stat is None:
            raise NoChrootException(self.client.connect_string)

    def _not_let_in(self, failure: Failure) -> None:
        # It is nothing else that an identity fails with.
        self._fail(cast(ZooKeeperException, failure.value))

    def _not_connected(self, failure: Failure) -> None:
        if isinstance(failure.value, AuthFailedException):
            self._fail(failure.value)
            return
        # While the client is being closed, nobody wants to know.
        self._fail(ConnectionLossException(f"no session with {self.client.connect_string}: {failure.value}"))

    def _happened(self, event: SessionEvent | WatchedEvent) -> None:
        if isinstance(event, SessionEvent):
            if event.state is SessionState.CONNECTED:
                self._patience.stop()
                if self._patient and self._was_away:
                    # A connection that does not last is not worth a line.
                    self._returning.start(self.client.session_timeout / 3)
                self._was_connected = True
                return
            self._returning.stop()
            self._was_away = self._was_connected
            if not self._patient and not self._patience.running:
                self._patience.start(self._settings.timeout)

    def _say_in_reach(self) -> None:
        self._was_away = False
        self.console.say(f"{self.client.connect_string} is in reach again")

    def _give_up(self) -> None:
        seconds = f"{self._settings.timeout:g} s"
        if self._was_connected:
            text = f"{self.client.connect_string} was out of reach for {seconds}"
        else:
            text = f"no session with {self.client.connect_string} within {seconds}"
            if self._complaints.held:
                reason = self._complaints.held[-1].removesuffix(" Trying on.")
                # Of several servers the reason names the one that it is of.
                text += f": {reason.removeprefix(f'No session with {self.client.connect_string}: ')}"
        self._fail(ConnectionLossException(text))

    def _fail(self, error: ZooKeeperException) -> None:
        """End the program, if it does not go on without a session."""
        if self._working is None:
            return
        if self._patient:
            self.console.say(str(error))
        else:
            self._error = error
            self._cancel()

    def _cancel(self) -> None:
        if self._working is not None:
            self._working.cancel()


def _failed(error: ZooKeeperException) -> Outcome:
    return Outcome(status=status_of(error), complaints=(message_of(error),))
