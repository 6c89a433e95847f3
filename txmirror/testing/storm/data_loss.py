"""The loss of data, in a way that all clients can notice."""

from __future__ import annotations

from txmirror.embedded import Snapshot
from txmirror.testing.world import World

#: The zxid of the first data generation, and the distance between two generations. If new data had more transactions than a client
#: has seen of the former data, no client could notice that it was replaced.
_FIRST_ZXID = 1 << 40
_DISTANCE = 1 << 32
#: The zxid grows by so much at a snapshot, as at the election of a leader.
_EPOCH = 1 << 24


class DataLoss:
    """The data of the servers, which can be replaced so that every client that has seen the former data can notice.

    :param world: the world.
    """

    def __init__(self, world: World) -> None:
        self._state = world.server._state
        self._level = _FIRST_ZXID
        self._epoch = _EPOCH
        self._state.database.tree.zxid = self._level
        self._snapshot: Snapshot | None = None
        self._remember()

    def wipe(self) -> None:
        """Delete all data and sessions."""
        self._state.wipe()
        self._level -= _DISTANCE
        self._state.database.tree.zxid = self._level
        self._remember()

    def restore_or_remember(self) -> str:
        """Restore the snapshot, or make one if there is none of this generation."""
        if self._snapshot is None:
            self._remember()
            return "later: a snapshot"
        snapshot, self._snapshot = self._snapshot, None
        self._state.roll_back(snapshot)
        # The next epoch is shorter: a client that was away must not find more transactions than it has seen.
        self._epoch //= 2
        return f"as of {snapshot.zxid:#x}"

    def _remember(self) -> None:
        self._snapshot = self._state.snapshot()
        self._state.database.tree.zxid += self._epoch
