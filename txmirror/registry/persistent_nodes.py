"""Write and delete the persistent nodes of a registry, over any number of connections."""

from __future__ import annotations

import os
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.errors import NoConnection
from txmirror.interfaces import IPayloadCodec
from txmirror.registry.codecs import own_copy
from txmirror.registry.connection import RegistryConnection
from txmirror.registry.connections import Connections, shield
from txmirror.registry.desired import Data
from txmirror.registry.finding import Finder

#: Starts to write or to delete a persistent node.
_Write = Callable[[RegistryConnection], Deferred[None]]


class PersistentNodes:
    """Writes and deletes persistent nodes. It keeps the latest write of each path whose caller does not wait any more.

    :param connections: the connections of the registry.
    :param finder: follows paths.
    :param codec: encodes the data of nodes.
    """

    _log = Logger()

    def __init__(self, connections: Connections, finder: Finder, codec: IPayloadCodec) -> None:
        self._connections = connections
        self._finder = finder
        self._codec = codec
        self._pending: dict[str, _Write] = {}

    @property
    def busy(self) -> bool:
        """True if there is a write that needs a connection."""
        return bool(self._pending)

    def opened(self, connection: RegistryConnection) -> None:
        """Repeat the pending writes on a new connection."""
        for path, write in list(self._pending.items()):
            self._begin(connection, path, write).addErrback(self._not_written, path)

    def abandon(self) -> None:
        """Forget the writes of the parent process."""
        self._pending = {}

    def put(self, path: str, data: Data) -> Deferred[bool]:
        """Write a persistent node. See :meth:`~txmirror.interfaces.IServiceRegistry.set_data`.

        :raises TypeError: data cannot be stored; then nothing has changed.
        :raises ValueError: likewise.
        """
        payload = self._codec.encode(data, pid=os.getpid(), created=self._connections.reactor.seconds())
        data = own_copy(data)
        return self._connections.do(self._write(path, lambda connection: connection.put(path, data, payload)))

    def remove(self, path: str) -> Deferred[bool]:
        """Delete a persistent node. See :meth:`~txmirror.interfaces.IServiceRegistry.set_data`."""
        return self._connections.do(self._write(path, lambda connection: connection.remove(path)))

    async def _write(self, path: str, write: _Write) -> bool:
        connection = await self._connections.established()
        writing = self._begin(connection, path, write)
        apart = shield(writing, lambda failure: self._not_written(failure, path))
        try:
            if await self._connections.while_reachable(connection, apart, "the writing of {!r}", path) is False:
                self._pending[path] = write
                return False
        except CancelledError:
            self._pending[path] = write
            raise
        except NoConnection:
            writing.cancel()
            raise
        await self._finder.until_shown(path)
        return True

    def _begin(self, connection: RegistryConnection, path: str, write: _Write) -> Deferred[None]:
        """Start to write. A pending write that the end of the connection cancels is repeated on the next connection."""

        def over(result: Failure | None) -> Failure | None:
            cut_off = isinstance(result, Failure) and isinstance(result.value, CancelledError)
            if not cut_off and self._pending.get(path) is write:
                del self._pending[path]
            return result

        return write(connection).addBoth(over)

    def _not_written(self, failure: Failure, path: str) -> None:
        if not isinstance(failure.value, CancelledError):
            self._log.warn(
                "{path} could not be written: {reason}. Not retrying.", path=path, reason=failure.getErrorMessage()
            )
