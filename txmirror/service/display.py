"""Log the registered services as they change."""

from __future__ import annotations

from twisted.logger import Logger

from txmirror import paths
from txmirror.mirror import Mirror
from txmirror.printable import on_one_line
from txmirror.types import ZnodeStat

#: ZooKeeper's own nodes, which are not services.
_RESERVED = "/zookeeper"


class Display:
    """Follows a node and all nodes below it, and logs each creation, change and deletion.

    :param mirror: the mirror.
    :param path: the path of the node.
    """

    _log = Logger()

    def __init__(self, mirror: Mirror, path: str = "/") -> None:
        self._mirror = mirror
        self._path = path
        self._shown = False
        self._below: dict[str, Display] = {}
        self._node = mirror.get(path)
        self._node.addValueWatcher(self, self._value_changed)
        self._node.addChildWatcher(self, self._children_changed)
        # Watchers are only called for changes, and the mirror may have followed the node before.
        state = self._node.state
        if state.value is not None and state.stat is not None:
            self._value_changed((state.value, state.stat))
        if state.children is not None:
            self._children_changed(list(state.children))

    def stop(self) -> None:
        """Stop following."""
        # A path may have more levels than Python can nest calls.
        displays = [self]
        for display in displays:
            display._node.delValueWatcher(display)
            display._node.delChildWatcher(display)
            displays += display._below.values()

    def _value_changed(self, value: tuple[bytes, ZnodeStat] | None) -> None:
        if value is not None:
            sign = "~" if self._shown else "+"
            text = on_one_line(value[0].decode(errors="backslashreplace"))
            self._log.info("registry: {sign} {path}  {text}", sign=sign, path=self._path, text=text)
        elif self._shown:
            self._log.info("registry: - {path}", path=self._path)
        self._shown = value is not None

    def _children_changed(self, names: list[str] | None) -> None:
        wanted = {paths.join(self._path, name) for name in names or ()} - {_RESERVED}
        for path in self._below.keys() - wanted:
            gone = self._below.pop(path)
            gone._value_changed(None)
            gone.stop()
        for path in sorted(wanted - self._below.keys()):
            self._below[path] = Display(self._mirror, path)
