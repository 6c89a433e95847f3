"""The session of one client in a storm, which is handed over from one ``ZooKeeperClient`` to the next."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.client import ZooKeeperClient
from txmirror.embedded.sessions import CLOSED_BY_CLIENT
from txmirror.errors import ClosingException
from txmirror.testing.storm.parts import Scene
from txmirror.testing.storm.replies import Replies
from txmirror.types import SessionState, SessionTicket


class HandingOver:
    """Hands over a session, and checks that it stays.

    :param scene: the world.
    :param make: makes a client that takes over the session of a ticket, or opens one.
    :param replies: the operations of the client.
    :param ended: called when the client has left its session: everything must have ended.
    :param read_only: whether the client may use read-only servers.
    :ivar leaving: whether the client is leaving its session, and accepts no operations.
    """

    def __init__(
        self,
        scene: Scene,
        make: Callable[[SessionTicket | None], ZooKeeperClient],
        replies: Replies,
        ended: Callable[[str], object],
        *,
        read_only: bool,
    ) -> None:
        self.leaving: bool = False
        self._scene = scene
        self._make = make
        self._replies = replies
        self._ended = ended
        self._read_only = read_only
        self._closing = False
        #: The session that was handed over, and the data generation.
        self._handed = (0, 0)
        self._connect()

    def _connect(self) -> None:
        self._replies.pending.add(self._replies.client.connect().addErrback(_trap), "connect")

    def act(self, random: Random) -> None:
        """Leave the session to another client."""
        client = self._replies.client
        self._replies.note(f"hands over the session {client.session_id:#x}")
        self.leaving = True
        leaving = client.leave()
        leaving.addBoth(self._left)
        if random.random() < 0.1:
            leaving.cancel()

    def _left(self, result: SessionTicket | Failure | None) -> None:
        if isinstance(result, Failure):
            # The client leaves all the same.
            result.trap(CancelledError)
            self._replies.client.close().addCallback(self._left)
            return
        ticket = result
        self.leaving = False
        if self._closing:
            return
        self._replies.note(f"has left {'no session' if ticket is None else f'the session {ticket.session_id:#x}'}")
        self._ended("it has left its session")
        if ticket is not None and self._is_known(ticket.session_id):
            self._handed = (ticket.session_id, self._scene.truth.generation)
        self._replies.take_over(self._make(ticket), has_session=ticket is not None)
        self._connect()

    def _is_known(self, session: int) -> bool:
        """Return whether the servers have the session, or have ended it: it is not of lost data."""
        here = self._scene.world.server._state.sessions.find(session)
        return here is not None or session in self._scene.journal.ended

    def check(self) -> None:
        """Check that the client reports whether its session is one with a read-only server."""
        event, session = self._replies.client.session, self._replies.client.session_id
        if event.state is not SessionState.CONNECTED:
            return
        if any(server._own_state.local_sessions.find(session) for server in self._scene.world.servers):
            self._replies.check_that(
                self._read_only and event.read_only, f"{session:#x} is a session with a read-only server, and {event}"
            )
        elif self._scene.world.server._state.sessions.find(session):
            self._replies.check_that(not event.read_only, f"{session:#x} can write, and {event}")

    def check_settled(self) -> None:
        """Check that the client is connected, and that the session that was handed over was not ended by one of the clients."""
        client = self._replies.client
        writable = client.session.state is SessionState.CONNECTED and not client.session.read_only
        self._replies.check_that(writable and not self.leaving, f"is {client.session}")
        handed, generation = self._handed
        if handed and generation == self._scene.truth.generation:
            reason = self._scene.journal.ended.get(handed)
            kept = client.session_id == handed or reason not in (None, CLOSED_BY_CLIENT)
            self._replies.check_that(
                kept, f"has handed over {handed:#x}, which has ended ({reason}), and is in {client.session_id:#x}"
            )

    def close(self) -> Deferred[None]:
        """Close the client."""
        self._closing = True
        return self._replies.client.close()


def _trap(failure: Failure) -> None:
    failure.trap(ClosingException, CancelledError)
