"""Find the addresses of connected sessions."""

from __future__ import annotations

from txmirror.cli.servers.answers import Asker, NoAnswer
from txmirror.cli.together import together
from txmirror.client import Server


async def clients_of(asker: Asker, servers: tuple[Server, ...]) -> tuple[dict[int, str], list[str]]:
    """Return the address of each connected client, with its server, by its session; and the reasons for servers that do not answer."""
    found: dict[int, str] = {}
    errors: list[str] = []

    async def ask(server: Server) -> None:
        try:
            clients = await asker.clients(server)
        except NoAnswer as error:
            errors.append(f"{server}: {error}")
            return
        for each in clients:
            if each.session is not None:
                found[each.session] = f"{each.address} at {server}"

    await together(map(ask, servers))
    return found, sorted(errors)
