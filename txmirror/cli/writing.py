"""The commands that write, and are done: ``set``, ``create`` and ``delete``."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.cli.run import Outcome, Run
from txmirror.errors import ConnectionLossException, NoNodeException
from txmirror.printable import on_one_line


def set_data(run: Run, path: str, data: bytes, version: int) -> Deferred[Outcome]:
    """Replace a node's data.

    :param version: the version that it must be at; -1 takes any.
    :returns: fails as :meth:`~txmirror.interfaces.IZooKeeperClient.set`.
    """
    return _told(run.client.set(path, data, version).addCallback(lambda _: Outcome()))


def create(run: Run, path: str, data: bytes, *, sequence: bool, makepath: bool) -> Deferred[Outcome]:
    """Create a persistent node, and show its path.

    :param sequence: let the server append ten digits to its name.
    :param makepath: create those above it that are missing.
    :returns: fails as :meth:`~txmirror.interfaces.IZooKeeperClient.create`.
    """
    return _told(Deferred.fromCoroutine(_create(run, path, data, sequence, makepath)))


def delete(run: Run, path: str, version: int, *, recursive: bool) -> Deferred[Outcome]:
    """Delete a node.

    :param version: the version that it must be at; -1 takes any.
    :param recursive: delete all that is below it first.
    :returns: fails as :meth:`~txmirror.interfaces.IZooKeeperClient.delete`.
    """
    return _told(run.mirror.get(path).delete(version, recursive=recursive).addCallback(lambda _: Outcome()))


async def _create(run: Run, path: str, data: bytes, sequence: bool, makepath: bool) -> Outcome:
    try:
        made = await run.client.create(path, data, sequence=sequence)
    except NoNodeException:
        if not makepath:
            raise
        await run.mirror.ensure_exists(paths.split(path)[0])
        made = await run.client.create(path, data, sequence=sequence)
    return Outcome((on_one_line(made),))


def _told(writing: Deferred[Outcome]) -> Deferred[Outcome]:
    """Let a failure tell whether something may have been written all the same."""

    def add(failure: Failure) -> Failure:
        error = failure.value
        if isinstance(error, ConnectionLossException) and error.applied is None:
            raise ConnectionLossException(f"{error}; whether it was written is not known")
        return failure

    return writing.addErrback(add)
