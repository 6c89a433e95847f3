"""1,000 registrations as a program of kazoo's makes them: ``kazoo_registry.py register 127.0.0.1:2181 1000``; see ``registry.py``."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

from clock import Clock
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import NodeExistsError, NoNodeError

ROOT = "/txmirror-registered"
DATA = b'{"foo":"bar","pid":4711,"created":"2026-11-23 12:00:00"}'


def place(client: KazooClient, paths: list[str]) -> None:
    """Create all nodes, many at a time; replace those of another session."""
    for path in {path.rpartition("/")[0] for path in paths}:
        client.ensure_path(path)
    created = [(path, client.create_async(path, DATA, ephemeral=True)) for path in paths]
    for path, answer in created:
        try:
            answer.get()
        except NodeExistsError:
            stat = client.exists(path)
            if stat is None or stat.ephemeralOwner != client.client_id[0]:
                with suppress(NoNodeError):
                    client.delete(path)
                client.create(path, DATA, ephemeral=True)


def main() -> None:
    """Register, and stay until nobody speaks to us any more."""
    _, servers, count = sys.argv[1:]
    paths = [f"{ROOT}/s{number % 100}/host{number}:22" for number in range(int(count))]
    client: Any = KazooClient(servers, timeout=10.0)
    client.start()
    lost = False

    def changed(state: str) -> None:
        nonlocal lost
        if state == KazooState.LOST:
            lost = True
        elif state == KazooState.CONNECTED and lost:
            lost = False
            client.handler.spawn(place, client, paths)

    client.add_listener(changed)
    clock = Clock()
    clock.start()
    place(client, paths)
    clock.stop()
    print(json.dumps(clock.figures), flush=True)
    print(json.dumps([client.client_id[0], client.client_id[1].hex()]), flush=True)
    sys.stdin.read()
    client.stop()


if __name__ == "__main__":
    main()
