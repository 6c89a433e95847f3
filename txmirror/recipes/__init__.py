"""Coordination between programs, on any client: locks, semaphores and elections; queues and counters."""

from txmirror.recipes.counter import Counter
from txmirror.recipes.election import Election
from txmirror.recipes.leadership import Leadership
from txmirror.recipes.lock import Lock, ReadLock, WriteLock
from txmirror.recipes.queue import Queue
from txmirror.recipes.semaphore import Semaphore

__all__ = [
    "Counter",
    "Election",
    "Leadership",
    "Lock",
    "Queue",
    "ReadLock",
    "Semaphore",
    "WriteLock",
]
