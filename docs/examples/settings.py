"""A configuration that is always up to date, with defaults and validation.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import re
import sys
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import Mirror
from txmirror.types import ZnodeStat


@attrs.frozen
class Settings:
    """The settings of the program. The defaults apply until ZooKeeper has others."""

    workers: int = attrs.field(
        default=4, validator=[attrs.validators.instance_of(int), attrs.validators.in_(range(1, 65))]
    )
    debug: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))


class SettingsWatcher:
    """Keeps ``current`` equal to a node, and calls a function with each new value.

    A value that is invalid is reported, and the last valid one stays.
    """

    def __init__(self, mirror: Mirror, path: str, changed: Callable[[Settings], object]) -> None:
        self.current = Settings()
        self._changed = changed
        self._node = mirror.get_json(path)  # the watcher needs this reference
        self._node.addValueWatcher(self, self._received, on_error=self._refuse)

    def _received(self, found: tuple[Any, ZnodeStat] | None) -> None:
        value, _ = found or (None, None)  # None: there is no node
        try:
            settings = Settings(**(value or {}))
        except (TypeError, ValueError) as error:
            self._refuse(error)
            return
        if settings != self.current:
            self.current = settings
            self._changed(settings)

    def _refuse(self, error: Exception) -> None:
        reason, *_ = re.split("[:.] ", str(error.args[0]))  # details follow
        print("refused:", reason)


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    mirror = Mirror(servers)
    watcher = SettingsWatcher(mirror, "/app/settings", lambda settings: print("changed:", settings))
    print("at the start:", watcher.current)

    # Somebody else changes the settings. When the write returns, our watcher has been called.
    node = mirror.get_json("/app/settings")
    await node.create({"workers": 8}, makepath=True)
    await node.update(lambda old: {**old, "debug": True})
    await node.set({"workers": 1000})
    await node.set({"wokers": 3})
    await mirror.get("/app/settings").set(b"workers = 3")
    print("still:", watcher.current)
    await mirror.get("/app/settings").delete()

    await mirror.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
