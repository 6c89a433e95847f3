"""The session's state machine: the table of states and events, and the data that belongs to the state.

:data:`TRANSITIONS` has the next state and the action of each event that a state expects. Every other pair of a state and an
event is in :data:`IGNORED` or in :data:`IMPOSSIBLE`. The actions themselves are in ``actions`` and ``closing``. An action
runs in the next state, and may itself cause further events.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping

from txmirror.errors import AuthFailedException, ClosingException, InvalidStateException, ZooKeeperException
from txmirror.types import SessionEvent, SessionState


class State(enum.Enum):
    """The states of a client's session."""

    IDLE = "idle"
    """``connect()`` was not called yet."""
    CONNECTING = "connecting"
    """There was no session yet."""
    RESUMING = "resuming"
    """The client takes over a session, and was not connected yet."""
    CONNECTED = "connected"
    SUSPENDED = "suspended"
    """The connection was lost."""
    LOST = "lost"
    """The connection was lost so long ago that the session has probably expired."""
    EXPIRED = "expired"
    """The session has expired, and there is no new one yet."""
    AUTH_FAILED = "auth failed"
    DRAINING = "draining"
    """The client is closing: requests that were made before are sent first."""
    CLOSING = "closing"
    """The request that closes the session was sent."""
    CLOSING_OFFLINE = "closing offline"
    """The client is closing, and reconnects to close the session."""
    DRAINING_TO_LEAVE = "draining to leave"
    """The client is leaving its session to another client: requests that were made before are sent first."""
    LEAVING = "leaving"
    """The last request was sent; its answer shows that all others were answered."""
    DISCONNECTING = "disconnecting"
    """The client is done with the session, and waits until the connection is gone."""
    CLOSED = "closed"


class Event(enum.Enum):
    """The events of a client's session."""

    CONNECT = "connect"
    """The program calls ``connect()``; there is no session to take over."""
    RESUME = "resume"
    """The program calls ``connect()``; there is a session to take over."""
    ESTABLISHED = "established"
    """A server has opened or resumed a session, and has authenticated the client."""
    DISCONNECTED = "disconnected"
    """The connection is gone, or an attempt to establish one has failed."""
    REFUSED = "refused"
    """The connection is gone: a server has refused to resume the session, which has expired."""
    EXPIRED = "expired"
    """The session has expired. The client goes on with the connection, or with the backoff, that there is."""
    OUT_OF_CONTACT = "out of contact"
    """There was no connection for 4/3 of the session timeout."""
    UNAUTHORISED = "unauthorised"
    """The servers refuse the client's SASL credentials, or require some."""
    CLOSE = "close"
    """The program calls ``close()``."""
    LEAVE = "leave"
    """The program calls ``leave()``."""
    DRAINED = "drained"
    """All queued requests were sent."""
    ANSWERED = "answered"
    """The last request was answered."""
    DRAIN_TIMEOUT = "drain timeout"
    """Half of the time for closing is over."""
    CLOSE_TIMEOUT = "close timeout"
    """The time for closing is over."""


class Action(enum.Enum):
    """The actions of the transitions."""

    CONNECT = "connect to a server"
    ESTABLISH = "set the watches again, send queued requests, notify"
    RETRY = "connect to the next server after the backoff"
    SUSPEND = "notify, fail the requests in flight, reconnect"
    SUSPEND_AND_LEAVE = "as when suspending, then close"
    PRESUME_EXPIRED = "notify, fail queued requests"
    EXPIRE = "notify, fail requests and watches"
    EXPIRE_AND_RECONNECT = "as when expiring, then reconnect"
    EXPIRE_AND_CLOSE = "as when expiring, then close"
    REFUSE = "stop, notify, fail everything"
    REFUSE_AND_CLOSE = "as when refused, then close"
    FAIL_PENDING = "fail the requests in flight"
    DRAIN = "start the timeouts, send queued requests"
    DROP_QUEUE = "fail queued requests"
    SEND_CLOSE = "send closeSession"
    SEND_LAST_READ = "send a read"
    DISCONNECT = "close the connection"
    LEAVE = "keep the ticket, close the connection"
    ABORT = "abort the connection"
    ABORT_AND_LEAVE = "keep the ticket, abort the connection"
    GIVE_UP_CLOSING = "warn, abort the connection"
    END = "fail everything, notify"


_S, _E, _A = State, Event, Action

#: The states in which the client has no connection that serves a session, and tries to get one.
CONNECTS = (_S.CONNECTING, _S.RESUMING, _S.SUSPENDED, _S.LOST, _S.EXPIRED)
#: Those of them in which it has a session, or may have one.
MAY_LIVE = (_S.RESUMING, _S.SUSPENDED, _S.LOST)
#: The states in which a connection serves the session, and the client is closing.
CLOSES = (_S.DRAINING, _S.CLOSING)
LEAVES = (_S.DRAINING_TO_LEAVE, _S.LEAVING)
#: The states in which a connection serves the session.
SERVED = (_S.CONNECTED, *CLOSES, *LEAVES)
#: The states of a client that was closed or left, until it is closed.
ENDS = (*CLOSES, _S.CLOSING_OFFLINE, *LEAVES, _S.DISCONNECTING)

#: The next state and the action, by state and event.
TRANSITIONS: dict[tuple[State, Event], tuple[State, Action]] = {
    (_S.IDLE, _E.CONNECT): (_S.CONNECTING, _A.CONNECT),
    (_S.IDLE, _E.RESUME): (_S.RESUMING, _A.CONNECT),
    **{(state, _E.ESTABLISHED): (_S.CONNECTED, _A.ESTABLISH) for state in CONNECTS},
    (_S.CLOSING_OFFLINE, _E.ESTABLISHED): (_S.DRAINING, _A.ESTABLISH),
    # The connection is lost.
    **{(state, _E.DISCONNECTED): (state, _A.RETRY) for state in (*CONNECTS, _S.CLOSING_OFFLINE)},
    (_S.CONNECTED, _E.DISCONNECTED): (_S.SUSPENDED, _A.SUSPEND),
    **{(state, _E.DISCONNECTED): (_S.CLOSING_OFFLINE, _A.SUSPEND) for state in CLOSES},
    **{(state, _E.DISCONNECTED): (_S.DISCONNECTING, _A.SUSPEND_AND_LEAVE) for state in LEAVES},
    (_S.AUTH_FAILED, _E.DISCONNECTED): (_S.AUTH_FAILED, _A.FAIL_PENDING),
    (_S.DISCONNECTING, _E.DISCONNECTED): (_S.CLOSED, _A.END),
    # The session expires.
    **{(state, _E.REFUSED): (_S.EXPIRED, _A.EXPIRE_AND_RECONNECT) for state in MAY_LIVE},
    (_S.CLOSING_OFFLINE, _E.REFUSED): (_S.DISCONNECTING, _A.EXPIRE_AND_CLOSE),
    (_S.DISCONNECTING, _E.REFUSED): (_S.CLOSED, _A.END),
    **{(state, _E.EXPIRED): (_S.EXPIRED, _A.EXPIRE) for state in MAY_LIVE},
    (_S.CLOSING_OFFLINE, _E.EXPIRED): (_S.DISCONNECTING, _A.EXPIRE_AND_CLOSE),
    (_S.SUSPENDED, _E.OUT_OF_CONTACT): (_S.LOST, _A.PRESUME_EXPIRED),
    (_S.CLOSING_OFFLINE, _E.OUT_OF_CONTACT): (_S.CLOSING_OFFLINE, _A.PRESUME_EXPIRED),
    **{(state, _E.UNAUTHORISED): (_S.AUTH_FAILED, _A.REFUSE) for state in (*CONNECTS, _S.CONNECTED)},
    **{
        (state, _E.UNAUTHORISED): (_S.AUTH_FAILED, _A.REFUSE_AND_CLOSE)
        for state in (*CLOSES, _S.CLOSING_OFFLINE, *LEAVES)
    },
    # The program closes the client, or leaves the session to another one.
    (_S.CONNECTED, _E.CLOSE): (_S.DRAINING, _A.DRAIN),
    **{(state, _E.CLOSE): (_S.CLOSING_OFFLINE, _A.DRAIN) for state in MAY_LIVE},
    **{
        (state, _E.CLOSE): (_S.DISCONNECTING, _A.ABORT)
        for state in (_S.IDLE, _S.CONNECTING, _S.EXPIRED, _S.AUTH_FAILED)
    },
    (_S.CONNECTED, _E.LEAVE): (_S.DRAINING_TO_LEAVE, _A.DRAIN),
    **{(state, _E.LEAVE): (_S.DISCONNECTING, _A.ABORT_AND_LEAVE) for state in (_S.IDLE, *CONNECTS, _S.AUTH_FAILED)},
    (_S.DRAINING, _E.DRAINED): (_S.CLOSING, _A.SEND_CLOSE),
    (_S.DRAINING_TO_LEAVE, _E.DRAINED): (_S.LEAVING, _A.SEND_LAST_READ),
    (_S.CLOSING, _E.ANSWERED): (_S.DISCONNECTING, _A.DISCONNECT),
    (_S.LEAVING, _E.ANSWERED): (_S.DISCONNECTING, _A.LEAVE),
    **{
        (state, _E.DRAIN_TIMEOUT): (state, _A.DROP_QUEUE)
        for state in (_S.DRAINING, _S.CLOSING_OFFLINE, _S.DRAINING_TO_LEAVE)
    },
    **{(state, _E.CLOSE_TIMEOUT): (_S.DISCONNECTING, _A.GIVE_UP_CLOSING) for state in (*CLOSES, _S.CLOSING_OFFLINE)},
    **{(state, _E.CLOSE_TIMEOUT): (_S.DISCONNECTING, _A.ABORT_AND_LEAVE) for state in LEAVES},
    # TLS waits for the peer's close_notify.
    (_S.DISCONNECTING, _E.CLOSE_TIMEOUT): (_S.DISCONNECTING, _A.ABORT),
}


def _pairs(event: Event, *states: State) -> set[tuple[State, Event]]:
    return {(state, event) for state in states}


#: The events that a state ignores.
IGNORED: frozenset[tuple[State, Event]] = frozenset(
    # connect() is called again, or too late.
    _pairs(_E.CONNECT, *(state for state in State if state is not _S.IDLE))
    | _pairs(_E.RESUME, *(state for state in State if state is not _S.IDLE))
    # An observer of the session's end has closed the client.
    | _pairs(_E.ESTABLISHED, _S.AUTH_FAILED, _S.DISCONNECTING, _S.CLOSED)
    | _pairs(_E.EXPIRED, _S.AUTH_FAILED, _S.DISCONNECTING, _S.CLOSED)
    # The client has given the session up already.
    | _pairs(_E.REFUSED, _S.AUTH_FAILED)
    # The servers' second refusal.
    | _pairs(_E.UNAUTHORISED, _S.AUTH_FAILED, _S.DISCONNECTING, _S.CLOSED)
    # close() or leave() is called again: it waits for the end that is under way.
    | _pairs(_E.CLOSE, *ENDS, _S.CLOSED)
    | _pairs(_E.LEAVE, *ENDS, _S.CLOSED)
    # The window of requests in flight has room again, and the client is not closing, or has sent the last request already.
    | _pairs(_E.DRAINED, _S.CONNECTED, _S.CLOSING, _S.LEAVING)
    # The last request fails because the client has gone on without its answer.
    | _pairs(_E.ANSWERED, _S.AUTH_FAILED, _S.DISCONNECTING, _S.CLOSED)
    # The queue is empty already.
    | _pairs(_E.DRAIN_TIMEOUT, _S.CLOSING, _S.LEAVING)
)

#: The events that cannot happen in a state.
IMPOSSIBLE: frozenset[tuple[State, Event]] = frozenset(
    # There is one connection at a time, and none before connect().
    _pairs(_E.ESTABLISHED, _S.IDLE, *SERVED)
    | _pairs(_E.DISCONNECTED, _S.IDLE, _S.CLOSED)
    # Only a handshake that offers a session can be refused, or answered with another session.
    | _pairs(_E.REFUSED, _S.IDLE, _S.CONNECTING, _S.EXPIRED, *SERVED, _S.CLOSED)
    | _pairs(_E.EXPIRED, _S.IDLE, _S.CONNECTING, _S.EXPIRED, *SERVED)
    # The timer runs only while the session is suspended.
    | _pairs(_E.OUT_OF_CONTACT, *(state for state in State if state not in (_S.SUSPENDED, _S.CLOSING_OFFLINE)))
    | _pairs(_E.UNAUTHORISED, _S.IDLE)
    # These need a connection that serves the session.
    | _pairs(_E.DRAINED, _S.IDLE, *CONNECTS, _S.AUTH_FAILED, _S.CLOSING_OFFLINE, _S.DISCONNECTING, _S.CLOSED)
    | _pairs(_E.ANSWERED, _S.IDLE, *CONNECTS, _S.CONNECTED, _S.DRAINING, _S.CLOSING_OFFLINE, _S.DRAINING_TO_LEAVE)
    # The timers of closing.
    | _pairs(_E.DRAIN_TIMEOUT, _S.IDLE, *CONNECTS, _S.CONNECTED, _S.AUTH_FAILED, _S.DISCONNECTING, _S.CLOSED)
    | _pairs(_E.CLOSE_TIMEOUT, _S.IDLE, *CONNECTS, _S.CONNECTED, _S.AUTH_FAILED, _S.CLOSED)
)

_P = SessionState
#: The session state that listeners have been notified of last, by state: one of several for a client that is closing.
PUBLIC: dict[State, frozenset[SessionState]] = {
    _S.IDLE: frozenset({_P.CONNECTING}),
    _S.CONNECTING: frozenset({_P.CONNECTING}),
    _S.RESUMING: frozenset({_P.CONNECTING}),
    _S.CONNECTED: frozenset({_P.CONNECTED}),
    _S.SUSPENDED: frozenset({_P.SUSPENDED}),
    _S.LOST: frozenset({_P.LOST}),
    _S.EXPIRED: frozenset({_P.EXPIRED}),
    _S.AUTH_FAILED: frozenset({_P.AUTH_FAILED}),
    **{state: frozenset({_P.CONNECTED}) for state in (*CLOSES, *LEAVES)},
    _S.CLOSING_OFFLINE: frozenset({_P.CONNECTING, _P.SUSPENDED, _P.LOST}),
    _S.DISCONNECTING: frozenset(_P) - {_P.CLOSED},
    _S.CLOSED: frozenset({_P.CLOSED}),
}


class Generation:
    """Counts the forks that lead to this process.

    A forked child shares its parent's socket and epoll object, so that the child's use of them disturbs the parent. Every
    request of a client therefore fails in a child. (The child must not run the parent's reactor either.)
    """

    number: int = 0

    @classmethod
    def forked(cls) -> None:
        """Note that this process is a child."""
        cls.number += 1


os.register_at_fork(after_in_child=Generation.forked)


class SessionMachine:
    """The state of one client's session.

    :param session_number: the number of the session to take over, or 0.
    :param zxid: the last zxid seen.
    :ivar state: the state.
    :ivar event: the latest session event, as listeners were notified of it.
    :ivar generation: the process that the client belongs to.
    :ivar served: whether the state is one of :data:`SERVED`.
    """

    def __init__(self, session_number: int, zxid: int) -> None:
        self.state: State = State.IDLE
        self.event: SessionEvent = SessionEvent(SessionState.CONNECTING, session_number, 0, zxid)
        self.served: bool = False
        self._refusal = ""
        self.generation: int = Generation.number
        self._actions: Mapping[Action, Callable[..., None]] = {}

    def install(self, actions: Mapping[Action, Callable[..., None]]) -> None:
        """Set the functions that perform the actions."""
        self._actions = actions

    def handle(self, event: Event, *arguments: object) -> None:
        """Handle an event: enter the next state, and perform the action.

        :param arguments: the action's arguments.
        :raises AssertionError: the event is impossible in this state.
        """
        transition = TRANSITIONS.get((self.state, event))
        if transition is None:
            if (self.state, event) not in IGNORED:
                raise AssertionError(f"the event {event.value!r} is impossible in the state {self.state.value!r}")
            return
        self.state, action = transition
        self.served = self.state in SERVED
        self._actions[action](*arguments)

    def make_event(
        self,
        public: SessionState,
        zxid: int,
        *,
        session_number: int | None = None,
        data_generation: int | None = None,
        read_only: bool = False,
    ) -> SessionEvent:
        """Make the next session event, for listeners.

        :param zxid: the last zxid seen.
        :param session_number: the session's number; that of the event before if None.
        :param data_generation: the data generation; that of the event before if None.
        """
        if public not in PUBLIC[self.state]:
            raise AssertionError(f"the session state {public.value!r} does not belong to {self.state.value!r}")
        before = self.event
        self.event = SessionEvent(
            public,
            before.session_number if session_number is None else session_number,
            before.data_generation if data_generation is None else data_generation,
            zxid,
            read_only,
        )
        return self.event

    def refuse_with(self, reason: str) -> None:
        """Set the message for requests in the state ``AUTH_FAILED``."""
        self._refusal = reason

    @property
    def in_other_process(self) -> bool:
        """True in a forked child of the process in which the client began to connect."""
        return self.generation != Generation.number and self.state is not State.IDLE

    def closed_reason(self, path: str | None = None) -> ZooKeeperException | None:
        """Return an exception if the client takes no more requests, else None."""
        state = self.state
        if self.in_other_process:
            message = "this client belongs to the process that forked this one: make another here"
            return InvalidStateException(message, path=path, applied=False)
        if state is State.CONNECTED or state in CONNECTS or state is State.IDLE:
            return None
        if state is State.AUTH_FAILED:
            return AuthFailedException(self._refusal, path=path)
        return ClosingException(path=path, applied=False)
