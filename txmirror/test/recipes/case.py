"""The base of the tests of recipes: a world in memory with several clients."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import ClosingException
from txmirror.interfaces import IZooKeeperClient
from txmirror.recipes import Lock
from txmirror.recipes.acquirable import Acquirable
from txmirror.testing import World
from txmirror.wire import Operation

#: The session timeout of these tests, in seconds.
S = 6.0


class Counts:
    """An ``IMetrics`` that counts a client's requests by their operation."""

    def __init__(self) -> None:
        self.sent_operations: list[str] = []

    def sent(self, operation: str, size: int) -> None:
        self.sent_operations.append(operation)

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None: ...
    def lost(self, operation: str, seconds: float) -> None: ...
    def received(self, size: int) -> None: ...
    def connected(self, event: Any) -> None: ...
    def disconnected(self, event: Any) -> None: ...

    def take(self) -> list[str]:
        """Return the requests since the last call, without pings."""
        taken, self.sent_operations = self.sent_operations, []
        return [operation for operation in taken if operation != Operation.PING.name]


class RecipeCase(SynchronousTestCase):
    """Tests in a :class:`World`, where nothing may be left after each: no timers, no connections, no nodes of ours."""

    path = "/locks/one"
    limits: Limits | None = None
    """The limits of the clients."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self._begun: list[Deferred[Any]] = []
        self.addCleanup(self._forget)
        self.settle = self.world.settle
        self.pass_time = self.world.pass_time
        self.done = self.world.result
        self.server = self.world.server
        self.observer = self.world.client(session_timeout=S)

    def client(self, **options: Any) -> ZooKeeperClient:
        """Make a client that is connected."""
        return self.world.client(**{"session_timeout": S, "limits": self.limits, **options})

    def lock(self, client: IZooKeeperClient | None = None, kind: type[Any] | None = None, **options: Any) -> Any:
        """Make a lock, or another kind of thing, for a client of its own unless one is given."""
        made: Any = Lock if kind is None else kind
        return made(client or self.client(), self.path, **{"reactor": self.world.reactor, **options})

    def nodes(self, path: str | None = None) -> list[str]:
        """Return the names of the children of the lock's node."""
        names: list[str] = self.done(self.observer.get_children(path or self.path))
        return sorted(names)

    def assert_clear(self) -> None:
        """Nobody stands in line, at a lock nor at a semaphore."""
        for path in (self.path, f"{self.path}-__lock__"):
            if self.done(self.observer.exists(path)) is not None:
                self.assertEqual(self.nodes(path), [])

    def begin(self, claim: Acquirable, **options: Any) -> Deferred[bool]:
        """Begin to acquire something, for which the test may not wait to the end; and settle."""
        acquired = claim.acquire(**options)
        self._begun.append(acquired)
        self.settle()
        return acquired

    def _forget(self) -> None:
        for acquired in self._begun:
            acquired.addErrback(lambda failure: failure.trap(ClosingException, CancelledError))

    def waiting(self, acquired: Deferred[Any]) -> Deferred[Any]:
        """Settle, and see that a Deferred has not fired."""
        self._begun.append(acquired)
        self.settle()
        self.assertNoResult(acquired)
        return acquired

    def assert_cancelled(self, acquired: Deferred[Any]) -> None:
        self.failureResultOf(acquired, CancelledError)

    def held(self, *claims: Acquirable) -> list[bool]:
        return [claim.held for claim in claims]

    def drop(self, client: ZooKeeperClient) -> None:
        """Break a client's connection."""
        self.server.connection_of(client.session_id).drop()

    def expire(self, client: ZooKeeperClient) -> None:
        """Expire a client's session, and give it the time to open the next."""
        session = client.session_id
        self.server.expire_session(session)
        self.pass_time(1.0)
        self.assertNotIn(client.session_id, (0, session))

    def cut_off(self, client: ZooKeeperClient) -> None:
        """From now on nothing passes between a client and the server, and neither knows."""
        self.server.connection_of(client.session_id).stall()

    def keep_away(self, client: ZooKeeperClient) -> None:
        """Break a client's connection, and let nobody connect until :meth:`let_in`."""
        self.world.reactor.black_hole(*self._address)
        self.drop(client)
        self.settle()

    def let_in(self) -> None:
        """Let clients connect again, and give them the time to do so: less than a session's timeout."""
        self.world.reactor.undo_black_hole(*self._address)
        self.pass_time(2.5)

    @property
    def _address(self) -> tuple[str, int]:
        host, _, port = self.server.address.rpartition(":")
        return host, int(port)

    def watches(self) -> int:
        """Return the number of watches at the server."""
        return self.server._replica.watches.count()
