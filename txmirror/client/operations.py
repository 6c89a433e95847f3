"""The ZooKeeper operation of each method of a client."""

from __future__ import annotations

from txmirror.wire import Operation

#: By the method's name. ``create_and_stat`` and the like are separate operations, which not every server supports.
OPERATIONS: dict[str, Operation] = {
    "create": Operation.CREATE,
    "create_and_stat": Operation.CREATE2,
    "create_container": Operation.CREATE_CONTAINER,
    "create_with_ttl": Operation.CREATE_TTL,
    "delete": Operation.DELETE,
    "exists": Operation.EXISTS,
    "exists_and_watch": Operation.EXISTS,
    "get": Operation.GET_DATA,
    "get_and_watch": Operation.GET_DATA,
    "get_children": Operation.GET_CHILDREN2,
    "get_children_and_watch": Operation.GET_CHILDREN2,
    "get_children_and_stat": Operation.GET_CHILDREN2,
    "set": Operation.SET_DATA,
    "get_acl": Operation.GET_ACL,
    "set_acl": Operation.SET_ACL,
    "sync": Operation.SYNC,
    "add_auth": Operation.AUTH,
    "transaction": Operation.MULTI,
    "get_many": Operation.MULTI_READ,
    "get_children_many": Operation.MULTI_READ,
    "read_many": Operation.MULTI_READ,
    "read_data": Operation.GET_DATA,
    "read_children": Operation.GET_CHILDREN2,
    "read_existence": Operation.EXISTS,
    "write_create": Operation.CREATE2,
    "write_data": Operation.SET_DATA,
    "write_delete": Operation.DELETE,
    "set_watches": Operation.SET_WATCHES,
    "remove_watches": Operation.REMOVE_WATCHES,
    "add_watch": Operation.ADD_WATCH,
    "check_watches": Operation.CHECK_WATCHES,
    "get_ephemerals": Operation.GET_EPHEMERALS,
    "count_below": Operation.GET_ALL_CHILDREN_NUMBER,
    "who_am_i": Operation.WHO_AM_I,
    "get_config": Operation.GET_DATA,
    "get_config_and_watch": Operation.GET_DATA,
    "reconfig": Operation.RECONFIG,
}
