"""The promises that rooms make to one another, and to programs that bring a provider of their own.

What a provider may lack stands in an interface of its own, so that callers ask ``providedBy`` in place of guessing.
"""

from txmirror.interfaces.abilities import (
    IBackpressure,
    IBatchedReads,
    ICreateModes,
    IEnsemble,
    IMetrics,
    IPersistentWatches,
    IQueries,
    IServerAbilities,
    ISessionLease,
    ITransaction,
    ITransactions,
    urgent_form,
    waiting_form,
)
from txmirror.interfaces.client import IChroot, ISessionHolder, ISessionSteps, IWatchFeed, IZooKeeperClient
from txmirror.interfaces.registry import IPayloadCodec, IRegistryLock, IServiceRegistry

__all__ = [
    "IBackpressure",
    "IBatchedReads",
    "IChroot",
    "ICreateModes",
    "IEnsemble",
    "IMetrics",
    "IPayloadCodec",
    "IPersistentWatches",
    "IQueries",
    "IRegistryLock",
    "IServerAbilities",
    "IServiceRegistry",
    "ISessionHolder",
    "ISessionLease",
    "ISessionSteps",
    "ITransaction",
    "ITransactions",
    "IWatchFeed",
    "IZooKeeperClient",
    "urgent_form",
    "waiting_form",
]
