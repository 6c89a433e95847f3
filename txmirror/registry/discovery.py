"""What is at one path of the registry: followed, remembered, and told.

Servers send no event of some changes. An ACL that is changed is never announced. Events about a node go to those only who may
read it at that moment (CVE-2024-23944, in ZooKeeper from 3.8.4 and 3.9.2, and in Debian's 3.8.0): so nobody else hears that a
protected node was created, written or deleted. A recursive watch does not say either that the list of its parent's children has
changed. Therefore a followed path is looked at again from time to time: each time the node is read, the list of its children
where ``pzxid`` shows that some have come or gone, and a fifth of the children, in turn. What cannot be read is then known as such,
and tried again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from random import Random

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txmirror import paths
from txmirror.errors import ZooKeeperException
from txmirror.interfaces import IPayloadCodec
from txmirror.mirror import Change, ChangeKind, Mirror, Tree
from txmirror.observers import Observers
from txmirror.printable import on_one_line
from txmirror.registry.codecs import decode
from txmirror.timers import Timer
from txmirror.types import Answer, Payload, Undecodable, ZnodeStat

#: How long a change of the children waits for the stat that belongs to it, in seconds. It takes a round trip.
_STAT_PATIENCE = 1.0
#: A node with more data than this many bytes is not read again for its stat when a child comes or goes.
_LARGE = 16 * 1024
#: In so many looks all children are read again, but at most so many in one.
_LOOKS = 5
_MOST = 1000
#: A list has collapsed when it has fewer than this part of what it had.
_COLLAPSED = 0.5


class Discovery:
    """Follows a path and its children, and tells of changes.

    What was learnt stays when the mirror goes, and until another one is there.

    :param path: the path.
    :param codec: reads what stands in nodes.
    :param hold_for: for how many seconds after a reconnection a list is not believed that has collapsed.
    :param learnt: called with this object when the answer has changed, before anybody else.
    :param audit: how often to look at what servers send no event of, in seconds, a quarter more or less; None for never.
    :param random: varies that time, so that many who follow the same path do not look at once.
    :ivar answer: the answer as it was last told; None if there is none yet. Not to be changed.
    :ivar stale: whether that may be old.
    """

    _log = Logger()

    def __init__(
        self,
        path: str,
        codec: IPayloadCodec,
        hold_for: float,
        learnt: Callable[[Discovery], object],
        *,
        audit: float | None,
        random: Random,
    ) -> None:
        self.path = path
        self.answer: Answer | None = None
        self._codec = codec
        self._hold_for = hold_for
        self._learnt = learnt
        self._audit = audit
        self._random = random
        self._auditing: Timer | None = None
        #: The name of the child that was the last to be looked at.
        self._looked = ""
        #: The ``pzxid`` of the node when the list of its children was last known to be complete; None if it never was.
        self._listed: int | None = None
        self._tree: Tree | None = None
        self._live = False
        self._data: Payload = None
        self._payloads: dict[str, Payload] = {}
        self._publishing: Timer | None = None
        self._doubt: Timer | None = None
        self._believed: Answer | None = None
        self._held = False
        self._ready: list[Deferred[None]] = []
        self._observers: Observers[Answer] = Observers(
            lambda callback, _: self._log.failure(
                "A callback for {path}, {callback}, failed.", path=path, callback=callback
            )
        )

    # What it is asked.

    @property
    def live(self) -> bool:
        """Whether the answer came from the servers that are followed now."""
        return self._live

    @property
    def stale(self) -> bool:
        """Whether the answer may be old, or lack something."""
        return (
            not self._live
            or self._held
            or self._tree is None
            or self._tree.stale_since is not None
            or bool(self._tree.unreadable)
        )

    @property
    def unreadable(self) -> dict[str, ZooKeeperException]:
        """The nodes that cannot be read now, by path, and why."""
        return {} if self._tree is None else dict(self._tree.unreadable)

    def current(self) -> Answer | None:
        """Give a copy of what is known now; None if nothing is."""
        self._publish_now()
        return None if self.answer is None else _copy_answer(self.answer)

    def ready(self) -> Deferred[None]:
        """Wait until there is an answer from the servers.

        :returns: fails if the node's data, or the list of its children, cannot be read. Cancelling ends the wait.
        """
        if self._live:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._ready.remove)
        self._ready.append(waiter)
        return waiter

    def caught_up(self) -> Deferred[None]:
        """Wait until what is known to have changed is in the answer, and was told; not without a connection. Cancelling ends
        the wait.
        """
        return (
            succeed(None) if self._tree is None else self._tree.caught_up().addCallback(lambda _: self._publish_now())
        )

    @property
    def used(self) -> bool:
        """Whether somebody is told of it or waits for it, or something is known."""
        return bool(self._observers or self._ready or self.answer is not None)

    def add_callback(self, callback: Callable[[Answer], object]) -> bool:
        """Call ``callback`` now, if there is an answer, and at each change.

        :returns: whether it was not being called before.
        """
        answer = self.current()

        def tell(answer: Answer) -> None:
            callback(_copy_answer(answer))

        if answer is not None:
            return self._observers.add_and_notify(callback, tell, answer)
        if callback in self._observers:
            return False
        self._observers.add(callback, tell)
        return True

    def remove_callback(self, callback: Callable[[Answer], object]) -> None:
        """Call it no more; silent if it was not being called."""
        self._observers.remove(callback)

    def remember(self, answer: Answer) -> None:
        """Take an answer of an earlier time, if there is none yet."""
        if self.answer is None:
            self._tell(answer)

    # What it follows.

    def follow(self, mirror: Mirror) -> None:
        """Follow the path on a mirror."""
        self._data, self._payloads = None, {}
        self._publishing = Timer(mirror.reactor, self._publish)
        self._doubt = Timer(mirror.reactor, self._publish)
        self._auditing = Timer(mirror.reactor, self._look_again)
        self._looked, self._listed = "", None
        tree = self._tree = mirror.tree(self.path, depth=1)
        tree.watch(self._changed)
        tree.watch_stats(self._stat_changed)
        self._look_later()
        tree.ready().addCallbacks(lambda _: self._read(tree), lambda _: None)

    def abandon(self) -> object:
        """Follow it no more, and leave everything that was used for that as it is: it is another process's.

        :returns: that.
        """
        inherited = (self._tree, self._publishing, self._doubt, self._auditing)
        self._tree = self._publishing = self._doubt = self._auditing = None
        self._live = self._held = False
        self._ready = []
        return inherited

    def leave(self) -> None:
        """Follow it no more. What was known stays."""
        for timer in (self._publishing, self._doubt, self._auditing):
            if timer is not None:
                timer.stop()
        self._live = self._held = False
        tree, self._tree = self._tree, None
        if tree is not None:
            tree.unwatch(self._changed)
            tree.close()

    def _read(self, tree: Tree) -> None:
        """Take what was read for the first time, if the path itself could be."""
        if tree is not self._tree or self._live or not tree.settled:
            return
        refusal = tree.unreadable.get(self.path)
        if refusal is None:
            self._back()
        waiting, self._ready = self._ready, []
        for waiter in waiting:
            if not waiter.called:
                if refusal is None:
                    waiter.callback(None)
                else:
                    waiter.errback(refusal)

    def _back(self) -> None:
        """There is a connection (again), and everything was read."""
        self._live = True
        if self._hold_for and self.answer is not None and self._doubt is not None:
            self._believed = self.answer
            self._doubt.start(self._hold_for)
        self._publish()

    def _changed(self, change: Change) -> None:
        if change.kind is ChangeKind.SETTLED:
            if self._live:
                self._back()
            elif self._tree is not None:
                self._read(self._tree)
        elif change.kind is ChangeKind.READABLE:
            if change.path == self.path and not self._live and self._tree is not None:
                # What is below it is to be read first.
                self._tree.caught_up().addCallback(lambda _, tree: self._read(tree), self._tree)
            elif change.path != self.path and change.new is None:
                # A child has gone that was not in the answer.
                self._read_stat()
        elif change.kind in (ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED):
            self._learn(change)
            if change.kind is not ChangeKind.CHANGED and change.path != self.path:
                # Under a recursive watch nobody tells of the parent's new stat.
                self._read_stat()
            elif self._live:
                self._publish_soon()
        elif change.kind in (ChangeKind.HIDDEN, ChangeKind.STALE):
            # The stat that was waited for does not come.
            self._publish_if_waiting()

    # What nobody tells of.

    def _read_stat(self) -> None:
        if self._publishing is None or self._tree is None or not self._live:
            return
        tree = self._tree
        if self.path not in tree or tree.stale_since is not None or tree[self.path][1].dataLength > _LARGE:
            self._publish_soon()
            return
        tree.look_again(self.path)
        if self.path in tree.unreadable:
            self._publish_soon()
        elif not self._publishing.running:
            self._publishing.start(_STAT_PATIENCE)

    def _stat_changed(self, path: str) -> None:
        if path == self.path and self._live:
            self._publish_soon()

    def _publish_soon(self) -> None:
        # What else has changed is told together with it.
        if self._publishing is not None:
            self._publishing.start(0)

    def _publish_if_waiting(self) -> None:
        if self._publishing is not None and self._publishing.running:
            self._publishing.start(0)

    def _look_later(self) -> None:
        if self._auditing is not None and self._audit is not None:
            self._auditing.start(self._audit * self._random.uniform(0.75, 1.25))

    def _look_again(self) -> None:
        """Read what may have changed without an event."""
        self._look_later()
        tree = self._tree
        if tree is None or not tree.settled or self.path not in tree:
            # Without a connection there is nothing to read; and what is being read is new.
            return
        tree.look_again(self.path)
        for name in self._next_names(tree.children(self.path)):
            tree.look_again(paths.join(self.path, name))
        tree.caught_up().addCallback(lambda _: self._compare_list(tree))

    def _next_names(self, names: list[str]) -> list[str]:
        """Return the children whose turn it is to be looked at."""
        count = min(-(-len(names) // _LOOKS), _MOST)
        start = bisect_right(names, self._looked)
        turn = (names[start : start + count] + names)[:count]
        if turn:
            self._looked = turn[-1]
        return turn

    def _compare_list(self, tree: Tree) -> None:
        """Read the list of children, unless it is known to be the one that belongs to the node's stat."""
        if tree is not self._tree or not tree.settled or self.path not in tree:
            return
        pzxid = tree[self.path][1].pzxid
        if pzxid != self._listed:
            self._listed = pzxid
            tree.look_again(self.path, names=True)

    def _learn(self, change: Change) -> None:
        payload: Payload | Undecodable = None
        if change.new is not None:
            payload = decode(self._codec, change.new[0])
        known = change.new is not None and not isinstance(payload, Undecodable)
        if isinstance(payload, Undecodable):
            self._log.warn(
                "{path} cannot be decoded, and is left out: {reason}.",
                path=on_one_line(change.path),
                reason=on_one_line(payload.reason),
            )
            payload = None
        if change.path == self.path:
            self._data = payload
        elif known:
            self._payloads[paths.name_of(change.path)] = payload
        else:
            self._payloads.pop(paths.name_of(change.path), None)

    def _publish_now(self) -> None:
        if self._publishing is not None and self._publishing.running:
            self._publish()

    def _publish(self) -> None:
        assert self._publishing is not None
        assert self._doubt is not None
        self._publishing.stop()
        answer = self._look()
        self._held = self._doubt.running and self._believed is not None and _collapsed(self._believed, answer)
        if not self._held:
            self._tell(answer)

    def _look(self) -> Answer:
        stat: ZnodeStat | None = None
        if self._tree is not None and self.path in self._tree:
            _, stat = self._tree[self.path]
        children = {name: self._payloads[name] for name in sorted(self._payloads)}
        return {"children": children, "data": self._data, "path": self.path, "stat": stat}

    def _tell(self, answer: Answer) -> None:
        if answer != self.answer:
            self.answer = answer
            self._learnt(self)
            self._observers.notify(answer)


def _collapsed(before: Answer, now: Answer) -> bool:
    return len(now["children"]) < _COLLAPSED * len(before["children"])


def _copy_answer(answer: Answer) -> Answer:
    return {
        "children": {name: _copy(payload) for name, payload in answer["children"].items()},
        "data": _copy(answer["data"]),
        "path": answer["path"],
        "stat": answer["stat"],
    }


def _copy(payload: Payload) -> Payload:
    return {key: _copy_value(value) for key, value in payload.items()} if isinstance(payload, dict) else payload


def _copy_value(value: object) -> object:
    # What JSON gives.
    if isinstance(value, dict):
        return {key: _copy_value(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_copy_value(each) for each in value]
    return value
