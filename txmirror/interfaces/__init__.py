"""The interfaces between the packages, which programs can provide too.

Each optional ability of a provider has an interface of its own, for which callers check with ``providedBy``.
"""

from txmirror.interfaces.abilities import (
    IBackpressure,
    IBatchedReads,
    ICreateModes,
    IEnsemble,
    IPersistentWatches,
    IProgress,
    IQueries,
    IServerAbilities,
    ISessionLease,
    ISideSessions,
    ITransaction,
    ITransactions,
    IWatchCount,
    urgent_client,
    waiting_client,
)
from txmirror.interfaces.client import IChroot, ISessionHolder, IWatchFeed, IZooKeeperClient
from txmirror.interfaces.discovery import IServiceProvider, IStrategy
from txmirror.interfaces.draining import IDraining
from txmirror.interfaces.metrics import IMetrics, IMetricsHolder, IRecipeMetrics
from txmirror.interfaces.registry import IInstanceCodec, IPayloadCodec, IRegistryLock, IServiceRegistry

__all__ = [
    "IBackpressure",
    "IBatchedReads",
    "IChroot",
    "ICreateModes",
    "IDraining",
    "IEnsemble",
    "IInstanceCodec",
    "IMetrics",
    "IMetricsHolder",
    "IPayloadCodec",
    "IPersistentWatches",
    "IProgress",
    "IQueries",
    "IRecipeMetrics",
    "IRegistryLock",
    "IServerAbilities",
    "IServiceProvider",
    "IServiceRegistry",
    "ISessionHolder",
    "ISessionLease",
    "ISideSessions",
    "IStrategy",
    "ITransaction",
    "ITransactions",
    "IWatchCount",
    "IWatchFeed",
    "IZooKeeperClient",
    "urgent_client",
    "waiting_client",
]
