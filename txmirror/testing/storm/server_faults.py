"""Faults of the servers, and of single requests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random

from txmirror.embedded import Fault as PlannedFault
from txmirror.embedded.server import Server
from txmirror.errors import SystemErrorException, UnknownServerException
from txmirror.testing.storm.faults import Lasting, ports_of
from txmirror.testing.world import World

#: The kinds of requests; the first ones are the most likely.
_OFTEN = ("create", "delete", "get", "set", "create", "set")
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


class ServerFaults:
    """Faults of the servers. Each method returns a description, or None if nothing has happened.

    :param world: the world.
    :param random: chooses.
    :param lasting: the faults that last, each with the function that ends it.
    """

    def __init__(self, world: World, random: Random, lasting: Lasting) -> None:
        self._world = world
        self._random = random
        self._lasting = lasting
        self._planned: list[PlannedFault] = []
        self._ports = ports_of(world)

    def _server(self) -> Server:
        return self._random.choice(self._world.servers)

    def _plan(self, plan: Callable[[Server, str], PlannedFault]) -> str:
        server = self._server()
        kind = self._random.choice(self._random.choice((_OFTEN, _REQUESTS)))
        self._planned.append(plan(server, kind))
        return f"{kind} at {server.address}"

    def lose_request(self) -> str:
        """Plan the loss of a request."""
        return self._plan(Server.lose_request)

    def lose_reply(self) -> str:
        """Plan the loss of a reply."""
        return self._plan(Server.lose_reply)

    def delay(self) -> str:
        """Plan the delay of a request."""
        seconds = self._random.choice((0.01, 0.2, 1.0, 3.0))
        return f"{seconds} s " + self._plan(lambda server, kind: server.delay_next(kind, seconds))

    def refuse(self) -> str:
        """Plan an error."""
        name = self._random.choice(list(_ERRORS))

        def plan(server: Server, kind: str) -> PlannedFault:
            # A client whose watches are not set again reports that by the error.
            return server.fail_next(kind, _ERRORS["system error" if kind == "set_watches" else name])

        return f"{name}: {self._plan(plan)}"

    def expire(self, spared: Collection[int]) -> str | None:
        """Expire a session that is not spared."""
        sessions = [session.id for session in self._world.server._state.sessions if session.id not in spared]
        if not sessions:
            return None
        session = self._random.choice(sessions)
        self._world.server.expire_session(session)
        return f"{session:#x}"

    def kill(self) -> str | None:
        """Stop a server."""
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

    def lag(self) -> str | None:
        """Let a server lag behind."""
        server = self._server()
        if server.lagging:
            return None
        server.lag()

        def catch_up() -> None:
            if server.lagging and server.has_quorum:
                server.catch_up()

        self._lasting.append((f"LAG {server.address}", catch_up))
        return server.address

    def partition(self) -> str | None:
        """Let a server lose its quorum, or all servers."""
        servers = [self._server()] if self._random.random() < 0.7 else self._world.servers
        return self._cut_off(servers, read_only=self._random.random() < 0.5)

    def begin_read_only(self) -> str | None:
        """Let all servers be without a quorum from the beginning, when clients may take a session with a read-only server."""
        return self._cut_off(self._world.servers, read_only=True)

    def _cut_off(self, servers: Sequence[Server], *, read_only: bool) -> str | None:
        cut_off = [server for server in servers if server.has_quorum]
        for server in cut_off:
            self._lose_quorum(server, read_only=read_only)
        addresses = ", ".join(server.address for server in cut_off)
        return f"{addresses}{', read-only' if read_only else ''}" if cut_off else None

    def _lose_quorum(self, server: Server, *, read_only: bool) -> None:
        server.lose_quorum(read_only=read_only)

        def regain() -> None:
            if not server.has_quorum:
                server.regain_quorum()

        self._lasting.append((f"PARTITION {server.address}", regain))

    def heal(self) -> None:
        """Cancel all faults of single requests."""
        for planned in self._planned:
            planned.cancel()
        self._planned.clear()
