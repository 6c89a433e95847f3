"""Statistics of one connection, for the four-letter words."""

from __future__ import annotations

import attrs

from txmirror.wire import Operation

#: The names of the operations in ``FinalRequestProcessor``.
_OPERATION_NAMES: dict[int, str] = {
    Operation.PING: "PING",
    Operation.MULTI: "MULT",
    Operation.MULTI_READ: "MLTR",
    Operation.CREATE: "CREA",
    Operation.CREATE2: "CREA",
    Operation.CREATE_TTL: "CREA",
    Operation.CREATE_CONTAINER: "CREA",
    Operation.DELETE: "DELE",
    Operation.SET_DATA: "SETD",
    Operation.RECONFIG: "RECO",
    Operation.SET_ACL: "SETA",
    Operation.CLOSE_SESSION: "CLOS",
    Operation.SYNC: "SYNC",
    Operation.CHECK: "CHEC",
    Operation.EXISTS: "EXIS",
    Operation.GET_DATA: "GETD",
    Operation.SET_WATCHES: "SETW",
    Operation.SET_WATCHES2: "STW2",
    Operation.ADD_WATCH: "ADDW",
    Operation.GET_ACL: "GETA",
    Operation.GET_CHILDREN: "GETC",
    Operation.GET_CHILDREN2: "GETC",
    Operation.GET_ALL_CHILDREN_NUMBER: "GETACN",
    Operation.CHECK_WATCHES: "CHKW",
    Operation.REMOVE_WATCHES: "REMW",
    Operation.WHO_AM_I: "HOMI",
    Operation.GET_EPHEMERALS: "GETE",
}


@attrs.define
class ConnectionStats:
    """The statistics of one connection. Times are in milliseconds since the epoch."""

    established: int
    received: int = 0
    """The number of frames and four-letter words received."""
    sent: int = 0
    """The number of frames and answers to four-letter words sent."""
    last_operation: str = "NA"
    last_xid: int = -1
    """The xid of the last request other than a ping; -1 before."""
    last_zxid: int = 0
    last_reply: int = 0
    """The time of the last reply."""

    def session_established(self, zxid: int, now: int) -> None:
        """Record the reply to a handshake."""
        self.last_operation, self.last_zxid, self.last_reply = "SESS", zxid, now

    def replied(self, operation: int, xid: int, zxid: int, now: int) -> None:
        """Record the reply to a request."""
        self.last_operation, self.last_zxid, self.last_reply = _OPERATION_NAMES.get(operation, "NA"), zxid, now
        if operation != Operation.PING:
            self.last_xid = max(xid, self.last_xid) if xid < 0 else xid
