"""Transactions that are done at most once, although replies can be lost.

A write that must not be done twice, such as the deletion of a queue's first entry, is sent in one transaction with the creation or the
change of an ephemeral node with a unique name, the *mark*. If the reply is lost, the mark says whether the transaction was done. The mark
is deleted when that is known, or used again by the next transaction. It ends with the session, so nothing can be said after that.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from txmirror.errors import (
    ConnectionLossException,
    NoAuthException,
    NoNodeException,
    SessionExpiredException,
    TransactionFailedException,
    ZooKeeperException,
    ZooServerProblem,
)
from txmirror.interfaces import ITransaction, urgent_client
from txmirror.recipes.marks import Mark, SpareMarks
from txmirror.recipes.place import Place, transaction


class OutcomeUnknown(Exception):
    """The reply to a transaction was lost, and the session ended before its mark was read. Nobody can know whether it was done.

    :param lost: the failure of the transaction.
    """

    def __init__(self, lost: ZooServerProblem) -> None:
        super().__init__(str(lost))
        self.lost = lost

    def to_error(self, sentence: str, path: str) -> ConnectionLossException:
        """Return the exception for the caller of a recipe.

        :param sentence: says which effect is unknown.
        """
        message = f"{path!r}: {sentence}: the reply was lost, and the session expired before its outcome was known"
        return ConnectionLossException(message, path=path)


class MarkedWrites:
    """Does transactions at most once, in any session.

    :param place: the recipe's node and client. Its client has transactions.
    :param parent: the parent of the marks.
    :param reuse: whether a mark stays for a moment, for the next transaction. Then the parent cannot be deleted at once.
    :ivar place: as the parameter.
    :ivar parent: as the parameter.
    :ivar spare: the marks that no transaction uses now.
    """

    _log = Logger()

    def __init__(self, place: Place, parent: str, *, reuse: bool = False) -> None:
        self.parent = parent
        self.place = place
        self.spare: SpareMarks = SpareMarks(place.client, parent, place.reactor, self.discard)
        self.spare.enabled = self.spare.enabled and reuse

    async def commit(
        self, fill: Callable[[ITransaction], None], *, abandoned: Callable[[], bool] = lambda: False
    ) -> bool:
        """Do a transaction.

        Cancelling abandons it: it may have been done.

        :param fill: adds the writes to a transaction, in which the mark is the operation 0.
        :param abandoned: returns whether to stop trying.
        :returns: True; False if it was abandoned, and not done.
        :raises TransactionFailedException: a server has refused one of the writes: nothing was done. Its ``index`` is 0 where
            :meth:`create_parent` helps.
        :raises OutcomeUnknown: nobody can know whether it was done.
        :raises ZooKeeperException: a server refuses it, or there will be no session any more. Its ``applied`` is None if nobody can know
            whether it was done.
        """
        write = _Write(self, fill)
        failures = 0
        try:
            while True:
                try:
                    if await write.was_done():
                        return True
                    if abandoned():
                        return False
                    if await write.send():
                        return True
                except ZooServerProblem as error:
                    write.failed(error)
                    failures += 1
                    await self.place.retry_policy.retry(error, failures)
        except CancelledError:
            write.in_doubt = True
            raise
        except ZooKeeperException as error:
            if write.lost is not None:
                # The look for the mark was not sent, but the transaction was.
                error.applied = None
            raise
        finally:
            write.end()

    def discard(self, mark: Mark, in_doubt: bool = False) -> None:
        """Delete a mark, unless it does not exist."""
        removed = Deferred.fromCoroutine(self._remove(mark.path, in_doubt))
        removed.addErrback(
            lambda failure: self._log.failure("{path} could not be deleted because of a bug.", failure, path=mark.path)
        )

    async def _remove(self, mark: str, in_doubt: bool) -> None:
        """Delete a mark. Retry until that is done or the session is over."""
        client, policy = urgent_client(self.place.client), self.place.retry_policy
        try:
            if in_doubt:
                await policy.send(lambda: client.sync(self.parent))
            await policy.send(lambda: client.delete(mark))
        except NoNodeException:
            pass
        except ZooKeeperException as error:
            if not (isinstance(error, ZooServerProblem) and error.session_over):
                self._log.warn(
                    "{path} could not be deleted: {reason}. It stays until the session ends.",
                    path=mark,
                    reason=str(error),
                )

    async def create_parent(self, error: TransactionFailedException) -> None:
        """Create the parent of the marks, if a transaction has failed because it is missing.

        :raises ZooKeeperException: the transaction has failed for another reason.
        """
        if error.index != 0 or not isinstance(error.error, NoNodeException):
            raise error.error
        await self.place.create(self.parent)


class _Write:
    """A transaction that is done at most once.

    :param writes: the client, and the marks.
    :param fill: adds the writes.
    :ivar lost: the failure of the transaction, while nobody knows whether it was done.
    :ivar in_doubt: whether a request that changes the mark may still be on its way through another server.
    """

    def __init__(self, writes: MarkedWrites, fill: Callable[[ITransaction], None]) -> None:
        self._writes = writes
        self._client = writes.place.client
        self._fill = fill
        self._mark = writes.spare.take()
        #: Whether the mark may have changed.
        self._sent = False
        self._session = 0
        self.lost: ZooServerProblem | None = None
        self.in_doubt = False

    async def send(self) -> bool:
        """Send it.

        :returns: False if it was not done, and has to be sent again.
        :raises ZooKeeperException: it has failed.
        """
        if self._mark.exists and self._mark.session != self._client.session_id:
            self._mark = self._writes.spare.take()
        mark, writes = self._mark, transaction(self._client)
        mark.add_to(writes, self._writes.place.acl)
        self._fill(writes)
        self._sent = True
        try:
            await writes.commit()
        except TransactionFailedException as error:
            self._sent = False
            if error.index or not mark.exists:
                raise
            # Others have deleted the mark, or its ACL does not let us write.
            if isinstance(error.error, NoAuthException):
                self._writes.spare.enabled = False
            self._writes.discard(mark, self.in_doubt)
            self._mark = self._writes.spare.take()
            return False
        mark.was_done(self._client.session_id)
        self._sent = False
        return True

    def failed(self, error: ZooServerProblem) -> None:
        """Note the failure of the transaction, or of the look for its mark.

        :raises ZooServerProblem: nothing can be known any more.
        """
        if self.lost is None and error.applied is not False:
            if error.session_over:
                raise error
            # The failure arrives while the session is still the one in which it was sent.
            self.lost, self._session, self.in_doubt = error, self._client.session_id, True

    async def was_done(self) -> bool:
        """Find out whether it was done, if that is unknown. Do so behind a sync: our server may lag behind the leader.

        :returns: False if it was not, and never will be.
        :raises OutcomeUnknown: the session is over, or others have deleted the mark.
        :raises ZooServerProblem: the connection was lost again.
        """
        lost, mark = self.lost, self._mark
        if lost is not None:
            try:
                await self._client.sync(self._writes.parent)
                found = await self._client.exists(mark.path)
            except SessionExpiredException:
                raise OutcomeUnknown(lost) from None
            if found is None and (mark.exists or self._client.session_id != self._session):
                raise OutcomeUnknown(lost)
            if found is not None and found.version > mark.version:
                return True
        self.lost, self._sent = None, False
        return False

    def end(self) -> None:
        """Delete the mark, or keep it for the next transaction."""
        if self._sent:
            self._writes.discard(self._mark, self.in_doubt)
        elif self._mark.exists:
            self._writes.spare.put(self._mark)
