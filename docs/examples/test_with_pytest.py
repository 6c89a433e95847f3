"""Tests under pytest: with the same world in memory, or with a server in a separate process for a client with threads."""

from typing import Any

import pytest
from counter import Counter
from kazoo.client import KazooClient

from txmirror.testing import ServerProcess, World


def test_in_memory(zookeeper_world: World) -> None:
    client = zookeeper_world.client()
    zookeeper_world.result(client.create("/counter", b"0"))
    assert zookeeper_world.result(Counter(client, "/counter").add(5)) == 5


@pytest.fixture
def zookeeper_settings() -> dict[str, Any]:
    # The settings of the servers in this module; without this fixture they imitate ZooKeeper 3.8.
    return {"version": "3.9"}


def test_with_threads(zookeeper_server: ServerProcess) -> None:
    client = KazooClient(zookeeper_server.connect_string)
    client.start()
    assert client.server_version()[:2] == (3, 9)
    client.create("/counter", b"0")
    assert client.get("/counter")[0] == b"0"
    client.stop()
    client.close()
