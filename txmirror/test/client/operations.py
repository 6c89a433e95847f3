"""All operations of a client, each with a reply: for tests that hold for every operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from txmirror.client import ZooKeeperClient
from txmirror.test.client.peer import STAT, Encodable, ignore
from txmirror.types import (
    OPEN_ACL,
    BatchReply,
    ChildrenReply,
    CreateReply,
    DataReply,
    EnsembleConfig,
    StatReply,
    WatchedEvent,
    WatchKind,
)
from txmirror.wire import (
    AddWatchResponse,
    ClientInfo,
    Create2Response,
    DoneResult,
    GetACLResponse,
    GetAllChildrenNumberResponse,
    GetChildren2Response,
    GetChildrenResponse,
    GetDataResponse,
    GetEphemeralsResponse,
    MultiResponse,
    Operation,
    PathResponse,
    StatResponse,
    WhoAmIResponse,
)

#: The zxid in the header of every answer.
ZXID = 100

_DATA = GetDataResponse(b"data", STAT)
_CONFIG = GetDataResponse(b"server.1=h:1:2\nversion=10", STAT)
_NAMES = GetChildren2Response(["x", "y"], STAT)
_STAT = StatResponse(STAT)
_MADE = Create2Response("/a", STAT)


@attrs.frozen
class Asked:
    """One operation, and its result."""

    ask: Callable[[ZooKeeperClient], Deferred[Any]]
    answer: Encodable | bytes
    result: object


def _answer(pair: tuple[Deferred[Any], Deferred[WatchedEvent]]) -> Deferred[Any]:
    """Return the reply, and ignore the watch's failure."""
    answer, watch = pair
    ignore(watch)
    return answer


def _commit(client: ZooKeeperClient) -> Deferred[Any]:
    transaction = client.transaction()
    transaction.create("/a")
    transaction.delete("/b")
    return transaction.commit()


#: By the name of the method. Of a pair of Deferreds, the first.
OPERATIONS: dict[str, Asked] = {
    "create": Asked(lambda client: client.create("/a", b"data"), PathResponse("/a"), "/a"),
    "delete": Asked(lambda client: client.delete("/a"), b"", None),
    "exists": Asked(lambda client: client.exists("/a"), _STAT, STAT),
    "exists_and_watch": Asked(lambda client: _answer(client.exists_and_watch("/a")), _STAT, STAT),
    "get": Asked(lambda client: client.get("/a"), _DATA, (b"data", STAT)),
    "get_and_watch": Asked(lambda client: _answer(client.get_and_watch("/a")), _DATA, (b"data", STAT)),
    "get_children": Asked(lambda client: client.get_children("/a"), _NAMES, ["x", "y"]),
    "get_children_and_watch": Asked(lambda client: _answer(client.get_children_and_watch("/a")), _NAMES, ["x", "y"]),
    "set": Asked(lambda client: client.set("/a", b"data"), _STAT, STAT),
    "get_acl": Asked(lambda client: client.get_acl("/a"), GetACLResponse(list(OPEN_ACL), STAT), (list(OPEN_ACL), STAT)),
    "set_acl": Asked(lambda client: client.set_acl("/a", OPEN_ACL), _STAT, STAT),
    "sync": Asked(lambda client: client.sync("/a"), PathResponse("/a"), "/a"),
    "read_data": Asked(lambda client: client.read_data("/a"), _DATA, DataReply(ZXID, b"data", STAT)),
    "read_children": Asked(lambda client: client.read_children("/a"), _NAMES, ChildrenReply(ZXID, ["x", "y"], STAT)),
    "read_existence": Asked(lambda client: client.read_existence("/a"), _STAT, StatReply(ZXID, STAT)),
    "write_create": Asked(
        lambda client: client.write_create("/a", b"data", OPEN_ACL, 0), _MADE, CreateReply(ZXID, "/a", STAT)
    ),
    "write_data": Asked(lambda client: client.write_data("/a", b"data", -1), _STAT, StatReply(ZXID, STAT)),
    "write_delete": Asked(lambda client: client.write_delete("/a", -1), b"", ZXID),
    "set_watches": Asked(lambda client: client.set_watches(5, ["/a"], ["/b"], ["/c"]), b"", None),
    "remove_watches": Asked(lambda client: client.remove_watches("/a", WatchKind.DATA), b"", None),
    "create_and_stat": Asked(lambda client: client.create_and_stat("/a"), _MADE, ("/a", STAT)),
    "create_container": Asked(lambda client: client.create_container("/a"), _MADE, ("/a", STAT)),
    "create_with_ttl": Asked(lambda client: client.create_with_ttl("/a", ttl=1.0), _MADE, ("/a", STAT)),
    "get_ephemerals": Asked(lambda client: client.get_ephemerals(), GetEphemeralsResponse(["/a"]), ["/a"]),
    "count_below": Asked(lambda client: client.count_below("/a"), GetAllChildrenNumberResponse(7), 7),
    "who_am_i": Asked(
        lambda client: client.who_am_i(), WhoAmIResponse([ClientInfo("ip", "127.0.0.1")]), [("ip", "127.0.0.1")]
    ),
    "get_children_and_stat": Asked(lambda client: client.get_children_and_stat("/a"), _NAMES, (["x", "y"], STAT)),
    "add_watch": Asked(lambda client: client.add_watch("/persistent"), AddWatchResponse(), None),
    "check_watches": Asked(lambda client: client.check_watches("/a", WatchKind.DATA), b"", True),
    "get_config": Asked(lambda client: client.get_config(), _CONFIG, (EnsembleConfig(16, {1: "h:1:2"}), STAT)),
    "get_config_and_watch": Asked(
        lambda client: _answer(client.get_config_and_watch()), _CONFIG, (EnsembleConfig(16, {1: "h:1:2"}), STAT)
    ),
    "reconfig": Asked(lambda client: client.reconfig(leaving=[2]), _CONFIG, (EnsembleConfig(16, {1: "h:1:2"}), STAT)),
    "transaction": Asked(_commit, MultiResponse([PathResponse("/a"), DoneResult(Operation.DELETE)]), ["/a", None]),
    "read_many": Asked(
        lambda client: client.read_many(["/a"], ["/a"]),
        MultiResponse([_DATA, GetChildrenResponse(["x", "y"])]),
        BatchReply(ZXID, [(b"data", STAT)], [["x", "y"]]),
    ),
    "get_many": Asked(lambda client: client.get_many(["/a"]), MultiResponse([_DATA]), [(b"data", STAT)]),
    "get_children_many": Asked(
        lambda client: client.get_children_many(["/a"]), MultiResponse([GetChildrenResponse(["x"])]), [["x"]]
    ),
}
#: The methods that send no request of their own: what cancelling does to those that give a Deferred is tested one by one.
OTHERS = frozenset(
    {
        "connect",
        "when_connected",
        "close",
        "leave",
        "add_auth",
        "add_listener",
        "remove_listener",
        "release",
        "chroot",
        "urgent",
        "waiting",
        "when_lease_expires",
        "server_can",
        "report_changes",
        "may_cost_session",
    }
)
