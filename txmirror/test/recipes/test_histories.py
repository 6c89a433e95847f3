"""Queues and counters under random faults: the checker of histories finds nothing lost, nothing taken twice, and no wrong sum.

Several programs put, take and add, while connections break and stall, messages are lost, sessions expire, followers lag and servers
stop. In the end the queue is emptied and the counter read, so that nothing lost goes unnoticed.
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
from txmirror.errors import ZooKeeperException
from txmirror.recipes import Counter, LockingQueue, Queue
from txmirror.test.mirror.world import record_log
from txmirror.testing import World
from txmirror.testing.history import Add, Answer, Call, Count, Number, Outcome, Put, Recorder, Take, Taken, judge

#: How many runs of each kind there are in place of :data:`_RUNS`.
RUNS = "TXMIRROR_HISTORY_RUNS"
_RUNS = 4
_STEPS = 60
_QUEUE, _LOCKING, _COUNTER = "/app/jobs", "/app/jobs-to-consume", "/app/hits"
#: The session timeouts of the clients, in seconds.
_TIMEOUTS = (2.0, 4.0, 6.0)
_KINDS = ("transaction", "get", "get_children", "create", "sync", "exists", "delete")


class Program:
    """A program with a queue and a counter.

    :ivar begun: the operations that have not ended.
    """

    def __init__(self, run: Run, name: str, client: ZooKeeperClient) -> None:
        self.run = run
        self.name = name
        self.client = client
        self.queue = Queue(client, _QUEUE, reactor=run.world.reactor)
        self.counter = Counter(client, _COUNTER, reactor=run.world.reactor)
        self.locking = LockingQueue(client, _LOCKING, reactor=run.world.reactor)
        self.begun: list[Deferred[Any]] = []
        self.consuming = 0

    def record(self, call: Call, work: Callable[[], Deferred[Any]], answer: Callable[[Any], Answer | None]) -> None:
        """Begin an operation, and record its end."""
        number = self.run.recorder.begin(self.name, 1, call)

        def ended(outcome: Any) -> None:
            self.begun.remove(working)
            if not isinstance(outcome, Failure):
                self.run.recorder.end(number, Outcome.APPLIED, answer(outcome))
                if outcome is None and isinstance(call, Take):
                    self.run.timed_out.append(number)
                return
            outcome.trap(CancelledError, ZooKeeperException)
            refused = isinstance(outcome.value, ZooKeeperException) and outcome.value.applied is False
            # A cancelled take puts the entry back: none is taken.
            given_back = outcome.check(CancelledError) and isinstance(call, Take)
            if given_back:
                self.run.given_back.append(number)
            self.run.recorder.end(number, Outcome.NOT_APPLIED if refused or given_back else Outcome.UNKNOWN)

        working = work()
        self.begun.append(working)
        working.addBoth(ended)

    def put(self) -> None:
        """Put an item of its own."""
        self.run.items += 1
        item = str(self.run.items)
        self.record(Put(_QUEUE, item), lambda: self.queue.put(item.encode()), lambda _: None)

    def take(self, wait: float | None) -> None:
        """Take an item."""

        def answer(value: bytes | None) -> Answer:
            return Taken(None if value is None else value.decode())

        self.record(Take(_QUEUE), lambda: self.queue.get(wait=wait), answer)

    def consume(self, *, release: bool) -> None:
        """Take an entry of the locking queue, and consume or release it. An entry counts as taken when it is consumed."""

        async def work() -> str | None:
            entry = await self.locking.get(wait=5.0)
            if entry is None:
                return None
            if release:
                await entry.release()
                return None
            return entry.data.decode() if await entry.consume() else None

        number = self.run.recorder.begin(self.name, 1, Take(_LOCKING))

        def ended(outcome: Any) -> None:
            self.consuming -= 1
            if isinstance(outcome, Failure):
                outcome.trap(ZooKeeperException)
                self.run.recorder.end(number, Outcome.UNKNOWN)
            elif outcome is None:
                # Others may hold entries, so it does not say that there are none.
                self.run.recorder.end(number, Outcome.NOT_APPLIED)
            else:
                self.run.recorder.end(number, Outcome.APPLIED, Taken(outcome))

        self.consuming += 1
        Deferred.fromCoroutine(work()).addBoth(ended)

    def put_to_consume(self) -> None:
        """Put an item of its own into the locking queue."""
        self.run.items += 1
        item = str(self.run.items)
        self.record(Put(_LOCKING, item), lambda: self.locking.put(item.encode()), lambda _: None)

    def add(self, amount: int) -> None:
        """Add to the counter."""
        self.record(Add(_COUNTER, amount), lambda: self.counter.add(amount), Number)

    def count(self) -> None:
        """Read the counter."""
        self.record(Count(_COUNTER), self.counter.value, Number)


class Run:
    """A world, its programs and its faults.

    :param random: makes all random choices.
    """

    def __init__(self, random: Random, **settings: Any) -> None:
        self.random = random
        self.world = World(**settings)
        self.recorder = Recorder()
        self.ports = {server: int(server.address.rpartition(":")[2]) for server in self.world.servers}
        self.items = 0
        #: The takes that were cancelled.
        self.given_back: list[int] = []
        #: The takes that ended without an item, perhaps because the time was over.
        self.timed_out: list[int] = []
        self.added = 0
        self.programs: list[Any] = []
        for _ in range(4):
            self.start()

    def start(self) -> None:
        """Start a program."""
        self.added += 1
        self.programs.append(Program(self, str(self.added), self.connect()))

    def connect(self) -> ZooKeeperClient:
        """Make a client that connects."""
        client = self.world.client(session_timeout=self.random.choice(_TIMEOUTS), random=self.random, connect=False)
        client.connect().addErrback(lambda failure: failure.trap(ZooKeeperException))
        return client

    def step(self) -> None:
        """Let programs work, or inject a fault; and let time pass."""
        server = self.random.choice(self.world.servers)
        if self.random.random() < 0.6:
            self.work()
        else:
            self.fault(server)
        if self.random.random() < 0.5:
            self.world.reactor.take_turns(self.random.randrange(12))
        else:
            self.world.pass_time(self.random.choice((0.0, 0.1, 0.5, 1.0, 3.0)))

    def work(self) -> None:
        """Let two programs begin something, or cancel it."""
        for program in self.random.sample(self.programs, 2):
            if program.begun and self.random.random() < 0.15:
                self.random.choice(program.begun).cancel()
            elif len(program.begun) < 3:
                chance = self.random.random()
                if chance < 0.2:
                    program.put()
                elif chance < 0.4:
                    program.take(self.random.choice((None, 0, 0.3, 5.0)))
                elif chance < 0.55:
                    program.put_to_consume()
                elif chance < 0.7:
                    if program.consuming < 2:
                        program.consume(release=self.random.random() < 0.3)
                elif chance < 0.9:
                    program.add(self.random.choice((1, 2, 3)))
                else:
                    program.count()

    def fault(self, server: Any) -> None:
        """Inject a fault."""
        chance = self.random.random()
        if chance < 0.5:
            getattr(server, self.random.choice(("lose_request", "lose_reply")))(self.random.choice(_KINDS))
        elif chance < 0.65:
            for connection in server.connections:
                if self.random.random() < 0.5:
                    connection.drop() if self.random.random() < 0.5 else connection.stall()
        elif chance < 0.8:
            session = self.random.choice(self.programs).client.session_id
            if session in server.sessions:
                server.expire_session(session)
        elif chance < 0.85:
            server.delay_next(self.random.choice(_KINDS), self.random.choice((0.1, 0.5, 1.0)))
        elif chance < 0.9 and len(self.world.servers) > 1:
            self.lag(server)
        elif chance < 0.93:
            server.stop_listening()
            self.world.pass_time(self.random.choice((0.0, 1.0)))
            server.listen(self.ports[server])
        elif chance < 0.96:
            program = self.programs.pop(self.random.randrange(len(self.programs)))
            program.client.close()
            self.start()

    def lag(self, server: Any) -> None:
        """Let a server lag, or catch up."""
        if server.lagging:
            server.catch_up()
        elif server is not self.world.server:
            server.lag()

    def calm_down(self) -> None:
        """Let all faults be over, and end all work."""
        for server in self.world.servers:
            for fault in list(server._own_state.faults._planned):
                fault.cancel()
            for connection in server.connections:
                connection.resume()
            if server.lagging:
                server.catch_up()
        self.world.pass_time(30.0)
        for program in self.programs:
            for work in list(program.begun):
                work.cancel()
        self.world.pass_time(10.0)

    def end(self) -> None:
        """Let all faults be over, end all work, empty the queue, and read the counter."""
        self.calm_down()
        self.end_consuming()
        last = self.programs[0]
        for _ in range(self.items + 1):
            last.take(0)
            self.world.settle()
        last.count()
        # The node of the last take is kept for a while, for the next one.
        self.world.pass_time(1.0)

    def end_consuming(self) -> None:
        """Consume all entries that are left, and then find none."""
        last = self.programs[0]
        for _ in range(self.items + 1):
            last.consume(release=False)
            self.world.pass_time(6.0)
        number = self.recorder.begin("last", 1, Take(_LOCKING))
        if self.world.result(last.locking.length()) == 0:
            self.recorder.end(number, Outcome.APPLIED, Taken(None))


class HistoriesTests(SynchronousTestCase):
    def runs(self, **settings: Any) -> None:
        ended, log, noted = 0, record_log(self), 0
        for seed in range(int(os.environ.get(RUNS, _RUNS))):
            run = Run(Random(seed), **settings)
            try:
                for _ in range(_STEPS):
                    run.step()
                run.end()
                # Of some takes that were cancelled or timed out the outcome is unknown, and the log says so.
                unknown = sum("may be lost" in line for line in log()) - noted
                noted += unknown
                for number in [*run.given_back, *run.timed_out][:unknown]:
                    run.recorder.end(number, Outcome.UNKNOWN)
                history = run.recorder.history()
                self.assertEqual([str(finding) for finding in judge(history)], [], f"seed {seed}")
                last = history.operations[-1]
                consumed = [each for each in history.operations if each.client == "last"]
                self.assertEqual([each.outcome for each in consumed], [Outcome.APPLIED], f"seed {seed}")
                self.assertIs(last.outcome, Outcome.APPLIED, f"seed {seed}")
                ended += sum(operation.outcome is Outcome.APPLIED for operation in history.operations)
                tree = run.world.server._state.database.tree.nodes
                left = [path for path, node in tree.items() if node.stat().ephemeralOwner]
                self.assertEqual(left, [], f"seed {seed}")
            finally:
                run.world.close()
        # There was something to be judged.
        self.assertGreater(ended, 100)

    def test_one_server(self) -> None:
        """One server."""
        self.runs()

    def test_ensemble(self) -> None:
        """An ensemble, with followers that lag."""
        self.runs(servers=3)

    def test_keeper(self) -> None:
        """ClickHouse Keeper, where each lost connection costs the session."""
        self.runs(version="keeper")
