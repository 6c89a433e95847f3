"""Find the addresses of connected sessions."""

from __future__ import annotations

import re
from typing import Final

from txmirror.cli.servers.words import Asker, NoAnswer
from txmirror.cli.together import together
from txmirror.client import Server

#: A line of the answer to ``cons``, of a connection with a session.
_SESSION: Final = re.compile(r" /(?P<address>\S+?)\[\d+\]\(.*\bsid=0x(?P<session>[0-9a-f]{1,16}),")


async def clients_of(asker: Asker, servers: tuple[Server, ...]) -> tuple[dict[int, str], list[str]]:
    """Return the address of each connected client, with its server, by its session; and the reasons for servers that do not answer."""
    found: dict[int, str] = {}
    errors: list[str] = []

    async def ask(server: Server) -> None:
        try:
            text = await asker.ask(server, "cons")
        except NoAnswer as error:
            errors.append(f"{server}: {error}")
            return
        for match in _SESSION.finditer(text):
            number = int(match["session"], 16)
            # Stats have signed numbers.
            number -= (number >> 63) << 64
            found[number] = f"{match['address']} at {server}"

    await together(map(ask, servers))
    return found, sorted(errors)
