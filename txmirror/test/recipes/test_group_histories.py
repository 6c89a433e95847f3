"""Shared values, barriers, parties and shared sets under random faults: the checker of histories finds no change that is lost or done
twice, nobody that passes too early, no wrong list of members, and no item that two hold at once. Planted bugs are found.
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
from txmirror.errors import NoNodeException, ZooKeeperException
from txmirror.recipes import Barrier, Partitioner, Party, Share, SharedValue
from txmirror.recipes.kept_node import KeptNode
from txmirror.test.mirror.world import record_log
from txmirror.test.recipes import test_histories
from txmirror.test.testing.planted import version_not_required
from txmirror.testing.history import (
    Absent,
    Answer,
    Block,
    Call,
    Change,
    Changed,
    Finding,
    Get,
    Join,
    Leave,
    Look,
    Members,
    Names,
    Outcome,
    Pass,
    Refusal,
    Refused,
    Rule,
    Unblock,
    Value,
    judge,
)

_RUNS = 4
_STEPS = 60
_VALUE, _BARRIER, _PARTY, _SHARES = "/app/value", "/app/barrier", "/app/party", "/app/shares"
_ITEMS = ("a", "b", "c")
_NOTHING = "/nothing"
Ended = Callable[[Any], tuple[Outcome, Answer | None]]


class Program:
    """A program with a shared value, a barrier, a party, and a share of a set.

    :ivar begun: the operations that have not ended.
    """

    def __init__(self, run: Run, name: str, client: ZooKeeperClient) -> None:
        self.run = run
        self.name = name
        self.client = client
        self.begun: list[Deferred[Any]] = []
        self.joined = self.sharing = False
        self.seen = b""
        reactor = run.world.reactor
        self.value = SharedValue(client, _VALUE, reactor=reactor)
        self.barrier = Barrier(client, _BARRIER, reactor=reactor)
        self.party = Party(client, _PARTY, name=name, reactor=reactor)
        self.shares = Partitioner(client, _SHARES, _ITEMS, self.hold, name=name, delay=0.5, reactor=reactor)

    def record(self, call: Call, work: Deferred[Any], ended: Ended, doubt: Callable[[], Answer | None]) -> None:
        """Record the end of an operation that begins now.

        :param ended: returns the outcome and the answer of a result.
        :param doubt: returns the answer of an operation with an unknown outcome.
        """
        number = self.run.recorder.begin(self.name, self.client.session.session_number, call)
        session = self.client.session.session_number

        def end(result: Any) -> None:
            self.begun.remove(work)
            outcome, answer = Outcome.UNKNOWN, None
            if not isinstance(result, Failure):
                outcome, answer = ended(result)
            else:
                result.trap(CancelledError, ZooKeeperException)
                refused = isinstance(result.value, ZooKeeperException) and result.value.applied is False
                outcome = Outcome.NOT_APPLIED if refused else Outcome.UNKNOWN
                answer = None if refused else doubt()
            if isinstance(call, Get) and session != self.client.session.session_number:
                outcome, answer = Outcome.UNKNOWN, None
            self.run.recorder.end(number, outcome, answer)

        self.begun.append(work)
        work.addBoth(end)

    def do(
        self,
        call: Call,
        work: Deferred[Any],
        answer: Callable[[Any], Answer | None] = lambda _: None,
        doubt: Callable[[], Answer | None] = lambda: None,
    ) -> None:
        """Record an operation that is done if it does not fail."""
        self.record(call, work, lambda result: (Outcome.APPLIED, answer(result)), doubt)

    def act(self, random: Random) -> None:
        """Begin something."""
        actions = (self.update, self.try_set, self.look, self.block, self.unblock, self.wait, self.meet, self.list)
        random.choices((*actions, self.share), [4, 3, 2, 2, 2, 4, 2, 4, 2])[0](random)

    def update(self, random: Random) -> None:
        """Replace the value."""
        self.run.items += 1
        value, formers = str(self.run.items), list[bytes]()

        def change(former: bytes) -> bytes:
            formers.append(former)
            return value.encode()

        def former() -> Answer | None:
            return Changed(formers[-1].decode()) if formers else None

        self.do(Change(_VALUE, value), self.value.update(change), lambda _: former(), former)

    def try_set(self, random: Random) -> None:
        """Replace the value, if it is the one that was seen."""
        self.run.items += 1
        value = str(self.run.items)

        def ended(done: bool) -> tuple[Outcome, Answer | None]:
            return (Outcome.APPLIED, None) if done else (Outcome.NOT_APPLIED, Refused(Refusal.OTHER_VALUE))

        call = Change(_VALUE, value, self.seen.decode())
        self.record(call, self.value.try_set(value.encode(), self.seen), ended, lambda: None)

    def look(self, random: Random) -> None:
        """Read the value."""

        def answer(data: bytes) -> Answer:
            self.seen = data
            return Value(data.decode())

        self.do(Look(_VALUE), self.value.get(), answer)

    def block(self, random: Random) -> None:
        """Put the barrier in place."""
        self.do(Block(_BARRIER), self.barrier.create())

    def unblock(self, random: Random) -> None:
        """Remove the barrier."""

        def ended(removed: bool) -> tuple[Outcome, Answer | None]:
            return Outcome.APPLIED if removed else Outcome.NOT_APPLIED, None

        self.record(Unblock(_BARRIER), self.barrier.remove(), ended, lambda: None)

    def wait(self, random: Random) -> None:
        """Wait at the barrier."""

        def ended(passed: bool) -> tuple[Outcome, Answer | None]:
            return Outcome.APPLIED if passed else Outcome.NOT_APPLIED, None

        waiting = self.barrier.wait(timeout=random.choice((None, 2.0)))
        self.record(Pass(_BARRIER), waiting, ended, lambda: None)

    def meet(self, random: Random) -> None:
        """Join the party, or leave it."""
        self.joined = not self.joined
        if self.joined:
            self.do(Join(_PARTY, self.name), self.party.join().addErrback(self.not_joined))
        else:
            self.do(Leave(_PARTY, self.name), self.party.leave())

    def not_joined(self, failure: Failure) -> Failure:
        """Note that we are no member, also after the call was cancelled."""
        self.joined = False
        return failure

    def list(self, random: Random) -> None:
        """List the members, and then show that the session lives."""
        self.do(Members(_PARTY), self.party.members(), lambda names: Names(frozenset(names)))
        reading = self.client.get(_NOTHING).addErrback(lambda failure: failure.trap(NoNodeException) and None)
        self.do(Get(_NOTHING), reading, lambda _: Absent())

    def share(self, random: Random) -> None:
        """Begin to share items, or stop."""
        if not self.sharing:
            self.sharing = True
            self.shares.start().addErrback(lambda failure: failure.trap(CancelledError, ZooKeeperException))
        else:
            self.shares.stop().addCallback(lambda _: setattr(self, "sharing", False))

    def hold(self, share: Share) -> Deferred[None]:
        """Rely on an item until this is cancelled."""
        number = self.run.recorder.acquired(self.name, f"{_SHARES}/{share.item}", share.token)
        return Deferred(lambda _: self.run.recorder.left(number))


class Run(test_histories.Run):
    """A world with these programs. A session that expires too early would break the promises of shares."""

    def start(self) -> None:
        self.added += 1
        self.programs.append(Program(self, str(self.added), self.connect()))

    def work(self) -> None:
        for program in self.random.sample(self.programs, 2):
            if program.begun and self.random.random() < 0.1:
                self.random.choice(program.begun).cancel()
            elif len(program.begun) < 4:
                program.act(self.random)

    def fault(self, server: Any) -> None:
        expire = server.expire_session
        sharing = {program.client.session_id for program in self.programs if program.sharing}
        server.expire_session = lambda session: None if session in sharing else expire(session)
        try:
            super().fault(server)
        finally:
            server.expire_session = expire

    def end(self) -> None:
        """Let all faults be over, and look at all."""
        self.calm_down()
        last = self.programs[0]
        for action in (last.look, last.list, last.unblock, last.wait):
            action(self.random)
            self.world.pass_time(1.0)


class HistoriesTests(SynchronousTestCase):
    def run_once(self, seed: int, settings: dict[str, Any]) -> list[Finding]:
        """Run once. Return what the checker finds."""
        run = Run(Random(seed), **settings)
        try:
            for _ in range(_STEPS):
                run.step()
            run.end()
            history = run.recorder.history()
            self.ended += sum(operation.outcome is Outcome.APPLIED for operation in history.operations)
            self.held += len(history.holds)
            findings = judge(history)
            if not findings:
                self.check_end(run)
            return findings
        finally:
            run.world.close()

    def check_end(self, run: Run) -> None:
        """Check that all who want to be in the party are there, and that each item has one holder if somebody shares."""
        expected = sorted(program.name for program in run.programs if program.joined)
        present = sorted(run.world.result(run.programs[0].party.members()))
        self.assertEqual(present, expected)
        held = sorted(item for program in run.programs for item in program.shares.shares)
        sharing = any(program.sharing for program in run.programs)
        self.assertEqual(held, list(_ITEMS) if sharing else [])

    def runs(self, **settings: Any) -> None:
        self.ended = self.held = 0
        record_log(self)
        for seed in range(int(os.environ.get(test_histories.RUNS, _RUNS))):
            self.assertEqual([str(each) for each in self.run_once(seed, settings)], [], f"seed {seed}")
        # There was something to be judged.
        self.assertGreater(self.ended, 100)
        self.assertGreater(self.held, 10)

    def test_one_server(self) -> None:
        """One server."""
        self.runs()

    def test_ensemble(self) -> None:
        """An ensemble, with followers that lag."""
        self.runs(servers=3)

    def test_keeper(self) -> None:
        """ClickHouse Keeper, where each lost connection costs the session."""
        self.runs(version="keeper")

    # Planted bugs.

    def found_within(self, rule: Rule, count: int) -> None:
        """A rule is broken with one of so many seeds, at an ensemble."""
        self.ended = self.held = 0
        record_log(self)
        for seed in range(count):
            if rule in {finding.rule for finding in self.run_once(seed, {"servers": 3})}:
                return
        self.fail(f"not found within {count} seeds")

    def test_passed_early(self) -> None:
        """A call that passes a barrier when its session expires, and does not look, is found."""

        async def wait(self: Barrier) -> bool:
            await self._place.sync()
            try:
                _, watch = await self._place.retry_policy.send_and_watch(lambda: self._client.get_and_watch(self.path))
                await watch
            except ZooKeeperException:
                pass
            return True

        self.patch(Barrier, "_wait", wait)
        self.found_within(Rule.BARRIER, 20)

    def test_left_behind(self) -> None:
        """A member that leaves, and whose node stays, is found."""

        async def remove(self: KeptNode) -> None:
            """Delete nothing."""

        self.patch(KeptNode, "_remove", remove)
        self.found_within(Rule.MEMBERS, 10)

    def test_version_not_required(self) -> None:
        """A change of a shared value that overwrites another is found."""
        version_not_required(self.patch)
        self.found_within(Rule.VALUE, 10)
