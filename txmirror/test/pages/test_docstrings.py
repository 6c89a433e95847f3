"""The examples in docstrings, which the pages of the reference show, run as they are written, in a world in memory."""

from __future__ import annotations

import ast
import inspect
import unittest
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

import txmirror
from txmirror import ZooKeeperClient, recipes, testing
from txmirror.embedded import EmbeddedServer
from txmirror.test.pages.blocks import find_blocks
from txmirror.testing import World


def find_examples() -> Iterator[tuple[str, str]]:
    """Yield the blocks of all docstrings of the package, with the names of their classes and functions."""
    folder = Path(txmirror.__file__).parent
    for path in folder.rglob("*.py"):
        if path.relative_to(folder).parts[0] == "test":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for block in find_blocks(ast.get_docstring(node) or ""):
                    yield getattr(node, "name", path.stem), block.text


EXAMPLES = dict(find_examples())
#: The time of three dots in an example, in seconds.
_PAUSE = 20.0


class Noted:
    """An object of the program of an example: it notes the calls of its methods, which can be awaited."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return partial(self._note, name)

    def _note(self, *call: Any, **_options: Any) -> Deferred[None]:
        self.calls.append(call)
        return succeed(None)


class DocstringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.program = Noted()
        self.printed: list[str] = []
        self.names: dict[str, Any] = {name: getattr(recipes, name) for name in recipes.__all__}
        self.names.update(client=self.world.client(), print=lambda value: self.printed.append(str(value)))

    def begin(self, name: str, **names: Any) -> Deferred[None]:
        """Begin to run an example. Where it has three dots, time passes."""
        self.names.update(names, pause=lambda: deferLater(self.world.reactor, _PAUSE))
        text = EXAMPLES[name].replace("\n...\n", "\nawait pause()\n")
        compiled = compile(text, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(compiled, self.names)  # noqa: S307 - it is code of a docstring
        begun: Deferred[None] = Deferred.fromCoroutine(result) if inspect.iscoroutine(result) else succeed(None)
        self.world.settle()
        return begun

    def run_example(self, name: str, **names: Any) -> None:
        """Run an example to its end."""
        begun = self.begin(name, **names)
        self.world.pass_time(_PAUSE)
        self.world.result(begun)

    def other(self, kind: str, /, *arguments: Any, **options: Any) -> Any:
        """Return a recipe of another program."""
        return getattr(recipes, kind)(self.world.client(), *arguments, **options)

    def test_all(self) -> None:
        """Each example has its test."""
        tests = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")}
        self.assertEqual(set(EXAMPLES) - tests, set())
        self.assertGreater(len(EXAMPLES), 15)

    def test_Barrier(self) -> None:
        self.run_example("Barrier")
        self.assertIs(self.world.result(self.other("Barrier", "/maintenance").wait()), True)

    def test_Counter(self) -> None:
        self.run_example("Counter")
        self.assertEqual(self.names["total"], 2)

    def test_DoubleBarrier(self) -> None:
        begun = self.begin("DoubleBarrier", work=self.program.work)
        others = [self.other("DoubleBarrier", "/jobs/17", count=3, name=name) for name in ("host2", "host3")]
        self.assertEqual(self.program.calls, [])
        for each in others:
            each.enter()
        self.world.settle()
        self.assertEqual(self.program.calls, [("work",)])
        self.assertNoResult(begun)
        for each in others:
            each.leave()
        self.world.result(begun)

    def test_Election(self) -> None:
        begun: list[Deferred[None]] = []

        def sweep() -> Deferred[None]:
            begun.append(Deferred())
            return begun[0]

        running = self.begin("Election", sweep=sweep)
        self.assertEqual(len(begun), 1)
        self.names["sweeping"].addErrback(lambda failure: failure.trap(CancelledError))
        self.world.pass_time(_PAUSE)
        self.world.result(running)
        self.world.settle()
        self.assertIs(self.successResultOf(self.names["sweeping"]), CancelledError)

    def test_Leadership(self) -> None:
        election = recipes.Election(self.names["client"], "/sweeper")
        begun = self.begin("Leadership", election=election, sweeper=self.program)
        self.assertEqual(self.program.calls, [("start",)])
        self.world.server.expire_session(self.names["client"].session_id)
        self.world.pass_time(60.0)
        self.assertEqual(self.program.calls, [("start",), ("stop",), ("start",)])
        self.world.result(election.stop())
        self.world.result(begun)

    def test_Lock(self) -> None:
        self.run_example("Lock", report=self.program)
        ((make, token),) = self.program.calls
        self.assertEqual((make, type(token)), ("make", int))

    def test_LockingQueue(self) -> None:
        self.run_example("LockingQueue", resize=partial(self.program._note, "resize"))
        self.assertEqual(self.program.calls, [("resize", b"resize 17")])
        self.assertEqual(self.world.result(self.names["queue"].length()), 0)

    def test_Members(self) -> None:
        self.world.result(self.other("Members", "/groups/cache", "host2", b"10.0.0.2:7000").join())
        self.run_example("Members")
        (printed,) = self.printed
        shown = EXAMPLES["Members"].partition("# ")[2].strip()
        self.assertTrue(printed.startswith(shown.removesuffix("...}")), printed)

    def test_MultiLock(self) -> None:
        self.run_example("MultiLock", work=self.program)
        self.assertEqual(self.program.calls, [])

    def test_Partitioner(self) -> None:
        partitioner = partial(recipes.Partitioner, reactor=self.world.reactor)
        self.run_example("Partitioner", feeds=self.program, Partitioner=partitioner)
        self.world.settle()
        self.assertEqual({call for call in self.program.calls if call[0] == "save"}, {("save", item) for item in "abc"})

    def test_Party(self) -> None:
        self.run_example("Party")
        self.assertEqual(self.printed, ["['host1']"])

    def test_Queue(self) -> None:
        self.run_example("Queue")
        self.assertEqual(self.names["job"], b"resize 17")

    def test_SharedValue(self) -> None:
        self.run_example("SharedValue", with_limit=lambda value, name, most: b"%b %s %d" % (value, name.encode(), most))
        self.assertEqual(self.world.result(self.names["limits"].get()), b"{} upload 10")

    def test_TakenEntry(self) -> None:
        queue = recipes.LockingQueue(self.names["client"], "/jobs")
        self.world.result(queue.put(b"x"))
        self.run_example("TakenEntry", queue=queue, process=partial(self.program._note, "process"))
        self.assertEqual(self.program.calls, [("process", b"x")])

    def test_MemoryReactor(self) -> None:
        names = {"MemoryReactor": testing.MemoryReactor, "EmbeddedServer": EmbeddedServer}
        self.run_example("MemoryReactor", ZooKeeperClient=ZooKeeperClient, **names)
        self.successResultOf(self.names["connected"])
        self.names["client"].close()
        self.names["reactor"].settle()
        self.names["server"].stop()

    def test_World(self) -> None:
        programs: list[Any] = []
        self.run_example("World", World=World, Program=lambda *given, **options: programs.append((given, options)))
        world = self.names["world"]
        self.assertEqual(programs, [((world.connect_string,), {"reactor": world.reactor})])

    def test_EmbeddedServerMixin(self) -> None:
        addresses: list[str] = []

        async def run_program(address: str) -> None:
            addresses.append(address)

        names = {"EmbeddedServerMixin": testing.EmbeddedServerMixin, "TestCase": TestCase}
        self.run_example("EmbeddedServerMixin", run_program=run_program, **names)
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(self.names["ProgramTests"]).run(result)
        self.assertEqual((result.testsRun, result.errors, result.failures, len(addresses)), (1, [], [], 1))
