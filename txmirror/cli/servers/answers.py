"""The answers of servers to questions without a session, and the reasons why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.client import Server

#: The remedy for a word that is not allowed.
HOW_TO_ALLOW: Final = "to 4lw.commands.whitelist in its zoo.cfg, or give --admin-port"


class NoAnswer(Exception):
    """A server does not answer. The message is the reason."""


class NotAllowed(NoAnswer):
    """The server does not allow a word."""

    def __init__(self, word: str) -> None:
        super().__init__(f"the server does not allow {word!r}: add it {HOW_TO_ALLOW}")


class NotServing(NoAnswer):
    """The server has no quorum, or is only just starting."""

    def __init__(self) -> None:
        super().__init__("the server serves no requests: it has no leader, or is starting")


@attrs.frozen
class ConnectedClient:
    """A connection to a server."""

    address: str
    """The client's address and port."""
    session: int | None
    """The session, as a signed number as in stats; None if it has none."""

    @property
    def host(self) -> str:
        """The client's address, without the port."""
        return self.address.rpartition(":")[0]


class Asker(Protocol):
    """Asks servers about their state. Questions are named by the four-letter words."""

    @property
    def reactor(self) -> IReactorTime:
        """The reactor."""

    def ask(self, server: Server, word: str) -> Deferred[Mapping[str, str]]:
        """Ask ``srvr``, ``mntr`` or ``conf``.

        :returns: fires with the values, by the names that they have in the answer to the word. Fails with :exc:`NotAllowed`,
            :exc:`NotServing`, or :exc:`NoAnswer` with another reason. Cancelling ends the wait.
        """

    def clients(self, server: Server) -> Deferred[list[ConnectedClient]]:
        """Ask for the connections of clients. See :meth:`ask`."""
