"""A standalone server."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from txmirror.embedded.ensemble_state import EnsembleState
from txmirror.embedded.server import Server
from txmirror.embedded.versions import version_named


class EmbeddedServer(Server):
    """A ZooKeeper server in memory, for tests and demonstrations.

    It speaks the real protocol with every operation, and imitates ZooKeeper 3.8.0 as Debian ships it: a standalone server with
    default settings, except that it answers the four-letter words. It enforces no quotas. Its data exists only in memory.

    Known differences, which no sensible client meets: the reply to a ``sync`` of a null path has an empty path, in place of
    null; ``setWatches`` with a null list sends no events for the lists before it, and rejects null paths; and errors
    never have a record, which the real server's ``multi`` and ``multiRead`` sometimes have.

    :param reactor: a provider of ``IReactorTCP`` and ``IReactorTime``.
    :param clock: the source of all times, a provider of ``IReactorTime``; None uses the reactor. With a
        ``twisted.internet.task.Clock`` a test can advance the time of a server that listens on a real socket.
    :param tick_time: ZooKeeper's tick in seconds: session timeouts are between 2 and 20 ticks, and a session expires up to one
        tick after its timeout.
    :param version: the version to imitate:

        - ``3.8``.
        - ``3.9``: events contain their zxid, only clients that may read a node get its stat, a path may have watches of
          several modes, and a ``check`` outside a transaction is an unknown operation.
        - ``3.4``: an operation that is newer (such as persistent watches, or a create that returns a stat) ends the
          connection.
        - ``keeper``, ClickHouse Keeper: it never resumes a session, but opens a new one, even if the client has seen later
          transactions. All passwords are sixteen zero bytes. Without a quorum it rejects handshakes by the protocol version
          42. At the end of a session, and on an operation that it does not have (SASL, ``get_ephemerals``,
          ``count_below``, ``who_am_i``), it closes the connection without a reply. It replies to ``set_watches`` before
          it sends the missed events, and sends changed children as changed data.

        Everything else is as in 3.8.
    :param ttl_nodes: whether TTL nodes are enabled (ZooKeeper's ``extendedTypesEnabled``); otherwise their creation fails as
        unimplemented.
    :param container_check_interval: the time in seconds between two deletions of empty containers and expired TTL nodes.
    :raises ValueError: ``tick_time`` or ``container_check_interval`` is not positive, or ``version`` is unknown.
    :raises TypeError: an argument has the wrong type.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        clock: IReactorTime | None = None,
        tick_time: float = 0.5,
        version: str = "3.8",
        ttl_nodes: bool = False,
        container_check_interval: float = 60.0,
    ) -> None:
        imitated = version_named(version)
        state = EnsembleState(
            reactor if clock is None else clock,
            tick_time=tick_time,
            ttl_nodes=ttl_nodes,
            container_check_interval=container_check_interval,
        )
        super().__init__(reactor, state, imitated, "standalone")
