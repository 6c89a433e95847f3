"""Log the registered services as they change."""

from __future__ import annotations

from twisted.logger import Logger

from txmirror.mirror import Change, ChangeKind, Mirror
from txmirror.printable import on_one_line

#: ZooKeeper's own nodes, which are not services.
_RESERVED = "/zookeeper"
_SIGNS = {ChangeKind.ADDED: "+", ChangeKind.CHANGED: "~", ChangeKind.REMOVED: "-"}


class Display:
    """Follows a node and all nodes below it, and logs each creation, change and deletion.

    :param mirror: the mirror.
    :param path: the path of the node.
    """

    _log = Logger()

    def __init__(self, mirror: Mirror, path: str = "/") -> None:
        self._tree = mirror.tree(path, keep=lambda below: below != _RESERVED)
        self._tree.watch(self._changed)

    def stop(self) -> None:
        """Stop following."""
        self._tree.close()

    def _changed(self, change: Change) -> None:
        sign = _SIGNS.get(change.kind)
        if sign is None:
            return
        if change.new is None:
            self._log.info("registry: {sign} {path}", sign=sign, path=on_one_line(change.path))
        else:
            text = on_one_line(change.new[0].decode(errors="backslashreplace"))
            self._log.info("registry: {sign} {path}  {text}", sign=sign, path=on_one_line(change.path), text=text)
