"""The states of a client's sessions, and what may follow each."""

from __future__ import annotations

from txmirror.types import SessionEvent, SessionState

_S = SessionState
#: Which states may follow each.
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
    """Give the step from one state to another.

    :param zxid: the transaction up to which the data was seen.
    :param session_number: of the session; that of the step before if None. So with the data generation.
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


def session_name(session_id: int) -> str:
    """Give a session's id as ZooKeeper's own logs write it."""
    return f"{session_id & 0xFFFFFFFFFFFFFFFF:#x}"
