"""The catalog: the services below a path, their entries and their indexes, while somebody uses them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txmirror import paths
from txmirror.catalog.entries import CatalogChange, CatalogService
from txmirror.catalog.following import Following
from txmirror.catalog.history import History, ServiceEvent
from txmirror.catalog.waiting import Waiting
from txmirror.deferreds import Waiters
from txmirror.mirror import Mirror
from txmirror.observers import Observers
from txmirror.timers import Timer
from txmirror.types import ZnodeStat

#: The seconds after the last use for which the services are followed.
_IDLE: Final = 900.0
#: The longest wait for the first lists, in seconds.
_FIRST: Final = 2.0
#: The shortest time between two batches of changes, in seconds.
_PAUSE: Final = 0.05
#: The number of nodes after which further ones are looked at in a later turn of the reactor.
_NODES_IN_TURN: Final = 400
#: The most services that are gone and whose index is remembered.
_MOST_GONE: Final = 1_000


class Catalog:
    """Every service below a path, decoded; followed only while it is used, and for 15 minutes after.

    Each change has an index: one counter for the process, which begins at the milliseconds since the Unix epoch. So no index of
    an earlier process is one of this process.

    While ZooKeeper is away it shows the last known state. Changes are shown at once, and then in one batch in 50 milliseconds.

    :param mirror: the mirror, which must stay open until :meth:`close`.
    :param root: the path whose children are the services. It may be missing.
    :param hold_for: how long instances that are gone just after an outage are shown as held, in seconds, if a list has shrunk to
        less than half.
    :param most_waiting: the most waits for a change at a time.
    :raises ValueError: ``root`` is no znode path; the message quotes it.
    :ivar root: the path.
    :ivar index: the index of the latest change.
    :ivar history: the latest events of all services.
    """

    # It has more than 25 methods and more than 12 attributes: half of the methods are for readers of another kind each.
    _log = Logger()

    def __init__(self, mirror: Mirror, root: str, *, hold_for: float = 30.0, most_waiting: int = 1_000) -> None:
        self.root: str = paths.normalise(root)
        self.reactor: Final = mirror.reactor
        self.index: int = int(mirror.reactor.seconds() * 1000)
        self._base = self._latest = self.index
        self.history: History = History()
        self._mirror = mirror
        self._hold_for = hold_for
        self._known = self._closed = False
        self._reason: str | None = None
        self._services: dict[str, CatalogService] = {}
        self._names: list[str] = []
        self._gone: OrderedDict[str, int] = OrderedDict()
        self._following: Following | None = None
        self._holds = 0
        self._used, self._flushed = 0.0, -_PAUSE
        self._first: Waiters[None] = Waiters()
        self._waiting = Waiting(most_waiting, self.index_of, mirror.reactor)
        self._idle = Timer(mirror.reactor, self._idle_over)
        self._batch = Timer(mirror.reactor, self._flush)
        self._observers: Observers[CatalogChange | None] = Observers(
            lambda key, change: self._log.failure(
                "A watcher of the services below {path}, {key}, failed on {change}.",
                path=self.root,
                key=key,
                change=change,
            )
        )
        self._state_observers: Observers[None] = Observers(
            lambda key, _: self._log.failure(
                "A watcher of the state of the services below {path}, {key}, failed.", path=self.root, key=key
            )
        )

    # Use.

    def use(self) -> Deferred[None]:
        """Follow the services from now on, until 15 minutes after the last use.

        :returns: fires when the first lists were read, or after 2 seconds: then with what is known. It never fails; cancelling
            ends the wait only.
        """
        if not self._closed:
            self._follow()
        if self._closed or self._known:
            return succeed(None)
        return self._first.wait().addTimeout(_FIRST, self.reactor, onTimeoutCancel=lambda _, __: None)

    def hold(self) -> None:
        """Follow the services until :meth:`release`, which is to be called once for each call of this."""
        self._holds += 1
        if not self._closed:
            self._follow()

    def release(self) -> None:
        """End a :meth:`hold`: the 15 minutes begin now."""
        self._holds, self._used = self._holds - 1, self.reactor.seconds()

    def end_waits(self) -> None:
        """End all waits for a change."""
        self._waiting.end_all()

    def close(self) -> Deferred[None]:
        """Follow nothing any longer. The last known state stays readable, and all waits end. It may be called twice.

        :returns: fires then; it never fails.
        """
        if not self._closed:
            self._closed = True
            self._idle.stop()
            self._batch.stop()
            if self._following is not None:
                self._following.end()
            self._state_observers.notify(None)
            self._first.fire(None)
            self.end_waits()
        return succeed(None)

    # State.

    @property
    def known(self) -> bool:
        """True if all services were read since the catalog follows them."""
        return self._known

    @property
    def stale(self) -> bool:
        """True if what is shown may be old: the connection was lost and not everything was read since, or the catalog is closed."""
        return self._closed or self._following is None or self._following.lost_since is not None

    @property
    def age(self) -> float:
        """The seconds since the connection was lost; 0 if what is shown is current."""
        since = None if self._following is None else self._following.lost_since
        return 0.0 if since is None else max(0.0, self.reactor.seconds() - since)

    @property
    def reason(self) -> str | None:
        """The reason why the services cannot be read, in one line; None if they can, or it is not known yet."""
        return self._reason

    @property
    def waiting(self) -> int:
        """The number of waits for a change."""
        return len(self._waiting)

    @property
    def services(self) -> Mapping[str, CatalogService]:
        """The services by name, in no particular order. It is live."""
        return MappingProxyType(self._services)

    @property
    def names(self) -> Sequence[str]:
        """The names of the services, sorted. It is live, and not to be changed."""
        return self._names

    def index_of(self, service: str | None) -> int:
        """Return the index of the latest change of a service, or of all for None. A service that does not exist has one too."""
        if service is None:
            return self.index
        found = self._services.get(service)
        return self._gone.get(service, self._base) if found is None else found.index

    def events(self, service: str) -> list[ServiceEvent]:
        """Return the latest events of a service, also of one that is gone, in order of time: at most 1,000."""
        return self.history.of(service)

    def recall(self, path: str) -> tuple[tuple[bytes, ZnodeStat], list[str]] | None:
        """Return the data and stat of a node, and the names of its children, as they were read last; None if it is not followed."""
        tree = None if self._following is None else self._following.tree
        value = None if tree is None else tree.get(path)
        return None if tree is None or value is None else (value, tree.children(path))

    def next_index(self) -> int:
        """Return a new index: greater than all before."""
        self._latest += 1
        return self._latest

    # Changes.

    def watch(self, key: Hashable, function: Callable[[CatalogChange], object]) -> None:
        """Call a function with each change from now on, in order; :attr:`services` show just this change. One that raises is
        logged, and stays. It replaces the former function with this key.
        """
        self._observers.add(key, lambda change: None if change is None else function(change))

    def unwatch(self, key: Hashable) -> None:
        """Remove the function with this key; silent if there is none."""
        self._observers.remove(key)

    def watch_state(self, key: Hashable, function: Callable[[], object]) -> None:
        """Call a function when :attr:`known`, :attr:`stale` or :attr:`reason` may have changed; otherwise as :meth:`watch`."""
        self._state_observers.add(key, lambda _: function())

    def unwatch_state(self, key: Hashable) -> None:
        """Remove the function with this key; silent if there is none."""
        self._state_observers.remove(key)

    def wait_for_change(self, service: str | None, index: int, seconds: float) -> Deferred[None]:
        """Wait until :meth:`index_of` a service, or of all for None, is not ``index``. The catalog is followed meanwhile.

        :returns: fires then; also after ``seconds``, and when the catalog is closed. Fails at once with :exc:`TooManyWaiting`.
            Cancelling ends the wait.
        """
        if self._closed:
            return succeed(None)
        waiting = self._waiting.wait(service, index, seconds)
        if not waiting.called:
            self.hold()

            def ended(result: object) -> object:
                self.release()
                return result

            waiting.addBoth(ended)
        return waiting

    # Implementation.

    def _follow(self) -> None:
        self._used = self.reactor.seconds()
        if self._following is None:
            self.index = self._base = self.next_index()
            self.history.begin(self._used)
            self._following = Following(
                self._mirror, self.root, self._hold_for, self._changed, self._connection_changed
            )
        if not self._idle.running:
            self._idle.start(_IDLE)

    def _idle_over(self) -> None:
        left = self._used + _IDLE - self.reactor.seconds()
        if self._holds or left > 0:
            self._idle.start(_IDLE if self._holds else left)
        elif self._following is not None:
            self._following.end()
            self._following = None
            self._batch.stop()
            self._known, self._reason = False, None
            self._services.clear()
            self._names.clear()
            self._gone.clear()

    def _connection_changed(self, lost: bool) -> None:
        now = self.reactor.seconds()
        if lost:
            self.history.lost(now)
        else:
            self.history.settled(now)
        self._state_observers.notify(None)

    def _changed(self) -> None:
        if not self._batch.running and not self._closed:
            # Somebody waits for the first lists.
            pause = self._flushed + _PAUSE - self.reactor.seconds() if self._known else 0
            # The clock may have been set back.
            self._batch.start(min(pause, _PAUSE))

    def _flush(self) -> None:
        following = self._following
        if following is None:
            return
        for name in following.take_gone():
            self._remove(name)
        count = 0
        # A watcher may close the catalog.
        while following.dirty and count < _NODES_IN_TURN and not self._closed:
            count += self._update_one(following)
        if self._closed:
            return
        if following.dirty or following.gone:
            self._batch.start(0)
            return
        self._flushed = self.reactor.seconds()
        following.note_shown()
        self._note_state(following)

    def _note_state(self, following: Following) -> None:
        known, reason = self._known or following.known, following.reason
        if not self._closed and (known, reason) != (self._known, self._reason):
            self._known, self._reason = known, reason
            self._state_observers.notify(None)
            if known:
                self._first.fire(None)

    def _remove(self, name: str) -> None:
        service = self._services.pop(name, None)
        if service is None:
            return
        del self._names[bisect_left(self._names, name)]
        self._gone[name] = self.index = self.next_index()
        if len(self._gone) > _MOST_GONE:
            self._gone.popitem(last=False)
        now = self.reactor.seconds()
        for each in service.entries.values():
            self.history.note(now, name, each.name, each, None)
        self._notify(CatalogChange(name, {}, True, self.index))

    def _update_one(self, following: Following) -> int:
        """Show some changes of one service.

        :returns: the number of its nodes that were looked at, and one more.
        """
        changed = next(iter(following.dirty))
        looked = 1 + changed.dirty
        changes = changed.take()
        looked -= changed.dirty
        if not changed.dirty:
            del following.dirty[changed]
        service, reason = self._services.get(changed.name), changed.reason
        if service is not None and not changes and reason == service.reason:
            return looked
        self.index = self.next_index()
        if service is None:
            self._gone.pop(changed.name, None)
            entries = MappingProxyType(changed.entries)
            service = CatalogService(changed.name, changed.path, self.index, entries, changed.names)
            self._services[changed.name] = service
            insort(self._names, changed.name)
        service.index, service.reason = self.index, reason
        if self._known:
            # The first lists are no events.
            now = self.reactor.seconds()
            for name, (before, after) in changes.items():
                self.history.note(now, changed.name, name, before, after)
        after_them = {name: after for name, (_, after) in changes.items()}
        self._notify(CatalogChange(changed.name, after_them, False, self.index))
        return looked

    def _notify(self, change: CatalogChange) -> None:
        self._waiting.changed(change.service)
        self._observers.notify(change)
