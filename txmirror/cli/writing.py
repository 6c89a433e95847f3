"""The commands that write a node once: ``set``, ``create`` and ``delete``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.cli.run import Outcome, Run
from txmirror.errors import BadVersionException, ConnectionLossException, NoNodeException, ZooKeeperException
from txmirror.printable import on_one_line
from txmirror.types import OPEN_ACL


def set_data(run: Run, path: str, data: bytes, version: int) -> Deferred[Outcome]:
    """Replace a node's data.

    :param version: the expected version; -1 for any.
    :returns: fails as :meth:`~txmirror.interfaces.IZooKeeperClient.set`.
    """
    writing = Deferred.fromCoroutine(_at_version(run, path, version, run.client.set(path, data, version)))
    return _explain_unknown(writing)


def create(run: Run, path: str, data: bytes, *, sequence: bool, makepath: bool) -> Deferred[Outcome]:
    """Create a persistent node, and show its path.

    :param sequence: let the server append ten digits to its name.
    :param makepath: create missing nodes above it.
    :returns: fails as :meth:`~txmirror.interfaces.IZooKeeperClient.create`.
    """
    return _explain_unknown(Deferred.fromCoroutine(_create(run, path, data, sequence, makepath)))


def delete(run: Run, path: str, version: int, *, recursive: bool) -> Deferred[Outcome]:
    """Delete a node.

    :param version: the expected version; -1 for any.
    :param recursive: delete all nodes below it first.
    :returns: fails as :meth:`~txmirror.interfaces.IZooKeeperClient.delete`.
    """
    deleting = run.mirror.get(path).delete(version, recursive=recursive)
    return _explain_unknown(Deferred.fromCoroutine(_at_version(run, path, version, deleting)))


async def _at_version(run: Run, path: str, version: int, writing: Deferred[Any]) -> Outcome:
    """Wait for a write; if the node is at another version, fail with a message that names it."""
    try:
        await writing
    except BadVersionException as error:
        try:
            stat = await run.client.exists(path)
        except ZooKeeperException:
            raise error from None
        if stat is None or stat.version == version:
            # The node has changed once more.
            raise
        text = f"the znode is at version {stat.version}, not {version}: {path!r}"
        raise BadVersionException(text, path=path, applied=False) from None
    return Outcome()


async def _create(run: Run, path: str, data: bytes, sequence: bool, makepath: bool) -> Outcome:
    acl = OPEN_ACL if run.acl is None else run.acl
    try:
        made = await run.client.create(path, data, acl, sequence=sequence)
    except NoNodeException:
        # For a path that ends with a slash, which --sequence allows, this is the path without that slash.
        parent = paths.split(path)[0]
        if parent == "/":
            # The chroot is never created here.
            raise
        if not makepath:
            text = f"the parent of {path!r} does not exist: --makepath creates missing nodes above it"
            raise NoNodeException(text, path=path, applied=False) from None
        await run.mirror.ensure_exists(parent)
        made = await run.client.create(path, data, acl, sequence=sequence)
    return Outcome((on_one_line(made),))


def _explain_unknown(writing: Deferred[Outcome]) -> Deferred[Outcome]:
    """Extend the message of a lost connection if the write may have been applied."""

    def add(failure: Failure) -> Failure:
        error = failure.value
        if isinstance(error, ConnectionLossException) and error.applied is None:
            raise ConnectionLossException(f"{error}; the write may have been applied")
        return failure

    return writing.addErrback(add)
