"""The faults of a storm, which are chosen at random, last for a while, and are all over in the end."""

from __future__ import annotations

import enum
import gc
from collections.abc import Callable, Collection, Sequence
from random import Random

from txmirror.embedded import Fault as PlannedFault
from txmirror.embedded import Snapshot
from txmirror.embedded.server import Server
from txmirror.errors import SystemErrorException, UnknownServerException
from txmirror.testing.network import Link
from txmirror.testing.storm.journal import Journal
from txmirror.testing.world import World

#: The zxid of the first data generation, and the distance between two generations. If new data had more transactions than a client
#: has seen of the former data, no client could notice that it was replaced.
_FIRST_ZXID = 1 << 40
_DISTANCE = 1 << 32
#: The zxid grows by so much at a snapshot, as at the election of a leader.
_EPOCH = 1 << 24
_REQUESTS = (
    "create",
    "delete",
    "exists",
    "get",
    "get_children",
    "set",
    "sync",
    "transaction",
    "get_many",
    "set_watches",
    "add_watch",
    "remove_watches",
    "ping",
    "close",
)
_ERRORS = {
    "system error": SystemErrorException(),
    "connection loss": UnknownServerException(-4),
    "unknown": UnknownServerException(-200),
}


class FaultKind(enum.Enum):
    """The kinds of faults."""

    CUT = "a connection breaks"
    CUT_LATER = "a connection breaks after a number of bytes"
    HALF_CLOSE = "one side closes its half of a connection"
    STALL = "a connection delivers nothing, in one direction or both"
    AWAY = "connections to an address break, and new ones get no answer"
    BLACK_HOLE = "new connections to an address get no answer"
    LOSE_REQUEST = "a server closes the connection in place of a request"
    LOSE_REPLY = "a server closes the connection in place of a reply"
    DELAY = "a server executes a request later"
    REFUSE = "a server replies with an error"
    EXPIRE = "a session expires at the servers"
    KILL = "a server stops"
    LAG = "a server lags behind"
    PARTITION = "a server loses its quorum"
    PIECES = "data arrives in small pieces"
    BUSY = "all programs are busy for a while, and their timers are late"
    WIPE = "all data is lost"
    RESTORE = "the data is restored from a snapshot"
    COLLECT = "the garbage is collected"


#: How likely each kind is, relative to the others.
_WEIGHTS = {
    FaultKind.CUT: 10,
    FaultKind.CUT_LATER: 10,
    FaultKind.HALF_CLOSE: 3,
    FaultKind.STALL: 8,
    FaultKind.AWAY: 8,
    FaultKind.BLACK_HOLE: 3,
    FaultKind.LOSE_REQUEST: 6,
    FaultKind.LOSE_REPLY: 8,
    FaultKind.DELAY: 5,
    FaultKind.REFUSE: 3,
    FaultKind.EXPIRE: 3,
    FaultKind.KILL: 6,
    FaultKind.LAG: 8,
    FaultKind.PARTITION: 3,
    FaultKind.PIECES: 3,
    FaultKind.BUSY: 2,
    FaultKind.WIPE: 0.2,
    FaultKind.RESTORE: 0.2,
    FaultKind.COLLECT: 2,
}


class Weather:
    """The faults of one storm.

    :param world: the world.
    :param random: chooses.
    :param journal: notes each fault.
    :param kinds: the kinds of faults to choose from.
    :param spared: returns the sessions that must not expire while their clients may rely on them.
    :ivar count: the number of faults so far.
    """

    def __init__(
        self,
        world: World,
        random: Random,
        journal: Journal,
        kinds: Collection[FaultKind],
        spared: Callable[[], Collection[int]],
    ) -> None:
        self.count = 0
        self._world = world
        self._random = random
        self._journal = journal
        self._spared = spared
        chosen = [kind for kind in FaultKind if kind in kinds]
        self._kinds, self._weights = chosen, [_WEIGHTS[kind] for kind in chosen]
        #: The faults that last, each with the function that ends it.
        self._lasting: list[tuple[str, Callable[[], object]]] = []
        self._planned: list[PlannedFault] = []
        self._data = Data(world)
        #: The addresses that programs have used, in the order of their first use.
        self._hosts: dict[str, None] = {}
        self._ports = [int(server.address.rpartition(":")[2]) for server in world.servers]

    def strike(self) -> None:
        """Let one fault happen, or end one that lasts."""
        for link in self._world.reactor.links:
            self._hosts.setdefault(link.server_address.host)
        lasting = self._lasting
        if not self._kinds or (lasting and self._random.random() < len(lasting) / (len(lasting) + 3)):
            if lasting:
                name, end = lasting.pop(self._random.randrange(len(lasting)))
                self._journal.note("weather", f"over: {name}")
                end()
            return
        kind = self._random.choices(self._kinds, self._weights)[0]
        detail = _ACTIONS[kind](self)
        if detail is not None:
            self.count += 1
            self._journal.note("weather", f"{kind.name} {detail}")

    def heal(self) -> None:
        """End all faults."""
        self._journal.note("weather", "all faults are over")
        while self._lasting:
            self._lasting.pop()[1]()
        for planned in self._planned:
            planned.cancel()
        self._planned.clear()
        world = self._world
        world.reactor.piece = None
        for link in list(world.reactor.links):
            link.resume()
            if link.client.allowed is not None or link.server.allowed is not None:
                # A cut that is still to come comes now.
                link.cut()
        world.settle()

    # The network.

    def _link(self) -> Link | None:
        links = self._world.reactor.links
        return self._random.choice(links) if links else None

    def _cut(self) -> str | None:
        link = self._link()
        if link is not None:
            link.cut()
        return _name(link)

    def _cut_later(self) -> str | None:
        link = self._link()
        if link is None:
            return None
        size = self._random.choice((self._random.randrange(60), self._random.randrange(400)))
        if self._random.random() < 0.6:
            link.cut_after(to_client=size)
            return f"{_name(link)} after {size} bytes to the client"
        link.cut_after(to_server=size)
        return f"{_name(link)} after {size} bytes to the server"

    def _half_close(self) -> str | None:
        link = self._link()
        if link is None:
            return None
        by_client = self._random.random() < 0.5
        (link.client if by_client else link.server).loseWriteConnection()
        return f"{_name(link)} by the {'client' if by_client else 'server'}"

    def _stall(self) -> str | None:
        link = self._link()
        if link is None:
            return None
        to_client, to_server = self._random.choice(((True, True), (True, False), (False, True)))
        link.stall(to_client=to_client, to_server=to_server)
        text = f"{_name(link)}, to the client: {to_client}, to the server: {to_server}"
        self._lasting.append((f"STALL {text}", link.resume))
        return text

    def _host(self) -> str:
        return self._random.choice([*self._hosts, "127.0.0.1"])

    def _black_hole(self) -> str:
        host = self._host()
        # Of some servers, or of all.
        ports = self._random.choice((self._ports, [self._random.choice(self._ports)]))
        for port in ports:
            self._world.reactor.black_hole(host, port)

        def end() -> None:
            for port in ports:
                self._world.reactor.undo_black_hole(host, port)

        self._lasting.append((f"BLACK_HOLE {host} {ports}", end))
        return f"{host} {ports}"

    def _away(self) -> str:
        host = self._host()
        for port in self._ports:
            self._world.reactor.black_hole(host, port)
        silently = self._random.random() < 0.3
        for link in list(self._world.reactor.links):
            if link.server_address.host == host:
                link.stall() if silently else link.cut()

        def end() -> None:
            for port in self._ports:
                self._world.reactor.undo_black_hole(host, port)
            for link in list(self._world.reactor.links):
                if link.server_address.host == host:
                    link.resume()

        self._lasting.append((f"AWAY {host}", end))
        return f"{host}{' silently' if silently else ''}"

    def _pieces(self) -> str:
        size = self._random.choice((1, 3, 20, 100))
        self._world.reactor.piece = size

        def end() -> None:
            self._world.reactor.piece = None

        self._lasting.append((f"PIECES {size}", end))
        return f"{size} bytes"

    # The servers.

    def _server(self) -> Server:
        return self._random.choice(self._world.servers)

    def _plan(self, plan: Callable[[Server, str], PlannedFault]) -> str:
        server, kind = self._server(), self._random.choice(_REQUESTS)
        self._planned.append(plan(server, kind))
        return f"{kind} at {server.address}"

    def _lose_request(self) -> str:
        return self._plan(Server.lose_request)

    def _lose_reply(self) -> str:
        return self._plan(Server.lose_reply)

    def _delay(self) -> str:
        seconds = self._random.choice((0.01, 0.2, 1.0, 3.0))
        return f"{seconds} s " + self._plan(lambda server, kind: server.delay_next(kind, seconds))

    def _refuse(self) -> str:
        name = self._random.choice(list(_ERRORS))

        def plan(server: Server, kind: str) -> PlannedFault:
            # A client whose watches are not set again reports that by the error.
            return server.fail_next(kind, _ERRORS["system error" if kind == "set_watches" else name])

        return f"{name}: {self._plan(plan)}"

    def _expire(self) -> str | None:
        spared = self._spared()
        sessions = [session for session in self._data.sessions() if session not in spared]
        if not sessions:
            return None
        session = self._random.choice(sessions)
        self._world.server.expire_session(session)
        return f"{session:#x}"

    def _kill(self) -> str | None:
        server = self._server()
        if not server.listening:
            return None
        port = self._ports[self._world.servers.index(server)]
        server.stop_listening().addErrback(lambda _: None)

        def start() -> None:
            if not server.listening:
                server.listen(port)

        self._lasting.append((f"KILL {server.address}", start))
        return server.address

    def _lag(self) -> str | None:
        server = self._server()
        if server.lagging:
            return None
        server.lag()

        def catch_up() -> None:
            if server.lagging and server.has_quorum:
                server.catch_up()

        self._lasting.append((f"LAG {server.address}", catch_up))
        return server.address

    def _partition(self) -> str | None:
        server = self._server()
        if not server.has_quorum:
            return None
        read_only = self._random.random() < 0.3
        server.lose_quorum(read_only=read_only)

        def regain() -> None:
            if not server.has_quorum:
                server.regain_quorum()

        self._lasting.append((f"PARTITION {server.address}", regain))
        return f"{server.address}{', read-only' if read_only else ''}"

    # Data and time.

    def _wipe(self) -> str:
        self._data.wipe()
        return ""

    def _restore(self) -> str:
        return self._data.restore_or_remember()

    def _busy(self) -> str:
        seconds = self._random.choice((0.5, 2.0, 5.0))
        self._world.reactor.rightNow += seconds
        return f"{seconds} s"

    def _collect(self) -> str:
        gc.collect()
        return ""


class Data:
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

    def sessions(self) -> Sequence[int]:
        """Return the ids of the live sessions, the oldest first."""
        return [session.id for session in self._state.sessions]

    def wipe(self) -> None:
        """Delete all data and sessions."""
        self._state.wipe()
        self._level -= _DISTANCE
        self._state.database.tree.zxid = self._level
        self._remember()

    def restore_or_remember(self) -> str:
        """Restore the snapshot, or make a new one if there is none of this generation."""
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


_ACTIONS: dict[FaultKind, Callable[[Weather], str | None]] = {
    FaultKind.CUT: Weather._cut,
    FaultKind.CUT_LATER: Weather._cut_later,
    FaultKind.HALF_CLOSE: Weather._half_close,
    FaultKind.STALL: Weather._stall,
    FaultKind.AWAY: Weather._away,
    FaultKind.BLACK_HOLE: Weather._black_hole,
    FaultKind.LOSE_REQUEST: Weather._lose_request,
    FaultKind.LOSE_REPLY: Weather._lose_reply,
    FaultKind.DELAY: Weather._delay,
    FaultKind.REFUSE: Weather._refuse,
    FaultKind.EXPIRE: Weather._expire,
    FaultKind.KILL: Weather._kill,
    FaultKind.LAG: Weather._lag,
    FaultKind.PARTITION: Weather._partition,
    FaultKind.PIECES: Weather._pieces,
    FaultKind.BUSY: Weather._busy,
    FaultKind.WIPE: Weather._wipe,
    FaultKind.RESTORE: Weather._restore,
    FaultKind.COLLECT: Weather._collect,
}


def _name(link: Link | None) -> str:
    return (
        "" if link is None else f"{link.client_address.port} to {link.server_address.host}:{link.server_address.port}"
    )
