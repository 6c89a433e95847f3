"""Reloads of the configuration: one at a time, and requests that come at once share one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.configuration import Configuration, ConfigurationError, Difference
from txmirror.deferreds import Waiters
from txmirror.threads import run_in_thread


class Reloader:
    """Reads the configuration again, and applies it.

    A request that arrives while the files are being read waits for another reload, because the files may have changed meanwhile.
    All requests that wait share this one.

    :param load: returns the configuration anew; it is called in a thread. None if there are no files to read.
    :param apply: applies it, and returns the difference.
    :param reactor: the reactor.
    :param began: called when a reload begins.
    :param ended: called with its difference or failure, and returns it.
    """

    _log = Logger()

    def __init__(
        self,
        load: Callable[[], Configuration] | None,
        apply: Callable[[Configuration], Difference],
        reactor: IReactorTime,
        *,
        began: Callable[[], object] = lambda: None,
        ended: Callable[[Any], Any] = lambda result: result,
    ) -> None:
        self._load = load
        self._apply = apply
        self._reactor = reactor
        self._began = began
        self._ended = ended
        self._requests: Waiters[Difference] = Waiters()
        self._running = False
        self._stopped = False

    def reload(self) -> Deferred[Difference]:
        """Read the configuration, and apply the difference.

        :returns: fires with the difference when it is applied. Fails with :exc:`ConfigurationError` if the configuration is
            invalid, there are no files, or :meth:`stop` was called: then nothing has changed. Cancelling ends only the wait.
        """
        request = self._requests.wait()
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._run())
        return request

    def stop(self) -> None:
        """Apply nothing any more."""
        self._stopped = True

    async def _run(self) -> None:
        try:
            while self._requests:
                requests, self._requests = self._requests, Waiters()
                await self._answer(requests)
        finally:
            self._running = False

    async def _answer(self, requests: Waiters[Difference]) -> None:
        try:
            self._check_stopped()
            self._began()
            change = await Deferred.fromCoroutine(self._reload()).addBoth(self._ended)
        except ConfigurationError as error:
            lines = error.lines
            # Without files, or during a stop, there is nothing to mend.
            log = self._log.warn if self._stopped or self._load is None else self._log.error
            for line in lines:
                log("Not reloaded: {line}", line=line)
            requests.fail(lambda: ConfigurationError(lines))
        except Exception as error:
            # A plugin's, or a bug of ours: the daemon goes on as configured before.
            # Without a name of its own it would be gone at the end of this block.
            cause = error
            self._log.failure("The configuration could not be reloaded.")
            requests.fail(lambda: cause)
        else:
            requests.fire(change)

    async def _reload(self) -> Difference:
        if self._load is None:
            raise ConfigurationError(["There is no file to read again: the services were named on the command line."])
        new = await run_in_thread(self._reactor, self._load)
        self._check_stopped()
        return self._apply(new)

    def _check_stopped(self) -> None:
        if self._stopped:
            raise ConfigurationError(["The daemon is stopping."])
