"""Ask a server with four-letter words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.cli.servers.answers import ConnectedClient, NotAllowed, NotServing
from txmirror.cli.servers.exchange import exchange
from txmirror.client import Server
from txmirror.client.connection.endpoints import TLSWrapper

_REFUSED: Final = "is not executed because it is not in the whitelist"
_NOT_SERVING: Final = "not currently serving requests"
#: The characters between the name and the value in each answer.
_SEPARATORS: Final = {"srvr": ": ", "mntr": "\t", "conf": "="}
#: A line of the answer to ``cons``.
_CLIENT: Final = re.compile(r" /(?P<address>\S+?)\[\d+\]\((?:.*\bsid=0x(?P<session>[0-9a-f]{1,16}),)?")


@attrs.frozen
class WordAsker:
    """Asks servers, each word on a connection of its own. See :class:`~txmirror.cli.servers.answers.Asker`."""

    reactor: IReactorTime
    limit: float
    """The timeout of each answer, in seconds."""
    wrap: TLSWrapper | None = None
    """Wraps connections in TLS; None connects without it."""

    def ask(self, server: Server, word: str) -> Deferred[Mapping[str, str]]:
        """Ask ``srvr``, ``mntr`` or ``conf``."""
        return self.send(server, word).addCallback(_pairs, _SEPARATORS[word])

    def clients(self, server: Server) -> Deferred[list[ConnectedClient]]:
        """Ask for the connections of clients, by the word ``cons``."""
        return self.send(server, "cons").addCallback(_read_clients)

    def send(self, server: Server, word: str) -> Deferred[str]:
        """Send a word.

        :returns: fires with the answer. Otherwise as :meth:`~txmirror.cli.servers.answers.Asker.ask`.
        """
        asking = exchange(self.reactor, server, word.encode(), name=word, limit=self.limit, wrap=self.wrap)
        return asking.addCallback(_decode, word)


def _decode(answer: bytes, word: str) -> str:
    text = answer.decode(errors="replace")
    if _REFUSED in text:
        raise NotAllowed(word)
    if _NOT_SERVING in text:
        raise NotServing
    return text


def _pairs(text: str, separator: str) -> Mapping[str, str]:
    pairs = (line.partition(separator) for line in text.splitlines())
    return {name.strip(): value.strip() for name, found, value in pairs if found}


def _read_clients(text: str) -> list[ConnectedClient]:
    found = []
    for line in text.splitlines():
        match = _CLIENT.match(line)
        if match is not None:
            number = None if match["session"] is None else int(match["session"], 16)
            # Stats have signed numbers.
            found.append(ConnectedClient(match["address"], None if number is None else number - ((number >> 63) << 64)))
    return found
