"""What all commands are told: which servers, as whom, and for how long to try."""

from __future__ import annotations

import attrs


@attrs.frozen
class Settings:
    """How to reach ZooKeeper. Times are in seconds."""

    servers: str = "localhost:2181"
    """As for :class:`txmirror.client.ZooKeeperClient`."""
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    timeout: float = 5.0
    """How long ZooKeeper may be out of reach before a command gives up."""
    session_timeout: float = 10.0
    quiet: bool = False
