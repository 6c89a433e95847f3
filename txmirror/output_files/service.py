"""The output files of a program, as a service of its own."""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txmirror.configuration import Watch
from txmirror.mirror import Mirror
from txmirror.output_files.output_file import OutputFile


@implementer(IService)
class OutputFilesService(Service):
    """Keeps files equal to lists of instances, on a mirror that it is given.

    :param random: returns random numbers from 0 to 1.
    :param clock: measures the times of the configuration: jumps of the wall clock should not affect it. The reactor if None.
    :param reactor: the reactor.
    :ivar files: the files, by their names. Empty before :meth:`use` and the start.
    """

    def __init__(
        self, *, random: Callable[[], float] = _random.random, clock: IReactorTime | None = None, reactor: Any
    ) -> None:
        self.files: dict[str, OutputFile] = {}
        self._random = random
        self._clock: IReactorTime = reactor if clock is None else clock
        self._reactor = reactor
        self._watches: dict[str, Watch] = {}
        self._mirror: Mirror | None = None
        #: Files whose last write or command has not ended yet.
        self._stopping: dict[str, Deferred[None]] = {}

    def use(self, mirror: Mirror) -> None:
        """Read the lists from this mirror from now on. It must stay open until the stop."""
        self._mirror = mirror
        self._start_all()

    def apply(self, watches: Iterable[Watch]) -> None:
        """Keep these files from now on. Files that are the same as before go on; templates are read again. A file that is not among
        them stays as it is.
        """
        self._watches = {watch.output: watch for watch in watches}
        for name, file in list(self.files.items()):
            if self._watches.get(name) == file.watch:
                file.refresh()
            else:
                self._stop(name)
        self._start_all()

    def finish_changes(self) -> Deferred[None]:
        """Write the changes that have happened, without waiting for further ones, and run the commands for them.

        :returns: fires when each command has run once, whether it has succeeded or not. It never fails. Cancelling ends the wait.
        """
        finishing = [Deferred.fromCoroutine(file.finish_changes()) for file in self.files.values()]
        return DeferredList(finishing, consumeErrors=True).addCallback(lambda _: None)

    def startService(self) -> None:
        """Start following the lists. It never fails."""
        super().startService()
        self._start_all()

    def stopService(self) -> Deferred[None]:
        """Stop following the lists. The files stay, and a command that runs is killed.

        :returns: fires when nothing is written any more, and no command is left; it never fails.
        """
        super().stopService()
        for name in list(self.files):
            self._stop(name)
        return DeferredList(list(self._stopping.values())).addCallback(lambda _: None)

    def _start_all(self) -> None:
        if self.running and self._mirror is not None:
            for name, watch in self._watches.items():
                if name not in self.files and name not in self._stopping:
                    self.files[name] = OutputFile(
                        watch, self._mirror, random=self._random, clock=self._clock, reactor=self._reactor
                    )

    def _stop(self, name: str) -> None:
        stopped = self.files.pop(name).stop()
        self._stopping[name] = stopped
        stopped.addBoth(lambda _: self._stopped(name))

    def _stopped(self, name: str) -> None:
        del self._stopping[name]
        self._start_all()
