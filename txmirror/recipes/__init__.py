"""Coordination between programs: locks, semaphores and elections, on any client."""

from txmirror.recipes.election import Election
from txmirror.recipes.lock import Lock, ReadLock, WriteLock
from txmirror.recipes.semaphore import Semaphore

__all__ = ["Election", "Lock", "ReadLock", "Semaphore", "WriteLock"]
