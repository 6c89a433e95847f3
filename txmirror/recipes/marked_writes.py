"""Transactions that are done at most once, although replies can be lost.

A write that must not be done twice, such as the deletion of a queue's first entry, is sent in one transaction with the creation of an
ephemeral node with a unique name, the *mark*. If the reply is lost, the mark says whether the transaction was done. The mark is
deleted when that is known. It ends with the session, so nothing can be said after that.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from txmirror import paths
from txmirror.errors import (
    ConnectionLossException,
    NoNodeException,
    SessionExpiredException,
    TransactionFailedException,
    ZooKeeperException,
    ZooServerProblem,
)
from txmirror.interfaces import ITransaction, urgent_client
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
    """

    _log = Logger()

    def __init__(self, place: Place, parent: str) -> None:
        self.parent = parent
        self._place = place

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
        client, policy = self._place.client, self._place.retry_policy
        mark = paths.join(self.parent, uuid.uuid4().hex)
        lost: ZooServerProblem | None = None
        session, failures = 0, 0
        # Whether the mark may exist, and whether a request that creates it may still be on its way through another server.
        sent = in_doubt = False
        try:
            while True:
                try:
                    if lost is not None and await self._was_done(mark, session, lost):
                        return True
                    lost, sent = None, False
                    if abandoned():
                        return False
                    marked = transaction(client)
                    marked.create(mark, b"", self._place.acl, ephemeral=True)
                    fill(marked)
                    sent = True
                    await marked.commit()
                    return True
                except ZooServerProblem as error:
                    if lost is None and error.applied is not False:
                        if error.session_over:
                            raise
                        # The failure arrives while the session is still the one in which it was sent.
                        lost, session, in_doubt = error, client.session_id, True
                    failures += 1
                    await policy.retry(error, failures)
                except TransactionFailedException:
                    sent = False
                    raise
        except CancelledError:
            in_doubt = True
            raise
        except ZooKeeperException as error:
            if lost is not None:
                # The look for the mark was not sent, but the transaction was.
                error.applied = None
            raise
        finally:
            if sent:
                removed = Deferred.fromCoroutine(self._remove(mark, in_doubt))
                removed.addErrback(lambda failure: self._log.failure("{path} was left behind.", failure, path=mark))

    async def _was_done(self, mark: str, session: int, lost: ZooServerProblem) -> bool:
        """Find out whether a transaction was done, behind a sync: our server may lag behind the leader.

        :returns: False if it was not, and never will be.
        :raises OutcomeUnknown: the session is over.
        :raises ZooServerProblem: the connection was lost again.
        """
        client = self._place.client
        try:
            await client.sync(self.parent)
            found = await client.exists(mark)
        except SessionExpiredException:
            raise OutcomeUnknown(lost) from None
        if found is None and client.session_id != session:
            raise OutcomeUnknown(lost)
        return found is not None

    async def _remove(self, mark: str, in_doubt: bool) -> None:
        """Delete a mark. Retry until that is done or the session is over."""
        client, policy = urgent_client(self._place.client), self._place.retry_policy
        try:
            if in_doubt:
                await policy.send(lambda: client.sync(self.parent))
            await policy.send(lambda: client.delete(mark))
        except NoNodeException:
            pass
        except ZooKeeperException as error:
            if not (isinstance(error, ZooServerProblem) and error.session_over):
                self._log.warn("{path} is left until the session ends: {reason}.", path=mark, reason=str(error))

    async def create_parent(self, error: TransactionFailedException) -> None:
        """Create the parent of the marks, if a transaction has failed because it is missing.

        :raises ZooKeeperException: the transaction has failed for another reason.
        """
        if error.index != 0 or not isinstance(error.error, NoNodeException):
            raise error.error
        await self._place.create(self.parent)
