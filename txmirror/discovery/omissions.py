"""Log the nodes that are left out of a list: each once for each reason, and not all of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twisted.logger import Logger

from txmirror import paths
from txmirror.printable import on_one_line

#: The most nodes that are named at once.
_MOST_NAMED: Final = 5


class Omissions:
    """Logs the nodes that are left out of a list.

    :param log: the log.
    :param path: the path whose children the nodes are.
    :param place: the list, for the log.
    :ivar noted: the nodes that are left out: the reason by name.
    """

    def __init__(self, log: Logger, path: str, place: str) -> None:
        self.noted: Mapping[str, str] = {}
        self._log = log
        self._path = path
        self._place = on_one_line(place)

    def note(self, omitted: Mapping[str, str]) -> None:
        """Log the nodes that are new among these, or are left out for another reason than before.

        :param omitted: the reason by name. It must not change later.
        """
        if omitted == self.noted:
            return
        new = {name: reason for name, reason in omitted.items() if self.noted.get(name) != reason}
        for name, reason in list(new.items())[:_MOST_NAMED]:
            self._log.warn(
                "{path} is left out of {place}: {reason}.",
                path=on_one_line(paths.join(self._path, name)),
                place=self._place,
                reason=on_one_line(reason),
            )
        if len(new) > _MOST_NAMED:
            self._log.warn(
                "{count} more nodes are left out of {place}.", count=len(new) - _MOST_NAMED, place=self._place
            )
        self.noted = omitted
