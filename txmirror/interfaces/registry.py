"""A service registry, its locks, and the codecs of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import Attribute, Interface

from txmirror.errors import ZooKeeperException
from txmirror.types import Answer, Instance, NodeType, Payload, Undecodable


class IPayloadCodec(Interface):
    """A codec between the facts about a service and the data of its node."""

    name: str = Attribute("The codec's name in configurations.")

    def encode(data: Mapping[str, object] | str | None, *, pid: int, created: float) -> bytes:
        """Return a node's data.

        :param data: facts for programs that find the service.
        :param pid: the process that registers it.
        :param created: the time of registration, in seconds since the Unix epoch.
        :raises TypeError: this codec cannot write ``data``, or something in it, because of its type.
        :raises ValueError: ``data`` contains a value that cannot be written.
        """

    def decode(data: bytes) -> Payload | Undecodable:
        """Return the contents of a node's data, which any program may have written.

        It must not raise; if it does, a registry treats the data as undecodable.
        """

    def says(stored: bytes, data: Mapping[str, object] | str | None) -> bool:
        """Return whether stored data has the same contents as ``data``, apart from the additions of :meth:`encode`."""


class IInstanceCodec(IPayloadCodec):
    """A codec whose data describes an instance of a service, for programs that look for its address there."""

    node: str = Attribute(
        "The default name of a node in a configuration, with placeholders, as in ``{address}:{port}``."
    )
    shares_parent: bool = Attribute("Whether nodes in other formats may be beside its nodes.")
    takes_facts: bool = Attribute("Whether it has a place for any facts.")

    def facts(instance: Instance) -> Mapping[str, object] | str | None:
        """Return the facts of an instance, for :meth:`IPayloadCodec.encode`. Contents that the format has no place for are left out.

        :raises UnsupportedInstanceError: the format needs something that the instance lacks, or cannot express something in it.
        """

    def node_name(instance: Instance) -> str:
        """Return the name of the node of an instance: in most formats ``instance.name``.

        :raises UnsupportedInstanceError: as :meth:`facts` does, and if the readers of the format refuse the name.
        """

    def read(name: str, data: bytes) -> Instance | Undecodable:
        """Return the instance that a node describes, which any program may have written. It must not raise.

        :param name: the node's name.
        :param data: its data.
        """


class IRegistryLock(Interface):
    """A semaphore of a registry. It belongs to the registry as a whole: it excludes other registries, and not other tasks of the
    same program, for which it is held already.
    """

    path: str = Attribute("The path.")
    held: bool = Attribute("Whether the lock is held, and safe at this moment.")
    lost: Deferred[None] = Attribute(
        "Fires when the lock is not safe any more, before another contender can acquire it; not after a release. Each "
        "acquisition has a new one."
    )
    token: int = Attribute("The zxid with which this acquisition began: a later holder's is greater.")

    def acquire() -> Deferred[bool]:
        """Acquire the lock.

        :returns: fires with True when the lock is held, at once if it was; with False after ``wait`` seconds, whether
            ZooKeeper can be reached or not. The attempt is then withdrawn: at once, or when ZooKeeper can be reached again.
            Fails with :exc:`~txmirror.errors.LockMismatchError`, a ``ValueError``, if the path is in use with another
            number of holders, or by another kind of lock; and if ZooKeeper refuses the request
            (:exc:`~txmirror.errors.NoAuthException`). Cancelling ends the wait, and leaves no node.
        """

    def release() -> Deferred[bool]:
        """Release the lock.

        :returns: fires with True when the lock is released: at the server, or because the session ended; with False if
            ZooKeeper refuses it, so that the lock stays until the session ends. It never fails, and may be called when
            the lock is not held.
        """

    def __aenter__() -> Deferred[bool]:
        """Acquire the lock, for ``async with lock as status``."""

    def __aexit__(  # noqa: PLE0302 - an interface has no self
        kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        """Release the lock."""


class IServiceRegistry(Interface):
    """A registry of services in ZooKeeper: registers services, finds them, and goes on answering while ZooKeeper is away.

    It connects at :meth:`start`, or at the first call that needs ZooKeeper. After :meth:`stop`, only :meth:`start` and
    :meth:`rebuild` connect again; until then known answers stay available, and other calls fail with
    :exc:`~txmirror.errors.NoConnection`. ZooKeeper is *out of reach* when there was no session for ``timeout`` seconds. Then
    ``lazy`` decides:

    - if it is False, :meth:`start`, a write and the first :meth:`get` of a path fail with
      :exc:`~txmirror.errors.NoConnection`, and the registry forgets the call;
    - if it is True, they fire with False (a first :meth:`get`: with the answer from the cache file, if there is one), log one
      warning, and are done when ZooKeeper can be reached again.

    In both cases the registry keeps up the registrations and paths that it has already, and withdraws others as soon as it
    can, even if the call that withdrew them failed. Paths have the form that :class:`~txmirror.mirror.Mirror`
    accepts. A path that is invalid (``ValueError``), and data that cannot be stored (``TypeError``, ``ValueError``), raise at
    the call; all else fails by the Deferreds. In a forked child every call but :meth:`rebuild` raises
    :exc:`~txmirror.errors.InvalidStateException`.

    Cancelling a Deferred ends the wait. It does not undo the call: a registration still takes place.
    """

    lazy: bool = Attribute("Whether calls go on without ZooKeeper.")
    readonly: bool = Attribute("Whether the registry never writes.")
    timeout: float = Attribute("The seconds without a session after which ZooKeeper counts as out of reach.")

    def start() -> Deferred[bool]:
        """Start to connect; after a :meth:`stop`, restore its registrations and followed paths.

        :returns: fires with True when a session is established; without one, see the class.
        """

    def stop() -> Deferred[None]:
        """Withdraw all registrations, release all locks and end the session. Known answers stay available.

        Nodes of :meth:`set_data` stay. It may be called at any time, and again.

        :returns: fires when all is gone, in a bounded time; it never fails. Cancelling ends the wait.
        """

    def rebuild(reactor: IReactorTime | None = None) -> Deferred[bool]:
        """Open a new session, and restore all registrations and followed paths there.

        In a forked child the parent's connection is left alone, and only the followed paths are restored: the registrations
        stay the parent's.

        :param reactor: the reactor from now on. None: in a forked child a new one, of the class of the parent's, which the
            child has to run (it is ``registry.reactor``); elsewhere the same as before.
        :returns: as :meth:`start`.
        """

    def set_node(
        node: str,
        data: Mapping[str, object] | str | None = None,
        state: bool = True,
        *,
        codec: IPayloadCodec | None = None,
    ) -> Deferred[bool]:
        """Register a service and keep it registered: the registry keeps an ephemeral node with this data in its session.

        Another call changes the data. Missing parents are created, persistent and with an open ACL; the registry's ACL
        applies to the node and its parent, if it has to create that.

        :param node: the full path, the last part of it the server, as in ``/services/ssh/server1:22``.
        :param data: facts for programs that find it.
        :param state: False withdraws the registration, if it is this registry's; if ZooKeeper refuses that, the call fails, and
            the registry retries it later.
        :param codec: encodes the data of this node; the registry's codec if None.
        :returns: fires with True when the node is registered, or withdrawn. Fires with False, and logs one warning, if another
            session owns the node: it is registered when that node is gone. See the class for ZooKeeper being out of reach.
            Fails with :exc:`~txmirror.errors.ReadOnly`; with :exc:`~txmirror.errors.NodeExistsException` if there is a
            persistent node at the path, or if something else registers this path in the same session, such as another
            registry on the same mirror; with ZooKeeper's refusal otherwise (:exc:`~txmirror.errors.NoAuthException`,
            :exc:`~txmirror.errors.RequestTooLargeException`, ...). After a failure the registry forgets the call.
        """

    def set_data(node: str, data: Mapping[str, object] | str | None = None, state: bool = True) -> Deferred[bool]:
        """Write a persistent node once. It is not restored when others change or delete it, and :meth:`stop` leaves it.

        :param node: the full path; missing parents are created, as by :meth:`set_node`.
        :param state: False deletes the node, if it is persistent.
        :returns: fires with True when the node is written, or deleted. Fails as :meth:`set_node` does; with
            :exc:`~txmirror.errors.NodeExistsException` if there is an ephemeral node; with
            :exc:`~txmirror.errors.NotEmptyException` if the node to delete has children.
        """

    def set(node: str, data: Mapping[str, object] | str | None, state: bool, type: NodeType) -> Deferred[bool]:
        """Call :meth:`set_node` or :meth:`set_data`, according to ``type``."""

    def unset(node: str) -> Deferred[bool]:
        """Withdraw this registry's registration at a path, or delete the persistent node there.

        :returns: fires with True when there is neither. Fails as :meth:`set_data` does; with
            :exc:`~txmirror.errors.NodeExistsException` if another session owns the node, which stays.
        """

    def get(path: str, callback: Callable[[Answer], object] | None = None) -> Deferred[Answer | Literal[False]]:
        """Return the node at a path and its children, and follow the path from now on: later calls answer from memory, even
        with ZooKeeper out of reach.

        :param callback: as for :meth:`add_callback`.
        :returns: fires with ``{"children": {name: data}, "data": data, "path": path, "stat": ZnodeStat}``; ``stat`` and
            ``data`` are None if the node does not exist. A child whose data cannot be decoded is left out, and logged. A
            child that cannot be read has the data that was read last, or is left out; :meth:`unreadable` lists it and
            :meth:`stale` is True. The caller may change the answer. Only a lazy registry fires with False (see the class),
            and the type of a provider that is known not to be lazy says so. While nothing is known yet, it fails with
            :exc:`~txmirror.errors.NoAuthException` if the path may not be read, and with
            :exc:`~txmirror.errors.ReplyTooLargeException` if its data or the list of its children is over the client's
            ``Limits.max_reply``.
        """

    def add_callback(path: str, callback: Callable[[Answer], object]) -> Deferred[bool]:
        """Call ``callback`` with the answer of :meth:`get`, as soon as there is one and at each change, never twice with the same.

        The same callback counts once for a path. An exception of the callback is logged, and the callback stays.

        :returns: fires with True after the first call; otherwise as :meth:`get` does.
        """

    def remove_callback(path: str, callback: Callable[[Answer], object]) -> None:
        """Stop calling ``callback``; silent if it was not added."""

    def stale(path: str) -> bool:
        """Return whether the answer for a path may be old or incomplete.

        That is so if ZooKeeper is away, if the answer comes from the cache file or is not confirmed yet after a reconnection,
        if :meth:`unreadable` lists a node, and for a path that is not followed.
        """

    def unreadable(path: str) -> dict[str, ZooKeeperException]:
        """Return the nodes of the answer for a path that cannot be read at present, with the reasons.

        A reason is :exc:`~txmirror.errors.NoAuthException`, or :exc:`~txmirror.errors.ReplyTooLargeException` for data or a
        list of children over the client's ``Limits.max_reply``, or another refusal of the server. The registry retries the
        reads, first after a second, then with growing pauses of up to a minute.

        :returns: by full path, a child's or ``path`` itself (then children may be missing); empty if everything was read, and
            for a path that is not followed. Servers send no event when an ACL changes, so a node that has become unreadable
            is listed only after the next read, which may take minutes.
        """

    def get_state(callback: Callable[[bool], object] | None = None) -> Deferred[bool]:
        """Return whether there is a session with a server at this moment.

        :param callback: called with it at once, and at each change. The same callback counts once.
        """

    def get_lock(
        path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300
    ) -> Deferred[IRegistryLock]:
        """Return the lock at a path: the same object for the same path, until it is released.

        It is a semaphore, with one holder too, as in nd_service_registry, and shares the path with
        :class:`txmirror.recipes.Semaphore` and kazoo's. It cannot share it with :class:`txmirror.recipes.Lock`, kazoo's, or
        ``txmirror lock PATH`` without ``--simultaneous``: the second of them fails. Its nodes have the registry's ACL.

        :param name: the contender's name for other programs; the host and process if None.
        :param simultaneous: how many may hold the lock at once. All users of the path must agree on the number; it can change
            while there is no holder and no contender.
        :param wait: the seconds for which ``acquire`` waits.
        :returns: fires at once. Fails with :exc:`~txmirror.errors.ReadOnly`.
        :raises ValueError: ``simultaneous`` or ``wait`` is out of range, or this registry holds or waits for the lock with
            another number.
        """

    def acquire_lock(path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300) -> Deferred[bool]:
        """Acquire the lock at a path.

        The arguments and exceptions are those of :meth:`get_lock`.

        :returns: fires with True when the lock is held, with False after ``wait`` seconds. Fails as
            :meth:`IRegistryLock.acquire` does.
        """

    def release_lock(path: str) -> Deferred[bool]:
        """Release the lock at a path.

        :returns: as :meth:`IRegistryLock.release`; fires with True at once if the lock was not held.
        """

    def username() -> Deferred[str | None]:
        """Return the user name with which this registry authenticates at ZooKeeper."""

    def set_username(username: str | None) -> Deferred[bool]:
        """Authenticate with another user name from now on; nodes that were registered before keep their ACL.

        :returns: fires with True when the server has accepted it; see the class for ZooKeeper being out of reach.
        :raises ValueError: the name contains a colon, or is empty.
        """

    def password() -> Deferred[str | None]:
        """Return the password with which this registry authenticates."""

    def set_password(password: str | None) -> Deferred[bool]:
        """Authenticate with another password from now on, as :meth:`set_username`."""
