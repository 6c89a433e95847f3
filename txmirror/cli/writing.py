"""The commands that write a node once: ``set``, ``create`` and ``delete``."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import Status
from txmirror.creating_paths import create_path
from txmirror.deleting_trees import TreeDeletion
from txmirror.errors import (
    BadVersionException,
    ConnectionLossException,
    NoNodeException,
    NotEmptyException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.printable import on_one_line
from txmirror.types import OPEN_ACL


@attrs.frozen
class Mode:
    """The kind of a node to create."""

    ephemeral: bool = False
    """The node lives as long as the session."""
    sequential: bool = False
    """The server appends ten digits to its name."""
    container: bool = False
    """The server deletes it some time after its last child."""
    ttl: float | None = None
    """The server deletes it if it was not changed for so many seconds, and has no children."""
    parents: bool = False
    """Missing nodes above it are created."""


def set_data(run: Run, path: str, data: bytes, version: int) -> Deferred[Outcome]:
    """Replace a node's data.

    :param version: the expected version; -1 for any.
    :returns: fails as :meth:`~txmirror.interfaces.IZooKeeperClient.set`.
    """
    writing = Deferred.fromCoroutine(_at_version(run, path, version, run.client.set(path, data, version)))
    return explain_unknown(writing)


def create(run: Run, path: str, data: bytes, mode: Mode) -> Deferred[Outcome]:
    """Create a node, and show its path.

    An ephemeral node is held until the Deferred is cancelled, or the node is lost.

    :returns: fails as :meth:`~txmirror.interfaces.IZooKeeperClient.create`.
    """
    return explain_unknown(Deferred.fromCoroutine(_create(run, path, data, mode)))


def delete(run: Run, path: str, version: int, *, recursive: bool) -> Deferred[Outcome]:
    """Delete a node.

    :param version: the expected version; -1 for any.
    :param recursive: delete all nodes below it first.
    :returns: fails as :meth:`~txmirror.interfaces.IZooKeeperClient.delete`.
    """
    deleting = _delete_all(run, path) if recursive else run.client.delete(path, version)
    return explain_unknown(Deferred.fromCoroutine(_at_version(run, path, version, deleting)))


async def _at_version(run: Run, path: str, version: int, writing: Awaitable[object]) -> Outcome:
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


async def _delete_all(run: Run, path: str) -> None:
    try:
        await run.client.delete(path)
    except NotEmptyException:
        pass
    else:
        return
    deletion = TreeDeletion(run.client)
    total: int | None = None
    if run.console.shows_progress:
        # Servers before 3.6 do not know the number.
        with suppress(ZooKeeperException):
            total = await run.client.count_below(path)
    with run.show_progress("Deleting", lambda: deletion.deleted, lambda: total):
        await deletion.delete(path, lambda: run.client.delete(path))


async def _create(run: Run, path: str, data: bytes, mode: Mode) -> Outcome:
    try:
        made = await _send(run, path, data, mode)
    except NoNodeException:
        # For a path that ends with a slash, which --sequential allows, this is the path without that slash.
        parent = paths.split(path)[0]
        if parent == "/":
            # The chroot is never created here.
            raise
        if not mode.parents:
            text = f"the parent of {path!r} does not exist: --parents creates missing nodes above it"
            raise NoNodeException(text, path=path, applied=False) from None
        await create_path(run.client, parent)
        made = await _send(run, path, data, mode)
    except UnimplementedException:
        if mode.ttl is None:
            raise
        text = "the server creates no nodes with a time to live: its option extendedTypesEnabled is not set"
        raise UnimplementedException(text, path=path, applied=False) from None
    if not mode.ephemeral:
        return Outcome((on_one_line(made),))
    run.console.line(on_one_line(made))
    run.outlive_outages()
    with suppress(CancelledError):
        return await _hold(run, made, run.client.session_id)
    return Outcome()


async def _send(run: Run, path: str, data: bytes, mode: Mode) -> str:
    acl = OPEN_ACL if run.acl is None else run.acl
    if mode.container:
        return (await run.client.create_container(path, data, acl))[0]
    if mode.ttl is not None:
        return (await run.client.create_with_ttl(path, data, acl, ttl=mode.ttl, sequence=mode.sequential))[0]
    return await run.client.create(path, data, acl, ephemeral=mode.ephemeral, sequence=mode.sequential)


async def _hold(run: Run, path: str, session_id: int) -> Outcome:
    """Wait until an ephemeral node is no longer ours."""
    async for value in run.mirror.get(path).values():
        if value is None or value[1].ephemeralOwner != session_id:
            break
    reason = "it was deleted" if run.client.session_id == session_id else "the session has expired"
    return Outcome(status=Status.UNAVAILABLE, errors=(f"{path!r} is lost: {reason}",))


def explain_unknown(writing: Deferred[Outcome]) -> Deferred[Outcome]:
    """Extend the message of a lost connection if the write may have been applied."""

    def add(failure: Failure) -> Failure:
        error = failure.value
        if isinstance(error, ConnectionLossException) and error.applied is None:
            raise ConnectionLossException(f"{error}; the write may have been applied")
        return failure

    return writing.addErrback(add)
