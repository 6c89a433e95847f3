"""The table of operations: each request of the client once, with the record that it sends and the value of its reply."""

from __future__ import annotations

from typing import Any

from txmirror import paths
from txmirror.client.connection.calls import Call, RequestKind, decode_nothing
from txmirror.client.session.watch_tables import SET_WATCHES
from txmirror.errors import (
    ProtocolError,
    RuntimeInconsistencyException,
    TransactionFailedException,
    ZooKeeperException,
    exception_for,
)
from txmirror.types import ACL, EnsembleConfig, ZnodeStat
from txmirror.wire import (
    AddWatchRequest,
    AddWatchResponse,
    BatchedReadRequest,
    CheckWatchesRequest,
    Create2Request,
    Create2Response,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    Cursor,
    DeleteRequest,
    ErrorResult,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetChildren2Request,
    GetChildren2Response,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    MultiRequest,
    MultiResponse,
    Operation,
    PathResponse,
    ReconfigRequest,
    RemoveWatchesRequest,
    SetACLRequest,
    SetDataRequest,
    StatResponse,
    SyncRequest,
    WhoAmIRequest,
    WhoAmIResponse,
)


def _path(cursor: Cursor, call: Call[Any]) -> str:
    return call.chroot.below(PathResponse.decode(cursor).path)


def _path_and_stat(cursor: Cursor, call: Call[Any]) -> tuple[str, ZnodeStat]:
    path, stat = Create2Response.decode(cursor)
    return call.chroot.below(path), stat


def _stat(cursor: Cursor, call: Call[Any]) -> ZnodeStat:
    return StatResponse.decode(cursor).stat


def _data_and_stat(cursor: Cursor, call: Call[Any]) -> tuple[bytes, ZnodeStat]:
    data, stat = GetDataResponse.decode(cursor)
    return data or b"", stat


def _names_and_stat(cursor: Cursor, call: Call[Any]) -> tuple[list[str], ZnodeStat]:
    names, stat = GetChildren2Response.decode(cursor)
    return _check_names(names), stat


def _acl_and_stat(cursor: Cursor, call: Call[Any]) -> tuple[list[ACL], ZnodeStat]:
    acl, stat = GetACLResponse.decode(cursor)
    return acl, stat


def _added(cursor: Cursor, call: Call[Any]) -> None:
    AddWatchResponse.decode(cursor)


def _config_and_stat(cursor: Cursor, call: Call[Any]) -> tuple[EnsembleConfig, ZnodeStat]:
    data, stat = _data_and_stat(cursor, call)
    try:
        return EnsembleConfig.parse(data), stat
    except ValueError as error:
        raise ZooKeeperException(str(error), path=call.path, zxid=call.zxid) from None


CREATE = RequestKind(CreateRequest, _path)
CREATE2 = RequestKind(Create2Request, _path_and_stat)
CREATE_CONTAINER = RequestKind(CreateContainerRequest, _path_and_stat)
CREATE_TTL = RequestKind(CreateTTLRequest, _path_and_stat)
DELETE = RequestKind(DeleteRequest, decode_nothing)
EXISTS: RequestKind[[str, bool], ZnodeStat | None] = RequestKind(ExistsRequest, _stat, or_none=True)
GET_DATA = RequestKind(GetDataRequest, _data_and_stat)
GET_CHILDREN = RequestKind(GetChildren2Request, _names_and_stat)
SET_DATA = RequestKind(SetDataRequest, _stat)
GET_ACL = RequestKind(GetACLRequest, _acl_and_stat)
SET_ACL = RequestKind(SetACLRequest, _stat)
SYNC = RequestKind(SyncRequest, _path)
ADD_WATCH = RequestKind(AddWatchRequest, _added)
CHECK_WATCHES = RequestKind(CheckWatchesRequest, decode_nothing)
REMOVE_WATCHES = RequestKind(RemoveWatchesRequest, decode_nothing)
COUNT_BELOW = RequestKind(
    GetAllChildrenNumberRequest, lambda cursor, call: GetAllChildrenNumberResponse.decode(cursor).totalNumber
)
WHO_AM_I = RequestKind(
    WhoAmIRequest,
    lambda cursor, call: [(info.authScheme, info.user) for info in WhoAmIResponse.decode(cursor).clientInfo],
)
GET_CONFIG = RequestKind(GetDataRequest, _config_and_stat)
RECONFIG = RequestKind(ReconfigRequest, _config_and_stat)


def _ephemerals(cursor: Cursor, call: Call[Any]) -> list[str]:
    # The server compares prefixes of strings: drop "/ab" for the root "/a".
    root = call.record.path
    found = GetEphemeralsResponse.decode(cursor).ephemerals
    return [call.chroot.below(each) for each in found if root in ("/", each) or each.startswith(root + "/")]


def _results_of_writes(cursor: Cursor, call: Call[Any]) -> list[str | ZnodeStat | None]:
    writes = call.record.requests
    results = MultiResponse.decode(cursor).results
    if len(results) != len(writes):
        raise ProtocolError(f"the server sent {len(results)} results for {len(writes)} operations")
    refused = [index for index, result in enumerate(results) if _code(result)]
    if refused:
        # The server answers 0 for operations before the failed one, and a runtime inconsistency for those after it.
        to_blame = next(
            (each for each in refused if _code(results[each]) != RuntimeInconsistencyException.code), refused[0]
        )
        path = call.chroot.strip(writes[to_blame].path)
        raise TransactionFailedException(to_blame, exception_for(_code(results[to_blame]), path=path, zxid=call.zxid))
    return [
        call.chroot.below(result.path)
        if isinstance(result, PathResponse)
        else result.stat
        if isinstance(result, StatResponse)
        else None
        for result in results
    ]


def _results_of_reads(cursor: Cursor, call: Call[Any]) -> tuple[list[Any], list[Any]]:
    record: BatchedReadRequest = call.record
    results = MultiResponse.decode(cursor).results
    count = len(record.data)
    if len(results) != count + len(record.children):
        raise ProtocolError(f"the server sent {len(results)} results for {count + len(record.children)} reads")
    data = [
        (result.data or b"", result.stat) if isinstance(result, GetDataResponse) else _refusal(result, call, path)
        for path, result in zip(record.data, results[:count], strict=True)
    ]
    children = [
        _check_names(result.children) if isinstance(result, GetChildrenResponse) else _refusal(result, call, path)
        for path, result in zip(record.children, results[count:], strict=True)
    ]
    return data, children


GET_EPHEMERALS = RequestKind(GetEphemeralsRequest, _ephemerals, keeps_record=True)
MULTI = RequestKind(MultiRequest, _results_of_writes, keeps_record=True)
MULTI_READ = RequestKind(BatchedReadRequest, _results_of_reads, keeps_record=True)


#: The operation of each method of a client. ``create_and_stat`` and the like are separate operations, which not every server
#: supports.
OPERATIONS: dict[str, Operation] = {
    "add_auth": Operation.AUTH,
    **{
        method: kind.operation
        for kind, methods in (
            (CREATE, "create"),
            (CREATE2, "create_and_stat write_create"),
            (CREATE_CONTAINER, "create_container"),
            (CREATE_TTL, "create_with_ttl"),
            (DELETE, "delete write_delete"),
            (EXISTS, "exists exists_and_watch read_existence"),
            (GET_DATA, "get get_and_watch read_data"),
            (GET_CHILDREN, "get_children get_children_and_watch get_children_and_stat read_children"),
            (SET_DATA, "set write_data"),
            (GET_ACL, "get_acl"),
            (SET_ACL, "set_acl"),
            (SYNC, "sync"),
            (MULTI, "transaction"),
            (MULTI_READ, "get_many get_children_many read_many"),
            (SET_WATCHES, "set_watches"),
            (REMOVE_WATCHES, "remove_watches"),
            (ADD_WATCH, "add_watch"),
            (CHECK_WATCHES, "check_watches"),
            (GET_EPHEMERALS, "get_ephemerals"),
            (COUNT_BELOW, "count_below"),
            (WHO_AM_I, "who_am_i"),
            (GET_CONFIG, "get_config get_config_and_watch"),
            (RECONFIG, "reconfig"),
        )
        for method in methods.split()
    },
}


def operation_of(method: str) -> Operation:
    """Return the operation of a client's method.

    :raises ValueError: there is no such method.
    """
    if method not in OPERATIONS:
        raise ValueError(f"a client has no method {method!r} that sends a request")
    return OPERATIONS[method]


def _check_names(names: list[str]) -> list[str]:
    """Check the names of children, and return them.

    :raises ProtocolError: one of them is invalid.
    """
    if not paths.are_names(names):
        wrong = next(name for name in names if not paths.are_names([name]))
        raise ProtocolError(f"a child's name is {wrong!r:.200}, which no znode can have")
    return names


def _refusal(result: object, call: Call[Any], full: str) -> ZooKeeperException:
    code, path = _code(result), call.chroot.strip(full)
    if not code:
        raise ProtocolError(f"the server answered a read of {path!r} with {type(result).__name__}")
    return exception_for(code, path=path, zxid=call.zxid)


def _code(result: object) -> int:
    return result.err if isinstance(result, ErrorResult) else 0
