"""The answers of a registry in memory, and the callbacks for them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.logger import Logger

from txmirror import paths
from txmirror.embedded import Znode
from txmirror.errors import NoAuthException, ZooKeeperException
from txmirror.interfaces import IPayloadCodec
from txmirror.testing.nodes import MemoryNodes, Session
from txmirror.types import Answer, Payload, Undecodable

_T = TypeVar("_T")
#: Logs a warning about a path, once for each new reason. The arguments are the path, a format with ``{path}`` and ``{reason}``,
#: the reason, and its transaction.
Say = Callable[[str, str, str, int], None]


class Callbacks(Generic[_T]):
    """Callbacks, each called with the latest value if that differs from the one of its last call.

    :param what: the subject, for the log.
    :param latest: returns the latest value; None if it is unknown.
    """

    _log = Logger()

    def __init__(self, what: str, latest: Callable[[], _T | None]) -> None:
        self._what = what
        self._latest = latest
        self._told: dict[Callable[[_T], object], _T | None] = {}

    def add(self, callback: Callable[[_T], object]) -> None:
        """Add a callback, and call it at once if there is a value."""
        self._told.setdefault(callback, None)
        self.tell()

    def remove(self, callback: Callable[[_T], object]) -> None:
        """Remove a callback."""
        self._told.pop(callback, None)

    def tell(self) -> None:
        """Notify all callbacks for which the value is new. If a callback changes it, the others receive the changed value."""
        for callback in list(self._told):
            news = self._latest()
            if news is not None and callback in self._told and news != self._told[callback]:
                self._told[callback] = news
                try:
                    callback(copy.deepcopy(news))
                except Exception:
                    self._log.failure("{what}: the callback {callback} failed.", what=self._what, callback=callback)


class Found:
    """The answer for a path.

    :param codec: the codec of nodes.
    :param say: logs a warning about a node that cannot be read.
    :ivar answer: the latest answer; None if there was none yet.
    :ivar unreadable: the nodes that could not be read for it, by path, with the reasons.
    :ivar callbacks: the callbacks for the answer.
    """

    def __init__(self, nodes: MemoryNodes, path: str, codec: IPayloadCodec, say: Say) -> None:
        self.answer: Answer | None = None
        self.unreadable: dict[str, ZooKeeperException] = {}
        self.callbacks: Callbacks[Answer] = Callbacks(path, lambda: self.answer)
        self._nodes = nodes
        self._path = path
        self._codec = codec
        self._say = say

    def read(self, session: Session) -> None:
        """Read the node and its children, and notify the callbacks.

        :raises NoAuthException: the node may not be read.
        """
        self.unreadable = {}
        try:
            node = self._nodes.read(session, self._path)
        except NoAuthException as error:
            self.unreadable[self._path] = error
            raise
        answer = Answer(children={}, data=None, path=self._path, stat=None)
        if node is not None:
            data = self._decode(self._path, node)
            answer = Answer(
                children=self._children(session, node),
                data=None if isinstance(data, Undecodable) else data,
                path=self._path,
                stat=node.stat(),
            )
        self.answer = answer
        self.callbacks.tell()

    def _children(self, session: Session, node: Znode) -> dict[str, Payload]:
        children: dict[str, Payload] = {}
        for name in sorted(node.children):
            path = paths.join(self._path, name)
            try:
                child = self._nodes.read(session, path)
            except NoAuthException as error:
                self._say(path, "{path} is left out: {reason}.", str(error), 0)
                self.unreadable[path] = error
                continue
            assert child is not None, "what is listed is there"
            data = self._decode(path, child)
            if not isinstance(data, Undecodable):
                children[name] = data
        return children

    def _decode(self, path: str, node: Znode) -> Payload | Undecodable:
        data = self._codec.decode(node.data or b"")
        if isinstance(data, Undecodable):
            self._say(path, "{path} cannot be decoded: {reason}.", data.reason, node.mzxid)
        return data
