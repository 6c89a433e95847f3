"""The commands of ``queue``: put entries into a :class:`~txmirror.recipes.LockingQueue`, and take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.defer import Deferred

from txmirror.cli.child import Child
from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import Status, message_of, status_of
from txmirror.cli.while_held import release, run_while_held
from txmirror.errors import ZooKeeperException
from txmirror.printable import process_name
from txmirror.recipes import LockingQueue, Queue, TakenEntry

#: The program's environment variable for the name of the entry's node.
ENTRY = "TXMIRROR_ENTRY"
#: The most bytes and the most entries of one transaction. The servers accept 1 MiB by default.
_MOST_BYTES, _MOST_ENTRIES = 500_000, 500
#: The bytes of an entry besides its value and the queue's path: the rest of its path, its ACL, and the lengths.
_OVERHEAD = 200


def put(run: Run, path: str, values: Sequence[bytes], priority: int) -> Deferred[Outcome]:
    """Put entries into a queue, in their order: each once, and as many in one transaction as fit.

    :returns: fails as :meth:`txmirror.recipes.LockingQueue.put_all`. If a part was put before, the outcome says how many.
    """
    return Deferred.fromCoroutine(_put(run, path, values, priority))


def get(
    run: Run,
    path: str,
    make_child: Callable[[], Child] | None,
    *,
    wait: float | None,
    count: int,
    grace: float | None,
    lines: bool,
) -> Deferred[Outcome]:
    """Take entries from a queue, one after another. Each is consumed when it was printed, or when a program has succeeded.

    :param make_child: returns a new run of the program for an entry, which is its standard input; None prints the entries.
    :param wait: the limit for each entry, in seconds; 0 does not wait; None waits without limit.
    :param count: the most entries to take; 0 sets no limit.
    :param grace: the time for the program to end when the entry is lost: see :func:`~txmirror.cli.while_held.run_while_held`.
    :param lines: whether to print a line end after each entry.
    :returns: fires when all are taken; or when there was no entry in time; or with the status of the first program that has failed,
        when its entry is released. Fails if no session could be opened in time, and as
        :meth:`txmirror.recipes.LockingQueue.get` and :meth:`txmirror.recipes.TakenEntry.consume`.
    """
    return Deferred.fromCoroutine(_get(run, path, _Consumer(run, path, make_child, grace, lines), wait, count))


def peek(run: Run, path: str) -> Deferred[Outcome]:
    """Show the first entry of a queue, also if it is taken and not consumed yet.

    :returns: fails as :meth:`txmirror.recipes.Queue.peek`.
    """
    # The entries have the names of a Queue's.
    entries = Queue(run.client, f"{path}/entries", reactor=run.reactor)

    def show(value: bytes | None) -> Outcome:
        if value is None:
            return Outcome(status=Status.TRY_LATER, errors=(f"{path!r} has no entry",))
        return Outcome(data=value)

    return entries.peek().addCallback(show)


def length(run: Run, path: str) -> Deferred[Outcome]:
    """Show the number of the entries of a queue, also of those that are taken and not consumed yet.

    :returns: fails as :meth:`txmirror.recipes.LockingQueue.length`.
    """
    counting = LockingQueue(run.client, path, reactor=run.reactor).length()
    return counting.addCallback(lambda number: Outcome((str(number),)))


def _batches(values: Sequence[bytes], path: str) -> Iterator[list[bytes]]:
    """Yield the values in lists, each for one transaction."""
    batch: list[bytes] = []
    size = 0
    for value in values:
        more = len(value) + len(path.encode()) + _OVERHEAD
        if batch and (size + more > _MOST_BYTES or len(batch) == _MOST_ENTRIES):
            yield batch
            batch, size = [], 0
        batch.append(value)
        size += more
    if batch:
        yield batch


async def _put(run: Run, path: str, values: Sequence[bytes], priority: int) -> Outcome:
    queue = LockingQueue(run.client, path, acl=run.acl, reactor=run.reactor)
    done = 0
    for batch in _batches(values, path):
        which = "the entry" if len(values) == 1 else f"{len(batch)} entries"
        before = f"{done} of {len(values)} entries were put, and " if done else ""
        run.note_doubt(f"{before}{which} may have been put")
        try:
            await queue.put_all(batch, priority)
        except ZooKeeperException as error:
            if not done:
                raise
            text = f"{done} of {len(values)} entries were put: {message_of(error)}"
            return Outcome(status=status_of(error), errors=(text,))
        done += len(batch)
    if not values:
        await run.client.when_connected()
    return Outcome()


async def _get(run: Run, path: str, consumer: _Consumer, wait: float | None, count: int) -> Outcome:
    queue = LockingQueue(run.client, path, name=process_name(), acl=run.acl, reactor=run.reactor)
    await run.client.when_connected()
    run.outlive_outages()
    taken = 0
    while not count or taken < count:
        entry = await queue.get(wait=wait)
        if entry is None:
            if taken:
                break
            how = f"had no entry within {wait:g} s" if wait else "has no entry"
            return Outcome(status=Status.TRY_LATER, errors=(f"{path!r} {how}",))
        taken += 1
        outcome = await consumer.handle(entry)
        if outcome is not None:
            return outcome
    return Outcome()


class _Consumer:
    """Handles entries that were taken. The parameters are those of :func:`get`."""

    def __init__(
        self, run: Run, path: str, make_child: Callable[[], Child] | None, grace: float | None, lines: bool
    ) -> None:
        self._run = run
        self._path = path
        self._make_child = make_child
        self._grace = grace
        self._lines = lines

    async def handle(self, entry: TakenEntry) -> Outcome | None:
        """Handle an entry, and consume or release it.

        :returns: the outcome if no further entry must be taken.
        """
        if self._make_child is not None:
            return await self._run_program(entry, self._make_child())
        # First the output: an entry that nobody has got is not consumed.
        if not self._run.console.data(entry.data + b"\n" if self._lines else entry.data):
            await release(self._run, entry)
            return Outcome()
        return await self._consume(entry)

    async def _run_program(self, entry: TakenEntry, child: Child) -> Outcome | None:
        def report_loss() -> None:
            self._run.console.fail(f"{self._path!r}: the entry {entry.name} was lost: ending {child.name}")

        succeeded = False
        try:
            status, lost = await run_while_held(
                *(self._run, entry, child, self._grace, report_loss),
                variables={ENTRY: entry.name},
                stdin=entry.data,
            )
            succeeded = status == 0 and not lost
        finally:
            if not succeeded:
                await release(self._run, entry)
        if not succeeded:
            return Outcome(status=Status.UNAVAILABLE if lost else status)
        self._run.forward_signals(None)
        outcome = await self._consume(entry)
        # A program that was asked to end, and has succeeded, is the last one.
        return Outcome() if outcome is None and child.asked_to_end is not None else outcome

    async def _consume(self, entry: TakenEntry) -> Outcome | None:
        if await entry.consume():
            return None
        text = f"{self._path!r}: the entry {entry.name} was lost before it was consumed: another can take it"
        return Outcome(status=Status.UNAVAILABLE, errors=(text,))
