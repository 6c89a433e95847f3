"""The operations on nodes, and every way to create one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from txmirror import paths
from txmirror.client import replies
from txmirror.client.arguments import check_acl, check_bytes, check_version
from txmirror.client.connection.calls import decode_nothing
from txmirror.client.creating import create_with_stat
from txmirror.client.one_shots import OneShots
from txmirror.client.protection import ProtectedCreate, protected
from txmirror.client.request_sender import RequestSender
from txmirror.interfaces import ICreateModes
from txmirror.types import ACL, OPEN_ACL, WatchedEvent, ZnodeStat
from txmirror.wire import (
    Create2Response,
    CreateContainerRequest,
    CreateFlag,
    CreateRequest,
    CreateTTLRequest,
    Cursor,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetChildren2Request,
    GetDataRequest,
    PathResponse,
    SetACLRequest,
    SetDataRequest,
    SyncRequest,
)

_T = TypeVar("_T")
#: The longest time to live that a server accepts, in seconds (``EphemeralType.TTL`` has 40 bits of milliseconds).
_LONGEST_TTL = 0xFFFFFFFFFF / 1000


@implementer(ICreateModes)
class NodeOperations:
    """The operations on nodes of :class:`~txmirror.interfaces.IZooKeeperClient`, and all of ``ICreateModes``.

    :param sender: sends the requests.
    :param one_shots: makes one-shot watches.
    :param random: draws GUIDs.
    """

    def __init__(self, sender: RequestSender, one_shots: OneShots, random: Random) -> None:
        self._sender = sender
        self._one_shots = one_shots
        self._random = random

    def create(
        self,
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        protect: bool = False,
    ) -> Deferred[str]:
        """Create a node, and return its path. See :meth:`~txmirror.interfaces.IZooKeeperClient.create`."""
        flags = CreateFlag.of(ephemeral=ephemeral, sequence=sequence)
        check_bytes(data)
        entries = check_acl(acl)

        def send(path: str) -> Deferred[str]:
            request = CreateRequest(self._sender.valid(path, sequence=sequence), data, entries, flags)
            return self._sender.send(request, path, self._decode_path)

        return self._create(path, ephemeral, sequence, protect, send, lambda path, stat: path)

    def delete(self, path: str, version: int = -1) -> Deferred[None]:
        """Delete a node. See :meth:`~txmirror.interfaces.IZooKeeperClient.delete`."""
        return self._sender.send(DeleteRequest(self._sender.valid(path), check_version(version)), path, decode_nothing)

    def exists(self, path: str) -> Deferred[ZnodeStat | None]:
        """Read a node's stat; None if there is no node. See :meth:`~txmirror.interfaces.IZooKeeperClient.exists`."""
        return self._sender.send(
            ExistsRequest(self._sender.valid(path), False), path, replies.decode_stat, replies.missing
        )

    def exists_and_watch(self, path: str) -> tuple[Deferred[ZnodeStat | None], Deferred[WatchedEvent]]:
        """Read a node's stat, and watch it. See :meth:`~txmirror.interfaces.IZooKeeperClient.exists_and_watch`."""
        full = self._sender.valid(path)
        waiter = self._one_shots.waiter(full)
        watch, on_reply = self._one_shots.existence(full, waiter)
        request = ExistsRequest(full, watch)
        return self._sender.send(request, path, replies.decode_stat, replies.missing, on_reply), waiter

    def get(self, path: str) -> Deferred[tuple[bytes, ZnodeStat]]:
        """Read a node's data and stat. See :meth:`~txmirror.interfaces.IZooKeeperClient.get`."""
        return self._sender.send(GetDataRequest(self._sender.valid(path), False), path, replies.decode_data)

    def get_and_watch(self, path: str) -> tuple[Deferred[tuple[bytes, ZnodeStat]], Deferred[WatchedEvent]]:
        """Read a node's data and stat, and watch it. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_and_watch`."""
        full = self._sender.valid(path)
        waiter = self._one_shots.waiter(full)
        watch, on_reply = self._one_shots.data(full, waiter)
        request = GetDataRequest(full, watch)
        return self._sender.send(request, path, replies.decode_data, on_reply=on_reply), waiter

    def get_children(self, path: str) -> Deferred[list[str]]:
        """Read the names of a node's children. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_children`."""
        return self._sender.send(GetChildren2Request(self._sender.valid(path), False), path, replies.decode_names)

    def get_children_and_watch(self, path: str) -> tuple[Deferred[list[str]], Deferred[WatchedEvent]]:
        """Read the names of a node's children, and watch them. See :meth:`.IZooKeeperClient.get_children_and_watch`."""
        full = self._sender.valid(path)
        waiter = self._one_shots.waiter(full)
        watch, on_reply = self._one_shots.children(full, waiter)
        request = GetChildren2Request(full, watch)
        return self._sender.send(request, path, replies.decode_names, on_reply=on_reply), waiter

    def set(self, path: str, data: bytes, version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's data. See :meth:`~txmirror.interfaces.IZooKeeperClient.set`."""
        return self._sender.send(
            SetDataRequest(self._sender.valid(path), check_bytes(data), check_version(version)),
            path,
            replies.decode_stat,
        )

    def get_acl(self, path: str) -> Deferred[tuple[list[ACL], ZnodeStat]]:
        """Read a node's access control list. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_acl`."""
        return self._sender.send(GetACLRequest(self._sender.valid(path)), path, replies.decode_acl)

    def set_acl(self, path: str, acl: Sequence[ACL], version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's access control list. See :meth:`~txmirror.interfaces.IZooKeeperClient.set_acl`."""
        return self._sender.send(
            SetACLRequest(self._sender.valid(path), check_acl(acl), check_version(version)), path, replies.decode_stat
        )

    def sync(self, path: str = "/") -> Deferred[str]:
        """Let the server catch up with the leader. See :meth:`~txmirror.interfaces.IZooKeeperClient.sync`."""
        return self._sender.send(SyncRequest(self._sender.valid(path)), path, self._decode_path)

    # ICreateModes.

    def create_and_stat(
        self,
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        protect: bool = False,
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a node, and return its path and stat. See :meth:`~txmirror.interfaces.ICreateModes.create_and_stat`."""
        flags = CreateFlag.of(ephemeral=ephemeral, sequence=sequence)
        check_bytes(data)
        entries = check_acl(acl)

        def send(path: str) -> Deferred[tuple[str, ZnodeStat]]:
            created = create_with_stat(self._sender, path, data, entries, flags)
            return created.addCallback(lambda reply: (reply.path, reply.stat))

        return self._create(path, ephemeral, sequence, protect, send, lambda path, stat: (path, stat))

    def create_container(
        self, path: str, data: bytes = b"", acl: Sequence[ACL] = OPEN_ACL
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a container. See :meth:`~txmirror.interfaces.ICreateModes.create_container`."""
        request = CreateContainerRequest(
            self._sender.valid(path), check_bytes(data), check_acl(acl), CreateFlag.CONTAINER
        )
        return self._sender.send(request, path, self._decode_path_and_stat)

    def create_with_ttl(
        self, path: str, data: bytes = b"", acl: Sequence[ACL] = OPEN_ACL, *, ttl: float, sequence: bool = False
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a node with a time to live. See :meth:`~txmirror.interfaces.ICreateModes.create_with_ttl`."""
        if not 0.001 <= ttl <= _LONGEST_TTL:
            raise ValueError(f"a time to live is from 0.001 to {_LONGEST_TTL} seconds, not {ttl!r}")
        flags = CreateFlag.TTL_SEQUENCE if sequence else CreateFlag.TTL
        full = self._sender.valid(path, sequence=sequence)
        request = CreateTTLRequest(full, check_bytes(data), check_acl(acl), flags, round(ttl * 1000))
        return self._sender.send(request, path, self._decode_path_and_stat)

    def _create(
        self,
        path: str,
        ephemeral: bool,
        sequence: bool,
        protect: bool,
        send: Callable[[str], Deferred[_T]],
        found: Callable[[str, ZnodeStat], _T],
    ) -> Deferred[_T]:
        """Send the create of a path, with a GUID in its name if it is to be protected.

        :param found: makes the result from a node that was found by its GUID.
        """
        if not protect or (path == "/" and not sequence):
            return send(path)
        paths.validate(path, sequence=sequence)
        return ProtectedCreate(self._sender, protected(path, self._random), ephemeral, send, found).run()

    def _decode_path(self, cursor: Cursor, zxid: int) -> str:
        return self._sender.below(PathResponse.decode(cursor).path)

    def _decode_path_and_stat(self, cursor: Cursor, zxid: int) -> tuple[str, ZnodeStat]:
        path, stat = Create2Response.decode(cursor)
        return self._sender.below(path), stat
