"""The numbers of the protocol: operations, reserved xids, and the limits of a frame."""

from __future__ import annotations

import enum
from typing import Final


class Operation(enum.IntEnum):
    """The operation codes of requests, as in ``org.apache.zookeeper.ZooDefs.OpCode``."""

    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_ACL = 6
    SET_ACL = 7
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    RECONFIG = 16
    CHECK_WATCHES = 17
    REMOVE_WATCHES = 18
    CREATE_CONTAINER = 19
    CREATE_TTL = 21
    MULTI_READ = 22
    AUTH = 100
    SET_WATCHES = 101
    SASL = 102
    GET_EPHEMERALS = 103
    GET_ALL_CHILDREN_NUMBER = 104
    SET_WATCHES2 = 105
    ADD_WATCH = 106
    WHO_AM_I = 107
    CLOSE_SESSION = -11


class CreateFlag(enum.IntFlag):
    """The kind of node that a create makes."""

    PERSISTENT = 0
    EPHEMERAL = 1
    SEQUENCE = 2
    CONTAINER = 4
    #: Not a sum of the others. Valid only with the operation that creates TTL nodes.
    TTL = 5
    TTL_SEQUENCE = 6

    @classmethod
    def of(cls, *, ephemeral: bool, sequence: bool) -> int:
        """Return the flags of a node that is ephemeral or not, and sequential or not."""
        return (cls.EPHEMERAL if ephemeral else 0) | (cls.SEQUENCE if sequence else 0)


#: The xid of a watch event.
EVENT_XID: Final = -1
#: The xid of a ping and of its reply.
PING_XID: Final = -2
#: The xid of an auth packet and of its reply, which does not keep the order of requests.
AUTH_XID: Final = -4
#: The highest xid of a request; the next one is 1 again.
LAST_XID: Final = 2**31 - 1

#: No frame is longer than this, even if a side has configured a higher limit.
HARD_FRAME_LIMIT: Final = 256 * 1024 * 1024
#: A server's own default for the longest request, its length field not counted (``jute.maxbuffer``).
DEFAULT_MAX_REQUEST: Final = 0xFFFFF
#: The longest reply that a client accepts by default.
DEFAULT_MAX_REPLY: Final = 4 * 1024 * 1024
