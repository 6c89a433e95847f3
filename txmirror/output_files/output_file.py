"""One file that is kept equal to a live list."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.checks import CommandCheck
from txmirror.configuration import Watch
from txmirror.deferreds import Waiters
from txmirror.discovery import Omissions
from txmirror.durations import show_seconds
from txmirror.mirror import Mirror
from txmirror.output_files.change_command import ChangeCommand
from txmirror.output_files.holding import Hold
from txmirror.output_files.reading import FollowedList
from txmirror.output_files.settling import Settling
from txmirror.output_files.target import Target
from txmirror.output_files.writing import is_marked, remove_mark
from txmirror.printable import on_one_line
from txmirror.retrying import RetryTimer
from txmirror.threads import run_in_thread
from txmirror.timers import Timer

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: The pauses before a file that could not be written is tried again, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
#: The interval for looking whether somebody else has changed the file, in seconds.
_LOOK_INTERVAL: Final = 60.0


class OutputState(enum.Enum):
    """The state of an output file."""

    UNKNOWN = "unknown"
    """The list was not read yet. The file is as the last process has left it."""
    CURRENT = "current"
    """The file is equal to the list."""
    STALE = "stale"
    """The file is equal to the list as it was when the connection was lost. The list has not been read again since."""
    KEPT = "kept"
    """The list has become much shorter, and the former one is kept for some time."""
    FAILED = "failed"
    """The file could not be written."""


class OutputFile:
    """Keeps a file equal to the list of a service's instances.

    It has more than 12 attributes: seven are what an operator sees of it, and the others the parts that decide when to write.

    :param watch: its configuration.
    :param mirror: the mirror.
    :param random: returns random numbers from 0 to 1.
    :param clock: measures the times of the configuration.
    :param reactor: runs the command and the threads.
    :ivar watch: as the parameter.
    :ivar failure: the reason why the file could not be written; None if it could.
    :ivar instances: the number of instances in the file, as far as this process knows.
    :ivar writes: the number of times that the file was replaced.
    :ivar failures: the number of times that it could not be written.
    :ivar command: the command after a change; None if there is none.
    """

    _log = Logger()

    def __init__(
        self, watch: Watch, mirror: Mirror, *, random: Callable[[], float], clock: IReactorTime, reactor: Any
    ) -> None:
        self.watch = watch
        self._state = OutputState.UNKNOWN
        self.failure: str | None = None
        self.instances: int = 0
        self.writes: int = 0
        self.failures: int = 0
        self._omissions = Omissions(self._log, watch.path, watch.output)
        self.command: ChangeCommand | None = (
            ChangeCommand(
                CommandCheck(watch.command, description=watch.command[0], reactor=reactor, clock=clock),
                watch.command_timeout,
                watch.output,
                self._command_succeeded,
                clock,
            )
            if watch.command
            else None
        )
        self._reactor = reactor
        self._settling = Settling(watch.settle, self._update, random, clock)
        self._hold = Hold(watch.keep_if_below, watch.keep_for, self._update, clock)
        self._retry = RetryTimer(clock, self._update, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        self._target = Target(watch)
        self._look = Timer(clock, self._look_after)
        self._look.start(_LOOK_INTERVAL)
        self._finished: Waiters[None] = Waiters()
        self._working = False
        self._again = self._unmark = self._stopped = False
        if self.command is not None:
            self._begin(self._resume_command)
        self._list = FollowedList(watch, mirror, self._settling.note_change, clock)

    @property
    def state(self) -> OutputState:
        """The state."""
        return OutputState.STALE if self._state is OutputState.CURRENT and self._list.stale else self._state

    @property
    def omitted(self) -> Mapping[str, str]:
        """The nodes that are not in the file: the reason by name."""
        return self._omissions.noted

    @property
    def problem(self) -> str | None:
        """The reason why the file is not equal to the list, or its command has not succeeded; None if all is well."""
        state = self.state
        if state is OutputState.UNKNOWN:
            return "the list was not read yet"
        if state is OutputState.KEPT:
            return "the list is much shorter than before, and does not replace the file yet"
        if state is OutputState.STALE:
            return "the list was not read again since the connection to ZooKeeper was lost"
        if self.failure is not None:
            return self.failure
        command = self.command
        return None if command is None or command.failure is None else f"its command has failed: {command.failure}"

    def refresh(self) -> None:
        """Write the file again if its content differs now: its template may have changed."""
        self._settling.note_change()

    async def finish_changes(self) -> None:
        """Write the changes that have happened, without waiting for further ones, and wait until the command has run."""
        self._update()
        await self._finish_work()
        if self.command is not None:
            await self.command.finish()

    def stop(self) -> Deferred[None]:
        """Stop following the list. The file stays. A command that runs is killed.

        :returns: fires when nothing is written any more, and no process is left; it never fails.
        """
        self._stopped = True
        self._list.close()
        self._settling.stop()
        self._hold.stop()
        self._retry.stop()
        self._look.stop()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._finish_work()
        if self.command is not None:
            await self.command.stop()
            # It may have succeeded meanwhile.
            await self._finish_work()

    async def _finish_work(self) -> None:
        while self._working:
            await self._finished.wait()

    # One piece of work after another.

    def _begin(self, work: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> None:
        self._working = True
        Deferred.fromCoroutine(work()).addErrback(self._raised).addBoth(self._worked)

    def _raised(self, failure: Failure) -> None:
        self._log.failure("{file} was not written because of a bug.", failure, file=self.watch.output)
        # It is logged.
        self.failure = failure.getErrorMessage()
        self._failed(self.failure)

    def _worked(self, result: None) -> None:
        self._working = False
        if self._again and not self._stopped:
            self._update()
        elif self._unmark:
            self._begin(self._remove_mark)
        self._finished.fire(None)

    # From a change to the file.

    def _update(self) -> None:
        if self._stopped:
            return
        if self._working:
            self._again = True
            return
        self._again = False
        self._retry.stop()
        self._begin(self._write)

    async def _write(self) -> None:
        snapshot = await self._list.read()
        if self._stopped or snapshot is None:
            return
        refusal = self._list.refusal
        if refusal is not None:
            self._failed(_reason_of(refusal))
            return
        try:
            live, omitted = await self._in_thread(self._list.decode, snapshot)
            rendering = await self._in_thread(self._target.render, live)
            # What the reader of the file gets.
            count = len(live.instances) - len(rendering.omitted)
            if self._hold.last_good is None:
                self._hold.last_good = await self._in_thread(self._target.count_former, rendering.content, count)
            if not self._permits(count):
                return
            replaced = await self._in_thread(self._target.put, rendering.content)
        except (OSError, ValueError) as error:
            self._failed(_reason_of(error))
            return
        self._omissions.note({**omitted, **rendering.omitted})
        self._written(count, replaced=replaced)

    # If somebody else changes the file.

    def _look_after(self) -> None:
        self._look.start(_LOOK_INTERVAL)
        if not self._working:
            self._begin(self._restore)

    async def _restore(self) -> None:
        try:
            restored = await self._in_thread(self._target.restore)
        except OSError as error:
            self._failed(_reason_of(error))
            return
        if restored:
            self._log.warn(
                "Another program has changed or deleted {file}. It was restored.",
                file=on_one_line(self.watch.output),
            )
            self._replaced()

    # The command after a change.

    def _replaced(self) -> None:
        self.writes += 1
        self._unmark = False
        self._ask_command()

    async def _resume_command(self) -> None:
        """Run the command if it has not succeeded in the last process."""
        if await self._in_thread(is_marked, self._target.path):
            self._ask_command()

    def _ask_command(self) -> None:
        # At a stop the mark stays: the next process runs the command.
        if self.command is not None and not self._stopped:
            self.command.ask()

    def _command_succeeded(self) -> None:
        self._unmark = True
        # Not while the file may be replaced: the mark of that must stay.
        if not self._working:
            self._begin(self._remove_mark)

    async def _remove_mark(self) -> None:
        self._unmark = False
        # If the mark cannot be removed, the next process runs the command once more.
        with contextlib.suppress(OSError):
            await self._in_thread(remove_mark, self._target.path)

    # States and the log.

    def _permits(self, count: int) -> bool:
        if self._stopped:
            return False
        held_before = self._hold.since is not None
        if self._hold.permits(count):
            return True
        self._state = OutputState.KEPT
        if not held_before:
            self._log.warn(
                "The list of {name} has {count} instances, and had {former}: {file} stays as it is for up to {keep_for}.",
                name=on_one_line(self.watch.name),
                count=count,
                former=self._hold.longest,
                file=on_one_line(self.watch.output),
                keep_for=show_seconds(self.watch.keep_for),
            )
        return False

    def _written(self, instances: int, *, replaced: bool) -> None:
        if replaced or self._state is not OutputState.CURRENT:
            self._log.info(
                "{file} {verb} {instances} of {name}.",
                file=on_one_line(self.watch.output),
                verb="now has" if replaced else "already has",
                instances="1 instance" if instances == 1 else f"{instances} instances",
                name=on_one_line(self.watch.name),
            )
        self.instances = instances
        self._state, self.failure = OutputState.CURRENT, None
        self._retry.reset()
        if replaced:
            self._replaced()

    def _failed(self, reason: str) -> None:
        if reason != self.failure:
            self._log.error(
                "{file} could not be updated, and stays as it is: {reason}. Retrying.",
                file=on_one_line(self.watch.output),
                reason=on_one_line(reason),
            )
        self._state, self.failure = OutputState.FAILED, reason
        self.failures += 1
        if not self._stopped:
            self._retry.start()

    def _in_thread(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        return run_in_thread(self._reactor, function, *args, **kwargs)


def _reason_of(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
