"""The session's state machine: its table is total, and every part of it is used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from txmirror.client.session.machine import (
    CLOSES,
    CONNECTS,
    IGNORED,
    IMPOSSIBLE,
    LEAVES,
    PUBLIC,
    SERVED,
    TRANSITIONS,
    Action,
    Event,
    SessionMachine,
    State,
)
from txmirror.errors import AuthFailedException, ClosingException
from txmirror.test.client.peer import ClientTestCase
from txmirror.types import SessionState


class TableTests(SynchronousTestCase):
    def test_total(self) -> None:
        """Every pair of a state and an event has a transition, or is ignored, or is impossible: just one of the three."""
        pairs = {(state, event) for state in State for event in Event}
        self.assertEqual(set(TRANSITIONS) | IGNORED | IMPOSSIBLE, pairs)
        self.assertEqual(len(TRANSITIONS) + len(IGNORED) + len(IMPOSSIBLE), len(pairs))

    def test_all_used(self) -> None:
        """Every event and every action occurs in a transition."""
        self.assertEqual({event for _, event in TRANSITIONS}, set(Event))
        self.assertEqual({action for _, action in TRANSITIONS.values()}, set(Action))

    def test_all_reached(self) -> None:
        """Every state can be reached from the first, and the last from every state."""
        reached = {State.IDLE}
        leads_to_the_end = {State.CLOSED}
        for _ in State:
            for (state, _), (following, _) in TRANSITIONS.items():
                if state in reached:
                    reached.add(following)
                if following in leads_to_the_end:
                    leads_to_the_end.add(state)
        self.assertEqual(reached, set(State))
        self.assertEqual(leads_to_the_end, set(State))

    def test_closing_ends(self) -> None:
        """A client that is being closed or left never serves another request: it only moves among the states of closing."""
        ends = {*CLOSES, *LEAVES, State.CLOSING_OFFLINE, State.DISCONNECTING, State.AUTH_FAILED, State.CLOSED}
        for (state, _), (following, _) in TRANSITIONS.items():
            if state in ends:
                self.assertIn(following, ends)

    def test_public(self) -> None:
        """Every state has its states for listeners, and all of those are used."""
        self.assertEqual(set(PUBLIC), set(State))
        self.assertEqual(frozenset().union(*PUBLIC.values()), set(SessionState))

    def test_needs_no_reactor(self) -> None:
        """The documentation can import the table without installing a reactor."""
        program = "import sys, txmirror.client.session.machine; print('twisted.internet.reactor' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(done.stdout, "False\n")


class MachineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.done: list[tuple[Action, State, tuple[object, ...]]] = []
        self.machine = SessionMachine(0, 7)
        self.machine.install({action: self.note(action) for action in Action})

    def note(self, action: Action) -> Callable[..., None]:
        return lambda *arguments: self.done.append((action, self.machine.state, arguments))

    def test_action(self) -> None:
        """An action runs in the next state, with the arguments of the event."""
        self.machine.handle(Event.CONNECT)
        self.machine.handle(Event.DISCONNECTED, "connection", "reason")
        self.machine.handle(Event.ESTABLISHED, "connection", "response")
        self.assertEqual(
            self.done,
            [
                (Action.CONNECT, State.CONNECTING, ()),
                (Action.RETRY, State.CONNECTING, ("connection", "reason")),
                (Action.ESTABLISH, State.CONNECTED, ("connection", "response")),
            ],
        )

    def test_ignored(self) -> None:
        """An event that a state ignores does nothing."""
        for state, event in IGNORED:
            self.machine.state = state
            self.machine.handle(event)
            self.assertIs(self.machine.state, state)
        self.assertEqual(self.done, [])

    def test_impossible(self) -> None:
        """An event that is impossible in a state is an error that names both."""
        for state, event in IMPOSSIBLE:
            self.machine.state = state
            error = self.assertRaises(AssertionError, self.machine.handle, event)
            self.assertEqual(str(error), f"the event {event.value!r} is impossible in the state {state.value!r}")
        self.assertEqual(self.done, [])

    def test_served(self) -> None:
        """The machine knows whether a connection serves the session."""
        for (state, event), (following, _) in TRANSITIONS.items():
            self.machine.state = state
            self.machine.handle(event)
            self.assertEqual(self.machine.served, following in SERVED)

    def test_closed_reason(self) -> None:
        """Requests are taken until the client is closed or refused."""
        self.machine.refuse_with("no such user")
        for state in State:
            self.machine.state = state
            reason = self.machine.closed_reason("/a")
            if state is State.AUTH_FAILED:
                self.assertIsInstance(reason, AuthFailedException)
            elif state in (State.IDLE, *CONNECTS, State.CONNECTED):
                self.assertIsNone(reason)
            else:
                self.assertIsInstance(reason, ClosingException)

    def test_make_event(self) -> None:
        """A session event keeps the unchanged fields, and the state for listeners that belongs to the machine's."""
        self.machine.handle(Event.CONNECT)
        self.machine.handle(Event.ESTABLISHED)
        step = self.machine.make_event(SessionState.CONNECTED, 9, session_number=1)
        self.assertEqual((step.session_number, step.data_generation, step.zxid, step.read_only), (1, 0, 9, False))
        self.assertIs(self.machine.event, step)
        error = self.assertRaises(AssertionError, self.machine.make_event, SessionState.LOST, 9)
        self.assertIn("'probably expired' does not belong to 'connected'", str(error))


class ActionTests(ClientTestCase):
    def test_installed(self) -> None:
        """A client has a function for every action of the table."""
        client, _ = self.make_connected()
        self.assertEqual(set(client._session._machine._actions), set(Action))
