"""A client that provides ``IZooKeeperClient`` and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from txmirror.client import ZooKeeperClient
from txmirror.interfaces import IZooKeeperClient
from txmirror.types import ACL, OPEN_ACL, WatchedEvent, ZnodeStat


@implementer(IZooKeeperClient)
class PlainClient:
    """Passes all calls to another client.

    :ivar client: that client; a test may replace it.
    """

    def __init__(self, client: ZooKeeperClient) -> None:
        self.client = client

    @property
    def connect_string(self) -> str:
        return self.client.connect_string

    @property
    def session_id(self) -> int:
        return self.client.session_id

    @property
    def session_timeout(self) -> float:
        return self.client.session_timeout

    def connect(self) -> Deferred[None]:
        return self.client.connect()

    def close(self) -> Deferred[None]:
        return self.client.close()

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
        return self.client.create(path, data, acl, ephemeral=ephemeral, sequence=sequence, protect=protect)

    def delete(self, path: str, version: int = -1) -> Deferred[None]:
        return self.client.delete(path, version)

    def exists(self, path: str) -> Deferred[ZnodeStat | None]:
        return self.client.exists(path)

    def exists_and_watch(self, path: str) -> tuple[Deferred[ZnodeStat | None], Deferred[WatchedEvent]]:
        return self.client.exists_and_watch(path)

    def get(self, path: str) -> Deferred[tuple[bytes, ZnodeStat]]:
        return self.client.get(path)

    def get_and_watch(self, path: str) -> tuple[Deferred[tuple[bytes, ZnodeStat]], Deferred[WatchedEvent]]:
        return self.client.get_and_watch(path)

    def get_children(self, path: str) -> Deferred[list[str]]:
        return self.client.get_children(path)

    def get_children_and_watch(self, path: str) -> tuple[Deferred[list[str]], Deferred[WatchedEvent]]:
        return self.client.get_children_and_watch(path)

    def set(self, path: str, data: bytes, version: int = -1) -> Deferred[ZnodeStat]:
        return self.client.set(path, data, version)

    def get_acl(self, path: str) -> Deferred[tuple[list[ACL], ZnodeStat]]:
        return self.client.get_acl(path)

    def set_acl(self, path: str, acl: Sequence[ACL], version: int = -1) -> Deferred[ZnodeStat]:
        return self.client.set_acl(path, acl, version)

    def sync(self, path: str = "/") -> Deferred[str]:
        return self.client.sync(path)

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        return self.client.add_auth(scheme, credentials)
