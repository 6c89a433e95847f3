"""A check by a command, with the exit statuses of Nagios."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txmirror.checks.commands_file import CommandsFile
from txmirror.checks.interfaces import ICheck
from txmirror.checks.process_group import MOST_OUTPUT, ProcessGroup
from txmirror.checks.results import Result, Status
from txmirror.durations import check_seconds

#: The variables that a command inherits.
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ")


@implementer(ICheck)
class CommandCheck:
    """A check that runs a command: exit status 0 is ok, 1 is a warning, and any other a failure.

    The command runs in a session and process group of its own, with no standard input. It counts as failed if it writes more than
    1 MiB, or leaves children in its group that do not end within ``grace``; these are killed. A child in another session may go on
    when the command has exited.

    When the command is killed, its children in other sessions are killed, too. On Linux they are found by the variable
    ``TXMIRROR_CHECK``, which has another value in the environment of each run.

    :param argv: the program and its arguments. No shell is involved.
    :param environment: further variables of its environment. Of this process's variables it inherits only ``PATH``, ``HOME``,
        ``LANG``, ``LC_ALL``, ``LC_CTYPE`` and ``TZ``.
    :param cwd: its working directory; None is that of this process.
    :param grace: the seconds between SIGTERM and SIGKILL, when the command is ended.
    :param reactor: runs the command.
    :param clock: measures ``grace``; the reactor if None.
    :param description: the description of the check, where ``argv`` has a secret.
    :ivar commands_file: keeps the commands that run, for the process after this one; None, the default, keeps none. It may be set.
    :raises ValueError: ``argv`` is empty or contains a null character, ``environment`` has an invalid name or value, or ``grace`` is
        out of range.
    :raises TypeError: ``argv`` is a string, or has something else than strings; or ``grace`` is no number.
    """

    kind = "command"
    pushed = False

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        cwd: str | None = None,
        grace: float = 1.0,
        reactor: Any,
        clock: IReactorTime | None = None,
        description: str | None = None,
    ) -> None:
        if isinstance(argv, str) or not all(isinstance(each, str) for each in argv):
            raise TypeError(f"argv is {argv!r:.100}: not a list of strings")
        if not argv or any("\0" in each for each in argv):
            raise ValueError(f"argv is {list(argv)!r:.100}: empty, or with a null character")
        for name, value in (environment or {}).items():
            if not name or "=" in name or "\0" in name + value:
                raise ValueError(f"the environment has {name!r}: an invalid name, or a null character in its value")
        check_seconds("grace", grace)
        self.description: str = f"command {' '.join(argv)}" if description is None else description
        self.commands_file: CommandsFile | None = None
        self._argv = tuple(argv)
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._environment = {**inherited, **(environment or {})}
        self._cwd = cwd
        self._grace = grace
        self._reactor = reactor
        self._clock: IReactorTime = reactor if clock is None else clock

    def run(self) -> Deferred[Result]:
        """Run the command.

        :returns: fires with the result when no process of the command is left. Cancelling sends SIGTERM to all its processes, and
            SIGKILL after the grace; cancelling once more sends SIGKILL at once. After that it fails with a ``CancelledError``
            that has the output. Where the command itself had exited and its children went on, the error says so.
        """
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> Result:
        group = ProcessGroup(self._grace, self._clock)
        try:
            group.spawn(self._reactor, self._resolve(), self._environment, self._cwd)
        except OSError as error:
            return Result(Status.FAIL, f"cannot run {self._argv[0]}: {error.strerror or error}")
        file = self.commands_file
        line = None if file is None else file.add(group.mark, group.pid)
        try:
            return await self._wait(group)
        finally:
            if file is not None and line is not None:
                file.remove(line)

    async def _wait(self, group: ProcessGroup) -> Result:
        cancelled = exited = False
        while not group.gone:
            try:
                await group.wait()
            except CancelledError:
                if not cancelled:
                    exited = group.status is not None
                cancelled = True
                group.kill()
        if cancelled:
            raise CancelledError(
                ("the command had exited, but its children went on\n" if exited else "") + group.output.text()
            )
        return _judge(group)

    def _resolve(self) -> Sequence[str]:
        """Return the arguments with the path of the program.

        :raises OSError: there is no such program or working directory.
        """
        if self._cwd is not None and not Path(self._cwd).is_dir():
            raise NotADirectoryError(f"there is no directory {self._cwd}")
        program, *arguments = self._argv
        if os.sep in program:
            path = shutil.which(str(Path(self._cwd or "").absolute() / program))
        else:
            path = shutil.which(program, path=self._environment.get("PATH", os.defpath))
        if path is None:
            raise FileNotFoundError("there is no such program, or it is not executable")
        return (path, *arguments)


def _judge(group: ProcessGroup) -> Result:
    text = group.output.text().rstrip("\n")
    if group.output.total > MOST_OUTPUT:
        return Result(Status.FAIL, f"killed: it wrote more than {MOST_OUTPUT} bytes\n{text}")
    if group.left:
        return Result(Status.FAIL, f"killed: children went on after it had exited\n{text}")
    if group.status == 0:
        return Result(Status.OK, text or "exit status 0")
    assert group.status is not None
    end = f"exit status {group.status}" if group.status > 0 else f"killed by {_signal_name(-group.status)}"
    return Result(Status.WARN if group.status == 1 else Status.FAIL, text or end)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
