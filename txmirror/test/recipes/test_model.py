"""Many programs, under random faults: if they stop at ``lost``, two never hold the same at the same time.

Each program acquires, holds for a while, and releases, again and again; when ``lost`` fires, it stops at once.
Meanwhile connections break and stall, sessions expire, nodes are deleted, the server stops and starts, and programs are
cancelled or closed. Two holders at once are detected immediately; and when all faults are over, each program still gets
its turn, and nothing is left.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import ZooKeeperClient
from txmirror.errors import ClosingException, LockMismatchError, ZooKeeperException
from txmirror.recipes import Lock, ReadLock, Semaphore
from txmirror.recipes.acquirable import Acquirable
from txmirror.testing import World

#: How many runs of each kind there are in place of :data:`_RUNS`.
RUNS = "TXMIRROR_LOCK_RUNS"
_RUNS = 5
_STEPS = 50
_PATH = "/locks/one"
#: The session timeouts of the programs' clients, in seconds.
_TIMEOUTS = (2.0, 4.0, 6.0)


class Program:
    """One contender, which stops when ``lost`` fires.

    :ivar inside: whether it is in its critical section.
    """

    def __init__(
        self, model: Model, name: str, claim: Acquirable, client: ZooKeeperClient, hosts: tuple[str, int]
    ) -> None:
        self.model = model
        self.name = name
        self.claim = claim
        self.client = client
        self.address = hosts
        self.inside = False
        self.times = 0
        self.acquiring: Deferred[bool] | None = None

    @property
    def reads(self) -> bool:
        return isinstance(self.claim, ReadLock)

    @property
    def idle(self) -> bool:
        return self.acquiring is None and not self.inside

    def acquire(self, wait: float | None) -> None:
        self.acquiring = self.claim.acquire(wait=wait)
        self.acquiring.addBoth(self._acquired)

    def _acquired(self, outcome: bool | Failure) -> None:
        self.acquiring = None
        if isinstance(outcome, Failure):
            outcome.trap(CancelledError, ClosingException, LockMismatchError)
        elif outcome:
            # It may be lost already, if this was told late.
            if self.claim.held:
                self.inside = True
                self.times += 1
                self.model.entered(self)
            self.claim.lost.addCallback(self._lost)

    def _lost(self, _: None) -> None:
        self.inside = False
        self.release()

    def release(self) -> None:
        self.inside = False
        self.model.pending.append(self.claim.release())


class Model:
    """The world, its programs, and the present holders.

    :param random: makes all random choices.
    :param make: makes the lock or semaphore of a program.
    """

    def __init__(
        self, random: Random, make: Callable[[ZooKeeperClient, Any, Random], Acquirable], capacity: int
    ) -> None:
        self.random = random
        self.capacity = capacity
        self.world = World()
        self.reactor = self.world.reactor
        self.server = self.world.server
        self.world.result(self.server.stop_listening())
        self.server.listen(2181, interface="")
        self.observer = self.world.client([("10.0.1.0", 2181)], session_timeout=10.0)
        self.programs: list[Program] = []
        self.pending: list[Deferred[None]] = []
        self.faults: list[str] = []
        self.token = 0
        self.added = 0
        self.closed: ZooKeeperClient | None = None
        self.parted: Program | None = None
        self.make = make
        for _ in range(5):
            self.add()

    def add(self) -> None:
        self.added += 1
        # Some programs share a session.
        sharing = [each for each in self.programs if each.client is not self.closed]
        if sharing and self.random.random() < 0.3:
            client, address = (other := self.random.choice(sharing)).client, other.address
        else:
            address = (f"10.0.0.{self.added}", 2181)
            client = self.world.client(
                [address], session_timeout=self.random.choice(_TIMEOUTS), random=self.random, connect=False
            )
            client.connect().addErrback(lambda failure: failure.trap(ClosingException))
        claim = self.make(client, self.reactor, self.random)
        self.programs.append(Program(self, str(self.added), claim, client, address))

    def entered(self, program: Program) -> None:
        """Check that a program was allowed to enter."""
        others = [other for other in self.programs if other.inside and other is not program]
        if self.capacity > 1:
            if len(others) >= self.capacity:
                self.faults.append(f"{len(others) + 1} hold {self.capacity} leases")
        elif any(not (program.reads and other.reads) for other in others):
            self.faults.append(f"{program.claim} with {[other.claim for other in others]}")
        token = program.claim.token
        if self.capacity == 1 and not program.reads:
            if token <= self.token:
                self.faults.append(f"the token {token} after {self.token}")
            self.token = token

    # What may happen.

    def step(self) -> None:
        deeds: list[tuple[int, Callable[[], object]]] = [
            (50, self.go_on),
            (6, self.drop),
            (6, self.stall),
            (8, self.away),
            (4, self.expire),
            (4, self.delete),
            (12, self.lose),
            (8, self.slow),
            (1, self.restart),
            (2, self.close),
            (2, self.late),
        ]
        self.random.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])[0]()
        if self.random.random() < 0.5:
            self.reactor.take_turns(self.random.randrange(8))
        else:
            self.world.pass_time(self.random.choice((0.0, 0.1, 0.5, 1.0, 3.0, 8.0)))

    def go_on(self) -> None:
        """Let programs acquire and release."""
        for program in self.random.sample(self.programs, 3):
            if program.idle:
                try:
                    program.acquire(self.random.choice((None, None, 0, 0.3, 5.0)))
                except RuntimeError:
                    # It is lost, and told of that is late.
                    assert not program.claim.held
            elif program.inside and self.random.random() < 0.7:
                program.release()
            elif program.acquiring is not None and self.random.random() < 0.1:
                program.acquiring.cancel()

    def drop(self) -> None:
        for connection in self.server.connections:
            if connection.session_id != self.observer.session_id and self.random.random() < 0.4:
                connection.drop()

    def stall(self) -> None:
        for connection in self.server.connections:
            if connection.session_id != self.observer.session_id and self.random.random() < 0.3:
                incoming = self.random.random() < 0.7
                connection.stall(incoming=incoming, outgoing=not incoming or self.random.random() < 0.5)

    def away(self) -> None:
        """Keep a program from the server, one that is inside by preference; the one that was away comes back."""
        if self.parted is not None:
            self.reactor.undo_black_hole(*self.parted.address)
        self.parted = self.random.choice([each for each in self.programs if each.inside] or self.programs)
        self.reactor.black_hole(*self.parted.address)
        for connection in self.server.connections:
            if connection.session_id == self.parted.client.session_id:
                connection.drop() if self.random.random() < 0.5 else connection.stall()

    def expire(self) -> None:
        program = self.random.choice(self.programs)
        # A session never ends so at a server, but when it was silent: what it holds must be known to be unsafe.
        if program.client.session_id in self.server.sessions and not any(
            other.claim.held for other in self.programs if other.client is program.client
        ):
            self.server.expire_session(program.client.session_id)

    def delete(self) -> None:
        """Delete the node of a program that holds nothing."""
        owners = {other.client.session_id for other in self.programs if other.inside}
        nodes = self.server._state.database.tree.nodes
        paths = [path for path, node in nodes.items() if node.stat().ephemeralOwner not in (0, *owners)]
        if paths:
            self.observer.delete(self.random.choice(sorted(paths))).addErrback(lambda _: None)

    def lose(self) -> None:
        kind = self.random.choice(("create", "get_children", "get", "delete", "sync"))
        getattr(self.server, self.random.choice(("lose_request", "lose_reply")))(kind)

    def slow(self) -> None:
        """Delay a request, and the later ones of its client."""
        kind = self.random.choice(("create", "get_children", "get", "delete", "set"))
        session = self.random.choice(self.programs).client.session_id
        if session in self.server.sessions:
            self.server.delay_next(kind, self.random.choice((0.1, 0.5, 1.0)), session_id=session)

    def restart(self) -> None:
        self.server.stop_listening()
        self.world.pass_time(self.random.choice((0.0, 1.0, 8.0)))
        self.server.listen(2181, interface="")

    def close(self) -> None:
        """End a program, with all that shares its client; another comes."""
        program = self.random.choice(self.programs)
        self.closed = program.client
        self.closed.close()
        for other in [other for other in self.programs if other.client is program.client]:
            self.programs.remove(other)
            self.add()

    def late(self) -> None:
        """Let the reactor be busy for a while."""
        self.reactor.rightNow += self.random.choice((0.5, 2.0, 5.0))
        for program in self.programs:
            # What is begun while the reactor is busy asks first.
            if program.inside and not program.claim.held:
                program.release()

    def heal(self) -> None:
        """Let all faults be over."""
        for number in range(self.added + 1):
            self.reactor.undo_black_hole(f"10.0.0.{number}", 2181)
        for fault in list(self.server._own_state.faults._planned):
            fault.cancel()
        for connection in self.server.connections:
            connection.resume()
        self.world.pass_time(30.0)

    def end(self) -> None:
        """Check that every contender gets its turn, and that nothing is left."""
        self.heal()
        # Whoever is inside lets others in; whoever waits comes in then.
        for _ in self.programs:
            for program in self.programs:
                if program.inside:
                    program.release()
            self.world.pass_time(1.0)
        for program in self.programs:
            if not program.idle:
                self.faults.append(f"{program.claim} of {program.name} is not done")
                continue
            program.acquire(None)
            self.world.settle()
            if not program.inside:
                self.faults.append(f"{program.claim} of {program.name} is not to be had")
            program.release()
            self.world.settle()
        if not all(released.called for released in self.pending):
            self.faults.append("a release was never done")
        nodes = self.server._state.database.tree.nodes
        left = [path for path, node in nodes.items() if node.stat().ephemeralOwner]
        if left:
            self.faults.append(f"left behind: {left}")


def _lock(client: ZooKeeperClient, reactor: Any, random: Random) -> Acquirable:
    return Lock(client, _PATH, reactor=reactor)


def _reader_or_writer(client: ZooKeeperClient, reactor: Any, random: Random) -> Acquirable:
    return random.choice((Lock, ReadLock, ReadLock))(client, _PATH, reactor=reactor)


def _either(client: ZooKeeperClient, reactor: Any, random: Random) -> Acquirable:
    return random.choice((Lock, ReadLock, Semaphore))(client, _PATH, reactor=reactor)


def _semaphore(client: ZooKeeperClient, reactor: Any, random: Random) -> Acquirable:
    return Semaphore(client, _PATH, leases=2, reactor=reactor)


class ModelTests(SynchronousTestCase):
    def runs(self, make: Callable[[ZooKeeperClient, Any, Random], Acquirable], capacity: int = 1) -> None:
        times = 0
        for seed in range(int(os.environ.get(RUNS, _RUNS))):
            model = Model(Random(seed), make, capacity)
            try:
                for number in range(_STEPS):
                    model.step()
                    self.assertEqual(model.faults, [], f"seed {seed}, step {number}")
                times += sum(program.times for program in model.programs)
                model.end()
                self.assertEqual(model.faults, [], f"seed {seed}, at the end")
            finally:
                for program in model.programs:
                    if program.acquiring is not None:
                        program.acquiring.addErrback(lambda failure: failure.trap(ZooKeeperException))
                model.world.close()
        # There was something to be seen.
        self.assertGreater(times, 10)

    def test_lock(self) -> None:
        """One program holds the lock at a time, and each with a larger token (C16, H2)."""
        self.runs(_lock)

    def test_readers_and_writers(self) -> None:
        """A writer is alone."""
        self.runs(_reader_or_writer)

    def test_locks_and_a_semaphore(self) -> None:
        """With both kinds on one path, some are refused, and both are never held at once."""
        self.runs(_either)

    def test_semaphore(self) -> None:
        """Never are there more holders than leases."""
        self.runs(_semaphore, capacity=2)
