"""Follow one path on one mirror: its data, and its children with theirs."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred

from txmirror.durations import check_seconds
from txmirror.errors import ZooKeeperException
from txmirror.interfaces import IPayloadCodec
from txmirror.mirror import Change, ChangeKind, Mirror, Tree
from txmirror.registry.audit import Audit
from txmirror.registry.codecs import decode
from txmirror.registry.holding import OutageHold
from txmirror.timers import Timer
from txmirror.types import Answer, Payload, Undecodable, ZnodeStat

#: The timeout of a change of the children that waits for its stat, in seconds. The stat takes a round trip.
_STAT_TIMEOUT = 1.0
#: A node with more data than this many bytes is not read again for its stat when a child comes or goes.
_LARGE = 16 * 1024


@attrs.frozen
class FollowingOptions:
    """How paths are followed."""

    codec: IPayloadCodec
    """Decodes the data of nodes."""
    hold_for: float
    """The number of seconds after a reconnection during which a list that has collapsed is held back."""
    audit: float | None
    """The interval between audits, in seconds; None for no audits."""
    random: Random
    """Varies the interval."""

    def __attrs_post_init__(self) -> None:
        check_seconds("hold_for", self.hold_for)
        check_seconds("audit", self.audit, positive=True, optional=True)


class Reader(Protocol):
    """The receiver of the answers."""

    answer: Answer | None
    """The latest answer."""

    @property
    def wanted(self) -> bool:
        """True if somebody uses the answers. Otherwise none are made until :meth:`Following.publish_now`."""

    def publish(self, answer: Answer) -> None:
        """Take an answer, which may equal the latest."""

    def read(self, refusal: ZooKeeperException | None) -> None:
        """Note that the path was read for the first time, or cannot be read."""


class Following:
    """Follows a path on a mirror.

    :param mirror: the mirror.
    :param path: the path.
    :param options: how it is followed.
    :param reader: receives the answers.
    :ivar tree: the tree of depth one.
    :ivar live: whether the path was read.
    :ivar held: whether an answer is held back.
    """

    def __init__(self, mirror: Mirror, path: str, options: FollowingOptions, reader: Reader) -> None:
        self.live: bool = False
        self.held: bool = False
        #: Whether there are changes for which no answer was made, because nobody wanted it.
        self._unpublished = False
        self._path = path
        self._options = options
        self._reader = reader
        self._payloads: Mapping[str, Payload] = {}
        self._publish_timer = Timer(mirror.reactor, self._publish)
        self._hold = OutageHold(options.hold_for, self._publish, mirror.reactor)
        self.tree: Tree = mirror.tree(path, depth=1)
        tree = self.tree
        self._audit = Audit(tree, mirror.reactor, options.audit, options.random)
        tree.watch_stats(self._stat_changed)
        tree.ready().addCallbacks(lambda _: self._begin(), lambda _: None)

    @property
    def stale(self) -> bool:
        """True if the latest answer may be old or incomplete."""
        return not self.live or self.held or self.tree.stale_since is not None or bool(self.tree.unreadable)

    def caught_up(self) -> Deferred[None]:
        """Wait until known changes are published; without a connection do not wait. Cancelling ends the wait."""
        return self.tree.caught_up().addCallback(lambda _: self._publish_scheduled())

    def publish_now(self) -> None:
        """Publish the changes that were not published yet, also if the answer was not wanted until now."""
        if self._unpublished:
            self._publish()
        else:
            self._publish_scheduled()

    def stop(self) -> None:
        """Stop following."""
        for timer in (self._publish_timer, self._hold, self._audit):
            timer.stop()
        self.live = self.held = False
        self.tree.unwatch(self._changed)
        self.tree.close()

    def _publish_scheduled(self) -> None:
        if self._publish_timer.running:
            self._publish()

    def _begin(self) -> None:
        """Publish the first answer, and follow later changes."""
        # It is updated before this is called with the same change.
        self._payloads = self.tree.decoded(self._decode)
        self.tree.watch(self._changed)
        self._read()

    def _read(self) -> None:
        """Publish the first answer, unless the path itself cannot be read."""
        if self.live or not self.tree.settled:
            return
        refusal = self.tree.unreadable.get(self._path)
        if refusal is None:
            self._recovered()
        self._reader.read(refusal)

    def _recovered(self) -> None:
        """Publish an answer after a connection or reconnection: everything was read."""
        self.live = True
        if not self._reader.wanted:
            self._unpublished = True
            return
        if self._reader.answer is not None:
            self._hold.start(len(self._reader.answer["children"]))
        self._publish()

    def _changed(self, change: Change) -> None:
        if change.kind is ChangeKind.SETTLED:
            if self.live:
                self._recovered()
            else:
                self._read()
        elif change.kind is ChangeKind.READABLE:
            if change.path == self._path and not self.live:
                # The nodes below it are read first.
                self.tree.caught_up().addCallback(lambda _: self._read())
            elif change.path != self._path and change.new is None:
                # A child that was not in the answer was deleted.
                self._read_stat()
        elif change.kind in (ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED):
            if change.kind is not ChangeKind.CHANGED and change.path != self._path:
                # A recursive watch sends no event for the parent's new stat.
                self._read_stat(0 if change.new is None else change.new[1].czxid)
            elif self.live:
                self._publish_soon()
        elif self._publish_timer.running:
            # HIDDEN or STALE: the new stat does not come.
            self._publish_soon()

    def _read_stat(self, created: int = 0) -> None:
        """Publish a change of the children once the stat is read that counts it.

        :param created: the zxid that created a child; 0 if another change is published.
        """
        if not self.live:
            return
        path, tree = self._path, self.tree
        if path not in tree or tree.stale_since is not None or tree[path][1].dataLength > _LARGE:
            self._publish_soon()
            return
        if 0 < created <= tree[path][1].pzxid:
            # The stat already counts the child, and does not change again.
            self._publish_soon()
            return
        tree.look_again(path)
        if path in tree.unreadable:
            self._publish_soon()
        elif not self._publish_timer.running:
            self._schedule(_STAT_TIMEOUT)

    def _stat_changed(self, path: str) -> None:
        if path == self._path and self.live:
            self._publish_soon()

    def _publish_soon(self) -> None:
        # Other changes of this reactor turn are published together with this one.
        self._schedule(0)

    def _schedule(self, delay: float) -> None:
        if self._reader.wanted:
            self._publish_timer.start(delay)
        else:
            self._unpublished = True

    def _decode(self, path: str, data: bytes) -> Payload:
        payload = decode(self._options.codec, data)
        if isinstance(payload, Undecodable):
            raise ValueError(payload.reason)  # noqa: TRY004 - the data is wrong
        return payload

    def _publish(self) -> None:
        self._publish_timer.stop()
        self._unpublished = False
        answer = self._make_answer()
        self.held = self._hold.holds_back(len(answer["children"]))
        if not self.held:
            self._reader.publish(answer)

    def _make_answer(self) -> Answer:
        stat: ZnodeStat | None = None
        if self._path in self.tree:
            _, stat = self.tree[self._path]
        # Changes of one of thousands of children come often. So their names are cut out of their paths here.
        start = len(self._path.rstrip("/")) + 1
        payload_of = self._payloads.__getitem__
        children = {path[start:]: payload_of(path) for path in sorted(self._payloads)}
        return {"children": children, "data": children.pop("", None), "path": self._path, "stat": stat}
