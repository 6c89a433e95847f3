"""Answer four-letter words, which a client sends in place of a handshake.

The answers have the format of 3.8.0, as far as it applies here, so that tools can parse them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timezone
from functools import partial
from itertools import groupby

from txmirror.embedded.connection import Connection
from txmirror.embedded.server_state import Access, ServerState

#: The words that are not in this server's whitelist.
_REFUSED = ("crst", "dirs", "gtmk", "hash", "srst", "stmk")


class FourLetterWords:
    """The answers of one server.

    :param live: the server's connections, the oldest first.
    :param mode: the mode that the server reports while it is not read-only.
    :ivar answers: the words, and functions that return their answers.
    """

    def __init__(self, server: ServerState, live: Collection[Connection], mode: str) -> None:
        self._server = server
        self._live = live
        self._configured_mode = mode
        self._release = f"{server.version.release}-txmirror-embedded, in memory, for tests and demonstrations"
        self.answers: dict[bytes, Callable[[], str]] = {b"ruok": lambda: "imok", b"isro": lambda: server.access.value}
        for word in _REFUSED:
            self.answers[word.encode()] = partial(
                "{} is not executed because it is not in the whitelist.\n".format, word
            )
        reports = {
            b"conf": self._conf,
            b"cons": self._cons,
            b"dump": self._dump,
            b"envi": self._envi,
            b"mntr": self._mntr,
            b"srvr": self._srvr,
            b"stat": self._stat,
            b"wchc": self._wchc,
            b"wchp": self._wchp,
            b"wchs": self._wchs,
        }
        self.answers.update((word, partial(self._report, lines)) for word, lines in reports.items())

    def _report(self, lines: Callable[[], Iterator[str]]) -> str:
        if self._server.access is Access.NONE:
            return "This ZooKeeper instance is not currently serving requests\n"
        return "".join(f"{line}\n" for line in lines())

    @property
    def _mode(self) -> str:
        return "read-only" if self._server.read_only else self._configured_mode

    def _srvr(self) -> Iterator[str]:
        yield f"Zookeeper version: {self._release}"
        if self._server.read_only:
            yield "READ-ONLY mode; serving only read-only clients"
        yield from self._statistics()

    def _stat(self) -> Iterator[str]:
        yield f"Zookeeper version: {self._release}"
        yield "Clients:"
        yield from (_describe(connection, brief=True) for connection in self._live)
        yield ""
        yield from self._statistics()

    def _statistics(self) -> Iterator[str]:
        # The latency of requests is not measured here.
        server = self._server
        tree = server.replica.tree
        yield "Latency min/avg/max: 0/0.0/0"
        yield f"Received: {server.received}"
        yield f"Sent: {server.sent}"
        yield f"Connections: {len(self._live)}"
        yield "Outstanding: 0"
        yield f"Zxid: {tree.zxid:#x}"
        yield f"Mode: {self._mode}"
        yield f"Node count: {len(tree.nodes)}"

    def _mntr(self) -> Iterator[str]:
        server = self._server
        tree = server.replica.tree
        values: dict[str, object] = {
            "version": self._release,
            "server_state": self._mode,
            "ephemerals_count": sum(map(len, tree.ephemerals.values())),
            "num_alive_connections": len(self._live),
            "avg_latency": 0.0,
            "outstanding_requests": 0,
            "znode_count": len(tree.nodes),
            "global_sessions": len(server.sessions.alive),
            "packets_sent": server.sent,
            "packets_received": server.received,
            "watch_count": server.replica.watches.count(),
            "min_latency": 0,
            "approximate_data_size": sum(
                len(path.encode()) + len(node.data or b"") for path, node in tree.nodes.items()
            ),
            "local_sessions": 0,
            "max_latency": 0,
        }
        yield from (f"zk_{name}\t{value}" for name, value in values.items())

    def _cons(self) -> Iterator[str]:
        yield from (_describe(connection, brief=False) for connection in self._live)
        yield ""

    def _conf(self) -> Iterator[str]:
        sessions = self._server.sessions
        shortest, longest = sessions.limits
        yield f"clientPort={self._server.port}"
        yield "secureClientPort=-1"
        yield f"tickTime={sessions.tick * 1000:.0f}"
        yield "maxClientCnxns=0"
        yield f"minSessionTimeout={shortest * 1000:.0f}"
        yield f"maxSessionTimeout={longest * 1000:.0f}"
        yield "serverId=0"

    def _envi(self) -> Iterator[str]:
        # There are no Java properties to show.
        yield "Environment:"
        yield f"zookeeper.version={self._release}"

    def _dump(self) -> Iterator[str]:
        alive = sorted(self._server.sessions, key=lambda session: session.deadline)
        sets = [(deadline, list(group)) for deadline, group in groupby(alive, lambda session: session.deadline)]
        yield "SessionTracker dump:"
        yield f"Session Sets ({len(sets)})/({len(alive)}):"
        for deadline, group in sets:
            yield f"{len(group)} expire at {_date(deadline)}:"
            yield from (f"\t{session.id:#x}" for session in group)
        ephemerals = self._server.replica.tree.ephemerals
        yield "ephemeral nodes dump:"
        yield f"Sessions with Ephemerals ({len(ephemerals)}):"
        for session_id, paths in ephemerals.items():
            yield f"{session_id:#x}:"
            yield from (f"\t{path}" for path in paths)
        yield "Connections dump:"
        yield f"Connections Sets (1)/({len(self._live)}):"
        for connection in self._live:
            yield f"\tip: /{connection.peer} sessionId: {connection.client.session_id:#x}"

    # As in DataTree, these show the data watches only, which include all persistent watches.

    def _wchs(self) -> Iterator[str]:
        table = self._server.replica.watches.data
        yield f"{len(table.by_watcher)} connections watching {len(table.by_path)} paths"
        yield f"Total watches:{table.count()}"

    def _wchc(self) -> Iterator[str]:
        for watcher, paths in self._server.replica.watches.data.by_watcher.items():
            yield f"{watcher.session_id:#x}"
            yield from (f"\t{path}" for path in paths)
        yield ""

    def _wchp(self) -> Iterator[str]:
        for path, watchers in self._server.replica.watches.data.by_path.items():
            yield path
            yield from (f"\t{watcher.session_id:#x}" for watcher in watchers)
        yield ""


def _describe(connection: Connection, *, brief: bool) -> str:
    client = connection.client
    stats = client.stats
    # In brackets are the selector's interest operations: none for the connection that sent the word.
    waiting = 1 if client.session_id else 0
    text = f" /{connection.peer}[{waiting}](queued=0,recved={stats.received},sent={stats.sent}"
    if not brief and client.session_id:
        xid = f",lcxid={stats.last_xid:#x}" if stats.last_xid >= 0 else ""
        text += (
            f",sid={client.session_id:#x},lop={stats.last_operation},est={stats.established}"
            f",to={client.session_timeout}{xid},lzxid={stats.last_zxid:#x},lresp={stats.last_reply}"
            ",llat=0,minlat=0,avglat=0,maxlat=0"
        )
    return text + ")"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%a %b %d %H:%M:%S UTC %Y")
