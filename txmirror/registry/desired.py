"""The desired state of a registry: the nodes that it is to keep registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

from txmirror.interfaces import IPayloadCodec
from txmirror.registry.registration import Registration

Data = Mapping[str, object] | str | None


@attrs.frozen(eq=False)
class Call:
    """A call that registers a node, and that has no result yet."""

    data: Data
    """The data, a copy."""
    codec: IPayloadCodec
    """Encodes it."""
    registration: Registration | None
    """A registration that was made for it, if the path had none."""


class Desired:
    """The desired state of one path.

    :ivar call: the latest call that registers the node, while it has no result: it is rolled back if it fails.
    :ivar kept: whether the node is to be kept registered, by an earlier call.
    :ivar data: the data of the node that is to be kept.
    :ivar codec: encodes it.
    :ivar registration: the registration on the current connection, also while it is being withdrawn.
    """

    __slots__ = ("call", "codec", "data", "kept", "registration")

    def __init__(self, codec: IPayloadCodec) -> None:
        self.call: Call | None = None
        self.kept: bool = False
        self.data: Data = None
        self.codec: IPayloadCodec = codec
        self.registration: Registration | None = None

    @property
    def registered(self) -> bool:
        """True if the node is to be registered, or is being withdrawn."""
        return self.kept or self.call is not None or self.registration is not None

    @property
    def busy(self) -> bool:
        """True if there is something to do that needs a connection."""
        return self.kept or self.call is not None


class DesiredState:
    """The desired state of all paths."""

    def __init__(self) -> None:
        self._paths: dict[str, Desired] = {}

    def __iter__(self) -> Iterator[tuple[str, Desired]]:
        """Iterate over the paths as they are now."""
        return iter(list(self._paths.items()))

    @property
    def busy(self) -> bool:
        """True if there is something to do that needs a connection."""
        return any(desired.busy for desired in self._paths.values())

    def get(self, path: str) -> Desired | None:
        """Return the desired state of a path; None if nothing is desired."""
        return self._paths.get(path)

    def call(self, path: str, call: Call) -> None:
        """Note the latest call that registers a node."""
        desired = self._paths.get(path)
        if desired is None:
            desired = self._paths[path] = Desired(call.codec)
        desired.call = call

    def prune(self, path: str) -> None:
        """Forget a path if nothing is desired there any more."""
        desired = self._paths.get(path)
        if desired is not None and not desired.registered:
            del self._paths[path]

    def accept(self, path: str, call: Call) -> None:
        """Keep the path registered from now on, unless a later call has superseded this one."""
        desired = self._paths.get(path)
        if desired is not None and desired.call is call:
            desired.call, desired.kept, desired.data, desired.codec = None, True, call.data, call.codec

    def leave(self) -> Sequence[Registration]:
        """Return all registrations, whose connection is about to be closed, and forget them."""
        registrations = []
        for path, desired in self:
            if desired.registration is not None:
                registrations.append(desired.registration)
                desired.registration = None
                self.prune(path)
        return registrations
