"""Follow one path of the registry, remember its latest answer, and notify observers of changes.

Servers send no event for some changes. A changed ACL causes none. A session only gets events about a node that it may read at that
moment (CVE-2024-23944, in ZooKeeper from 3.8.4 and 3.9.2, and in Debian's 3.8.0): so without that right it gets no event when a
protected node is created, written or deleted. Nor does a recursive watch send an event that the list of the parent's children
has changed. Therefore a followed path is audited from time to time. Each audit reads the node, the list of its children if
``pzxid`` shows that some have come or gone, and a fifth of the children, in turn. It marks unreadable nodes as such, and the
next ones retry them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from random import Random

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.errors import ZooKeeperException
from txmirror.interfaces import IPayloadCodec
from txmirror.mirror import Change, ChangeKind, Mirror, Tree
from txmirror.observers import Observers
from txmirror.printable import on_one_line
from txmirror.registry.codecs import copy_value, decode
from txmirror.timers import Timer
from txmirror.types import Answer, Payload, Undecodable, ZnodeStat

#: The timeout of a change of the children that waits for its stat, in seconds. The stat takes a round trip.
_STAT_TIMEOUT = 1.0
#: A node with more data than this many bytes is not read again for its stat when a child comes or goes.
_LARGE = 16 * 1024
#: The number of audits that read all children once, and the most children that one audit reads.
_AUDITS = 5
_MOST_AUDITED = 1000
#: A list has collapsed when it has fewer than this part of its former length.
_COLLAPSED = 0.5


class Discovery:
    """Follows a path and its children, and notifies observers of changes.

    The answer is kept without a mirror, until there is another one.

    :param path: the path.
    :param codec: decodes the data of nodes.
    :param hold_for: the number of seconds after a reconnection during which a list that has collapsed is held back.
    :param changed: called with this object when the answer has changed, before the observers.
    :param audit: the interval between audits, in seconds, a quarter more or less; None for no audits.
    :param random: varies the interval, so that many processes that follow the same path do not audit it at once.
    :ivar answer: the latest answer; None if there is none yet. Not to be changed.
    :ivar stale: whether the answer may be old.
    """

    _log = Logger()

    def __init__(
        self,
        path: str,
        codec: IPayloadCodec,
        hold_for: float,
        changed: Callable[[Discovery], object],
        *,
        audit: float | None,
        random: Random,
    ) -> None:
        self.path = path
        self.answer: Answer | None = None
        self._codec = codec
        self._hold_for = hold_for
        self._answer_changed = changed
        self._audit = audit
        self._random = random
        self._audit_timer: Timer | None = None
        #: The name of the child that was audited last.
        self._last_audited = ""
        #: The ``pzxid`` of the node when the list of its children was last known to be complete; None if it never was.
        self._listed_pzxid: int | None = None
        self._tree: Tree | None = None
        self._live = False
        self._data: Payload = None
        self._payloads: dict[str, Payload] = {}
        self._publish_timer: Timer | None = None
        self._hold_timer: Timer | None = None
        self._before_outage: Answer | None = None
        self._held = False
        self._ready: Waiters[None] = Waiters()
        self._observers: Observers[Answer] = Observers(
            lambda callback, _: self._log.failure(
                "A callback for {path}, {callback}, failed.", path=path, callback=callback
            )
        )

    # Answers and observers.

    @property
    def live(self) -> bool:
        """True if the answer came from the current mirror."""
        return self._live

    @property
    def stale(self) -> bool:
        """True if the answer may be old or incomplete."""
        return (
            not self._live
            or self._held
            or self._tree is None
            or self._tree.stale_since is not None
            or bool(self._tree.unreadable)
        )

    @property
    def unreadable(self) -> dict[str, ZooKeeperException]:
        """The nodes that cannot be read now: the error by path."""
        return {} if self._tree is None else dict(self._tree.unreadable)

    def current(self) -> Answer | None:
        """Return a copy of the answer as of now; None if there is none."""
        self._publish_now()
        return None if self.answer is None else _copy_answer(self.answer)

    def ready(self) -> Deferred[None]:
        """Wait until there is an answer from the servers.

        :returns: fails if the node's data, or the list of its children, cannot be read. Cancelling ends the wait.
        """
        if self._live:
            return succeed(None)
        return self._ready.wait()

    def caught_up(self) -> Deferred[None]:
        """Wait until known changes are in the answer, and observers were notified; without a connection do not wait. Cancelling
        ends the wait.
        """
        return (
            succeed(None) if self._tree is None else self._tree.caught_up().addCallback(lambda _: self._publish_now())
        )

    @property
    def used(self) -> bool:
        """True if there is an observer, a waiter or an answer."""
        return bool(self._observers or self._ready or self.answer is not None)

    def add_callback(self, callback: Callable[[Answer], object]) -> bool:
        """Call ``callback`` now, if there is an answer, and at each change.

        :returns: whether it is new.
        """
        answer = self.current()

        def notify(answer: Answer) -> None:
            callback(_copy_answer(answer))

        if answer is not None:
            return self._observers.add_and_notify(callback, notify, answer)
        if callback in self._observers:
            return False
        self._observers.add(callback, notify)
        return True

    def remove_callback(self, callback: Callable[[Answer], object]) -> None:
        """Remove a callback; do nothing if it was not added."""
        self._observers.remove(callback)

    def remember(self, answer: Answer) -> None:
        """Use an answer of an earlier run, if there is none yet."""
        if self.answer is None:
            self._set_answer(answer)

    # Following.

    def follow(self, mirror: Mirror) -> None:
        """Follow the path on a mirror."""
        self._data, self._payloads = None, {}
        self._publish_timer = Timer(mirror.reactor, self._publish)
        self._hold_timer = Timer(mirror.reactor, self._publish)
        self._audit_timer = Timer(mirror.reactor, self._audit_now)
        self._last_audited, self._listed_pzxid = "", None
        tree = self._tree = mirror.tree(self.path, depth=1)
        tree.watch_stats(self._stat_changed)
        self._schedule_audit()
        tree.ready().addCallbacks(lambda _: self._begin(tree), lambda _: None)

    def abandon(self) -> object:
        """Stop following after a fork, without closing the objects that belong to the parent process.

        :returns: those objects.
        """
        inherited = (self._tree, self._publish_timer, self._hold_timer, self._audit_timer)
        self._tree = self._publish_timer = self._hold_timer = self._audit_timer = None
        self._live = self._held = False
        self._ready = Waiters()
        return inherited

    def leave(self) -> None:
        """Stop following. The answer stays."""
        for timer in (self._publish_timer, self._hold_timer, self._audit_timer):
            if timer is not None:
                timer.stop()
        self._live = self._held = False
        tree, self._tree = self._tree, None
        if tree is not None:
            tree.unwatch(self._changed)
            tree.close()

    def _begin(self, tree: Tree) -> None:
        """Publish the first answer, and follow later changes."""
        if tree is self._tree:
            for path, (data, _) in tree.items():
                self._store(path, data)
            tree.watch(self._changed)
            self._read(tree)

    def _read(self, tree: Tree) -> None:
        """Publish the first answer, or fail the waiters if the path itself cannot be read."""
        if tree is not self._tree or self._live or not tree.settled:
            return
        refusal = tree.unreadable.get(self.path)
        if refusal is not None:
            self._ready.fail(lambda: refusal)
        else:
            self._recovered()
            self._ready.fire(None)

    def _recovered(self) -> None:
        """Publish an answer after a connection or reconnection: everything was read."""
        self._live = True
        if self._hold_for and self.answer is not None and self._hold_timer is not None:
            self._before_outage = self.answer
            self._hold_timer.start(self._hold_for)
        self._publish()

    def _changed(self, change: Change) -> None:
        if change.kind is ChangeKind.SETTLED:
            if self._live:
                self._recovered()
            elif self._tree is not None:
                self._read(self._tree)
        elif change.kind is ChangeKind.READABLE:
            if change.path == self.path and not self._live and self._tree is not None:
                # The nodes below it are read first.
                self._tree.caught_up().addCallback(lambda _, tree: self._read(tree), self._tree)
            elif change.path != self.path and change.new is None:
                # A child that was not in the answer was deleted.
                self._read_stat()
        elif change.kind in (ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED):
            self._store(change.path, None if change.new is None else change.new[0])
            if change.kind is not ChangeKind.CHANGED and change.path != self.path:
                # A recursive watch sends no event for the parent's new stat.
                self._read_stat()
            elif self._live:
                self._publish_soon()
        elif change.kind in (ChangeKind.HIDDEN, ChangeKind.STALE):
            # The new stat does not come.
            self._publish_if_waiting()

    # Audits, and changes without events.

    def _read_stat(self) -> None:
        if self._publish_timer is None or self._tree is None or not self._live:
            return
        tree = self._tree
        if self.path not in tree or tree.stale_since is not None or tree[self.path][1].dataLength > _LARGE:
            self._publish_soon()
            return
        tree.look_again(self.path)
        if self.path in tree.unreadable:
            self._publish_soon()
        elif not self._publish_timer.running:
            self._publish_timer.start(_STAT_TIMEOUT)

    def _stat_changed(self, path: str) -> None:
        if path == self.path and self._live:
            self._publish_soon()

    def _publish_soon(self) -> None:
        # Other changes of this reactor turn are published together with this one.
        if self._publish_timer is not None:
            self._publish_timer.start(0)

    def _publish_if_waiting(self) -> None:
        if self._publish_timer is not None and self._publish_timer.running:
            self._publish_timer.start(0)

    def _schedule_audit(self) -> None:
        if self._audit_timer is not None and self._audit is not None:
            self._audit_timer.start(self._audit * self._random.uniform(0.75, 1.25))

    def _audit_now(self) -> None:
        """Read nodes that may have changed without an event."""
        self._schedule_audit()
        tree = self._tree
        if tree is None or not tree.settled or self.path not in tree:
            # Without a connection nothing can be read; and a tree that is being read is up to date.
            return
        tree.look_again(self.path)
        for name in self._names_to_audit(tree.children(self.path)):
            tree.look_again(paths.join(self.path, name))
        tree.caught_up().addCallback(lambda _: self._check_list(tree))

    def _names_to_audit(self, names: list[str]) -> list[str]:
        """Return the names of the children that this audit reads."""
        count = min(-(-len(names) // _AUDITS), _MOST_AUDITED)
        start = bisect_right(names, self._last_audited)
        turn = (names[start : start + count] + names)[:count]
        if turn:
            self._last_audited = turn[-1]
        return turn

    def _check_list(self, tree: Tree) -> None:
        """Read the list of children, unless it is known to match the node's stat."""
        if tree is not self._tree or not tree.settled or self.path not in tree:
            return
        pzxid = tree[self.path][1].pzxid
        if pzxid != self._listed_pzxid:
            self._listed_pzxid = pzxid
            tree.look_again(self.path, names=True)

    def _store(self, path: str, data: bytes | None) -> None:
        payload = None if data is None else decode(self._codec, data)
        known = data is not None
        if isinstance(payload, Undecodable):
            self._log.warn(
                "{path} cannot be decoded, and is left out: {reason}.",
                path=on_one_line(path),
                reason=on_one_line(payload.reason),
            )
            payload, known = None, False
        if path == self.path:
            self._data = payload
        elif known:
            self._payloads[paths.name_of(path)] = payload
        else:
            self._payloads.pop(paths.name_of(path), None)

    def _publish_now(self) -> None:
        if self._publish_timer is not None and self._publish_timer.running:
            self._publish()

    def _publish(self) -> None:
        assert self._publish_timer is not None
        assert self._hold_timer is not None
        self._publish_timer.stop()
        answer = self._make_answer()
        self._held = (
            self._hold_timer.running and self._before_outage is not None and _collapsed(self._before_outage, answer)
        )
        if not self._held:
            self._set_answer(answer)

    def _make_answer(self) -> Answer:
        stat: ZnodeStat | None = None
        if self._tree is not None and self.path in self._tree:
            _, stat = self._tree[self.path]
        children = {name: self._payloads[name] for name in sorted(self._payloads)}
        return {"children": children, "data": self._data, "path": self.path, "stat": stat}

    def _set_answer(self, answer: Answer) -> None:
        if answer != self.answer:
            self.answer = answer
            self._answer_changed(self)
            self._observers.notify(answer)


def _collapsed(before: Answer, now: Answer) -> bool:
    return len(now["children"]) < _COLLAPSED * len(before["children"])


def _copy_answer(answer: Answer) -> Answer:
    return {
        "children": {name: copy_value(payload) for name, payload in answer["children"].items()},
        "data": copy_value(answer["data"]),
        "path": answer["path"],
        "stat": answer["stat"],
    }
