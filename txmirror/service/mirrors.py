"""The mirrors that readers get: the daemon's own, or that of a session without the daemon's credentials."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.interfaces import IWatchFeed, IZooKeeperClient
from txmirror.mirror import Mirror, MirrorState
from txmirror.timers import Timer
from txmirror.types import News, SessionEvent, SessionState

#: The shortest time after which a session that cannot be opened is logged, in seconds.
_FIRST_CHECK = 10.0


class MirrorSource(Protocol):
    """A mirror for several users."""

    def acquire(self) -> Mirror | None:
        """Return the mirror, which stays open until :meth:`release` is called once for each call of this; None if there is none yet."""

    def release(self) -> None:
        """End an :meth:`acquire`."""


class OwnMirror:
    """The daemon's mirror. Nobody opens or closes it here.

    :ivar mirror: the mirror; None before the daemon begins to connect.
    """

    def __init__(self) -> None:
        self.mirror: Mirror | None = None

    def acquire(self) -> Mirror | None:
        """Return the mirror. See :class:`MirrorSource`."""
        return self.mirror

    def release(self) -> None:
        """Do nothing. See :class:`MirrorSource`."""


class ReadingSession:
    """A session without the daemon's credentials, so that readers see only what everybody may read. It is open while it is used.

    If ZooKeeper accepts no session without credentials while the daemon has one, that is logged once.

    :param make_client: makes the client of a session.
    :param others_connected: returns whether the daemon's own session is connected: then ZooKeeper is not out of reach.
    :param random: the random numbers of the mirror.
    :param reactor: the reactor.
    """

    _log = Logger()

    def __init__(
        self,
        make_client: Callable[[], IZooKeeperClient],
        others_connected: Callable[[], bool],
        random: Random,
        reactor: IReactorTime,
    ) -> None:
        self._make_client = make_client
        self._others_connected = others_connected
        self._random = random
        self._reactor = reactor
        self._users = 0
        self._mirror: Mirror | None = None
        self._logged = False
        self._check = Timer(reactor, self._check_connected)
        self._closing: set[Deferred[Any]] = set()

    @property
    def mirror(self) -> Mirror | None:
        """The mirror; None while nobody uses it."""
        return self._mirror

    @property
    def refused(self) -> bool:
        """True if ZooKeeper has accepted no session without credentials, as far as is known."""
        return self._logged

    def acquire(self) -> Mirror:
        """Return the mirror. See :class:`MirrorSource`."""
        self._users += 1
        if self._mirror is None:
            self._open()
        assert self._mirror is not None
        return self._mirror

    def release(self) -> None:
        """Close the session, if nobody else uses it. See :class:`MirrorSource`."""
        self._users -= 1
        if not self._users:
            self._close()

    def when_closed(self) -> Deferred[None]:
        """Wait until all sessions that nobody uses are closed.

        :returns: fires then; it never fails.
        """
        return DeferredList(list(self._closing)).addCallback(lambda _: None)

    def _open(self) -> None:
        client = self._make_client()
        IWatchFeed(client).add_listener(self._notice)
        self._mirror = mirror = Mirror(client=client, random=self._random, reactor=self._reactor)
        mirror.addStateWatcher(self, self._state_changed)
        # The client logs a failure, and tries again.
        mirror.connect().addErrback(lambda _: None)
        self._start_check(mirror)

    def _close(self) -> None:
        self._check.stop()
        mirror, self._mirror = self._mirror, None
        self._logged = False
        if mirror is not None:
            mirror.delStateWatcher(self)
            closing = Deferred.fromCoroutine(_close_both(mirror))
            self._closing.add(closing)
            closing.addBoth(lambda _: self._closing.discard(closing))

    def _notice(self, event: News) -> None:
        if isinstance(event, SessionEvent) and event.state is SessionState.AUTH_FAILED:
            self._log_refusal()

    def _state_changed(self, state: MirrorState) -> None:
        if state is MirrorState.CONNECTED:
            self._check.stop()
            if self._logged:
                self._logged = False
                self._log.info("ZooKeeper accepts the session of the readers.")
        elif state is MirrorState.DISCONNECTED and self._mirror is not None:
            self._start_check(self._mirror)

    def _start_check(self, mirror: Mirror) -> None:
        self._check.start(max(mirror.client.session_timeout, _FIRST_CHECK))

    def _check_connected(self) -> None:
        if self._mirror is None or self._logged:
            return
        if self._others_connected():
            self._log_refusal()
        else:
            # It may be ZooKeeper that is out of reach.
            self._start_check(self._mirror)

    def _log_refusal(self) -> None:
        if not self._logged:
            self._logged = True
            self._log.error(
                "ZooKeeper accepts no session without credentials, so that readers by HTTP and DNS see nothing. Set credentials = true in"
                " [http] and [dns] to show them all that the daemon may read."
            )


async def _close_both(mirror: Mirror) -> None:
    await mirror.close()
    await mirror.client.close()
