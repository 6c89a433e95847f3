"""Sentences that explain the state of a service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from txmirror.checks.judgement import CheckSettings, State
from txmirror.checks.results import Result, Status

#: The most characters of an output in a sentence.
_LONGEST = 200


class ICheckState(Protocol):
    """The state of one check, as far as a sentence needs it."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> CheckSettings: ...

    @property
    def state(self) -> State: ...

    @property
    def last(self) -> Result | None: ...

    @property
    def passed(self) -> int: ...

    @property
    def failed(self) -> int: ...


def reason_for(state: State, checks: Sequence[ICheckState], *, require_any: bool) -> str:
    """Return the reason why a service has a state, as a clause without a period.

    :param state: the state: up, warn or down.
    :param checks: the checks of the service.
    :param require_any: whether one check that passes is enough.
    """
    if state is State.UP:
        passing = [check for check in checks if check.state is State.UP]
        if not checks:
            return "it has no checks"
        return _enumerate(passing, "passes", "pass") if require_any else _all_pass(checks)
    if state is State.WARN:
        return "; ".join(_warning(check) for check in checks if check.state is State.WARN)
    failures = [_failure(check) for check in checks if check.state in (State.DOWN, State.UNKNOWN)]
    return "; ".join(failures) or "it went down too often"


def explain(state: State, checks: Sequence[ICheckState], *, require_any: bool) -> str:
    """Return a sentence that explains the state of a service; for the parameters see :func:`reason_for`."""
    if state is State.UNKNOWN:
        open_checks = [check for check in checks if check.state is State.UNKNOWN]
        text = "not decided yet: " + "; ".join(_progress(check) for check in open_checks or checks)
        return _sentence(text if checks else "the checks have not started")
    text = reason_for(state, checks, require_any=require_any)
    return _sentence("; ".join([text, *_changes(checks)]))


def _changes(checks: Iterable[ICheckState]) -> Iterator[str]:
    """Yield a clause for each check whose latest results differ from its state."""
    for check in checks:
        if check.state is State.DOWN and check.passed:
            yield f"meanwhile {_name(check)} has passed {_count(check.passed, check.settings.rise)}"
        elif check.state in (State.UP, State.WARN) and check.failed:
            yield f"but {_name(check)} has failed {_count(check.failed, check.settings.fall)}{_output(check)}"


def _progress(check: ICheckState) -> str:
    if check.last is None:
        return f"{_name(check)} has no result yet"
    if check.last.status is Status.UNKNOWN and not check.passed and not check.failed:
        return f"{_name(check)} knows nothing yet{_output(check)}"
    if check.failed:
        return f"{_name(check)} has failed {_count(check.failed, check.settings.fall)}{_output(check)}"
    return f"{_name(check)} has passed {_count(check.passed, check.settings.rise)}"


def _failure(check: ICheckState) -> str:
    if check.state is State.UNKNOWN:
        return _progress(check)
    if not check.failed:
        return f"{_name(check)} was down"
    times = "once" if check.failed == 1 else f"{check.failed} times in a row"
    return f"{_name(check)} failed {times}{_output(check)}"


def _warning(check: ICheckState) -> str:
    return f"{_name(check)} warns{_output(check)}"


def _all_pass(checks: Sequence[ICheckState]) -> str:
    return f"{_name(checks[0])} passes" if len(checks) == 1 else f"all {len(checks)} checks pass"


def _enumerate(checks: Sequence[ICheckState], one: str, many: str) -> str:
    names = " and ".join(_name(check) for check in checks)
    return f"{names} {one if len(checks) == 1 else many}"


def _count(number: int, threshold: int) -> str:
    return f"{number} of {threshold} times in a row"


def _name(check: ICheckState) -> str:
    return f"check {check.name}"


def _output(check: ICheckState) -> str:
    line = "" if check.last is None else check.last.line
    return f" ({line[:_LONGEST]})" if line else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
