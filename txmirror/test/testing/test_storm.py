from __future__ import annotations

import gc
import os
import random
import runpy
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import ClassVar

from hypothesis import settings
from twisted.internet.defer import fail
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from txmirror.errors import NoNodeException
from txmirror.test.pages.found import tested_blocks
from txmirror.test.pages.terminals import difference, matches
from txmirror.test.test_examples import find_examples
from txmirror.test.testing.planted import (
    PLANTED,
    PLANTED_ENDPOINTS,
    PLANTED_RECIPES,
    Patch,
    agent_left_open,
    attempt_left,
    change_sent_again,
    contender_asleep,
    dropped_response_kept,
    entered_early,
    lock_kept,
    locks_not_given_up,
    loss_forgotten,
    mark_not_read,
    members_not_followed,
    persistent_not_rearmed,
    port_kept,
    post_repeated,
    read_only_hidden,
    refused_for_ever,
    session_left_closed,
    share_given_up_early,
    shared_session_kept,
    stale_settled,
    version_not_required,
    wake_up_lost,
    watch_not_rearmed,
    withdrawn_kept,
    write_retried,
)
from txmirror.testing import World, storm
from txmirror.testing.history import from_lines, judge
from txmirror.testing.storm.command import plan_of
from txmirror.testing.storm.storms import Storm

#: How many storms to run with new seeds, in place of :data:`_STORMS` with fixed ones. Then all bugs are planted, too.
STORMS = "TXMIRROR_STORMS"
_STORMS = 8
_STORMS_OF_RECIPES = 4
_STORMS_OF_ENDPOINTS = 3
#: True where another Python runs the same tests with more examples.
_FEW = settings().max_examples < 10
_STEPS = 100


def run_child(*arguments: str, status: int = 0, module: str = "txmirror.testing.storm") -> bytes:
    """Run the command in a child process, and return its output."""
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "random"}
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False, timeout=60)
    assert ended.returncode == status, ended
    return ended.stdout


class StormTests(SynchronousTestCase):
    def test_seeds(self) -> None:
        """M1 to M9, rules 3 to 9, 12 and 13: whatever happens, no check fails, in the end all settles, and nothing is left."""
        self.assertGreater(self.run_storms(_STORMS), 3)

    def test_recipes(self) -> None:
        """The same holds for the program that has only recipes."""
        self.assertGreater(self.run_storms(_STORMS_OF_RECIPES, recipes=True), 3)

    def test_endpoints(self) -> None:
        """The same holds for the program that has only endpoints."""
        self.assertGreater(self.run_storms(_STORMS_OF_ENDPOINTS, endpoints=True), 3)

    def run_storms(self, count: int, **program: bool) -> int:
        """Run storms, and return the number of their faults."""
        asked = os.environ.get(STORMS)
        first = Random().randrange(10**9) if asked else 1
        faults = 0
        for seed in range(first, first + int(asked or (1 if _FEW else count))):
            result = Storm(plan_of(seed, **program), seed).run(_STEPS)
            self.assertIsNone(result.failed, f"seed {seed}")
            faults += result.faults
        return faults

    def test_page(self) -> None:
        """The careless program of the examples fails as the documentation shows, and its commands for storms are valid."""
        failure, commands = tested_blocks("docs/guides/testing.rst", __name__)
        self.patch(sys, "path", [str(find_examples()), *sys.path])
        self.addCleanup(sys.modules.pop, "counter", None)
        careless = runpy.run_path(str(find_examples() / "test_storm.py"))["CarelessProgram"]
        error = self.assertRaises(AssertionError, storm.check, lambda: World(servers=3), careless, seeds=[11], steps=60)
        found = str(error).splitlines()
        self.assertTrue(matches(failure.lines, found), difference(failure.lines, found))
        for line in commands.lines:
            python, option, module, *arguments = line.split()
            self.assertEqual((python, option, module), ("python", "-m", "txmirror.testing.storm"))
            self.assertIn(b"seed 1: ", run_child(*arguments, "--count", "1", "--steps", "3"))

    def test_same_bytes(self) -> None:
        """The same seed gives the same log, to the byte, in another process whose strings have other hashes; and the same
        operations."""
        files = [self.mktemp(), self.mktemp()]
        first, second = (run_child("--seed", "2", "--steps", "60", "--operations", file) for file in files)
        self.assertGreater(len(first.splitlines()), 50)
        self.assertEqual(second, first)
        operations = [open(file, "rb").read() for file in files]  # noqa: PTH123, SIM115 - two small files
        self.assertEqual(operations[1], operations[0])
        history = from_lines(operations[0].decode().splitlines())
        self.assertGreater(len(history.operations), 10)
        self.assertEqual(judge(history), [])

    def test_prefix(self) -> None:
        """The log of fewer steps is the beginning of the log of more steps."""
        logs: list[list[str]] = []
        for steps in (20, 40):
            lines: list[str] = []
            Storm(plan_of(5), 5, lines.append).run(steps)
            logs.append([line for line in lines if int(line.split()[0]) < 20])
        self.assertEqual(logs[0], logs[1])


class PlantedTests(SynchronousTestCase):
    """Bugs that are planted are found within the documented number of seeds."""

    def find(self, plant: Callable[[Patch], None]) -> None:
        program = {"recipes": plant in PLANTED_RECIPES, "endpoints": plant in PLANTED_ENDPOINTS}
        count = {**PLANTED, **PLANTED_RECIPES, **PLANTED_ENDPOINTS}[plant]
        if (count > 20 or _FEW) and STORMS not in os.environ:
            raise SkipTest(f"takes long; {STORMS} runs it")
        plant(self.patch)
        for seed in range(1, count + 1):
            if Storm(plan_of(seed, **program), seed).run(_STEPS).failed is not None:
                # What waits in a world that was left as it is is interrupted by the garbage collector.
                gc.collect()
                self.flushLoggedErrors(ValueError, RuntimeError)
                return
        self.fail(f"not found within {count} seeds")

    def test_wake_up_lost(self) -> None:
        """A lost wake-up after a full queue is found."""
        self.find(wake_up_lost)

    def test_watch_not_rearmed(self) -> None:
        """A watch that is not set again is found."""
        self.find(watch_not_rearmed)

    def test_stale_settled(self) -> None:
        """A stale node that counts as read is found."""
        self.find(stale_settled)

    def test_write_retried(self) -> None:
        """A retry of a write whose outcome is unknown is found."""
        self.find(write_retried)

    def test_lock_kept(self) -> None:
        """A lock that is not given up at two thirds of the session timeout is found."""
        self.find(lock_kept)

    def test_persistent_not_rearmed(self) -> None:
        """Persistent watches that are not set again are found."""
        self.find(persistent_not_rearmed)

    def test_session_left_closed(self) -> None:
        """A session that is closed, and not handed over, is found."""
        self.find(session_left_closed)

    def test_read_only_hidden(self) -> None:
        """A read-only server that is not reported as one is found."""
        self.find(read_only_hidden)

    def test_refused_for_ever(self) -> None:
        """An unreadable node that is not read again is found."""
        self.find(refused_for_ever)

    def test_contender_asleep(self) -> None:
        """A registry that does not take over a node for which it waits is found."""
        self.find(contender_asleep)

    def test_withdrawn_kept(self) -> None:
        """A provider that keeps what was withdrawn during an outage is found."""
        self.find(withdrawn_kept)

    def test_mark_not_read(self) -> None:
        """A queue or a counter whose transaction is done twice is found."""
        self.find(mark_not_read)

    def test_entered_early(self) -> None:
        """A double barrier that opens too early is found."""
        self.find(entered_early)

    def test_locks_not_given_up(self) -> None:
        """Some of several locks that are kept without the others are found."""
        self.find(locks_not_given_up)

    def test_shared_session_kept(self) -> None:
        """A shared session that outlives its last user is found."""
        self.find(shared_session_kept)

    def test_attempt_left(self) -> None:
        """An attempt to connect that goes on although it was cancelled is found."""
        self.find(attempt_left)

    def test_port_kept(self) -> None:
        """A port that is not withdrawn is found."""
        self.find(port_kept)

    def test_post_repeated(self) -> None:
        """A request that must not be repeated, and is, is found."""
        self.find(post_repeated)

    def test_loss_forgotten(self) -> None:
        """A failure that hides that a server may have received the request is found."""
        self.find(loss_forgotten)

    def test_dropped_response_kept(self) -> None:
        """A connection that nobody uses any more, and is not closed, is found."""
        self.find(dropped_response_kept)

    def test_agent_left_open(self) -> None:
        """A connection that outlives its agent is found."""
        self.find(agent_left_open)

    def test_share_given_up_early(self) -> None:
        """An item of a shared set that is given up while its job works is found."""
        self.find(share_given_up_early)

    def test_members_not_followed(self) -> None:
        """A member that keeps the share of another is found."""
        self.find(members_not_followed)

    def test_version_not_required(self) -> None:
        """A change of a shared value that overwrites another is found."""
        self.find(version_not_required)

    def test_change_sent_again(self) -> None:
        """A change of a shared value that is done twice is found."""
        self.find(change_sent_again)


class Program:
    """A program that expects a node that nobody creates, from a certain action on."""

    fails_at: ClassVar[int] = 7

    def __init__(self, world: World) -> None:
        self.client = world.client()
        self.actions = 0

    def act(self, random: Random) -> None:
        self.actions += 1

    def check(self) -> None:
        """Nothing."""

    async def check_settled(self) -> None:
        try:
            await self.client.get("/missing")
        except NoNodeException:
            assert self.actions < self.fails_at, f"{self.actions} actions"


class Raising(Program):
    """A program whose action raises."""

    def act(self, random: Random) -> None:
        raise ZeroDivisionError("at the first action")


class Leaking(Program):
    """A program that leaves a timer."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.timer = world.reactor.callLater(1e6, print)


class Careless(Program):
    """A program that does not handle a failure, and refers to it in a cycle, so that only the garbage collector finds it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.unhandled = fail(ZeroDivisionError("unhandled"))
        self.itself = self


class Ending(Leaking):
    """A program that ends its timer when the storm ends."""

    def close(self) -> None:
        self.timer.cancel()


class CheckTests(SynchronousTestCase):
    """``storm.check``."""

    def failure(self, program: Callable[[World], Program]) -> str:
        error = self.assertRaises(AssertionError, storm.check, World, program, seeds=[4], steps=50)
        return str(error)

    def test_shortest(self) -> None:
        """The message names the seed, the shortest prefix, and the call that repeats it; one step less does not fail."""
        text = self.failure(Program)
        self.assertIn("seed 4 fails", text)
        found = text.partition("seeds=[4], steps=")[2].partition(")")[0]
        steps = int(found)
        self.assertLess(steps, 50)
        storm.check(World, Program, seeds=[4], steps=steps - 1)
        self.assertIn(f"has {steps} of 50 steps", text)

    def test_raises(self) -> None:
        """An exception of the program is a failure, with its traceback."""
        self.assertIn("ZeroDivisionError: at the first action", self.failure(Raising))

    def test_leaks(self) -> None:
        """What the program leaves is a failure."""
        self.assertIn("a delayed call", self.failure(Leaking))

    def test_unhandled(self) -> None:
        """A failure that nobody has handled is one of the storm, also if it is only found when all is over."""
        self.assertIn("ZeroDivisionError: unhandled", self.failure(Careless))
        self.flushLoggedErrors(ZeroDivisionError)

    def test_closed(self) -> None:
        """A program that has a method for it is closed at the end, and then leaves nothing."""
        storm.check(World, Ending, seeds=[4], steps=1)

    def test_entropy_restored(self) -> None:
        """After a storm the process has its own entropy again."""
        before = (os.getpid(), os.urandom)
        storm.check(World, Program, seeds=[1], steps=0)
        self.assertEqual((os.getpid(), os.urandom), before)

    def test_random(self) -> None:
        """All random numbers come from the seed: those of the module, and of generators that were made without one, as a client makes
        it. Then the module goes on where it was."""
        before = random.getstate()
        seen: list[tuple[float, ...]] = []

        class Drawing(Program):
            def check(self) -> None:
                seen.append((random.random(), Random().random(), Random(7).random()))

        for seed in (1, 1, 2):
            storm.check(World, Drawing, seeds=[seed], steps=1)
        self.assertEqual(random.getstate(), before)
        first, second, other = seen[:2], seen[2:4], seen[4:]
        self.assertEqual(second, first)
        self.assertNotEqual(other[0][:2], first[0][:2])
        self.assertEqual(other[0][2], Random(7).random())
