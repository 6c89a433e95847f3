"""Decode a node, and decide whether its instance may be picked: by its status, its weight and the program's filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from twisted.logger import Logger

from txmirror.discovery.listing import Verdict
from txmirror.interfaces import IPayloadCodec
from txmirror.printable import on_one_line
from txmirror.registry import decode_instance, decode_payload, find_codec
from txmirror.types import Instance, InstanceStatus, Payload, Undecodable

#: A filter: the wanted values by label or key of the data, or a function that returns whether an instance may be picked.
Where = Mapping[str, object] | Callable[[Instance], object]


class Judge:
    """Decodes nodes, and decides which instances may be picked.

    :param path: the path of the service, for the log.
    :param where: the filter; None for none.
    :param codec: decodes the nodes; None recognises the format of each.
    :raises LookupError: there is no codec of this name.
    :raises TypeError: ``where`` is no filter; the message quotes it.
    """

    _log = Logger()

    def __init__(self, path: str, where: Where | None, codec: str | IPayloadCodec | None) -> None:
        if where is not None and not isinstance(where, Mapping) and not callable(where):
            raise TypeError(f"where is {where!r:.60}: not a mapping, a function, or None")
        self.where: Final = dict(where) if isinstance(where, Mapping) else where
        self._path = path
        self._codec = find_codec(codec) if isinstance(codec, str) else codec
        self._filter_has_failed = False

    def judge(self, name: str, data: bytes | Payload) -> tuple[Verdict, Instance | None, str | None]:
        """Return whether a node may be picked, its instance, and the reason why it is unreadable or the filter has failed.

        :param name: the node's name.
        :param data: its data; decoded if it comes from an earlier answer.
        """
        read = decode_instance if isinstance(data, bytes) else decode_payload
        found = read(name, data, self._codec)  # type: ignore[arg-type]  # the function fits the data
        if isinstance(found, Undecodable):
            return Verdict.UNREADABLE, None, found.reason
        missing = (
            "address" if found.address is None else "port" if found.port is None and found.tls_port is None else None
        )
        if missing is not None:
            return Verdict.UNREADABLE, None, f"it has no {missing}"
        if found.status is InstanceStatus.DOWN:
            return Verdict.DOWN, found, None
        try:
            accepted = self._accepts(found)
        except Exception as error:
            self._filter_failed(name)
            return Verdict.FAILED, found, f"the filter raised {error!r:.200}"
        if not accepted:
            return Verdict.FILTERED, found, None
        weightless = found.weight is not None and found.weight <= 0
        return Verdict.NO_WEIGHT if weightless else Verdict.USABLE, found, None

    def _accepts(self, instance: Instance) -> bool:
        where = self.where
        if where is None:
            return True
        if isinstance(where, Mapping):
            return all(says(instance, key, wanted) for key, wanted in where.items())
        return bool(where(instance))

    def _filter_failed(self, name: str) -> None:
        if not self._filter_has_failed:
            self._filter_has_failed = True
            self._log.failure(
                "The filter raised an exception for {name} of {path}: the instance is left out. Further exceptions of this filter"
                " are not logged.",
                name=on_one_line(name),
                path=self._path,
            )


def says(instance: Instance, key: str, wanted: object) -> bool:
    """Return whether a label of an instance, or a value of its data, equals a value; see :func:`equals`."""
    found: object = instance.labels.get(key)
    if found is None and isinstance(instance.data, Mapping):
        found = instance.data.get(key)
    return equals(found, wanted)


def equals(found: object, wanted: object) -> bool:
    """Return whether a value of an instance equals a wanted one.

    A text equals a number or a truth value that JSON writes so: configurations and queries have texts only.
    """
    if found is None or found == wanted:
        return found == wanted
    return isinstance(wanted, str) and isinstance(found, (bool, int, float)) and _to_text(found) == wanted


def _to_text(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
