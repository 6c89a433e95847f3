"""One registration: an ephemeral node that is kept in place. ``keeper.py`` keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.durations import check_seconds
from txmirror.errors import ClosingException, NodeExistsException, PathError
from txmirror.interfaces import IPayloadCodec
from txmirror.mirror import Mirror, MirrorState
from txmirror.registry.codecs import CODECS
from txmirror.registry.identity import Identity
from txmirror.registry.keeper import Keeper
from txmirror.registry.mirror_events import events_of
from txmirror.registry.outcomes import RegistrationState
from txmirror.registry.own_node import OwnNode
from txmirror.registry.rates import IWriteLimit
from txmirror.types import ACL, OPEN_ACL

#: The default timeout of :meth:`Registration.stop`, in seconds.
_STOP_TIMEOUT = 5.0


class Registration:
    """Keeps a service registered: between start and stop, its ephemeral node exists, in our session, with our data.

    If our session owns an existing node, the registration adopts it. If a former session of this registration owns it, and
    the node has the data that we wrote then, the registration replaces it in one transaction. If another session owns it, the
    registration waits until the node is gone. A persistent node is an error, and stays untouched. If the ACL does not permit us to
    read our own node, it is checked every 60 seconds, because its changes may cause no events.

    :param mirror: the mirror. It is neither started nor closed here.
    :param path: the full path, its last part the server, as in ``/services/ssh/server1:22``. Missing nodes above it are
        made, persistent and open to everybody.
    :param data: facts about the service.
    :param codec: encodes them; JSON with ``pid`` and ``created`` added, if None.
    :param acl: the access control list of the node, and of its parent if that is made here; open to everybody if None.
    :param adopt_persistent: whether to use a persistent node that exists at the path, and write its data. It is never
        deleted.
    :param writes: limits the rate of writes; None sets no limit. Withdrawals are not limited.
    :param inherited: whether the node may exist in our session already, because another process has left the session to us. Then it
        is read before anything is written.
    :param container: whether the parent, if it is made here, is a container: the server deletes it some time after its last child.
    :ivar path: the path.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``data`` cannot be stored.
    :raises ValueError: likewise.
    """

    # More than 7 parameters: programs make it, and all but the first three are optional keywords.

    def __init__(
        self,
        mirror: Mirror,
        path: str,
        data: Mapping[str, object] | str | None = None,
        *,
        codec: IPayloadCodec | None = None,
        acl: Sequence[ACL] | None = None,
        adopt_persistent: bool = False,
        writes: IWriteLimit | None = None,
        inherited: bool = False,
        container: bool = False,
    ) -> None:
        self.path: str = paths.validate(path)
        if path == "/":
            raise PathError("'/' cannot be registered: it always exists")
        self._mirror = mirror
        self._identity = Identity(CODECS["ndsr"] if codec is None else codec, data, mirror.reactor.seconds())
        events = events_of(mirror)
        acl = OPEN_ACL if acl is None else tuple(acl)
        node = OwnNode(
            mirror,
            path,
            acl,
            events.sessions,
            adopt_persistent=adopt_persistent,
            inherited=inherited,
            container=container,
        )
        self._keeper = Keeper(mirror, events, node, self._identity, writes)

    def __repr__(self) -> str:
        return f"<Registration {self.path!r} {self.state.value}>"

    @property
    def state(self) -> RegistrationState:
        """The state."""
        return self._keeper.state

    @property
    def wanted(self) -> bool:
        """True between start and stop: the node is to exist."""
        return self._keeper.wanted

    @property
    def data(self) -> Mapping[str, object] | str | None:
        """The facts about the service."""
        return self._identity.data

    def keep(
        self,
        data: Mapping[str, object] | str | None,
        *,
        codec: IPayloadCodec | None = None,
        tolerated: Sequence[Mapping[str, object] | str | None] = (),
    ) -> Deferred[RegistrationState]:
        """Keep the node in place with this data from now on; start the registration if it is not started.

        :param data: facts about the service.
        :param codec: encodes them from now on; None for the same codec as before.
        :param tolerated: other facts. If the node has these, it is left as it is, until another call.
        :returns: fires with :attr:`.RegistrationState.REGISTERED` when the node is in place with the data, with
            :attr:`.RegistrationState.BLOCKED` when another session's node is there. Fails with
            :exc:`~txmirror.errors.NodeExistsException` if a persistent node is in its place, with any other refusal of
            ZooKeeper's, and with :exc:`~txmirror.errors.ClosingException` when it is withdrawn, or the mirror closed,
            before. After a failure the registration retries until it is stopped; but if another registration
            of this session keeps the path, that is a :exc:`~txmirror.errors.NodeExistsException` too, and changes nothing
            here. Cancelling ends the wait.
        :raises TypeError: data cannot be stored; then nothing has changed.
        :raises ValueError: likewise.
        """
        codec = self._identity.codec if codec is None else codec
        payload = self._identity.encode(data, codec)
        if self._mirror.state is MirrorState.CLOSED:
            return fail(ClosingException(path=self.path, applied=False))
        try:
            self._keeper.own_path()
        except NodeExistsException as error:
            return fail(error)
        changed = self._identity.change(data, payload, codec)
        self._identity.tolerated = tuple(tolerated)
        outcome = self._keeper.outcomes.first.wait()
        self._keeper.start(changed=changed)
        return outcome

    def start(self) -> None:
        """Start to keep the node in place. Steps that fail are retried.

        A pending :meth:`stop` is revoked: its Deferred fires at once. If another registration of the same session is being
        stopped, this one takes over its node.

        :raises NodeExistsException: another registration of the same session keeps this path, on this mirror or on another
            one with the same client or a view of it. The two would overwrite each other without end. Stop that one first.
        """
        self._keeper.own_path()
        self._keeper.start()

    def stop(self, timeout: float | None = _STOP_TIMEOUT) -> Deferred[None]:
        """Delete the node, and do not create it again.

        :param timeout: the number of seconds to wait for the deletion; None waits without limit, through an outage too.
        :returns: fires when our node is gone: at once after its deletion, with the end of the session, or when the mirror is
            closed. After ``timeout`` seconds it fires all the same, and logs a warning: the node is deleted when ZooKeeper
            can be reached again, or the end of the session removes it. It never fails, and may be called twice. Cancelling
            ends the wait, not the withdrawal.
        :raises TypeError, ValueError: ``timeout`` is not a number of seconds; then nothing has changed.
        """
        check_seconds("timeout", timeout, optional=True)
        self._keeper.stop()
        if self.state is RegistrationState.WITHDRAWN:
            return succeed(None)
        waiter = self._keeper.outcomes.withdrawn.wait()
        if timeout is not None:
            waiter.addTimeout(timeout, self._mirror.reactor, self._stop_timed_out)
        return waiter

    def _stop_timed_out(self, result: object, timeout: float) -> None:
        if isinstance(result, Failure):
            session_timeout = self._mirror.client.session_timeout
            self._keeper.manners.warn_late(timeout, session_timeout, connected=self._mirror.is_connected())

    def withdraw(self) -> Deferred[None]:
        """Delete the node as :meth:`stop` without a timeout does, but fail when ZooKeeper refuses that.

        :returns: fires as :meth:`stop` does. Fails with ZooKeeper's refusal, such as
            :exc:`~txmirror.errors.NoAuthException`; the deletion is retried all the same. Cancelling ends the wait, not the
            withdrawal.
        """
        self._keeper.stop()
        if self.state is RegistrationState.WITHDRAWN:
            return succeed(None)
        return self._keeper.outcomes.withdrawing.wait()

    def when_registered(self) -> Deferred[None]:
        """Wait until the node is in place.

        :returns: fires at once if it is. Fails with :exc:`~txmirror.errors.ClosingException` when the registration is withdrawn,
            or the mirror closed, before. Cancelling ends the wait.
        """
        if self.state is RegistrationState.REGISTERED:
            return succeed(None)
        if self._mirror.state is MirrorState.CLOSED:
            return fail(ClosingException(path=self.path, applied=False))
        return self._keeper.outcomes.registered.wait()
