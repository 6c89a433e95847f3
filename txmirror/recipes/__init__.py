"""Coordination between programs, on any client: locks, semaphores and elections; queues, counters, values,
barriers and members.
"""

from txmirror.recipes.barrier import Barrier
from txmirror.recipes.counter import Counter
from txmirror.recipes.double_barrier import DoubleBarrier
from txmirror.recipes.election import Election
from txmirror.recipes.leadership import Leadership
from txmirror.recipes.lock import Lock, ReadLock, WriteLock
from txmirror.recipes.locking_queue import LockingQueue
from txmirror.recipes.members import Members
from txmirror.recipes.multi_lock import MultiLock
from txmirror.recipes.partitioner import Partitioner
from txmirror.recipes.party import Party
from txmirror.recipes.queue import Queue
from txmirror.recipes.semaphore import Semaphore
from txmirror.recipes.share import Share
from txmirror.recipes.shared_value import SharedValue, VersionedValue
from txmirror.recipes.taken_entry import TakenEntry

__all__ = [
    "Barrier",
    "Counter",
    "DoubleBarrier",
    "Election",
    "Leadership",
    "Lock",
    "LockingQueue",
    "Members",
    "MultiLock",
    "Partitioner",
    "Party",
    "Queue",
    "ReadLock",
    "Semaphore",
    "Share",
    "SharedValue",
    "TakenEntry",
    "VersionedValue",
    "WriteLock",
]
