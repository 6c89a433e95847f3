"""Mirror and Node, for asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred

from txmirror import mirror as deferring
from txmirror.aio.calls import Call
from txmirror.aio.client import ZooKeeperClient
from txmirror.aio.running import current_reactor
from txmirror.aio.tree import Tree
from txmirror.aio.wrapping import Wrapper, at_exit, awaitable, awaitable_as, passed, passed_as
from txmirror.client import Limits
from txmirror.mirror import MirrorState, NodeState
from txmirror.mirror.stream import Values as _DeferringValues
from txmirror.types import SessionTicket, ZnodeStat

_MirrorT = TypeVar("_MirrorT", bound="Mirror")


class Values(Wrapper[_DeferringValues]):
    """An asynchronous iterator over the latest values of a node; ``Node.values`` makes it."""

    def __init__(self, wrapped: _DeferringValues) -> None:
        super().__init__(wrapped)
        self._unreceived: list[tuple[bytes, ZnodeStat] | None] = []

    def __aiter__(self) -> Values:
        return self

    def __anext__(self) -> Call[tuple[bytes, ZnodeStat] | None]:
        loop = self._check_loop()
        return Call(Deferred.fromCoroutine(self._next()), loop, self._unreceived.append)

    async def _next(self) -> tuple[bytes, ZnodeStat] | None:
        if self._unreceived:
            # The task was cancelled in the moment in which this had arrived.
            return self._unreceived.pop()
        return await self.wrapped.__anext__()


def _node(node: deferring.Node) -> Node:
    return Node(node)


class Node(Wrapper[deferring.Node]):
    """:class:`txmirror.mirror.Node` for asyncio; ``Mirror.get`` makes it.

    Nodes of the same mirror and path are equal, but need not be the same object.
    """

    @property
    def path(self) -> str:
        """The znode's path."""
        return self.wrapped.path

    @property
    def state(self) -> NodeState:
        """A snapshot of the node. Reading it costs no round trip."""
        return self.wrapped.state

    value: Final = awaitable(deferring.Node.value)
    children: Final = awaitable(deferring.Node.children)
    exists: Final = awaitable(deferring.Node.exists)
    values: Final = passed_as(deferring.Node.values, Values)
    create: Final = awaitable_as(deferring.Node.create, _node)
    set: Final = awaitable(deferring.Node.set)
    delete: Final = awaitable(deferring.Node.delete)
    addValueWatcher: Final = passed(deferring.Node.addValueWatcher)
    delValueWatcher: Final = passed(deferring.Node.delValueWatcher)
    addChildWatcher: Final = passed(deferring.Node.addChildWatcher)
    delChildWatcher: Final = passed(deferring.Node.delChildWatcher)


def _json_node(node: deferring.JsonNode) -> JsonNode:
    return JsonNode(node)


class JsonNode(Wrapper[deferring.JsonNode]):
    """:class:`txmirror.mirror.JsonNode` for asyncio; ``Mirror.get_json`` makes it."""

    @property
    def path(self) -> str:
        """The znode's path."""
        return self.wrapped.path

    @property
    def node(self) -> Node:
        """The node itself, for everything else."""
        return Node(self.wrapped.node)

    value: Final = awaitable(deferring.JsonNode.value)

    def create(self, value: Any, **modes: Any) -> Call[JsonNode]:
        """Create the node, as :meth:`Node.create`.

        :raises TypeError, ValueError: the value cannot be encoded as JSON.
        """
        loop = self._check_loop()
        return Call(self.wrapped.create(value, **modes).addCallback(_json_node), loop)

    set: Final = awaitable(deferring.JsonNode.set)
    update: Final = awaitable(deferring.JsonNode.update)
    addValueWatcher: Final = passed(deferring.JsonNode.addValueWatcher)
    delValueWatcher: Final = passed(deferring.JsonNode.delValueWatcher)


def _mirror(mirror: deferring.Mirror) -> Mirror:
    return Mirror.wrap(mirror)


class Mirror(Wrapper[deferring.Mirror]):
    """:class:`txmirror.mirror.Mirror` for asyncio: the same parameters, but for the reactor, and the same methods.

    It is no Twisted service. As an asynchronous context manager it begins to connect, without waiting for a session, and is closed
    at the end.

    :param client: a client for asyncio to use in place of one of its own.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    # More than 7 parameters: they are those of the wrapped class.

    def __init__(
        self,
        servers: str | Sequence[str | tuple[str, int]] = "localhost:2181",
        *,
        session_timeout: float = 10.0,
        limits: Limits | None = None,
        session: SessionTicket | None = None,
        client: ZooKeeperClient | None = None,
        linger: float = 60.0,
        random: Random | None = None,
    ) -> None:
        super().__init__(
            deferring.Mirror(
                servers,
                session_timeout=session_timeout,
                limits=limits,
                session=session,
                client=None if client is None else client.wrapped,
                linger=linger,
                random=random,
                reactor=current_reactor(),
            )
        )

    async def __aenter__(self: _MirrorT) -> _MirrorT:
        self.wrapped.startService()
        return self

    __aexit__: Final = at_exit(deferring.Mirror.stopService)

    @property
    def state(self) -> MirrorState:
        """The mirror's state, as state watchers get it."""
        return self.wrapped.state

    connect: Final = awaitable(deferring.Mirror.connect)
    close: Final = awaitable(deferring.Mirror.close)
    get: Final = passed_as(deferring.Mirror.get, _node)
    get_json: Final = passed_as(deferring.Mirror.get_json, _json_node)
    create: Final = awaitable_as(deferring.Mirror.create, _node)
    create_r: Final = awaitable_as(deferring.Mirror.create_r, _node)
    create_json: Final = awaitable_as(deferring.Mirror.create_json, _json_node)
    create_r_json: Final = awaitable_as(deferring.Mirror.create_r_json, _json_node)
    ensure_exists: Final = awaitable_as(deferring.Mirror.ensure_exists, _node)
    chroot: Final = passed_as(deferring.Mirror.chroot, _mirror)
    tree: Final = passed_as(deferring.Mirror.tree, Tree)
    is_connected: Final = passed(deferring.Mirror.is_connected)
    time_disconnected: Final = passed(deferring.Mirror.time_disconnected)
    connstr: Final = passed(deferring.Mirror.connstr)
    add_auth: Final = awaitable(deferring.Mirror.add_auth)
    addStateWatcher: Final = passed(deferring.Mirror.addStateWatcher)
    delStateWatcher: Final = passed(deferring.Mirror.delStateWatcher)
