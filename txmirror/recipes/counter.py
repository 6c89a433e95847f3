"""A counter: each addition counts once."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, overload

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.conditional_writes import ConditionalWrites
from txmirror.recipes.place import Place, check_transactions
from txmirror.types import ACL, ZnodeStat

NumberT = TypeVar("NumberT", int, float)


class Counter(Generic[NumberT]):
    """A number that processes anywhere can add to at the same time.

    ::

        hits = Counter(client, "/hits")
        total = await hits.add(2)

    The number is stored as kazoo's ``Counter`` stores it: as text, so that both can count at one path.

    Each addition counts once. It is a write that depends on the version, so that no addition of others is lost; and if the reply
    is lost, the counter finds out whether it was done: it is one transaction with the creation of an ephemeral node
    below the counter's, which shows that, and is deleted soon. (kazoo's counter adds again, and counts twice.) If the session expires
    before that, the counter's version may still show that it was not done; otherwise :meth:`add` fails, and says that nobody
    knows. It never adds again in doubt.

    :param client: a client with transactions, or a :class:`~txmirror.mirror.Mirror` with one. It is connected when it is first
        needed, unless that was begun before.
    :param path: the counter's node. If it and those above it are missing, the first addition creates them, persistent.
    :param default: the number where nothing is stored; its type is that of the counter. An ``int`` that was stored can be
        read as a ``float``, and not vice versa.
    :param curator: whether the number is stored as Curator's ``SharedCount`` and ``DistributedAtomicInteger`` store it: in four bytes.
        (``DistributedAtomicLong`` has eight, and is refused.)
    :param acl: the access control list of the nodes that are created here, but for those above ``path``; None opens them to
        everybody. Additions need permission to read, write, create and delete.
    :param reactor: the reactor; the global one if None.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``client`` is neither, or has no transactions; ``default`` is no number, or with ``curator`` no ``int``;
        ``acl`` holds anything else than :class:`~txmirror.types.ACL`.
    """

    # More than 7 parameters: kazoo's two, and those of all recipes.
    @overload
    def __init__(
        self: Counter[int],
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        default: int = 0,
        curator: bool = False,
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: Counter[float],
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        default: float,
        curator: bool = False,
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None: ...

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        default: Any = 0,
        curator: bool = False,
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        self._place = Place(client, path, acl, reactor, type(self).__name__)
        check_transactions(self, self._place.client)
        if type(default) not in (int, float) or (curator and type(default) is not int):
            raise TypeError(f"the default is {default!r:.60}: not {'an int' if curator else 'an int or a float'}")
        self._default = default
        self._type: type[Any] = type(default)
        self._curator = curator
        self._writes = ConditionalWrites(self._place, b"", "the amount may have been added, or not")

    def __repr__(self) -> str:
        return f"<Counter {self._place.describe()}>"

    @property
    def path(self) -> str:
        """The counter's node."""
        return self._place.path

    def value(self) -> Deferred[NumberT]:
        """Return the number.

        It survives lost connections and expired sessions.

        :returns: fires with it: all additions that have ended before are in it. Fails with ``ValueError`` if the node holds no number; with
            :exc:`~txmirror.errors.ClosingException` or :exc:`~txmirror.errors.AuthFailedException`, where there will be no session
            any more, and with a server's refusal, such as :exc:`~txmirror.errors.NoAuthException`. Cancelling ends the wait.
        """
        return self._place.run(self._value)

    def add(self, amount: NumberT) -> Deferred[NumberT]:
        """Add to the number, once.

        It survives lost connections, and expired sessions if it was certainly not done before.

        :param amount: the number to add; a negative one subtracts.
        :returns: fires with the sum. Fails with :exc:`~txmirror.errors.ConnectionLossException` (``applied`` None) if the reply was
            lost and the session expired before it was known whether it was done; with
            :exc:`~txmirror.errors.BadVersionException` at version -1, after 4,294,967,295 changes, where a write cannot depend on the
            version: set the node once. With ``ValueError``, and then nothing was changed, if the node holds no number, or
            with ``curator`` if the sum needs more than four bytes. Otherwise as :meth:`value`. Cancelling ends the wait; it may have been
            done.
        :raises TypeError: the amount is not of the counter's type (a ``float`` counter takes an ``int`` too).
        :raises ValueError: it is not finite.
        """
        given: Any = amount
        if type(given) is not int and type(given) is not self._type:
            raise TypeError(f"the amount is {given!r:.60}: not of the type {self._type.__name__}")
        if not math.isfinite(given):
            raise ValueError(f"the amount is {given!r}: not a finite number")
        return self._place.meter.measure("add", self._place.run(lambda: self._add(given)))

    async def _value(self) -> NumberT:
        found = await self._writes.read()
        value: NumberT = self._decode(b"" if found is None else found[0])
        return value

    async def _add(self, amount: Any) -> NumberT:
        total: Any = None

        def change(data: bytes, stat: ZnodeStat) -> bytes:
            nonlocal total
            total = self._decode(data) + self._type(amount)
            return self._encode(total)

        await self._writes.update(change)
        added: NumberT = total
        return added

    def _decode(self, data: bytes) -> Any:
        try:
            if not data:
                return self._default
            return struct.unpack(">i", data)[0] if self._curator else self._type(data.decode("ascii"))
        except (ValueError, struct.error):
            kind = (
                "four bytes of Curator's SharedCount"
                if self._curator
                else f"the text of a number ({self._type.__name__})"
            )
            raise ValueError(f"the counter {self.path!r} holds {data!r:.60}: not {kind}") from None

    def _encode(self, total: Any) -> bytes:
        if not self._curator:
            return repr(total).encode("ascii")
        try:
            return struct.pack(">i", total)
        except struct.error:
            raise ValueError(
                f"the sum of the counter {self.path!r}, {total}, needs more than the four bytes of Curator's SharedCount"
            ) from None
