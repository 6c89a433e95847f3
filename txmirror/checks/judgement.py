"""The judgement of one check: consecutive results make its state."""

from __future__ import annotations

import enum
from typing import Final, Literal

import attrs

from txmirror.checks.results import Result, Status
from txmirror.durations import check_seconds


class State(enum.Enum):
    """The health of a check or a service."""

    #: Not decided yet.
    UNKNOWN = "unknown"
    UP = "up"
    #: Up, with a warning.
    WARN = "warn"
    DOWN = "down"


def check_positive(settings: object, attribute: attrs.Attribute[float], value: object) -> None:
    """Check a number of seconds above 0: a validator of attrs."""
    check_seconds(attribute.name, value, positive=True)


def _check_optional(settings: object, attribute: attrs.Attribute[float | None], value: object) -> None:
    check_seconds(attribute.name, value, positive=True, optional=True)


def _check_count(settings: object, attribute: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{attribute.name} is {value!r:.60}: not a number of results")
    if value < 1:
        raise ValueError(f"{attribute.name} is {value!r}: not a number from 1")


def _check_fraction(settings: object, attribute: attrs.Attribute[float], value: object) -> None:
    check_seconds(attribute.name, value)
    if isinstance(value, (int, float)) and value > 1:
        raise ValueError(f"{attribute.name} is {value!r}: not a fraction from 0 to 1")


@attrs.frozen(kw_only=True)
class CheckSettings:
    """The schedule and the thresholds of a check.

    :ivar interval: the pause between the end of a probe and the beginning of the next one, in seconds.
    :ivar timeout: the time limit of a probe in seconds. The time that it waits for its turn does not count.
    :ivar fast_interval: the pause in seconds while the state is about to change: before the first decision, and while the latest
        result differs from the state. None is a quarter of ``interval``.
    :ivar jitter: the fraction of a pause by which it is randomly longer or shorter, from 0 to 1.
    :ivar rise: the number of consecutive good results that make the check up.
    :ivar fall: the number of consecutive bad results that make the check down.
    :ivar on_fail: ``"down"``, or ``"warn"``: then a failed probe counts as a warning.
    :raises TypeError: a value has a wrong type.
    :raises ValueError: a value is out of range. Both messages name the setting.
    """

    interval: float = attrs.field(default=10.0, validator=check_positive)
    timeout: float = attrs.field(default=2.0, validator=check_positive)
    fast_interval: float | None = attrs.field(default=None, validator=_check_optional)
    jitter: float = attrs.field(default=0.1, validator=_check_fraction)
    rise: int = attrs.field(default=2, validator=_check_count)
    fall: int = attrs.field(default=3, validator=_check_count)
    on_fail: Literal["down", "warn"] = attrs.field(default="down", validator=attrs.validators.in_(("down", "warn")))

    def pause(self, settled: bool, chance: float) -> float:
        """Return the pause before the next probe in seconds.

        :param settled: False while the state is about to change.
        :param chance: a random number from 0 to 1, for the jitter.
        """
        fast = self.interval / 4 if self.fast_interval is None else self.fast_interval
        pause = self.interval if settled else min(fast, self.interval)
        return pause * (1 + self.jitter * (2 * chance - 1))


_SEVERITY: Final = {Status.OK: 0, Status.WARN: 1, Status.FAIL: 2}
_STATES: Final = (State.UP, State.WARN, State.DOWN)


class Judgement:
    """The state of one check, by its results.

    The state becomes worse after ``fall`` consecutive results that are at least as bad, and better after ``rise`` consecutive
    results that are at least as good. The first result counts as one, like any other; before the first decision the state is
    unknown. A result of status unknown does not count.

    :ivar state: the state.
    :ivar passed: the number of consecutive results, up to the latest one, that are no failures.
    :ivar failed: the number of consecutive failures up to the latest result.
    :ivar settled: False before the first decision, and while the latest result differs from the state.
    """

    __slots__ = ("_bad", "_good", "_settings", "settled", "state")

    def __init__(self, settings: CheckSettings) -> None:
        self._settings = settings
        self.state: State = State.UNKNOWN
        self.settled: bool = False
        # The numbers of consecutive results that are at most, and at least, as bad as ok, warn and fail.
        self._good = [0, 0, 0]
        self._bad = [0, 0, 0]

    @property
    def passed(self) -> int:
        return self._good[1]

    @property
    def failed(self) -> int:
        return self._bad[2]

    def add(self, result: Result) -> None:
        """Count a result, and decide."""
        if result.status is Status.UNKNOWN:
            return
        severity = _SEVERITY[result.status]
        if self._settings.on_fail == "warn":
            severity = min(severity, 1)
        for level in range(3):
            self._good[level] = self._good[level] + 1 if severity <= level else 0
            self._bad[level] = self._bad[level] + 1 if severity >= level else 0
        self.state = self._decide()
        self.settled = self.state is _STATES[severity]

    def _decide(self) -> State:
        rise, fall = self._settings.rise, self._settings.fall
        if self._bad[2] >= fall:
            return State.DOWN
        if self._good[0] >= rise:
            return State.UP
        if self.state is State.UP and self._bad[1] >= fall:
            return State.WARN
        if self.state in (State.UNKNOWN, State.DOWN) and self._good[1] >= rise:
            return State.WARN
        return self.state
