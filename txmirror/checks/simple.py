"""Checks that open nothing: noop, alias, and a function of the program."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from zope.interface import implementer

from txmirror.checks.interfaces import ICheck
from txmirror.checks.judgement import State
from txmirror.checks.results import Result, Status


@implementer(ICheck)
class NoopCheck:
    """A check that always passes, for services that others must find before they can start."""

    kind = "noop"
    description = "noop"
    pushed = False

    def run(self) -> Deferred[Result]:
        """Return a result of status ok."""
        return succeed(Result(Status.OK, "not checked"))


@implementer(ICheck)
class AliasCheck:
    """A check that has the state of another service of the same machine.

    It knows nothing until the other service is decided.

    :param service: the name of the other service.
    :param state_of: returns the state of the service with a name, or None if there is none.
    """

    kind = "alias"
    pushed = False

    def __init__(self, service: str, state_of: Callable[[str], State | None]) -> None:
        self.description: str = f"alias {service}"
        self._service = service
        self._state_of = state_of

    def run(self) -> Deferred[Result]:
        """Return the other service's state: up is ok, down and a service that does not exist are failures."""
        state = self._state_of(self._service)
        if state is None:
            return succeed(Result(Status.FAIL, f"there is no service {self._service}"))
        text = "is not decided yet" if state is State.UNKNOWN else f"is {state.value}"
        return succeed(Result(_STATUS[state], f"service {self._service} {text}"))


@implementer(ICheck)
class FunctionCheck:
    """A check by a function of the program.

    :param function: returns a :class:`Result`, or False for a failure, or True or None for success; or a Deferred of one of these.
    :param description: the check's description.
    """

    kind = "function"
    pushed = False

    def __init__(self, function: Callable[[], object], description: str = "function") -> None:
        self.description = description
        self._function = function

    def run(self) -> Deferred[Result]:
        """Call the function. An exception counts as a failure. Cancelling cancels the function's Deferred."""
        return maybeDeferred(self._function).addCallback(_to_result)


def _to_result(value: object) -> Result:
    if isinstance(value, Result):
        return value
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"the function returned {value!r:.100}: not a Result, a bool or None")
    return Result(Status.FAIL, "the function returned False") if value is False else Result(Status.OK)


_STATUS = {State.UP: Status.OK, State.WARN: Status.WARN, State.DOWN: Status.FAIL, State.UNKNOWN: Status.UNKNOWN}
