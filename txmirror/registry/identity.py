"""The data that a registration writes, by which it recognises the nodes that it has made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from txmirror.interfaces import IPayloadCodec
from txmirror.registry.codecs import own_copy

#: The number of payloads that are remembered.
_REMEMBERED = 4

Data = Mapping[str, object] | str | None


class Identity:
    """The facts that a registration states now, and the payloads that it has written lately.

    A former session's node with such a payload is our own; another process's has another pid or another time.

    :param codec: encodes the facts.
    :param data: the facts.
    :param created: the time of the registration, in seconds since the epoch.
    :ivar codec: encodes the facts.
    :ivar data: the facts, a copy.
    :ivar payload: the facts, encoded.
    :ivar tolerated: other facts that a node may state until the next change.
    :raises TypeError: the facts cannot be stored.
    :raises ValueError: likewise.
    """

    def __init__(self, codec: IPayloadCodec, data: Data, created: float) -> None:
        self.codec: IPayloadCodec = codec
        self._created = created
        self._written: tuple[bytes, ...] = ()
        self.tolerated: Sequence[Data] = ()
        self.payload: bytes = codec.encode(data, pid=os.getpid(), created=created)
        self.data = own_copy(data)

    def encode(self, data: Data, codec: IPayloadCodec) -> bytes:
        """Return other facts, encoded.

        :param codec: the codec.
        :raises TypeError: they cannot be stored.
        :raises ValueError: likewise.
        """
        if data is self.data and codec is self.codec:
            return self.payload
        return codec.encode(data, pid=os.getpid(), created=self._created)

    def change(self, data: Data, payload: bytes, codec: IPayloadCodec) -> bool:
        """State other facts from now on.

        :param payload: the facts, encoded.
        :param codec: the codec that has encoded them.
        :returns: whether they differ from the former ones, or a node may state others at present.
        """
        tolerant, self.tolerated = bool(self.tolerated), ()
        if payload is self.payload:
            return tolerant
        changed = codec is not self.codec or not codec.says(self.payload, data)
        self.data, self.codec = own_copy(data), codec
        if changed:
            self.payload = payload
        return changed or tolerant

    def stated_by(self, stored: bytes) -> bool:
        """Return whether stored data states the facts, or others that are tolerated."""
        return stored == self.payload or any(self.codec.says(stored, each) for each in (self.data, *self.tolerated))

    def write(self) -> bytes:
        """Return the payload to write, and remember it."""
        if not self.written_last:
            self._written = (*(each for each in self._written if each != self.payload), self.payload)[-_REMEMBERED:]
        return self.payload

    @property
    def written_last(self) -> bool:
        """True if the facts are what was written last."""
        return bool(self._written) and self._written[-1] == self.payload

    def wrote(self, stored: bytes) -> bool:
        """Return whether stored data was written by this registration lately."""
        return stored in self._written
