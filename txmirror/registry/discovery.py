"""The answers about one path of the registry, over any number of mirrors, and their observers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txmirror.deferreds import Waiters
from txmirror.errors import ZooKeeperException
from txmirror.mirror import Mirror, Tree
from txmirror.observers import Observers
from txmirror.registry.codecs import copy_value
from txmirror.registry.following import Following, FollowingOptions
from txmirror.types import Answer


class Follower(Protocol):
    """A reader of the nodes themselves, in place of answers. Its methods must not raise."""

    def follow(self, tree: Tree) -> object:
        """Read the nodes from a tree from now on: the path is its root, and its depth is one. It may not be ready yet."""

    def leave(self) -> object:
        """Keep the latest nodes: the tree is closed, and another one may follow."""

    def remember(self, answer: Answer) -> object:
        """Use an earlier answer, unless the nodes were read. It is not to be changed."""


class Discovery:
    """Follows a path and its children, and notifies observers of changes.

    The answer is kept without a mirror, until there is another one.

    :param path: the path.
    :param options: how it is followed.
    :param changed: called with this object when the answer has changed, before the observers.
    :param always: whether answers are made also if nobody has asked for them: followers read the nodes themselves.
    :ivar answer: the latest answer; None if there is none yet. Not to be changed.
    :ivar kept: whether a program has asked for the answer: then it is kept up to date from then on.
    """

    _log = Logger()

    def __init__(
        self, path: str, options: FollowingOptions, changed: Callable[[Discovery], object], *, always: bool
    ) -> None:
        self.path = path
        self.answer: Answer | None = None
        self.kept = False
        self._followers: list[Follower] = []
        self._options = options
        self._always = always
        self._answer_changed = changed
        self._following: Following | None = None
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
        return self._following is not None and self._following.live

    @property
    def stale(self) -> bool:
        """True if the answer may be old or incomplete."""
        return self._following is None or self._following.stale

    @property
    def wanted(self) -> bool:
        """True if somebody uses the answers."""
        return bool(self._always or self.kept or self._observers or self._ready)

    @property
    def unreadable(self) -> dict[str, ZooKeeperException]:
        """The nodes that cannot be read now: the error by path."""
        return {} if self._following is None else dict(self._following.tree.unreadable)

    def current(self) -> Answer | None:
        """Return a copy of the answer as of now; None if there is none."""
        if self._following is not None:
            self._following.publish_now()
        return None if self.answer is None else _copy_answer(self.answer)

    def ready(self) -> Deferred[None]:
        """Wait until there is an answer from the servers.

        :returns: fails if the node's data, or the list of its children, cannot be read. Cancelling ends the wait.
        """
        if self.live:
            return succeed(None)
        return self._ready.wait()

    def caught_up(self) -> Deferred[None]:
        """Wait until known changes are in the answer, and observers were notified; without a connection do not wait. Cancelling
        ends the wait.
        """
        return succeed(None) if self._following is None else self._following.caught_up()

    @property
    def used(self) -> bool:
        """True if there is an observer, a waiter, a follower, or an answer that a program has asked for."""
        return bool(self._observers or self._ready or self._followers or (self.kept and self.answer is not None))

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
            self.publish(answer)

    # Followers.

    def add_follower(self, follower: Follower) -> None:
        """Let a follower read the nodes, and know the latest answer until they are read."""
        self._followers.append(follower)
        if self.answer is not None and not self.live:
            follower.remember(self.answer)
        if self._following is not None:
            follower.follow(self._following.tree)

    def remove_follower(self, follower: Follower) -> None:
        """Remove a follower, which takes its watcher off the tree itself."""
        self._followers.remove(follower)

    # Following.

    def follow(self, mirror: Mirror) -> None:
        """Follow the path on a mirror."""
        following = self._following = Following(mirror, self.path, self._options, self)
        for follower in list(self._followers):
            follower.follow(following.tree)

    def abandon(self) -> object:
        """Stop following after a fork, without closing the objects that belong to the parent process.

        :returns: those objects.
        """
        self._leave_followers()
        inherited, self._following = self._following, None
        self._ready = Waiters()
        return inherited

    def leave(self) -> None:
        """Stop following. The answer stays."""
        if self._following is not None:
            if self._followers and not self.wanted:
                # Later followers get it.
                self._following.publish_now()
            self._leave_followers()
            self._following.stop()
            self._following = None

    def _leave_followers(self) -> None:
        for follower in list(self._followers):
            follower.leave()

    def read(self, refusal: ZooKeeperException | None) -> None:
        """Note that the path was read for the first time, or cannot be read."""
        if refusal is not None:
            self._ready.fail(lambda: refusal)
        else:
            self._ready.fire(None)

    def publish(self, answer: Answer) -> None:
        """Notify observers of an answer, if it is new."""
        if answer != self.answer:
            self.answer = answer
            self._answer_changed(self)
            self._observers.notify(answer)


def _copy_answer(answer: Answer) -> Answer:
    return {
        "children": {name: copy_value(payload) for name, payload in answer["children"].items()},
        "data": copy_value(answer["data"]),
        "path": answer["path"],
        "stat": answer["stat"],
    }
