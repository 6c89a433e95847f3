"""One run of one command: open a session, run the command, close the session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from txmirror.cli.console import Console, LogForwarder, reason_of
from txmirror.cli.outages import OutageLimit
from txmirror.cli.progress import Progress
from txmirror.cli.settings import Settings
from txmirror.cli.statuses import CommandError, Status, message_of, status_of, status_of_signal
from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import (
    AuthFailedException,
    ConnectionLossException,
    InvalidACLException,
    NoChrootException,
    NoNodeException,
    ZooKeeperException,
)
from txmirror.types import ACL

if TYPE_CHECKING:
    from txmirror.mirror import Mirror


@attrs.frozen
class Outcome:
    """The result of a command."""

    lines: Iterable[str] = ()
    """The output. It is written after the session has ended, because a write may block."""
    status: int = Status.DONE
    errors: Iterable[str] = ()
    """The error messages for parts that failed."""
    data: bytes = b""
    """Output that is written as it is, before the lines."""


#: The reason why an ACL is refused, and the remedy.
NEEDS_CREDENTIALS = "creator (the scheme auth) stands for your credentials: give --username and --password-file"

Program = Callable[["Run"], Deferred[Outcome]]
"""The work of a command in its run. Cancelling the Deferred must end it."""


class Run:
    """Opens a session, runs a program in it, closes it, and writes the results.

    :param settings: the settings of the connection.
    :param console: the output.
    :param reactor: the reactor.
    :param random: the client's source of randomness.
    :ivar client: the client; :meth:`perform` connects it.
    :ivar console: the output.
    :ivar reactor: the reactor.
    :ivar over: whether the session has ended, and only the results are still to be written.
    """

    _log = Logger()

    def __init__(
        self, settings: Settings, console: Console, reactor: IReactorTime, *, random: Random | None = None
    ) -> None:
        self.console = console
        self.reactor = reactor
        self.client: ZooKeeperClient = make_client(settings, reactor, random=random)
        self.over: bool = False
        self._settings = settings
        self._mirror: Mirror | None = None
        self._outages = OutageLimit(self.client, settings.timeout, reactor, self._give_up, self._report_in_reach)
        self._error: ZooKeeperException | None = None
        self._signal: int | None = None
        self._forward: Callable[[int], object] | None = None
        self._working: Deferred[Outcome] | None = None
        self._log_forwarder = LogForwarder(console, settings.verbose)

    # For programs.

    @property
    def acl(self) -> Sequence[ACL] | None:
        """The ACL of new nodes; None for one that is open to everybody."""
        return self._settings.access.acl

    @property
    def mirror(self) -> Mirror:
        """A mirror on the client. It is made at the first use: most commands need none."""
        if self._mirror is None:
            from txmirror.mirror import Mirror  # noqa: PLC0415 - it takes long

            self._mirror = Mirror(client=self.client, reactor=self.reactor)
        return self._mirror

    def needs_credentials(self, acl: Sequence[ACL]) -> bool:
        """Return whether an ACL is refused because it stands for the identities of a session that has none."""
        return any(each.scheme == "auth" for each in acl) and not self._settings.access.identifies

    def outlive_outages(self, *, silently: bool = False) -> None:
        """From now on, retry without limit while ZooKeeper is out of reach, and write the log's warnings to the console.

        :param silently: write no warnings: another program uses the terminal.
        """
        self._outages.outlive()
        self._log_forwarder.held = [] if silently else None

    def limit_outages(self) -> None:
        """From now on, give up again when ZooKeeper is out of reach for too long."""
        self._outages.limit()

    @contextmanager
    def show_progress(
        self, label: str, done: Callable[[], int], total: Callable[[], int | None] = lambda: None
    ) -> Iterator[None]:
        """While the body runs, show a progress bar on a terminal, if it takes longer than a second.

        :param done: returns the number of items that are done.
        :param total: returns the number of all items; None while it is unknown.
        """
        progress = Progress(self.console, self.reactor, label, done, total)
        progress.start()
        try:
            yield
        finally:
            progress.stop()

    def write(self, lines: Iterable[str]) -> None:
        """Write results while the program works. To be called by the program itself.

        :raises CancelledError: they cannot be written any more. It ends the program; :attr:`console` has the status.
        """
        self.console.lines(lines)
        if self.console.broken is not None:
            # Nothing cancels a coroutine while it runs.
            raise CancelledError

    def note_doubt(self, text: str) -> None:
        """From now on, add ``text`` to the message if ZooKeeper goes out of reach for too long: it says which effect is unknown."""
        self._outages.doubt = text

    def forward_signals(self, function: Callable[[int], object] | None) -> None:
        """From now on, call ``function`` with a signal's number in place of cancelling the program; with None, cancel it again."""
        self._forward = function

    # For the caller of the run.

    def perform(self, program: Program) -> Deferred[int]:
        """Run a program. To be called once.

        :returns: fires with the exit status, when the session has ended and the results are written. It never fails.
        """
        return Deferred.fromCoroutine(self._perform(program))

    def interrupt(self, number: int) -> None:
        """Cancel the program because of a signal, or forward the signal to it. See :meth:`forward_signals`."""
        if self._forward is not None:
            self._forward(number)
        else:
            self._signal = number
            self._cancel()

    # Steps.

    async def _perform(self, program: Program) -> int:
        globalLogPublisher.addObserver(self._log_forwarder)
        try:
            outcome = await self._in_session(program)
            self.over = True
            if outcome.data:
                self.console.data(outcome.data)
            self.console.lines(outcome.lines)
            for error in outcome.errors:
                self.console.fail(error)
            return outcome.status if self.console.broken is None else self.console.broken
        except Exception:
            self._log.failure("The command has failed because of a bug.")
            return Status.BUG
        finally:
            globalLogPublisher.removeObserver(self._log_forwarder)

    async def _in_session(self, program: Program) -> Outcome:
        self.console.broke = self._cancel
        if self._settings.connects:
            self._outages.start()
        try:
            self._working = Deferred.fromCoroutine(self._work(program))
            return await self._working
        except ZooKeeperException as error:
            return self._failed(error)
        except CommandError as error:
            return Outcome(status=error.status, errors=(str(error),))
        except CancelledError:
            if self._error is not None:
                return self._failed(self._error)
            return Outcome(status=Status.DONE if self._signal is None else status_of_signal(self._signal))
        finally:
            self._working = None
            self._outages.stop()
            await self.client.close()
            if self._mirror is not None:
                await self._mirror.close()

    async def _work(self, program: Program) -> Outcome:
        if not self._settings.connects:
            return await program(self)
        connecting = self.client.connect()
        credentials = self._settings.access.credentials
        if credentials is not None:
            self.client.add_auth("digest", credentials).addErrback(self._credentials_refused)
        connecting.addErrback(self._not_connected)
        try:
            return await program(self)
        except NoNodeException:
            await self.check_chroot()
            raise

    async def check_chroot(self) -> None:
        """Check that the chroot exists, if there is one.

        :raises NoChrootException: it does not exist. If the request fails, nothing is raised.
        """
        if "/" not in self.client.connect_string:
            return
        try:
            stat = await self.client.exists("/")
        except ZooKeeperException:
            return
        if stat is None:
            raise NoChrootException(self.client.connect_string)

    def _credentials_refused(self, failure: Failure) -> None:
        # add_auth fails with no other exceptions.
        self._fail(cast(ZooKeeperException, failure.value))

    def _not_connected(self, failure: Failure) -> None:
        if isinstance(failure.value, AuthFailedException):
            self._fail(failure.value)
            return
        # While the client is being closed, this is ignored.
        self._fail(ConnectionLossException(f"no session with {self.client.connect_string}: {failure.value}"))

    def _report_in_reach(self) -> None:
        if self._log_forwarder.held is not None:
            return
        self.console.say(f"{self.client.connect_string} is in reach again")

    def _give_up(self, was_connected: bool) -> None:
        seconds = f"{self._settings.timeout:g} s"
        if was_connected:
            text = f"{self.client.connect_string} was out of reach for {seconds}"
            if self._outages.doubt:
                text += f"; {self._outages.doubt}"
        else:
            text = f"no session with {self.client.connect_string} within {seconds}"
            if self._log_forwarder.held:
                text += f": {reason_of(self._log_forwarder.held[-1], self.client.connect_string)}"
        self._fail(ConnectionLossException(text))

    def _fail(self, error: ZooKeeperException) -> None:
        """End the program with an error; if it outlives outages, only print the error."""
        if self._working is None:
            return
        if self._outages.outlived:
            self.console.say(str(error))
        else:
            self._error = error
            self._cancel()

    def _failed(self, error: ZooKeeperException) -> Outcome:
        message = message_of(error)
        if isinstance(error, InvalidACLException) and self.needs_credentials(self.acl or ()):
            message += f": {NEEDS_CREDENTIALS}"
        return Outcome(status=status_of(error), errors=(message,))

    def _cancel(self) -> None:
        if self._working is not None:
            self._working.cancel()


def make_client(settings: Settings, reactor: IReactorTime, *, random: Random | None = None) -> ZooKeeperClient:
    """Return a client with the settings of a command."""
    return ZooKeeperClient(
        settings.servers,
        session_timeout=settings.session_timeout,
        tls=settings.access.tls,
        sasl=settings.access.sasl,
        # An OutageLimit ends the wait for a connection, before the client's limit does.
        limits=Limits(
            max_reply=settings.max_reply, close_time=settings.close_timeout, queued_time=2 * settings.timeout + 60.0
        ),
        random=random,
        reactor=reactor,
    )
