"""Use txmirror from asyncio: the public objects, with methods that asyncio can await in place of those that return Deferreds.

Twisted's reactor must run on the event loop: see :func:`run` and :func:`running_reactor`.
"""

from txmirror.aio.barriers import Barrier, DoubleBarrier, Members, Party
from txmirror.aio.calls import Call
from txmirror.aio.client import Transaction, ZooKeeperClient
from txmirror.aio.discovery import ServiceProvider
from txmirror.aio.mirror import JsonNode, Mirror, Node, Values
from txmirror.aio.partitioner import Partitioner
from txmirror.aio.queues import Counter, LockingQueue, Queue, SharedValue, TakenEntry
from txmirror.aio.recipes import Election, Lock, MultiLock, ReadLock, Semaphore, WriteLock
from txmirror.aio.registry import Registration, RegistryLock, ServiceRegistry
from txmirror.aio.running import run, running_reactor
from txmirror.aio.tree import Decoded, Tree
from txmirror.aio.wrapping import Wrapper

__all__ = [
    "Barrier",
    "Call",
    "Counter",
    "Decoded",
    "DoubleBarrier",
    "Election",
    "JsonNode",
    "Lock",
    "LockingQueue",
    "Members",
    "Mirror",
    "MultiLock",
    "Node",
    "Partitioner",
    "Party",
    "Queue",
    "ReadLock",
    "Registration",
    "RegistryLock",
    "Semaphore",
    "ServiceProvider",
    "ServiceRegistry",
    "SharedValue",
    "TakenEntry",
    "Transaction",
    "Tree",
    "Values",
    "Wrapper",
    "WriteLock",
    "ZooKeeperClient",
    "run",
    "running_reactor",
]
