"""Queries about sessions, subtrees and the ensemble's configuration."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from txmirror.client import replies
from txmirror.client.arguments import check_paths, check_zxid
from txmirror.client.one_shots import OneShots
from txmirror.client.request_sender import RequestSender
from txmirror.errors import ZooKeeperException
from txmirror.interfaces import IEnsemble, IQueries
from txmirror.types import EnsembleConfig, WatchedEvent, ZnodeStat
from txmirror.wire import (
    Cursor,
    GetAllChildrenNumberRequest,
    GetChildren2Request,
    GetDataRequest,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    ReconfigRequest,
    WhoAmIRequest,
)

#: The node with the ensemble's configuration.
_CONFIG = "/zookeeper/config"


@implementer(IQueries, IEnsemble)
class Queries:
    """All of :class:`~txmirror.interfaces.IQueries` and :class:`~txmirror.interfaces.IEnsemble`.

    :param sender: sends the requests.
    :param one_shots: makes one-shot watches.
    """

    def __init__(self, sender: RequestSender, one_shots: OneShots) -> None:
        self._sender = sender
        self._one_shots = one_shots

    def get_children_and_stat(self, path: str) -> Deferred[tuple[list[str], ZnodeStat]]:
        """Read the names of a node's children, and its stat. See :meth:`.IQueries.get_children_and_stat`."""
        request = GetChildren2Request(self._sender.valid(path), False)
        return self._sender.send(request, path, replies.decode_names_and_stat)

    def get_ephemerals(self, path: str = "/") -> Deferred[list[str]]:
        """Return the session's ephemeral nodes below a path. See :meth:`~txmirror.interfaces.IQueries.get_ephemerals`."""
        root = self._sender.valid(path)

        def decode(cursor: Cursor, zxid: int) -> list[str]:
            # The server compares prefixes of strings: drop "/ab" for the root "/a".
            ours = [
                each
                for each in GetEphemeralsResponse.decode(cursor).ephemerals
                if root in ("/", each) or each.startswith(root + "/")
            ]
            return [self._sender.below(each) for each in ours]

        return self._sender.send(GetEphemeralsRequest(root), path, decode)

    def count_below(self, path: str) -> Deferred[int]:
        """Count the nodes below a node. See :meth:`~txmirror.interfaces.IQueries.count_below`."""
        return self._sender.send(GetAllChildrenNumberRequest(self._sender.valid(path)), path, replies.decode_number)

    def who_am_i(self) -> Deferred[list[tuple[str, str]]]:
        """Return the session's identities at the server. See :meth:`~txmirror.interfaces.IQueries.who_am_i`."""
        return self._sender.send(WhoAmIRequest(), None, replies.decode_identities)

    def get_config(self) -> Deferred[tuple[EnsembleConfig, ZnodeStat]]:
        """Read the ensemble's configuration. See :meth:`~txmirror.interfaces.IEnsemble.get_config`."""
        return self._sender.send(GetDataRequest(_CONFIG, False), _CONFIG, _decode_config)

    def get_config_and_watch(self) -> tuple[Deferred[tuple[EnsembleConfig, ZnodeStat]], Deferred[WatchedEvent]]:
        """Read the ensemble's configuration, and watch it. See :meth:`.IEnsemble.get_config_and_watch`."""
        waiter = self._one_shots.waiter(_CONFIG)
        watch, on_reply = self._one_shots.data(_CONFIG, waiter)
        return self._sender.send(GetDataRequest(_CONFIG, watch), _CONFIG, _decode_config, on_reply=on_reply), waiter

    def reconfig(
        self,
        *,
        joining: Sequence[str] = (),
        leaving: Sequence[int] = (),
        members: Sequence[str] = (),
        version: int = -1,
    ) -> Deferred[tuple[EnsembleConfig, ZnodeStat]]:
        """Change the ensemble's configuration. See :meth:`~txmirror.interfaces.IEnsemble.reconfig`."""
        joining, leaving, members = check_paths(joining), list(leaving), check_paths(members)
        if bool(members) is bool(joining or leaving):
            raise ValueError("either servers join or leave, or all members are named anew")
        come, go, all_ = (",".join(map(str, each)) or None for each in (joining, leaving, members))
        request = ReconfigRequest(come, go, all_, check_zxid(version))
        return self._sender.send(request, _CONFIG, _decode_config)


def _decode_config(cursor: Cursor, zxid: int) -> tuple[EnsembleConfig, ZnodeStat]:
    data, stat = replies.decode_data(cursor, zxid)
    try:
        return EnsembleConfig.parse(data), stat
    except ValueError as error:
        raise ZooKeeperException(str(error), path=_CONFIG, zxid=zxid) from None
