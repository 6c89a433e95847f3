"""Coordination between programs, on any client: locks, semaphores and elections; queues and counters."""

from txmirror.recipes.counter import Counter
from txmirror.recipes.election import Election
from txmirror.recipes.leadership import Leadership
from txmirror.recipes.lock import Lock, ReadLock, WriteLock
from txmirror.recipes.locking_queue import LockingQueue
from txmirror.recipes.queue import Queue
from txmirror.recipes.semaphore import Semaphore
from txmirror.recipes.taken_entry import TakenEntry

__all__ = [
    "Counter",
    "Election",
    "Leadership",
    "Lock",
    "LockingQueue",
    "Queue",
    "ReadLock",
    "Semaphore",
    "TakenEntry",
    "WriteLock",
]
