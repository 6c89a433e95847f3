"""A service registry, its locks, and what stands in its nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import Attribute, Interface

from txmirror.errors import ZooKeeperException
from txmirror.types import Answer, NodeType, Payload, Undecodable


class IPayloadCodec(Interface):
    """How the facts about a service stand in its node."""

    name: str = Attribute("What it is called in configurations.")

    def encode(data: Mapping[str, object] | str | None, *, pid: int, created: float) -> bytes:
        """Make a node's data.

        :param data: facts for whoever finds the service.
        :param pid: the process that registers it.
        :param created: when, in seconds since the epoch.
        :raises TypeError: ``data`` is not what this codec can write, or holds what it cannot.
        :raises ValueError: it holds a value that cannot be written.
        """

    def decode(data: bytes) -> Payload | Undecodable:
        """Read a node's data, whoever wrote it. It never raises; where one does, a registry takes the data as undecodable."""

    def says(stored: bytes, data: Mapping[str, object] | str | None) -> bool:
        """Tell whether what is stored says the same as ``data``, apart from what :meth:`encode` adds by itself."""


class IRegistryLock(Interface):
    """A place among those who may hold a path at once. It is the registry's as a whole: it keeps other registries out, not other
    tasks of the same program, which are told that it is held.
    """

    path: str = Attribute("The path.")
    held: bool = Attribute("Whether it is held, and may be relied upon at this moment.")
    lost: Deferred[None] = Attribute(
        "For this holding: fires when it can be relied upon no longer, before anybody else can be let in; not after a release."
    )
    token: int = Attribute("The transaction that this holding began with: a later holder's is greater.")

    def acquire() -> Deferred[bool]:
        """Wait for a place.

        :returns: fires with True when it is held, at once if it was; with False after ``wait`` seconds, ZooKeeper being out of reach or not. The
            attempt is then taken back: at once, or when ZooKeeper is back in reach. Fails with
            :exc:`~txmirror.errors.LockMismatchError`, a ``ValueError``, where the path is used with another number of
            holders, or by another kind of lock; and where ZooKeeper refuses (:exc:`~txmirror.errors.NoAuthException`).
            Cancelling ends the wait, and leaves nothing.
        """

    def release() -> Deferred[bool]:
        """Let others in.

        :returns: fires with True when the place is given up: at the server, or because the session has ended; with False where
            ZooKeeper refuses that, and the place goes with the session. It never fails, and may be called when nothing is held.
        """

    def __aenter__() -> Deferred[bool]:
        """Acquire it, as ``async with lock as status`` does."""

    def __aexit__(  # noqa: PLE0302 - an interface has no self
        kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        """Release it."""


class IServiceRegistry(Interface):
    """Services that are registered and found in ZooKeeper, and answers for as long as that is away.

    It connects at :meth:`start`, or at the first call that needs ZooKeeper. After :meth:`stop` only :meth:`start` and
    :meth:`rebuild` begin again; till then answers that are known are given, and other calls fail with
    :exc:`~txmirror.errors.NoConnection`. ZooKeeper is *out of reach* when no session was had for ``timeout`` seconds. What then
    becomes of a call is decided by ``lazy``:

    - if not, :meth:`start`, a write and the first :meth:`get` of a path fail with :exc:`~txmirror.errors.NoConnection`, and
      nothing is kept of them;
    - if so, they fire with False (a first :meth:`get`: with the answer from the cache file, if there is one), with one warning in
      the log, and are done when that can be.

    What is registered or followed already is looked after in both cases, and what is no longer wanted is taken away as soon as
    that can be, even if the call that said so has failed. Paths are as :class:`~txmirror.mirror.Mirror` takes
    them. A wrong path (``ValueError``), and data that cannot be stored (``TypeError``, ``ValueError``), raise at the call; all
    else comes by the Deferreds. In a forked child every call raises :exc:`~txmirror.errors.InvalidStateException`, but
    :meth:`rebuild`.

    Cancelling a Deferred ends the wait. It takes nothing back: what was to be registered still is.
    """

    lazy: bool = Attribute("Whether calls go on without ZooKeeper.")
    readonly: bool = Attribute("Whether nothing may be written.")
    timeout: float = Attribute("How long it takes until ZooKeeper counts as out of reach, in seconds.")

    def start() -> Deferred[bool]:
        """Begin to connect; after a :meth:`stop`, take up again what was registered and followed then.

        :returns: fires with True when a session stands; see the class for when it does not.
        """

    def stop() -> Deferred[None]:
        """Take away what is registered, let locks go, end the session. What was known stays readable.

        Nodes of :meth:`set_data` stay. It may be called at any time, and twice.

        :returns: fires when all is gone, in a bounded time; it never fails.
        """

    def rebuild(reactor: IReactorTime | None = None) -> Deferred[bool]:
        """Begin anew with a session of its own, and register and follow there what was before.

        In a forked child the parent's connection is left alone, and nothing of what the parent has registered is taken along
        but what is followed.

        :param reactor: what it runs on from now on. None: in a forked child a new one, of the class of the parent's, which
            the child has to run (it is ``registry.reactor``); elsewhere the same as before.
        :returns: as :meth:`start`.
        """

    def set_node(node: str, data: Mapping[str, object] | str | None = None, state: bool = True) -> Deferred[bool]:
        """Register a service, and keep it registered: as long as it is wanted, the ephemeral node exists, in this registry's
        session, with this data.

        Called again, it changes the data. Nodes above it that are missing are made, persistent and open to everybody; the ACL
        goes on the node and its parent.

        :param node: the full path, the last part of it the server, as in ``/services/ssh/server1:22``.
        :param data: facts for whoever finds it.
        :param state: False takes it away, if it is this registry's; where ZooKeeper refuses that, the call fails, and it is tried
            again later all the same.
        :returns: fires with True when it is so. With False and one warning if another session's node stands there: it is
            registered when that has gone. See the class for ZooKeeper being out of reach. Fails with
            :exc:`~txmirror.errors.ReadOnly`; with :exc:`~txmirror.errors.NodeExistsException` if a persistent node stands
            there, or if something else registers this path in the same session, such as another registry on the same mirror; with what ZooKeeper refuses it with otherwise (:exc:`~txmirror.errors.NoAuthException`,
            :exc:`~txmirror.errors.RequestTooLargeException`, ...); nothing is kept of it then.
        """

    def set_data(node: str, data: Mapping[str, object] | str | None = None, state: bool = True) -> Deferred[bool]:
        """Write a persistent node once. It is not put back when others change or delete it, and :meth:`stop` leaves it.

        :param node: the full path; what is missing above it is made, as by :meth:`set_node`.
        :param state: False deletes it, if it is persistent.
        :returns: fires with True when it is so. Fails as :meth:`set_node` does; with
            :exc:`~txmirror.errors.NodeExistsException` if an ephemeral node stands there; with
            :exc:`~txmirror.errors.NotEmptyException` if it is to be deleted and has children.
        """

    def set(node: str, data: Mapping[str, object] | str | None, state: bool, type: NodeType) -> Deferred[bool]:
        """Do as :meth:`set_node` or :meth:`set_data`, as ``type`` says."""

    def unset(node: str) -> Deferred[bool]:
        """Take away what this registry has registered at a path; or delete the persistent node that is there.

        :returns: fires with True when there is none of either. Fails as :meth:`set_data` does; another session's node stays, and
            is a :exc:`~txmirror.errors.NodeExistsException`.
        """

    def get(path: str, callback: Callable[[Answer], object] | None = None) -> Deferred[Answer | Literal[False]]:
        """Find what is at a path, and follow it from now on: later calls answer from memory, with ZooKeeper out of reach too.

        :param callback: as for :meth:`add_callback`.
        :returns: fires with ``{"children": {name: data}, "data": data, "path": path, "stat": ZnodeStat}``; ``stat`` and
            ``data`` are None if there is no such node. A child whose data cannot be decoded is left out, and reported. A
            child that cannot be read has the data that was read last, or is left out; :meth:`unreadable` names it and
            :meth:`stale` is True. The answer is the caller's own. Only a lazy registry fires with
            False (see the class), and the type of a provider that is known not to be lazy says so. While
            nothing is known yet, it fails with :exc:`~txmirror.errors.NoAuthException` if the path may not be read, and with
            :exc:`~txmirror.errors.ReplyTooLargeException` if its data or the list of its children is over the client's
            ``Limits.max_reply``.
        """

    def add_callback(path: str, callback: Callable[[Answer], object]) -> Deferred[bool]:
        """Call ``callback`` with the answer of :meth:`get`, as soon as there is one and at each change, never twice with the same.

        The same callback counts once for a path. One that raises is logged, and goes on being called.

        :returns: fires with True once it was called the first time; otherwise as :meth:`get` does.
        """

    def remove_callback(path: str, callback: Callable[[Answer], object]) -> None:
        """Call ``callback`` no more; silent if it was not being called."""

    def stale(path: str) -> bool:
        """Return whether the answer for a path may be old or incomplete: ZooKeeper is away, the answer comes from the cache
        file or is held after a reconnection, or :meth:`unreadable` names something. A path that was never asked for is stale.
        """

    def unreadable(path: str) -> dict[str, ZooKeeperException]:
        """Return the nodes of the answer for a path that cannot be read at present, with the reasons.

        A reason is :exc:`~txmirror.errors.NoAuthException`, or :exc:`~txmirror.errors.ReplyTooLargeException` for data or a
        list of children over the client's ``Limits.max_reply``, or another refusal of the server. The reads are retried, after a second
        at first and with growing pauses of up to a minute.

        :returns: by full path, a child's or ``path`` itself (then children may be missing); empty if everything was read, and
            for a path that was never asked for. Servers send no event when an ACL is changed, so that a node that cannot be read
            any more is named only after it was read again, which may take minutes.
        """

    def get_state(callback: Callable[[bool], object] | None = None) -> Deferred[bool]:
        """Tell whether there is a session with a server at this moment.

        :param callback: called with that at once, and at each change. The same one counts once.
        """

    def get_lock(
        path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300
    ) -> Deferred[IRegistryLock]:
        """Return the lock at a path; the same for the same path, until it was released.

        It is a semaphore, with one holder too, as nd_service_registry has it: a :class:`txmirror.recipes.Semaphore` or kazoo's on
        the same path counts along. It does not go with a :class:`txmirror.recipes.Lock`, kazoo's, or ``txmirror lock PATH``
        without ``--simultaneous`` there: whoever comes second is told so. Its nodes have the registry's ACL.

        :param name: who wants it, for those who look; the host and process if None.
        :param simultaneous: how many may hold it at once. All who use the path must agree; when nobody holds or waits for it,
            whoever comes next may set another number.
        :param wait: for how many seconds ``acquire`` waits.
        :returns: fires at once. Fails with :exc:`~txmirror.errors.ReadOnly`.
        :raises ValueError: ``simultaneous`` or ``wait`` is out of range, or this registry holds or waits for the lock with
            another number.
        """

    def acquire_lock(path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300) -> Deferred[bool]:
        """Acquire the lock at a path: True when it is held, False after ``wait`` seconds.

        It takes and raises what :meth:`get_lock` does, and fails as :meth:`IRegistryLock.acquire` does.
        """

    def release_lock(path: str) -> Deferred[bool]:
        """Release the lock at a path: True when it is not held any more, at once if it was not."""

    def username() -> Deferred[str | None]:
        """Give the name that this registry goes by at ZooKeeper."""

    def set_username(username: str | None) -> Deferred[bool]:
        """Go by another name from now on; what was registered before keeps its ACL.

        :returns: fires with True when the server has taken it; see the class for ZooKeeper being out of reach.
        :raises ValueError: it has a colon, or is empty.
        """

    def password() -> Deferred[str | None]:
        """Give the password."""

    def set_password(password: str | None) -> Deferred[bool]:
        """Use another password from now on; otherwise as :meth:`set_username`."""
