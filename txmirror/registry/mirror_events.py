"""The registrations of one mirror: its events are dispatched to them, and each path has one owner in a session.

``ephemeralOwner`` identifies a session, but not one of two registrations in that session: each would mistake the other's
node for its own, and overwrite its data. Paths are compared as the server has them, with the client's chroot.
"""

from __future__ import annotations

from typing import Protocol
from weakref import ReferenceType, WeakKeyDictionary, WeakValueDictionary, ref

from txmirror.errors import NodeExistsException
from txmirror.interfaces import IChroot, IZooKeeperClient
from txmirror.mirror import Mirror, MirrorState
from txmirror.registry.admission import AdmissionQueue
from txmirror.types import EventType, News, WatchedEvent

#: How many registrations take a step at a time, at most.
_STEPS = 500


class Member(Protocol):
    """The keeper of a path."""

    def yield_path(self) -> bool:
        """Leave the path to another keeper of this session, unless the node is to be kept; return whether that was done."""

    def node_changed(self, kind: EventType) -> None:
        """Note an event of the node."""

    def mirror_changed(self, state: MirrorState) -> None:
        """Note a new state of the mirror."""

    def mirror_recovered(self, watches_lost: bool) -> None:
        """Note that all missed events were dispatched.

        :param watches_lost: whether watches may be lost, and with them events.
        """


class MirrorEvents:
    """Dispatches a mirror's events to its active registrations, one for each path.

    There is one for each mirror: see :func:`events_of`. The mirror holds it while it has registrations.

    :param mirror: the mirror.
    :ivar steps: limits how many registrations take a step at a time.
    :ivar sessions: the ids of the sessions in which registrations of this mirror were made.
    """

    def __init__(self, mirror: Mirror) -> None:
        self.steps: AdmissionQueue = AdmissionQueue(_STEPS)
        self.sessions: set[int] = set()
        self._mirror = mirror
        self._feed = mirror.feed
        self._members: dict[str, Member] = {}
        self._owners = _owners.setdefault(_session_key(mirror.client), WeakValueDictionary())
        _, slash, chroot = mirror.client.connect_string.partition("/")
        self._prefix = slash + chroot

    # At most one registration of a session keeps a path.

    def take(self, path: str, keeper: Member) -> None:
        """Record that a registration keeps a path from now on. Another one that is withdrawing from it yields.

        :raises NodeExistsException: another registration of this session keeps it.
        """
        former = self._owners.get(self._prefix + path)
        if former is keeper:
            return
        if former is not None and not former.yield_path():
            raise NodeExistsException(
                f"{path!r} is kept by another registration of this session: stop that one first",
                path=path,
                applied=False,
            )
        self._owners[self._prefix + path] = keeper

    def release(self, path: str, keeper: Member) -> None:
        """Record that a registration no longer keeps a path; do nothing if it does not keep it."""
        if self._owners.get(self._prefix + path) is keeper:
            del self._owners[self._prefix + path]

    # Dispatching.

    def add(self, path: str, keeper: Member) -> None:
        """Dispatch events to a registration from now on."""
        if not self._members:
            # The client logs a failure, and retries.
            self._mirror.connect().addErrback(lambda _: None)
            self._mirror.addStateWatcher(self, self._state_changed)
            self._mirror.watch_recovery(self, self._recovered)
            self._feed.add_listener(self._dispatch, self._members.__contains__)
        self._members[path] = keeper

    def remove(self, path: str, keeper: Member) -> None:
        """Dispatch no more events to a keeper."""
        if self._members.get(path) is keeper:
            del self._members[path]
            if not self._members:
                self._mirror.delStateWatcher(self)
                self._mirror.unwatch_recovery(self)
                self._feed.remove_listener(self._dispatch)

    def _dispatch(self, event: News) -> None:
        if isinstance(event, WatchedEvent):
            keeper = self._members.get(event.path)
            if keeper is not None:
                keeper.node_changed(event.type)

    def _state_changed(self, state: MirrorState) -> None:
        for path, keeper in list(self._members.items()):
            # An earlier one may have removed it.
            if self._members.get(path) is keeper:
                keeper.mirror_changed(state)

    def _recovered(self, watches_lost: bool) -> None:
        for path, keeper in list(self._members.items()):
            if self._members.get(path) is keeper:
                keeper.mirror_recovered(watches_lost)


#: The key is an object that the clients of one session share. A mirror holds its active registrations.
_owners: WeakKeyDictionary[object, WeakValueDictionary[str, Member]] = WeakKeyDictionary()
_of_mirrors: WeakKeyDictionary[Mirror, ReferenceType[MirrorEvents]] = WeakKeyDictionary()


def events_of(mirror: Mirror) -> MirrorEvents:
    """Return the dispatcher of a mirror's events."""
    reference = _of_mirrors.get(mirror)
    events = None if reference is None else reference()
    if events is None:
        events = MirrorEvents(mirror)
        _of_mirrors[mirror] = ref(events)
    return events


def _session_key(client: IZooKeeperClient) -> object:
    views: IChroot | None = IChroot(client, None)
    return client if views is None else views.session_key
