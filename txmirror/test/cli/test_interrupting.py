"""Ctrl-C at every moment of a command's life, and a second one after it: a status, and not a word."""

from __future__ import annotations

import gc
from collections.abc import Callable

from txmirror.cli.command import main
from txmirror.errors import NodeExistsException
from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.test.hypothesis_profiles import stride
from txmirror.test.models import record_complaints, run_next

#: How many nodes there are: so many that one call within another for each of them would be too many for Python.
_NODES = 400
#: How many calls of the reactor a command goes on for, at most, after it was interrupted.
_CALLS = 60


class InterruptingTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        for number in range(_NODES):
            self.other.create(f"/n{number}")
        self.world.settle()
        self.complaints = record_complaints(self)

    def begin(self, *arguments: str) -> Command:
        """Start a command line, before anything happens."""
        command = Command(self.world)
        main(["--servers", self.world.connect_string, *arguments], launch=command.launch)
        return command

    def interrupt_everywhere(
        self, *arguments: str, again: int | None = None, prepare: Callable[[], object] = lambda: None
    ) -> None:
        """Interrupt a command after each call of the reactor, until it has ended by itself; and again after some more calls.

        :param prepare: called before each run.
        """
        moment, whole = 0, None
        while True:
            prepare()
            self.world.settle()
            command = self.begin(*arguments)
            for _ in range(moment):
                run_next(self.reactor)
            ended = not command.running
            begun = self.reactor.seconds()
            assert command.run is not None
            command.run.interrupt(2)
            for number in range(_CALLS):
                if command.running:
                    run_next(self.reactor)
                    if number == again:
                        command.run.interrupt(2)
            self.assertFalse(command.running, f"{arguments}: still running, interrupted after {moment} calls")
            self.assertLessEqual(self.reactor.seconds() - begun, 1.0)
            if command.status == 0 and whole is None:
                whole = command.out
            expected = (0, whole) if command.status == 0 else (130, "")
            self.assertEqual((command.status, command.out, command.err), (*expected, ""), moment)
            if ended or moment >= 200:
                break
            moment += stride()
        gc.collect()
        self.assertGreater(moment, 6)
        # Only the server can end a session of which the client never knew: the answer to its handshake was lost.
        self.world.pass_time(30.0)
        self.assertEqual(self.world.server.sessions, {self.other.session_id})
        self.assertEqual(self.complaints, [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_reading(self) -> None:
        """All that read a tree, or one node."""
        for arguments in (("ls", "/", "-r"), ("get", "/", "-r"), ("tree", "/"), ("services", "/"), ("get", "/")):
            self.interrupt_everywhere(*arguments)

    def test_inspecting(self) -> None:
        """All that ask about single nodes, or wait for them."""
        for arguments in (
            ("get", "/n1", "/n2"),
            ("stat", "/n1", "/n2"),
            ("sync", "/n1"),
            ("acl", "get", "/", "-r"),
            ("wait", "/n1", "--children", "0"),
        ):
            self.interrupt_everywhere(*arguments)

    def test_watching(self) -> None:
        """``watch`` ends with 0 once it watches, and so never by itself."""
        for again in (None, 0, 3):
            self.watch_everywhere(again)

    def watch_everywhere(self, again: int | None) -> None:
        for moment in range(0, 60, stride()):
            command = self.begin("watch", "/", "-r")
            for _ in range(moment):
                run_next(self.reactor)
            assert command.run is not None
            command.run.interrupt(2)
            for number in range(_CALLS):
                if command.running:
                    run_next(self.reactor)
                    if number == again:
                        command.run.interrupt(2)
            self.assertFalse(command.running)
            self.assertIn((command.status, command.out), ((130, ""), (0, ""), (0, "settled  /\n")))
            self.assertEqual(command.err, "")
        gc.collect()
        self.assertEqual(self.complaints, [])

    def test_twice(self) -> None:
        """A second signal while it ends changes nothing."""
        for again in (0, 1, 4):
            self.interrupt_everywhere("ls", "/", "-r", again=again)

    def test_writing(self) -> None:
        """Commands that write: the session is closed after the requests that were sent."""
        self.interrupt_everywhere("set", "/n1", "data")
        self.interrupt_everywhere("delete", "/deep", "-r", "-y", prepare=self.make_deep)
        self.interrupt_everywhere("acl", "set", "/deep", "world:anyone:rwcd", "-r", "-n", prepare=self.make_deep)

    def test_recipes(self) -> None:
        """An entry is put, an amount added, or a barrier created: or not."""
        self.interrupt_everywhere("queue", "put", "/jobs", "data")
        self.interrupt_everywhere("counter", "/hits", "--add", "0")
        self.interrupt_everywhere("barrier", "create", "/gate")

    def make_deep(self) -> None:
        for path in ("/deep", "/deep/a", "/deep/a/b", "/deep/c"):
            self.other.create(path).addErrback(lambda failure: failure.trap(NodeExistsException))
