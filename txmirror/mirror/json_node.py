"""A node whose data is JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.errors import BadVersionException, NodeExistsException, NoNodeException
from txmirror.mirror.node import Node
from txmirror.types import ZnodeStat


class JsonNode:
    """A node, read and written as what its data says in JSON. :meth:`Mirror.get_json` makes it.

    :ivar path: the znode's path.
    :ivar node: the node itself, for all else.
    """

    def __init__(self, node: Node) -> None:
        self.path = node.path
        self.node = node

    def __repr__(self) -> str:
        return f"<JsonNode {self.path!r} {self.node.state.existence.value}>"

    def value(self, timeout: float | None = 5.0, *, fresh: bool = False) -> Deferred[tuple[Any, ZnodeStat]]:
        """Read the node's data and stat, as :meth:`Node.value`.

        :returns: fires with what the data says, a new object each time, and the stat. Fails also with :exc:`ValueError` where
            it is not JSON.
        """
        return self.node.value(timeout, fresh=fresh).addCallback(self._decoded)

    def create(self, value: Any, **modes: Any) -> Deferred[JsonNode]:
        """Create the node, as :meth:`Node.create`.

        :raises TypeError, ValueError: JSON cannot say it.
        """
        return self.node.create(encode(self.path, value), **modes).addCallback(JsonNode)

    def set(self, value: Any, version: int) -> Deferred[ZnodeStat]:
        """Replace the node's data, as :meth:`Node.set`.

        :raises TypeError, ValueError: JSON cannot say it.
        """
        return self.node.set(encode(self.path, value), version)

    def update(self, change: Callable[[Any], Any], *, makepath: bool = False) -> Deferred[tuple[Any, ZnodeStat]]:
        """Replace the node's data by what a function makes of it, whoever else writes meanwhile; create it where it is missing.

        The function may be called several times, with what is there then; what it does beyond its result should bear that.

        :param change: gets what the data says, or None where there is no node, and gives what it is to say. If that is the
            same, nothing is written.
        :param makepath: make the nodes above a missing one too.
        :returns: fires with what the data then says, and the stat. Fails with what the function raises; with
            :exc:`ValueError` where there is something that is not JSON; and as :meth:`Node.set` and :meth:`Node.create`: with
            ``applied`` None nobody can know whether it was done, and it is not tried again. Cancelling ends the wait, not a
            write that was sent.
        """
        return Deferred.fromCoroutine(self._update(change, makepath))

    def addValueWatcher(self, key: Hashable, function: Callable[[tuple[Any, ZnodeStat] | None], object]) -> None:
        """Call ``function`` with each new value, as :meth:`Node.addValueWatcher`; where it is not JSON, that is logged."""
        self.node.addValueWatcher(key, lambda value: function(None if value is None else self._decoded(value)))

    def delValueWatcher(self, key: Hashable) -> None:
        """Call the value watcher with this key no more; silent if there is none."""
        self.node.delValueWatcher(key)

    def _decoded(self, value: tuple[bytes, ZnodeStat]) -> tuple[Any, ZnodeStat]:
        data, stat = value
        try:
            return json.loads(data), stat
        except ValueError as error:
            raise ValueError(f"the data of {self.path!r} is not JSON: {error}") from None

    async def _update(self, change: Callable[[Any], Any], makepath: bool) -> tuple[Any, ZnodeStat]:
        fresh = False
        while True:
            try:
                before, stat = await self.value(fresh=fresh)
            except NoNodeException:
                after = change(None)
                try:
                    node = await self.node.create(encode(self.path, after), makepath=makepath)
                except NodeExistsException:
                    fresh = True
                    continue
                _, stat = await node.value()
                return after, stat
            # The function may change what it is given, and return that.
            data = encode(self.path, before)
            after = change(before)
            if encode(self.path, after) == data:
                return after, stat
            try:
                return after, await self.set(after, stat.version)
            except (BadVersionException, NoNodeException):
                fresh = True


def encode(path: str, value: Any) -> bytes:
    """Say something in JSON.

    :param path: the node's, for the message.
    :raises TypeError, ValueError: JSON cannot say it.
    """
    try:
        return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    except TypeError as error:
        raise TypeError(f"the data of {path!r} cannot be {value!r:.60} in JSON: {error}") from None
    except ValueError as error:
        raise ValueError(f"the data of {path!r} cannot be {value!r:.60} in JSON: {error}") from None
