"""Run a command after each change of an output file, one at a time, until it succeeds."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.checks import ICheck, Result, Status
from txmirror.deferreds import Waiters
from txmirror.durations import show_seconds
from txmirror.printable import on_one_line
from txmirror.retrying import RetryTimer

#: The pauses before a failed command is run again, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class ChangeCommand:
    """Runs a command when it is asked for. If it is asked for while the command runs, it runs once more after that.

    A command that fails is run again after growing pauses, of up to a minute, and after the next change. It fails with any exit
    status but 0, and when it does not end in time: then all its processes are killed.

    :param command: the command; its description names it in the log.
    :param timeout: the time limit for one run, in seconds.
    :param file: the name of the file, for the log.
    :param succeeded: called when it has succeeded, and was not asked for again meanwhile.
    :param reactor: runs it.
    :ivar failure: the reason why it failed last; None if it has not, or has succeeded since.
    :ivar failures: the number of failed runs.
    """

    _log = Logger()

    def __init__(
        self, command: ICheck, timeout: float, file: str, succeeded: Callable[[], None], reactor: IReactorTime
    ) -> None:
        self.failure: str | None = None
        self.failures: int = 0
        self._command = command
        self._timeout = timeout
        self._file = file
        self._succeeded = succeeded
        self._reactor = reactor
        self._retry = RetryTimer(reactor, self.ask, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        self._running: Deferred[None] | None = None
        self._run_ended: Waiters[None] = Waiters()
        self._asked = False
        self._stopped = False

    def ask(self) -> None:
        """Run the command now, or once more when the present run has ended."""
        if self._stopped:
            return
        self._retry.stop()
        if self._running is not None:
            self._asked = True
            return
        self._asked = False
        self._running = running = Deferred.fromCoroutine(self._run())
        running.addBoth(self._ended)

    async def finish(self) -> None:
        """Wait until the command does not run, and was not asked for meanwhile. A run that fails is not waited for again."""
        while self._running is not None:
            await self._run_ended.wait()

    def stop(self) -> Deferred[None]:
        """Run nothing more. A command that runs is killed.

        :returns: fires when no process of it is left; it never fails.
        """
        self._stopped = True
        self._retry.stop()
        stopped: Deferred[None] = Deferred()
        if self._running is None:
            stopped.callback(None)
        else:
            self._running.addBoth(lambda _: stopped.callback(None))
            self._running.cancel()
        return stopped

    async def _run(self) -> None:
        run = self._command.run()
        try:
            result = await run.addTimeout(self._timeout, self._reactor, onTimeoutCancel=_timed_out)
        except CancelledError:
            # It was stopped.
            return
        except TimeoutError:
            reason = f"it was killed, because it ran longer than {show_seconds(self._timeout)}"
        except Exception as error:
            # A process that cannot be started: not only an OSError, and the next try may succeed.
            reason = f"{type(error).__name__}: {error}"
        else:
            if result.status is Status.OK:
                self._note_success()
                return
            reason = result.line
        self.failures += 1
        if reason != self.failure:
            self._log.warn(
                "The command {program} after a change of {file} failed: {reason}. Retrying.",
                program=on_one_line(self._command.description),
                file=on_one_line(self._file),
                reason=on_one_line(reason),
            )
        self.failure = reason
        if not self._stopped:
            self._retry.start()

    def _note_success(self) -> None:
        if self.failure is not None:
            self._log.info(
                "The command {program} after a change of {file} succeeded again.",
                program=on_one_line(self._command.description),
                file=on_one_line(self._file),
            )
        self.failure = None
        self._retry.reset()
        if not self._asked:
            self._succeeded()

    def _ended(self, result: object) -> object:
        self._running = None
        if self._asked:
            self.ask()
        self._run_ended.fire(None)
        return result


def _timed_out(result: object, timeout: float) -> Result:
    raise TimeoutError
