"""A value of bytes that programs share: each change depends on the value that it replaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.conditional_writes import ConditionalWrites
from txmirror.recipes.place import Place, check_transactions
from txmirror.types import ACL, ZnodeStat


@attrs.frozen
class VersionedValue:
    """A value, as it was read.

    :ivar data: the value.
    :ivar version: the number of changes since the node was created; -1 where the node does not exist.
    """

    data: bytes
    version: int


class SharedValue:
    """A value that processes anywhere can replace, without the loss of a change of others.

    It is the plain data of a node, as that of Curator's ``SharedValue``, so that both can use one path::

        limits = SharedValue(client, "/app/limits", default=b"{}")
        await limits.update(lambda value: with_limit(value, "upload", 10))

    Each change is done once. It depends on the version of the node; and if the reply is lost, it finds out whether it was done, as
    that of :class:`Counter`. Nothing is kept in memory: follow the changes with the node of a :class:`~txmirror.mirror.Mirror`
    (``mirror.get(path).values()``).

    A node that is deleted and created again begins with version 0 again. A change that is on its way cannot tell it apart from the
    former one at the same version: let nobody delete the node.

    :param client: a client with transactions, or a :class:`~txmirror.mirror.Mirror` with one. It is connected when it is first
        needed, unless that was begun before.
    :param path: the value's node. If it and those above it are missing, the first change creates them, persistent.
    :param default: the value while the node does not exist.
    :param acl: the access control list of the nodes that are created here, but for those above ``path``; None opens them to
        everybody. Changes need permission to read, write, create and delete.
    :param reactor: the reactor; the global one if None.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``client`` is neither, or has no transactions; ``default`` is not bytes; ``acl`` holds anything else than
        :class:`~txmirror.types.ACL`.
    """

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        default: bytes = b"",
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        self._place = Place(client, path, acl, reactor, type(self).__name__)
        check_transactions(self, self._place.client)
        self._default = _checked("the default", default)
        self._writes = ConditionalWrites(self._place, default, "the value may have been changed, or not")

    def __repr__(self) -> str:
        return f"<SharedValue {self._place.describe()}>"

    @property
    def path(self) -> str:
        """The value's node."""
        return self._place.path

    def get(self) -> Deferred[bytes]:
        """Return the value. It survives lost connections and expired sessions.

        :returns: fires with it: all changes that have ended before are in it. Fails with
            :exc:`~txmirror.errors.ClosingException` or :exc:`~txmirror.errors.AuthFailedException`, where there will be no session
            any more, and with a server's refusal, such as :exc:`~txmirror.errors.NoAuthException`. Cancelling ends the wait.
        """
        return self.get_versioned().addCallback(lambda value: value.data)

    def get_versioned(self) -> Deferred[VersionedValue]:
        """Return the value with its version, for :meth:`try_set`. Otherwise as :meth:`get`."""
        return self._place.run(self._read)

    def try_set(self, value: bytes, expected: bytes | VersionedValue) -> Deferred[bool]:
        """Replace the value, if it is the expected one.

        :param expected: the value, or the result of :meth:`get_versioned`: then a value that was changed, and changed back, is another
            one.
        :returns: fires with True if it was replaced, and with False if it is another one. Fails as :meth:`update`. Cancelling ends the
            wait; it may have been done.
        :raises TypeError: ``value`` is not bytes, or ``expected`` is neither.
        """
        _checked("the value", value)
        if not isinstance(expected, (bytes, VersionedValue)):
            raise TypeError(f"the expected value is bytes or a VersionedValue, not {expected!r:.60}")

        def change(data: bytes, stat: ZnodeStat) -> bytes | None:
            if isinstance(expected, bytes):
                return value if data == expected else None
            # A node that did not exist is created at version 0, and then has the default.
            same = data == expected.data and stat.version == max(expected.version, 0)
            return value if same else None

        trying = self._place.run(lambda: self._writes.update(change))
        return self._place.meter.measure("try_set", trying, not_done=(None,)).addCallback(
            lambda changed: changed is not None
        )

    def update(self, function: Callable[[bytes], bytes | None]) -> Deferred[bytes]:
        """Replace the value by one that depends on it.

        It survives lost connections, and expired sessions if it was certainly not done before.

        :param function: called with the value; returns the new one, or None to leave it as it is. It is called again if another
            program has changed the value meanwhile. It must not wait.
        :returns: fires with the new value, which may be the old one. Fails with
            :exc:`~txmirror.errors.ConnectionLossException` (``applied`` None) if the reply was lost, the session has expired, and
            nothing shows whether it was done; with :exc:`~txmirror.errors.BadVersionException` at version -1, after 4,294,967,295
            changes, where a write cannot depend on the version: set the node once. Fails as ``function`` does, and with ``TypeError`` if
            that returns anything else; then nothing was changed. Otherwise as :meth:`get`. Cancelling ends the wait; it may have
            been done.
        """
        return self._place.meter.measure("update", self._place.run(lambda: self._update(function)))

    async def _read(self) -> VersionedValue:
        found = await self._writes.read()
        return VersionedValue(self._default, -1) if found is None else VersionedValue(found[0], found[1].version)

    async def _update(self, function: Callable[[bytes], bytes | None]) -> bytes:
        latest = b""

        def change(data: bytes, stat: ZnodeStat) -> bytes | None:
            nonlocal latest
            latest = data
            changed = function(data)
            return None if changed is None else _checked("the new value", changed)

        changed = await self._writes.update(change)
        return latest if changed is None else changed


def _checked(name: str, value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{name} is {value!r:.60}: not bytes")
    return value
