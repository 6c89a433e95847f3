"""The commands ``acl get`` and ``acl set``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.access import show_acl
from txmirror.cli.formats import record_lines
from txmirror.cli.run import NEEDS_CREDENTIALS, Outcome, Run
from txmirror.cli.statuses import message_of, status_of_all
from txmirror.cli.writing import explain_unknown
from txmirror.errors import (
    BadVersionException,
    InvalidACLException,
    NoAuthException,
    NoNodeException,
    ZooKeeperException,
)
from txmirror.printable import on_one_line
from txmirror.types import ACL, ZnodeStat

_T = TypeVar("_T")

#: The node with ZooKeeper's own nodes.
_OWN = "/zookeeper"
#: How many nodes are read or written at a time.
_AT_A_TIME = 128


def get_acl(run: Run, wanted: Sequence[str], output: str, *, recursive: bool) -> Deferred[Outcome]:
    """Show the ACLs of nodes. For each that cannot be read there is an error message.

    :param wanted: the paths.
    :param output: ``text``, ``json``, ``jsonl`` or ``yaml``.
    :param recursive: whether to show those of all nodes below them.
    """
    return Deferred.fromCoroutine(_get_acl(run, wanted, output, recursive))


def set_acl(
    run: Run, path: str, acl: Sequence[ACL], version: int, *, recursive: bool, dry_run: bool
) -> Deferred[Outcome]:
    """Replace the ACL of a node.

    :param version: the expected version of the ACL; -1 for any.
    :param recursive: replace those of all nodes below it, too, the lowest first, and show the paths that have changed. ZooKeeper's own
        nodes are left alone.
    :param dry_run: write nothing, and show what would change.
    :returns: fails as :meth:`~txmirror.interfaces.IZooKeeperClient.set_acl`.
    """

    def explain(failure: Failure) -> Failure:
        if isinstance(failure.value, InvalidACLException) and run.needs_credentials(acl):
            raise InvalidACLException(f"{failure.value}: {NEEDS_CREDENTIALS}", path=path, applied=False) from None
        return failure

    setting = Deferred.fromCoroutine(_set_acl(run, path, acl, version, recursive, dry_run))
    return explain_unknown(setting.addErrback(explain))


async def _get_acl(run: Run, wanted: Sequence[str], output: str, recursive: bool) -> Outcome:
    every = list(wanted)
    errors: list[ZooKeeperException] = []
    if recursive:
        every = [each for path in wanted for each in await _list_tree(run, path, errors)]
    found = await _read(run, every, errors, wanted)
    messages = list(dict.fromkeys(map(message_of, errors)))
    if output == "text":
        if len(every) == 1:
            lines = [on_one_line(entry) for acl, _ in found.values() for entry in show_acl(acl)]
        else:
            lines = [f"{on_one_line(path)}  {_one_line(acl)}" for path, (acl, _) in found.items()]
        return Outcome(lines, status_of_all(errors), messages)
    records: list[dict[str, Any]] = [
        {"path": path, "acl": show_acl(acl), "aversion": stat.aversion} for path, (acl, stat) in found.items()
    ]
    return Outcome(record_lines(records, output, (), lambda _: ()), status_of_all(errors), messages)


async def _set_acl(run: Run, path: str, acl: Sequence[ACL], version: int, recursive: bool, dry_run: bool) -> Outcome:
    errors: list[ZooKeeperException] = []
    if not recursive and not dry_run:
        await _write(run, path, acl, version)
        return Outcome()
    # The lowest first: the new ACL may forbid to read the list of children.
    every = [path]
    if recursive:
        every = [each for each in reversed(await _list_tree(run, path, errors)) if not _is_servers_own(run, each)]
    found = await _read(run, every, errors, (path,))
    changing = [each for each in every if each in found and set(found[each][0]) != set(acl)]
    lines = [f"{on_one_line(each)}  {_one_line(found[each][0])} -> {_one_line(acl)}" for each in changing]
    if not dry_run:
        lines = await _write_all(run, changing, acl, errors)
    return Outcome(lines, status_of_all(errors), list(dict.fromkeys(map(message_of, errors))))


async def _write(run: Run, path: str, acl: Sequence[ACL], version: int) -> None:
    try:
        await run.client.set_acl(path, acl, version)
    except BadVersionException:
        stat = await run.client.exists(path)
        if stat is None or stat.aversion == version:
            raise
        text = f"the ACL is at version {stat.aversion}, not {version}: {path!r}"
        raise BadVersionException(text, path=path, applied=False) from None


async def _write_all(run: Run, every: Sequence[str], acl: Sequence[ACL], errors: list[ZooKeeperException]) -> list[str]:
    """Set the ACL of nodes, in order.

    :returns: the lines for the nodes that were changed.
    """
    lines: list[str] = []
    with run.show_progress("Setting ACLs", lambda: len(lines), lambda: len(every)):
        for start in range(0, len(every), _AT_A_TIME):
            some = every[start : start + _AT_A_TIME]
            run.note_doubt(f"{len(lines)} ACLs were set, and some more may have been")
            writing = [(path, run.client.set_acl(path, acl).addErrback(_trap)) for path in some]
            for path, answer in writing:
                error = _check(await answer)
                if isinstance(error, NoAuthException):
                    errors.append(error)
                elif not isinstance(error, ZooKeeperException):
                    lines.append(on_one_line(path))
    return lines


async def _read(
    run: Run, every: Sequence[str], errors: list[ZooKeeperException], wanted: Sequence[str]
) -> dict[str, tuple[list[ACL], ZnodeStat]]:
    """Read the ACLs of nodes. Of those that are missing, only the wanted ones are errors: others were deleted meanwhile."""
    found: dict[str, tuple[list[ACL], ZnodeStat]] = {}
    with run.show_progress("Reading ACLs", lambda: len(found), lambda: len(every)):
        for start in range(0, len(every), _AT_A_TIME):
            asked = [(path, run.client.get_acl(path).addErrback(_trap)) for path in every[start : start + _AT_A_TIME]]
            for path, answer in asked:
                read = _check(await answer)
                if isinstance(read, NoAuthException) or (isinstance(read, NoNodeException) and path in wanted):
                    errors.append(read)
                elif not isinstance(read, ZooKeeperException):
                    found[path] = read
    if any(isinstance(error, NoNodeException) for error in errors):
        await run.check_chroot()
    return found


async def _list_tree(run: Run, path: str, errors: list[ZooKeeperException]) -> list[str]:
    """Return the paths of a node and of all nodes below it, each before those below it."""
    listed: list[str] = []
    waiting = [path]
    with run.show_progress("Listing", lambda: len(listed)):
        while waiting:
            some, waiting = waiting[-_AT_A_TIME:], waiting[:-_AT_A_TIME]
            listed += some
            for each, asked in [(each, run.client.get_children(each).addErrback(_trap)) for each in some]:
                names = _check(await asked)
                if isinstance(names, NoAuthException):
                    errors.append(names)
                elif not isinstance(names, ZooKeeperException):
                    waiting += [paths.join(each, name) for name in names]
    return sorted(listed, key=lambda each: each.split("/"))


def _is_servers_own(run: Run, path: str) -> bool:
    """Return whether a node is one of ZooKeeper's own. Below a chroot there are none."""
    return "/" not in run.client.connect_string and (path == _OWN or path.startswith(f"{_OWN}/"))


def _trap(failure: Failure) -> ZooKeeperException:
    """Return any failure of ZooKeeper's: if one of many requests fails, nobody waits for the others."""
    if not isinstance(failure.value, ZooKeeperException):
        failure.raiseException()
    return failure.value


def _check(answer: _T) -> _T:
    """Return an answer, or the reason why there is none for one node.

    :raises ZooKeeperException: a failure that concerns all nodes.
    """
    if isinstance(answer, ZooKeeperException) and not isinstance(answer, (NoAuthException, NoNodeException)):
        raise answer
    return answer


def _one_line(acl: Sequence[ACL]) -> str:
    return on_one_line(",".join(show_acl(acl)))
