"""Everything that can be closed is closed at every moment of its life: in bounded time, without a complaint, and nothing is left.

A life is scripted: something begins, is used, loses its connection and its session, and finds its server gone and back
again. It is lived once for each call of the reactor that it consists of, each time one call longer, and then something
is closed. Of long lives that is done after every fifth call; in the profiles "few" and "quick" of hypothesis, less often.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Limits, ZooKeeperClient
from txmirror.configuration import Configuration, from_options
from txmirror.errors import ZooKeeperException
from txmirror.interfaces import IChroot
from txmirror.mirror import Mirror
from txmirror.recipes import (
    Barrier,
    Counter,
    DoubleBarrier,
    Election,
    Lock,
    LockingQueue,
    Members,
    Party,
    Queue,
    ReadLock,
    Semaphore,
)
from txmirror.registry import Registration, ServiceRegistry
from txmirror.service import RegistrationService
from txmirror.test.compat.test_feed import Bare
from txmirror.test.hypothesis_profiles import stride
from txmirror.test.models import record_complaints, run_next
from txmirror.testing import World

#: The session timeout of these tests, in seconds.
S = 4.0
#: How long clients may take to close where no server can be reached, in seconds.
_CLOSE_TIME = 3.0
#: How long it takes at most while a server can be reached, in seconds: one more connection after the longest pause.
_QUICKLY = 1.0
#: What else is waited for where none can be reached: registrations are withdrawn, and the cache file is written.
_AT_MOST = _CLOSE_TIME + 2.5
#: How many calls of the reactor it takes at most, idle ones while time goes by among them.
_CALLS = 400

#: Warnings that are about what the script does, and not about the closing.
_EXPECTED = (
    "Could not connect to",
    "Disconnected from",
    "Closing the connection from",
    "Session 0x",
    "Out of contact for",
    "ZooKeeper is out of reach",
    "ZooKeeper at ",
    "/services/web/a is ",
    "/data could not be written: ZooKeeper at",
    "Not all registrations and locks could be withdrawn: it took longer than",
)
#: What a client warns of once, at a server that does not know an operation.
_OLD_SERVER = " does not support "


class _Life(World):
    """A world in which something lives, and can be closed.

    :ivar asked: the Deferreds of the script's calls, which must have a result once the thing is closed.
    """

    limits = Limits(close_time=_CLOSE_TIME)
    at_most = _AT_MOST
    """The longest time that closing may take without a server, in seconds."""
    version = "3.8"
    """The server's."""
    every = 1
    """The steps between the moments at which it is closed: 1 for each moment, 5 in a long life."""
    client_lives_on = False
    """True if a client that is not closed may still send the requests."""

    def __init__(self) -> None:
        super().__init__(version=self.version)
        self.address = self.server.address
        self.port = int(self.address.rpartition(":")[2])
        self.asked: list[Deferred[Any]] = []
        self.outcomes: list[Any] = []
        self.other = self.client(limits=self.limits, session_timeout=S)
        for path in ("/data", "/services", "/services/web", "/services/web/b"):
            self.result(self.other.create(path))
        self._script = self._live()
        self._services: list[Service] = []

    # What a subclass says.

    def begin(self) -> None:
        """Make the thing to close, and use it."""
        raise NotImplementedError

    def use(self) -> None:
        """Use it again."""

    def shut(self) -> Deferred[Any]:
        """Close it."""
        raise NotImplementedError

    def shut_rest(self) -> Deferred[Any]:
        """Close the rest at the end."""
        return succeed(None)

    # What is done with it.

    def step(self) -> bool:
        """Advance the script by one call of the reactor or one action; return whether anything was left to do."""
        return next(self._script, self) is None

    def ask(self, *asked: Deferred[Any]) -> None:
        """Note that these Deferreds must have a result."""
        for each in asked:
            self.asked.append(each)
            each.addBoth(self.outcomes.append)

    def make_client(self, **options: Any) -> ZooKeeperClient:
        """Make a client that is about to connect."""
        client = self.client(connect=False, session_timeout=S, limits=self.limits, **options)
        self.ask(client.connect())
        return client

    def make_mirror(self) -> Mirror:
        """Make a mirror with a client of its own, and use it."""
        mirror = Mirror(self.address, session_timeout=S, limits=self.limits, reactor=self.reactor)
        self.ask(mirror.connect())
        return mirror

    def close(self) -> None:
        self._finish(self.shut_rest())
        self._finish(gatherResults([client.close() for client in self._clients]))
        # Only the server can end a session that could not be ended there, or of which the client never knew.
        self.start_server()
        if self.server.sessions:
            self.pass_time(2 * S)
        assert not self.server.sessions, f"sessions are left: {self.server.sessions}"
        super().close()

    def _finish(self, closed: Deferred[Any]) -> None:
        end = self.reactor.seconds() + 2 * _AT_MOST
        while not closed.called and self.reactor.seconds() <= end:
            run_next(self.reactor)
        self.result(closed)

    def start_server(self) -> None:
        """Let the server be there, if it is not."""
        if not self.server.listening:
            self.server.listen(self.port)

    def _live(self) -> Iterator[None]:
        self.begin()
        yield
        yield from self._turns()
        for done in (self.other.set("/data", b"changed"), self.other.create("/services/web/c", ephemeral=True)):
            done.addErrback(lambda _: None)
        yield from self._turns()
        self.use()
        yield from self._turns()
        self.server.drop_connections()
        yield from self._pass(1.0)
        self.use()
        for session_id in self.server.sessions - {self.other.session_id}:
            self.server.expire_session(session_id)
        yield from self._pass(1.0)
        self.use()
        self.server.stop_listening()
        yield from self._pass(1.0)
        self.use()
        yield from self._turns()
        self.start_server()
        yield from self._pass(1.0)
        self.use()
        yield from self._turns()

    def _turns(self) -> Iterator[None]:
        calls = self.reactor.calls
        while calls and calls[0].getTime() <= self.reactor.seconds():
            self.reactor.take_turns(1)
            yield
        yield

    def _pass(self, seconds: float) -> Iterator[None]:
        calls, end = self.reactor.calls, self.reactor.seconds() + seconds
        while calls and calls[0].getTime() <= end:
            run_next(self.reactor)
            yield
        self.reactor.rightNow = end


class _ClientLife(_Life):
    """A client that reads, writes and watches."""

    def begin(self) -> None:
        self.it = self.make_client()
        self.ask(self.it.add_auth("digest", b"a:b"), self.it.when_connected(), self.it.add_watch("/", recursive=True))
        self.use()

    def use(self) -> None:
        client = self.it
        transaction = client.transaction()
        transaction.check("/data", 0)
        self.ask(
            *self.watched(client.get_and_watch("/data")),
            *self.watched(client.exists_and_watch("/none")),
            client.create("/services/web/d", ephemeral=True),
            client.get_many(["/", "/data"]),
            client.set_watches(1, ["/data"], ["/none"], ["/"]),
            client.sync("/"),
            client.when_lease_expires(),
            transaction.commit(),
        )

    def watched(self, pair: tuple[Deferred[Any], Deferred[Any]]) -> tuple[Deferred[Any], ...]:
        """Return the Deferreds that must fire: a watch whose request has failed never does."""
        answer, watch = pair
        watch.addErrback(lambda _: None)
        return (answer,)

    def shut(self) -> Deferred[Any]:
        return self.it.close()


class _LeavingLife(_ClientLife):
    """A client that leaves its session to another."""

    def shut(self) -> Deferred[Any]:
        return self.it.leave().addCallback(self._left)

    def _left(self, ticket: Any) -> None:
        self.ticket = ticket

    def shut_rest(self) -> Deferred[Any]:
        self.start_server()
        if getattr(self, "ticket", None) is None:
            return succeed(None)
        heir = self.client(connect=False, session=self.ticket, session_timeout=S, limits=self.limits)
        heir.connect().addErrback(lambda _: None)
        self.pass_time(2.0)
        return heir.close()


class _MirrorLife(_Life):
    """A mirror with nodes, views and trees."""

    every = 5

    def begin(self) -> None:
        self.it = self.make_mirror()
        self._fill()

    def _fill(self) -> None:
        self.view = self.it.chroot("/services") if IChroot.providedBy(self.it.client) else self.it
        self.nodes = [self.it.get("/data"), self.it.get("/none"), self.view.get("/web")]
        for node in self.nodes:
            node.addValueWatcher(self, lambda value: None)
            node.addChildWatcher(self, lambda names: None)
        self.trees = [self.it.tree("/"), self.view.tree("/web"), self.it.tree("/none")]
        for tree in self.trees:
            tree.watch(lambda change: None)
            self.ask(tree.ready())
        self.ask(self.it._engine.when_closed())
        self.use()

    def use(self) -> None:
        self.ask(
            *(node.value(timeout=None) for node in self.nodes),
            *(node.value(timeout=None, fresh=True) for node in self.nodes),
            *(node.children(timeout=None) for node in self.nodes),
            *(tree.caught_up() for tree in self.trees),
            self.it.get("/data").set(b"ours", -1),
            self.it.create_r("/made/by/us", b""),
            self.it.ensure_exists("/made/too"),
            self.it.get("/made").delete(recursive=True),
            self.it.get_json("/counter").update(lambda count: (count or 0) + 1),
            Deferred.fromCoroutine(self._next_value()),
        )

    async def _next_value(self) -> Any:
        values = self.it.get("/data").values()
        async for _ in values:
            break
        return await anext(values, None)

    def shut(self) -> Deferred[Any]:
        return self.it.close()


class _OldServerLife(_MirrorLife):
    """A mirror at a server that has one-shot watches only."""

    version = "3.4"


class _GivenMirrorLife(_MirrorLife):
    """A mirror on a client that lives on."""

    client_lives_on = True

    def begin(self) -> None:
        self.given = self.make_client()
        self.it = Mirror(client=self.given, reactor=self.reactor)
        self._fill()


class _PlainMirrorLife(_GivenMirrorLife):
    """A mirror on a client whose feed is built from single watches, and that lives on."""

    def begin(self) -> None:
        self.given = self.make_client()
        self.it = Mirror(client=Bare(self.given), reactor=self.reactor)
        self._fill()


class _ClientOfMirrorLife(_GivenMirrorLife):
    """A mirror whose client is closed."""

    client_lives_on = False

    def shut(self) -> Deferred[Any]:
        return self.given.close()

    def shut_rest(self) -> Deferred[Any]:
        return self.it.close()


class _ClosedTwiceLife(_GivenMirrorLife):
    """A client and a mirror that are closed at once, as the command does it."""

    client_lives_on = False

    def shut(self) -> Deferred[Any]:
        return gatherResults([self.given.close(), self.it.close()])


class _ViewLife(_MirrorLife):
    """A view of a mirror, which lives on."""

    client_lives_on = True

    def use(self) -> None:
        node = self.view.get("/web")
        self.ask(node.value(timeout=None), node.children(timeout=None, fresh=True), node.set(b"", -1))
        self.ask(self.view.create_r("/made/by/us"), self.view.get("/made").delete(recursive=True))

    def _fill(self) -> None:
        self.view = self.it.chroot("/services")
        self.view.get("/web").addValueWatcher(self, lambda value: None)
        self.ask(self.view.tree("/").ready(), self.view.tree("/web").ready(), self.view._engine.when_closed())
        self.it.tree("/services/web")
        self.use()

    def shut(self) -> Deferred[Any]:
        return self.view.close()

    def shut_rest(self) -> Deferred[Any]:
        self.start_server()
        return self.it.close()


class _TreeLife(_MirrorLife):
    """A tree of a mirror, which lives on."""

    every = 1
    client_lives_on = True

    def _fill(self) -> None:
        self.tree = self.it.tree("/services")
        self.it.get("/services/web").addChildWatcher(self, lambda names: None)
        self.ask(self.tree.ready())

    def use(self) -> None:
        self.ask(self.tree.caught_up())

    def shut(self) -> Deferred[Any]:
        return maybeDeferred(self.tree.close)

    def shut_rest(self) -> Deferred[Any]:
        self.start_server()
        return self.it.close()


class _RegistryLife(_Life):
    """A registry that registers, writes, finds and locks."""

    every = 5
    lazy = False

    def make(self) -> ServiceRegistry[Any]:
        return self.make_registry(server=self.address)

    def make_registry(self, **options: Any) -> ServiceRegistry[Any]:
        options.setdefault("lazy", self.lazy)
        return ServiceRegistry(timeout=S, reactor=self.reactor, **options)

    def begin(self) -> None:
        self.it = self.make()
        self.ask(self.it.start())
        self.use()

    def use(self) -> None:
        registry = self.it
        if registry._connections.stopped:
            return
        self.ask(
            registry.set_node("/services/web/a", {"port": 80}),
            registry.set_data("/data", {"b": "c"}),
            registry.get("/services/web", lambda answer: None),
            registry.get_state(lambda connected: None),
            registry.acquire_lock(f"/locks/{len(self.asked)}", wait=5.0),
            registry.unset("/services/web/b"),
        )

    def shut(self) -> Deferred[Any]:
        return self.it.stop()


class _LazyRegistryLife(_RegistryLife):
    """A registry that goes on without ZooKeeper."""

    lazy = True


class _SlowRegistryLife(_RegistryLife):
    """A registry that may write twice a second only, and keeps a cache file."""

    lazy = True

    def make(self) -> ServiceRegistry[Any]:
        self.folder = Path(tempfile.mkdtemp())
        return self.make_registry(
            server=self.address, cachefile=str(self.folder / "cache"), rate_limit_calls=2, rate_limit_time=1.0
        )

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.folder)


class _MirrorOfRegistryLife(_RegistryLife):
    """A registry whose mirror was given, and is closed."""

    def make(self) -> ServiceRegistry[Any]:
        self.its_mirror = self.make_mirror()
        return self.make_registry(mirror=self.its_mirror)

    def shut(self) -> Deferred[Any]:
        return self.its_mirror.close()

    def shut_rest(self) -> Deferred[Any]:
        return self.it.stop()


class _RegistryOnMirrorLife(_MirrorOfRegistryLife):
    """A registry whose mirror was given, and lives on."""

    client_lives_on = True

    def shut(self) -> Deferred[Any]:
        return self.it.stop()

    def shut_rest(self) -> Deferred[Any]:
        self.start_server()
        return self.its_mirror.close()


class _RegistrationLife(_Life):
    """A registration on a mirror, which lives on."""

    client_lives_on = True

    def begin(self) -> None:
        self.its_mirror = self.make_mirror()
        self.it = Registration(self.its_mirror, "/services/web/a", {"port": 80})
        self.it.start()
        self.use()

    def use(self) -> None:
        self.ask(self.it.when_registered(), self.it.keep({"port": 80, "time": self.reactor.seconds()}))

    def shut(self) -> Deferred[Any]:
        stopped: Deferred[Any] = self.it.stop()
        if not self.server.listening:
            # It waits for the server.
            self.reactor.callLater(_CLOSE_TIME - 1.0, self.start_server)
        return stopped

    def shut_rest(self) -> Deferred[Any]:
        return self.its_mirror.close()


class _MirrorOfRegistrationLife(_RegistrationLife):
    """A registration whose mirror is closed."""

    client_lives_on = False

    def shut(self) -> Deferred[Any]:
        return gatherResults([self.its_mirror.close(), self.it.stop()])


class _LockLife(_Life):
    """A lock, which another contender holds at times."""

    client_lives_on = True

    def make(self) -> Any:
        return Lock(self.client_of_it, "/locks/a", reactor=self.reactor)

    def begin(self) -> None:
        self.client_of_it = self.make_client()
        self.before = Lock(self.other, "/locks/a", reactor=self.reactor)
        self.before.acquire().addErrback(lambda _: None)
        self.it = self.make()
        self.used = 0
        self.acquire()

    def acquire(self) -> None:
        self.ask(self.it.acquire())

    def use(self) -> None:
        self.used += 1
        if self.used % 2:
            self.before.release().addErrback(lambda _: None)
        elif self.it.held:
            self.it.release().addErrback(lambda _: None)

    def shut(self) -> Deferred[Any]:
        released: Deferred[Any] = self.it.release()
        if not self.server.listening:
            self.reactor.callLater(_CLOSE_TIME - 1.0, self.start_server)
        return released

    def shut_rest(self) -> Deferred[Any]:
        self.start_server()
        return self.before.release().addErrback(lambda _: None)


class _ReadLockLife(_LockLife):
    """A lock that is shared."""

    def make(self) -> Any:
        return ReadLock(self.client_of_it, "/locks/a", reactor=self.reactor)


class _SemaphoreLife(_LockLife):
    """A semaphore, for which nobody else waits."""

    def make(self) -> Any:
        return Semaphore(self.client_of_it, "/locks/many", leases=2, reactor=self.reactor)


class _ElectionLife(_LockLife):
    """An election."""

    def make(self) -> Any:
        return Election(self.client_of_it, "/locks/a", reactor=self.reactor)

    def acquire(self) -> None:
        self.ask(self.it.run(Deferred))

    def use(self) -> None:
        self.used += 1
        if self.used == 1:
            self.before.release().addErrback(lambda _: None)

    def shut(self) -> Deferred[Any]:
        stopped: Deferred[Any] = self.it.stop()
        if not self.server.listening:
            self.reactor.callLater(_CLOSE_TIME - 1.0, self.start_server)
        return stopped


class _ClientOfLockLife(_LockLife):
    """A lock whose client is closed."""

    client_lives_on = False

    def shut(self) -> Deferred[Any]:
        return gatherResults([self.client_of_it.close(), self.it.release()])


class _ClientOfSemaphoreLife(_SemaphoreLife):
    """A semaphore whose client is closed."""

    client_lives_on = False

    def shut(self) -> Deferred[Any]:
        return gatherResults([self.client_of_it.close(), self.it.release()])


class _ClientOfElectionLife(_ElectionLife):
    """An election whose client is closed."""

    client_lives_on = False

    def shut(self) -> Deferred[Any]:
        return gatherResults([self.client_of_it.close(), self.it.stop()])


class _ClientOfQueuesLife(_Life):
    """Queues and a counter whose client is closed."""

    every = 5

    def begin(self) -> None:
        self.client_of_it = self.make_client()
        self.queue = Queue(self.client_of_it, "/queue", reactor=self.reactor)
        self.locking = LockingQueue(self.client_of_it, "/locking", reactor=self.reactor)
        self.counter = Counter(self.client_of_it, "/counter", reactor=self.reactor)
        self.ask(self.queue.get(), self.locking.get())
        self.use()

    def use(self) -> None:
        self.ask(
            self.queue.put_all([b"1", b"2"]),
            self.queue.get(wait=0.3),
            self.queue.peek(),
            self.locking.put(b"1"),
            self.locking.get().addCallback(lambda entry: entry.consume()),
            self.counter.add(1),
            self.counter.value(),
        )

    def shut(self) -> Deferred[Any]:
        return self.client_of_it.close()


class _ClientOfMembersLife(_Life):
    """Barriers, a party and members whose client is closed."""

    every = 5

    def begin(self) -> None:
        self.client_of_it = self.make_client()
        self.both = DoubleBarrier(self.client_of_it, "/both", count=2, reactor=self.reactor)
        self.alone = DoubleBarrier(self.client_of_it, "/alone", count=1, reactor=self.reactor)
        self.barrier = Barrier(self.client_of_it, "/data", reactor=self.reactor)
        self.party = Party(self.client_of_it, "/party", reactor=self.reactor)
        self.members = Members(self.client_of_it, "/group", "a", reactor=self.reactor)
        self.ask(self.both.enter(), self.barrier.wait(), self.party.join())
        self.use()

    def use(self) -> None:
        if self.members.joined:
            self.ask(self.members.leave())
        self.ask(self.members.join(), self.party.members())
        if self.alone.entered:
            self.ask(self.alone.leave())

    def shut(self) -> Deferred[Any]:
        return self.client_of_it.close()


class _MembersLife(_ClientOfMembersLife):
    """Members who leave, while the client lives on."""

    client_lives_on = True

    def begin(self) -> None:
        self.client_of_it = self.make_client()
        self.alone = DoubleBarrier(self.client_of_it, "/alone", count=1, reactor=self.reactor)
        self.party = Party(self.client_of_it, "/party", reactor=self.reactor)
        self.members = Members(self.client_of_it, "/group", "a", reactor=self.reactor)
        self.ask(self.party.join())
        self.use()

    def shut(self) -> Deferred[Any]:
        left = gatherResults([self.members.leave(), self.party.leave()])
        if not self.server.listening:
            self.reactor.callLater(_CLOSE_TIME - 1.0, self.start_server)
        return left

    def shut_rest(self) -> Deferred[Any]:
        self.start_server()
        return self.client_of_it.close()


class _ServerLife(_Life):
    """An embedded server, in the midst of requests."""

    every = 5

    def begin(self) -> None:
        self.asking = self.make_client()
        self.its_mirror = self.make_mirror()
        self.its_mirror.tree("/")
        self.use()

    def use(self) -> None:
        for number in range(3):
            self.asking.create(f"/n{number}", ephemeral=True).addErrback(lambda _: None)
        for each in self.asking.get_children_and_watch("/"):
            each.addErrback(lambda _: None)
        if self.server.listening:
            self.server.delay_next("get", 0.5)
            self.asking.get("/data").addErrback(lambda _: None)

    def shut(self) -> Deferred[Any]:
        self.asked.clear()
        return self.server.stop()

    def shut_rest(self) -> Deferred[Any]:
        return self.its_mirror.close()


def _configuration(servers: str) -> Configuration:
    items = [("register", "/services/web/a"), ("data", "port=80")]
    return from_options(items, servers=servers, session_timeout=S)


class _DaemonLife(_Life):
    """The program that twistd runs: a registration, with the server of another process."""

    # With the time that its client has by default.
    at_most = _AT_MOST - _CLOSE_TIME + Limits().close_time

    def begin(self) -> None:
        self.service = RegistrationService(_configuration(self.address), reactor=self.reactor)
        self.service.startService()

    def shut(self) -> Deferred[Any]:
        return self.service.stopService()


class _DemonstrationLife(_Life):
    """The program that twistd runs with ``--embedded``, with a server of its own."""

    def begin(self) -> None:
        self.service = RegistrationService(_configuration("localhost"), embedded=True, reactor=self.reactor)
        self.service.startService()

    def shut(self) -> Deferred[Any]:
        return self.service.stopService()


class ClosingTests(SynchronousTestCase):
    """Each kind of thing, at every moment."""

    def setUp(self) -> None:
        self.complaints = record_complaints(self)

    def close_everywhere(self, make: Callable[[], _Life]) -> None:
        """Live a life as many times as it has moments, each time one longer; then close, and look."""
        moment, more = 1, True
        faults: list[str] = []
        while more:
            life = make()
            more = all(life.step() for _ in range(moment))
            try:
                self.close(life)
            except Exception as error:
                faults.append(f"closed after {moment} steps: {error!r}")
            moment += stride(life.every)
        assert not faults, f"{len(faults)} faults in {moment} moments, such as {faults[0]}, {faults[-1]}"
        self.assertGreater(moment, 20)
        gc.collect()
        self.assertEqual(self.unexpected(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def close(self, life: _Life) -> None:
        reactor, begun = life.reactor, life.reactor.seconds()
        at_most = _QUICKLY if life.server.listening else life.at_most
        closed = life.shut()
        calls = 0
        while not closed.called and calls < _CALLS:
            run_next(reactor)
            calls += 1
        assert closed.called, f"not closed after {calls} calls, {reactor.seconds() - begun:g} s"
        took = reactor.seconds() - begun
        assert took <= at_most, f"closed after {took:g} s"
        self.successResultOf(closed)
        if life.client_lives_on:
            life.start_server()
            life.pass_time(2.0)
        waiting = [number for number, each in enumerate(life.asked) if not each.called]
        assert not waiting, f"never told: {waiting}"
        for outcome in life.outcomes:
            assert not isinstance(outcome, Failure) or outcome.check(ZooKeeperException, CancelledError), outcome
        life.close()
        assert self.unexpected() == [], self.unexpected()
        self.complaints.clear()

    def unexpected(self) -> list[str]:
        return [line for line in self.complaints if not line.startswith(_EXPECTED) and _OLD_SERVER not in line]

    def test_client(self) -> None:
        """A client that reads, writes and watches."""
        self.close_everywhere(_ClientLife)

    def test_leaving(self) -> None:
        """A client that leaves its session to another."""
        self.close_everywhere(_LeavingLife)

    def test_mirror(self) -> None:
        """A mirror with nodes, views and trees."""
        self.close_everywhere(_MirrorLife)

    def test_old_server(self) -> None:
        """A mirror at a server that has one-shot watches only."""
        self.close_everywhere(_OldServerLife)

    def test_given_mirror(self) -> None:
        """A mirror on a client that lives on."""
        self.close_everywhere(_GivenMirrorLife)

    def test_plain_mirror(self) -> None:
        """A mirror on a client whose feed is built from single watches, and that lives on."""
        self.close_everywhere(_PlainMirrorLife)

    def test_client_of_mirror(self) -> None:
        """A mirror whose client is closed."""
        self.close_everywhere(_ClientOfMirrorLife)

    def test_closed_twice(self) -> None:
        """A client and a mirror that are closed at once, as the command does it."""
        self.close_everywhere(_ClosedTwiceLife)

    def test_view(self) -> None:
        """A view of a mirror, which lives on."""
        self.close_everywhere(_ViewLife)

    def test_tree(self) -> None:
        """A tree of a mirror, which lives on."""
        self.close_everywhere(_TreeLife)

    def test_registry(self) -> None:
        """A registry that registers, writes, finds and locks."""
        self.close_everywhere(_RegistryLife)

    def test_lazy_registry(self) -> None:
        """A registry that goes on without ZooKeeper."""
        self.close_everywhere(_LazyRegistryLife)

    def test_slow_registry(self) -> None:
        """A registry that may write twice a second only, and keeps a cache file."""
        self.close_everywhere(_SlowRegistryLife)

    def test_mirror_of_registry(self) -> None:
        """A registry whose mirror was given, and is closed."""
        self.close_everywhere(_MirrorOfRegistryLife)

    def test_registry_on_mirror(self) -> None:
        """A registry whose mirror was given, and lives on."""
        self.close_everywhere(_RegistryOnMirrorLife)

    def test_registration(self) -> None:
        """A registration on a mirror, which lives on."""
        self.close_everywhere(_RegistrationLife)

    def test_mirror_of_registration(self) -> None:
        """A registration whose mirror is closed."""
        self.close_everywhere(_MirrorOfRegistrationLife)

    def test_lock(self) -> None:
        """A lock, which another contender holds at times."""
        self.close_everywhere(_LockLife)

    def test_read_lock(self) -> None:
        """A lock that is shared."""
        self.close_everywhere(_ReadLockLife)

    def test_semaphore(self) -> None:
        """A semaphore, for which nobody else waits."""
        self.close_everywhere(_SemaphoreLife)

    def test_election(self) -> None:
        """An election."""
        self.close_everywhere(_ElectionLife)

    def test_client_of_lock(self) -> None:
        """A lock whose client is closed."""
        self.close_everywhere(_ClientOfLockLife)

    def test_client_of_semaphore(self) -> None:
        """A semaphore whose client is closed."""
        self.close_everywhere(_ClientOfSemaphoreLife)

    def test_client_of_election(self) -> None:
        """An election whose client is closed."""
        self.close_everywhere(_ClientOfElectionLife)

    def test_client_of_queues(self) -> None:
        """Queues and a counter whose client is closed."""
        self.close_everywhere(_ClientOfQueuesLife)

    def test_client_of_members(self) -> None:
        """Barriers, a party and members whose client is closed."""
        self.close_everywhere(_ClientOfMembersLife)

    def test_members(self) -> None:
        """Members who leave, while the client lives on."""
        self.close_everywhere(_MembersLife)

    def test_server(self) -> None:
        """An embedded server, in the midst of requests."""
        self.close_everywhere(_ServerLife)

    def test_daemon(self) -> None:
        """The program that twistd runs: a registration, with the server of another process."""
        self.close_everywhere(_DaemonLife)

    def test_demonstration(self) -> None:
        """The program that twistd runs with ``--embedded``, with a server of its own."""
        self.close_everywhere(_DemonstrationLife)
