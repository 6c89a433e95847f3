"""The workloads whose histories are judged, the same for each client.

An adapter makes the calls of one client, in the way that the client's own documentation shows. Each workload is a coroutine. An adapter
that blocks runs each in a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

from recording import Log

from txmirror.testing.history import (
    Absent,
    Add,
    Answer,
    Block,
    Call,
    Change,
    Changed,
    Check,
    Children,
    Create,
    Created,
    Delete,
    Exists,
    Get,
    Hold,
    Join,
    Leave,
    Look,
    Members,
    Names,
    Number,
    Operation,
    Outcome,
    Pass,
    Put,
    Refusal,
    Refused,
    Set,
    Shown,
    Take,
    Taken,
    Transaction,
    Unblock,
    Value,
)
from txmirror.testing.history.calls import Part

ROOT = "/histories"
REGISTERS = (f"{ROOT}/register-0", f"{ROOT}/register-1")
NODES = (f"{ROOT}/node-0", f"{ROOT}/node-1")
WATCHED = (f"{ROOT}/watched-0", f"{ROOT}/watched-1")
SEQUENCE, COUNTER, LOCK, QUEUE = f"{ROOT}/sequence", f"{ROOT}/counter", f"{ROOT}/lock", f"{ROOT}/queue"
BARRIER, LOCKING_QUEUE = f"{ROOT}/barrier", f"{ROOT}/locking-queue"
#: Barriers, each with a node of its own above it, and the node that processes write when they have passed.
GATE, PASSED = f"{ROOT}/gate", f"{ROOT}/passed"
PARTY, VALUE, SHARES = f"{ROOT}/party", f"{ROOT}/value", f"{ROOT}/shares"
ITEMS = tuple(f"item-{number}" for number in range(6))
EPHEMERALS, SERVICES = f"{ROOT}/ephemerals", f"{ROOT}/services"
#: A node that only the harness writes. Its version shows whether the ensemble has lost writes.
CANARY = f"{ROOT}/canary"
#: Two nodes that transactions write together, and one that they create and delete.
PAIR, MARK = (f"{ROOT}/pair-0", f"{ROOT}/pair-1"), f"{ROOT}/mark"
#: Seconds for which services stay registered after all faults were healed. A killed process's session lives for 10 s after an election.
SETTLE = 20.0
#: The processes of a client, all of which take part in a double barrier, and the seconds for one round.
PROCESSES, ROUND = 3, 8.0
#: The file with the last moment of a run.
UNTIL = "until"
#: How often a lock is released, a barrier removed or a party left, if that fails.
RELEASES = 10
#: Seconds for which a barrier is there.
BLOCKED = 3.0


class NothingTakenError(Exception):
    """No item was there that nobody else holds, or it was not consumed."""


class OtherValueError(Exception):
    """A shared value was not the expected one."""


class Lock(Protocol):
    """A lock of a client."""

    async def acquire(self) -> bool:
        """Acquire it. Return False if that has failed."""

    async def token(self) -> int | None:
        """Return the czxid of the lock's node; None if it is not there."""

    def held(self) -> bool:
        """Return whether the program may rely on the lock, by the client's own documentation."""

    async def release(self) -> None:
        """Release it."""


class Barrier(Protocol):
    """A double barrier of a client."""

    async def enter(self) -> bool:
        """Enter it. Return False if that has failed."""

    async def leave(self) -> bool:
        """Leave it. Return False if that has failed."""


class Sharing(Protocol):
    """A member of a group that shares items."""

    def held(self) -> dict[str, int | None]:
        """Return the items that the program may rely on, by the client's own documentation, each with its fencing token if it has one."""

    async def step(self) -> None:
        """Do what the client's documentation asks of a program again and again."""

    async def stop(self) -> None:
        """Give all up, and be no member any more."""


# Each method of an adapter is one call of the client.
class Calls(Protocol):
    """The calls of a client. An adapter may lack those that no workload of its client needs."""

    def session(self) -> int:
        """Return the number of the session."""

    def outcome(self, error: Exception) -> tuple[Outcome, Refusal | None]:
        """Return the outcome that an error reports, by the client's own documentation."""

    async def pause(self, seconds: float) -> None:
        """Wait."""

    async def get(self, path: str, watch: Callable[[bool], None] | None = None) -> Shown:
        """Read a node. ``watch`` is called with True when it has changed, and with False when the watch is lost."""

    async def children(self, path: str) -> list[str]:
        """Return the names of a node's children."""

    async def set(self, path: str, data: str, version: int) -> Shown:
        """Set a node's data."""

    async def create(self, path: str, data: str, sequential: bool, ephemeral: bool) -> tuple[str, int | None]:
        """Create a node. Return its path, and the transaction if the client tells it."""

    async def delete(self, path: str, version: int) -> None:
        """Delete a node."""

    async def transact(self, parts: tuple[Part, ...]) -> int | None:
        """Do several writes or none. Return the zxid if the client tells it. Only clients with ``transactions`` have it."""

    async def register(self, path: str, data: dict[str, str]) -> None:
        """Keep a service registered. Only clients with ``services`` among their workloads have it."""

    async def add(self, path: str, amount: int) -> int | None:
        """Add to a counter."""

    def lock(self, path: str) -> Lock:
        """Return a lock."""

    def barrier(self, path: str, parties: int) -> Barrier:
        """Return a double barrier. Only clients with ``barrier`` among their workloads have it."""

    async def block(self, path: str) -> None:
        """Put a barrier in place. Only clients with ``gate`` among their workloads have it."""

    async def unblock(self, path: str) -> None:
        """Remove it."""

    async def pass_barrier(self, path: str) -> None:
        """Wait until it is gone."""

    async def join(self, path: str, name: str) -> None:
        """Join a party. Only clients with ``party`` among their workloads have it."""

    async def leave(self, path: str) -> None:
        """Leave it."""

    async def members(self, path: str) -> list[str]:
        """Return the names of its members."""

    def sharing(self, path: str, items: Sequence[str], name: str) -> Sharing:
        """Begin to share items. Only clients with ``shares`` among their workloads have it."""

    async def update(self, path: str, value: str) -> str:
        """Replace a shared value, and return the former one. Only clients with ``value`` among their workloads have it."""

    async def try_set(self, path: str, value: str, expected: str) -> None:
        """Replace it, if it is the expected one.

        :raises OtherValueError: it is another one.
        """

    async def look(self, path: str) -> str:
        """Read it."""

    async def put(self, path: str, item: str) -> None:
        """Put an item on a queue. Only clients with ``queue`` among their workloads have it."""

    async def take(self, path: str) -> str | None:
        """Take an item from a queue."""

    async def put_locked(self, path: str, item: str) -> None:
        """Put an item on a locking queue. Only clients with ``locking-queue`` among their workloads have it."""

    async def consume(self, path: str) -> str:
        """Take an item from a locking queue, and consume it.

        :raises NothingTakenError: none was consumed.
        """


class Run:
    """One process of a client: its adapter, its log and its random numbers.

    :param until: the moment of ``time.monotonic`` after which no operation begins.
    """

    def __init__(self, adapter: Calls, log: Log, seed: str, until: float) -> None:
        self.adapter = adapter
        self.log = log
        self.until = until
        self._seed = seed
        self._writes = 0

    def goes_on(self) -> bool:
        """True if operations may begin."""
        return time.monotonic() < self.until

    def random(self, workload: str) -> Random:
        """Return a source of random numbers."""
        return Random(f"{self._seed} {self.log.client} {workload}")

    def data(self) -> str:
        """Return data that nobody else writes."""
        self._writes += 1
        return f"{self.log.client}:{time.monotonic_ns()}:{self._writes}"

    async def do(
        self, call: Call, work: Callable[[], Awaitable[tuple[Answer | None, int | None]]]
    ) -> tuple[Operation, Answer | None]:
        """Do an operation, and record it. Return its answer; None if there is none, or it has failed."""
        return await self.finish(self.log.begin(self.adapter.session(), call), work)

    async def finish(
        self, operation: Operation, work: Callable[[], Awaitable[tuple[Answer | None, int | None]]]
    ) -> tuple[Operation, Answer | None]:
        """Do an operation that has begun in the log."""
        reads = isinstance(operation.call, Get | Exists | Children)
        zxid, answer = None, None
        try:
            answer, zxid = await work()
            outcome = Outcome.APPLIED
        except Exception as error:
            if isinstance(error, NothingTakenError):
                outcome, refusal = Outcome.NOT_APPLIED, None
            elif isinstance(error, OtherValueError):
                outcome, refusal = Outcome.NOT_APPLIED, Refusal.OTHER_VALUE
            else:
                outcome, refusal = self.adapter.outcome(error)
            self.log.note("error", operation=operation.number, error=f"{type(error).__name__}: {error}")
            if refusal is not None:
                answer = Refused(refusal)
            if reads:
                missing = refusal is Refusal.NO_NODE
                outcome, answer = (Outcome.APPLIED, Absent()) if missing else (Outcome.UNKNOWN, None)
        if reads and self.adapter.session() != operation.session:
            # Nobody can tell in which session it was done.
            outcome, answer, zxid = Outcome.UNKNOWN, None, None
        if isinstance(operation.call, Create) and operation.call.ephemeral and outcome is Outcome.APPLIED:
            # Likewise: the owner of the node is not known.
            outcome = outcome if self.adapter.session() == operation.session else Outcome.UNKNOWN
        ended = self.log.end(operation, outcome, answer, zxid)
        return ended, answer if outcome is Outcome.APPLIED else None

    async def get(self, path: str) -> Shown | None:
        """Read a node."""

        async def work() -> tuple[Answer | None, int | None]:
            return await self.adapter.get(path), None

        _, answer = await self.do(Get(path), work)
        return answer if isinstance(answer, Shown) else None

    async def set(self, path: str, version: int = -1) -> None:
        """Write a node."""
        data = self.data()

        async def work() -> tuple[Answer | None, int | None]:
            shown = await self.adapter.set(path, data, version)
            return shown, shown.mzxid

        await self.do(Set(path, data, version), work)

    async def create(self, path: str, *, sequential: bool = False, ephemeral: bool = False) -> None:
        """Create a node."""
        data = self.data()

        async def work() -> tuple[Answer | None, int | None]:
            created, zxid = await self.adapter.create(path, data, sequential, ephemeral)
            return Created(created), zxid

        await self.do(Create(path, data, ephemeral, sequential), work)

    async def delete(self, path: str) -> None:
        """Delete a node."""

        async def work() -> tuple[Answer | None, int | None]:
            await self.adapter.delete(path, -1)
            return None, None

        await self.do(Delete(path), work)

    async def children(self, path: str) -> frozenset[str]:
        """List a node's children."""

        async def work() -> tuple[Answer | None, int | None]:
            return Names(frozenset(await self.adapter.children(path))), None

        _, answer = await self.do(Children(path), work)
        return answer.names if isinstance(answer, Names) else frozenset()

    async def call(self, call: Call, work: Callable[[], Awaitable[None]]) -> bool:
        """Do a call that has no answer. Return whether it was done."""

        async def working() -> tuple[Answer | None, int | None]:
            await work()
            return None, None

        ended, _ = await self.do(call, working)
        return ended.outcome is Outcome.APPLIED

    async def insist(self, call: Call, work: Callable[[], Awaitable[None]]) -> None:
        """Do a call again until it was done, but not for ever."""
        for _ in range(RELEASES):
            if await self.call(call, work):
                return
            await self.adapter.pause(1)

    async def transact(self, *parts: Part) -> None:
        """Do several writes or none."""

        async def work() -> tuple[Answer | None, int | None]:
            return None, await self.adapter.transact(parts)

        await self.do(Transaction(parts), work)


async def registers(run: Run) -> None:
    """Read and write two nodes, with and without a version."""
    random = run.random("registers")
    versions = dict.fromkeys(REGISTERS, 0)
    while run.goes_on():
        path = random.choice(REGISTERS)
        kind = random.random()
        if kind < 0.5:
            shown = await run.get(path)
            if shown is not None and shown.version is not None:
                versions[path] = shown.version
        else:
            await run.set(path, versions[path] if kind < 0.8 else -1)
        await run.adapter.pause(random.uniform(0.05, 0.2))


async def nodes(run: Run) -> None:
    """Create, read and delete two nodes."""
    random = run.random("nodes")
    while run.goes_on():
        path = random.choice(NODES)
        kind = random.random()
        if kind < 0.35:
            await run.create(path)
        elif kind < 0.65:
            await run.delete(path)
        else:
            await run.get(path)
        await run.adapter.pause(random.uniform(0.05, 0.2))


async def sequence(run: Run) -> None:
    """Create sequential nodes, and sometimes list them."""
    random = run.random("sequence")
    while run.goes_on():
        await run.create(f"{SEQUENCE}/n", sequential=True)
        if random.random() < 0.1:
            await run.children(SEQUENCE)
        await run.adapter.pause(random.uniform(0.1, 0.4))


async def watches(run: Run) -> None:
    """Set a watch on a node, and read it until the watch has fired. Others, and sometimes we, write it."""
    random = run.random("watches")
    while run.goes_on():
        path = random.choice(WATCHED)
        if random.random() < 0.4:
            await run.set(path)
        else:
            await _watch(run, random, path)
        await run.adapter.pause(random.uniform(0.05, 0.3))


async def _watch(run: Run, random: Random, path: str) -> None:
    states: list[bool] = []
    set_watches: list[Operation] = []
    operation = run.log.begin(run.adapter.session(), Get(path, watch=True))

    def watch(fired: bool) -> None:
        if states:
            return
        states.append(fired)
        if fired:
            run.log.fired(operation)
        for each in set_watches:
            lost(each)

    def lost(ended: Operation) -> None:
        if states == [False]:
            run.log.watch_lost(ended)

    async def work() -> tuple[Answer | None, int | None]:
        return await run.adapter.get(path, watch), None

    ended, answer = await run.finish(operation, work)
    if answer is None:
        run.log.watch_lost(ended)
        return
    # The watch may be lost at any time from now on, or is already.
    set_watches.append(ended)
    lost(ended)
    deadline = time.monotonic() + 3
    while run.goes_on() and not states and time.monotonic() < deadline and run.adapter.session() == operation.session:
        await run.get(path)
        await run.adapter.pause(random.uniform(0.02, 0.1))


async def counter(run: Run) -> None:
    """Add to a counter. Plain reads would prove nothing: a server may lag."""
    random = run.random("counter")

    async def add() -> tuple[Answer | None, int | None]:
        value = await run.adapter.add(COUNTER, 1)
        return None if value is None else Number(value), None

    while run.goes_on():
        await run.do(Add(COUNTER), add)
        await run.adapter.pause(random.uniform(0.05, 0.3))


async def locks(run: Run) -> None:
    """Hold a lock for a short time, again and again, and note the moments at which the program relies on it."""
    random = run.random("locks")
    while run.goes_on():
        lock = run.adapter.lock(LOCK)
        if await lock.acquire():
            begin = time.monotonic_ns()
            token = await _token(lock)
            if token is not None and lock.held():
                hold, last = run.log.acquired(LOCK, begin, token), begin
                for _ in range(random.randrange(1, 10)):
                    await run.adapter.pause(0.05)
                    now = time.monotonic_ns()
                    if not lock.held():
                        break
                    last = now
                run.log.left(hold, last)
            await _release(run, lock)
        await run.adapter.pause(random.uniform(0.05, 0.3))


async def _release(run: Run, lock: Lock) -> None:
    for _ in range(RELEASES):
        try:
            await lock.release()
        except Exception as error:
            run.log.note("error", lock="release", error=f"{type(error).__name__}: {error}")
            await run.adapter.pause(1)
        else:
            return


async def _token(lock: Lock) -> int | None:
    try:
        return await lock.token()
    except Exception:
        return None


async def queue(run: Run) -> None:
    """Put items on a queue, and take them."""
    await _queue(run, "queue", QUEUE, run.adapter.put, run.adapter.take)


async def locking_queue(run: Run) -> None:
    """Put items on a locking queue, and consume them."""
    await _queue(run, "locking-queue", LOCKING_QUEUE, run.adapter.put_locked, run.adapter.consume)


async def _queue(
    run: Run,
    name: str,
    path: str,
    put: Callable[[str, str], Awaitable[None]],
    take: Callable[[str], Awaitable[str | None]],
) -> None:
    random = run.random(name)
    while run.goes_on():
        if random.random() < 0.5:
            item = run.data()

            async def putting(item: str = item) -> tuple[Answer | None, int | None]:
                await put(path, item)
                return None, None

            await run.do(Put(path, item), putting)
        else:

            async def taking() -> tuple[Answer | None, int | None]:
                return Taken(await take(path)), None

            await run.do(Take(path), taking)
        await run.adapter.pause(random.uniform(0.05, 0.3))


async def barrier(run: Run) -> None:
    """Enter and leave a double barrier, at the same times as the other processes, each time at a new path."""
    while run.goes_on():
        # All processes of a machine share this clock.
        number = int(time.monotonic() // ROUND) + 1
        await run.adapter.pause(number * ROUND - time.monotonic())
        if not run.goes_on():
            return

        def note(event: str, number: int = number) -> None:
            run.log.note("barrier", event=event, round=number, session=run.adapter.session())

        double = run.adapter.barrier(f"{BARRIER}/{number}", PROCESSES)
        note("enter")
        entered = await double.enter()
        note("entered" if entered else "not entered")
        if entered:
            await run.adapter.pause(0.2)
            note("leave")
            left = await double.leave()
            note("left" if left else "not left")


async def gate(run: Run) -> None:
    """Wait at a barrier that one of the processes puts in place and removes, each time at a new path, and write when it is passed."""
    process = int(run.log.client.partition(".")[0].rpartition("-")[2])
    adapter = run.adapter
    while run.goes_on():
        number = int(time.monotonic() // ROUND) + 1
        await adapter.pause(number * ROUND - time.monotonic())
        if not run.goes_on():
            return
        path, last = f"{GATE}/{number}/barrier", f"{GATE}/{number - 1}/barrier"
        if process == number % PROCESSES + 1:
            # The process that had to do that may be dead.
            await run.insist(Unblock(last), partial(adapter.unblock, last))
            await run.call(Block(path), partial(adapter.block, path))
            await adapter.pause(BLOCKED)
            await run.insist(Unblock(path), partial(adapter.unblock, path))
        else:
            await adapter.pause(1.0)
            if await run.call(Pass(path), partial(adapter.pass_barrier, path)):
                await run.set(PASSED)


async def party(run: Run) -> None:
    """Join and leave a party, and list its members. Be one at the end, until some time after the end of the run."""
    random = run.random("party")
    name, joined = run.log.client, False
    join, leave = partial(run.adapter.join, PARTY, name), partial(run.adapter.leave, PARTY)

    async def listing() -> tuple[Answer | None, int | None]:
        return Names(frozenset(await run.adapter.members(PARTY))), None

    while run.goes_on():
        kind = random.random()
        if kind < (0.05 if joined else 0.3):
            if not joined and await run.call(Join(PARTY, name), join):
                joined = True
            else:
                await run.insist(Leave(PARTY, name), leave)
                joined = False
        else:
            await run.do(Members(PARTY), listing)
            # It shows that the session lives.
            await run.get(REGISTERS[0])
        await run.adapter.pause(random.uniform(0.1, 0.4))
    if not joined:
        await run.insist(Join(PARTY, name), join)
    run.log.note("stays")
    await run.adapter.pause(run.until + SETTLE - time.monotonic())


async def shares(run: Run) -> None:
    """Share items, and note the moments at which the program relies on each. Stop now and then, and share at the end."""
    random = run.random("shares")
    sharing: Sharing | None = None
    holds: dict[str, tuple[Hold, int]] = {}
    end = run.until + SETTLE - 1
    while time.monotonic() < end:
        before = time.monotonic_ns()
        held = {} if sharing is None else sharing.held()
        begin = time.monotonic_ns()
        for item, (hold, last) in list(holds.items()):
            if item in held and held[item] == hold.token:
                holds[item] = hold, before
            else:
                del holds[item]
                run.log.left(hold, last)
        for item in held.keys() - holds.keys():
            holds[item] = run.log.acquired(f"{SHARES}/{item}", begin, held[item]), begin
        if sharing is None:
            sharing = run.adapter.sharing(SHARES, ITEMS, run.log.client)
        elif run.goes_on() and random.random() < 0.003:
            for hold, last in holds.values():
                run.log.left(hold, last)
            holds.clear()
            await sharing.stop()
            sharing = None
        else:
            await sharing.step()
        await run.adapter.pause(0.05)
    run.log.note("shares", items=sorted(holds))
    await run.adapter.pause(run.until + SETTLE - time.monotonic())
    if sharing is not None:
        for hold, last in holds.values():
            run.log.left(hold, last)
        await sharing.stop()


async def value(run: Run) -> None:
    """Replace a shared value, with and without an expected one, and read it."""
    random = run.random("value")
    seen = ""

    async def update(new: str) -> tuple[Answer | None, int | None]:
        return Changed(await run.adapter.update(VALUE, new)), None

    async def try_set(new: str, expected: str) -> tuple[Answer | None, int | None]:
        await run.adapter.try_set(VALUE, new, expected)
        return None, None

    async def look() -> tuple[Answer | None, int | None]:
        return Value(await run.adapter.look(VALUE)), None

    while run.goes_on():
        kind, new = random.random(), run.data()
        if kind < 0.4:
            await run.do(Change(VALUE, new), partial(update, new))
        elif kind < 0.7:
            await run.do(Change(VALUE, new, seen), partial(try_set, new, seen))
        _, answer = await run.do(Look(VALUE), look)
        if isinstance(answer, Value):
            seen = answer.value
        await run.adapter.pause(random.uniform(0.05, 0.3))


async def ephemerals(run: Run) -> None:
    """Create, read and delete an ephemeral node of our own, and read those of others."""
    random = run.random("ephemerals")
    own = f"{EPHEMERALS}/{run.log.client}"
    while run.goes_on():
        kind = random.random()
        if kind < 0.2:
            await run.create(own, ephemeral=True)
        elif kind < 0.3:
            await run.delete(own)
        elif kind < 0.75:
            await run.get(own)
        else:
            names = sorted(await run.children(EPHEMERALS))
            if names:
                await run.get(f"{EPHEMERALS}/{random.choice(names)}")
        await run.adapter.pause(random.uniform(0.05, 0.2))


async def transactions(run: Run) -> None:
    """Write two nodes together at the versions that were read; create and delete a third one if a version is still the same."""
    random = run.random("transactions")
    versions = dict.fromkeys(PAIR, 0)
    while run.goes_on():
        kind = random.random()
        if kind < 0.5:
            for path in PAIR:
                shown = await run.get(path)
                if shown is not None and shown.version is not None:
                    versions[path] = shown.version
        if kind < 0.75:
            await run.transact(*(Set(path, run.data(), versions[path]) for path in PAIR))
        elif kind < 0.85:
            await run.transact(Check(PAIR[0], versions[PAIR[0]]), Create(MARK, run.data()))
        elif kind < 0.95:
            await run.transact(Delete(MARK), Set(PAIR[1], run.data(), versions[PAIR[1]]))
        else:
            await run.get(MARK)
        await run.adapter.pause(random.uniform(0.05, 0.3))


async def services(run: Run) -> None:
    """Keep a service registered, until some time after the end of the run. The harness observes it."""
    process = run.log.client.partition(".")[0]
    run.log.note("registers")
    await run.adapter.register(f"{SERVICES}/{process}", {"client": run.log.client})
    await run.adapter.pause(run.until + SETTLE - time.monotonic())


WORKLOADS: dict[str, Callable[[Run], Coroutine[Any, Any, None]]] = {
    "registers": registers,
    "nodes": nodes,
    "sequence": sequence,
    "watches": watches,
    "counter": counter,
    "locks": locks,
    "queue": queue,
    "locking-queue": locking_queue,
    "barrier": barrier,
    "gate": gate,
    "party": party,
    "shares": shares,
    "value": value,
    "ephemerals": ephemerals,
    "transactions": transactions,
    "services": services,
}


def arguments(argv: list[str]) -> tuple[str, str, str, float, list[str], Path]:
    """Return the connection string, client's name, seed, last moment, workloads and file of a command line.

    Wait until the harness has seen that all programs are loaded, and has written the last moment. A machine under load may take
    some time for that.
    """
    servers, name, seed, workloads, path = argv
    file = Path(path)
    file.touch()
    until = file.with_name(UNTIL)
    while not until.exists():
        threading.Event().wait(0.05)
    return servers, name, seed, float(until.read_text()), workloads.split(","), file
