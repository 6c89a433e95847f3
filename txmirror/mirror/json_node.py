"""A node whose data is JSON."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txmirror.errors import BadVersionException, NodeExistsException, NoNodeException
from txmirror.json_text import DEEPEST, JSONWriter, decode_text, read_json
from txmirror.mirror.node import Node
from txmirror.printable import on_one_line
from txmirror.types import ZnodeStat

_WRITER = JSONWriter(compact=True, sort_keys=True)


class JsonNode:
    """A node whose data is read and written as JSON. :meth:`Mirror.get_json` makes it.

    JSON is UTF-8 and has at most 100 levels of objects and arrays. NaN and Infinity are not valid; a byte order mark
    before it is ignored. Empty data, or nothing but white space, is read as None, as ``null`` is.

    :ivar path: the znode's path.
    :ivar node: the node itself, for everything else.
    """

    _log = Logger()

    def __init__(self, node: Node) -> None:
        self.path: str = node.path
        self.node = node
        self._warned: ZnodeStat | None = None

    def __repr__(self) -> str:
        return f"<JsonNode {self.path!r} {self.node.state.existence.value}>"

    def value(self, timeout: float | None = 5.0, *, fresh: bool = False) -> Deferred[tuple[Any, ZnodeStat]]:
        """Read the node's data and stat, as :meth:`Node.value`.

        :returns: fires with the decoded data, a new object each time, and the stat. Fails also with :exc:`ValueError`
            if the data is not JSON.
        """
        return self.node.value(timeout, fresh=fresh).addCallback(self._decoded)

    def create(self, value: Any, **modes: Any) -> Deferred[JsonNode]:
        """Create the node, as :meth:`Node.create`.

        :raises TypeError, ValueError: the value cannot be encoded as JSON.
        """
        return self.node.create(encode(self.path, value), **modes).addCallback(JsonNode)

    def set(self, value: Any, version: int = -1) -> Deferred[ZnodeStat]:
        """Replace the node's data, as :meth:`Node.set`.

        :raises TypeError, ValueError: the value cannot be encoded as JSON.
        """
        return self.node.set(encode(self.path, value), version)

    def update(self, change: Callable[[Any], Any], *, makepath: bool = False) -> Deferred[tuple[Any, ZnodeStat]]:
        """Apply a function to the node's data and write the result, even if others write meanwhile; create a missing
        node.

        The function may be called several times, each time with the latest value; it should have no other effect than
        its result.

        :param change: called with the decoded data, or None if the node is missing or empty; returns the new value. If
            that is the same, nothing is written.
        :param makepath: create the missing nodes above it too.
        :returns: fires with the new value and the stat. Fails with the exception that the function raises; with
            :exc:`ValueError` where the data is not JSON; with :exc:`~txmirror.errors.OperationTimeoutException` if the
            data could not be read within 5 seconds, and then nothing was written; and as :meth:`Node.set` and
            :meth:`Node.create`: with ``applied`` None nobody can know whether it was done, and it is not retried.
            Cancelling ends the wait, not a write that was sent.
        """
        return Deferred.fromCoroutine(self._update(change, makepath))

    def addValueWatcher(
        self,
        key: Hashable,
        function: Callable[[tuple[Any, ZnodeStat] | None], object],
        on_error: Callable[[ValueError], object] | None = None,
    ) -> None:
        """Call ``function`` with each new value, as :meth:`Node.addValueWatcher`.

        :param key: removes the watcher again; a watcher with the same key is replaced.
        :param on_error: called in place of ``function`` with each new value that is not JSON, with the error that
            :meth:`value` fails with. None logs one warning for each such value.
        """
        self.node.addValueWatcher(key, lambda value: self._notify(value, function, on_error))

    def delValueWatcher(self, key: Hashable) -> None:
        """Remove the value watcher with this key; silent if there is none."""
        self.node.delValueWatcher(key)

    def _notify(
        self,
        value: tuple[bytes, ZnodeStat] | None,
        function: Callable[[tuple[Any, ZnodeStat] | None], object],
        on_error: Callable[[ValueError], object] | None,
    ) -> None:
        if value is None:
            function(None)
            return
        try:
            decoded = self._decoded(value)
        except ValueError as error:
            if on_error is not None:
                on_error(error)
            elif value[1] != self._warned:
                # Several watchers of one value need one warning.
                self._warned = value[1]
                self._log.warn("{reason}.", reason=on_one_line(str(error)))
            return
        function(decoded)

    def _decoded(self, value: tuple[bytes, ZnodeStat]) -> tuple[Any, ZnodeStat]:
        data, stat = value
        return decode_json(self.path, data), stat

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
            # The function may modify its argument and return that.
            data = encode(self.path, before)
            after = change(before)
            if encode(self.path, after) == data:
                return after, stat
            try:
                return after, await self.set(after, stat.version)
            except (BadVersionException, NoNodeException):
                fresh = True


def decode_json(path: str, data: bytes) -> Any:
    """Decode the JSON of a node, with the rules of :class:`JsonNode`. It is a function for :meth:`Tree.decoded`.

    :param path: the node's, for the message.
    :raises ValueError: the data is not JSON.
    """
    try:
        text = decode_text(data)
        return read_json(text) if text.strip() else None
    except ValueError as error:
        raise ValueError(f"the data of {path!r} is not JSON: {error}") from None


def encode(path: str, value: Any) -> bytes:
    """Encode a value as JSON.

    :param path: the node's, for the message.
    :raises TypeError, ValueError: the value cannot be encoded as JSON.
    """
    try:
        return _WRITER.write(value, deepest=DEEPEST).encode()
    except TypeError as error:
        raise TypeError(f"the data of {path!r} cannot be {_quoted(value)} in JSON: {error}") from None
    except ValueError as error:
        raise ValueError(f"the data of {path!r} cannot be {_quoted(value)} in JSON: {error}") from None


def _quoted(value: Any) -> str:
    try:
        return f"{value!r:.60}"
    except Exception:
        # It is too deep, or a number too long, to be shown; or a class has a repr that fails.
        return f"this {type(value).__name__}"
