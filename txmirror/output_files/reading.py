"""Read the instances of a service from a tree: in the reactor's thread what the tree has, and in another what the codecs make of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Final

import attrs
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.configuration import AUTO, Watch
from txmirror.formats import LiveList, reason_against
from txmirror.interfaces import IPayloadCodec
from txmirror.mirror import Change, ChangeKind, Mirror
from txmirror.registry import decode_instance, find_codec
from txmirror.types import Instance, Undecodable

#: The longest time to wait for nodes that are being read, in seconds.
_LONGEST_WAIT: Final = 5.0


@attrs.frozen
class Snapshot:
    """The nodes of a list at one moment."""

    data: Mapping[str, bytes]
    """The data of each node, sorted by the names."""
    unreadable: Mapping[str, str]
    """The nodes that cannot be read: the reason by name."""


class FollowedList:
    """Follows the list of a service's instances, and decodes only the nodes that have changed.

    :param watch: its path, name and codec.
    :param mirror: the mirror.
    :param changed: called when the list may have changed; not without a connection.
    :param clock: measures the time.
    """

    def __init__(self, watch: Watch, mirror: Mirror, changed: Callable[[], None], clock: IReactorTime) -> None:
        self._watch = watch
        self._codec = None if watch.codec == AUTO else find_codec(watch.codec)
        self._notify = changed
        self._clock = clock
        #: The data of each node that was decoded last, with the result.
        self._decoded: dict[str, tuple[bytes, Instance | Undecodable]] = {}
        #: Whether all of it was read in this connection.
        self._complete = False
        self._tree = tree = mirror.tree(watch.path, depth=1)
        tree.watch(self._changed)
        tree.ready().addCallbacks(lambda _: self._changed(None), lambda _: None)

    @property
    def refusal(self) -> Exception | None:
        """The reason why the list cannot be read; None if it can."""
        return self._tree.unreadable.get(self._watch.path)

    @property
    def stale(self) -> bool:
        """True if the list was not read again since the connection was lost."""
        return self._tree.stale_since is not None

    def _changed(self, change: Change | None) -> None:
        if change is None or change.kind is ChangeKind.SETTLED:
            self._complete = True
        elif change.kind is ChangeKind.STALE:
            self._complete = False
        # Without a connection the list may be incomplete. Another change comes when it has settled.
        if not self.stale:
            self._notify()

    def close(self) -> None:
        """Follow the list no longer."""
        self._tree.unwatch(self._changed)
        self._tree.close()

    async def read(self) -> Snapshot | None:
        """Wait for the nodes that are being read, and return all of them.

        :returns: None while the list may be incomplete. Then another change is notified when it is complete.
        """
        tree, path = self._tree, self._watch.path
        # With many changes or a slow server there are always some nodes that are being read. The others are up to date.
        with contextlib.suppress(DeferredTimeout):
            await tree.caught_up().addTimeout(_LONGEST_WAIT, self._clock)
        if self.stale or not (tree.settled or self._complete):
            return None
        unreadable = {paths.name_of(each): str(reason) for each, reason in tree.unreadable.items()}
        values = {name: tree.get(paths.join(path, name)) for name in (tree.children(path) if path in tree else ())}
        # The tree keeps the last known data of a node that cannot be read any more.
        data = {name: value[0] for name, value in values.items() if value is not None and name not in unreadable}
        return Snapshot(data, unreadable)

    def decode(self, snapshot: Snapshot) -> tuple[LiveList, dict[str, str]]:
        """Return the list, and the reasons for the nodes that are not in it. Decoding 10,000 nodes takes half a second.

        It may run in another thread, but not in two at the same time.
        """
        watch, before = self._watch, self._decoded
        decoded = {}
        for name, data in snapshot.data.items():
            known = before.get(name)
            decoded[name] = (data, _decode(name, data, self._codec)) if known is None or known[0] is not data else known
        self._decoded = decoded
        omitted, instances = dict(snapshot.unreadable), []
        for name, (_, found) in decoded.items():
            if isinstance(found, Undecodable):
                omitted[name] = found.reason
            else:
                instances.append(found)
        return LiveList(watch.name, watch.path, instances), omitted


def _decode(name: str, data: bytes, codec: IPayloadCodec | None) -> Instance | Undecodable:
    found = decode_instance(name, data, codec)
    reason = None if isinstance(found, Undecodable) else reason_against(found)
    return found if reason is None else Undecodable(reason)
