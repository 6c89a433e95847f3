"""One znode, mirrored: read from memory, kept true by the server's watches."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    NoNodeException,
    NotEmptyException,
    OperationTimeoutException,
    SessionExpiredException,
    ZooKeeperException,
)
from txmirror.mirror.cell import Cell
from txmirror.mirror.state import Existence, NodeState
from txmirror.timers import Timer
from txmirror.types import ACL, OPEN_ACL, ChildrenReply, DataReply, EventType, StatReply, ZnodeStat
from txmirror.wire import CreateFlag

if TYPE_CHECKING:
    from txmirror.mirror.mirror import Mirror

#: When a node that could not be read is tried again: after a second at first, after a minute at the most.
_RETRY = backoffPolicy(initialDelay=1.0, maxDelay=60.0, factor=2.0, jitter=lambda: 0.0)

#: The failures after which there is nothing to do but to wait for the next connection.
_LOST = (ConnectionLossException, SessionExpiredException, ClosingException)

_T = TypeVar("_T")


class Node:
    """A znode of a mirror, whether or not it exists and whether or not ZooKeeper can be reached.

    There is one for each path and mirror: :meth:`Mirror.get` makes it.

    :ivar path: the znode's path.
    """

    _log = Logger()

    def __init__(self, mirror: Mirror, path: str, unsettled: set[Cell[Any]]) -> None:
        self.path = path
        self._mirror = mirror
        self._feed = mirror.feed
        self._value: Cell[tuple[bytes, ZnodeStat]] = Cell(path, _render_value, unsettled)
        self._children: Cell[tuple[str, ...]] = Cell(path, _render_children, unsettled)
        self._maybe_absent = False
        self._retry = Timer(mirror.clock, self.try_again)
        self._failures = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Node {self.path!r} {self.state.existence.value}>"

    # What programs use.

    @property
    def state(self) -> NodeState:
        """What is known of the node now. It costs no round trip."""
        stale_since = self._mirror.disconnected_since
        if not self._value.known:
            return NodeState(Existence.UNKNOWN, None, None, None, stale_since)
        if self._value.value is None:
            return NodeState(Existence.ABSENT, None, None, None, stale_since)
        data, stat = self._value.value
        return NodeState(Existence.PRESENT, data, stat, self._children.value, stale_since)

    def value(self, timeout: float | None = 5.0) -> Deferred[tuple[bytes, ZnodeStat]]:
        """Read the node's data and stat: from memory once they are known, and known not to have changed.

        While disconnected, what was last known is the answer.

        :param timeout: how long to wait for what is not known yet, in seconds; None waits without limit.
        :returns: fires with both. Fails with :exc:`~txmirror.errors.NoNodeException`, with
            :exc:`~txmirror.errors.OperationTimeoutException` if nothing was known in time, with the server's refusal
            (:exc:`~txmirror.errors.NoAuthException`) if it may not be read (any more), or with
            :exc:`~txmirror.errors.ClosingException`. Cancelling ends the wait.
        """
        if self._value.current and self._value.value is not None:
            return succeed(self._value.value)
        return Deferred.fromCoroutine(self._read(self._value, timeout))

    def children(self, timeout: float | None = 5.0) -> Deferred[list[str]]:
        """Read the names of the node's children, sorted; otherwise as :meth:`value`."""
        return Deferred.fromCoroutine(self._read_names(timeout))

    def create(
        self,
        value: bytes = b"",
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        acl: Sequence[ACL] | None = None,
    ) -> Deferred[Node]:
        """Create the znode, and wait until this object, and its parent's if there is one, shows it.

        :param value: its data.
        :param ephemeral: it goes away with the session.
        :param sequence: the server appends ten digits to its name. After a lost connection nobody can tell whether it
            was made.
        :param makepath: make the nodes above it that are missing, persistent and open to everybody.
        :param acl: its access control list; open to everybody if None.
        :returns: fires with the node that was made: this one, or that of the name with digits. Fails as
            :meth:`~txmirror.interfaces.IZooKeeperClient.create`; where ``applied`` is None, this object shows what happened as soon as that is
            known. Cancelling abandons the wait, not a write that was sent.
        """
        flags = CreateFlag.of(ephemeral=ephemeral, sequence=sequence)
        return Deferred.fromCoroutine(self._create(value, OPEN_ACL if acl is None else acl, flags, makepath))

    def set(self, value: bytes, version: int) -> Deferred[ZnodeStat]:
        """Replace the znode's data, and wait until this object shows it.

        Writes reach ZooKeeper in the order in which they were called.

        :param version: the version that the znode must be at; -1 takes any.
        :returns: fires with the new stat. Fails as :meth:`~txmirror.interfaces.IZooKeeperClient.set`; where ``applied`` is None, this object
            shows what happened as soon as that is known. Cancelling abandons the wait, not a write that was sent.
        """
        return Deferred.fromCoroutine(self._set(value, version))

    def delete(self, version: int = -1, *, recursive: bool = False) -> Deferred[None]:
        """Delete the znode, and wait until this object, and its parent's if there is one, shows it.

        :param version: the version that the znode must be at; -1 takes any.
        :param recursive: delete all that is below it first, whatever the versions there.
        :returns: fires when it is gone. Fails as :meth:`~txmirror.interfaces.IZooKeeperClient.delete`; where ``applied`` is None, this object
            shows what happened as soon as that is known. Cancelling abandons the wait, not a write that was sent.
        """
        return Deferred.fromCoroutine(self._delete(version, recursive))

    def addValueWatcher(self, key: Hashable, function: Callable[[tuple[bytes, ZnodeStat] | None], object]) -> None:
        """Call ``function`` with each new value from now on: the data and stat, or None once the node is absent.

        Changes come in order, each once; some that follow one another closely may be seen as one. From not known to
        known is a change; to be added is none. A watcher that raises is logged, and goes on being called.

        :param key: what to remove it by; a watcher with the same key is replaced.
        """
        self._value.watch(key, function)

    def delValueWatcher(self, key: Hashable) -> None:
        """Call the value watcher with this key no more; silent if there is none."""
        self._value.unwatch(key)

    def addChildWatcher(self, key: Hashable, function: Callable[[list[str] | None], object]) -> None:
        """Call ``function`` with each new list of children, sorted, or None; otherwise as :meth:`addValueWatcher`."""
        self._children.watch(key, function)

    def delChildWatcher(self, key: Hashable) -> None:
        """Call the child watcher with this key no more; silent if there is none."""
        self._children.unwatch(key)

    # What its mirror tells it.

    def happened(self, kind: EventType) -> None:
        """A watch has fired."""
        if kind is EventType.CHILD:
            self._children.mark()
        else:
            self._maybe_absent = kind is EventType.DELETED
            self._value.mark()
            if kind is not EventType.CHANGED:
                self._children.mark()
        self.refresh()

    def refresh(self) -> None:
        """Read what has to be read, if there is a connection to do it. What could not be read waits for its time."""
        if not self._mirror.is_connected():
            return
        if self._value.wanting:
            self._value.begin()
            if self._maybe_absent:
                self._ask(self._value, self._feed.read_existence(self.path), self._existence_read)
            else:
                self._ask(self._value, self._feed.read_data(self.path), self._value_read)
        if self._children.wanting and not self._maybe_absent:
            self._children.begin()
            self._ask(self._children, self._feed.read_children(self.path), self._children_read)

    def try_again(self) -> None:
        """Read also what could not be read the last time."""
        for cell in (self._value, self._children):
            if cell.problem is not None or cell.postponed:
                cell.mark()
        self.refresh()

    def disconnected(self) -> None:
        """Let readers have what is known."""
        self._retry.stop()
        self._value.release()
        self._children.release()

    def session_changed(self) -> None:
        """Note that whatever watches there were, the new session does not have them."""
        self._value.armed = self._children.armed = False

    def history_changed(self) -> None:
        """Forget everything: it is of another history."""
        self._maybe_absent = False
        self._value.forget()
        self._children.forget()

    def unarmed(self) -> tuple[bool, bool, bool]:
        """Tell which watches the new session needs for what is not going to be read anyway: data, existence, children."""
        value = self._value.current and not self._value.armed
        absent = self._value.value is None
        children = self._children.current and not self._children.armed and self._children.value is not None
        return value and not absent, value and absent, children

    def arm(self) -> None:
        """Note that the session has the watches that were asked for."""
        self._value.armed = self._children.armed = True

    def disarm(self) -> None:
        """Read everything again: whatever watches there were, the server cannot set them again."""
        self._value.mark()
        self._children.mark()
        self.refresh()

    def close(self) -> None:
        """Let everybody go who waits. What was known stays readable."""
        self._closed = True
        self._retry.stop()
        problem = ClosingException(path=self.path)
        self._value.close(problem)
        self._children.close(problem)

    def children_shown(self) -> Deferred[None]:
        """Fires when the children show everything that has happened so far, or cannot be read."""
        self._check_armed(self._children)
        return succeed(None) if self._children.settled else self._children.to_settle()

    # Reading.

    async def _read_names(self, timeout: float | None) -> list[str]:
        names = await self._read(self._children, timeout)
        return list(names)

    async def _read(self, cell: Cell[_T], timeout: float | None) -> _T:
        if not cell.readable(self._mirror.is_connected()):
            waiter = cell.to_read()
            if timeout is not None:
                waiter.addTimeout(timeout, self._mirror.clock, self._timed_out)
            await waiter
        if cell.problem is not None and not (cell.known and self._mirror.disconnected_since is not None):
            raise cell.problem.with_traceback(None)
        if cell.value is None:
            raise NoNodeException(path=self.path, zxid=cell.zxid)
        return cell.value

    def _timed_out(self, _: object, timeout: float) -> None:
        raise OperationTimeoutException(f"{self.path!r} could not be read within {timeout:g} s", path=self.path)

    def _ask(self, cell: Cell[Any], answer: Deferred[_T], take: Callable[[_T], None]) -> None:
        def answered(result: _T | Failure) -> None:
            if self._closed:
                return
            if not isinstance(result, Failure):
                take(result)
            elif isinstance(result.value, _LOST):
                # There is nothing to do until the next connection.
                cell.interrupt()
                return
            elif isinstance(result.value, NoNodeException):
                self._missing(cell)
            elif isinstance(result.value, ZooKeeperException):
                self._put_off(cell, result.value)
            else:
                result.raiseException()
            # What happened while the read was on its way may not be in it.
            self.refresh()
            self._mirror.check_settled()

        answer.addBoth(answered).addErrback(
            lambda failure: self._log.failure("Reading {path} failed.", failure=failure, path=self.path)
        )

    def _existence_read(self, reply: StatReply) -> None:
        if reply.stat is not None:
            self._maybe_absent = False
            self._value.interrupt()
            self._children.mark()
        elif self._in_time(self._value, reply.zxid):
            self._value.show(None, None, reply.zxid)
            self._children.show(None, None, reply.zxid)
            if not self._children.reading:
                self._children.dirty = False
                self._children.settle()
            self._value.settle()

    def _value_read(self, reply: DataReply) -> None:
        if self._in_time(self._value, reply.zxid):
            stat = reply.stat
            self._maybe_absent = False
            self._value.show((stat.czxid, stat.mzxid), (reply.data, stat), reply.zxid)
            self._value.settle()

    def _children_read(self, reply: ChildrenReply) -> None:
        if self._in_time(self._children, reply.zxid):
            stat = reply.stat
            names = tuple(sorted(reply.children))
            self._children.show((stat.czxid, names), names, reply.zxid)
            self._refresh_stat(stat, reply.zxid)
            self._children.settle()

    def _missing(self, cell: Cell[Any]) -> None:
        """Find out about a node that was not there: to read it leaves no watch, to ask whether it exists does."""
        cell.interrupt()
        if not self._value.current:
            self._maybe_absent = True
        elif self._value.value is not None:
            self.happened(EventType.DELETED)
        else:
            self._children.dirty = False
            self._children.settle()

    def _in_time(self, cell: Cell[Any], zxid: int) -> bool:
        """Tell whether a reply may be shown."""
        if zxid >= cell.zxid:
            self._failures = 0
            return True
        cell.postpone()
        self._try_again_later()
        return False

    def _put_off(self, cell: Cell[Any], error: ZooKeeperException) -> None:
        self._log.warn("{path} cannot be read: {reason}. It is tried again.", path=self.path, reason=str(error))
        cell.fail(error)
        if self._maybe_absent and self._children.wanting:
            # They are not read before it is known that the node exists.
            self._children.fail(error)
        self._try_again_later()

    def _try_again_later(self) -> None:
        if not self._retry.running:
            self._retry.start(_RETRY(self._failures))
            self._failures += 1

    def _refresh_stat(self, stat: ZnodeStat, zxid: int) -> None:
        """Take over what the value's own watch does not announce: how many children there are, and since when."""
        if self._value.current and self._value.value is not None:
            data, before = self._value.value
            if (before.czxid, before.mzxid) == (stat.czxid, stat.mzxid):
                self._value.show((stat.czxid, stat.mzxid), (data, stat), zxid)

    # Writing.

    async def _create(self, value: bytes, acl: Sequence[ACL], flags: int, makepath: bool) -> Node:
        try:
            reply = await self._feed.write_create(self.path, value, acl, flags)
        except NoNodeException:
            if not makepath:
                raise
            await self._mirror.make_path(paths.parent_of(self.path))
            reply = await self._feed.write_create(self.path, value, acl, flags)
        node = self if reply.path == self.path else self._mirror.get(reply.path)
        node.was_written(value, reply.stat)
        await self._mirror.parent_shows(node.path)
        return node

    async def _set(self, value: bytes, version: int) -> ZnodeStat:
        stat = (await self._feed.write_data(self.path, value, version)).stat
        assert stat is not None
        self.was_written(value, stat)
        return stat

    async def _delete(self, version: int, recursive: bool) -> None:
        zxid = await self._delete_at(version, recursive)
        self._maybe_absent = True
        self._value.show(None, None, zxid)
        self._children.show(None, None, zxid)
        if not self._value.reading:
            self._value.mark()
            self.refresh()
        await self._mirror.parent_shows(self.path)

    async def _delete_at(self, version: int, recursive: bool) -> int:
        while True:
            try:
                return await self._feed.write_delete(self.path, version)
            except NotEmptyException:
                if not recursive:
                    raise
            await self._mirror.delete_below(self.path)

    def was_written(self, value: bytes, stat: ZnodeStat) -> None:
        """Show what was written to the node: its event came before the reply, but its data is known only here."""
        self._maybe_absent = False
        self._value.show((stat.czxid, stat.mzxid), (value, stat), stat.mzxid)
        if stat.czxid == stat.mzxid == stat.pzxid:
            self._children.show((stat.czxid, ()), (), stat.czxid)
            self._check_armed(self._children)
        self._check_armed(self._value)

    def _check_armed(self, cell: Cell[Any]) -> None:
        """Read again what was written in a session that has no watch for it (yet): nothing else would tell what follows."""
        if cell.current and not cell.armed:
            cell.mark()
            self.refresh()


def _render_value(value: tuple[bytes, ZnodeStat] | None) -> tuple[bytes, ZnodeStat] | None:
    return value


def _render_children(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)
