"""Maintenance: services, or all of them, that are kept out of the registry for a while, with a reason. It survives restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.deferreds import follow
from txmirror.files import UnsafeFileError, read_file, replace_file, set_aside_for
from txmirror.json_text import JSONReader, JSONWriter
from txmirror.printable import on_one_line
from txmirror.threads import run_in_thread
from txmirror.timers import Timer

#: The name under which all services are in maintenance. No service has it.
HOST: Final = "*"

_KIND = "txmirror maintenance"
_VERSION = 1
_LARGEST = 2**20
#: The longest time that a timer runs, in seconds. The wall clock may be set meanwhile.
_LONGEST_TIMER = 60.0
#: The effect of a failure, for the log: by the participle of the action that failed.
_EFFECTS: Final = {"read": "Nothing is in maintenance", "written": "A restart forgets the change"}
_READER = JSONReader(deepest=10)
_WRITER = JSONWriter(indent=2)


@attrs.frozen
class Flag:
    """The maintenance of one service, or of all."""

    reason: str
    since: float
    """In seconds since the Unix epoch."""
    until: float | None = None
    """Likewise; None lasts until it is ended."""


class Maintenance:
    """Keeps what is in maintenance, and its file.

    :param path: the file; None forgets all maintenance with the process.
    :param changed: called when a flag is set, ended or over.
    :param reactor: the reactor; its ``seconds()`` is the time of day.
    :ivar failures: the number of times that the file could not be read or written, or was set aside.
    """

    _log = Logger()

    def __init__(self, path: str | None, changed: Callable[[], object], reactor: IReactorTime) -> None:
        self.failures: int = 0
        self._path = None if path is None else Path(path).absolute()
        self._changed = changed
        self._reactor = reactor
        self._flags: dict[str, Flag] = {}
        self._timer = Timer(reactor, self._expire)
        self._turn = DeferredLock()
        self._failed = False

    @property
    def flags(self) -> Mapping[str, Flag]:
        """The flags, by services' ids, or :data:`HOST`."""
        return dict(self._flags)

    @property
    def kept(self) -> bool:
        """True if there is a file, and it was written the last time: the flags survive a restart."""
        return self._path is not None and not self._failed

    def of(self, service_id: str) -> Flag | None:
        """Return the flag that keeps a service out; None if there is none."""
        return self._flags.get(service_id) or self._flags.get(HOST)

    def load(self) -> None:
        """Read the file. A damaged or unsafe one is set aside with a warning. It blocks for a moment."""
        if self._path is None:
            return
        try:
            self._flags = _read(self._path)
        except UnsafeFileError as error:
            self._set_aside(error)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._warn("read", error)
        for name, flag in self._flags.items():
            self._log.warn("{name} is in maintenance: {reason}.", name=_called(name), reason=flag.reason)
        self._start_timer()

    def set(self, name: str, reason: str, until: float | None) -> Deferred[None]:
        """Set a flag.

        :param name: a service's id, or :data:`HOST`.
        :param reason: the reason, for people.
        :param until: the end, in seconds since the Unix epoch; None sets none.
        :returns: fires when the file is written, or cannot be, which is logged. It never fails. Cancelling ends only the wait.
        """
        self._flags[name] = Flag(reason, self._reactor.seconds(), until)
        self._log.warn("{name} is in maintenance from now on: {reason}.", name=_called(name), reason=reason)
        return self._apply()

    def end(self, name: str) -> Deferred[None]:
        """End a flag; silent if there is none. See :meth:`set`."""
        if self._flags.pop(name, None) is not None:
            self._log.info("{name} is no longer in maintenance.", name=_called(name))
        return self._apply()

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.stop()

    def _apply(self) -> Deferred[None]:
        self._start_timer()
        self._changed()
        # A write that has begun ends before the next one begins.
        return follow(Deferred.fromCoroutine(self._write()))

    def _start_timer(self) -> None:
        ends = [flag.until for flag in self._flags.values() if flag.until is not None]
        if ends:
            self._timer.start(min(_LONGEST_TIMER, min(ends) - self._reactor.seconds()))
        else:
            self._timer.stop()

    def _expire(self) -> None:
        now = self._reactor.seconds()
        over = [name for name, flag in self._flags.items() if flag.until is not None and flag.until <= now]
        for name in over:
            del self._flags[name]
            self._log.info("The maintenance of {name} is over.", name=_called(name))
        if over:
            self._apply()
        else:
            self._start_timer()

    async def _write(self) -> None:
        if self._path is None:
            return
        await self._turn.acquire()
        try:
            flags = {name: attrs.asdict(flag) for name, flag in self._flags.items()}
            text = _WRITER.write({"kind": _KIND, "version": _VERSION, "maintenance": flags}) + "\n"
            await run_in_thread(self._reactor, replace_file, self._path, text)
            self._failed = False
        except OSError as error:
            self._failed = True
            self._warn("written", error)
        finally:
            self._turn.release()

    def _set_aside(self, error: UnsafeFileError) -> None:
        try:
            note = set_aside_for(error)
        except OSError as other:
            self._warn("read", other)
        else:
            self.failures += 1
            if note is not None:
                self._log.warn("Maintenance file: {note}. Nothing is in maintenance.", note=on_one_line(note))

    def _warn(self, what: str, error: Any) -> None:
        self.failures += 1
        self._log.warn(
            "The maintenance file {path} cannot be {what}: {reason}. {effect}.",
            path=str(self._path),
            what=what,
            reason=on_one_line(str(error)),
            effect=_EFFECTS[what],
        )


def _called(name: str) -> str:
    return "This host" if name == HOST else f"Service {name}"


def _read(path: Path) -> dict[str, Flag]:
    """Return the flags of a file.

    :raises UnsafeFileError: it is damaged, or others may write to it.
    :raises OSError: it cannot be read.
    """
    content = read_file(path, largest=_LARGEST)
    try:
        whole: Any = _READER.read(content)
        return {str(name): _flag(**flag) for name, flag in _flags_of(whole).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnsafeFileError(path, f"it is damaged: {error}", path.lstat()) from None


def _flags_of(whole: Any) -> Mapping[str, Any]:
    if not isinstance(whole, dict) or whole.get("kind") != _KIND or whole.get("version") != _VERSION:
        raise ValueError(f"it is not a file of version {_VERSION} of {_KIND!r}")
    flags: Mapping[str, Any] = whole["maintenance"]
    return flags


def _flag(*, reason: Any, since: Any, until: Any) -> Flag:
    numbers = [since] if until is None else [since, until]
    if not isinstance(reason, str) or not all(isinstance(each, (int, float)) for each in numbers):
        raise TypeError("a flag has another type")
    return Flag(reason, since, until)
