"""Fixtures for pytest, which finds them by itself if txmirror is installed.

Every run of pytest imports this module, so it imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from txmirror.testing import ServerProcess, World


@pytest.fixture
def zookeeper_settings() -> dict[str, Any]:
    """The settings of the servers of the other fixtures. To change them, define a fixture of the same name."""
    return {}


@pytest.fixture
def zookeeper_world(zookeeper_settings: dict[str, Any]) -> Iterator[World]:
    """A ZooKeeper in memory with its own time (``txmirror.testing.World``). Anything left open in it at the end is an error."""
    from txmirror.testing import World  # noqa: PLC0415 - see the module's docstring

    world = World(**zookeeper_settings)
    yield world
    world.close()


@pytest.fixture
def zookeeper_server(zookeeper_settings: dict[str, Any]) -> Iterator[ServerProcess]:
    """A ZooKeeper in a process of its own, for any client (``txmirror.testing.ServerProcess``): see ``connect_string``."""
    from txmirror.testing import ServerProcess  # noqa: PLC0415 - see the module's docstring

    with ServerProcess(**zookeeper_settings) as server:
        yield server
