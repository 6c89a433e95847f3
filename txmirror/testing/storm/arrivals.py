"""The requests of agents in a storm, and their arrivals at servers."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from txmirror.testing.storm.listening import Address

#: The header with the number of a request.
NUMBER = b"X-Number"
#: The header of a request that the server answers at once.
CALM = b"X-Calm"
#: The numbers of bytes that answers are longer than they say.
_LONGER = (0, 20, 3000)


@attrs.define(eq=False)
class Sent:
    """A request of an agent."""

    number: int
    agent: str
    """The name of the agent."""
    method: bytes
    body: bytes
    repeatable: bool
    """True if servers may receive it more than once."""
    deadline: float
    """The time until which an attempt may begin."""
    had_left: Callable[[int], bool]
    """Returns whether the instance with a port had left the list of the agent's provider before this request, and has not come back."""
    received: list[Address] = attrs.field(factory=list, init=False)
    """The servers that have received it, or its beginning, in order."""
    cancelled: bool = attrs.field(default=False, init=False)
    ended: bool = attrs.field(default=False, init=False)
    """True once its Deferred has fired."""
    postponed: bool = attrs.field(default=False, init=False)
    """True while the program has the response, and has not asked for the body."""

    def __str__(self) -> str:
        return f"request {self.number} ({self.method.decode()})"

    def complaint(self) -> str | None:
        """Return a complaint about its last arrival."""
        address = self.received[-1]
        if self.ended:
            return f"{self} of {self.agent} has ended, and arrives at {address}"
        if len(self.received) > 1 and not self.repeatable:
            return f"{self} of {self.agent} must not be repeated, and has arrived at {self.received}"
        if self.had_left(address[1]):
            return f"{self} of {self.agent} arrives at {address}, which had left the list before"
        return None


class Arrivals:
    """All requests of a storm by their numbers, and the agents of connections.

    :param report: called with each complaint.
    """

    def __init__(self, report: Callable[[str], object]) -> None:
        self._report = report
        self._sent: list[Sent] = []
        self._agents: dict[int, str] = {}

    @property
    def next_number(self) -> int:
        """The number of the next request."""
        return len(self._sent)

    def add(self, sent: Sent) -> None:
        """Expect the next request."""
        self._sent.append(sent)

    def arrived(self, number: int, address: Address, client_port: int) -> None:
        """Note that a server has received the headers of a request.

        :param address: the server.
        :param client_port: the port of the client.
        """
        sent = self._sent[number]
        sent.received.append(address)
        self._agents[client_port] = sent.agent
        complaint = sent.complaint()
        if complaint is not None:
            self._report(complaint)

    def agent_of(self, client_port: int) -> str | None:
        """Return the name of the agent of a connection, if a request has arrived on it."""
        return self._agents.get(client_port)


def answer_to(number: int, address: Address, body: bytes) -> bytes:
    """Return the body of the answer of a server to a request."""
    said = f"{number} {address[0]}:{address[1]} {len(body)} {body[-1:].decode()}\n".encode()
    return said + b"." * _LONGER[number % len(_LONGER)]
