"""One file that is kept equal to a live list."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.checks import CommandCheck
from txmirror.configuration import AUTO, Watch, show_seconds
from txmirror.mirror import Change, Mirror
from txmirror.output_files.change_command import ChangeCommand
from txmirror.output_files.formats import FORMATS, LiveList, Rendering
from txmirror.output_files.holding import Hold
from txmirror.output_files.settling import Settling
from txmirror.output_files.writing import is_marked, remove_mark, update_file
from txmirror.printable import on_one_line
from txmirror.registry import decode_instance, find_codec
from txmirror.retrying import RetryTimer
from txmirror.threads import run_in_thread
from txmirror.types import Instance, Undecodable

_T = TypeVar("_T")

#: The most nodes that are named in the log at once.
_MOST_NAMED: Final = 5
#: The pauses before a file that could not be written is tried again, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


def _ignore_os_error(failure: Failure) -> None:
    failure.trap(OSError)


class OutputState(enum.Enum):
    """The state of an output file."""

    UNKNOWN = "unknown"
    """The list was not read yet. The file is as the last process has left it."""
    CURRENT = "current"
    """The file is equal to the list."""
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
    :param reactor: the reactor.
    :ivar watch: as the parameter.
    :ivar state: the state.
    :ivar failure: the reason why the file could not be written; None if it could.
    :ivar instances: the number of instances in the file, as far as this process knows.
    :ivar omitted: the nodes that are not in the file: the reason by name.
    :ivar writes: the number of times that the file was replaced.
    :ivar failures: the number of times that it could not be written.
    :ivar command: the command after a change; None if there is none.
    """

    _log = Logger()

    def __init__(self, watch: Watch, mirror: Mirror, random: Callable[[], float], reactor: Any) -> None:
        self.watch = watch
        self.state = OutputState.UNKNOWN
        self.failure: str | None = None
        self.instances = self.writes = self.failures = 0
        self.omitted: Mapping[str, str] = {}
        self.command = (
            ChangeCommand(
                CommandCheck(watch.command, description=watch.command[0], reactor=reactor),
                watch.command_timeout,
                watch.output,
                self._command_succeeded,
                reactor,
            )
            if watch.command
            else None
        )
        self._path = Path(watch.output)
        self._reactor = reactor
        self._settling = Settling(watch.settle, self._update, random, reactor)
        self._hold = Hold(watch.keep_if_below, watch.keep_for, self._update, reactor)
        self._retry = RetryTimer(reactor, self._update, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        #: The data of each node that was decoded last, with the result: only what has changed is decoded again.
        self._decoded: dict[str, tuple[bytes, Instance | Undecodable]] = {}
        self._work: Deferred[None] | None = None
        self._again = self._stopped = False
        #: Whether the command of the last process may not have succeeded.
        self._resume_command = True
        self._tree = tree = mirror.tree(watch.path, depth=1)
        tree.watch(self._changed)
        tree.ready().addCallbacks(lambda _: self._changed(None), lambda _: None)

    @property
    def problem(self) -> str | None:
        """The reason why the file is not equal to the list, or its command has not succeeded; None if all is well."""
        if self.state is OutputState.UNKNOWN:
            return "the list was not read yet"
        if self.state is OutputState.KEPT:
            return "the list is much shorter than before, and is not believed yet"
        if self.failure is not None:
            return self.failure
        command = self.command
        return None if command is None or command.failure is None else f"its command has failed: {command.failure}"

    def refresh(self) -> None:
        """Write the file again if its content differs now: its template may have changed."""
        self._settling.note_change()

    def stop(self) -> Deferred[None]:
        """Stop following the list. The file stays. A command that runs is killed.

        :returns: fires when nothing is written any more, and no process is left; it never fails.
        """
        self._stopped = True
        self._tree.unwatch(self._changed)
        self._tree.close()
        self._settling.stop()
        self._hold.stop()
        self._retry.stop()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._work is not None:
            stopped: Deferred[None] = Deferred()
            self._work.addBoth(stopped.callback)
            await stopped
        if self.command is not None:
            await self.command.stop()

    # From a change to the file.

    def _changed(self, change: Change | None) -> None:
        # Without a connection the list may be incomplete. Another change comes when it has settled.
        if not self._stopped and self._tree.stale_since is None:
            self._settling.note_change()

    def _update(self) -> None:
        if self._stopped:
            return
        if self._work is not None:
            self._again = True
            return
        self._again = False
        self._retry.stop()
        self._work = work = Deferred.fromCoroutine(self._write())
        work.addErrback(self._raised)
        work.addBoth(self._worked)

    def _raised(self, failure: Failure) -> None:
        self._log.failure("{file} was not written.", failure, file=self.watch.output)
        self._fail(failure.getErrorMessage())

    def _worked(self, result: None) -> None:
        self._work = None
        if self._again:
            self._update()

    async def _write(self) -> None:
        await self._tree.caught_up()
        if self._stopped or self._tree.stale_since is not None or not self._tree.settled:
            # Another change comes when it has settled.
            return
        refusal = self._tree.unreadable.get(self.watch.path)
        if refusal is not None:
            self._failed(refusal)
            return
        live, omitted = self._read()
        try:
            if (
                self.state is OutputState.UNKNOWN
                and not live.instances
                and await self._in_thread(self._has_other, live)
            ):
                self._hold.last_good = 1
            if not self._permits(live):
                return
            rendering, replaced, marked = await self._in_thread(self._replace, live)
        except (OSError, ValueError) as error:
            self._failed(error)
            return
        self._note_omitted({**omitted, **rendering.omitted})
        self._written(len(live.instances) - len(rendering.omitted), replaced=replaced)
        resumed, self._resume_command = self._resume_command and marked, False
        if self.command is not None and (replaced or resumed):
            self.command.ask()

    def _read(self) -> tuple[LiveList, dict[str, str]]:
        """Return the list, and the reasons for the nodes that are not in it."""
        watch, tree = self.watch, self._tree
        codec = None if watch.codec == AUTO else find_codec(watch.codec)
        before, self._decoded = self._decoded, {}
        for name in tree.children(watch.path) if watch.path in tree else ():
            value = tree.get(paths.join(watch.path, name))
            if value is not None:
                data, known = value[0], before.get(name)
                if known is None or known[0] is not data:
                    known = (data, decode_instance(name, data, codec))
                self._decoded[name] = known
        omitted = {paths.name_of(path): str(reason) for path, reason in tree.unreadable.items()}
        instances = []
        for name, (_, decoded) in self._decoded.items():
            if isinstance(decoded, Undecodable):
                omitted[name] = decoded.reason
            else:
                instances.append(decoded)
        return LiveList(watch.name, watch.path, instances), omitted

    def _permits(self, live: LiveList) -> bool:
        held_before = self._hold.since is not None
        if self._hold.permits(len(live.instances)):
            return True
        self.state = OutputState.KEPT
        if not held_before:
            self._log.warn(
                "The list of {name} has {count} instances, and had {former}: {file} stays as it is for up to {keep_for}.",
                name=on_one_line(self.watch.name),
                count=len(live.instances),
                former=self._hold.longest,
                file=on_one_line(self.watch.output),
                keep_for=show_seconds(self.watch.keep_for),
            )
        return False

    def _written(self, instances: int, *, replaced: bool) -> None:
        if replaced or self.failure is not None or self.state is OutputState.UNKNOWN:
            self._log.info(
                "{file} {verb} {instances} of {name}.",
                file=on_one_line(self.watch.output),
                verb="now has" if replaced else "already has",
                instances="1 instance" if instances == 1 else f"{instances} instances",
                name=on_one_line(self.watch.name),
            )
        self.instances = instances
        self.writes += replaced
        self.state, self.failure = OutputState.CURRENT, None
        self._retry.reset()

    def _failed(self, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if reason != self.failure:
            self._log.error(
                "{file} stays as it is, and is tried again: {reason}.",
                file=on_one_line(self.watch.output),
                reason=on_one_line(reason),
            )
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self.state, self.failure = OutputState.FAILED, reason
        self.failures += 1
        if not self._stopped:
            self._retry.start()

    def _note_omitted(self, omitted: Mapping[str, str]) -> None:
        new = {name: reason for name, reason in omitted.items() if self.omitted.get(name) != reason}
        for name, reason in list(new.items())[:_MOST_NAMED]:
            self._log.warn(
                "{path} is left out of {file}: {reason}.",
                path=on_one_line(paths.join(self.watch.path, name)),
                file=on_one_line(self.watch.output),
                reason=on_one_line(reason),
            )
        if len(new) > _MOST_NAMED:
            self._log.warn(
                "{count} more nodes are left out of {file}.",
                count=len(new) - _MOST_NAMED,
                file=on_one_line(self.watch.output),
            )
        self.omitted = omitted

    def _command_succeeded(self) -> None:
        # If the mark cannot be removed, the next process runs the command once more.
        run_in_thread(self._reactor, remove_mark, self._path).addErrback(_ignore_os_error)

    # In a thread.

    def _in_thread(self, function: Callable[[LiveList], _T], live: LiveList) -> Deferred[_T]:
        return run_in_thread(self._reactor, function, live)

    def _render(self, live: LiveList) -> Rendering:
        if self.watch.template is None:
            return FORMATS[self.watch.format](live)
        # Jinja is only installed with the extra ``daemon``.
        from txmirror.output_files.templates import render_template  # noqa: PLC0415

        try:
            return render_template(Path(self.watch.template), live)
        except OSError as error:
            raise ValueError(f"the template {self.watch.template} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise ValueError(f"the template {self.watch.template} has failed: {error}") from None

    def _has_other(self, live: LiveList) -> bool:
        """Return whether the file exists with another content."""
        try:
            return self._path.read_bytes() != self._render(live).content
        except OSError:
            return False

    def _replace(self, live: LiveList) -> tuple[Rendering, bool, bool]:
        """Return the content, whether the file was replaced, and whether its command is still to run."""
        rendering = self._render(live)
        mark = bool(self.watch.command)
        replaced = update_file(self._path, rendering.content, self.watch.permissions, mark=mark)
        return rendering, replaced, mark and is_marked(self._path)
