"""The paths of nodes for completion in a shell, from the server, in bounded time."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

import attrs
import click
from twisted.internet.defer import Deferred

from txmirror.cli.invocation import Invocation
from txmirror.cli.run import Outcome, Run
from txmirror.errors import ZooKeeperException

#: The longest time that the completion of a path may take, in seconds, once the program has started.
_LIMIT = 1.0
_CLOSE_LIMIT = 0.2
#: The most paths to suggest.
_MOST = 1000


def find_paths(invocation: Invocation, text: str) -> list[str]:
    """Return the paths of nodes that begin with a text; none if the server does not answer in time, or an option is invalid.

    :param text: it begins with a slash.
    """
    found: list[str] = []

    def work(run: Run) -> Deferred[Outcome]:
        return Deferred.fromCoroutine(_find(run, text, found)).addTimeout(_LIMIT, run.reactor, lambda _, __: Outcome())

    # Messages would stand in the middle of the user's command line.
    with redirect_stderr(io.StringIO()):
        try:
            settings = invocation.settings()
        except click.UsageError:
            return []
        settings = attrs.evolve(settings, timeout=_LIMIT, close_timeout=_CLOSE_LIMIT, quiet=True, verbose=False)
        invocation.launch(settings, work)
    return found


async def _find(run: Run, text: str, found: list[str]) -> Outcome:
    """Add the paths that begin with a text."""
    parent, _, prefix = text.rpartition("/")
    try:
        names = await run.client.get_children(parent or "/")
    except (ZooKeeperException, ValueError):
        return Outcome()
    matching = sorted(name for name in names if name.startswith(prefix))[:_MOST]
    found += [f"{parent}/{name}" for name in matching]
    if len(matching) == 1:
        # The shell adds a space after the only match, unless there may be more of the path.
        stat = await run.client.exists(found[0])
        if stat is not None and stat.numChildren:
            found.append(f"{found[0]}/")
    return Outcome()
