"""Read a single znode: from the servers, and without a connection from what was read before."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.python.failure import Failure

from txmirror.errors import NoAuthException, ReplyTooLargeException, ZooKeeperException, ZooServerProblem
from txmirror.mirror import Mirror
from txmirror.web.api.freshness import RETRY, Readers
from txmirror.web.api.nodes import NodeView
from txmirror.web.calls import InvalidRequest

#: The time limit for reading a znode, in seconds.
_TIMEOUT: Final = 5.0
#: The longest wait for a session that is just being opened, in seconds.
_OPENING: Final = 2.0
#: A longer list of children is not even asked for: it comes whole, in one reply.
_MOST_ASKED: Final = 50_000
#: The most znodes that are kept, and the longest data and list of children of one of them.
_MOST_KEPT, _LONGEST_KEPT, _MOST_NAMES_KEPT = 100, 2**16, 1000


class NodeReader:
    """Reads single znodes. It follows none of them.

    :param readers: the mirror that is asked, and the catalog that knows the services.
    """

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        #: The znodes that were read last, with the times (in the reactor's seconds). The latest is at the end.
        self._kept: OrderedDict[tuple[Mirror, str], tuple[NodeView, float]] = OrderedDict()

    async def read(self, path: str) -> NodeView:
        """Read a znode.

        :raises NoNodeException: it does not exist.
        :raises NoAuthException: it may not be read.
        :raises ZooServerProblem: the server has failed.
        :raises InvalidRequest: it could not be read in time; or there is no connection, and it was not read before.
        """
        mirror = self._readers.mirror
        if mirror is None:
            raise InvalidRequest("there is no session with ZooKeeper yet", status=503, headers=RETRY)
        if not mirror.client.session_id:
            await _wait_for_session(mirror)
        if not mirror.is_connected():
            return self._recall(mirror, path)
        self._kept.pop((mirror, path), None)
        try:
            view = await Deferred.fromCoroutine(_ask(mirror, path)).addTimeout(_TIMEOUT, mirror.reactor)
        except DeferredTimeout:
            raise InvalidRequest(f"ZooKeeper did not answer within {_TIMEOUT:g} s", status=503) from None
        except ZooServerProblem:
            if mirror.is_connected():
                raise
            return self._recall(mirror, path)
        self._keep(mirror, view)
        return view

    def _keep(self, mirror: Mirror, view: NodeView) -> None:
        if len(view.data) <= _LONGEST_KEPT and len(view.children) <= _MOST_NAMES_KEPT:
            self._kept[mirror, view.path] = view, mirror.reactor.seconds()
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)

    def _recall(self, mirror: Mirror, path: str) -> NodeView:
        catalog = self._readers.catalog
        known = None if catalog is None else catalog.recall(path)
        if known is not None and catalog is not None:
            (data, stat), children = known
            return NodeView(path, data, stat, None, children, catalog.age)
        kept = self._kept.get((mirror, path))
        if kept is None:
            raise InvalidRequest("ZooKeeper is out of reach, and the znode is not known", status=503, headers=RETRY)
        view, read_at = kept
        return attrs.evolve(view, age=max(0.0, mirror.reactor.seconds() - read_at))


async def _wait_for_session(mirror: Mirror) -> None:
    """Wait until there is a session, for a short time: the session may be opened for this request."""
    # It fails if there is none yet, or there will be none.
    with contextlib.suppress(DeferredTimeout, ZooKeeperException):
        await mirror.connect().addTimeout(_OPENING, mirror.reactor)


async def _ask(mirror: Mirror, path: str) -> NodeView:
    client = mirror.client
    data, stat = await client.get(path)
    # It may have been deleted since: then the children and the ACL are missing.
    names: Deferred[Any] = client.get_children(path) if 0 < stat.numChildren <= _MOST_ASKED else succeed([])
    names.addErrback(lambda failure: _none_if(failure, ReplyTooLargeException))
    acl = client.get_acl(path).addErrback(lambda failure: _none_if(failure, NoAuthException))
    both = gatherResults([names, acl], consumeErrors=True)
    found, known = await both.addErrback(_unwrap)
    return NodeView(path, data, stat, None if known is None else known[0], found or [])


def _unwrap(failure: Failure) -> Failure:
    return failure.value.subFailure if isinstance(failure.value, FirstError) else failure


def _none_if(failure: Failure, *kinds: type[Exception]) -> None:
    failure.trap(*kinds)
