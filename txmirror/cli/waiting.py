"""The command ``wait``: wait until a node exists, is absent, or has some data or number of children."""

from __future__ import annotations

import re
from contextlib import suppress

import attrs
from twisted.internet.defer import Deferred

from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import Status
from txmirror.errors import NoNodeException
from txmirror.mirror import Existence, NodeState

_COUNT = re.compile(r"([0-9]{1,9})(?:(\+)|-([0-9]{1,9}))?")


@attrs.frozen
class Condition:
    """The condition to wait for."""

    exists: bool = True
    value: bytes | None = None
    """The data that the node has; None for any."""
    children: tuple[int, int | None] | None = None
    """The least and the most children that it has; None sets no limit."""

    def __str__(self) -> str:
        if not self.exists:
            return "is absent"
        if self.value is not None:
            return "has that value"
        if self.children is None:
            return "exists"
        least, most = self.children
        if most is None:
            return f"has {least} children or more"
        return f"has {least} children" if least == most else f"has {least} to {most} children"

    def met_by(self, state: NodeState) -> bool:
        """Return whether a node meets it."""
        if state.existence is Existence.UNKNOWN:
            return False
        exists = state.existence is Existence.PRESENT
        if exists != self.exists or not exists:
            return exists == self.exists
        if self.value is not None:
            return state.value == self.value
        if self.children is None:
            return True
        least, most = self.children
        return state.children is not None and least <= len(state.children) <= (
            len(state.children) if most is None else most
        )


def parse_count(text: str) -> tuple[int, int | None]:
    """Return the bounds of a number of children: ``3`` is exactly three, ``3+`` three or more, ``3-5`` three to five.

    :raises ValueError: it is none of these; the message quotes it.
    """
    match = _COUNT.fullmatch(text)
    if match is None or (match[3] is not None and int(match[3]) < int(match[1])):
        raise ValueError(f"{text!r} is no number of children, such as 3, 3+ or 3-5")
    least = int(match[1])
    return least, None if match[2] else int(match[3] or least)


def wait(run: Run, path: str, condition: Condition, timeout: float | None) -> Deferred[Outcome]:
    """Wait until a node meets a condition.

    :param timeout: the limit, in seconds, which includes the time until there is a session; 0 looks once; None waits without limit.
    :returns: fails if no session could be opened in time, or the node cannot be read.
    """
    waiting = Deferred.fromCoroutine(_wait(run, path, condition, at_once=timeout == 0))
    if timeout:
        waiting.addTimeout(timeout, run.reactor, lambda _, __: _missed(path, condition, timeout))
    return waiting


async def _wait(run: Run, path: str, condition: Condition, *, at_once: bool) -> Outcome:
    node = run.mirror.get(path)
    met: Deferred[None] = Deferred()

    def look(_: object) -> None:
        if not met.called and condition.met_by(node.state):
            met.callback(None)

    node.addValueWatcher("wait", look)
    if condition.children is not None:
        node.addChildWatcher("wait", look)
    with suppress(NoNodeException):
        # Fails if we may not read it.
        await node.value(timeout=None)
        if condition.children is not None:
            await node.children(timeout=None)
    await run.check_chroot()
    look(None)
    if met.called:
        return Outcome()
    if at_once:
        return _missed(path, condition, 0)
    run.outlive_outages()
    await met
    return Outcome()


def _missed(path: str, condition: Condition, timeout: float) -> Outcome:
    return Outcome(status=Status.TRY_LATER, errors=(f"not within {timeout:g} s: {path!r} {condition}",))
