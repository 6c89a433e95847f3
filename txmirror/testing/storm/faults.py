"""The kinds of faults in a storm."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from txmirror.testing.world import World

#: Descriptions of faults that last, each with the function that ends it.
Lasting = list[tuple[str, Callable[[], object]]]


class FaultKind(enum.Enum):
    """The kinds of faults."""

    CUT = "a connection breaks"
    CUT_LATER = "a connection breaks after a number of bytes"
    HALF_CLOSE = "one side closes its half of a connection"
    STALL = "a connection delivers nothing, in one direction or both"
    AWAY = "connections to an address break, and new ones get no answer"
    BLACK_HOLE = "new connections to an address get no answer"
    LOSE_REQUEST = "a server closes the connection in place of a request"
    LOSE_REPLY = "a server closes the connection in place of a reply"
    DELAY = "a server executes a request later"
    REFUSE = "a server replies with an error"
    EXPIRE = "a session expires at the servers"
    KILL = "a server stops"
    LAG = "a server lags behind"
    PARTITION = "a server loses its quorum, or all do"
    PIECES = "data arrives in small pieces"
    BUSY = "all programs are busy for a while, and their timers are late"
    WIPE = "all data is lost"
    RESTORE = "the data is restored from a snapshot"
    COLLECT = "the garbage is collected"


#: How likely each kind is, relative to the others.
WEIGHTS: Mapping[FaultKind, float] = {
    FaultKind.CUT: 10,
    FaultKind.CUT_LATER: 10,
    FaultKind.HALF_CLOSE: 3,
    FaultKind.STALL: 8,
    FaultKind.AWAY: 8,
    FaultKind.BLACK_HOLE: 3,
    FaultKind.LOSE_REQUEST: 6,
    FaultKind.LOSE_REPLY: 8,
    FaultKind.DELAY: 5,
    FaultKind.REFUSE: 3,
    FaultKind.EXPIRE: 3,
    FaultKind.KILL: 6,
    FaultKind.LAG: 8,
    FaultKind.PARTITION: 5,
    FaultKind.PIECES: 3,
    FaultKind.BUSY: 2,
    FaultKind.WIPE: 0.2,
    FaultKind.RESTORE: 0.2,
    FaultKind.COLLECT: 2,
}


def ports_of(world: World) -> list[int]:
    """Return the ports of the servers of a world."""
    return [int(server.address.rpartition(":")[2]) for server in world.servers]
