"""The session's state machine: the states, and the transitions between them."""

from __future__ import annotations

from txmirror.types import SessionEvent, SessionState

_S = SessionState
#: The states that may follow each state.
TRANSITIONS: dict[_S, frozenset[_S]] = {
    _S.CONNECTING: frozenset({_S.CONNECTED, _S.EXPIRED, _S.AUTH_FAILED, _S.CLOSED}),
    _S.CONNECTED: frozenset({_S.SUSPENDED, _S.AUTH_FAILED, _S.CLOSED}),
    _S.SUSPENDED: frozenset({_S.CONNECTED, _S.LOST, _S.EXPIRED, _S.AUTH_FAILED, _S.CLOSED}),
    _S.LOST: frozenset({_S.CONNECTED, _S.EXPIRED, _S.AUTH_FAILED, _S.CLOSED}),
    _S.EXPIRED: frozenset({_S.CONNECTED, _S.AUTH_FAILED, _S.CLOSED}),
    _S.AUTH_FAILED: frozenset({_S.CLOSED}),
    _S.CLOSED: frozenset(),
}


def step(
    before: SessionEvent,
    state: _S,
    zxid: int,
    session_number: int | None = None,
    data_generation: int | None = None,
    read_only: bool = False,
) -> SessionEvent:
    """Return the event of a transition.

    :param zxid: the last zxid seen.
    :param session_number: the session's number; that of the event before if None.
    :param data_generation: the data generation; that of the event before if None.
    """
    if state not in TRANSITIONS[before.state]:
        raise AssertionError(f"a session cannot go from {before.state} to {state}")
    return SessionEvent(
        state,
        before.session_number if session_number is None else session_number,
        before.data_generation if data_generation is None else data_generation,
        zxid,
        read_only,
    )
